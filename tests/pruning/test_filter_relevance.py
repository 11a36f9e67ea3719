"""Scores of filters: one filter at a time as a witness, planted filters, and what goes first."""

import numpy as np
import pytest
import torch
from torch import nn

from ibcore import models
from ibcore.estimators import (
    aligned_kernel_width,
    renyi_information,
    spatial_information_per_filter,
)
from ibcore.pruning.filter_relevance import (
    SCORES,
    filters_kept,
    kernel_widths,
    least_relevant,
    map_layers,
    quantised,
    score_filters,
)
from ibcore.pruning.surgery import shared_channels

LAYERS = ("conv1", "conv2")


class Planted(nn.Module):
    """Filter 0 shows the first channel, filter 1 nothing, filter 2 noise."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 3, 1, bias=False)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(3, 2, 1)
        self.act2 = nn.ReLU()
        self.conv1.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 3.0]])[..., None, None]

    def forward(self, images):
        return self.act2(self.conv2(self.act1(self.conv1(images)))).mean((2, 3))


def batch(n=40, classes=4, side=4):
    """The first channel is the class, the second noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    images = torch.rand(n, 2, side, side, generator=generator)
    images[:, 0] = labels[:, None, None].float()
    return images, labels


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Planted()


# ---------------------------------------------------------------- where the maps are


def test_views(model):
    assert map_layers(model, LAYERS, view="activated") == {"conv1": "act1", "conv2": "act2"}
    assert map_layers(model, LAYERS, view="convolution") == {name: name for name in LAYERS}
    resnet = models.build("resnet8", width=1 / 4)
    found = map_layers(resnet, ["layer1.0.conv1", "layer1.0.conv2"], view="activated")
    assert list(found.values()) == ["layer1.0.relu1", "layer1.0.relu2"]


@pytest.mark.parametrize(
    ("layers", "view", "words"),
    [
        (["conv1"], "raw", "view must be one of activated, convolution, got 'raw'"),
        (["conv3"], "activated", "no convolution 'conv3'; modules: conv1, act1, conv2, act2"),
        (["act1"], "convolution", "no convolution 'act1'"),
    ],
)
def test_refused_views(model, layers, view, words):
    with pytest.raises(ValueError, match=words):
        map_layers(model, layers, view=view)


def test_a_convolution_without_activation_after_it():
    with pytest.raises(ValueError, match="no ReLU after layer '0'"):
        map_layers(nn.Sequential(nn.Conv2d(1, 1, 1)), ["0"], view="activated")


# ---------------------------------------------------------------- kernel widths, grey levels


def test_kernel_widths_are_smoothed_over_batches(model):
    images, labels = batch()
    images = images * torch.linspace(1, 3, 40)[:, None, None, None]
    found = kernel_widths(model, images, labels, ["conv1"], batch_size=20)
    first, second = (
        aligned_kernel_width(torch.relu(model.conv1(part)).detach(), own)
        for part, own in zip(images.split(20), labels.split(20), strict=True)
    )
    assert first != second
    assert found == {"conv1": pytest.approx(0.9 * first + 0.1 * second)}


@pytest.mark.parametrize("score", ["HRel", "spatial entropy"])
def test_an_incomplete_last_batch_is_left_out_unless_it_is_the_only_one(model, score):
    images, labels = batch()
    options = {"score": score, "levels": 8}
    whole = score_filters(model, images[:40], labels[:40], LAYERS, batch_size=20, **options)
    more = torch.cat([images, 5 + images[:1]]), torch.cat([labels, labels[:1]])
    ragged = score_filters(model, *more, LAYERS, batch_size=20, **options)
    alone = score_filters(model, images, labels, LAYERS, batch_size=100, **options)
    once = score_filters(model, images, labels, LAYERS, batch_size=40, **options)
    for layer in LAYERS:
        assert np.array_equal(whole[layer], ragged[layer])
        assert np.array_equal(alone[layer], once[layer])


