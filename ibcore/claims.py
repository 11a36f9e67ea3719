"""From measurements to verdicts: statistics over seeds, with intervals, never from a picture.

Every verdict is one of *supported*, *contradicted*, *inconclusive*, *uninformative (estimator
saturated)* and *not run (why)*. A comparison is decided by a 95% Student interval over seeds: the
whole interval on one side decides, anything else is inconclusive, and so is a single seed. A claim
with several parts is supported if all parts are, contradicted if one part is.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats
from scipy.ndimage import median_filter

from ibcore import results

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
INCONCLUSIVE = "inconclusive"
UNINFORMATIVE = "uninformative (estimator saturated)"

SATURATION = 0.05
"""A layer that stays within this many bits of its ceiling is saturated."""

NOISE_FLOOR = 0.05
"""Smallest noise band of a curve, in bits."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval."""

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n < 2:
            return f"{self.mean:.2f} (one seed)"
        return f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean and Student interval of one value per seed.

    Parameters
    ----------
    values : sequence of float
        One per seed. A single value has an infinite interval.
    level : float
        Coverage.

    Raises
    ------
    ValueError
        For no values, values that are not finite, or a level outside (0, 1).

    Examples
    --------
    >>> print(interval([1.0, 2.0, 3.0]))
    2.00 [-0.48, 4.48]
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"one value per seed is needed, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"values must be finite, got {sample.tolist()}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    mean = float(sample.mean())
    if len(sample) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    margin = stats.t.ppf((1 + level) / 2, len(sample) - 1) * stats.sem(sample)
    return Interval(mean, float(mean - margin), float(mean + margin), len(sample))


def above(values: Sequence[float], threshold: float = 0.0) -> str:
    """Whether the values lie above a threshold: supported, contradicted or inconclusive."""
    found = interval(values)
    if found.low > threshold:
        return SUPPORTED
    return CONTRADICTED if found.high < threshold else INCONCLUSIVE


def below(values: Sequence[float], threshold: float = 0.0) -> str:
    """Whether the values lie below a threshold: supported, contradicted or inconclusive."""
    return above([-value for value in values], -threshold)


def all_of(parts: Iterable[str]) -> str:
    """Verdict of a claim whose parts must all hold."""
    parts = list(parts)
    if not parts:
        raise ValueError("a claim needs at least one part")
    for decisive in (CONTRADICTED, INCONCLUSIVE, UNINFORMATIVE):
        if decisive in parts:
            return decisive
    return SUPPORTED


# ---------------------------------------------------------------- curves


def smooth(series: Sequence[float]) -> np.ndarray:
    """Running median over five snapshots; the ends repeat their last value."""
    return median_filter(np.asarray(series, dtype=float), size=5, mode="nearest")


def noise_band(series: Sequence[float]) -> float:
    """How far a curve strays from its own running median, in its unit.

    Three robust standard deviations (1.4826 times the median absolute residual), and at least
    ``NOISE_FLOOR``.
    """
    series = np.asarray(series, dtype=float)
    residual = np.abs(series - smooth(series))
    return float(max(NOISE_FLOOR, 3 * 1.4826 * np.median(residual)))


def _phases(curve: pd.DataFrame) -> pd.Series:
    curve = curve.sort_values("epoch")
    x, y = smooth(curve["I_XT"]), smooth(curve["I_TY"])
    peak = int(x.argmax())
    return pd.Series(
        {
            "start": x[0],
            "peak": x[peak],
            "peak_epoch": int(curve["epoch"].iloc[peak]),
            "end": x[-1],
            "rise": x[peak] - x[0],
            "drop": x[peak] - x[-1],
            "band": noise_band(curve["I_XT"]),
            "lowest": float(curve["I_XT"].min()),
            "fall_of_I_TY": y.max() - y[-1],
            "band_of_I_TY": noise_band(curve["I_TY"]),
        }
    )


