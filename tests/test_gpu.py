"""On a CUDA device: nothing large comes back to the host, and results are the CPU's.

Stated tolerance: 1e-8 bits for estimators, which compute in float64 everywhere; 1e-3 for Grad-CAM
maps and 1e-4 for trained weights, which are float32 and come from other convolutions; 1e-2 for
weights that were trained in bfloat16.
"""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ibcore import estimators, models
from ibcore.experiments import layer_freezing
from ibcore.gradcam import degenerate, grad_cam, quantise
from ibcore.training import fit

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
gpu = pytest.mark.gpu

N, D, LARGE = 600, 30, 512
"""Samples, features, and the number of values above which a copy to the host counts."""


class Copies(TorchDispatchMode):
    """Counts the values of the largest tensor that comes from a device to the host."""

    def __init__(self, device="cuda"):
        super().__init__()
        self.device, self.largest = device, 0

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        found = call(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.device.type == "cpu":
            given = [item for item in args if isinstance(item, torch.Tensor)]
            if any(item.device.type == self.device for item in given):
                self.largest = max(self.largest, found.numel())
        return found


def test_copies_are_seen():
    """With this processor in the place of a GPU, every result counts."""
    with Copies("cpu") as copies:
        torch.zeros(7).clone()
    assert copies.largest == 7
    with Copies("cuda") as copies:
        torch.zeros(7).clone()
    assert copies.largest == 0


def layer():
    rng = np.random.default_rng(0)
    T = torch.from_numpy(np.tanh(rng.standard_normal((N, D))).astype(np.float32))
    return T, torch.from_numpy(rng.integers(0, 10, N))


def maps():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 8, (2, 40, 20, 20), dtype=np.uint8))


def matrix(T):
    return estimators.gram_matrix(T[:200], kernel_width=2.0)


CALLS = {
    "aligned_kernel_width": lambda T, Y: estimators.aligned_kernel_width(T[:200], Y[:200]),
    "binned_entropy": lambda T, Y: estimators.binned_entropy(T, bin_width=0.5),
    "binned_information": lambda T, Y: estimators.binned_information(T, Y, bin_width=0.5),
    "binned_information_per_filter": lambda T, Y: estimators.binned_information_per_filter(
        T.view(N, 6, 5), Y, bin_width=0.5
    ),
    "count_distinct": lambda T, Y: estimators.count_distinct(T),
    "discrete_entropy": lambda T, Y: estimators.discrete_entropy(Y),
    "gram_matrix": lambda T, Y: matrix(T),
    "kde_information": lambda T, Y: estimators.kde_information(T, Y, noise_variance=0.1),
    "kde_information_bounds": lambda T, Y: estimators.kde_information_bounds(
        T, Y, noise_variance=0.1
    ),
    "ksg_information": lambda T, Y: estimators.ksg_information(T[:, :2], T[:, 1:3]),
    "nearest_neighbour_entropy": lambda T, Y: estimators.nearest_neighbour_entropy(T),
    "renyi_entropy": lambda T, Y: estimators.renyi_entropy(T[:500], kernel_width=2.0),
    "renyi_information": lambda T, Y: estimators.renyi_information(T[:500], Y[:500]),
    "renyi_information_per_filter": lambda T, Y: estimators.renyi_information_per_filter(
        T.view(N, 6, 5)[:200], Y[:200], kernel_width=2.0
    ),
    "renyi_joint_entropy": lambda T, Y: estimators.renyi_joint_entropy(matrix(T), matrix(T)),
    "renyi_mutual_information": lambda T, Y: estimators.renyi_mutual_information(
        matrix(T), matrix(T)
    ),
}
OF_MAPS = {
    "aura_matrix_entropy": lambda a, b: estimators.aura_matrix_entropy(a),
    "joint_aura_matrix_entropy": lambda a, b: estimators.joint_aura_matrix_entropy(a, b),
    "shuffled_pixels": lambda a, b: estimators.shuffled_pixels(a, rng=0),
    "spatial_disorder_entropy": lambda a, b: estimators.spatial_disorder_entropy(a, radius=2),
    "spatial_information": lambda a, b: estimators.spatial_information(a, b),
    "spatial_information_per_filter": lambda a, b: estimators.spatial_information_per_filter(
        torch.stack([a, b], 1), torch.arange(len(a), device=a.device) % 3
    ),
}