def test_maps_of_other_filters_are_refused():
    """The next ReLU in the order of the modules is that of a later, wider layer."""
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 1), nn.ReLU())
    words = (
        r"'2' does not follow the 3 filters of '0': its output has shape \(40, 4, 4, 4\); "
        'view="convolution"'
    )
    with pytest.raises(ValueError, match=words):
        score_filters(net, *batch(), ["0"], score="HRel")


def test_quantised():
    T = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    T[:, 2] = 7.0
    before = T.clone()
    found = quantised(T, levels=8)
    assert found.dtype == torch.uint8
    assert torch.equal(T, before)
    for f in (0, 1, 3):
        low, high = T[:, f].min(), T[:, f].max()
        expected = torch.floor((T[:, f] - low) / (high - low) * 7)
        assert torch.equal(found[:, f].float(), expected)
        assert (found[:, f].min(), found[:, f].max()) == (0, 7)
    assert (found[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("T", "levels", "words"),
    [
        (torch.zeros(1, 1, 2, 2), 1, "levels must lie between 2 and 256, got 1"),
        (torch.zeros(1, 1, 2, 2), 257, "got 257"),
        (torch.zeros(1, 2, 2), 8, r"got \(1, 2, 2\)"),
        (torch.zeros(0, 1, 2, 2), 8, r"got \(0, 1, 2, 2\)"),
        (torch.full((1, 1, 2, 2), torch.inf), 8, "NaN or infinite"),
    ],
)
def test_refused_maps(T, levels, words):
    with pytest.raises(ValueError, match=words):
        quantised(T, levels=levels)


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("score", ["HRel", "spatial entropy", "plug-in"])
def test_what_tells_the_label_scores_highest_and_nothing_scores_zero(model, score):
    images, labels = batch()
    widths = {"conv1": 0.5}
    options = {"score": score, "widths": widths, "levels": 4}
    if score == "spatial entropy":  # relative entropies: constant maps have none, told or not
        images[:, 0] += torch.rand(40, 4, 4, generator=torch.Generator().manual_seed(1)) / 9
    found = score_filters(model, images, labels, ["conv1"], **options)["conv1"]
    assert found.dtype == np.float64
    if score != "spatial entropy":
        assert found[0] == pytest.approx(2.0, abs=0.03)
    assert found[1] == pytest.approx(0.0, abs=1e-12)


def test_hrel_is_the_mean_over_batches_of_every_filter_alone(model):
    images, labels = batch()
    widths = {"conv1": 0.7, "conv2": 1.3}
    options = {"score": "HRel", "batch_size": 20, "widths": widths, "alpha": 1.4}
    found = score_filters(model, images, labels, LAYERS, **options)
    with torch.no_grad():
        first = torch.relu(model.conv1(images))
        maps = {"conv1": first, "conv2": torch.relu(model.conv2(first))}
    for layer, T in maps.items():
        for f, value in enumerate(found[layer]):
            parts = [
                renyi_information(T[rows, f], labels[rows], kernel_width=widths[layer], alpha=1.4)
                for rows in (slice(0, 20), slice(20, 40))
            ]
            assert value == pytest.approx(np.mean(parts), abs=1e-9)


def test_hrel_finds_its_own_widths(model):
    images, labels = batch()
    widths = kernel_widths(model, images, labels, LAYERS)
    found = score_filters(model, images, labels, LAYERS, score="HRel")
    expected = score_filters(model, images, labels, LAYERS, score="HRel", widths=widths)
    for layer in LAYERS:
        np.testing.assert_array_equal(found[layer], expected[layer])


def test_spatial_scores_are_those_of_the_estimator(model):
    images, labels = batch()
    maps = quantised(model.conv1(images).detach(), levels=16)
    options = {"view": "convolution", "levels": 16, "batch_size": 100}
    for score, reading in (("spatial entropy", "literal"), ("plug-in", "raw")):
        found = score_filters(model, images, labels, ["conv1"], score=score, **options)["conv1"]
        expected = spatial_information_per_filter(maps, labels, levels=16, reading=reading)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_controls(model):
    images, labels = batch()
    magnitude = score_filters(model, images, labels, LAYERS, score="magnitude")
    np.testing.assert_allclose(magnitude["conv1"], [1.0, 0.0, 3.0])
    np.testing.assert_allclose(
        magnitude["conv2"], model.conv2.weight.detach().abs().sum((1, 2, 3)), rtol=1e-6
    )
    one, again, other = (
        score_filters(model, images, labels, LAYERS, score="random", seed=seed)
        for seed in (0, 0, 1)
    )
    assert [len(one[layer]) for layer in LAYERS] == [3, 2]
    np.testing.assert_array_equal(one["conv1"], again["conv1"])
    assert (one["conv1"] != other["conv1"]).all()


def test_the_model_is_left_as_it_is(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = batch()
    for score in SCORES:
        score_filters(model, images, labels, LAYERS, score=score)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": "L2"}, "score must be one of HRel, spatial entropy, plug-in, magnitude, random"),
        ({"score": "random", "layers": ["fc"]}, "no convolution 'fc'"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"labels": torch.zeros(3)}, "40 images and 3 labels"),
        ({"images": torch.zeros(0, 2, 4, 4), "labels": torch.zeros(0)}, "0 images and 0 labels"),
        ({"levels": 1}, "levels"),
    ],
)
def test_refused_scores(model, changes, words):
    images, labels = batch()
    options = {"images": images, "labels": labels, "layers": LAYERS, "score": "plug-in", **changes}
    with pytest.raises(ValueError, match=words):
        score_filters(model, **options)


