"""Claims MT-1 and MT-2 on curves whose verdict is known, and the tables beside the thesis."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import saliency

KINDS = ("convolution", "elementwise", "subsampling", "convolution", "subsampling")


def entropies(run="net", curve=(0.9, 0.85, 0.6, 0.62, 0.4), seeds=3, images=4, noise=0.01):
    rng = np.random.default_rng(0)
    rows = [
        {
            "run": run, "seed": seed, "image": image, "layer": f"l{i}", "layer_index": i,
            "kind": KINDS[i], "side": 32 >> i, "entropy": value + noise * rng.standard_normal(),
        }
        for seed in range(seeds) for image in range(images) for i, value in enumerate(curve)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def readings(run="net", curve=(0.9, 0.9, 0.7, 0.7, 0.5), seeds=3, reading=saliency.SHUFFLED):
    table = entropies(run, curve, seeds, 1)
    return table.assign(reading=reading).drop(columns="image")


def verdicts(curve, seeds=3, **options):
    units = claims.by_unit(entropies(curve=curve, seeds=seeds, **options))
    shuffled = claims.shuffled_baseline(readings(seeds=seeds))
    return claims.mt_1(units, shuffled), claims.mt_2(units, shuffled)


@pytest.mark.parametrize(
    ("curve", "first", "second"),
    [
        ((0.9, 0.85, 0.6, 0.62, 0.4), "supported", "supported"),
        ((0.4, 0.5, 0.6, 0.7, 0.8), "contradicted", "contradicted"),
        # It falls, but at the convolution and not at the poolings.
        ((0.9, 0.88, 0.86, 0.5, 0.48), "supported", "contradicted"),
        # The poolings go up.
        ((0.9, 0.5, 0.52, 0.3, 0.31), "supported", "contradicted"),
    ],
)
def test_verdicts(curve, first, second):
    found = verdicts(curve, noise=0.001)
    assert [verdict.verdict for verdict in found] == [first, second]
    assert [verdict.claim for verdict in found] == ["MT-1", "MT-2"]
    assert [verdict.seeds for verdict in found] == [3, 3]
    assert "(3 seeds; pixels shuffled" in found[0].statistic


def test_noise_is_inconclusive():
    assert verdicts((0.5,) * 5, noise=0.1)[0].verdict == "inconclusive"


def test_one_set_of_weights_is_decided_over_pictures():
    for verdict in verdicts((0.9, 0.85, 0.6, 0.62, 0.4), seeds=1):
        assert verdict.verdict == "supported"
        assert "(4 pictures; pixels shuffled" in verdict.statistic
        assert verdict.seeds == 1


def test_one_network_that_does_not_fall_is_enough():
    both = pd.concat([entropies("a"), entropies("b", curve=(0.2, 0.3, 0.4, 0.5, 0.6))])
    shuffled = claims.shuffled_baseline(pd.concat([readings("a"), readings("b")]))
    assert claims.mt_1(claims.by_unit(both), shuffled).verdict == "contradicted"


def test_units():
    units = claims.by_unit(pd.concat([entropies("many"), entropies("one", seeds=1)]))
    many, one = (units[units["run"] == run] for run in ("many", "one"))
    assert (set(many["units"]), set(one["units"])) == ({"seeds"}, {"pictures"})
    assert (many["unit"].nunique(), one["unit"].nunique()) == (3, 4)
    table = entropies("many")
    expected = table[(table["seed"] == 1) & (table["layer"] == "l2")]["entropy"].mean()
    found = many[(many["unit"] == 1) & (many["layer"] == "l2")]["entropy"].item()
    assert found == pytest.approx(expected)
    found = claims.entropy_intervals(units).set_index(["run", "layer"])
    assert found.loc[("many", "l2"), "n"] == 3
    assert found["low"].lt(found["mean"]).all()
    table.loc[table["layer"] == "l4", "entropy"] = np.nan  # degenerate everywhere: no row
    assert "l4" not in set(claims.by_unit(table)["layer"])


def test_correlations_and_steps_by_hand():
    units = claims.by_unit(entropies(curve=(0.9, 0.8, 0.5, 0.6, 0.1), noise=0))
    (values,) = claims.depth_correlations(units).values()
    assert values == pytest.approx([-0.9] * 3)
    flat = claims.by_unit(entropies(curve=(0.5,) * 5, noise=0))
    assert claims.depth_correlations(flat)["net"].tolist() == [0, 0, 0]
    steps = claims.depth_steps(units)
    assert steps["elementwise"].to_numpy() == pytest.approx([-0.1] * 3)
    assert steps["convolution"].to_numpy() == pytest.approx([0.1] * 3)
    assert steps["subsampling"].to_numpy() == pytest.approx([-0.4] * 3)


def test_published_layers_are_those_of_the_thesis():
    table = claims.published_entropies()
    assert len(table) == 4 * (13 + 8 + 5)
    assert table["published"].between(0, 1).all()
    vgg = table[(table["network"] == "VGG16") & (table["name"] == "maxpool5")]
    assert set(vgg["layer"]) == {"features.30"}


def everything(value, seeds=(0, 1)):
    """The published random column plus a value, as readings and as intervals."""
    known = claims.published_entropies()
    known = known[known["column"] == "Random ImageNet"]
    parts = [
        known.assign(seed=seed, entropy=known["published"] + value + 0.01 * seed) for seed in seeds
    ]
    return pd.concat(parts).drop(columns=["name", "published"])


def test_distances():
    table = pd.concat(
        [everything(0.05).assign(reading="far"), everything(-0.02, (0,)).assign(reading="near")]
    )
    found = claims.reading_distances(table).set_index("reading")
    assert found.index.tolist() == ["near", "far"]
    assert found.loc["far", ["AlexNet", "VGG16", "ResNet50", "all"]].tolist() == pytest.approx(
        [0.055] * 4
    )
    assert found.loc["near", "all"] == pytest.approx(0.02)
    assert np.isinf(found.loc["near", "high"])
    assert found.loc["far", "low"] < 0.055 < found.loc["far", "high"]


def test_distances_to_the_random_column_are_those_of_random_weights():
    trained = everything(0.5).assign(column="Pretrained ImageNet", reading="documents")
    both = pd.concat([everything(0.0).assign(reading="documents"), trained])
    assert claims.reading_distances(both)["all"].tolist() == pytest.approx([0.005])


def test_relu_effect():
    rows = [
        (run, seed, layer, reading, 0.5 + 0.1 * (reading == "without ReLU") * change)
        for run, changes, seeds in (("a", (1, -2), 2), ("b", (3, 0), 1))
        for seed in range(seeds)
        for layer, change in zip(("conv1", "conv2"), changes, strict=True)
        for reading in ("documents", "without ReLU", "rounded")
    ]
    table = pd.DataFrame(rows, columns=["run", "seed", "layer", "reading", "entropy"])
    found = claims.relu_effect(table).set_index("run")
    assert found["seeds"].to_dict() == {"a": 2, "b": 1}
    assert found["with"].tolist() == pytest.approx([0.5, 0.5])
    assert found["without"].tolist() == pytest.approx([0.45, 0.65])
    assert found["difference"].tolist() == pytest.approx([-0.05, 0.15])
    assert found.loc["a", ["low", "high"]].tolist() == pytest.approx([-0.05, -0.05])
    assert np.isinf(found.loc["b", "high"])
    assert found["largest"].tolist() == pytest.approx([-0.2, 0.3])
    assert found["layer"].tolist() == ["conv2", "conv1"]


def test_beside_published():
    known = everything(0.0, (0,)).assign(column="Random ImageNet", low=0.1, high=0.9)
    intervals = known.rename(columns={"entropy": "mean"})
    intervals.loc[intervals["layer"] == "conv1", ["low", "high"]] = [-np.inf, np.inf]
    found = claims.beside_published(intervals).set_index(["network", "name"])
    assert len(found) == 26
    assert found.loc[("AlexNet", "conv1"), "Random ImageNet, here"] == "0.682 [0.100, 0.900]"
    assert found.loc[("ResNet50", "conv1"), "Random ImageNet, here"] == "0.657"
    assert found.loc[("AlexNet", "conv1"), "Random ImageNet, thesis"] == 0.6816
    assert set(found["Fine-tuning Caltech101, here"]) == {"not run (weights)"}
