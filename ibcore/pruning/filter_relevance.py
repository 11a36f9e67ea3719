"""Which filters to remove: scores by information about the label, and controls without any.

A filter is an output channel of a convolution. Its score is computed from its maps on some images;
the filters with the lowest scores go first. Where layers share their channels, as in the stream of
a residual stage, a channel has the mean score of its layers.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from ibcore.estimators import (
    aligned_kernel_width,
    renyi_information_per_filter,
    spatial_information_per_filter,
)
from ibcore.recording import record_activations

SCORES = ("HRel", "spatial entropy", "plug-in", "magnitude", "random")
VIEWS = ("activated", "convolution")
_SMOOTHING = 0.9


def map_layers(model: nn.Module, layers: Sequence[str], *, view: str) -> dict[str, str]:
    """The module whose output is taken as the maps of each convolution.

    Parameters
    ----------
    model : torch.nn.Module
    layers : sequence of str
        Names of convolutions.
    view : {"activated", "convolution"}
        The next ReLU of the network (HRel on VGG), or the convolution itself (HRel on ResNet).
        "Next" in the order of ``model.named_modules()``: for networks that use each ReLU once, in
        that order. In residual networks take "convolution".

    Raises
    ------
    ValueError
        For an unknown view or layer, or a convolution without a ReLU after it.

    Examples
    --------
    >>> from ibcore import models
    >>> map_layers(models.build("vgg11_bn", width=1 / 8), ["features.0"], view="activated")
    {'features.0': 'features.2'}
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(VIEWS)}, got {view!r}")
    modules = dict(model.named_modules())
    names = list(modules)
    found = {}
    for layer in layers:
        if not isinstance(modules.get(layer), nn.Conv2d):
            raise ValueError(f"no convolution {layer!r}; modules: {', '.join(filter(None, names))}")
        after = (name for name in names[names.index(layer) :] if type(modules[name]) is nn.ReLU)
        found[layer] = layer if view == "convolution" else next(after, None)
        if found[layer] is None:
            raise ValueError(f"no ReLU after layer {layer!r}")
    return found


