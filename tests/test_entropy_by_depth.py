"""The experiment of 09_entropy_by_depth: every row by other means, and what it refuses."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
import torch
from torch import nn
from torch.nn import functional

from ibcore import datasets, models
from ibcore.datasets.weights import Weights
from ibcore.estimators import aura_matrix_entropy
from ibcore.experiments import entropy_by_depth
from ibcore.experiments.entropy_by_depth import Config, describe, load, missing_weights, run
from ibcore.gradcam import grad_cam, quantise
from ibcore.seeds import derived_seed

LENET = Config(
    network="lenet",
    dataset="cifar10",
    split="test",
    images=5,
    replicas=2,
    readings=tuple(entropy_by_depth.READINGS),
    allow_standin="only",
)
TRAINED = dataclasses.replace(
    LENET, train_splits=("train",), n_train=60, epochs=2, readings=("documents",)
)


@pytest.fixture(scope="module")
def tables():
    return run(LENET, 3)


def network(seed):
    model = models.build("lenet", num_classes=1000, seed=derived_seed(seed, "weights"))
    return model.eval()


def by_hand(config, seed):
    """Entropies of the documents' reading, one picture after the other."""
    pictures = load(config).pictures
    mean, deviation = (
        np.array(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    inputs = torch.from_numpy(((pictures.X - mean) / deviation).astype(np.float32))
    model = network(seed)
    for i, image in enumerate(inputs):
        maps = grad_cam(model, image[None], model.measured_layers)
        for layer, one in maps.items():
            yield i, layer, aura_matrix_entropy(quantise(one, size=32))[0].item()


def test_documents_reading_by_hand(tables):
    entropies = tables["entropies"]
    assert sorted(entropies["seed"].unique()) == [3, 4]
    for seed, part in entropies.groupby("seed"):
        found = part.set_index(["image", "layer"])["entropy"]
        assert len(found) == 5 * 6
        for image, layer, expected in by_hand(LENET, seed):
            shown = expected if expected != 0 else np.nan
            assert found[image, layer] == pytest.approx(shown, abs=2e-3, nan_ok=True)


def test_readings_are_means_and_count_what_they_leave_out(tables):
    readings, entropies = tables["readings"], tables["entropies"]
    assert len(readings) == 2 * 6 * len(LENET.readings)
    documents = readings[readings["reading"] == "documents"].set_index(["seed", "layer"])
    mean = entropies.groupby(["seed", "layer"])["entropy"].mean()
    assert np.allclose(documents["entropy"].sort_index(), mean.sort_index(), equal_nan=True)
    missing = entropies["entropy"].isna().groupby([entropies["seed"], entropies["layer"]]).sum()
    assert (documents["degenerate"].sort_index() == missing.sort_index()).all()
    assert (readings["images"] == 5).all()
    wide = readings.pivot_table(index=["seed", "layer"], columns="reading", values="entropy")
    assert (wide["resized, then pixels shuffled"] > wide["documents"]).mean() > 0.9
    assert not np.allclose(wide["bilinear"], wide["documents"])
    assert not np.allclose(wide["without ReLU"], wide["documents"])


def maps_of(activations, reading, size):
    return entropy_by_depth._integer_maps(activations, reading, size, np.random.default_rng(0))[0]


def test_pixels_are_shuffled_before_or_after_resizing():
    """Shuffling last keeps the grey levels of the resized map, shuffling first does not."""
    activations = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, first, last = (
        maps_of(activations, reading, (8, 8)).flatten()
        for reading in (
            "documents",
            "pixels shuffled, then resized",
            "resized, then pixels shuffled",
        )
    )
    assert torch.equal(last.sort().values, plain.sort().values)
    assert not torch.equal(last, plain)
    assert not torch.equal(first.sort().values, plain.sort().values)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("documents", [0, 254, 127, 255]),
        ("rounded", [0, 255, 128, 255]),
        ("64 levels", [0, 62, 31, 63]),
    ],
)
def test_readings_of_a_map_by_hand(reading, expected):
    activations = torch.tensor([[[0.0, 0.999], [0.5, 1.0]]])
    assert maps_of(activations, reading, (2, 2)).flatten().tolist() == expected


@pytest.mark.parametrize("right", [True, False])
def test_accuracy_of_a_network_that_knows_the_labels(right):
    material = load(TRAINED)
    answers = iter(torch.from_numpy(material.pictures.Y if right else 9 - material.pictures.Y))

    class Knows(nn.Module):
        def forward(self, images):
            return functional.one_hot(torch.stack([next(answers) for _ in images]), 10).float()

    X = torch.from_numpy(material.pictures.X)
    found = entropy_by_depth._accuracy(TRAINED, Knows(), X, material, 0)
    assert found["accuracy"] == right