def phases(measurements: pd.DataFrame, bounds: pd.DataFrame | None = None) -> pd.DataFrame:
    """Rise and fall of I(X;T) in every curve.

    The *drop* is the peak of the smoothed curve minus its end; it counts as compression when it
    exceeds the curve's noise band. A peak at the first or the last epoch gives a rise or a drop of
    zero, so a real rise-and-fall has its peak strictly inside the training.

    Parameters
    ----------
    measurements : DataFrame
        ``run, seed, epoch, set, layer, layer_index, estimator, I_XT, I_TY``.
    bounds : DataFrame, optional
        ``run, set, ceiling_X``: adds the column ``saturated``, true where I(X;T) never leaves the
        last ``SATURATION`` bits below the ceiling.

    Returns
    -------
    DataFrame
        One row per run, set, layer, estimator and seed: ``start, peak, peak_epoch, end, rise,
        drop, band`` (bits), ``fall_of_I_TY`` and its band.

    Raises
    ------
    ValueError
        For curves with fewer than five epochs.
    """
    keys = ["run", "set", "estimator", "layer_index", "layer", "seed"]
    counts = measurements.groupby(keys, sort=False)["epoch"].size()
    if len(counts) == 0 or counts.min() < 5:
        raise ValueError("every curve needs at least five recorded epochs")
    grouped = measurements.groupby(keys, sort=False)[["epoch", "I_XT", "I_TY"]]
    table = grouped.apply(_phases).reset_index()
    if bounds is not None:
        table = table.merge(bounds[["run", "set", "ceiling_X"]], on=["run", "set"], how="left")
        table["saturated"] = table["lowest"] > table["ceiling_X"] - SATURATION
    return table


def per_seed(table: pd.DataFrame, column: str) -> np.ndarray:
    """Mean of a column over everything but the seed: one value per seed, in order of seed."""
    return table.groupby("seed")[column].mean().to_numpy()


def compression(table: pd.DataFrame) -> tuple[str, Interval, float]:
    """Whether I(X;T) falls by more than the noise band: verdict, interval of the drop, mean band.

    ``table`` is a selection of ``phases``; its layers are averaged within each seed.
    """
    excess = per_seed(table, "drop") - per_seed(table, "band")
    return above(excess), interval(per_seed(table, "drop")), float(table["band"].mean())


# ---------------------------------------------------------------- verdicts


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one claim in one notebook and profile."""

    claim: str
    verdict: str
    statistic: str
    seeds: int
    data: str = ""
    standin: bool = False

    def row(self) -> dict:
        """As one row of a table; a stand-in says so in the verdict itself."""
        row = dataclasses.asdict(self)
        if row.pop("standin"):
            row["verdict"] = f"{self.verdict} (stand-in data)"
        return row


def verdict_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Verdicts as a table."""
    return pd.DataFrame([verdict.row() for verdict in verdicts])


def _seeds(table: pd.DataFrame) -> int:
    return int(table["seed"].nunique())


def upper_layers(table: pd.DataFrame, count: int = 2) -> pd.DataFrame:
    """The last ``count`` hidden layers of every run (the output layer is not hidden)."""
    last = table.groupby("run")["layer_index"].transform("max")
    return table[(table["layer_index"] < last) & (table["layer_index"] >= last - count)]


def szt_1(table: pd.DataFrame) -> Verdict:
    """Rise, then fall of I(X;T) in the upper hidden layers while I(T;Y) is kept.

    ``table`` holds the ``phases`` of the tanh network trained with mini-batches.
    """
    upper = upper_layers(table)
    fell, drop, band = compression(upper)
    rose = above(per_seed(upper, "rise") - per_seed(upper, "band"))
    kept = below(per_seed(upper, "fall_of_I_TY") - per_seed(upper, "band_of_I_TY"))
    rise, loss = interval(per_seed(upper, "rise")), interval(per_seed(upper, "fall_of_I_TY"))
    text = (
        f"rise {rise} bit ({rose}), then drop {drop} bit ({fell}); noise band {band:.2f} bit; "
        f"I(T;Y) falls by {loss} bit from its peak (kept: {kept})"
    )
    return Verdict("SZT-1", all_of([rose, fell, kept]), text, _seeds(upper))


