"""Statistics of curves of information over epochs, one value per seed."""

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.ndimage import median_filter

from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    UNINFORMATIVE,
    Interval,
    above,
    interval,
)

SATURATION = 0.05
"""A layer within this many bits of its ceiling is at the ceiling."""

FEWEST_EPOCHS = 5
"""A curve with fewer recorded epochs says nothing."""

NOISE_FLOOR = 0.05
"""Smallest noise band of a curve, in bits."""


def long_enough(known: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The rows of curves, named by the columns ``keys``, with at least ``FEWEST_EPOCHS`` rows."""
    return known[known.groupby(list(keys))["epoch"].transform("size") >= FEWEST_EPOCHS]


def smooth(series: Sequence[float]) -> np.ndarray:
    """Running median over five snapshots.

    Beyond the ends the first and the last value are repeated, so that these two stay as they are.
    """
    return median_filter(np.asarray(series, dtype=float), size=5, mode="nearest")


def noise_band(series: Sequence[float], floor: float = NOISE_FLOOR) -> float:
    """How far a curve strays from its own running median, in its unit.

    Three times 1.4826 times the median absolute residual, and at least ``floor``. A snapshot
    takes part in its own median, so the residuals are smaller than the noise: of independent
    normal noise the band is about 2.2 standard deviations wide, less for curves of few epochs. How
    often noise alone goes beyond it: ``chance_of_a_fall``.
    """
    series = np.asarray(series, dtype=float)
    residual = np.abs(series - smooth(series))
    return float(max(floor, 3 * 1.4826 * np.median(residual)))


@functools.cache
def chance_of_a_fall(epochs: int, curves: int = 4000) -> float:
    """Share of flat curves with independent normal noise that end below their peak by more than
    the noise band, for a number of recorded epochs.

    Simulated, always with the same numbers. Curves that climb first (their running median follows
    them closely, so that the band is narrow) and noise that is correlated from epoch to epoch fall
    more often: this is the least that chance does.

    Raises
    ------
    ValueError
        For fewer than five epochs.

    Examples
    --------
    >>> 0.15 < chance_of_a_fall(60) < chance_of_a_fall(6) < 0.4
    True
    """
    if epochs < FEWEST_EPOCHS:
        raise ValueError(f"at least {FEWEST_EPOCHS} epochs are needed, got {epochs}")
    noise = np.random.default_rng(0).normal(0, 100 * NOISE_FLOOR, (curves, epochs))
    smoothed = [smooth(curve) for curve in noise]
    fallen = [
        line.max() - line[-1] > noise_band(curve)
        for curve, line in zip(noise, smoothed, strict=True)
    ]
    return float(np.mean(fallen))


def _phases(curve: pd.DataFrame, floor: float) -> pd.Series:
    curve = curve.sort_values("epoch")
    x, y = smooth(curve["I_XT"]), smooth(curve["I_TY"])
    peak = int(x.argmax())
    return pd.Series(
        {
            "epochs": len(curve),
            "start": x[0],
            "peak": x[peak],
            "peak_epoch": int(curve["epoch"].iloc[peak]),
            "end": x[-1],
            "rise": x[peak] - x[0],
            "drop": x[peak] - x[-1],
            "band": noise_band(curve["I_XT"], floor),
            "lowest": float(curve["I_XT"].min()),
            "fall_of_I_TY": y.max() - y[-1],
            "band_of_I_TY": noise_band(curve["I_TY"], floor),
        }
    )


def phases(
    measurements: pd.DataFrame, bounds: pd.DataFrame | None = None, *, floor: float = NOISE_FLOOR
) -> pd.DataFrame:
    """Rise and fall of I(X;T) in every curve.

    The *drop* is the peak of the smoothed curve minus its end; it counts as compression when it
    exceeds the curve's noise band. A peak at the first or the last epoch gives a rise or a drop of
    zero, so a real rise-and-fall has its peak strictly inside the training.

    Parameters
    ----------
    measurements : DataFrame
        ``run, seed, epoch, set, layer, layer_index, estimator, I_XT, I_TY`` and, where they occur,
        ``parameter, view, filter, n``: every combination is a curve.
    bounds : DataFrame, optional
        ``run, seed, set, n, ceiling_X, ceiling_Y``: adds these and two columns. ``saturated`` is
        true where I(X;T) never leaves the last ``SATURATION`` bits below the ceiling, ``capped``
        where it ends there: such a curve has no drop beyond any noise band, whatever the network
        does. Entropies of densities (nearest neighbours) have no ceiling and are neither.
    floor : float
        Smallest noise band, in the unit of the curves.

    Returns
    -------
    DataFrame
        One row per curve: the number of recorded ``epochs``, ``start, peak, peak_epoch, end, rise,
        drop, band`` (bits), ``fall_of_I_TY`` and its band.

    Raises
    ------
    ValueError
        For curves with fewer than five epochs.
    """
    keys = ["run", "set", "estimator", "parameter", "view", "n", "layer_index", "layer", "filter"]
    keys = [key for key in keys if key in measurements] + ["seed"]
    counts = measurements.groupby(keys, sort=False, dropna=False)["epoch"].size()
    if len(counts) == 0 or counts.min() < FEWEST_EPOCHS:
        raise ValueError("every curve needs at least five recorded epochs")
    grouped = measurements.groupby(keys, sort=False, dropna=False)[["epoch", "I_XT", "I_TY"]]
    table = grouped.apply(_phases, floor).reset_index()
    if bounds is not None:
        table = with_bounds(table, bounds)
        limited = table["estimator"] != "nearest neighbour"
        edge = table["ceiling_X"] - SATURATION
        table["saturated"] = limited & (table["lowest"] > edge)
        table["capped"] = limited & (table["end"] > edge)
    return table


def with_bounds(table: pd.DataFrame, bounds: pd.DataFrame) -> pd.DataFrame:
    """The table with the ceilings in ``bounds`` for its run, set and (where given) seed and n."""
    on = [key for key in ("run", "seed", "set", "n") if key in table and key in bounds]
    ceilings = [column for column in ("ceiling_X", "ceiling_Y") if column in bounds]
    return table.merge(
        bounds[on + ceilings].drop_duplicates(), on=on, how="left", validate="many_to_one"
    )


def per_seed(table: pd.DataFrame, column: str) -> pd.Series:
    """Mean of a column over everything but the seed: one value per seed, indexed by seed.

    So the difference of two of them is paired by seed, and a seed that one lacks gives NaN, which
    ``interval`` refuses.
    """
    return table.groupby("seed")[column].mean()


def able_to_fall(table: pd.DataFrame) -> pd.DataFrame:
    """The curves of layers in which a fall could be seen.

    ``table`` holds ``phases`` with bounds. A layer that is ``capped`` in every curve of a run, set
    and view is left out: it may have fallen or not. Raises ValueError for a table without bounds.
    """
    if "capped" not in table:
        raise ValueError("phases with bounds are needed to tell which curves can fall")
    return table[~_of_layers(table, "all")]


def _of_layers(table: pd.DataFrame, how: str) -> pd.Series:
    """Whether any or all curves of a row's run, set, view and layer are capped."""
    keys = [key for key in ("run", "set", "view", "layer") if key in table]
    return table.groupby(keys)["capped"].transform(how).astype(bool)


def excess(table: pd.DataFrame) -> pd.Series:
    """Drop minus noise band, mean over everything but the seed."""
    return per_seed(table, "drop") - per_seed(table, "band")


def beyond_band(table: pd.DataFrame) -> str:
    """Whether the drop exceeds the noise band, by their difference, one value per seed.

    Contradicted also where the drop itself stays below ``NOISE_FLOOR``, which no band does: bands
    that differ from seed to seed leave nothing open where nothing drops.
    """
    found = above(excess(table))
    if found == INCONCLUSIVE and above(per_seed(table, "drop"), NOISE_FLOOR) == CONTRADICTED:
        return CONTRADICTED
    return found


def compression(table: pd.DataFrame) -> tuple[str, Interval, float]:
    """Whether I(X;T) falls by more than the noise band: verdict, interval of the drop, mean band.

    ``table`` is a selection of ``phases`` with bounds. Those of its layers that are able to fall
    are averaged within each seed and decide as in ``beyond_band``; if there is none, the verdict is
    uninformative, and the numbers are those of all. The drop of a capped curve is the least that it
    can have been: a layer that is capped in some seeds may show a fall, but that nothing falls is
    left to the layers that are capped in none, and uninformative without them.
    """
    seen = able_to_fall(table)
    if seen.empty:
        verdict, seen = UNINFORMATIVE, table
    else:
        verdict = beyond_band(seen)
        free = seen[~_of_layers(seen, "any")]
        if verdict == CONTRADICTED and free.empty:
            verdict = UNINFORMATIVE
        elif verdict == CONTRADICTED and beyond_band(free) != CONTRADICTED:
            verdict = INCONCLUSIVE
    return verdict, interval(per_seed(seen, "drop")), float(seen["band"].mean())


def falls(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Whether I(X;T) falls, for every combination of the columns ``by``.

    ``table`` holds ``phases`` with bounds. ``falls`` is *yes* or *no* where 95% intervals say so
    (see ``beyond_band``), *open* otherwise, and *cannot tell* where too many curves end at their
    ceiling (see ``compression``). A missing value, as of a ``parameter`` that was not given, counts
    as a value.
    """
    words = {
        SUPPORTED: "yes",
        CONTRADICTED: "no",
        INCONCLUSIVE: "open",
        UNINFORMATIVE: "cannot tell (at the ceiling)",
    }
    rows = []
    for where, part in table.groupby(list(by), sort=False, dropna=False):
        verdict, drop, band = compression(part)
        rows.append((*where, drop.mean, drop.low, drop.high, band, words[verdict]))
    return pd.DataFrame(rows, columns=[*by, "drop", "low", "high", "band", "falls"])


def beyond_null(table: pd.DataFrame, null: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Last I(T;Y) minus that of a null model trained on permuted labels, paired by seed.

    Both tables are measurements of one set; the result has one row per combination of ``by``:
    ``I_TY, null, difference, low, high`` (bits, 95% over seeds). Missing values count as in
    ``falls``.
    """
    keys = [*by, "seed"]
    ends = [
        part[part["epoch"] == part.groupby(keys, dropna=False)["epoch"].transform("max")]
        for part in (table, null)
    ]
    both = pd.DataFrame(
        {
            name: end.groupby(keys, sort=False, dropna=False)["I_TY"].mean()
            for name, end in zip(("I_TY", "null"), ends, strict=True)
        }
    )
    rows = []
    for where, part in both.groupby(list(by), sort=False, dropna=False):
        found = interval(part["I_TY"] - part["null"])
        means = part["I_TY"].mean(), part["null"].mean()
        rows.append((*where, *means, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=[*by, "I_TY", "null", "difference", "low", "high"])


def count_seeds(table: pd.DataFrame) -> int:
    """How many seeds a table holds."""
    return int(table["seed"].nunique())


def early_stopping(history: pd.DataFrame) -> pd.DataFrame:
    """The recorded epoch with the lowest loss on the test samples (the first of several equal).

    ``history`` has the columns ``run, seed, epoch, test_loss``; returns its rows of these epochs,
    one per run and seed.
    """
    first = history.sort_values("epoch", kind="stable")
    return history.loc[
        first.groupby(["run", "seed"], sort=False)["test_loss"].idxmin()
    ].sort_index()


def upper_layers(table: pd.DataFrame, count: int = 2) -> pd.DataFrame:
    """The last ``count`` hidden layers of every run (the output layer is not hidden)."""
    last = table.groupby("run")["layer_index"].transform("max")
    return table[(table["layer_index"] < last) & (table["layer_index"] >= last - count)]


def rank_correlation(table: pd.DataFrame, column: str, by: str) -> np.ndarray:
    """Spearman correlation of ``column`` with ``by``, one mean value per seed; ties give 0."""
    values = []
    for _, group in table.groupby("seed"):
        found = []
        for _, part in group.groupby(["dataset", "set"]):
            if part[column].nunique() < 2:
                found.append(0.0)
            else:
                found.append(stats.spearmanr(part[by], part[column]).statistic)
        values.append(np.mean(found))
    return np.array(values)


def epochs_to_level(
    curves: pd.DataFrame, column: str, *, by: str, bound: str | None = None, share: float = 0.95
) -> pd.DataFrame:
    """First recorded epoch at which each curve reaches a share of a level.

    The level is the column ``bound`` where every curve of a seed reaches that share of it;
    otherwise it is the smallest of their largest values, which all of them reach.

    Parameters
    ----------
    curves : DataFrame
        ``seed, dataset, set, epoch``, the column ``by`` that tells the curves apart, ``column``.

    Returns
    -------
    DataFrame
        ``seed, dataset, set, by, epochs, level``.
    """
    rows = []
    for (seed, dataset, part), group in curves.groupby(["seed", "dataset", "set"]):
        smallest = group.groupby(by)[column].max().min()
        level = smallest
        if bound is not None and smallest >= share * group[bound].iloc[0]:
            level = group[bound].iloc[0]
        for value, curve in group.groupby(by):
            reached = curve[curve[column] >= share * level]["epoch"].min()
            rows.append(
                {
                    "seed": seed,
                    "dataset": dataset,
                    "set": part,
                    by: value,
                    "epochs": reached,
                    "level": level,
                }
            )
    return pd.DataFrame(rows)


ENTROPY_FLOOR = 0.01
"""Smallest noise band of a curve of spatial entropy; no unit."""

LEVEL_SHARE = 0.25
"""Share of the epochs that a level has to last, and of the rise by which it may still move."""


def _rise_and_level(epochs: np.ndarray, values: np.ndarray) -> tuple[float, np.ndarray]:
    """Least-squares fit of a line up to a recorded epoch and a constant after it.

    Returns the epoch where the line ends and the fitted values.
    """
    best = None
    for bend in epochs[1:]:
        design = np.stack([np.ones(len(epochs)), np.minimum(epochs, bend)], axis=1)
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        error = np.square(values - fitted).sum()
        if best is None or error < best[0] - 1e-12:
            best = error, bend, fitted
    return best[1], best[2]


def _two_phases(curve: pd.DataFrame, value: str) -> pd.Series:
    curve = curve.sort_values("epoch")
    epochs, values = curve["epoch"].to_numpy(float), curve[value].to_numpy(float)
    bend, fitted = _rise_and_level(epochs, values)
    start, level = fitted[0], fitted[-1]
    rise = level - start
    band = max(ENTROPY_FLOOR, 3 * 1.4826 * np.median(np.abs(values - fitted)))
    last, after = epochs[-1], epochs >= bend
    drift = np.polyfit(epochs[after], values[after], 1)[0] * (last - bend) if bend < last else 0.0
    lasting = last - bend >= LEVEL_SHARE * (last - epochs[0])
    reached = epochs[values >= start + 0.9 * rise]
    return pd.Series(
        {
            "start": start,
            "bend": bend,
            "level": level,
            "rise": rise,
            "drift": drift,
            "band": band,
            "rises": rise > band,
            "climbs": rise > band and not lasting,
            "follows": rise > band and lasting and abs(drift) <= max(band, LEVEL_SHARE * rise),
            "epochs_to_level": (reached.min() if len(reached) else last) - epochs[0],
        }
    )


def two_phases(curves: pd.DataFrame, value: str) -> pd.DataFrame:
    """Fit of a rise and a level to every curve.

    A straight line that becomes constant at one of the recorded epochs is fitted by least squares.
    A curve *rises* when the line climbs by more than the noise band (three robust standard
    deviations of the residuals, at least ``ENTROPY_FLOOR``). It still *climbs* when it rises and no
    level lasts for ``LEVEL_SHARE`` of the epochs: the training was too short to tell. It *follows*
    the two phases when it rises, the level lasts, and a straight line through the level moves by
    no more than the noise band or ``LEVEL_SHARE`` of the rise.

    Parameters
    ----------
    curves : DataFrame
        ``run, seed, epoch, layer, layer_index`` and the column ``value``; rows without a value are
        left out, and so are curves with fewer than five values.
    value : str

    Returns
    -------
    DataFrame
        One row per curve: ``start, bend, level, rise, drift, band, rises, climbs, follows``
        and ``epochs_to_level``, the number of epochs from the first one until the curve itself
        comes to 90% of the way from ``start`` to ``level`` (until the last one if it never does).

    Raises
    ------
    ValueError
        If no curve is left.
    """
    keys = ["run", "seed", "layer_index", "layer"]
    known = long_enough(curves[curves[value].notna()], keys)
    if known.empty:
        raise ValueError(f"no curve of {value} has five epochs with values")
    fits = known.groupby(keys, sort=False)[["epoch", value]].apply(_two_phases, value)
    return fits.astype(dict.fromkeys(("rises", "climbs", "follows"), bool)).reset_index()