def test_kinds_and_sides(tables):
    first = tables["entropies"].drop_duplicates("layer").set_index("layer")
    assert first["side"].tolist() == [28, 28, 14, 10, 10, 5]
    assert first["kind"].tolist() == ["convolution", "elementwise", "subsampling"] * 2
    assert first["layer_index"].tolist() == list(range(6))
    strided = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2))
    assert entropy_by_depth.layer_kind(strided, 111, 224) == "subsampling"
    assert entropy_by_depth.layer_kind(strided, 111, 111) == "convolution"


def test_maps_of_one_picture(tables):
    maps = tables["maps"]
    assert maps["layer"].tolist() == ["picture", *network(0).measured_layers]
    assert maps["side"].tolist() == [32, 28, 28, 14, 10, 10, 5]
    for text in maps["pixels"]:
        assert text.startswith("x")
        assert len(bytes.fromhex(text[1:])) == 64 * 64


def test_a_run_repeats_itself_and_seeds_differ(tables):
    again = run(LENET, 3, load(LENET))
    for name, table in tables.items():
        assert table.equals(again[name])
    one, other = (part["entropy"].to_numpy() for _, part in tables["entropies"].groupby("seed"))
    assert not np.allclose(one, other, equal_nan=True)


def test_training_changes_the_network_and_knows_the_labels(tmp_path):
    assert np.isnan(
        run(dataclasses.replace(LENET, images=2, readings=("documents",)), 0)["accuracy"][
            "accuracy"
        ]
    ).all()
    trained = run(TRAINED, 0, checkpoint=tmp_path / "run.checkpoint")
    assert trained["accuracy"]["accuracy"].between(0, 1).all()
    material = load(TRAINED)
    assert material.fingerprint.count("-") == 1
    assert "stand-in" in material.note
    assert material.source == "stand-in"
    assert material.label.endswith("for CIFAR-10 (test)")
    longer = run(dataclasses.replace(TRAINED, epochs=6, learning_rate=0.05), 0)
    assert not trained["entropies"]["entropy"].equals(longer["entropies"]["entropy"])


def test_pretrained_weights_are_used_where_they_fit(monkeypatch):
    source = network(11)
    state = {name: value.numpy() for name, value in source.state_dict().items()}
    weights = Weights("lenet", state, "local", "weights of a test")
    monkeypatch.setattr(entropy_by_depth, "load_weights", lambda name: weights)
    config = dataclasses.replace(LENET, weights="pretrained", replicas=1, allow_standin=True)
    monkeypatch.setattr(
        datasets,
        "load",
        lambda *a, load=datasets.load, **k: load(*a, **k | {"allow_standin": "only"}),
    )
    assert missing_weights(config) == ""
    material = load(config)
    assert "weights of a test" in material.note
    model = entropy_by_depth._initial(config, 0, material)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters(), strict=True)
    )
    tuned = dataclasses.replace(config, train_splits=("train",), n_train=20, epochs=1)
    material = load(tuned)
    model = entropy_by_depth._initial(tuned, 0, material)
    assert model.classifier[-1].out_features == len(material.train[0].classes)
    assert torch.equal(model.features.conv1.weight, source.features.conv1.weight)


def test_pictures_and_training_samples_are_never_mixed(monkeypatch):
    """Where only one split is there, all are the stand-in; where both are, both are kept."""

    def load_some(name, split, *, n=None, allow_standin):
        data = made(name, split, n=n, allow_standin="only")
        if allow_standin == "only" or split not in there:
            return data
        return dataclasses.replace(
            data, title=f"{split} photographs", source=there[split], standin="", note="photographs"
        )

    made, there = datasets.load, {}
    monkeypatch.setattr(datasets, "load", load_some)
    config = dataclasses.replace(TRAINED, allow_standin=True)
    for split in ("test", "train"):
        there = {split: "local"}
        material = load(config)
        assert material.source == "stand-in"
        assert material.label == "stand-in (scikit-learn digits) for CIFAR-10 (test)"
        assert material.note.count("stand-in: ") == 2
    there = {"test": "local", "train": "official"}
    material = load(config)
    assert material.source == "local, official"
    assert material.label == "test photographs (test), trained on train photographs"
    untrained = load(dataclasses.replace(LENET, allow_standin=True))
    assert (untrained.source, untrained.label) == ("local", "test photographs (test)")


