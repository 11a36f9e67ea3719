"""Scoring all 4,224 filters of VGG16 on 100 images: HRel the obvious way, batched, spatial entropy.

One thread. The obvious way is that of the public program, with a Python loop over filters, all
pairwise differences of a filter's maps, and full eigendecompositions of two matrices.
"""

import math
import time

import numpy as np
import pytest
import torch

from ibcore import models
from ibcore.estimators import renyi_information_per_filter, spatial_information_per_filter
from ibcore.pruning.filter_relevance import kernel_widths, map_layers, quantised
from ibcore.recording import record_activations

pytestmark = pytest.mark.benchmark

IMAGES = 100
BATCHES = 500
"""Of 100 images in an epoch of CIFAR-10, over which HRel takes the mean."""


def entropy(matrix):
    values = torch.linalg.eigh(matrix)[0].abs()
    return -(values * torch.log2(values + 1e-30)).sum()


def obvious(T, Y, width):
    """The program's way, one filter after the other, in single precision."""
    one_hot = torch.nn.functional.one_hot(Y).float()
    labels = torch.exp(-(torch.cdist(one_hot, one_hot) ** 2) / 0.1**2)
    information = []
    for f in range(T.shape[1]):
        rows = T[:, f].flatten(1)
        distances = torch.norm(rows[:, None] - rows[None], dim=2)
        kernel = torch.exp(-(distances**2) / (2 * width**2))
        joint = kernel * labels
        joint, kernel = joint / joint.trace(), kernel / kernel.trace()
        information.append(entropy(kernel) + math.log2(10) - entropy(joint))
    return torch.stack(information)


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def test_scoring_the_filters_of_vgg16(record_ratio):
    torch.set_num_threads(1)
    model = models.build("vgg16_bn")
    images = torch.rand(IMAGES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(IMAGES) % 10
    layers = [n for n, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)]
    widths = kernel_widths(model, images, labels, layers)
    places = map_layers(model, layers, view="activated")
    recorded = record_activations(model, images, list(places.values()))
    maps = {layer: recorded[places[layer]] for layer in layers}

    def batched():
        return [
            renyi_information_per_filter(maps[x], labels, kernel_width=widths[x]) for x in layers
        ]

    def spatial():
        return [
            spatial_information_per_filter(quantised(maps[x]), labels, reading="literal")
            for x in layers
        ]

    last = layers[-1]
    spatial_information_per_filter(quantised(maps[last]), labels)  # compiles
    renyi_information_per_filter(maps[last], labels, kernel_width=widths[last])
    ours, found = timed(batched)
    pairs = min(timed(spatial)[0] for _ in range(3))
    theirs, expected = timed(lambda: [obvious(maps[x], labels, widths[x]) for x in layers])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=0.05)
    record_ratio("HRel, batched, VGG16, 100 images", ours, theirs, "filter by filter")
    record_ratio("spatial entropy, VGG16, 100 images", pairs, theirs, "HRel filter by filter")
    note = f"HRel filter by filter on {BATCHES} batches, from the time of one"
    record_ratio("spatial entropy, VGG16, as published", pairs, theirs * BATCHES, note)
