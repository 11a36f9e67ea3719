"""Seconds per (network, epoch, snapshot) of a small convolutional network, beside the usual way."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from test_estimator_speed import best_of, unique_rows

from ibcore import models
from ibcore.recording import measure, record_activations
from ibcore.training import fit

pytestmark = pytest.mark.benchmark

BINNING = [{"estimator": "binning", "bin_width": 0.67}]


@pytest.fixture(scope="module")
def case():
    """Six 3x3 convolutions of 6 channels, and 1,000 images of 28x28 with their labels."""
    torch.set_num_threads(1)
    digits = load_digits()
    images = torch.from_numpy(digits.images[:1000].astype(np.float32) / 16)[:, None]
    images = torch.nn.functional.interpolate(images, size=28, mode="bilinear")
    return models.build("cnn", widths=[6] * 6), images, torch.from_numpy(digits.target[:1000])


def test_snapshot(case, record_ratio):
    """Record all seven layers of 1,000 images and bin them."""
    model, images, labels = case
    layers = model.measured_layers

    def ours():
        recorded = record_activations(model, images, layers, softmax="output")
        return [measure(T, labels, BINNING)[0] for T in recorded.values()]

    def theirs():
        found, inputs = [], images
        with torch.no_grad():
            for name in layers:
                inputs = inputs.flatten(1) if name == "output" else inputs
                inputs = getattr(model, name)(inputs)
                T = inputs.softmax(1) if name == "output" else inputs
                found.append(unique_rows(T.flatten(1).numpy(), labels.numpy(), 0.67))
        return found

    seconds, rows = best_of(ours)
    peer, expected = best_of(theirs, repeats=1)
    for row, (about_input, about_label) in zip(rows, expected, strict=True):
        assert row["I_XT"] == pytest.approx(about_input)
        assert row["I_TY"] == pytest.approx(about_label)
    record_ratio("snapshot, 7 layers, n = 1,000", seconds, peer, "np.unique on whole rows")


def test_epoch(case, record_ratio):
    """One network, one epoch of ten steps on 1,000 images, against one snapshot of it."""
    model, images, labels = case

    def epoch():
        fit([model], images, labels, epochs=1, seeds=[0], batch_size=100)

    def snapshot():
        for T in record_activations(model, images, model.measured_layers).values():
            measure(T, labels, BINNING)

    trained, measured = best_of(epoch)[0], best_of(snapshot)[0]
    record_ratio("snapshot against an epoch", measured, trained, "training of the same network")


def test_filters_at_once(case, record_ratio):
    model, images, labels = case
    T = record_activations(model, images, ["conv6"])["conv6"]
    together = [{**BINNING[0], "view": "filter"}]
    seconds, rows = best_of(lambda: measure(T, labels, together))
    peer, expected = best_of(lambda: [measure(T[:, f], labels, BINNING)[0] for f in range(6)])
    for row, one in zip(rows, expected, strict=True):
        assert row["I_XT"] == pytest.approx(one["I_XT"])
    record_ratio("6 filters of 18x18, n = 1,000", seconds, peer, "one filter after the other")


def test_filters_of_a_narrow_layer_at_once(record_ratio):
    """All 32 filters of the deepest audio layer, 2x2 values each, in one call."""
    rng = np.random.default_rng(0)
    T = torch.from_numpy(np.tanh(rng.standard_normal((799, 32, 2, 2))).astype(np.float32))
    labels = torch.from_numpy(rng.integers(0, 10, 799))
    together = [{"estimator": "binning", "bin_width": 0.5, "view": "filter"}]
    one = [{"estimator": "binning", "bin_width": 0.5}]
    seconds, rows = best_of(lambda: measure(T, labels, together))
    peer, expected = best_of(lambda: [measure(T[:, f], labels, one)[0] for f in range(32)])
    for row, alone in zip(rows, expected, strict=True):
        assert row["I_XT"] == pytest.approx(alone["I_XT"])
        assert row["I_TY"] == pytest.approx(alone["I_TY"])
    record_ratio("32 filters of 2x2, n = 799", seconds, peer, "one filter after the other")
