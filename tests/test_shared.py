"""What configurations of experiments have in common: their device and the precision on it."""

import dataclasses

import pytest
import torch

from ibcore.experiments.shared import ImageConfig, device_name, device_of, precision_of

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
