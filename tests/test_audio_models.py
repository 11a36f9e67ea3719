"""The audio networks: layers by name, shapes, parameters counted by hand, batch normalisation."""

import pytest
import torch
from torch import nn

from ibcore import models
from ibcore.recording import record_activations

CLIPS = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def shapes(model, clips=CLIPS):
    found = record_activations(model, clips, model.measured_layers)
    return {layer: tuple(T.shape[1:]) for layer, T in found.items()}


def test_simple_cnn():
    model = models.build("simple_cnn", num_classes=8)
    assert shapes(model) == {
        "conv1.activation": (4, 16, 16),
        "conv2.activation": (8, 8, 8),
        "conv3.activation": (16, 4, 4),
        "conv4.activation": (32, 2, 2),
        "pool": (32, 1, 1),
        "output": (8,),
    }
    kinds = [type(module).__name__ for module in model.conv1]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d"]
    counted = sum(p.numel() for p in model.parameters())
    convolutions = sum(9 * a * b + b for a, b in ((1, 4), (4, 8), (8, 16), (16, 32)))
    assert counted == convolutions + 2 * (4 + 8 + 16 + 32) + 32 * 8 + 8


def test_simple_cnn_options():
    model = models.build(
        "simple_cnn",
        channels=[8, 32],
        kernel_size=5,
        stride=1,
        activation="tanh",
        pooling="max",
        in_channels=2,
    )
    clips = torch.rand(3, 2, 9, 12)
    found = shapes(model, clips)
    assert found["conv1.activation"] == (8, 9, 12)
    assert found["pool"] == (32, 1, 1)
    assert len(model.measured_layers) == 4
    maps = record_activations(model, clips, ["conv2.normalisation", "pool"])
    highest = maps["conv2.normalisation"].amax((2, 3))
    torch.testing.assert_close(maps["pool"].flatten(1), highest)


def test_mini_resnet():
    model = models.build("mini_resnet", num_classes=8)
    assert shapes(model) == {
        "conv1": (16, 16, 16),
        "layer1.0": (16, 16, 16),
        "layer1.1": (16, 16, 16),
        "layer2.0": (32, 8, 8),
        "layer2.1": (32, 8, 8),
        "pool": (32, 1, 1),
        "output": (8,),
    }
    maps = record_activations(model, CLIPS, ["layer2", "layer2.1", "pool", "output"])
    torch.testing.assert_close(maps["layer2"], maps["layer2.1"])
    torch.testing.assert_close(maps["pool"].flatten(1), maps["layer2"].mean((2, 3)))
    torch.testing.assert_close(maps["output"], model.output(maps["pool"].flatten(1)).detach())


def test_mini_resnet_options():
    model = models.build(
        "mini_resnet", channels=[4, 8, 8], blocks=1, stride=1, pooling="max", activation="tanh"
    )
    found = shapes(model)
    assert list(found) == ["conv1", "layer1.0", "layer2.0", "pool", "output"]
    assert found["layer1.0"] == (8, 32, 32)
    assert found["layer2.0"] == (8, 16, 16)


def test_a_block_whose_convolutions_are_silent_is_its_shortcut():
    model = models.build("mini_resnet").eval()
    block = model.layer1[1]
    nn.init.zeros_(block.normalisation2.weight)
    inputs = torch.rand(2, 16, 5, 5)
    torch.testing.assert_close(block(inputs), inputs)


@pytest.mark.parametrize("name", ["simple_cnn", "mini_resnet"])
def test_an_untrained_network_in_evaluation_mode_is_not_normalised(name):
    """Running mean 0 and variance 1: batch normalisation divides by sqrt(1 + 1e-5) only."""
    model = models.build(name, seed=3)
    plain = models.build(name, seed=3)
    for parent in plain.modules():
        for child, module in parent.named_children():
            if isinstance(module, nn.BatchNorm2d):
                setattr(parent, child, nn.Identity())
    for layer in model.measured_layers:
        found, expected = (record_activations(m, CLIPS, [layer])[layer] for m in (model, plain))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["simple_cnn", "mini_resnet"])
def test_the_seed_decides_the_weights_and_nothing_else_is_drawn(name):
    state = torch.get_rng_state()
    first, same, other = (models.build(name, seed=s).output.weight for s in (1, 1, 2))
    torch.testing.assert_close(first, same, rtol=0, atol=0)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("simple_cnn", {"channels": ()}, r"must be positive, got \(0, 3, 2\)"),
        ("simple_cnn", {"channels": (4, 0)}, r"must be positive, got \(4, 0, 3, 2\)"),
        ("simple_cnn", {"stride": 0}, "channels, kernel_size and stride must be positive"),
        ("simple_cnn", {"kernel_size": -1}, "channels, kernel_size and stride must be positive"),
        ("simple_cnn", {"activation": "sine"}, "unknown activation 'sine'"),
        ("simple_cnn", {"pooling": "median"}, "unknown pooling 'median'; known: average, max"),
        ("mini_resnet", {"channels": (4, 8)}, r"channels must be three numbers, got \(4, 8\)"),
        ("mini_resnet", {"channels": (4, 8, 0)}, "channels, blocks and stride must be positive"),
        ("mini_resnet", {"blocks": 0}, r"must be positive, got \(16, 16, 32, 0, 2\)"),
        ("mini_resnet", {"pooling": "median"}, "unknown pooling 'median'"),
        ("mini_resnet", {"activation": "sine"}, "unknown activation 'sine'"),
    ],
)
def test_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        models.build(name, **options)
