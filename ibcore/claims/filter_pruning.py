"""Claims MT-9 and MT-10 of the Muşat thesis: spatial entropy beside HRel for pruning filters."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from ibcore import results
from ibcore.claims.intervals import above, all_of, interval
from ibcore.claims.verdict import Verdict

MARGIN = 0.01
"""Loss of accuracy up to which one method counts as no less accurate than another."""
WEEK_AGAINST_DAY = 7
"""How many times faster the document says that it is."""


def last_round(networks: pd.DataFrame) -> pd.DataFrame:
    """The networks at the end of pruning: the last round of every run and configuration."""
    last = networks.groupby(["run", "configuration", "score"])["round"].transform("max")
    return networks[networks["round"] == last]


def paired_accuracy(networks: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Difference of the final accuracies of two scores, first minus second, paired by seed.

    Parameters
    ----------
    networks : DataFrame
        ``run, configuration, score, round, seed, filters, accuracy``.
    first, second : str
        Names of scores.

    Returns
    -------
    DataFrame
        ``run, configuration, seed, difference``.

    Raises
    ------
    ValueError
        If a score was not used for pruning, or not with the same filter counts and seeds.
    """
    last = last_round(networks)
    known = sorted(last["score"].unique())
    for score in (first, second):
        if score not in known:
            raise ValueError(f"no network is pruned by {score!r}; scores: {', '.join(known)}")
    keys = ["run", "configuration", "filters", "seed"]
    one, other = (
        last[last["score"] == score].set_index(keys)["accuracy"] for score in (first, second)
    )
    if set(one.index) != set(other.index):
        raise ValueError(f"{first!r} and {second!r} differ in filter counts or seeds")
    table = (one - other.reindex(one.index)).rename("difference").reset_index()
    return table.drop(columns="filters")


def mt_9(networks: pd.DataFrame) -> Verdict:
    """Pruning by spatial entropy loses at most ``MARGIN`` of accuracy against HRel.

    ``networks`` as for ``paired_accuracy``; the accuracy is that of the last epoch. Every network
    and configuration has to hold.
    """
    differences = paired_accuracy(networks, "spatial entropy", "HRel")
    parts, words = [], []
    for (run, configuration), part in differences.groupby(["run", "configuration"], sort=False):
        found = 100 * part["difference"].to_numpy()
        parts.append(above(found, -100 * MARGIN))
        words.append(f"{run}, {configuration}: {interval(found)} ({parts[-1]})")
    text = (
        "accuracy by spatial entropy minus by HRel, paired, in percentage points "
        f"(margin -{100 * MARGIN:g}): {'; '.join(words)}"
    )
    return Verdict("MT-9", all_of(parts), text, differences["seed"].nunique())


def mt_10(timings: pd.DataFrame) -> Verdict:
    """Scoring by spatial entropy takes less time than by HRel on the same images.

    ``timings`` has ``run, seed, score, images, seconds`` of the trained networks. The ratio is
    taken per image, so that it does not depend on how many images each score looks at; the ratio
    for the images that each one took is given beside it.
    """
    parts, words = [], []
    for run, part in timings.groupby("run", sort=False):
        by_seed = part.pivot(index="seed", columns="score", values=["seconds", "images"])
        total = by_seed["seconds"]["HRel"] / by_seed["seconds"]["spatial entropy"]
        images = by_seed["images"]["HRel"] / by_seed["images"]["spatial entropy"]
        per_image = (total / images).to_numpy()
        parts.append(above(per_image, 1))
        words.append(
            f"{run}: {interval(per_image)} ({parts[-1]}), {interval(total.to_numpy())} with "
            f"{images.iloc[0]:.3g} times as many images for HRel"
        )
    text = (
        "HRel's time over that of spatial entropy, per image: "
        f"{'; '.join(words)}; the document says about {WEEK_AGAINST_DAY}"
    )
    return Verdict("MT-10", all_of(parts), text, timings["seed"].nunique())


def score_agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of every two scores over the filters of a layer.

    Parameters
    ----------
    scores : DataFrame
        ``run, seed, layer, layer_index, filter, score, value``.

    Returns
    -------
    DataFrame
        ``run, seed, layer, layer_index, first, second, correlation``; a score that is the same for
        all filters of a layer agrees with none (0).
    """
    names = list(dict.fromkeys(scores["score"]))
    rows = []
    keys = ["run", "seed", "layer", "layer_index"]
    for values, part in scores.groupby(keys, sort=False):
        table = part.pivot(index="filter", columns="score", values="value")
        for first, second in combinations(names, 2):
            pair = table[[first, second]]
            varied = (pair.nunique() > 1).all()
            found = stats.spearmanr(pair[first], pair[second]).statistic if varied else 0.0
            pair_row = {"first": first, "second": second, "correlation": float(found)}
            rows.append({**dict(zip(keys, values, strict=True)), **pair_row})
    return pd.DataFrame(rows)


def pruning_beside_published(networks: pd.DataFrame) -> pd.DataFrame:
    """The published accuracies beside ours, in per cent.

    Parameters
    ----------
    networks : DataFrame
        As for ``paired_accuracy``, with ``best_test_epoch``; a run is matched by its name, its
        configurations and scores by theirs.

    Returns
    -------
    DataFrame
        Rows ``network, configuration, method`` of the published tables and of ours, with
        ``published`` and its ``filters_kept``, ``ours``, its ``spread`` (standard deviation over
        seeds), ``best test epoch (optimistic)``; missing where one side has no such row.
    """
    published = results.read_csv(results.published_folder() / "filter_pruning.csv")
    published["configuration"] = published["configuration"].replace("original", "unpruned")
    published = published.rename(columns={"accuracy_percent": "published"})
    keys = ["network", "configuration", "method"]
    ours = last_round(networks).rename(columns={"run": "network", "score": "method"})
    grouped = ours.groupby(keys, sort=False)
    ours = pd.DataFrame(
        {
            "ours": 100 * grouped["accuracy"].mean(),
            "spread": 100 * grouped["accuracy"].std().fillna(0.0),
            "best test epoch (optimistic)": 100 * grouped["best_test_epoch"].mean(),
        }
    ).reset_index()
    both = published[[*keys, "filters_kept", "published"]].merge(ours, on=keys, how="outer")
    both["filters_kept"] = both["filters_kept"].fillna("")
    order = {name: i for i, name in enumerate(dict.fromkeys(published["network"]))}
    place = both["network"].map(order).fillna(len(order))
    first = np.where(both["configuration"] == "unpruned", 0, 1)
    both = both.assign(place=place, first=first)
    both = both.sort_values(["place", "network", "first", "configuration"], kind="stable")
    return both.drop(columns=["place", "first"]).reset_index(drop=True)
