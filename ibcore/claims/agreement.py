"""How far estimators agree on the same trainings."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ibcore.claims.intervals import interval


def agreement(falls: pd.DataFrame, where: Sequence[str]) -> pd.DataFrame:
    """Counts of agreeing and contradicting answers for every pair of estimators.

    Parameters
    ----------
    falls : DataFrame
        ``falls`` of ``ibcore.claims.falls`` with a column ``estimator``.
    where : sequence of str
        Columns that name a layer; both estimators must have answered there.

    Returns
    -------
    DataFrame
        ``first, second, layers`` (seen by both), ``both decide`` (yes or no), ``agree``.
    """
    answers = falls.pivot(index=list(where), columns="estimator", values="falls")
    answers = answers[list(dict.fromkeys(falls["estimator"]))]
    rows = []
    for first, second in combinations(answers, 2):
        both = answers[[first, second]].dropna()
        decided = both[both.isin(["yes", "no"]).all(axis=1)]
        agree = int((decided[first] == decided[second]).sum())
        rows.append((first, second, len(both), len(decided), agree))
    return pd.DataFrame(rows, columns=["first", "second", "layers", "both decide", "agree"])


def curve_correlations(
    measurements: pd.DataFrame, network: str, where: Sequence[str], column: str = "I_XT"
) -> pd.DataFrame:
    """Spearman correlation over epochs between the curves of every pair of estimators.

    One correlation per layer (columns ``where``) and seed; the layers of a network (column
    ``network``) are averaged within each seed. A constant curve has none and is left out.

    Returns
    -------
    DataFrame
        Column ``network``, ``first, second, correlation, low, high`` (95% over seeds), ``layers``
        (on average).
    """
    names = list(dict.fromkeys(measurements["estimator"]))
    rows = []
    for name, part in measurements.groupby(network, sort=False):
        table = part.pivot_table(
            index=[*where, "seed", "epoch"], columns="estimator", values=column
        )
        for first, second in combinations([one for one in names if one in table], 2):
            values: dict[int, list[float]] = {}
            for key, curve in table[[first, second]].dropna().groupby([*where, "seed"]):
                if curve.nunique().min() > 1:
                    found = stats.spearmanr(curve[first], curve[second]).statistic
                    values.setdefault(key[-1], []).append(found)
            if values:
                found = interval([np.mean(seed) for seed in values.values()])
                layers = np.mean([len(seed) for seed in values.values()])
                rows.append((name, first, second, found.mean, found.low, found.high, layers))
    columns = [network, "first", "second", "correlation", "low", "high", "layers"]
    return pd.DataFrame(rows, columns=columns)
