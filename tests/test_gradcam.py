"""Grad-CAM: by hand, against captum and torchcam, and what it must not leave behind."""

import gc
import os

import numpy as np
import psutil
import pytest
import torch
from captum.attr import LayerGradCam
from PIL import Image
from torch import nn
from torch.nn import functional
from torchcam.methods import GradCAM

from ibcore import gradcam
from ibcore._torchvision import torchvision
from ibcore.gradcam import degenerate, grad_cam, quantise


class Small(nn.Module):
    """Convolutions with everything that gets in the way: in-place ReLUs, batch norm, dropout."""

    def __init__(self, seed=0, inplace=True):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.relu = nn.ReLU(inplace=inplace)
            self.block = nn.Sequential(
                nn.Conv2d(6, 8, 3), nn.ReLU(inplace=inplace), nn.MaxPool2d(2)
            )
            self.drop = nn.Dropout(0.5)
            self.output = nn.Linear(8, 5)
        self.unused = nn.Conv2d(3, 1, 1)
        self.side = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        self.side(x)
        x = self.relu(self.norm(self.conv1(x)))
        return self.output(self.drop(self.block(x)).mean((2, 3)))


LAYERS = ["conv1", "norm", "relu", "block.0", "block.1", "block.2", "block"]


@pytest.fixture
def images():
    return torch.rand(4, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def scaled(maps):
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1)


def same(found, expected, atol=1e-5):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


# ---------------------------------------------------------------- other programs as oracles


def by_captum(model, images, layer, targets, relu):
    module = model.get_submodule(layer)
    maps = LayerGradCam(model, module).attribute(images, targets, relu_attributions=relu)
    return scaled(maps.detach().squeeze(1))


@pytest.mark.parametrize("relu", [True, False])
def test_captum(images, relu):
    model = Small(inplace=False).eval()
    targets = torch.tensor([0, 4, 2, 2])
    found = grad_cam(model, images, LAYERS, targets=targets, relu=relu)
    assert list(found) == LAYERS
    for layer in LAYERS:
        same(found[layer], by_captum(model, images, layer, targets, relu))


def test_torchcam(images):
    model = Small(inplace=False).eval()
    targets = [1, 3, 0, 2]
    for layer in LAYERS[:-1]:
        with GradCAM(model, layer, input_shape=(3, 12, 10)) as extractor:
            maps = extractor(targets, model(images))[0]
        same(grad_cam(model, images, [layer], targets=targets)[layer], scaled(maps.detach()))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("vgg11_bn", ["features.0", "features.1", "features.2", "features.25", "features.28"]),
        ("resnet18", ["conv1", "layer1.0.bn2", "layer1.0", "layer2", "layer4.1.conv2"]),
        ("densenet121", ["features.conv0", "features.denseblock1", "features.norm5"]),
        ("googlenet", ["conv1.conv", "inception3a", "maxpool4", "inception5b"]),
    ],
)
def test_torchvision_networks(name, layers):
    """In-place ReLUs, in-place additions, concatenations: captum sees a copy without the former."""
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng(devices=[]):
        model = getattr(torchvision.models, name)(num_classes=6, **options).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    targets = model(images).argmax(1)
    found = grad_cam(model, images, layers)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    for layer in layers:
        if layer == "layer1.0.bn2":  # overwritten by `out += identity`: captum sees the sum
            continue
        same(found[layer], by_captum(model, images, layer, targets, True), 1e-4)


def test_an_addition_in_place_does_not_overwrite_the_layer(images):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Identity()

        def forward(self, x):
            out = self.layer(2 * x)
            out += 100
            return out.mean((2, 3)) ** 2

    weights = 2 * (2 * images + 100).mean((2, 3))
    best = weights.argmax(1)
    expected = torch.stack([(2 * images)[i, c] for i, c in enumerate(best)])
    same(grad_cam(Residual(), images, ["layer"], relu=False)["layer"], scaled(expected))


# ---------------------------------------------------------------- by hand


def test_all_layers_at_once_equal_one_by_one_and_image_by_image(images):
    model = Small()
    together = grad_cam(model, images, LAYERS)
    for layer in LAYERS:
        assert together[layer].shape[0] == 4
        alone = grad_cam(model, images, [layer])[layer]
        same(together[layer], alone)
        for i in range(4):
            same(grad_cam(model, images[i : i + 1], [layer])[layer][0], alone[i])


def test_in_place_relus_change_nothing(images):
    usual, in_place = Small(inplace=False), Small(inplace=True)
    one, other = (grad_cam(model, images, LAYERS, relu=False) for model in (usual, in_place))
    for layer in LAYERS:
        assert torch.equal(one[layer], other[layer])


