"""Claims MA-5 to MA-7: Muşat & Andonie (2022) on freezing layers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ibcore.claims.curves import count_seeds
from ibcore.claims.intervals import INCONCLUSIVE, above, all_of, below, interval
from ibcore.claims.verdict import Verdict

TOLERANCE = 1.0
"""Loss of accuracy, in percentage points, that counts as none."""

EARLY = 0.25
"""Share of the layers that count as the first ones to freeze."""

_NOTHING = "not run (no layer froze)"


def best_accuracy(history: pd.DataFrame, checks: Sequence[int]) -> pd.DataFrame:
    """Best test accuracy up to each check, in percent: ``method, seed, until, best``."""
    parts = [
        history[history["epoch"] <= check]
        .groupby(["method", "seed"], sort=False)["test_accuracy"]
        .max()
        .mul(100)
        .rename("best")
        .reset_index()
        .assign(until=check)
        for check in checks
    ]
    return pd.concat(parts, ignore_index=True)[["method", "seed", "until", "best"]]


def gains(best: pd.DataFrame, method: str, other: str) -> pd.DataFrame:
    """Best accuracy of one method minus that of another, paired by seed: one row per check.

    ``best`` as from ``best_accuracy``; the result has ``until, mean, low, high`` (percentage
    points, 95% over seeds).
    """
    rows = []
    for until, part in best.groupby("until"):
        table = part.pivot(index="seed", columns="method", values="best")
        found = interval(table[method] - table[other])
        rows.append((until, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["until", "mean", "low", "high"])


def frozen_sets(frozen: pd.DataFrame, method: str, checks: Sequence[int]) -> pd.DataFrame:
    """The numbers of the layers that a method has frozen up to each check: ``seed, until, layers``.

    The number is that of the module, as in the document: 28 for ``features.28``.
    """
    part = frozen[frozen["method"] == method]
    rows = []
    for seed in sorted(frozen["seed"].unique()):
        for check in checks:
            chosen = part[(part["seed"] == seed) & (part["epoch"] <= check)]
            numbers = chosen.sort_values("layer_index")["layer"].str.rsplit(".").str[-1]
            rows.append((seed, check, " ".join(numbers) or "none"))
    return pd.DataFrame(rows, columns=["seed", "until", "layers"])


def ma_5(
    history: pd.DataFrame, frozen: pd.DataFrame, checks: Sequence[int], *, method: str, normal: str
) -> Verdict:
    """Freezing costs no more than ``TOLERANCE`` of the best test accuracy, at every check.

    Only seeds in which a layer froze before a check take part in it, as before that the networks
    are the same; a check without any is inconclusive.
    """
    seeds = count_seeds(history)
    frozen = frozen[frozen["method"] == method]
    count = len(frozen)
    if count == 0:
        return Verdict("MA-5", _NOTHING, "", seeds)
    best = best_accuracy(history, checks)
    parts, texts = [], []
    for until, part in best.groupby("until"):
        table = part.pivot(index="seed", columns="method", values="best")
        begun = frozen[frozen["epoch"] < until]["seed"].unique()
        difference = (table[method] - table[normal])[table.index.isin(begun)]
        if difference.empty:
            parts.append(INCONCLUSIVE)
            texts.append(f"epoch {until}: nothing frozen yet")
            continue
        parts.append(above(difference, -TOLERANCE))
        some = f" ({len(difference)} of {seeds} seeds)" if len(difference) < seeds else ""
        texts.append(f"epoch {until}: {interval(difference)}{some}")
    text = (
        f"best accuracy frozen minus normal, percentage points (none lost above -{TOLERANCE:g}): "
        f"{'; '.join(texts)}; {count / seeds:.1f} layers frozen per network"
    )
    return Verdict("MA-5", all_of(parts), text, seeds)


def ma_6(frozen: pd.DataFrame, layers: Sequence[str], seeds: Sequence[int]) -> Verdict:
    """The first layer is among the first quarter to freeze.

    ``frozen`` holds the method in question only. Layers that froze at the same epoch share the mean
    of their ranks, and so do, after them, those that never froze; the rank is scaled from 0 (first)
    to 1 (last).
    """
    if frozen.empty:
        return Verdict("MA-6", _NOTHING, "", len(seeds))
    ranks, orders = [], []
    for seed in seeds:
        epochs = frozen[frozen["seed"] == seed].set_index("layer")["epoch"]
        order = epochs.reindex(layers).fillna(np.inf).rank()
        ranks.append((order.iloc[0] - 1) / (len(layers) - 1))
        listed = epochs.sort_values(kind="stable")
        names = [f"{layer.rsplit('.')[-1]} ({epoch})" for layer, epoch in listed.items()]
        orders.append(f"seed {seed}: {', '.join(names) or 'none'}")
    text = (
        f"rank of layer 0 among {len(layers)}, from 0 (first) to 1 (last): {interval(ranks)}, "
        f"early below {EARLY}; layers (epochs) frozen: {'; '.join(orders)}"
    )
    return Verdict("MA-6", below(ranks, EARLY), text, len(seeds))


def time_ratios(times: pd.DataFrame, method: str, normal: str) -> pd.Series:
    """Seconds with freezing, measurement included, over seconds of the normal training, per seed.

    Epochs 0 and 1 are left out, which pay for warming up.
    """
    warm = times[times["epoch"] > 1]
    total = warm.groupby(["method", "seed"])[["training", "measuring"]].sum()
    return total.loc[method].sum(axis=1) / total.loc[normal, "training"]


def ma_7(times: pd.DataFrame, frozen: pd.DataFrame, *, method: str, normal: str) -> Verdict:
    """Training with freezing takes longer than training without."""
    ratios = time_ratios(times, method, normal)
    if not (frozen["method"] == method).any():
        return Verdict("MA-7", _NOTHING, "", len(ratios))
    last = times[times["epoch"] == times["epoch"].max()]
    at_the_end = time_ratios(last, method, normal)
    text = (
        f"time with freezing over time without: {interval(ratios)}, in the last epoch "
        f"{interval(at_the_end)} (document: 1.83 to 1.85)"
    )
    return Verdict("MA-7", above(ratios, 1), text, len(ratios))
