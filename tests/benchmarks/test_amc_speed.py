"""One episode of AMC beside the straightforward way, one thread."""

import time

import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix, graycoprops
from sklearn.linear_model import LinearRegression
from torch import nn
from torch.nn import functional

from ibcore import models
from ibcore.pruning.amc import Budget, Evaluation, Pruner
from ibcore.pruning.surgery import remove_channels

pytestmark = pytest.mark.benchmark

N_CALIBRATION, N_ENTROPY, POINTS = 300, 20, 10


def images(n):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def stored(model, structure, pictures):
    """Inputs at sampled positions and outputs of every reading layer, as AMC's program keeps."""
    found, inputs = {}, {}
    for layer in structure.layers:
        module = model.get_submodule(layer.name)
        module.register_forward_pre_hook(
            lambda _, args, name=layer.name: inputs.update({name: args})
        )
    with torch.no_grad():
        model(pictures)
    for layer in structure.layers:
        if layer.reads is None:
            continue
        module, (X,) = model.get_submodule(layer.name), inputs[layer.name]
        if not layer.linear:
            X = functional.unfold(X, layer.kernel, padding=module.padding, stride=module.stride)
            chosen = torch.randint(
                X.shape[2], (POINTS,), generator=torch.Generator().manual_seed(1)
            )
            X = X[:, :, chosen].transpose(1, 2).flatten(0, 1)
        found[layer.name] = X.numpy(), (X @ module.weight.detach().flatten(1).T).numpy()
    return found


def entropy(image):
    matrix = graycomatrix(image, [1], [0, np.pi / 2], levels=256, normed=True)
    pair = graycoprops(matrix, "entropy").mean() / np.log(2)
    share = np.bincount(image.ravel()) / image.size
    single = -(share[share > 0] * np.log2(share[share > 0])).sum()
    return (pair - single) / single if single else 0.0


@torch.no_grad()
def straightforward(pruner, samples, counts, pictures):
    """Regression of every layer with scikit-learn, entropy map by map with scikit-image."""
    structure = pruner.structure
    kept = [order[:n].sort().values for order, n in zip(pruner._order, counts, strict=True)]
    removed = {
        group[0]: [c for c in range(n) if c not in set(kept[number].tolist())]
        for number, (group, n) in enumerate(zip(structure.groups, structure.channels, strict=True))
    }
    model = remove_channels(pruner.model, pictures[:1], removed).eval()
    for layer in structure.layers:
        if layer.reads is None:
            continue
        X, Y = samples[layer.name]
        places = X.shape[1] // layer.inputs
        columns = (kept[layer.reads][:, None] * places + torch.arange(places)).flatten().numpy()
        outputs = slice(None) if layer.writes is None else kept[layer.writes].numpy()
        fitted = LinearRegression(fit_intercept=False).fit(X[:, columns], Y[:, outputs])
        weight = model.get_submodule(layer.name).weight
        weight.copy_(torch.from_numpy(fitted.coef_).reshape(weight.shape))
    maps = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, output: maps.append(output))
    for picture in pictures[:N_ENTROPY]:
        model(picture[None])
    model(pictures)
    values = []
    for output in maps[: 13 * N_ENTROPY]:
        for one in output.flatten(0, 1).numpy():
            scaled = (one - one.min()) / max(one.max() - one.min(), 1e-30)
            values.append(entropy((255 * scaled).astype(np.uint8)))
    return np.mean(values)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("width", [1 / 8, 1 / 4])
def test_one_episode(record_ratio, width):
    """VGG16 cut to 20% of its multiply-accumulates; the agent's share of an episode is left out."""
    torch.set_num_threads(1)
    model = models.build("vgg16_bn", width=width).eval()
    pruner = Pruner(model, images(N_CALIBRATION), points=POINTS)
    samples = stored(model, pruner.structure, images(N_CALIBRATION))
    counts = Budget(pruner.structure, macs_kept=0.2, round_to=1, lowest=0.1).fit([1.0] * 13)
    pictures = images(500)
    evaluate = Evaluation(
        pruner, pictures, torch.zeros(500).long(), reward="accuracy", entropy_images=N_ENTROPY
    )
    evaluate(counts)
    ours = min(timed(lambda: evaluate(counts)) for _ in range(3))
    theirs = timed(lambda: straightforward(pruner, samples, counts, pictures))
    record_ratio(
        f"episode of AMC, VGG16 width {width:g}", ours, theirs,
        "scikit-learn regression per layer, scikit-image entropy per map",
    )  # fmt: skip
