"""Claims PD-1 to PD-6: the Padova project on audio networks.

All tables are ``phases`` with bounds unless said otherwise; the layers called ``conv...`` enter.
"""

import pandas as pd

from ibcore.claims.curves import (
    NOISE_FLOOR,
    SATURATION,
    able_to_fall,
    chance_of_a_fall,
    compression,
    count_seeds,
    excess,
    per_seed,
    rank_correlation,
    with_bounds,
)
from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    UNINFORMATIVE,
    above,
    all_of,
    below,
    interval,
    opposite,
)
from ibcore.claims.verdict import Verdict


def judged_layers(table: pd.DataFrame) -> pd.DataFrame:
    """The curves of the convolutions in which a fall could be seen.

    Left out are layers that end at the ceiling in every curve (see ``able_to_fall``) or are silent,
    with no information at any time.
    """
    table = table[table["layer"].str.startswith("conv")]
    mute = table["capped"] | (table["peak"] == 0)
    judged = able_to_fall(table.assign(capped=mute, ends_at_ceiling=table["capped"]))
    return judged.assign(capped=judged["ends_at_ceiling"]).drop(columns="ends_at_ceiling")


def _fall(table: pd.DataFrame) -> tuple[str, str]:
    """Whether the judged layers fall beyond the noise band (see ``compression``), and in words."""
    layers, judged = table[table["layer"].str.startswith("conv")], judged_layers(table)
    count = f"{judged['layer'].nunique()} of {layers['layer'].nunique()} layers can be judged"
    if judged.empty:
        return UNINFORMATIVE, count
    verdict, drop, band = compression(judged)
    return verdict, f"drop {drop} bit, noise band {band:.2f} bit (falls: {verdict}; {count})"


def pd_1(tanh: pd.DataFrame, relu: pd.DataFrame) -> Verdict:
    """I(X;T) falls beyond the noise band with tanh and does not with ReLU."""
    fell, of_tanh = _fall(tanh)
    also_fell, of_relu = _fall(relu)
    text = f"tanh: {of_tanh}; ReLU: {of_relu}"
    return Verdict("PD-1", all_of([fell, opposite(also_fell)]), text, count_seeds(tanh))


def pd_2(stochastic: pd.DataFrame, full_batch: pd.DataFrame) -> Verdict:
    """The fall of I(X;T) under full-batch training; the stochastic run for comparison."""
    fell, of_full_batch = _fall(full_batch)
    _, of_stochastic = _fall(stochastic)
    text = f"full batch: {of_full_batch}; mini-batches: {of_stochastic}"
    return Verdict("PD-2", fell, text, count_seeds(full_batch))


def pd_3(measurements: pd.DataFrame, bounds: pd.DataFrame, *, before: str, after: str) -> Verdict:
    """Both coordinates of the plane are lower after pooling, on average over the recorded epochs.

    ``measurements`` of one run, estimator and view; ``before`` and ``after`` name two layers. A
    difference below ``NOISE_FLOOR`` does not count; it is uninformative if both layers never leave
    the ceiling.
    """
    layers = measurements[measurements["layer"].isin([before, after])]
    lowest = (with_bounds(layers, bounds)["ceiling_X"] - layers["I_XT"].to_numpy()).max()
    parts, words = [], []
    for column, name in (("I_XT", "I(X;T)"), ("I_TY", "I(T;Y)")):
        mean = layers.pivot_table(index="seed", columns="layer", values=column)
        difference = mean[before] - mean[after]
        parts.append(above(difference, NOISE_FLOOR))
        words.append(f"{name} {interval(difference)} bit ({parts[-1]})")
    text = f"{before} minus {after}, mean over epochs, paired: {', '.join(words)}"
    verdict = UNINFORMATIVE if lowest < SATURATION else all_of(parts)
    return Verdict("PD-3", verdict, text, count_seeds(layers))


def pd_4(whole: pd.DataFrame, filters: pd.DataFrame) -> Verdict:
    """Some filters fall beyond their noise band in a layer that does not fall as a whole.

    Layers in question are those whose fall as a whole lies below the noise band (95% interval).
    They support the claim if the share of their filters that fall is larger than that of noise
    (``chance_of_a_fall``). Where such layers exist only at the ceiling, the comparison is
    uninformative.
    """
    filters = filters[filters["layer"].str.startswith("conv")]
    filters = filters.assign(falls=filters["drop"] > filters["band"])
    chance = chance_of_a_fall(int(filters["epochs"].min()))
    shares = filters.groupby(["layer", "seed"])["falls"].mean().reset_index()
    words = []
    for layer, part in shares.groupby("layer", sort=False):
        drop = interval(per_seed(whole[whole["layer"] == layer], "drop"))
        words.append(f"{layer} {interval(part['falls'])} (whole layer: drop {drop} bit)")
    judged = judged_layers(whole)
    still = [
        layer for layer, part in judged.groupby("layer") if compression(part)[0] == CONTRADICTED
    ]
    if judged.empty:
        verdict = UNINFORMATIVE
    elif not still:
        verdict = INCONCLUSIVE
    else:
        verdict = above(per_seed(shares[shares["layer"].isin(still)], "falls"), chance)
    text = (
        f"share of falling filters: {'; '.join(words)} (noise alone: {chance:.2f}); layers that "
        f"can be judged and do not fall as a whole: {', '.join(still) or 'none'}"
    )
    return Verdict("PD-4", verdict, text, count_seeds(filters))


def pd_5(tanh: pd.DataFrame, relu: pd.DataFrame) -> Verdict:
    """PD-1 by the upper and by the lower KDE bound."""
    parts, words = [], []
    for estimator in sorted(tanh["estimator"].unique(), reverse=True):
        found = pd_1(*(table[table["estimator"] == estimator] for table in (tanh, relu)))
        parts.append(found.verdict)
        words.append(f"{estimator}: {found.statistic}")
    return Verdict("PD-5", all_of(parts), "; ".join(words), count_seeds(tanh))


def pd_6(entropies: pd.DataFrame, tanh: pd.DataFrame, relu: pd.DataFrame) -> Verdict:
    """H(T) of the layers is ordered by dimension; one by one it falls with tanh, not with ReLU.

    Parameters
    ----------
    entropies : DataFrame
        ``run, seed, layer_index, dimension, I_XT`` at the last epoch; of every run the order has
        to follow the dimension, so that a run whose dimension falls with depth tells the two apart.
    tanh, relu : DataFrame
        ``phases`` of the nearest-neighbour estimate, with one curve per layer.
    """
    parts, words = [], []
    for run, part in entropies.assign(dataset="", set="").groupby("run", sort=False):
        order = rank_correlation(part, "I_XT", "dimension")
        depth = rank_correlation(part, "I_XT", "layer_index")
        parts.append(above(order))
        words.append(f"{run}: {interval(order)} (with depth: {interval(depth)})")
    networks = {"tanh": tanh, "ReLU": relu}
    for name, decide in (("tanh", above), ("ReLU", below)):
        found = {
            layer.split(".")[0]: interval(excess(part))
            for layer, part in networks[name].groupby("layer", sort=False)
        }
        parts.append(decide(excess(networks[name])))
        listed = ", ".join(f"{layer} {value}" for layer, value in found.items())
        words.append(f"{name}, drop minus noise band: {listed} bit ({parts[-1]})")
    text = f"rank correlation of H(T) with the dimension: {'; '.join(words)}"
    return Verdict("PD-6", all_of(parts), text, count_seeds(tanh))