# ---------------------------------------------------------------- counts, choices


def test_the_published_configurations_fit_their_networks():
    example = torch.zeros(1, 3, 32, 32)
    vgg = shared_channels(models.build("vgg16_bn", width=1 / 8), example)
    found = filters_kept(vgg, "24-40-64-77-176-134-120-141-56-56-56-56-56", width=1 / 8)
    assert found == [3, 5, 8, 10, 22, 17, 15, 18, 7, 7, 7, 7, 7]
    groups = shared_channels(models.build("resnet14", width=1 / 4), example)
    counts = dict(zip(groups, filters_kept(groups, "8-15-30"), strict=True))
    assert counts["conv1", "layer1.0.conv2", "layer1.1.conv2"] == 8
    assert {group[0]: n for group, n in counts.items() if len(group) == 1} == {
        f"layer{stage}.{block}.conv1": n
        for stage, n in ((1, 8), (2, 15), (3, 30))
        for block in (0, 1)
    }


@pytest.mark.parametrize(
    ("groups", "configuration", "words"),
    [
        ([("features.0",), ("features.2",)], "8", "'8' has 1 numbers for 2 groups"),
        ([("layer1.0.conv1",), ("layer1.1.conv1",), ("a",)], "8-15", "are not its stages"),
        ([("a",), ("b",)], "8-0", "'8-0' must be positive"),
    ],
)
def test_refused_configurations(groups, configuration, words):
    with pytest.raises(ValueError, match=words):
        filters_kept(groups, configuration)


def test_least_relevant():
    scores = {
        "a": np.array([3.0, 1.0, 2.0, 1.0]),
        "b": np.array([0.0, 4.0, 4.0, 4.0]),
        "c": np.array([1.0, 2.0]),
    }
    groups = [("a", "b"), ("c",)]
    assert least_relevant(scores, groups, [1, 2], [2, 5]) == {"a": [0, 1]}
    assert least_relevant(scores, groups, [3, 1], [5, 5]) == {"a": [0], "c": [0]}
    assert least_relevant(scores, groups, [4, 2], [5, 5]) == {}
    with pytest.raises(ValueError, match="shorter"):
        least_relevant(scores, groups, [1], [1])


def test_shared_channels_have_the_mean_score_of_their_layers():
    """By the mean channel 0 is the lowest, by the smallest or largest score it is another."""
    scores = {"a": np.array([0.0, 0.4, 0.9]), "b": np.array([0.6, 0.3, 0.9])}
    assert least_relevant(scores, [("a", "b")], [2], [1]) == {"a": [0]}
