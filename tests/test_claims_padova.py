"""Claims PD-1 to PD-6 on curves whose right answer is known."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, UNINFORMATIVE

CEILING = 8.0
EPOCHS = np.arange(21)
RISE = np.minimum(EPOCHS / 5, 1.0)
FALL = np.maximum(EPOCHS - 10, 0) / 10


def curve(top, drop):
    """Rises to ``top`` by epoch 5 and falls by ``drop`` from epoch 10 on."""
    return top * RISE - drop * FALL


def measurements(layers, *, run="tanh", seeds=4, estimator="binning", view="whole", filters=(-1,)):
    """Curves of I(X;T) per layer: name to (top, drop) or a function of seed and filter."""
    rows = []
    for seed in range(seeds):
        for index, (layer, given) in enumerate(layers.items()):
            for number in filters:
                top, drop = given(seed, number) if callable(given) else given
                for epoch, value in zip(EPOCHS, curve(top, drop), strict=True):
                    rows.append(
                        (run, seed, epoch, "train", layer, index, estimator, view, number, value)
                    )
    columns = ["run", "seed", "epoch", "set", "layer", "layer_index", "estimator", "view"]
    table = pd.DataFrame(rows, columns=[*columns, "filter", "I_XT"])
    return table.assign(I_TY=table["I_XT"] / 3, n=256)


BOUNDS = pd.DataFrame(
    [
        {"run": run, "set": "train", "n": 256, "ceiling_X": CEILING, "ceiling_Y": 3.0}
        for run in ("tanh", "ReLU")
    ]
)


def table(layers, **options):
    return claims.phases(measurements(layers, **options), BOUNDS)


FALLING, FLAT, MUTE, SILENT = (6.0, 1.0), (6.0, 0.0), (CEILING, 0.0), (0.0, 0.0)


def some(seed, _):
    """A fall in two of four seeds."""
    return (6.0, 2.0 * (seed < 2))


def mostly_mute(seed, _):
    """At the ceiling in three of four seeds, below it and flat in the other."""
    return MUTE if seed else FLAT


# ---------------------------------------------------------------- which layers count


def test_layers_that_cannot_answer_are_left_out():
    layers = {
        "conv1": MUTE,
        "conv2": SILENT,
        "conv3": FALLING,
        "conv4": (CEILING, 1.0),
        "conv5": lambda seed, _: (CEILING, 1.0 * (seed == 0)),
        "pool": FALLING,
    }
    judged = claims.judged_layers(table(layers))
    assert judged["layer"].unique().tolist() == ["conv3", "conv4", "conv5"]
    assert len(judged) == 3 * 4


def test_views_are_judged_apart():
    both = pd.concat(
        [table({"conv1": MUTE}), table({"conv1": FLAT}, view="filter", filters=range(3))]
    )
    assert claims.judged_layers(both)["view"].unique().tolist() == ["filter"]


# ---------------------------------------------------------------- PD-1, PD-2, PD-5


@pytest.mark.parametrize(
    ("tanh", "relu", "verdict"),
    [
        ({"conv1": FALLING, "conv2": FALLING}, {"conv1": FLAT}, SUPPORTED),
        ({"conv1": MUTE, "conv2": FALLING}, {"conv1": MUTE, "conv2": FLAT}, SUPPORTED),
        ({"conv1": FALLING}, {"conv1": FALLING}, CONTRADICTED),
        ({"conv1": FLAT}, {"conv1": FLAT}, CONTRADICTED),
        ({"conv1": MUTE}, {"conv1": FLAT}, UNINFORMATIVE),
        ({"conv1": FALLING}, {"conv1": SILENT}, UNINFORMATIVE),
        ({"conv1": some}, {"conv1": FLAT}, INCONCLUSIVE),
        ({"conv1": FALLING}, {"conv1": some}, INCONCLUSIVE),
        ({"conv1": FALLING}, {"conv1": mostly_mute}, UNINFORMATIVE),
        ({"conv1": mostly_mute}, {"conv1": FLAT}, UNINFORMATIVE),
        ({"conv1": mostly_mute, "conv2": FLAT}, {"conv1": FLAT}, CONTRADICTED),
        ({"conv1": FALLING, "pool": FLAT}, {"conv1": FLAT, "pool": FALLING}, SUPPORTED),
    ],
)
def test_pd_1(tanh, relu, verdict):
    found = claims.pd_1(table(tanh), table(relu, run="ReLU"))
    assert (found.claim, found.verdict, found.seeds) == ("PD-1", verdict, 4)


def test_the_statistic_of_pd_1():
    found = claims.pd_1(table({"conv1": FALLING, "conv2": MUTE}), table({"conv1": MUTE}))
    assert found.statistic == (
        "tanh: drop 1.00 [1.00, 1.00] bit, noise band 0.05 bit (falls: supported; 1 of 2 layers "
        "can be judged); ReLU: 0 of 1 layers can be judged"
    )


@pytest.mark.parametrize(
    ("full_batch", "verdict"),
    [(FALLING, SUPPORTED), (FLAT, CONTRADICTED), (MUTE, UNINFORMATIVE), (some, INCONCLUSIVE)],
)
def test_pd_2(full_batch, verdict):
    found = claims.pd_2(table({"conv1": MUTE}), table({"conv1": full_batch}))
    assert (found.claim, found.verdict, found.seeds) == ("PD-2", verdict, 4)
    assert found.statistic.endswith("mini-batches: 0 of 1 layers can be judged")


@pytest.mark.parametrize(
    ("upper", "lower", "verdict"),
    [
        (FALLING, FALLING, SUPPORTED),
        (FALLING, FLAT, CONTRADICTED),
        (MUTE, FALLING, UNINFORMATIVE),
        (FALLING, some, INCONCLUSIVE),
    ],
)
def test_pd_5_needs_both_bounds(upper, lower, verdict):
    tanh = pd.concat(
        [
            table({"conv1": upper}, estimator="KDE upper"),
            table({"conv1": lower}, estimator="KDE lower"),
        ]
    )
    relu = pd.concat(
        [table({"conv1": FLAT}, run="ReLU", estimator=f"KDE {b}") for b in ("lower", "upper")]
    )
    found = claims.pd_5(tanh, relu)
    assert (found.claim, found.verdict) == ("PD-5", verdict)
    assert found.statistic.startswith("KDE upper: tanh: ")
    assert "; KDE lower: tanh: " in found.statistic


# ---------------------------------------------------------------- PD-3


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ((6.0, 0.0), (3.0, 0.0), SUPPORTED),
        ((3.0, 0.0), (6.0, 0.0), CONTRADICTED),
        ((6.0, 0.0), (5.95, 0.0), CONTRADICTED),
        ((6.0, 0.0), lambda seed, _: (6.0 - 2 * (seed < 2), 0.0), INCONCLUSIVE),
    ],
)
def test_pd_3(before, after, verdict):
    found = claims.pd_3(
        measurements({"layer2.1": before, "pool": after, "output": SILENT}),
        BOUNDS,
        before="layer2.1",
        after="pool",
    )
    assert (found.claim, found.verdict, found.seeds) == ("PD-3", verdict, 4)


def test_pd_3_cannot_see_behind_the_ceiling():
    both = measurements({"layer2.1": MUTE, "pool": MUTE}).assign(I_XT=CEILING, I_TY=3.0)
    found = claims.pd_3(both, BOUNDS, before="layer2.1", after="pool")
    assert found.verdict == UNINFORMATIVE
    assert "I(X;T) 0.00 [0.00, 0.00] bit" in found.statistic


def test_pd_3_can_see_a_layer_that_leaves_the_ceiling_once():
    both = measurements({"layer2.1": MUTE, "pool": MUTE}).assign(I_XT=CEILING, I_TY=3.0)
    last = (both["layer"] == "pool") & (both["epoch"] == both["epoch"].max())
    both.loc[last, "I_XT"] -= 0.3
    found = claims.pd_3(both, BOUNDS, before="layer2.1", after="pool")
    assert found.verdict != UNINFORMATIVE


def test_pd_3_averages_filters():
    layers = {"layer2.1": lambda _, f: (4.0 + f, 0.0), "pool": lambda _, f: (2.0 + f, 0.0)}
    found = claims.pd_3(
        measurements(layers, view="filter", filters=range(3)),
        BOUNDS,
        before="layer2.1",
        after="pool",
    )
    difference = 2.0 * RISE.mean()
    assert f"I(X;T) {difference:.2f} [{difference:.2f}, {difference:.2f}]" in found.statistic


# ---------------------------------------------------------------- PD-4


def share(falling):
    """That many of ten filters fall."""
    return lambda _, number: (6.0, 1.0 * (number < falling))


def filters(**layers):
    return table(layers, view="filter", filters=range(10))


@pytest.mark.parametrize(
    ("whole", "falling", "verdict"),
    [
        (FLAT, 3, SUPPORTED),
        (FLAT, 2, CONTRADICTED),
        (MUTE, 3, UNINFORMATIVE),
        (FALLING, 3, INCONCLUSIVE),
        (some, 3, INCONCLUSIVE),
    ],
)
def test_pd_4(whole, falling, verdict):
    found = claims.pd_4(table({"conv1": whole}), filters(conv1=share(falling)))
    assert (found.claim, found.verdict, found.seeds) == ("PD-4", verdict, 4)


def test_pd_4_names_the_layers():
    found = claims.pd_4(
        table({"conv1": FLAT, "conv2": FALLING, "pool": FLAT}),
        filters(conv1=share(4), conv2=share(0), pool=share(10)),
    )
    assert found.verdict == SUPPORTED
    chance = claims.chance_of_a_fall(len(EPOCHS))
    assert found.statistic == (
        "share of falling filters: conv1 0.40 [0.40, 0.40] (whole layer: drop 0.00 [0.00, 0.00] "
        "bit); conv2 0.00 [0.00, 0.00] (whole layer: drop 1.00 [1.00, 1.00] bit) (noise alone: "
        f"{chance:.2f}); layers that can be judged and do not fall as a whole: conv1"
    )


def test_noise_alone_does_not_support_pd_4():
    rng = np.random.default_rng(5)
    flat = measurements({"conv1": FLAT, "conv2": FLAT}, view="filter", filters=range(16))
    noisy = claims.phases(flat.assign(I_XT=6 + rng.normal(0, 1, len(flat))), BOUNDS)
    found = claims.pd_4(table({"conv1": FLAT, "conv2": FLAT}), noisy)
    assert (noisy["drop"] > noisy["band"]).mean() > 0.15
    assert found.verdict != SUPPORTED


# ---------------------------------------------------------------- PD-6


def entropies(*runs, seeds=4):
    """H(T) of four layers per run: dimensions, and values as a function of the dimension."""
    rows = [
        (run, seed, index, d, value(d, index) + 0.01 * seed)
        for run, (sizes, value) in zip("ab", runs, strict=False)
        for seed in range(seeds)
        for index, d in enumerate(sizes)
    ]
    return pd.DataFrame(rows, columns=["run", "seed", "layer_index", "dimension", "I_XT"])


UP, DOWN = (4, 8, 16, 32), (32, 16, 8, 4)


def by_dimension(d, index):
    return 2.0 * d


def by_depth(d, index):
    return 2.0 * index


@pytest.mark.parametrize(
    ("runs", "tanh", "relu", "verdict"),
    [
        ([(UP, by_dimension), (DOWN, by_dimension)], FALLING, FLAT, SUPPORTED),
        ([(UP, by_depth)], FALLING, FLAT, SUPPORTED),
        ([(UP, by_depth), (DOWN, by_depth)], FALLING, FLAT, CONTRADICTED),
        ([(UP, by_dimension)], FLAT, FLAT, CONTRADICTED),
        ([(UP, by_dimension)], FALLING, FALLING, CONTRADICTED),
        ([(UP, by_dimension)], some, FLAT, INCONCLUSIVE),
    ],
)
def test_pd_6(runs, tanh, relu, verdict):
    found = claims.pd_6(
        entropies(*runs),
        claims.phases(measurements({"conv1.activation": tanh})),
        claims.phases(measurements({"conv1.activation": relu})),
    )
    assert (found.claim, found.verdict, found.seeds) == ("PD-6", verdict, 4)


def test_the_statistic_of_pd_6_tells_dimension_from_depth():
    falling = claims.phases(measurements({"conv1": FALLING, "conv2": FLAT}))
    found = claims.pd_6(entropies((UP, by_dimension), (DOWN, by_dimension)), falling, falling)
    assert found.statistic.startswith(
        "rank correlation of H(T) with the dimension: a: 1.00 [1.00, 1.00] (with depth: 1.00 "
        "[1.00, 1.00]); b: 1.00 [1.00, 1.00] (with depth: -1.00 [-1.00, -1.00]); tanh, drop minus "
        "noise band: conv1 0.95 [0.95, 0.95], conv2 -0.05 [-0.05, -0.05] bit (supported)"
    )
