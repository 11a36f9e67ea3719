"""Saliency maps through training, end to end, on a small cut of the digits."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from ibcore import models
from ibcore.estimators import aura_matrix_entropy, shuffled_pixels, spatial_information
from ibcore.experiments import saliency_evolution
from ibcore.experiments.saliency_evolution import Config, device_name, load, run
from ibcore.gradcam import degenerate, grad_cam, quantise
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint

LAYERS = [f"features.{number}" for number in range(9)]
SMALL = Config(
    dataset="cifar10",
    allow_standin="only",
    n_train=60,
    n_test=20,
    model="vgg11",
    model_options={"configuration": (4, "M", 8, "M", "M", "M", "M"), "hidden": ()},
    epochs=3,
    batch_size=15,
    replicas=2,
    images=7,
    probes=("resample", "fixed"),
    information=({"levels": 256, "reading": "literal"}, {"levels": 8, "reading": "raw"}),
    information_layers=("features.3", "features.5"),
    pictures=2,
)


def change(config, **fields):
    return dataclasses.replace(config, **fields)


@pytest.fixture(scope="module")
def tables():
    return run(SMALL, 3)


def untrained(seed):
    """The network of a seed before training."""
    return models.build(
        "vgg11", num_classes=10, seed=derived_seed(seed, "weights"), **SMALL.model_options
    )


def probe(seed, purpose, count=7):
    order = np.random.default_rng(derived_seed(seed, purpose)).permutation(60)
    return torch.from_numpy(load(SMALL).X[np.sort(order[:count])])


def by_hand(seed, images):
    """Maps as bytes, and which are constant, of every layer of the untrained network."""
    found = grad_cam(untrained(seed), images, LAYERS)
    maps = {layer: quantise(maps, size=32) for layer, maps in found.items()}
    return maps, {layer: degenerate(maps).numpy() for layer, maps in found.items()}


def test_tables(tables):
    assert list(tables) == ["entropy", "information", "maps", "timings", "history"]
    rows = tables["entropy"]
    assert len(rows) == 2 * 4 * 2 * 9  # seeds, epochs, probes, layers
    assert rows["seed"].unique().tolist() == [3, 4]
    assert rows["epoch"].unique().tolist() == [0, 1, 2, 3]
    assert rows["layer"].unique().tolist() == LAYERS
    assert rows["layer_index"].unique().tolist() == list(range(9))
    assert set(rows["n"]) == {7}
    assert len(tables["information"]) == 2 * 4 * 2 * 2  # seeds, epochs, readings, layers
    assert set(tables["information"]["last_layer"]) == {"features.7"}
    assert len(tables["maps"]) == 4 * 9 * 2 + 2  # of the first replica only, and two images
    assert set(tables["maps"]["seed"]) == {3}
    assert len(tables["history"]) == 2 * 4
    assert tables["history"]["test_accuracy"].between(0, 1).all()


@pytest.mark.parametrize(("name", "purpose"), [("resample", "probe 0"), ("fixed", "probe")])
def test_entropy_by_hand(tables, name, purpose):
    images = probe(4, purpose)
    maps, constant = by_hand(4, images)
    rng = np.random.default_rng(derived_seed(4, "shuffle 0"))
    shuffled = {
        layer: quantise(shuffled_pixels(found, rng=rng), size=32)
        for layer, found in grad_cam(untrained(4), images, LAYERS).items()
    }
    rows = tables["entropy"].query("seed == 4 and epoch == 0 and probe == @name")
    for row in rows.itertuples():
        kept = ~constant[row.layer]
        assert row.degenerate == constant[row.layer].sum()
        if not kept.any():
            assert np.isnan(row.entropy)
            assert np.isnan(row.baseline)
            continue
        values = aura_matrix_entropy(maps[row.layer]).numpy()[kept]
        assert row.entropy == pytest.approx(values.mean())
        if len(values) > 1:
            assert row.deviation == pytest.approx(values.std(ddof=1))
        baselines = aura_matrix_entropy(shuffled[row.layer]).numpy()[kept]
        assert row.baseline == pytest.approx(baselines.mean())


def test_the_last_layer_has_one_pixel_and_is_degenerate(tables):
    last = tables["entropy"].query("layer == 'features.8'")
    assert (last["degenerate"] == 7).all()
    assert last["entropy"].isna().all()


@pytest.mark.parametrize(("levels", "reading"), [(256, "literal"), (8, "raw")])
def test_information_by_hand(tables, levels, reading):
    images = probe(3, "probe 0")
    maps, constant = by_hand(3, images)
    coarse = {layer: values // (256 // levels) for layer, values in maps.items()}
    rng = np.random.default_rng(derived_seed(3, "shuffle 0"))
    shuffled = {
        layer: quantise(shuffled_pixels(found, rng=rng), size=32) // (256 // levels)
        for layer, found in grad_cam(untrained(3), images, LAYERS).items()
    }
    rows = tables["information"].query("seed == 3 and epoch == 0 and levels == @levels")
    assert rows["layer"].tolist() == ["features.3", "features.5"]
    for row in rows.itertuples():
        for name, end in (("XT", "features.0"), ("TY", "features.7")):
            kept = ~(constant[row.layer] | constant[end])
            assert getattr(row, f"n_{name}") == kept.sum()
            for column, of_layer in (("I", coarse), ("baseline", shuffled)):
                values = spatial_information(
                    coarse[end], of_layer[row.layer], levels=levels, reading=reading
                )
                expected = values.numpy()[kept].mean()
                assert getattr(row, f"{column}_{name}") == pytest.approx(expected)


@pytest.mark.parametrize(("end", "left"), [("features.0", "XT"), ("features.7", "TY")])
def test_images_with_a_constant_map_at_an_end_are_left_out(monkeypatch, end, left):
    """The first three images, of which one end is said to be constant."""
    found = run(change(SMALL, epochs=0, replicas=1), 3)["information"]
    numbers = iter(range(len(LAYERS) * 3))  # layers, for two probes and the pictures

    def said(maps):
        number = next(numbers) % len(LAYERS)
        constant = degenerate(maps)
        if LAYERS[number] == end:
            constant[:3] = True
        return constant

    monkeypatch.setattr(saliency_evolution, "degenerate", said)
    fewer = run(change(SMALL, epochs=0, replicas=1), 3)["information"]
    other = {"XT": "TY", "TY": "XT"}[left]
    assert (found[f"n_{left}"] == 7).all()
    assert (fewer[f"n_{left}"] == 4).all()
    assert (fewer[f"I_{left}"] != found[f"I_{left}"]).all()
    for column in (f"n_{other}", f"I_{other}", f"baseline_{other}"):
        assert (fewer[column] == found[column]).all()


def test_the_test_loss_is_that_of_the_test_images():
    found = run(change(SMALL, epochs=0), 3)["history"].query("seed == 3 and epoch == 0")
    dataset = load(SMALL)
    with torch.no_grad():
        logits = untrained(3).eval()(torch.from_numpy(dataset.X[60:]))
    expected = functional.cross_entropy(logits, torch.from_numpy(dataset.Y[60:])).item()
    assert found["test_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_all_layers_are_informed_by_default():
    rows = run(change(SMALL, information_layers=None, epochs=0), 0)["information"]
    assert rows["layer"].unique().tolist() == LAYERS
    assert rows.query("layer == 'features.8'")["I_XT"].isna().all()
    assert run(change(SMALL, information=(), epochs=0), 0)["information"].empty


def decoded(text):
    return np.frombuffer(bytes.fromhex(text.removeprefix("x")), np.uint8).reshape(32, 32)


def test_pictures_are_the_maps_of_two_training_images(tables):
    kept = tables["maps"].query("epoch == 0")
    rows = kept["row"].unique()
    images = torch.from_numpy(load(SMALL).X[rows])
    maps, _ = by_hand(3, images)
    for number, row in enumerate(rows):
        first, *others = kept[kept["row"] == row].itertuples()
        assert first.layer == "picture"
        grey = images[number].mean(0).numpy() * 255
        np.testing.assert_allclose(decoded(first.pixels), np.floor(grey), atol=1)
        assert [other.layer for other in others] == LAYERS
        for other in others:
            np.testing.assert_array_equal(decoded(other.pixels), maps[other.layer][number])
        assert [other.side for other in others] == [32, 32, 16, 16, 16, 8, 4, 2, 1]
    assert (rows < 60).all()


def test_a_fixed_probe_sees_the_same_images():
    """Without learning, only the choice of images can change anything."""
    rows = run(change(SMALL, learning_rate=1e-30, replicas=1, information=()), 0)["entropy"]
    spread = rows.groupby(["probe", "layer"])["entropy"].std().unstack(0)
    assert spread["fixed"].max() < 0.001 < spread["resample"].min()


def test_measuring_does_not_change_the_training(tables):
    other = run(change(SMALL, images=3, probes=("fixed",), information=(), pictures=1), 3)
    pd.testing.assert_frame_equal(other["history"], tables["history"])


def test_training_changes_the_maps(tables):
    fixed = tables["entropy"].query("probe == 'fixed' and layer == 'features.3'")
    assert fixed.groupby("seed")["entropy"].nunique().min() == 4


def test_timings(tables):
    timings = tables["timings"]
    parts = timings.groupby("part")["epoch"].unique().map(list).to_dict()
    everywhere = [0, 1, 2, 3]
    assert parts == {
        "training": [1, 2, 3],
        "entropy, resample": everywhere,
        "entropy, fixed": everywhere,
        "information": everywhere,
    }
    assert (timings["seconds"] > 0).all()


def test_an_interrupted_run_goes_on_with_the_same_numbers(tables, tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    keep = saliency_evolution.SaliencyRecorder._keep_maps

    def interrupt(self, epoch, seed, network):
        if epoch == 2:
            raise KeyboardInterrupt
        keep(self, epoch, seed, network)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "due", lambda self: True)
        patch.setattr(saliency_evolution.SaliencyRecorder, "_keep_maps", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(SMALL, 3, checkpoint=path)
    assert path.exists()
    resumed = run(SMALL, 3, checkpoint=path)
    for name in ("entropy", "information", "maps", "history"):
        pd.testing.assert_frame_equal(resumed[name], tables[name])
    assert set(resumed["timings"].query("part == 'training'")["epoch"]) == {1, 3}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"probes": ("other",)}, r"probes are resample or fixed, got \('other',\)"),
        ({"probes": ()}, r"probes are resample or fixed, got \(\)"),
        ({"images": 0}, "images must be positive, got 0"),
        ({"pictures": 0}, "pictures must be positive, got 0"),
        ({"replicas": 0}, "replicas must be positive, got 0"),
        ({"threads": -1}, "threads must be positive, got -1"),
        ({"device": "gpu"}, "device must be cpu, cuda or auto, got 'gpu'"),
        ({"information": ({"levels": 8},)}, "needs a reading and levels that divide 256"),
        ({"information": ({"levels": 7, "reading": "raw"},)}, "levels that divide 256, got .*7"),
    ],
)
def test_bad_settings(fields, words):
    with pytest.raises(ValueError, match=words):
        change(SMALL, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"images": 61}, "61 images wanted, but there are only 60 training images"),
        ({"information_layers": ("features.9",)}, r"unknown layers \['features.9'\]; layers: feat"),
        ({"information": ({"levels": 8, "reading": "other"},)}, "reading must be"),
    ],
)
def test_bad_runs(fields, words):
    with pytest.raises(ValueError, match=words):
        run(change(SMALL, **fields), 0)


def test_device_name_is_that_of_the_processor():
    assert device_name(SMALL) == "CPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_agrees_before_training(tables):
    found = run(change(SMALL, device="cuda", epochs=0), 3)
    for name in ("entropy", "information"):
        expected = tables[name].query("epoch == 0").reset_index(drop=True)
        pd.testing.assert_frame_equal(found[name], expected, atol=0.02, rtol=0.02)
