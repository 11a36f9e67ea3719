"""Claims MT-6 to MT-8 on accuracies whose verdict is known, controls, and published tables."""

import json

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims.amc import ACCURACY, FULL, HIGH, LOW

METHODS = {
    ACCURACY: 0.90,
    LOW: 0.90,
    HIGH: 0.80,
    "uniform": 0.88,
    "random": 0.85,
    "best random, accuracy": 0.89,
    "best random, entropy": 0.91,
}


def networks(network="VGG16", share=0.1, seeds=4, noise=0.001, **changes):
    """A table of networks; ``changes`` are accuracies by method, spaces as underscores."""
    changed = {method.replace("_", " "): value for method, value in changes.items()}
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        common = {"seed": seed, "network": network, "model": "narrow", "parameters": 10 + seed,
                  "macs": 5, "latency_ms": 2.0, "entropy": 0.5}  # fmt: skip
        for method, value in {FULL: 0.95, **METHODS, **changed}.items():
            found = value + noise * rng.standard_normal()
            own = 1.0 if method == FULL else share
            kept = {"channels": {"a": 4, "b": 10}, "kept": {"a": 1 + seed % 2, "b": 5}}
            rows.append(
                {**common, "share": own, "macs_kept": own - 0.005 * (method == HIGH),
                 "method": method, "test_accuracy": found, "pruned_accuracy": found / 2,
                 "policy": json.dumps(kept)}
            )  # fmt: skip
    return pd.DataFrame(rows)


def pruned(**options):
    table = networks(**options)
    return table[table["method"] != FULL]


@pytest.mark.parametrize(
    ("low", "noise", "verdict"),
    [
        (0.90, 0.001, "supported"),
        (0.895, 0.001, "supported"),
        (0.95, 0.001, "supported"),
        (0.85, 0.001, "contradicted"),
        (0.90, 0.1, "inconclusive"),
    ],
)
def test_mt_6(low, noise, verdict):
    found = claims.mt_6(pruned(entropy_minimisation=low, noise=noise))
    assert (found.claim, found.verdict, found.seeds) == ("MT-6", verdict, 4)
    assert found.statistic.startswith("narrow: entropy minimisation minus accuracy ")


@pytest.mark.parametrize(
    ("high", "verdict"),
    [(0.8, "supported"), (0.95, "contradicted"), (0.895, "contradicted"), (0.89, "inconclusive")],
)
def test_mt_7(high, verdict):
    """Lower is not enough, it has to be lower by more than a point."""
    found = claims.mt_7(pruned(entropy_maximisation=high))
    assert (found.claim, found.verdict, found.seeds) == ("MT-7", verdict, 4)
    assert found.statistic.endswith("with 9.5% and 10.0% of the multiply-accumulates")


@pytest.mark.parametrize("method", [HIGH, LOW])
def test_mt_7_compares_networks_of_equal_cost(method):
    table = pruned()
    table.loc[table["method"] == method, "macs_kept"] *= 0.8
    found = claims.mt_7(table)
    assert found.verdict == "inconclusive"
    assert found.statistic.endswith("multiply-accumulates, which is not equal")


@pytest.mark.parametrize(
    ("at_50", "at_20", "mobile", "verdict"),
    [
        (0.90, 0.80, 0.90, "supported"),
        (0.90, 0.90, 0.90, "inconclusive"),
        (0.90, 0.95, 0.90, "contradicted"),  # ResNet50 at 20% has to lose
        (0.80, 0.80, 0.90, "contradicted"),
        (0.90, 0.80, 0.80, "contradicted"),
    ],
)
def test_mt_8(at_50, at_20, mobile, verdict):
    table = pd.concat(
        [
            pruned(network="ResNet50", share=0.5, entropy_minimisation=at_50),
            pruned(network="ResNet50", share=0.2, entropy_minimisation=at_20),
            pruned(network="MobileNetV2", share=0.2, entropy_minimisation=mobile),
        ]
    )
    found = claims.mt_8(table)
    assert (found.claim, found.verdict, found.seeds) == ("MT-8", verdict, 4)
    assert "ResNet50 (narrow) at 20%" in found.statistic


