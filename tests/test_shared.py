"""What experiments have in common: samples of one kind, their device and the precision on it."""

import dataclasses
import hashlib
import json
import logging

import numpy as np
import pytest
import torch

from ibcore import datasets
from ibcore.datasets import fetch, mnist
from ibcore.experiments.shared import (
    ImageConfig,
    device_name,
    device_of,
    load_alike,
    load_parts,
    precision_of,
)

CONFIG = ImageConfig(dataset="cifar10", model="vgg11")
CASES = [
    ({}, "CPU", "float32"),
    ({"precision": "auto"}, "CPU", "float32"),
    ({"device": "auto"}, "a GPU", "float32"),
    ({"device": "auto", "precision": "auto"}, "a GPU, bfloat16", "bfloat16"),
    ({"device": "cuda", "precision": "auto"}, "a GPU, bfloat16", "bfloat16"),
]


def change(**changes):
    return dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(("changes", "name", "precision"), CASES)
def test_with_a_gpu(monkeypatch, changes, name, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    config = change(**changes)
    assert device_name(config) == name
    assert precision_of(config) == precision


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_without_a_gpu_nothing_is_rounded(monkeypatch, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = change(device="auto", precision=precision)
    assert device_of(config) == torch.device("cpu")
    assert device_name(config) == "CPU"
    assert precision_of(config) == "float32"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "bfloat16"}, "precision must be float32 or auto, got 'bfloat16'"),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"threads": 0}, "threads must be positive, got 0"),
        ({"replicas": -1}, "replicas must be positive, got -1"),
    ],
)
def test_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        change(**changes)


# ---------------------------------------------------------------- samples

PARTS = (("train", 40), ("test", 20))


@pytest.fixture
def write(monkeypatch, output):
    """Write a split of Fashion-MNIST, of 50 images, below ``data/raw``; nothing can be fetched."""

    def refuse(files, folder):
        raise OSError("no connection")

    def write(split, source=None):
        for file, shape in zip(mnist.FILES[split], [(50, 28, 28), (50,)], strict=True):
            content = bytes.fromhex(f"0000080{len(shape)}")
            content += b"".join(length.to_bytes(4, "big") for length in shape)
            content += (np.arange(np.prod(shape)) % 10).astype(np.uint8).tobytes()
            (folder / file).write_bytes(content)
            monkeypatch.setitem(
                mnist.CHECKSUMS["fashion_mnist"], file, hashlib.sha256(content).hexdigest()
            )
        if source:
            record = dict.fromkeys(mnist.FILES[split], source)
            (folder / "SOURCE.json").write_text(json.dumps(record))

    folder = output / "data" / "raw" / "fashion_mnist"
    folder.mkdir(parents=True)
    nowhere = (fetch.Source("official", "nowhere", refuse),)
    monkeypatch.setattr(mnist, "SOURCES", dict.fromkeys(mnist.TITLES, nowhere))
    monkeypatch.setattr(datasets.cifar10, "SOURCES", nowhere)
    monkeypatch.setattr(fetch, "_failed", {})
    load_parts.cache_clear()
    yield write
    load_parts.cache_clear()


@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10", "cifar10_grey"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_real_and_stand_in_parts_are_never_mixed(write, caplog, dataset, split):
    """With one split there, CIFAR-10 would get Fashion-MNIST beside digits."""
    write(split)
    with caplog.at_level(logging.WARNING):
        found = load_parts(dataset, True, PARTS)
    pure = load_parts(dataset, "only", PARTS)
    assert found.source == "stand-in"
    assert found.label == pure.label
    assert found.label.startswith("stand-in (scikit-learn digits) for ")
    assert (found.note, found.classes) == (pure.note, pure.classes)
    assert found.fingerprint == pure.fingerprint
    assert np.array_equal(found.X, pure.X)
    assert f"{dataset} would be mixed (train: " in caplog.text


def test_parts_of_one_kind_are_kept(write, caplog):
    write("train")
    write("test")
    with caplog.at_level(logging.WARNING, "ibcore.experiments"):
        found = load_parts("fashion_mnist", True, PARTS)
        enlarged = load_parts("cifar10", True, PARTS)
    assert (found.label, found.source, found.n_train) == ("Fashion-MNIST", "local", 40)
    assert enlarged.label == "stand-in (Fashion-MNIST) for CIFAR-10"
    assert enlarged.note.count("stand-in: ") == 1
    assert "mixed" not in caplog.text


def test_real_sources_that_differ_are_all_named(write):
    write("train", "official")
    write("test")
    found = load_parts("fashion_mnist", True, PARTS)
    assert (found.label, found.source) == ("Fashion-MNIST", "official, local")
    assert "train split, the official files" in found.note
    assert "test split, from local files" in found.note
    found = load_parts("fashion_mnist", True, PARTS[:1])
    assert (found.source, found.n_train) == ("official", None)


def test_without_stand_ins_a_missing_split_is_an_error(write):
    write("train")
    with pytest.raises(datasets.DataUnavailable, match="Fashion-MNIST is not available"):
        load_parts("fashion_mnist", False, PARTS)


def test_options_reach_every_part():
    small = {"size": 16, "seconds": 1, "n_fft": 512, "bands": 32, "columns": 32}
    found = load_alike("fma", "only", (("train", 3), ("test", 2)), tuple(small.items()))
    assert [part.X.shape for part in found] == [(3, 1, 16, 16), (2, 1, 16, 16)]