def test_missing_weights(monkeypatch):
    config = dataclasses.replace(LENET, weights="pretrained")
    assert missing_weights(LENET) == ""
    assert missing_weights(config) == "weights (this profile reads no files)"

    def refuse(name):
        raise datasets.DataUnavailable(f"no weights of {name}")

    monkeypatch.setattr(entropy_by_depth, "load_weights", refuse)
    config = dataclasses.replace(config, network="imagenet_alexnet", allow_standin=False)
    assert missing_weights(config) == "no weights of alexnet"


def test_weights_that_are_something_else_are_missing(monkeypatch, tmp_path):
    """As from a network that answers everything with its own page."""

    def page(self, url, output, pooch_object):
        Path(output).write_text("<html>please log in</html>")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", page)
    monkeypatch.setattr("ibcore.datasets.weights._failed", {})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    config = dataclasses.replace(
        LENET, network="imagenet_alexnet", weights="pretrained", allow_standin=True
    )
    assert "did not deliver (wrong content" in missing_weights(config)


def test_pictures_are_drawn_once_for_all_seeds_and_cropped():
    config = Config(
        network="lenet",
        dataset="caltech101",
        split="kangaroo",
        images=3,
        crop=32,
        allow_standin="only",
    )
    whole = load(dataclasses.replace(config, images=None)).pictures
    few = load(config).pictures
    assert len(few) == 3
    assert {image.tobytes() for image in few.X} <= {image.tobytes() for image in whole.X}
    inputs = entropy_by_depth._inputs(config, few)
    assert inputs.shape == (3, 3, 32, 32)
    restored = inputs * entropy_by_depth._DEVIATION + entropy_by_depth._MEAN
    assert np.allclose(restored, few.X[:, :, 96:128, 96:128], atol=1e-6)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_a_crop_larger_than_the_pictures_is_refused(shape):
    pictures = SimpleNamespace(X=np.zeros((1, 3, *shape), np.float32))
    config = dataclasses.replace(LENET, crop=24)
    assert entropy_by_depth._inputs(config, pictures).shape == (1, 3, 24, 24)
    config = dataclasses.replace(LENET, crop=25)
    words = f"crop = 25, but the pictures have {shape[0]}x{shape[1]} pixels"
    with pytest.raises(ValueError, match=words):
        entropy_by_depth._inputs(config, pictures)


def test_a_map_of_a_single_pixel_is_degenerate():
    config = dataclasses.replace(
        LENET, dataset="caltech101", split="kangaroo", crop=16, images=2, replicas=1,
        model_options={"image": (3, 16, 16)},
    )  # fmt: skip
    readings = run(config, 0)["readings"]
    last = readings[readings["side"] == 1]
    assert (last["degenerate"] == 2).all()
    assert last["entropy"].isna().all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("LeNet-5-like", "random", "Random ImageNet")),
        (
            {"model_options": {"pooling": False}},
            ("LeNet-5-like without pooling", "random", "Random ImageNet"),
        ),
        ({"train_splits": ("train",), "epochs": 1}, ("LeNet-5-like", "trained", None)),
        (
            {"network": "imagenet_vgg16", "weights": "pretrained", "dataset": "caltech101"},
            ("VGG16", "pretrained", "Pretrained Caltech101"),
        ),
        (
            {"network": "imagenet_vgg16", "weights": "pretrained", "dataset": "imagenet"},
            ("VGG16", "pretrained", "Pretrained ImageNet"),
        ),
        (
            {
                "network": "imagenet_alexnet", "weights": "pretrained", "dataset": "caltech101",
                "train_splits": ("kangaroo",), "epochs": 2,
            },
            ("AlexNet", "fine-tuned", "Fine-tuning Caltech101"),
        ),
    ],
)  # fmt: skip
def test_describe(change, expected):
    assert tuple(describe(dataclasses.replace(LENET, **change)).values()) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "trained"}, "weights must be 'random' or 'pretrained', got 'trained'"),
        ({"readings": ("documents", "mine")}, "readings must be of documents, .* got"),
        ({"readings": ()}, "readings must be of"),
        ({"replicas": 0}, "replicas and images must be positive, got 0 and 5"),
        ({"images": 0}, "got 2 and 0"),
        ({"epochs": 2}, r"training needs splits and epochs, got \(\) and 2"),
        ({"train_splits": ("train",)}, r"got \('train',\) and 0"),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
    ],
)
def test_refused_configurations(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LENET, **change)


def test_device(monkeypatch):
    assert entropy_by_depth.device_name(LENET) == "CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    auto = dataclasses.replace(LENET, device="auto")
    assert entropy_by_depth.device_name(auto) == "GPU cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert entropy_by_depth.device_name(auto) == "CPU"
