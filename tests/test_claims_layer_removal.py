"""Claims MT-3 to MT-5 by hand and both ways."""

import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED

NOISE = (0.0, 0.002, -0.002, 0.001)


def stages(accuracies):
    """``accuracies`` maps a way to accuracies after 0, 1, ... removals."""
    rows = [
        (seed, way, removed, value + noise * (removed > 0))
        for seed, noise in enumerate(NOISE)
        for way, values in accuracies.items()
        for removed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["seed", "way", "removed", "accuracy"])


def table(after_8=0.8, after_9=0.7, early=0.75):
    ours = [0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, after_8, after_9]
    return stages({"document": ours, "early first": [0.8, 0.8, 0.8, early]}).pipe(
        lambda found: pd.concat([found, full()], ignore_index=True)
    )


def full():
    rows = [(seed, "nothing removed", removed, 0.8) for seed in range(4) for removed in range(10)]
    return pd.DataFrame(rows, columns=["seed", "way", "removed", "accuracy"])


@pytest.mark.parametrize(
    ("after_8", "verdict"),
    [(0.8, SUPPORTED), (0.85, SUPPORTED), (0.7, CONTRADICTED), (0.79, INCONCLUSIVE)],
)
def test_mt_3(after_8, verdict):
    found = claims.mt_3(table(after_8=after_8))
    assert (found.claim, found.verdict, found.seeds) == ("MT-3", verdict, 4)
    mean = claims.interval([100 * (0.8 - after_8 - noise) for noise in NOISE]).mean
    printed = float(found.statistic.split("after 8 removals ")[1].split()[0])
    assert printed == pytest.approx(mean, abs=0.006)


@pytest.mark.parametrize(
    ("after_9", "verdict"), [(0.7, SUPPORTED), (0.8, CONTRADICTED), (0.795, CONTRADICTED)]
)
def test_mt_4(after_9, verdict):
    assert claims.mt_4(table(after_9=after_9)).verdict == verdict


@pytest.mark.parametrize(
    ("early", "verdict"), [(0.78, SUPPORTED), (0.82, CONTRADICTED), (0.8, INCONCLUSIVE)]
)
def test_mt_5(early, verdict):
    assert claims.mt_5(table(early=early)).verdict == verdict


def test_a_stage_that_was_not_run():
    with pytest.raises(ValueError, match="no stage with 9 removed convolutions, early first"):
        claims.mt_4(table(), way="early first")
