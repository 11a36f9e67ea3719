"""Networks: shapes and parameters counted by hand, initial weights by their distributions."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from ibcore import models
from ibcore.models.mlp import StackableLinear

SZT = {"num_classes": 2, "n_inputs": 12, "hidden": (10, 7, 5, 4, 3)}


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_names():
    audio, images = {"mini_resnet", "simple_cnn"}, {"vgg16", "vgg16_bn", "resnet56", "resnet18"}
    large = {"lenet", "imagenet_alexnet", "imagenet_squeezenet1_1"}
    assert {"cnn", "mlp"} | audio | images | large <= set(models.names())
    assert models.names() == sorted(models.names())


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (SZT, 130 + 77 + 40 + 24 + 15 + 8),
        ({"num_classes": 3, "n_inputs": 5, "hidden": ()}, 18),
        ({"n_inputs": 784, "hidden": [20]}, 15_700 + 210),
    ],
)
def test_mlp_parameters_and_shape(options, parameters):
    model = models.build("mlp", **options)
    assert count(model) == parameters
    assert model(torch.zeros(4, options["n_inputs"])).shape == (4, options.get("num_classes", 10))


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        # 1*9*3 + 3, then 3*9*3 + 3 for each of five; 28 - 2*5 = 18 pixels a side are left.
        ({"widths": (3,) * 6}, 30 + 5 * 84 + 18 * 18 * 3 * 10 + 10),
        ({"widths": [4], "image": (3, 8, 6), "num_classes": 2}, 3 * 9 * 4 + 4 + 48 * 4 * 2 + 2),
        (
            {"widths": (2, 5), "kernel_size": 5, "image": (1, 9, 9)},
            25 * 2 + 2 + 2 * 25 * 5 + 5 + 25 * 5 * 10 + 10,
        ),
    ],
)
def test_cnn_parameters_and_shape(options, parameters):
    model = models.build("cnn", **options)
    assert count(model) == parameters
    image = options.get("image", (1, 28, 28))
    assert model(torch.zeros(2, *image)).shape == (2, options.get("num_classes", 10))


@pytest.mark.parametrize(
    ("name", "options", "layers"),
    [
        ("mlp", SZT, [*(f"hidden{i}" for i in range(1, 6)), "output"]),
        ("cnn", {"widths": (1, 2)}, ["conv1", "conv2", "output"]),
    ],
)
def test_measured_layers_are_modules_in_network_order(name, options, layers):
    model = models.build(name, **options)
    assert model.measured_layers == layers
    assert [known for known, _ in model.named_modules() if known in layers] == layers


@pytest.mark.parametrize(("activation", "function"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_mlp_is_what_it_says(activation, function):
    model = models.build("mlp", **SZT, activation=activation, seed=4)
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(0))
    expected = x
    for layer in model.measured_layers[:-1]:
        linear = model.get_submodule(layer).linear
        expected = function(expected @ linear.weight.T + linear.bias)
    expected = expected @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(("activation", "function"), [("tanh", torch.tanh), ("relu", torch.relu)])
def test_cnn_is_what_it_says(activation, function):
    model = models.build("cnn", widths=(2, 3), activation=activation, image=(1, 7, 8))
    x = torch.randn(5, 1, 7, 8, generator=torch.Generator().manual_seed(0))
    first, second = model.conv1.convolution, model.conv2.convolution
    a = function(functional.conv2d(functional.pad(x, (1, 1, 1, 1)), first.weight, first.bias))
    b = function(functional.conv2d(a, second.weight, second.bias))
    assert a.shape == (5, 2, 7, 8)
    assert b.shape == (5, 3, 5, 6)
    torch.testing.assert_close(model(x), model.output(b.flatten(1)))


@pytest.mark.parametrize(("name", "options"), [("mlp", SZT), ("cnn", {"widths": (2, 2)})])
def test_seeds_are_reproducible_and_the_global_state_is_untouched(name, options):
    before = torch.get_rng_state()
    one, same, other = (models.build(name, seed=seed, **options) for seed in (5, 5, 6))
    torch.rand(3)
    again = models.build(name, seed=5, **options)
    torch.set_rng_state(before)
    models.build(name, seed=5, **options)
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
        assert torch.equal(value, again.state_dict()[key])
    weights = [m.output.weight for m in (one, other)]
    assert not torch.equal(*weights)


def wide(init):
    return models.build("mlp", num_classes=200, n_inputs=300, hidden=(500, 400), init=init)


def linear_layers(model):
    return [model.hidden1.linear, model.hidden2.linear, model.output]


def assert_truncated_normal(layer, scale):
    """A normal of standard deviation ``scale`` cut at two of them: not only its moments."""
    sample = layer.weight.detach().numpy().ravel() / scale
    assert np.abs(sample).max() <= 2 * (1 + 1e-6)
    assert np.abs(sample).max() > 1.99
    assert sample.std() == pytest.approx(stats.truncnorm(-2, 2).std(), rel=0.01)
    assert stats.kstest(sample, stats.truncnorm(-2, 2).cdf).pvalue > 1e-3


def assert_glorot(layer):
    limit = math.sqrt(6 / (layer.in_features + layer.out_features))
    sample = layer.weight.detach().numpy().ravel() / limit
    assert np.abs(sample).max() <= 1 + 1e-6
    assert stats.kstest(sample, stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_ibsgd_weights():
    *hidden, output = linear_layers(wide("ibsgd"))
    for layer, units in zip(hidden, (500, 400), strict=True):
        assert_truncated_normal(layer, 1 / math.sqrt(units))
    assert_glorot(output)


def test_idnns_weights():
    for layer, inputs in zip(linear_layers(wide("idnns")), (300, 500, 400), strict=True):
        assert_truncated_normal(layer, 1 / math.sqrt(inputs))


def test_glorot_weights():
    for layer in linear_layers(wide("glorot")):
        assert_glorot(layer)


def test_cnn_weights_are_glorot():
    model = models.build("cnn", widths=(40, 50), image=(3, 12, 12))
    for layer, (before, after) in ((model.conv1, (3, 40)), (model.conv2, (40, 50))):
        sample = layer.convolution.weight.detach().numpy().ravel()
        limit = math.sqrt(6 / (9 * before + 9 * after))
        assert stats.kstest(sample / limit, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert_glorot(model.output)


@pytest.mark.parametrize(
    "model",
    [
        *(models.build("mlp", **SZT, init=init) for init in ("ibsgd", "idnns", "glorot")),
        models.build("cnn", widths=(2, 2)),
    ],
)
def test_biases_are_zero(model):
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    assert len(biases) == len(model.measured_layers)
    assert not any(bias.any() for bias in biases)


def test_layers_do_not_repeat_each_others_draws():
    model = models.build("mlp", num_classes=4, n_inputs=4, hidden=(4, 4))
    first, second, _ = linear_layers(model)
    assert not torch.equal(first.weight, second.weight)


def test_stackable_linear_with_plain_weights_is_linear():
    layer = StackableLinear(3, 2)
    x = torch.randn(5, 3)
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))
    assert isinstance(layer, nn.Linear)


def test_stackable_linear_with_stacked_weights_is_one_linear_per_replica():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 2, 3, generator=generator)
    bias = torch.randn(4, 2, generator=generator)
    x = torch.randn(4, 5, 3, generator=generator)
    given = {"weight": weight, "bias": bias}
    stacked = torch.func.functional_call(StackableLinear(3, 2), given, (x,))
    for replica in range(4):
        expected = functional.linear(x[replica], weight[replica], bias[replica])
        torch.testing.assert_close(stacked[replica], expected)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mpl", {}, "unknown model 'mpl'; known models: cnn, .*mlp, "),
        ("mlp", {**SZT, "num_classes": 1}, "num_classes must be at least 2, got 1"),
        ("mlp", {**SZT, "n_inputs": 0}, r"layer widths must be positive, got 0 and \(10,"),
        ("mlp", {**SZT, "hidden": (3, 0)}, r"layer widths must be positive, got 12 and \(3, 0\)"),
        ("mlp", {**SZT, "activation": "tan"}, "unknown activation 'tan'; known: tanh, relu"),
        ("mlp", {**SZT, "init": "he"}, "unknown initialisation 'he'; known: glorot, ibsgd, idnns"),
        ("cnn", {"widths": ()}, r"widths must be positive and at least one, got \(\)"),
        ("cnn", {"widths": (2, 0)}, r"widths must be positive and at least one, got \(2, 0\)"),
        ("cnn", {"widths": (1, 1, 1), "image": (1, 9, 4)}, "3 convolutions of 3x3 .* a 9x4 image"),
        ("cnn", {"widths": (1,), "kernel_size": 0}, "kernel_size must be positive, got 0"),
        ("cnn", {"widths": (1, 1), "dense": (3, 0)}, r"at least one unit, got \(3, 0\)"),
        ("cnn", {"widths": (1, 1), "pool_after": 3}, r"pool_after must lie in 1..2, got 3"),
        (
            "cnn",
            {"widths": (1,), "pool_after": 1, "image": (1, 1, 9)},
            "1 convolutions of 3x3 leave nothing of a 1x9 image",
        ),
        ("cnn", {"widths": (1,), "activation": "tan"}, "unknown activation 'tan'"),
    ],
)
def test_refused(name, options, words):
    with pytest.raises(ValueError, match=words):
        models.build(name, **options)


def test_smallest_image_that_fits():
    model = models.build("cnn", widths=(1, 1, 1), image=(1, 5, 5), num_classes=2)
    assert model.output.in_features == 1


def test_cnn_with_pooling_and_dense_layers():
    model = models.build("cnn", widths=(2, 3, 4), pool_after=2, dense=(7, 5), image=(1, 12, 13))
    layers = ["conv1", "conv2", "pool", "conv3", "dense1", "dense2", "output"]
    assert model.measured_layers == layers
    images = torch.randn(6, 1, 12, 13, generator=torch.Generator().manual_seed(0))
    second = model.conv2(model.conv1(images))
    pooled = functional.max_pool2d(second, 2)
    third = model.conv3(pooled)
    assert (second.shape[1:], third.shape[1:]) == ((3, 10, 11), (4, 3, 3))
    expected = model.output(model.dense2(model.dense1(third.flatten(1))))
    torch.testing.assert_close(model(images), expected)
    assert model.dense1[0].in_features == 4 * 3 * 3


def test_the_document_s_networks_fit_its_images():
    """Fig. 8: 3-3-3-3-3 with 500-1024-500-10; Fig. 5: two 11x11 kernels, five 7x7."""
    dense = models.build("cnn", widths=[3] * 5, dense=(500, 1024, 500))
    sides = 28 - 4 * 2
    assert dense.dense1[0].in_features == 3 * sides**2
    assert models.build("cnn", widths=[3] * 2, kernel_size=11).output.in_features == 3 * 18**2
    assert models.build("cnn", widths=[3] * 5, kernel_size=7).output.in_features == 3 * 4**2


@pytest.mark.parametrize("hidden", [(5, 3), ()])
def test_mlp_flattens_images_alone_and_stacked(hidden):
    networks = [models.build("mlp", n_inputs=6, hidden=hidden, seed=seed) for seed in range(2)]
    images = torch.randn(2, 4, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([net(batch) for net, batch in zip(networks, images, strict=True)])
    torch.testing.assert_close(alone[0], networks[0](images[0].flatten(1)))
    weights, _ = torch.func.stack_module_state(networks)
    stacked = torch.func.functional_call(networks[0], weights, (images,))
    torch.testing.assert_close(alone, stacked)
