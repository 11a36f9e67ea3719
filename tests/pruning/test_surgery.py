"""Channels removed for good: as masking where masks are exact, consistent where layers share."""

import copy

import pytest
import torch
from torch import nn

from ibcore import models
from ibcore.pruning.surgery import (
    _ShortcutPruner,
    count_macs,
    count_parameters,
    measure_latency,
    remove_channels,
    shared_channels,
)


def images(n=2, side=32):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def trained_looking(name, **options):
    """A network with batch statistics and affine parameters away from their initial values."""
    model = models.build(name, **options)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.weight, module.bias, module.running_mean, module.running_var):
                value.data.copy_(torch.rand(value.shape, generator=generator) + 0.1)
    return model.eval()


def silence(module, channels):
    """Make output channels of a batch normalisation zero."""
    module.weight.data[channels] = 0
    module.bias.data[channels] = 0


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [0, 7, 40])
def test_removing_is_masking_in_a_plain_network(layer):
    model = trained_looking("vgg16_bn", width=1 / 8)
    removed = [0, 3, 6]
    smaller = remove_channels(model, images(), {f"features.{layer}": removed})
    masked = copy.deepcopy(model)
    silence(masked.features[layer + 1], removed)
    close(smaller(images()), masked(images()))
    assert smaller.features[layer].out_channels == model.features[layer].out_channels - 3
    kept = [c for c in range(model.features[layer].out_channels) if c not in removed]
    torch.testing.assert_close(smaller.features[layer].weight, model.features[layer].weight[kept])


def test_removing_a_channel_of_a_residual_stage_is_masking_it_everywhere():
    """A stage's channel is silent if no layer writes into it, the shortcut included."""
    model = trained_looking("resnet14", width=1 / 2)
    stage2 = [0, 5, 6, 11]  # 0 is padding of the shortcut, 5, 6 and 11 are channels 1, 2, 7
    stage1 = [2, 3]
    smaller = remove_channels(
        model,
        images(),
        {
            "conv1": stage1,
            "layer2.0.conv2": stage2,
            "layer3.1.conv1": [1],
            "layer3.1.conv2": [0, 31],
        },
    )
    masked = copy.deepcopy(model)
    for bn in (masked.bn1, masked.layer1[0].bn2, masked.layer1[1].bn2):
        silence(bn, stage1)
    for bn in (masked.layer2[0].bn2, masked.layer2[1].bn2):
        silence(bn, stage2)
    for bn in (masked.layer3[0].bn2, masked.layer3[1].bn2):
        silence(bn, [0, 31])
    silence(masked.layer3[1].bn1, [1])
    placed = masked.layer2[0].shortcut.placed
    kept = ~torch.isin(placed, torch.tensor(stage2))
    masked.layer2[0].shortcut.placed = placed[kept]
    masked.layer2[0].shortcut.taken = masked.layer2[0].shortcut.taken[kept]
    close(smaller(images()), masked(images()))
    assert smaller.layer2[0].shortcut.in_channels == 6
    assert smaller.layer2[0].shortcut.out_channels == smaller.layer2[1].conv2.out_channels == 12
    assert smaller.layer3[0].shortcut.out_channels == smaller.fc.in_features == 30
    again = remove_channels(smaller, images(), {"layer2.1.conv2": [0]})
    assert again(images()).shape == (2, 10)


def test_a_stage_may_become_narrower_than_the_one_before():
    model = models.build("resnet8")
    cut = {"layer2.0.conv2": range(4, 32), "conv1": [15]}
    smaller = remove_channels(model, images(), cut)
    shortcut = smaller.layer2[0].shortcut
    assert (shortcut.in_channels, shortcut.out_channels) == (15, 4)
    assert shortcut.taken.tolist() == []
    pruner = _ShortcutPruner()
    assert pruner.get_in_channels(shortcut) == 15
    assert smaller(images()).shape == (2, 10)


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "densenet121", "googlenet"])
def test_every_group_of_every_network_can_be_cut(name):
    model = models.build(name, width=1 / 4)
    groups = shared_channels(model, images())
    named = [layer for group in groups for layer in group]
    convolutions = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]
    assert sorted(named) == sorted(convolutions)
    smaller = remove_channels(model, images(), {group[0]: [1] for group in groups})
    for layer in convolutions:
        before, after = model.get_submodule(layer), smaller.get_submodule(layer)
        assert after.out_channels == before.out_channels - 1
    assert count_parameters(smaller) < count_parameters(model)
    smaller(images()).sum().backward()