def szt_2(relu: pd.DataFrame, tanh: pd.DataFrame) -> Verdict:
    """No fall of I(X;T) beyond the noise band with ReLU; the tanh network only for comparison."""
    upper = upper_layers(relu)
    difference = interval(per_seed(upper_layers(tanh), "drop") - per_seed(upper, "drop"))
    excess = per_seed(upper, "drop") - per_seed(upper, "band")
    _, drop, band = compression(upper)
    text = f"drop {drop} bit; noise band {band:.2f} bit; tanh minus ReLU, paired: {difference} bit"
    return Verdict("SZT-2", below(excess), text, _seeds(upper))


def szt_3(stochastic: pd.DataFrame, full_batch: pd.DataFrame) -> Verdict:
    """The same fall of I(X;T) under full-batch training."""
    stochastic, full_batch = upper_layers(stochastic), upper_layers(full_batch)
    fell, drop, band = compression(full_batch)
    difference = interval(per_seed(full_batch, "drop") - per_seed(stochastic, "drop"))
    text = (
        f"drop under full batch {drop} bit, noise band {band:.2f} bit; full batch minus "
        f"mini-batch, paired: {difference} bit"
    )
    return Verdict("SZT-3", fell, text, _seeds(full_batch))


OVERFITTING = 0.02
"""Gap between training and test accuracy that counts as over-fitting."""


def szt_4(table: pd.DataFrame, history: pd.DataFrame) -> Verdict:
    """Compression together with over-fitting, at the smallest training fraction.

    ``table`` and ``history`` hold the run with the least training data only.
    """
    upper = upper_layers(table)
    fell, drop, band = compression(upper)
    last = history[history["epoch"] == history["epoch"].max()].sort_values("seed")
    gap = (last["train_accuracy"] - last["test_accuracy"]).to_numpy()
    text = (
        f"drop {drop} bit ({fell}), noise band {band:.2f} bit; training minus test accuracy "
        f"{interval(gap)} (threshold {OVERFITTING}: {above(gap, OVERFITTING)})"
    )
    return Verdict("SZT-4", all_of([fell, above(gap, OVERFITTING)]), text, _seeds(upper))


def ll_1(measurements: pd.DataFrame, bounds: pd.DataFrame) -> Verdict:
    """Every convolutional layer at both upper bounds, at every recorded epoch."""
    convolutions = measurements[measurements["layer"].str.startswith("conv")]
    table = convolutions.merge(bounds, on=["run", "set"])
    below_x = table["ceiling_X"] - table["I_XT"]
    below_y = table["ceiling_Y"] - table["I_TY"]
    largest = table.assign(distance=np.maximum(below_x, below_y))
    worst = largest.loc[largest["distance"].idxmax()]
    values = largest.groupby("seed")["distance"].max().to_numpy()
    text = (
        f"largest distance to a bound, per seed: {interval(values)} bit (tolerance {SATURATION}); "
        f"the largest is {worst['run']}, {worst['layer']}, epoch {worst['epoch']}"
    )
    return Verdict("LL-1", below(values, SATURATION), text, _seeds(table))


def _rank_correlation(table: pd.DataFrame, column: str, by: str) -> np.ndarray:
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


def ll_2(measurements: pd.DataFrame, bounds: pd.DataFrame) -> Verdict:
    """Wider layers: higher first values of the output layer, fewer epochs to its bound.

    ``measurements`` has the columns ``dataset`` and ``width`` beside the usual ones.
    """
    output = measurements[measurements["layer"] == "output"]
    output = output.merge(bounds[["run", "set", "ceiling_Y"]], on=["run", "set"])
    trained = output[output["epoch"] > 0]
    start = trained[trained["epoch"] == trained["epoch"].min()]
    high_x = _rank_correlation(start, "I_XT", "width")
    high_y = _rank_correlation(start, "I_TY", "width")
    reached = epochs_to_level(output, "I_TY", by="width", bound="ceiling_Y")
    fast = _rank_correlation(reached, "epochs", "width")
    text = (
        f"rank correlation with width over seeds: first I(X;T) {interval(high_x)}, first I(T;Y) "
        f"{interval(high_y)}, epochs to 95% of the level {interval(fast)}"
    )
    return Verdict(
        "LL-2", all_of([above(high_x), above(high_y), below(fast)]), text, _seeds(output)
    )


