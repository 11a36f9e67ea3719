"""Claims MA-1 to MA-4 and MA-8: Muşat & Andonie (2022) on saliency maps during training."""

import numpy as np
import pandas as pd

from ibcore.claims.curves import (
    ENTROPY_FLOOR,
    NOISE_FLOOR,
    count_seeds,
    excess,
    long_enough,
    per_seed,
    phases,
    rank_correlation,
)
from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    UNINFORMATIVE,
    above,
    all_of,
    below,
    decided,
    exact_share,
    interval,
)
from ibcore.claims.verdict import Verdict

FIRST_EPOCHS = 5
"""Epochs over which an early trend is taken, and at the end a level."""

FEWEST_FOR_SLOPE = 3
"""Values that a layer needs among the first epochs to have an early trend."""

PAIRS = (
    ("features.3", "features.5"),
    ("features.8", "features.10"),
    ("features.15", "features.17"),
    ("features.22", "features.24"),
)
"""Layers of VGG16 before and after a pooling, table 4 of the document."""

EXCEPTION = "features.28"
"""The layer of VGG16 in figure 1 of the document."""

MEETS = 0.25
"""Share of the drop by which two values may differ and count as the same."""


def _early_slopes(information: pd.DataFrame, column: str) -> pd.Series:
    """Slope over the first epochs, mean over layers, one value per seed (bits per epoch)."""
    slopes = information.groupby(["seed", "run", "layer"])[["epoch", column]].apply(
        lambda curve: np.polyfit(curve["epoch"], curve[column], 1)[0]
    )
    return slopes.groupby("seed").mean()


def ma_1(information: pd.DataFrame) -> Verdict:
    """Both coordinates rise over the first epochs, and neither falls afterwards.

    ``information`` has the columns ``run, seed, epoch, layer, layer_index, reading, levels, I_XT,
    I_TY, baseline_XT, baseline_TY``. Where an estimate is not larger than that for shuffled maps,
    it shows the estimator and not the network: the claim is uninformative unless contradicted.
    A layer counts for a seed if at least five epochs have values (maps that are all zero have
    none), and in the early trend if ``FEWEST_FOR_SLOPE`` of the first ones have. Raises ValueError
    if the table mixes readings or numbers of levels.
    """
    readings = information[["reading", "levels"]].drop_duplicates()
    if len(readings) != 1:
        raise ValueError(f"one reading is decided at a time, got {readings.values.tolist()}")
    how = f"{readings['reading'].iloc[0]} reading, {readings['levels'].iloc[0]} levels: "
    known = information.dropna(subset=["I_XT", "I_TY"])
    known = long_enough(known, ["run", "seed", "layer"])
    if known.empty:
        return Verdict("MA-1", INCONCLUSIVE, how + "no layer has maps at five epochs", 0)
    first = np.sort(known["epoch"].unique())[: FIRST_EPOCHS + 1]
    early = known[known["epoch"].isin(first)]
    counts = early.groupby(["run", "seed", "layer"])["epoch"].transform("size")
    early = early[counts >= FEWEST_FOR_SLOPE]
    if early.empty:
        text = f"no layer has maps at {FEWEST_FOR_SLOPE} of the first epochs"
        return Verdict("MA-1", INCONCLUSIVE, how + text, count_seeds(known))
    known = known.assign(set="train", estimator="spatial")
    floor = ENTROPY_FLOOR if readings["reading"].iloc[0] == "literal" else NOISE_FLOOR
    parts, seen, texts = [], [], []
    for column, name in (("I_XT", "I(X;T)"), ("I_TY", "I(T;Y)")):
        baseline = known[column.replace("I_", "baseline_")]
        beyond = per_seed(known.assign(beyond=known[column] - baseline), "beyond")
        seen.append(above(beyond) == SUPPORTED)
        slopes = _early_slopes(early, column)
        curves = phases(known.assign(I_XT=known[column]), floor=floor)
        past_band = excess(curves)
        rises, stays = above(slopes), below(past_band)
        parts += [rises, stays]
        texts.append(
            f"{name}: slope over the first {FIRST_EPOCHS} epochs {interval(slopes):.3f} per epoch "
            f"({rises}), then drop minus noise band {interval(past_band):.3f} (no fall: {stays}), "
            f"beyond shuffled maps {interval(beyond):.3f}"
        )
    verdict = all_of(parts)
    if verdict != CONTRADICTED and not all(seen):
        verdict = UNINFORMATIVE
    return Verdict("MA-1", verdict, how + "; ".join(texts), count_seeds(known))