def _batches(model, images, labels, layers, view, batch_size):
    """Maps of every layer and labels, one batch of images after the other."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive, got {batch_size}")
    if len(images) != len(labels) or len(images) == 0:
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    places = map_layers(model, layers, view=view)
    wanted = list(dict.fromkeys(places.values()))
    whole = (len(images) - len(images) % batch_size) or len(images)
    parts = images[:whole].split(batch_size), labels[:whole].split(batch_size)
    for some, own in zip(*parts, strict=True):
        recorded = record_activations(model, some, wanted)
        for layer, place in places.items():
            shape, filters = tuple(recorded[place].shape), model.get_submodule(layer).out_channels
            if shape[1:2] != (filters,):
                raise ValueError(
                    f"{place!r} does not follow the {filters} filters of {layer!r}: its output has "
                    f'shape {shape}; view="convolution" looks at the convolution itself'
                )
        yield {layer: recorded[place] for layer, place in places.items()}, own


def kernel_widths(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    layers: Sequence[str],
    *,
    view: str = "activated",
    batch_size: int = 100,
) -> dict[str, float]:
    r"""Kernel width of every layer as HRel finds it: aligned with the labels, smoothed.

    .. math:: \sigma \leftarrow 0.9\,\sigma + 0.1\,\sigma^*

    with :math:`\sigma^*` the `aligned_kernel_width` of the whole layer on one batch; the first
    batch starts.

    Parameters
    ----------
    model : torch.nn.Module
    images, labels : tensors (n, ...) and (n,)
        On the model's device.
    layers : sequence of str
        Names of convolutions.
    view : {"activated", "convolution"}
        See `map_layers`.
    batch_size : int
        An incomplete last batch is left out, unless it is the only one.

    Returns
    -------
    dict
        Layer to width, in the convention of `ibcore.estimators.gram_matrix`.

    Raises
    ------
    ValueError
        As `map_layers`; for no images, labels that do not fit, a batch size that is not positive,
        and maps of another number of filters than the convolution has.

    Notes
    -----
    Departures: the public code smooths while the network learns, one step per mini-batch. Here the
    trained network sees the batches.

    References
    ----------
    Sarvani et al. (2022), HRel; Wickstrøm et al. (2019).
    """
    widths: dict[str, float] = {}
    for maps, own in _batches(model, images, labels, layers, view, batch_size):
        for layer, T in maps.items():
            width = aligned_kernel_width(T, own)
            widths[layer] = _SMOOTHING * widths.get(layer, width) + (1 - _SMOOTHING) * width
    return widths


def quantised(T: torch.Tensor, *, levels: int = 256) -> torch.Tensor:
    r"""Maps of filters as grey levels, each filter between its extremes over all images.

    .. math:: q = \lfloor (L - 1) (t - \min_f) / (\max_f - \min_f) \rfloor

    Parameters
    ----------
    T : floating tensor (n, filters, h, w)
    levels : int
        L, from 2 to 256.

    Returns
    -------
    uint8 tensor (n, filters, h, w)
        A constant filter becomes 0.

    Raises
    ------
    ValueError
        For other shapes or numbers of levels, and for values that are not finite.

    Examples
    --------
    >>> quantised(torch.tensor([1.0, 2.0, 2.9, 3.0]).view(1, 1, 2, 2), levels=3).flatten().tolist()
    [0, 1, 1, 2]
    """
    if not 2 <= levels <= 256:
        raise ValueError(f"levels must lie between 2 and 256, got {levels}")
    if T.dim() != 4 or T.numel() == 0:
        raise ValueError(f"maps of filters have shape (n, filters, h, w), got {tuple(T.shape)}")
    low, high = T.amin((0, 2, 3), keepdim=True), T.amax((0, 2, 3), keepdim=True)
    span = high - low
    if not torch.isfinite(span).all():
        raise ValueError("the maps hold NaN or infinite values")
    scaled = (T - low).div_(torch.where(span > 0, span, 1.0))
    return scaled.mul_(levels - 1).to(torch.uint8)


def score_filters(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    layers: Sequence[str],
    *,
    score: str,
    view: str = "activated",
    batch_size: int = 100,
    widths: Mapping[str, float] | None = None,
    alpha: float = 1.01,
    levels: int = 256,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    r"""Score of every filter of some convolutions, the mean over batches of images.

    "HRel": matrix-based :math:`I_\alpha(T_f; Y)` of a filter's flattened maps, in bits. "spatial
    entropy": :math:`H_{AME}(T_f) - H_{AME}(T_f, Y)`, the document's information with H(Y) = 0, no
    unit. "plug-in": the same information in bits, without relative entropies. "magnitude": sum of
    the absolute weights. "random": uniform numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Used in evaluation mode and left as it is.
    images, labels : tensors (n, ...) and (n,)
        On the model's device.
    layers : sequence of str
        Names of convolutions.
    score : {"HRel", "spatial entropy", "plug-in", "magnitude", "random"}
    view : {"activated", "convolution"}
        See `map_layers`.
    batch_size : int
        Images that are looked at together; an incomplete last batch is left out, unless it is the
        only one.
    widths : mapping, optional
        Kernel width of every layer for HRel; by default `kernel_widths` of these images.
    alpha : float
        Order of HRel's entropy.
    levels : int
        Grey levels of the maps for the two scores from pixel pairs.
    seed : int
        Of the random score.

    Returns
    -------
    dict
        Layer to float64 array (filters,).

    Raises
    ------
    ValueError
        For an unknown score, and as `map_layers`, `kernel_widths`, `quantised` and the estimators.

    References
    ----------
    Sarvani et al. (2022), HRel; Muşat, PhD thesis, section 3.2; Li et al. (2017) for the magnitude.
    """
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    if score in ("magnitude", "random"):
        map_layers(model, layers, view=view)
        weights = {layer: model.get_submodule(layer).weight.detach() for layer in layers}
        if score == "magnitude":
            return {
                layer: w.abs().double().sum((1, 2, 3)).cpu().numpy() for layer, w in weights.items()
            }
        rng = np.random.default_rng(seed)
        return {layer: rng.random(len(w)) for layer, w in weights.items()}
    if score == "HRel" and widths is None:
        widths = kernel_widths(model, images, labels, layers, view=view, batch_size=batch_size)
    found: dict[str, list] = {layer: [] for layer in layers}
    for maps, own in _batches(model, images, labels, layers, view, batch_size):
        for layer, T in maps.items():
            if score == "HRel":
                values = renyi_information_per_filter(
                    T, own, kernel_width=widths[layer], alpha=alpha
                )
            else:
                values = spatial_information_per_filter(
                    quantised(T, levels=levels),
                    own,
                    levels=levels,
                    reading="literal" if score == "spatial entropy" else "raw",
                )
            found[layer].append(values)
    return {layer: torch.stack(values).mean(0).cpu().numpy() for layer, values in found.items()}


def filters_kept(
    groups: Sequence[Sequence[str]], configuration: str, *, width: float = 1.0
) -> list[int]:
    """How many filters a configuration leaves in each group of layers.

    Parameters
    ----------
    groups : sequence of sequences of str
        As from `ibcore.pruning.surgery.shared_channels`.
    configuration : str
        Numbers as the documents print them: one per group (``"24-40-64"``), or one per stage of a
        residual network (``"8-15-30"``), whose layers are called ``layer1...``, ``layer2...``.
    width : float
        Factor of all numbers, for narrower networks; rounded, at least 1.

    Raises
    ------
    ValueError
        If the numbers fit neither the groups nor the stages, or are not positive.

    Examples
    --------
    >>> filters_kept([("conv1", "layer1.0.conv2"), ("layer1.0.conv1",)], "8")
    [8, 8]
    >>> filters_kept([("features.0",), ("features.2",)], "24-41", width=1 / 8)
    [3, 5]
    """
    numbers = [int(number) for number in configuration.split("-")]
    stages = [re.match(r"layer(\d+)\.", group[-1]) for group in groups]
    if len(numbers) != len(groups):
        indices = [int(stage[1]) - 1 if stage else -1 for stage in stages]
        if sorted(set(indices)) != list(range(len(numbers))):
            raise ValueError(
                f"configuration {configuration!r} has {len(numbers)} numbers for {len(groups)} "
                "groups of layers, and these are not its stages"
            )
        numbers = [numbers[index] for index in indices]
    if min(numbers) < 1:
        raise ValueError(f"every number in configuration {configuration!r} must be positive")
    return [max(1, round(number * width)) for number in numbers]


def least_relevant(
    scores: Mapping[str, np.ndarray],
    groups: Sequence[Sequence[str]],
    kept: Sequence[int],
    steps: Sequence[int],
) -> dict[str, list[int]]:
    """The filters with the lowest scores, a limited number from every group.

    Parameters
    ----------
    scores : mapping
        Layer to scores of its filters.
    groups : sequence of sequences of str
        Layers that share their channels; a channel has the mean score of its layers.
    kept : sequence of int
        Per group, how many filters have to stay.
    steps : sequence of int
        Per group, how many may go at most.

    Returns
    -------
    dict
        First layer of a group to the numbers of its filters to remove, ascending, of equal ones the
        first. Groups that lose nothing are left out.

    Examples
    --------
    >>> scores = {"a": np.array([0.1, 0.5, 0.2]), "b": np.array([0.7, 0.3, 0.2])}
    >>> least_relevant(scores, [("a", "b")], [2], [1]), least_relevant(scores, [("a",)], [1], [5])
    ({'a': [2]}, {'a': [0, 2]})
    """
    removed = {}
    for group, stays, step in zip(groups, kept, steps, strict=True):
        mean = np.mean([scores[layer] for layer in group], axis=0)
        count = min(step, len(mean) - stays)
        if count > 0:
            removed[group[0]] = sorted(np.argsort(mean, kind="stable")[:count].tolist())
    return removed