def test_mt_8_waits_for_the_network_that_is_to_lose():
    others = [
        pruned(network="ResNet50", share=0.5, entropy_minimisation=0.9),
        pruned(network="MobileNetV2", share=0.2, entropy_minimisation=0.9),
    ]
    found = claims.mt_8(pd.concat(others))
    assert found.verdict == "inconclusive"
    assert found.statistic.endswith("; ResNet50 at 20% (expected: a loss) was not run")
    worse = pruned(network="MobileNetV2", share=0.2, entropy_minimisation=0.8)
    assert claims.mt_8(worse).verdict == "contradicted"


def test_one_seed_decides_nothing():
    assert claims.mt_6(pruned(seeds=1)).verdict == "inconclusive"


def test_differences_by_hand():
    table = pruned(noise=0, seeds=2)
    found = claims.accuracy_difference(table, LOW, "uniform")
    assert found.tolist() == pytest.approx([2, 2])
    with pytest.raises(ValueError, match="no method 'best'; methods: accuracy, entropy min"):
        claims.accuracy_difference(table, LOW, "best")
    both = pd.concat([table, pruned(share=0.2, seeds=2)])
    with pytest.raises(ValueError, match="several networks or shares; choose one"):
        claims.accuracy_difference(both, LOW, "uniform")


def test_controls():
    table = pd.concat([networks(noise=0), networks(network="ResNet50", share=0.2, noise=0)])
    found = claims.amc_controls(table).set_index(["network", "comparison"])["mean"]
    assert len(found) == 12
    expected = {
        "accuracy minus uniform": 2,
        "accuracy minus random": 5,
        "entropy minimisation minus uniform": 2,
        "entropy minimisation minus random": 5,
        "accuracy minus best random, accuracy": 1,
        "entropy minimisation minus best random, entropy": -1,
    }
    for network in ("VGG16", "ResNet50"):
        assert found[network].to_dict() == pytest.approx(expected)


def test_summary():
    found = claims.amc_summary(networks()).set_index(["share", "method"])
    row = found.loc[(0.1, LOW)]
    assert (row["parameters"], row["seeds"], row["macs_kept"]) == (11.5, 4, 0.1)
    assert row["low"] < row["mean"] < row["high"]
    assert row["mean"] == pytest.approx(90, abs=0.2)
    assert row["pruned"] == pytest.approx(45, abs=0.2)
    assert (1.0, FULL) in found.index


def test_kept_channels():
    found = claims.kept_channels(pruned(seeds=2))
    first = found[(found["method"] == LOW)].set_index(["seed", "group"])["kept"]
    assert first.to_dict() == {(0, "a"): 0.25, (0, "b"): 0.5, (1, "a"): 0.5, (1, "b"): 0.5}


def test_beside_published():
    table = pd.concat([networks(noise=0), networks(network="ResNet50", share=0.2, noise=0)])
    found = claims.amc_beside_published(table).set_index(
        ["network", "reward", "flops_kept_percent"]
    )
    assert len(found) == 4 + 3
    assert found.loc[("VGG16", LOW, 10), "published accuracy"] == 92.36
    assert found.loc[("VGG16", LOW, 10), "accuracy"] == pytest.approx(90)
    assert found.loc[("VGG16", LOW, 10), "pruned"] == pytest.approx(45)
    assert found.loc[("VGG16", FULL, 100), "published parameters"] == 14_728_266
    assert found.loc[("VGG16", FULL, 100), "parameters"] == 11.5
    assert set(found["model"]) == {"narrow"}


def episodes(accuracies, entropies, counts=None, search="random"):
    return pd.DataFrame(
        {
            "network": "VGG16", "share": 0.1, "search": search, "seed": 0,
            "accuracy": accuracies, "entropy": entropies,
            "counts": counts or [str(i) for i in range(len(accuracies))],
        }
    )  # fmt: skip


def test_correlations_of_the_rewards():
    table = pd.concat(
        [
            episodes([0.1, 0.2, 0.9], [0.5, 0.4, 0.3]),
            episodes([0.1, 0.2, 0.9, 0.1], [0.3, 0.4, 0.5, 0.3], ["a", "b", "c", "a"], ACCURACY),
            episodes([0.1, 0.1, 0.1], [0.3, 0.4, 0.5], search=LOW),
        ]
    )
    found = claims.reward_correlation(table).set_index("search")
    assert found["correlation"].to_dict() == pytest.approx(
        {"random": 1.0, ACCURACY: -1.0, LOW: float("nan")}, nan_ok=True
    )
    assert found["policies"].to_dict() == {"random": 3, ACCURACY: 3, LOW: 3}
