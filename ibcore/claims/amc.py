"""Claims MT-6 to MT-8: AMC rewarded for low spatial entropy (Muşat thesis, section 3.1)."""

import json
import math

import pandas as pd

from ibcore import results
from ibcore.claims.intervals import INCONCLUSIVE, above, all_of, below, interval
from ibcore.claims.verdict import Verdict

AS_WELL = 1.0
"""Percentage points of accuracy that may be missing where one method does as well as another."""

EQUAL_COST = 0.1
"""Share of the cost by which two networks may differ and count as equally large."""

ACCURACY, LOW, HIGH = "accuracy", "entropy minimisation", "entropy maximisation"
FULL = "full network"


def accuracy_difference(networks: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Fine-tuned test accuracy of one method minus another, in percentage points, per seed.

    ``networks`` holds one network at one share of the multiply-accumulates (columns ``seed``,
    ``method``, ``test_accuracy``). Raises ValueError for a method that it lacks or names twice.
    """
    known = networks["method"].unique()
    for method in (one, other):
        if method not in known:
            raise ValueError(f"no method {method!r}; methods: {', '.join(known)}")
    if networks.duplicated(["seed", "method"]).any():
        raise ValueError("the table has several networks or shares; choose one")
    values = networks.set_index(["seed", "method"])["test_accuracy"].unstack()
    return 100 * (values[one] - values[other])


def _models(networks: pd.DataFrame) -> str:
    """What stands in the place of the documents' networks."""
    return ", ".join(networks["model"].unique())


def mt_6(networks: pd.DataFrame) -> Verdict:
    """The entropy reward at most ``AS_WELL`` below the accuracy reward; tables as above."""
    gap = accuracy_difference(networks, LOW, ACCURACY)
    text = (
        f"{_models(networks)}: {LOW} minus {ACCURACY} {interval(gap)} percentage points (as well: "
        f"no more than {AS_WELL:g} below)"
    )
    return Verdict("MT-6", above(gap, -AS_WELL), text, len(gap))


def mt_7(networks: pd.DataFrame) -> Verdict:
    """Far lower accuracy when entropy is maximised than when it is minimised; tables as above.

    Far lower: by more than ``AS_WELL``. Inconclusive where the two networks differ in cost by more
    than ``EQUAL_COST`` of the larger one, on average over seeds.
    """
    gap = accuracy_difference(networks, HIGH, LOW)
    cost = 100 * networks.groupby("method")["macs_kept"].mean()
    pair = cost[[HIGH, LOW]]
    equal = pair.min() >= (1 - EQUAL_COST) * pair.max()
    text = (
        f"{_models(networks)}: {HIGH} minus {LOW} {interval(gap)} percentage points (far lower: "
        f"more than {AS_WELL:g} below), with {cost[HIGH]:.1f}% and {cost[LOW]:.1f}% of the "
        f"multiply-accumulates{'' if equal else ', which is not equal'}"
    )
    verdict = below(gap, -AS_WELL) if equal else INCONCLUSIVE
    return Verdict("MT-7", verdict, text, len(gap))


def mt_8(networks: pd.DataFrame) -> Verdict:
    """The rule of MT-6 for other networks, and a loss only for ResNet50 at 20%.

    ``networks`` holds several networks and shares (columns ``network``, ``share``). Without the
    one that is to lose the claim is inconclusive unless another contradicts it.
    """
    parts, texts, seen = [], [], False
    for (network, share), part in networks.groupby(["network", "share"], sort=False):
        gap = accuracy_difference(part, LOW, ACCURACY)
        loses = (network, round(share, 3)) == ("ResNet50", 0.2)
        seen |= loses
        parts.append(below(gap) if loses else above(gap, -AS_WELL))
        expected = "a loss" if loses else f"no more than {AS_WELL:g} below"
        name = f"{network} ({_models(part)})"
        texts.append(f"{name} at {share:.0%}: {interval(gap)} (expected: {expected})")
    if not seen:
        parts.append(INCONCLUSIVE)
        texts.append("ResNet50 at 20% (expected: a loss) was not run")
    text = f"{LOW} minus {ACCURACY}, percentage points: " + "; ".join(texts)
    return Verdict("MT-8", all_of(parts), text, networks["seed"].nunique())


def amc_summary(networks: pd.DataFrame) -> pd.DataFrame:
    """What each method makes of each network at each share: means over seeds.

    Columns ``network, share, method, macs_kept, parameters, latency_ms, entropy``, then test
    accuracies in percent: ``pruned`` (before fine-tuning), ``mean`` with ``low`` and ``high`` (95%
    interval over seeds, after), ``seeds``.
    """
    rows = []
    for key, part in networks.groupby(["network", "share", "method"], sort=False):
        means = part[["macs_kept", "parameters", "latency_ms", "entropy"]].mean()
        found = interval(100 * part["test_accuracy"])
        pruned = 100 * part["pruned_accuracy"].mean()
        rows.append((*key, *means, pruned, found.mean, found.low, found.high, found.n))
    names = ["network", "share", "method", "macs_kept", "parameters", "latency_ms", "entropy"]
    return pd.DataFrame(rows, columns=[*names, "pruned", "mean", "low", "high", "seeds"])


def kept_channels(networks: pd.DataFrame) -> pd.DataFrame:
    """Share of channels that the policies leave in each group: one row per network and group.

    Columns ``network, share, method, seed, group`` (its first convolution), ``kept``.
    """
    rows = []
    keys = ["network", "share", "method", "seed"]
    for *key, text in networks[[*keys, "policy"]].itertuples(index=False):
        policy = json.loads(text)
        for group, kept in policy["kept"].items():
            rows.append((*key, group, kept / policy["channels"][group]))
    return pd.DataFrame(rows, columns=[*keys, "group", "kept"])


def amc_controls(networks: pd.DataFrame) -> pd.DataFrame:
    """What a search gains over pruning without one, with 95% intervals over seeds.

    One row per network, share and comparison: ``mean``, ``low``, ``high`` in percentage points of
    fine-tuned test accuracy.
    """
    rows = []
    pairs = [
        *((reward, control) for reward in (ACCURACY, LOW) for control in ("uniform", "random")),
        (ACCURACY, "best random, accuracy"),
        (LOW, "best random, entropy"),
    ]
    pruned = networks[networks["method"] != FULL]
    for (network, share), part in pruned.groupby(["network", "share"], sort=False):
        for one, other in pairs:
            found = interval(accuracy_difference(part, one, other))
            comparison = f"{one} minus {other}"
            rows.append((network, share, comparison, found.mean, found.low, found.high, found.n))
    names = ["network", "share", "comparison", "mean", "low", "high", "seeds"]
    return pd.DataFrame(rows, columns=names)


def amc_beside_published(networks: pd.DataFrame) -> pd.DataFrame:
    """The document's Tables 3.1 to 3.3 beside the means over seeds of what was computed.

    Accuracies and shares in percent. Rows of networks or shares that were not computed are left
    out; ``model`` says what stands in the document's row.
    """
    published = results.read_csv(results.published_folder() / "amc_pruning.csv")
    published = published.replace({"reward": {"none (standard)": FULL}})
    ours = networks.assign(
        flops_kept_percent=(100 * networks["share"]).round().astype(int),
        accuracy=100 * networks["test_accuracy"],
        pruned=100 * networks["pruned_accuracy"],
    ).rename(columns={"method": "reward"})
    keys = ["network", "reward", "flops_kept_percent"]
    columns = ["accuracy", "pruned", "parameters", "macs", "latency_ms"]
    means = ours.groupby([*keys, "model"], sort=False)[columns].mean().reset_index()
    return published.rename(
        columns={"accuracy_percent": "published accuracy", "parameters": "published parameters"}
    ).merge(means, on=keys)


def reward_correlation(episodes: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of accuracy and low entropy over the policies that were visited.

    ``episodes`` as in ``ibcore.experiments.amc``; one row per network, share, search and seed.
    Policies that occur twice count once; where nothing varies the correlation is NaN.
    """
    keys = ["network", "share", "search", "seed"]
    rows = []
    for key, part in episodes.groupby(keys, sort=False):
        part = part.drop_duplicates("counts")
        varies = part[["accuracy", "entropy"]].nunique().min() > 1
        found = part["accuracy"].corr(-part["entropy"], method="spearman") if varies else math.nan
        rows.append((*key, len(part), found))
    return pd.DataFrame(rows, columns=[*keys, "policies", "correlation"])
