"""Claims MT-1 and MT-2: spatial entropy of saliency maps through depth (Muşat's thesis, 2.1.4)."""

import numpy as np
import pandas as pd
from scipy import stats

from ibcore import results
from ibcore.claims.curves import count_seeds
from ibcore.claims.intervals import all_of, below, interval
from ibcore.claims.verdict import Verdict

_VGG16 = {
    "conv1": 0,
    "conv3": 5,
    "conv5": 10,
    "conv10": 17,
    "conv12": 21,
    "conv13": 24,
    "conv14": 28,
    "maxpool5": 30,
}
_ALEXNET = "conv1 relu1 maxpool1 conv2 relu2 maxpool2 conv3 relu3 conv4 relu4 conv5 relu5 maxpool3"
PUBLISHED_LAYERS = {
    "AlexNet": {name: f"features.{i}" for i, name in enumerate(_ALEXNET.split())},
    "VGG16": {name: f"features.{i}" for name, i in _VGG16.items()},
    "ResNet50": {
        "conv1": "conv1",
        "block1": "layer1.2",
        "block2": "layer2.3",
        "block3": "layer3.5",
        "block4": "layer4.2",
    },
}
"""Layers of the thesis and their names in torchvision. Those of VGG16 are not told ("conv14" of 13
convolutions): they are matched by the resolution at which their entropy lies."""

SHUFFLED = "pixels shuffled, then resized"
"""The reading that is the baseline."""


def published_entropies() -> pd.DataFrame:
    """Thesis tables 2.1-2.3: network, name, layer (torchvision's), column, published."""
    table = results.read_csv(results.published_folder() / "entropy_by_depth.csv")
    table = table.rename(columns={"layer": "name", "spatial_entropy": "published"})
    layers = [
        PUBLISHED_LAYERS[network][name]
        for network, name in zip(table["network"], table["name"], strict=True)
    ]
    return table.assign(layer=layers)[["network", "name", "layer", "column", "published"]]


def by_unit(entropies: pd.DataFrame) -> pd.DataFrame:
    """Entropy of every layer in every unit, the unit over which intervals are taken.

    A run with several initialisations has one unit per seed (mean over pictures); a single set of
    weights has one unit per picture. Missing entropies (degenerate maps) are left out.

    Parameters
    ----------
    entropies : DataFrame
        ``run, seed, image, layer, layer_index, kind, side, entropy``.

    Returns
    -------
    DataFrame
        ``run, units ("seeds" or "pictures"), unit, layer, layer_index, kind, side, entropy``, in
        network order.
    """
    keys = ["layer_index", "layer", "kind", "side"]
    parts = []
    for run, part in entropies.groupby("run", sort=False):
        unit = "seed" if part["seed"].nunique() > 1 else "image"
        mean = part.groupby([unit, *keys])["entropy"].mean().dropna().reset_index()
        mean = mean.rename(columns={unit: "unit"})
        parts.append(mean.assign(run=run, units="seeds" if unit == "seed" else "pictures"))
    return pd.concat(parts, ignore_index=True)


