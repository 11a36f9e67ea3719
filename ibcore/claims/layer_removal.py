"""Claims MT-3 to MT-5: Muşat's thesis on removing convolutions."""

import pandas as pd

from ibcore.claims.curves import count_seeds
from ibcore.claims.intervals import above, below, interval
from ibcore.claims.verdict import Verdict

LOSS = 1.0
"""Loss of accuracy, in percentage points, that the document still calls maintained."""


def _percent(stages: pd.DataFrame, way: str, removed: int) -> pd.Series:
    """Accuracy in percent by seed; ValueError if that was not run."""
    part = stages[(stages["way"] == way) & (stages["removed"] == removed)]
    if part.empty:
        raise ValueError(f"no stage with {removed} removed convolutions, {way}")
    return part.set_index("seed")["accuracy"].mul(100)


def mt_3(
    stages: pd.DataFrame, *, removed: int = 8, way: str = "document", full: str = "nothing removed"
) -> Verdict:
    """Less than ``LOSS`` points lost after 8 removals, against the full network trained as long."""
    smaller, control = _percent(stages, way, removed), _percent(stages, full, removed)
    start = _percent(stages, way, 0)
    text = (
        f"full network trained as long minus network after {removed} removals "
        f"{interval(control - smaller)} percentage points (below {LOSS:g} wanted); against the "
        f"full network before the first removal {interval(start - smaller)}"
    )
    return Verdict("MT-3", below(control - smaller, LOSS), text, count_seeds(stages))


def mt_4(stages: pd.DataFrame, *, removed: int = 9, way: str = "document") -> Verdict:
    """The 9th removal costs more than ``LOSS`` points."""
    change = _percent(stages, way, removed) - _percent(stages, way, removed - 1)
    text = (
        f"change of accuracy from {removed - 1} to {removed} removals {interval(change)} "
        f"percentage points (below -{LOSS:g} is bad)"
    )
    return Verdict("MT-4", below(change, -LOSS), text, count_seeds(stages))


def mt_5(
    stages: pd.DataFrame,
    *,
    removed: int = 3,
    way: str = "document",
    other: str = "early first",
) -> Verdict:
    """After three removals the order that starts near the input is behind the other one."""
    difference = _percent(stages, way, removed) - _percent(stages, other, removed)
    text = (
        f"{way} minus {other} after {removed} removals: {interval(difference)} percentage points "
        "(document: 2)"
    )
    return Verdict("MT-5", above(difference), text, count_seeds(stages))
