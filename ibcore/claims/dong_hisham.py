"""Claims DH-1 to DH-3: Dong & Hisham on Pokémon sightings, with and without an L2 penalty."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ibcore.claims.curves import NOISE_FLOOR, compression, count_seeds, per_seed, phases
from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    UNINFORMATIVE,
    above,
    all_of,
    interval,
    opposite,
)
from ibcore.claims.verdict import Verdict

LATE = 0.5
"""Share of the training after which epochs count as the last ones."""

_SWAPPED = {"I_XT": "I_TY", "I_TY": "I_XT", "ceiling_X": "ceiling_Y", "ceiling_Y": "ceiling_X"}


def _hidden(measurements: pd.DataFrame) -> pd.DataFrame:
    last = measurements.groupby("run")["layer_index"].transform("max")
    return measurements[measurements["layer_index"] < last]


def both_coordinates(measurements: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    """``phases`` of I(X;T) and, below each other, the same of I(T;Y), for the hidden layers.

    The column ``coordinate`` tells them apart; for I(T;Y) all columns speak of I(T;Y), and
    ``saturated`` of its ceiling H(Y).
    """
    hidden = _hidden(measurements)
    about_input = phases(hidden, bounds)
    about_label = phases(hidden.rename(columns=_SWAPPED), bounds.rename(columns=_SWAPPED))
    both = [
        about_input.assign(coordinate="I(X;T)"),
        about_label.rename(columns=_SWAPPED).assign(coordinate="I(T;Y)"),
    ]
    return pd.concat(both, ignore_index=True).drop(columns=["fall_of_I_TY", "band_of_I_TY"])


def _slope(curve: pd.DataFrame) -> float:
    trained = curve[curve["epoch"] > 0]
    return float(np.polyfit(np.log10(trained["epoch"]), trained["I"], 1)[0])


def trends(measurements: pd.DataFrame) -> pd.DataFrame:
    """Least-squares slope of both coordinates over log10(epoch), in bits per decade of epochs.

    ``measurements`` holds one estimator; epoch 0 is left out. One row per run, layer, coordinate
    and seed.
    """
    hidden = _hidden(measurements).rename(columns={"I_XT": "I(X;T)", "I_TY": "I(T;Y)"})
    keys = ["run", "layer_index", "layer", "seed", "epoch"]
    long = hidden.melt(keys, ["I(X;T)", "I(T;Y)"], "coordinate", "I")
    groups = long.groupby(["run", "layer_index", "layer", "coordinate", "seed"], sort=False)
    return groups[["epoch", "I"]].apply(_slope).rename("slope").reset_index()


def _by_curve(table: pd.DataFrame, decide) -> tuple[dict, int]:
    """Verdict of every curve that is informative, and how many others there are."""
    found = {
        " ".join(key): decide(group)
        for key, group in table.groupby(["run", "layer", "coordinate"], sort=False)
    }
    parts = {name: verdict for name, verdict in found.items() if verdict != UNINFORMATIVE}
    return parts, len(found) - len(parts)


def _rises(group: pd.DataFrame) -> str:
    return UNINFORMATIVE if group["saturated"].all() else above(per_seed(group, "slope"))


def _falls(group: pd.DataFrame) -> str:
    return compression(group)[0]


def _clearly_above(values: pd.Series) -> str:
    """Whether values lie above 0 by more than ``NOISE_FLOOR``; contradicted as far below."""
    found = above(values, NOISE_FLOOR)
    if found == CONTRADICTED and above(values, -NOISE_FLOOR) != CONTRADICTED:
        return INCONCLUSIVE
    return found


def _named(parts: Mapping[str, str], verdict: str) -> str:
    return ", ".join(name for name, found in parts.items() if found == verdict) or "none"


def _decided(parts: Mapping[str, str]) -> str:
    return all_of(parts.values()) if parts else UNINFORMATIVE


def dh_1(measurements: pd.DataFrame, bounds: pd.DataFrame) -> Verdict:
    """I(X;T) and I(T;Y) of every hidden layer rise with the logarithm of the epoch.

    ``measurements`` holds the runs without a penalty, by one estimator. Curves that stay at their
    ceiling in every seed are left out.
    """
    keys = ["run", "layer", "coordinate", "seed"]
    state = both_coordinates(measurements, bounds)[[*keys, "saturated"]]
    table = trends(measurements).merge(state, on=keys)
    parts, saturated = _by_curve(table, _rises)
    means = ", ".join(
        f"{run} {coordinate} {interval(per_seed(group, 'slope'))}"
        for (run, coordinate), group in table.groupby(["run", "coordinate"], sort=False)
    )
    text = (
        f"slope in bits per tenfold epochs, mean of the hidden layers: {means}; falling: "
        f"{_named(parts, CONTRADICTED)}; {saturated} of {saturated + len(parts)} curves saturated"
    )
    return Verdict("DH-1", _decided(parts), text, count_seeds(table))


def dh_2(
    measurements: pd.DataFrame, bounds: pd.DataFrame, *, except_late: Sequence[str] = ()
) -> Verdict:
    """Neither I(X;T) nor I(T;Y) of a hidden layer falls without a penalty.

    Runs named in ``except_late`` are judged by the first half of their epochs (``LATE``); what
    they do later is told and does not decide. Curves that end at their ceiling are left out, see
    ``compression``.
    """
    late = measurements["run"].isin(except_late)
    early = measurements["epoch"] <= LATE * measurements.groupby("run")["epoch"].transform("max")
    table = both_coordinates(measurements[~late | early], bounds)
    table["excess"] = table["drop"] - table["band"]
    parts, capped = _by_curve(table, lambda group: opposite(_falls(group)))
    text = (
        f"largest mean drop beyond the noise band "
        f"{table.groupby(['run', 'layer', 'coordinate'])['excess'].mean().max():.2f} bit; "
        f"falling: {_named(parts, CONTRADICTED)}; {capped} of {capped + len(parts)} curves end at "
        "the ceiling"
    )
    if late.any():
        whole = both_coordinates(measurements[late], bounds)
        fell, _ = _by_curve(whole, _falls)
        text += f"; with the last half of the epochs also falling: {_named(fell, SUPPORTED)}"
    return Verdict("DH-2", _decided(parts), text, count_seeds(table))


def dh_3(measurements: pd.DataFrame, bounds: pd.DataFrame, pairs: Mapping[str, str]) -> Verdict:
    """With the penalty I(T;Y) rises and falls, more than without it, and I(X;T) falls less.

    ``measurements`` holds one estimator; ``pairs`` maps the name of each run with the penalty to
    that of the same run without. Differences within ``NOISE_FLOOR`` of zero decide nothing.
    """
    measurements = measurements[measurements["run"].isin([*pairs, *pairs.values()])]
    table = both_coordinates(measurements, bounds)
    of = dict(list(table.groupby(["run", "coordinate"])))
    parts, texts = {}, []
    for run, partner in pairs.items():
        x, y = of[run, "I(X;T)"], of[run, "I(T;Y)"]
        more_x, more_y = (
            per_seed(of[run, coordinate], "drop") - per_seed(of[partner, coordinate], "drop")
            for coordinate in ("I(X;T)", "I(T;Y)")
        )
        parts[f"{run}: rise of I(T;Y)"] = above(per_seed(y, "rise") - per_seed(y, "band"))
        parts[f"{run}: fall of I(T;Y)"], drop, _ = compression(y)
        parts[f"{run}: more than without"] = _clearly_above(more_y)
        parts[f"{run}: less of I(X;T)"] = _clearly_above(per_seed(y, "drop") - per_seed(x, "drop"))
        texts.append(
            f"{run}: I(T;Y) rises by {interval(per_seed(y, 'rise'))}, then falls by {drop}, "
            f"{interval(more_y)} more than without; I(X;T) falls by "
            f"{interval(per_seed(x, 'drop'))}, {interval(more_x)} more than without"
        )
    text = (
        f"{'; '.join(texts)} (bits, paired by seed, mean of the hidden layers); "
        f"against the claim: {_named(parts, CONTRADICTED)}"
    )
    return Verdict("DH-3", all_of(parts.values()), text, count_seeds(table))
