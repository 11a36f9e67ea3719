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

N_CALIBRATION, N_ENTROPY, POINTS = 1000, 4, 10


def images(n):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def stored(model, structure, pictures):
    """Inputs at sampled positions and outputs of every reading layer, as AMC's program keeps."""
    found, inputs, handles = {}, {}, []
    for layer in structure.layers:

        def keep(_, args, name=layer.name):
            inputs[name] = args[0]

        handles.append(model.get_submodule(layer.name).register_forward_pre_hook(keep))
    with torch.no_grad():
        model(pictures)
    for handle in handles:
        handle.remove()
    for layer in structure.layers:
        if layer.reads is None:
            continue
        module, X = model.get_submodule(layer.name), inputs[layer.name]
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
def by_regression(pruner, samples, counts, pictures):
    """Channels removed, every layer refitted with scikit-learn, and one validation pass."""
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
    model(pictures)
    return model


@torch.no_grad()
def map_by_map(model, pictures):
    """Mean entropy of the convolutions, one picture and one map after the other."""
    maps = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, output: maps.append(output))
    for picture in pictures[:N_ENTROPY]:
        model(picture[None])
    values = []
    for output in maps:
        for one in output.flatten(0, 1).numpy():
            scaled = (one - one.min()) / max(one.max() - one.min(), 1e-30)
            values.append(entropy((255 * scaled).astype(np.uint8)))
    return np.mean(values)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def test_one_episode(record_ratio):
    """A quarter of VGG16, cut to 20% of its multiply-accumulates; without what the agent does."""
    torch.set_num_threads(1)
    model = models.build("vgg16_bn", width=1 / 4).eval()
    pruner = Pruner(model, images(N_CALIBRATION), points=POINTS)
    parts = [stored(model, pruner.structure, part) for part in images(N_CALIBRATION).split(100)]
    samples = {
        name: [np.concatenate([part[name][i] for part in parts]) for i in range(2)]
        for name in parts[0]
    }
    counts = Budget(pruner.structure, macs_kept=0.2, round_to=1, lowest=0.1).fit([1.0] * 13)
    pictures = images(500)
    evaluate = Evaluation(
        pruner, pictures, torch.zeros(500).long(), reward="accuracy", entropy_images=N_ENTROPY
    )
    evaluate(counts)
    refitted = min(timed(lambda: evaluate.candidate(counts).accuracy) for _ in range(3))
    whole = min(timed(lambda: evaluate(counts)) for _ in range(3))
    slow_refitted = timed(lambda: by_regression(pruner, samples, counts, pictures))
    slow = by_regression(pruner, samples, counts, pictures)
    slow_entropy = timed(lambda: map_by_map(slow, pictures))
    note = "scikit-learn regression per layer"
    record_ratio("episode of AMC rewarded for accuracy", refitted, slow_refitted, note)
    note = f"{note}, scikit-image entropy per map, {N_ENTROPY} images"
    record_ratio("episode of AMC rewarded for entropy", whole, slow_refitted + slow_entropy, note)