def softmax_allowance(n_classes: int) -> float:
    """Fall of I(X;T) of a softmax layer that is no compression, in bits.

    With bins wider than 1/2 a softmax output has one symbol per winning class and one for "no
    class above the edge". When the latter dies out I(X;T) may fall by log2((K + 1) / K).

    Examples
    --------
    >>> round(softmax_allowance(10), 4)
    0.1375
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    return math.log2((n_classes + 1) / n_classes)


def ll_6(table: pd.DataFrame, *, n_classes: int) -> Verdict:
    """No fall of I(X;T) in any layer that is not saturated.

    ``table`` holds ``phases`` with bounds. Layers saturated in every seed cannot answer. If no
    hidden layer can, the claim about hidden layers is uninformative even when the output layer
    shows no fall; a fall of any layer contradicts it.
    """
    allowance = np.where(table["layer"] == "output", softmax_allowance(n_classes), 0.0)
    table = table.assign(excess=table["drop"] - table["band"] - allowance)
    parts, fallen, saturated = {}, [], 0
    for (run, part, layer), group in table.groupby(["run", "set", "layer"], sort=False):
        if group["saturated"].all():
            saturated += 1
            continue
        parts[run, part, layer] = below(per_seed(group, "excess"))
        if parts[run, part, layer] == CONTRADICTED:
            fallen.append(f"{run} {layer} ({part})")
    hidden = [key for key in parts if key[2] != "output"]
    verdict = all_of(parts.values()) if parts else UNINFORMATIVE
    if verdict != CONTRADICTED and not hidden:
        verdict = UNINFORMATIVE
    text = f"{saturated} of {saturated + len(parts)} curves are saturated"
    if parts:
        largest = table[~table["saturated"]]["excess"].max()
        text += (
            f"; among the others the largest drop beyond the noise band is {largest:.2f} bit; "
            f"falling: {', '.join(fallen) or 'none'}"
        )
    return Verdict("LL-6", verdict, text, _seeds(table))


def ll_7(history: pd.DataFrame) -> Verdict:
    """Wider networks: higher test accuracy, fewer epochs to a given accuracy.

    ``history`` has the columns ``dataset`` and ``width`` beside the usual ones.
    """
    history = history.assign(set="test")
    last = history[history["epoch"] == history["epoch"].max()]
    better = _rank_correlation(last, "test_accuracy", "width")
    reached = epochs_to_level(history, "test_accuracy", by="width")
    fast = _rank_correlation(reached, "epochs", "width")
    text = (
        f"rank correlation with width over seeds: last test accuracy {interval(better)}, epochs "
        f"to 95% of the accuracy that all reach {interval(fast)}"
    )
    return Verdict("LL-7", all_of([above(better), below(fast)]), text, _seeds(history))


# ---------------------------------------------------------------- all claims of a profile


def published() -> pd.DataFrame:
    """The claims of the documents: claim, source, where, statement, decided_by."""
    return results.read_csv(results.published_folder() / "claims.csv")


def collect(profile: str) -> pd.DataFrame:
    """Every published claim with the verdicts that the notebooks of a profile have written.

    A claim that several notebooks decide has several rows; one that none decides is *not run*.
    """
    rows = []
    folder = results.figures_folder(profile)
    written = [
        results.read_csv(path).assign(notebook=path.parent.name)
        for path in sorted(folder.glob("*/claims.csv"))
    ]
    decided = pd.concat(written, ignore_index=True) if written else pd.DataFrame({"claim": []})
    for claim in published().to_dict("records"):
        found = decided[decided["claim"] == claim["claim"]].to_dict("records")
        missing = {"verdict": "not run (no notebook of this profile has decided it)"}
        for row in found or [missing]:
            rows.append({**claim, "profile": profile, **row})
    columns = [
        "claim",
        "statement",
        "verdict",
        "statistic",
        "seeds",
        "data",
        "notebook",
        "source",
        "where",
        "profile",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)