def test_the_network_may_begin_with_an_in_place_operation(images):
    model = nn.Sequential(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    signed = images - 0.5
    before = signed.clone()
    assert grad_cam(model, signed, ["0"])["0"].shape == (4, 12, 10)
    assert torch.equal(signed, before)


def test_argmax_is_the_default(images):
    model = Small().eval()
    best = model(images).argmax(1)
    assert torch.equal(
        grad_cam(model, images, ["block"])["block"],
        grad_cam(model, images, ["block"], targets=best.numpy())["block"],
    )
    other = grad_cam(model, images, ["block"], targets=(best + 1) % 5)["block"]
    assert not torch.equal(other, grad_cam(model, images, ["block"])["block"])


def test_a_module_used_twice_counts_with_its_last_output(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.AvgPool2d(2)

        def forward(self, x):
            return self.pool(self.pool(x)).mean((2, 3))

    found = grad_cam(Twice(), images, ["pool"], targets=[0] * 4)["pool"]
    same(found, scaled(functional.avg_pool2d(images, 4)[:, 0]))


def test_size(images):
    maps = grad_cam(Small(), images, ["block"])["block"]
    for size, shape in ((7, (7, 7)), ((20, 9), (20, 9)), ([20, 9], (20, 9))):
        resized = grad_cam(Small(), images, ["block"], size=size)["block"]
        expected = functional.interpolate(maps[:, None], shape, mode="bilinear")[:, 0]
        same(resized, expected)


def test_resized_maps_do_not_exceed_one():
    """Weights of 1/12 and 11/12 in float32 add up to more than 1."""

    class Map(nn.Module):
        def __init__(self):
            super().__init__()
            self.same = nn.Identity()

        def forward(self, x):
            return self.same(x).mean((2, 3))

    map_ = torch.tensor([[[[0.7083, 0.0, 0.0, 1.0]]]])
    expected = functional.interpolate(map_, 6, mode="bilinear")
    assert expected.max() > 1
    assert grad_cam(Map(), map_, ["same"], targets=[0], size=6)["same"].max() == 1


def test_degenerate_maps(images):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.fill_(-1)
        model[0].bias.zero_()
    images[0] = 0
    maps = grad_cam(model, images, ["0", "1"])
    assert degenerate(maps["0"]).tolist() == [True] * 4  # all negative, so zero after the ReLU
    assert maps["0"].eq(0).all()
    assert degenerate(maps["1"].numpy()).tolist() == [True] * 4  # a single pixel
    without = grad_cam(model, images, ["0"], relu=False)["0"]
    assert degenerate(without).tolist() == [True, False, False, False]


# ---------------------------------------------------------------- the model afterwards


def state(model):
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [(name, p.requires_grad, p.grad) for name, p in model.named_parameters()],
        [dict(module._forward_hooks) for module in model.modules()],
        [b.clone() for b in model.buffers()],
    )


def assert_same_state(model, before):
    modes, parameters, hooks, buffers = state(model)
    assert modes == before[0]
    assert [(n, r) for n, r, _ in parameters] == [(n, r) for n, r, _ in before[1]]
    assert all(g is h for (*_, g), (*_, h) in zip(parameters, before[1], strict=True))
    assert hooks == before[2]
    assert all(torch.equal(b, c) for b, c in zip(buffers, before[3], strict=True))


def test_the_model_is_left_as_it_was_found(images):
    model = Small().train()
    model.block.eval()
    model.conv1.bias.requires_grad_(False)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    calls = []
    model.norm.register_forward_hook(lambda *_: calls.append(1))
    before = state(model)
    images.requires_grad_()
    maps = grad_cam(model, images, LAYERS)
    assert_same_state(model, before)
    assert calls == [1]
    assert images.grad is None
    assert not any(one.requires_grad for one in maps.values())
    with pytest.raises(ValueError, match="targets run from 0 to 9"):
        grad_cam(model, images, LAYERS, targets=[0, 9, 1, 2])
    with pytest.raises(ValueError, match="needs maps"):
        grad_cam(model, images, ["conv1", "output"])
    assert_same_state(model, before)


@pytest.mark.parametrize("frozen", ["all", "first"])
def test_frozen_parameters(images, frozen):
    model = Small()
    expected = grad_cam(model, images, LAYERS)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(frozen != "all" and not name.startswith("conv1"))
    for layers in (LAYERS, LAYERS[::-1], LAYERS[3:]):
        found = grad_cam(model, images, layers)
        for layer in layers:
            same(found[layer], expected[layer])
            assert not found[layer].requires_grad


def test_under_other_gradient_modes(images):
    expected = grad_cam(Small(), images, LAYERS)["block"]
    with torch.no_grad():
        assert torch.equal(grad_cam(Small(), images, LAYERS)["block"], expected)
        assert not torch.is_grad_enabled()
    model = Small()
    with torch.inference_mode():
        found = grad_cam(model, images * 1, LAYERS)["block"]
    assert torch.equal(found, expected)


def test_no_memory_grows_over_a_thousand_calls(images):
    model = Small()
    process = psutil.Process(os.getpid())

    def tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    for _ in range(50):
        grad_cam(model, images, LAYERS)
    before, memory = tensors(), process.memory_info().rss
    gc.disable()  # nothing may hang in a cycle that waits for the collector
    try:
        for _ in range(1000):
            grad_cam(model, images, LAYERS)
        grown = process.memory_info().rss - memory
    finally:
        gc.enable()
    assert grown < 16 * 2**20
    assert tensors() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu(images):
    model = Small()
    expected = grad_cam(model, images, LAYERS)
    found = grad_cam(model.cuda(), images.cuda(), LAYERS)
    for layer in LAYERS:
        assert found[layer].is_cuda
        same(found[layer].cpu(), expected[layer], 1e-3)
        maps = quantise(expected[layer].cuda(), size=224)
        assert maps.is_cuda
        assert torch.equal(maps.cpu(), quantise(expected[layer], size=224))
        assert degenerate(maps).is_cuda


# ---------------------------------------------------------------- what is refused


class Strange(nn.Module):
    """Returns what it is told to, after a pooling."""

    def __init__(self, result):
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.pair = nn.Flatten()
        self.result = result

    def forward(self, x):
        return self.result(self.pool(x))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            ["conv2"],
            "unknown layer 'conv2'; layers of the model: conv1, norm, relu, block, block.0",
        ),
        ([""], "unknown layer ''"),
        ([], "0 layers and 4 images: nothing to explain"),
        (["conv1", "unused"], "layers not used in the forward pass: unused"),
        (["side", "conv1"], "layers without influence on the logits: side"),
        (["output"], r"layer 'output' gives \(4, 5\); Grad-CAM needs maps \(n, channels, h, w\)"),
    ],
)
def test_refused_layers(images, layers, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(Small(), images, layers)


def test_refused_images_and_outputs(images):
    with pytest.raises(ValueError, match="1 layers and 0 images"):
        grad_cam(Small(), images[:0], ["conv1"])
    for result, message in (
        (lambda x: x, r"must return logits \(4, classes\), got \(4, 3, 6, 5\)"),
        (lambda x: [x], "got <class 'list'>"),
        (lambda x: x.mean((2, 3))[:2], r"got \(2, 3\)"),
        (lambda x: x.mean((2, 3)).detach(), "layers without influence on the logits: pool"),
    ):
        with pytest.raises(ValueError, match=message):
            grad_cam(Strange(result), images, ["pool"])


def test_a_layer_that_gives_no_tensor_is_refused(images):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model = nn.Sequential(Pair())
    with pytest.raises(ValueError, match="layer '0' gives <class 'tuple'>"):
        grad_cam(model, images, ["0"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 1, 2], r"targets must be 4 class numbers, got torch.int64 \(3,\)"),
        ([0.0, 1, 2, 3], r"got torch.float32 \(4,\)"),
        ([True, False, True, False], r"got torch.bool \(4,\)"),
        (2, r"got torch.int64 \(\)"),
        ([0, 1, 2, 5], "targets run from 0 to 5, the classes to 4"),
        ([0, 1, 2, -1], "targets run from -1 to 2"),
    ],
)
def test_refused_targets(images, targets, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(Small(), images, ["conv1"], targets=targets)


@pytest.mark.parametrize("size", [0, 2.0, (3, 0), "33"])
def test_refused_sizes(images, size):
    with pytest.raises(ValueError, match="size must be one or two positive integers"):
        grad_cam(Small(), images, ["conv1"], size=size)
    with pytest.raises(ValueError, match="size must be one or two positive integers"):
        quantise(images[:, 0], size=size)


def test_refused_degenerate():
    for maps in (np.zeros((2, 2)), torch.zeros(2, 0, 3)):
        with pytest.raises(ValueError, match=r"maps must have shape \(n, h, w\), got"):
            degenerate(maps)


# ---------------------------------------------------------------- integer maps


def random_maps(n, h, w, seed=0, dtype=np.float32):
    maps = np.random.default_rng(seed).random((n, h, w)).astype(dtype)
    return np.where(maps > 0.7, 1, np.where(maps < 0.2, 0, maps)).astype(dtype)


def by_pillow(image, size, resample, order):
    how = {"lanczos": Image.Resampling.LANCZOS, "bilinear": Image.Resampling.BILINEAR}[resample]
    if order == "quantise-resize":
        return np.asarray(Image.fromarray(np.uint8(255 * image)).resize(size[::-1], how))
    resized = np.asarray(Image.fromarray(image).resize(size[::-1], how))
    return np.uint8(255 * np.clip(resized, 0, 1).astype(np.float64))


@pytest.mark.parametrize("resample", ["lanczos", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((7, 7), (224, 224)),
        ((55, 55), (224, 224)),
        ((13, 6), (31, 17)),
        ((40, 32), (9, 32)),
        ((1, 3), (5, 2)),
        ((8, 8), (8, 8)),
    ],
)
def test_pillow(resample, shape, size):
    """Bit for bit on bytes; on floating numbers up to a rounding at the edge of a level."""
    maps = random_maps(6, *shape)
    found = quantise(maps, size=size, resample=resample)
    expected = [by_pillow(m, size, resample, "quantise-resize") for m in maps]
    assert np.array_equal(found, expected)
    assert torch.equal(
        quantise(torch.from_numpy(maps), size=size, resample=resample), torch.from_numpy(found)
    )
    found = quantise(maps, size=size, resample=resample, order="resize-quantise")
    expected = np.stack([by_pillow(m, size, resample, "resize-quantise") for m in maps])
    assert found.dtype == np.uint8
    assert (found != expected).mean() < 0.002
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_rounding_and_levels():
    maps = np.linspace(0, 1, 1001).reshape(1, 7, 143)
    for levels in (2, 16, 256):
        assert np.array_equal(quantise(maps, levels=levels), np.floor(maps * (levels - 1)))
        nearest = quantise(maps, levels=levels, rounding="nearest")
        assert np.abs(nearest - maps * (levels - 1)).max() <= 0.5
        for order in ("quantise-resize", "resize-quantise"):
            resized = quantise(random_maps(3, 6, 6), levels=levels, size=30, order=order)
            assert resized.max() == levels - 1
            assert resized.min() == 0
    assert quantise(torch.ones(1, 2, 2, dtype=torch.float16)).eq(255).all()


@pytest.mark.parametrize("levels", [np.int64(8), np.uint8(200), np.int16(256)])
def test_levels_may_be_a_number_of_numpy(levels):
    maps = random_maps(3, 6, 6)
    for order in ("quantise-resize", "resize-quantise"):
        found = quantise(maps, levels=levels, size=9, order=order)
        assert np.array_equal(found, quantise(maps, levels=int(levels), size=9, order=order))


def test_quantise_changes_no_input():
    maps = random_maps(2, 5, 5)
    before = maps.copy()
    maps.flags.writeable = False
    quantise(maps)
    quantise(maps, size=9)
    assert np.array_equal(maps, before)
    tensor = torch.from_numpy(before.copy())
    quantise(tensor, size=9, order="resize-quantise")
    assert np.array_equal(tensor, before)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.zeros((2, 2)), {}, r"floating numbers \(n, h, w\), got torch.float64 \(2, 2\)"),
        (np.zeros((1, 2, 2), np.uint8), {}, "got torch.uint8"),
        (np.zeros((0, 2, 2)), {}, r"\(0, 2, 2\)"),
        (np.full((1, 2, 2), 1.5), {}, r"lie in \[0, 1\], got values from 1.5 to 1.5"),
        (np.full((1, 2, 2), -0.5), {}, "got values from -0.5"),
        (np.full((1, 2, 2), np.nan), {}, "got values from nan"),
        (np.zeros((1, 2, 2)), {"levels": 257}, "levels .* between 2 and 256, got 257"),
        (np.zeros((1, 2, 2)), {"levels": 1}, "got 1"),
        (np.zeros((1, 2, 2)), {"levels": 2.0}, r"got 2\.0"),
        (np.zeros((1, 2, 2)), {"levels": True}, "got True"),
        (np.zeros((1, 2, 2)), {"levels": np.bool_(True)}, "got np.True_"),
        (np.zeros((1, 2, 2)), {"levels": np.int64(257)}, r"got np.int64\(257\)"),
        (np.zeros((1, 2, 2)), {"resample": "cubic"}, "'lanczos' or 'bilinear', got 'cubic'"),
        (np.zeros((1, 2, 2)), {"order": "both"}, "or 'resize-quantise', got 'both'"),
        (np.zeros((1, 2, 2)), {"rounding": "up"}, "'floor' or 'nearest', got 'up'"),
    ],
)
def test_refused_maps(maps, options, message):
    with pytest.raises(ValueError, match=message):
        quantise(maps, **options)


def test_modes_come_back_after_an_error():
    model = Small().train()
    model.norm.eval()
    with gradcam.modules_evaluating(model):
        assert not any(module.training for module in model.modules())
    with pytest.raises(RuntimeError), gradcam.modules_evaluating(model):
        model(torch.zeros(1, 4, 8, 8))
    assert [m.training for m in (model, model.norm, model.conv1)] == [True, False, True]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_maps_that_are_not_finite_are_refused(value):
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"maps that are not finite \(images, weights\?\): 0"):
        grad_cam(model, torch.full((1, 1, 2, 2), value), ["0", "1"])