def test_every_estimator_is_here():
    assert {*CALLS, *OF_MAPS, "Information"} == set(estimators.__all__)


def numbers(found):
    return [torch.as_tensor(item, dtype=torch.float64).cpu().numpy() for item in found]


def compare(call, *tensors):
    """The same on both devices, without a large copy to the host."""
    expected = call(*tensors)
    given = [tensor.cuda() for tensor in tensors]
    kept = [tensor.clone() for tensor in given]
    with Copies() as copies:
        found = call(*given)
    assert copies.largest <= LARGE
    assert all(map(torch.equal, given, kept))
    if isinstance(expected, torch.Tensor):
        assert found.is_cuda
    if not isinstance(expected, list | tuple):
        expected, found = [expected], [found]
    for one, other in zip(numbers(found), numbers(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


@gpu
@cuda
@pytest.mark.parametrize("name", CALLS)
def test_estimators(name):
    compare(CALLS[name], *layer())


@gpu
@cuda
@pytest.mark.parametrize("name", OF_MAPS)
def test_estimators_of_maps(name):
    compare(OF_MAPS[name], *maps())


@pytest.mark.parametrize("name", [*CALLS, *OF_MAPS])
def test_the_calls_work_here(name):
    """So that these tests do not fail on a GPU for another reason."""
    call = {**CALLS, **OF_MAPS}[name]
    found = call(*(layer() if name in CALLS else maps()))
    found = found if isinstance(found, list | tuple) else [found]
    assert all(np.isfinite(item).all() for item in numbers(found))


@pytest.fixture
def whole_digits(monkeypatch):
    """Convolutions in float32, not in the 10 bits of TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return models.build("vgg11", width=0.125).eval()


@gpu
@cuda
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_grad_cam(whole_digits, memory_format):
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = small()
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][:4]
    targets = torch.arange(16) % 10
    expected = grad_cam(model, images, layers, targets=targets, size=32)
    model, images = model.cuda(), images.cuda().to(memory_format=memory_format)
    with Copies() as copies:
        found = grad_cam(model, images, layers, targets=targets.cuda(), size=32)
        whole = {layer: quantise(one) for layer, one in found.items()}
        dull = {layer: degenerate(one) for layer, one in whole.items()}
    assert copies.largest <= LARGE
    for layer in layers:
        assert found[layer].is_cuda
        assert whole[layer].is_cuda
        assert dull[layer].is_cuda
        torch.testing.assert_close(found[layer].cpu(), expected[layer], atol=1e-3, rtol=0)


def train(model, images, labels, device, **options):
    fit(
        [model],
        images,
        labels,
        epochs=2,
        seeds=[0],
        batch_size=16,
        optimiser="sgd",
        learning_rate=0.01,
        device=device,
        **options,
    )
    return torch.cat([parameter.detach().flatten().cpu() for parameter in model.parameters()])


@gpu
@cuda
def test_channels_last_training_is_training(whole_digits):
    """Two epochs of a small network in either layout, and on the CPU, end close together."""
    images = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    last = {"memory_format": torch.channels_last}
    expected = train(small(), images, labels, "cpu")
    plain = train(small(), images, labels, "cuda")
    turned = train(small().to(**last), images.to(**last), labels, "cuda")
    torch.testing.assert_close(plain, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(turned, expected, atol=1e-4, rtol=0)


@gpu
@cuda
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_training_is_training(whole_digits, memory_format):
    """Products have 8 significant bits; two epochs of them end near those of 24."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(64, 3, 32, 32, generator=generator).to(memory_format=memory_format)
    labels = torch.arange(64) % 10
    model = small().to(memory_format=memory_format)
    expected = train(small().to(memory_format=memory_format), images, labels, "cuda")
    found = train(model, images, labels, "cuda", precision="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


@gpu
@cuda
def test_narrow_networks_freeze_layers_on_the_device():
    """Networks this small would be stacked by default, and freeze nothing then."""
    config = layer_freezing.Config(
        dataset="cifar10",
        allow_standin="only",
        n_train=40,
        n_test=20,
        model="vgg11",
        model_options={"width": 1 / 32},
        epochs=3,
        batch_size=10,
        learning_rate=0.01,
        rules={
            "normal": {"choose": "never", "images": 10},
            "random": {"choose": "random", "images": 10},
        },
        checks=(2, 3),
        device="cuda",
    )
    assert set(layer_freezing.run(config, 0)["history"]["method"]) == {"normal", "random"}