def ma_2(fits: pd.DataFrame) -> Verdict:
    """A rise and then a level in more than half of the layers of every network.

    ``fits`` as from ``two_phases``. Layers that still climb may level off later: they do not
    support the claim, and they do not contradict it.
    """
    parts, texts = [], []
    for run, group in fits.groupby("run", sort=False):
        shares = {name: per_seed(group, name) for name in ("follows", "climbs")}
        found = above(shares["follows"], 0.5)
        if found != SUPPORTED:
            possible = above(shares["follows"] + shares["climbs"], 0.5)
            found = CONTRADICTED if possible == CONTRADICTED else INCONCLUSIVE
        parts.append(found)
        texts.append(
            f"{run} {interval(shares['follows'])} of the layers, still climbing "
            f"{interval(shares['climbs'])} ({found})"
        )
    text = "rise, then level: " + "; ".join(texts)
    return Verdict("MA-2", all_of(parts), text, count_seeds(fits))


def ma_3(fits: pd.DataFrame) -> Verdict:
    """Deeper layers need more epochs to come to 90% of their level, among those that rise."""
    rising = fits[fits["rises"]]
    counts = rising.groupby("seed")["layer"].nunique().reindex(fits["seed"].unique(), fill_value=0)
    if counts.min() < 3:
        text = f"only {counts.min()} layers rise in one seed: no order to speak of"
        return Verdict("MA-3", INCONCLUSIVE, text, count_seeds(fits))
    table = rising.assign(dataset=rising["run"], set="train")
    correlation = rank_correlation(table, "epochs_to_level", "layer_index")
    text = (
        f"rank correlation of depth with the epochs to 90% of the level {interval(correlation)}, "
        f"{interval(counts):.0f} rising layers"
    )
    return Verdict("MA-3", above(correlation), text, count_seeds(fits))


def exceptions(fits: pd.DataFrame) -> pd.DataFrame:
    """Layers that neither follow the two phases nor still climb: ``run, layer``, share of seeds."""
    odd = ~(fits["follows"] | fits["climbs"])
    shares = odd.groupby([fits["run"], fits["layer"]], sort=False).mean()
    return shares[shares > 0].rename("share of seeds").reset_index()


def ma_4(fits: pd.DataFrame) -> Verdict:
    """Some layers, fewer than half, are exceptions, and layer 28 of VGG16 is one of them.

    The share of seeds in which it is one has an exact interval (``exact_share``). ``fits`` as from
    ``two_phases``, of VGG16 only; see ``exceptions``.
    """
    fits = fits.assign(odd=~(fits["follows"] | fits["climbs"]))
    shares = per_seed(fits, "odd")
    seen = per_seed(fits[fits["layer"] == EXCEPTION], "odd")
    named = exceptions(fits)
    always = ", ".join(named[named["share of seeds"] == 1]["layer"]) or "none"
    few, share = all_of([above(shares), below(shares, 0.5)]), exact_share(seen)
    listed = decided(share, 0.5)
    text = (
        f"exceptions: {interval(shares)} of the layers (some but fewer than half: {few}); "
        f"{EXCEPTION} is one in a share of {share} of the seeds ({listed}); exceptions in every "
        f"seed: {always}"
    )
    return Verdict("MA-4", all_of([few, listed]), text, count_seeds(fits))


def continuation(entropy: pd.DataFrame) -> pd.DataFrame:
    """First values and levels of the layers before and after each pooling.

    Parameters
    ----------
    entropy : DataFrame
        ``seed, epoch, layer, entropy`` of VGG16. A level is the mean of the last five epochs.

    Returns
    -------
    DataFrame
        One row per seed and pair: ``start_before`` (first value of the layer before the pooling),
        ``start_after``, ``level_after``, ``drop`` (``start_before - start_after``),
        ``difference`` (``level_after - start_before``) and ``excess``, the size of the difference
        less ``MEETS`` of the drop.
    """
    values = entropy.pivot(index="epoch", columns=["seed", "layer"], values="entropy").sort_index()
    start, level = values.iloc[0], values.iloc[-FIRST_EPOCHS:].mean()
    rows = []
    for seed in entropy["seed"].unique():
        for before, after in PAIRS:
            drop = start[seed, before] - start[seed, after]
            difference = level[seed, after] - start[seed, before]
            rows.append(
                {
                    "seed": seed,
                    "pair": f"{before} to {after}",
                    "start_before": start[seed, before],
                    "start_after": start[seed, after],
                    "level_after": level[seed, after],
                    "drop": drop,
                    "difference": difference,
                    "excess": abs(difference) - MEETS * drop,
                }
            )
    return pd.DataFrame(rows)


def ma_8(table: pd.DataFrame) -> Verdict:
    """After each pooling the level of the later layer meets the first value of the earlier one.

    ``table`` as from ``continuation``. There must be a drop, and the difference must be smaller
    than ``MEETS`` of it.
    """
    parts, texts = [], []
    for pair, group in table.groupby("pair", sort=False):
        group = group.set_index("seed")
        dropped, meets = above(group["drop"]), below(group["excess"])
        parts += [dropped, meets]
        texts.append(
            f"{pair}: drop {interval(group['drop']):.3f} ({dropped}), level minus first value "
            f"{interval(group['difference']):.3f} (meets: {meets})"
        )
    return Verdict("MA-8", all_of(parts), "; ".join(texts), count_seeds(table))
