"""Spatial entropy and Grad-CAM beside scikit-image and captum, one thread, one run."""

import time

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from scipy.ndimage import gaussian_filter
from skimage.feature import graycomatrix, graycoprops

from ibcore._torchvision import torchvision
from ibcore.estimators import aura_matrix_entropy
from ibcore.gradcam import grad_cam

pytestmark = pytest.mark.benchmark


def best_of(call, repeats=5):
    """Return the shortest time in seconds and the result, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def co_occurrence(image):
    return graycomatrix(image, [1], [0, np.pi / 2, np.pi, 3 * np.pi / 2], levels=256, normed=True)


def by_graycomatrix(image):
    pair = graycoprops(co_occurrence(image), "entropy").mean() / np.log(2)
    share = np.bincount(image.ravel()) / image.size
    single = -(share[share > 0] * np.log2(share[share > 0])).sum()
    return (pair - single) / single


@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_aura_matrix_entropy(record_ratio, size, kind):
    values = np.random.default_rng(0).random((64, size, size))
    if kind == "smooth":
        values = gaussian_filter(values, (0, size / 20, size / 20))
    low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    maps = (255 * (values - low) / (high - low)).astype(np.uint8)
    ours, found = best_of(lambda: aura_matrix_entropy(maps))
    theirs, expected = best_of(lambda: [by_graycomatrix(image) for image in maps[:16]])
    np.testing.assert_allclose(found[:16], expected, atol=1e-12)
    name = f"aura matrix entropy {size}x{size}, {kind}, per map"
    record_ratio(name, ours / 64, theirs / 16, "scikit-image graycomatrix, graycoprops")
    alone, _ = best_of(lambda: [co_occurrence(image) for image in maps[:16]])
    record_ratio(name, ours / 64, alone / 16, "scikit-image graycomatrix alone")


def test_grad_cam(record_ratio):
    """The 13 convolutions of VGG16 for 32 images of 32x32; captum sees ReLUs out of place."""
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        model = torchvision.models.vgg16(num_classes=10).eval()
    model.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    model.classifier = torch.nn.Linear(512, 10)
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    layers = [f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = model(images).argmax(1)

    def by_captum():
        return [
            LayerGradCam(model, model.get_submodule(layer))
            .attribute(images, targets, relu_attributions=True)
            .detach()
            for layer in layers
        ]

    ours, found = best_of(lambda: grad_cam(model, images, layers, targets=targets), 3)
    theirs, expected = best_of(by_captum, 2)
    for one, other in zip(found.values(), expected, strict=True):
        low, high = other.amin((2, 3), keepdim=True), other.amax((2, 3), keepdim=True)
        scaled = (other - low) / torch.where(high > low, high - low, 1)
        torch.testing.assert_close(one[:, None], scaled, atol=1e-4, rtol=0)
    record_ratio("Grad-CAM, 13 convolutions of VGG16, 32x32x32", ours, theirs, "captum, layer loop")
