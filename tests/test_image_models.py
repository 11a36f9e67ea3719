"""VGG, ResNet and the networks of torchvision for 32x32 images."""

import math

import pytest
import torch
from torch import nn

from ibcore import models
from ibcore.models._width import scaled
from ibcore.models.vgg import CONFIGURATIONS

REMOVED_4 = (
    *(64, 64, "M", 128, 128, "M", 256, "M"),
    *(512, 512, "M", 512, 512, "M"),
)
REMOVED_8 = (64, 64, "M", 128, "M", 256, "M", 512, "M", "M")
SMALL = [
    ("vgg11", 1 / 8),
    ("vgg16", 1 / 8),
    ("vgg16_bn", 1 / 8),
    ("resnet20", 1 / 4),
    ("resnet18", 1 / 8),
    ("resnet50", 1 / 8),
    ("densenet121", 1 / 8),
    ("googlenet", 1 / 8),
    ("mobilenet_v2", 1 / 4),
]


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("vgg16", {}, 15_245_130),
        ("vgg11", {}, 9_750_922),
        ("vgg16", {"configuration": REMOVED_4}, 9_345_354),
        ("vgg16", {"configuration": REMOVED_8}, 2_118_346),
        ("vgg16_bn", {}, 14_728_266),
        ("resnet20", {}, 269_722),
        ("resnet56", {}, 853_018),
        ("resnet110", {}, 1_727_962),
        # 7x7 -> 3x3 takes 64 * 3 * 40 weights away, 1,000 -> 10 classes 990 * (features + 1).
        ("resnet18", {}, 11_689_512 - 7_680 - 990 * 513),
        ("resnet50", {}, 25_557_032 - 7_680 - 990 * 2_049),
        ("densenet121", {}, 7_978_856 - 7_680 - 990 * 1_025),
        ("googlenet", {}, 6_624_904 - 7_680 - 990 * 1_025),
        ("mobilenet_v2", {}, 3_504_872 - 990 * 1_281),
    ],
)
def test_parameters(name, options, parameters):
    assert count(models.build(name, **options)) == parameters


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        # 3*9*8 + 8, 8*9*16 + 16, ... for vgg11 at an eighth of its width
        (
            "vgg11",
            {"width": 1 / 8},
            (224 + 1_168 + 4_640 + 9_248 + 18_496 + 3 * 36_928) + 2 * 4_160 + 650,
        ),
        ("vgg11", {"configuration": ("M", 4), "hidden": (), "channels": 1}, 40 + 50),
        (
            "resnet20",
            {"width": 1 / 2, "depth": 8, "channels": 1},
            (72 + 16) + (2 * 576 + 32) + (1_152 + 2_304 + 64) + (4_608 + 9_216 + 128) + 330,
        ),
    ],
)
def test_parameters_of_other_widths(name, options, parameters):
    assert count(models.build(name, **options)) == parameters


@pytest.mark.parametrize(("name", "width"), SMALL)
def test_measured_layers(name, width):
    model = models.build(name, width=width)
    layers = model.measured_layers
    assert [known for known, _ in model.named_modules() if known in layers] == layers
    sides, seen = {}, []

    def hook(module, arguments, output):
        seen.append(module)
        sides[module] = output.shape[2:]

    for layer in layers:
        model.get_submodule(layer).register_forward_hook(hook)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert model.eval()(images).shape == (3, 10)
    assert seen == [model.get_submodule(layer) for layer in layers]
    assert sides[seen[0]] == (32, 32)
    last = 1 if name.startswith("vgg") else 8 if name == "resnet20" else 4
    assert sides[seen[-1]] == (last, last)


def test_layers_of_vgg16_are_numbered_as_in_torchvision():
    model = models.build("vgg16", width=1 / 8)
    assert model.measured_layers == [f"features.{number}" for number in range(31)]
    kinds = {i: type(module) for i, module in enumerate(model.features)}
    assert [i for i, kind in kinds.items() if kind is nn.MaxPool2d] == [4, 9, 16, 23, 30]
    convolutions = [i for i, kind in kinds.items() if kind is nn.Conv2d]
    assert convolutions == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


@pytest.mark.parametrize(("name", "width"), SMALL)
def test_seeds(name, width):
    before = torch.get_rng_state()
    one, same, other = (models.build(name, seed=seed, width=width) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = models.build(name, seed=5, width=width).state_dict()
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
        assert torch.equal(value, again[key])
    differ = [
        not torch.equal(value, other.state_dict()[key])
        for key, value in one.named_parameters()
        if value.dim() > 1
    ]
    assert all(differ)


@pytest.mark.parametrize(("name", "width"), SMALL)
def test_training_needs_no_random_numbers(name, width):
    model = models.build(name, width=width).train()
    before = torch.get_rng_state()
    model(torch.ones(2, 3, 32, 32)).sum().backward()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_initial_weights_are_those_of_he():
    model = models.build("vgg16", width=1 / 2)
    convolution, linear = model.features[26], model.classifier[0]
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 256)), rel=0.01)
    assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.01)
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    assert len(biases) == 16
    assert not any(bias.any() for bias in biases)
    normalisation = models.build("resnet18", width=1 / 8).bn1
    assert torch.equal(normalisation.weight, torch.ones(8))


def test_resnet_block_adds_its_input():
    block = models.build("resnet20", width=1 / 4).layer2[0]
    nn.init.zeros_(block.conv2.weight)
    images = torch.rand(2, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    outputs = block.eval()(images)
    assert outputs.shape == (2, 8, 3, 3)
    assert torch.equal(outputs[:, 2:6], images[:, :, ::2, ::2])
    assert not outputs[:, :2].any()
    assert not outputs[:, 6:].any()


def test_narrow_keeps_depthwise_convolutions():
    model = models.build("mobilenet_v2", width=1 / 4)
    depthwise = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 17
    assert all(m.groups == m.in_channels == m.out_channels for m in depthwise)


def test_narrow_keeps_the_settings_of_the_layers():
    wide, small = (models.build("googlenet", width=width) for width in (1, 1 / 8))
    pairs = zip(wide.modules(), small.modules(), strict=True)
    for before, after in pairs:
        assert type(before) is type(after)
        for setting in ("kernel_size", "stride", "padding", "eps", "momentum"):
            assert getattr(before, setting, None) == getattr(after, setting, None)
    assert small.conv1.conv.in_channels == 3
    assert small.conv1.conv.bias is None


@pytest.mark.parametrize(("channels", "width"), [(64, 0.1), (4, 1 / 8), (16, 0), (16, -1)])
def test_scaled_refuses(channels, width):
    with pytest.raises(ValueError, match=f"width {width} makes .* of {channels} channels"):
        scaled(channels, width)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vgg16", {"configuration": ()}, "the configuration is empty"),
        ("vgg16", {"configuration": (8, "A")}, "holds channels and 'M', got 'A'"),
        ("vgg16", {"configuration": (8, 0)}, "holds channels and 'M', got 0"),
        ("vgg16", {"width": 1 / 3}, "width 0.333"),
        ("resnet18", {"width": 1 / 128}, "makes 0.5 of 64 channels"),
        ("resnet20", {"depth": 21}, r"depth must be 8, 14, 20, .* got 21"),
        ("resnet20", {"depth": 2}, "got 2"),
    ],
)
def test_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        models.build(name, **options)


def test_configurations_have_the_layers_in_their_names():
    for name, layers in CONFIGURATIONS.items():
        assert sum(entry != "M" for entry in layers) + 3 == int(name[3:])
