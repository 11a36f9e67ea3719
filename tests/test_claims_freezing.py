"""Claims MA-5 to MA-7: by hand, both ways, and when nothing froze."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED

SEEDS = (0, 1, 2, 3)
CHECKS = (2, 4)
NOISE = dict(zip(SEEDS, (0.0, 0.001, -0.001, 0.0005), strict=True))
LAYERS = ["features.0", "features.3", "features.5", "features.8", "features.10"]


def history(gain):
    """Accuracy rises to a peak at epoch 3 and falls; freezing adds ``gain``."""
    curve = [0.1, 0.5, 0.55, 0.7, 0.6]
    rows = [
        (seed, method, epoch, value + (gain + NOISE[seed] if method == "entropy" else 0))
        for seed in SEEDS
        for method in ("normal", "entropy")
        for epoch, value in enumerate(curve)
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "epoch", "test_accuracy"])


def frozen(epochs, method="entropy"):
    """``epochs`` maps numbers of layers to when they froze, in every seed."""
    rows = [
        (seed, method, epoch, LAYERS[number], number)
        for seed in SEEDS
        for number, epoch in sorted(epochs.items(), key=lambda item: item[1])
    ]
    return pd.DataFrame(rows, columns=["seed", "method", "epoch", "layer", "layer_index"])


def test_best_accuracy_is_the_largest_until_then():
    best = claims.best_accuracy(history(0.0), CHECKS)
    normal = best[(best["method"] == "normal") & (best["seed"] == 1)]
    assert dict(zip(normal["until"], normal["best"], strict=True)) == pytest.approx(
        {2: 55.0, 4: 70.0}
    )


def test_gains_are_paired():
    found = claims.gains(claims.best_accuracy(history(0.02), CHECKS), "entropy", "normal")
    expected = claims.interval([2 + 100 * NOISE[seed] for seed in SEEDS])
    assert found["until"].tolist() == [2, 4]
    for row in found.itertuples():
        assert (row.mean, row.low, row.high) == pytest.approx(
            (expected.mean, expected.low, expected.high)
        )


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(0.03, SUPPORTED), (0.0, SUPPORTED), (-0.05, CONTRADICTED), (-0.01, INCONCLUSIVE)],
)
def test_ma_5(gain, verdict):
    found = claims.ma_5(history(gain), frozen({1: 1}), CHECKS, method="entropy", normal="normal")
    assert (found.claim, found.verdict, found.seeds) == ("MA-5", verdict, 4)
    assert "1.0 layers frozen per network" in found.statistic


@pytest.mark.parametrize("epoch", [2, 3])
def test_ma_5_is_not_supported_by_checks_before_the_first_freezing(epoch):
    """What froze at the end of epoch 2 changes nothing until then."""
    found = claims.ma_5(history(0.0), frozen({1: epoch}), CHECKS, method="entropy", normal="normal")
    assert found.verdict == INCONCLUSIVE
    assert "epoch 2: nothing frozen yet; epoch 4: 0.01 [" in found.statistic


def test_ma_5_compares_the_seeds_in_which_a_layer_froze():
    some = frozen({1: 1})
    some = some[some["seed"].isin([0, 1, 2])]
    found = claims.ma_5(history(-0.05), some, CHECKS, method="entropy", normal="normal")
    expected = claims.interval([-5 + 100 * NOISE[seed] for seed in (0, 1, 2)])
    assert found.verdict == CONTRADICTED
    assert f"epoch 2: {expected} (3 of 4 seeds)" in found.statistic


def test_where_nothing_froze_nothing_is_decided():
    nothing = frozen({})
    others = frozen({0: 2}, method="front")
    found = [
        claims.ma_5(history(0.0), others, CHECKS, method="entropy", normal="normal"),
        claims.ma_6(nothing, LAYERS, SEEDS),
        claims.ma_7(times(1.0, 0.1), others, method="entropy", normal="normal"),
    ]
    assert [verdict.verdict for verdict in found] == ["not run (no layer froze)"] * 3
    assert [verdict.seeds for verdict in found] == [4] * 3


@pytest.mark.parametrize(
    ("epochs", "rank", "verdict"),
    [
        ({0: 5, 2: 6}, "0.00", SUPPORTED),
        ({0: 5, 2: 5}, "0.12", SUPPORTED),
        ({0: 7, 1: 5, 2: 6}, "0.50", CONTRADICTED),
        ({4: 5}, "0.62", CONTRADICTED),
    ],
)
def test_ma_6_ranks_by_hand(epochs, rank, verdict):
    found = claims.ma_6(frozen(epochs), LAYERS, SEEDS)
    assert found.verdict == verdict
    assert f"0 (first) to 1 (last): {rank} [" in found.statistic


def test_ma_6_lists_the_order_of_every_seed():
    table = frozen({2: 5, 0: 7})
    found = claims.ma_6(table[table["seed"] != 2], LAYERS, SEEDS)
    assert "seed 1: 5 (5), 0 (7); seed 2: none; seed 3" in found.statistic


def test_frozen_sets_grow():
    found = claims.frozen_sets(frozen({2: 2, 0: 3}), "entropy", (1, 2, 4))
    assert found[found["seed"] == 1]["layers"].tolist() == ["none", "5", "0 5"]
    assert len(found) == 12


def times(share, measuring):
    """Epochs 2 to 4 take 2 s without and ``2 share`` with freezing; epoch 1 is slow."""
    rows = []
    for seed in SEEDS:
        for epoch in range(5):
            seconds = (0.0, 50.0, 2.0, 2.0, 2.0)[epoch] * (1 + NOISE[seed])
            rows.append((seed, "normal", epoch, seconds, 9.0))
            rows.append((seed, "entropy", epoch, share * seconds, measuring * (1 + NOISE[seed])))
    return pd.DataFrame(rows, columns=["seed", "method", "epoch", "training", "measuring"])


@pytest.mark.parametrize(
    ("share", "measuring", "ratio", "verdict"),
    [(0.8, 0.1, 0.85, CONTRADICTED), (0.8, 1.0, 1.3, SUPPORTED), (0.5, 0.0, 0.5, CONTRADICTED)],
)
def test_ma_7(share, measuring, ratio, verdict):
    table = times(share, measuring)
    ratios = claims.time_ratios(table, "entropy", "normal")
    np.testing.assert_allclose(ratios, ratio)
    found = claims.ma_7(table, frozen({0: 2}), method="entropy", normal="normal")
    assert found.verdict == verdict