def test_shared_channels():
    groups = shared_channels(models.build("resnet14", width=1 / 4), images())
    assert groups[0] == ("conv1", "layer1.0.conv2", "layer1.1.conv2")
    assert ("layer2.0.conv2", "layer2.1.conv2") in groups
    assert ("layer3.1.conv1",) in groups
    assert len(groups) == 3 + 6
    assert all(len(group) == 1 for group in shared_channels(models.build("vgg11"), images()))


def test_depthwise_convolutions_follow():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=4, padding=1), nn.Conv2d(4, 5, 1)
    )
    assert shared_channels(model, images()) == [("0", "1"), ("2",)]
    smaller = remove_channels(model, images(), {"0": [2]})
    assert (smaller[1].groups, smaller[2].in_channels) == (3, 3)


def test_linear_layers_lose_units():
    model = models.build("vgg11", width=1 / 8)
    smaller = remove_channels(model, images(), {"classifier.0": [0, 1, 9]})
    assert smaller.classifier[0].out_features == smaller.classifier[2].in_features == 61


def test_the_model_is_left_as_it_is():
    model = models.build("resnet8", width=1 / 2)
    model.layer1.eval()
    model.conv1.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with torch.inference_mode():
        smaller = remove_channels(model, images(), {"conv1": [0]})
        shared_channels(model, images())
    assert [module.training for module in model.modules()] == modes
    assert [module.training for module in smaller.modules()] == modes
    assert not model.conv1.weight.requires_grad
    assert not smaller.conv1.weight.requires_grad
    assert smaller.fc.weight.requires_grad
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_nothing_to_remove_gives_an_equal_copy():
    model = models.build("vgg11", width=1 / 8)
    same = remove_channels(model, images(), {"features.0": []})
    assert same is not model
    torch.testing.assert_close(same(images()), model(images()))


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"features.99": [0]}, "no layer with channels 'features.99'; such layers: .*features.0"),
        ({"features.1": [0]}, "no layer with channels 'features.1'"),
        ({"features.0": [8]}, r"channels 0 to 7, of which one has to stay; got \[8\]"),
        ({"features.0": [-1]}, r"got \[-1\] to remove"),
        ({"features.0": [1, 1]}, r"got \[1, 1\] to remove"),
        ({"features.0": range(8)}, r"got \[0, 1, 2, 3, 4, 5, 6, 7\] to remove"),
        ({"classifier.4": [0]}, r"classifier.4 gives the outputs .* \(2, 10\) to \(2, 9\)"),
    ],
)
def test_refused(channels, words):
    with pytest.raises(ValueError, match=words):
        remove_channels(models.build("vgg11", width=1 / 8), images(), channels)


def test_layers_that_share_cannot_both_be_named():
    model = models.build("resnet8", width=1 / 2)
    with pytest.raises(ValueError, match=r"'conv1' and 'layer1.0.conv2' share their channels"):
        remove_channels(model, images(), {"conv1": [0], "layer1.0.conv2": [0]})


def test_a_layer_that_is_not_used_is_unknown():
    model = models.build("resnet8", width=1 / 2)
    model.spare = nn.Conv2d(3, 4, 1)
    assert all("spare" not in group for group in shared_channels(model, images()))
    with pytest.raises(ValueError, match="no layer with channels 'spare'"):
        remove_channels(model, images(), {"spare": [0]})


def test_counts_of_known_networks():
    """VGG16 with batch normalisation has 14,728,266 parameters and 313 million multiplications."""
    model = models.build("vgg16_bn")
    sides = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]
    widths = [64, 64, 128, 128, 256, 256, 256, *[512] * 6]
    macs = sum(
        9 * before * after * side**2
        for before, after, side in zip([3, *widths], widths, sides, strict=False)
    )
    assert count_parameters(model) == 14_728_266
    assert count_macs(model, images()) == count_macs(model, images(1)) == macs + 512 * 10


def test_counting_and_timing_leave_the_network_as_it_was():
    """Test images must not reach the running means of batch normalisation."""
    network = models.build("vgg11_bn", width=1 / 8).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_macs(network, images())
    measure_latency(network, images(4), repeats=2)
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_latency_counts_work_done():
    class Counting(nn.Module):
        calls = 0

        def forward(self, inputs):
            Counting.calls += 1
            return inputs

    assert 0 < measure_latency(Counting(), images(), repeats=4) < 1
    assert Counting.calls == 5
    with pytest.raises(ValueError, match="repeats must be positive, got 0"):
        measure_latency(Counting(), images(), repeats=0)