def entropy_intervals(units: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95% interval of every layer of every run: ``mean, low, high, n``."""
    rows = []
    for key, part in units.groupby(["run", "layer_index", "layer", "kind", "side"], sort=False):
        found = interval(part["entropy"])
        rows.append((*key, part["units"].iloc[0], found.mean, found.low, found.high, found.n))
    names = ["run", "layer_index", "layer", "kind", "side", "units", "mean", "low", "high", "n"]
    return pd.DataFrame(rows, columns=names)


def beside_published(intervals: pd.DataFrame) -> pd.DataFrame:
    """Thesis tables 2.1-2.3 beside the reproduction, one row per layer, two columns per column.

    Parameters
    ----------
    intervals : DataFrame
        ``entropy_intervals`` with the columns ``network`` and ``column`` (of the thesis). A column
        that is not there was not run for want of weights.

    Returns
    -------
    DataFrame
        ``network, name, layer`` and, for every column of the thesis, its number and ours as text.
    """
    found = {
        (row.network, row.layer, row.column): _text(row.mean, row.low, row.high)
        for row in intervals.itertuples()
    }
    rows = {}
    for row in published_entropies().itertuples():
        line = rows.setdefault((row.network, row.name, row.layer), {})
        line[f"{row.column}, thesis"] = row.published
        key = (row.network, row.layer, row.column)
        line[f"{row.column}, here"] = found.get(key, "not run (weights)")
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.rename_axis(["network", "name", "layer"]).reset_index()


def reading_distances(readings: pd.DataFrame, *, column: str = "Random ImageNet") -> pd.DataFrame:
    """Mean absolute distance of each reading to a published column, with intervals over seeds.

    Parameters
    ----------
    readings : DataFrame
        ``network, column, seed, layer, reading, entropy``.
    column : str
        Of the thesis tables; rows of other columns are left out.

    Returns
    -------
    DataFrame
        ``reading``, one column per network, ``all`` (mean over networks), ``low, high``; in order
        of distance.
    """
    known = published_entropies()
    known = known[known["column"] == column]
    merged = readings.merge(known, on=["network", "column", "layer"])
    merged["distance"] = (merged["entropy"] - merged["published"]).abs()
    rows = []
    for reading, part in merged.groupby("reading", sort=False):
        each = part.groupby(["network", "seed"], sort=False)["distance"].mean().unstack(0)
        found = interval(each.mean(axis=1))
        row = {"reading": reading, **each.mean().to_dict(), "all": found.mean}
        rows.append({**row, "low": found.low, "high": found.high})
    return pd.DataFrame(rows).sort_values("all", ignore_index=True)


def relu_effect(readings: pd.DataFrame) -> pd.DataFrame:
    """What Grad-CAM's ReLU does to the entropy of the maps, one row per run.

    Parameters
    ----------
    readings : DataFrame
        ``run, seed, layer, reading, entropy`` with the readings "documents" and "without ReLU".

    Returns
    -------
    DataFrame
        ``run, seeds``, means over layers and seeds ``with`` and ``without``, their ``difference``
        with ``low, high`` (95% over seeds, infinite for one), and the ``largest`` difference of a
        layer (mean over seeds) with its name.
    """
    values = readings.pivot_table(
        index=["run", "seed", "layer"], columns="reading", values="entropy", sort=False
    )
    values = values[["documents", "without ReLU"]].dropna()
    change = values["without ReLU"] - values["documents"]
    rows = []
    for run, part in values.groupby("run", sort=False):
        found = interval(change[run].groupby("seed").mean())
        layers = change[run].groupby("layer", sort=False).mean()
        largest = layers.abs().idxmax()
        means = part["documents"].mean(), part["without ReLU"].mean()
        rows.append(
            (run, found.n, *means, found.mean, found.low, found.high, layers[largest], largest)
        )
    names = ["run", "seeds", "with", "without", "difference", "low", "high", "largest", "layer"]
    return pd.DataFrame(rows, columns=names)


def depth_correlations(units: pd.DataFrame) -> dict[str, np.ndarray]:
    """Run to Spearman's correlation of entropy with depth, one per unit (0 if nothing varies)."""
    found = {}
    for run, part in units.groupby("run", sort=False):
        values = []
        for _, curve in part.groupby("unit"):
            varies = curve["entropy"].nunique() > 1
            pair = curve["layer_index"], curve["entropy"]
            values.append(stats.spearmanr(*pair).statistic if varies else 0.0)
        found[run] = np.array(values)
    return found


def depth_steps(units: pd.DataFrame) -> pd.DataFrame:
    """Mean change of entropy from a layer to the next, by what the next does.

    Returns
    -------
    DataFrame
        ``run, unit`` and a column for each kind (subsampling, convolution, elementwise): the mean
        of H(layer) - H(layer before) over the layers of that kind.
    """
    ordered = units.sort_values(["run", "unit", "layer_index"], kind="stable")
    change = ordered.groupby(["run", "unit"], sort=False)["entropy"].diff()
    mean = ordered.assign(step=change).groupby(["run", "unit", "kind"], sort=False)["step"].mean()
    return mean.unstack().reset_index().rename_axis(columns=None)


def shuffled_baseline(readings: pd.DataFrame) -> pd.DataFrame:
    """Units of the maps whose pixels were shuffled at their own resolution, one per seed.

    What they show is made by the resolution of the layers and by the resizing alone.
    """
    shuffled = readings[readings["reading"] == SHUFFLED].dropna(subset="entropy")
    return shuffled.assign(unit=shuffled["seed"], units="seeds")


def _text(mean: float, low: float, high: float, digits: int = 3) -> str:
    if not np.isfinite(low):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _interval_text(values, digits: int = 3) -> str:
    found = interval(values)
    return _text(found.mean, found.low, found.high, digits)


def _counts(units: pd.DataFrame) -> dict[str, str]:
    """Run to the number and kind of its units, in words."""
    groups = units.groupby("run", sort=False)
    return {run: f"{part['unit'].nunique()} {part['units'].iloc[0]}" for run, part in groups}


def mt_1(units: pd.DataFrame, shuffled: pd.DataFrame) -> Verdict:
    """Rank correlation of entropy with depth below 0 in every run.

    ``units`` as from ``by_unit``, ``shuffled`` as from ``shuffled_baseline``, of the same runs.
    """
    correlations, resolution = depth_correlations(units), depth_correlations(shuffled)
    counts = _counts(units)
    texts = [
        f"{run} {_interval_text(values, 2)} ({counts[run]}; "
        f"pixels shuffled {_interval_text(resolution[run], 2)})"
        for run, values in correlations.items()
    ]
    text = f"rank correlation of entropy with depth: {'; '.join(texts)}"
    verdict = all_of(below(values) for values in correlations.values())
    return Verdict("MT-1", verdict, text, count_seeds(shuffled))


def mt_2(units: pd.DataFrame, shuffled: pd.DataFrame) -> Verdict:
    """Mean step at subsampling layers below 0 and below that at convolutions, in every run.

    ``units`` as from ``by_unit``, ``shuffled`` as from ``shuffled_baseline``, of the same runs.
    """
    texts, parts = [], []
    resolution = dict(list(depth_steps(shuffled).groupby("run")))
    counts = _counts(units)
    for run, part in depth_steps(units).groupby("run", sort=False):
        pooling, convolution = part["subsampling"], part["convolution"]
        parts += [below(pooling), below(pooling - convolution)]
        texts.append(
            f"{run} {_interval_text(pooling)} against {_interval_text(convolution)} "
            f"({counts[run]}; pixels shuffled {_interval_text(resolution[run]['subsampling'])})"
        )
    text = f"mean step at subsampling against that at convolutions: {'; '.join(texts)}"
    return Verdict("MT-2", all_of(parts), text, count_seeds(shuffled))
