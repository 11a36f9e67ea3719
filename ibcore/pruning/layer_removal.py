"""Removing whole convolutions from a VGG network where they do not lower the spatial entropy."""

from collections.abc import Sequence

import torch
from torch import nn

from ibcore.models.vgg import POOLING, VGG

ORDERS = ("middle first", "early first")

DOCUMENT = (5, 5, 6, 6, 6, 6, 6, 3, 1)
"""Removals that lead from VGG16 to the thesis's networks after 4 and after 8 removals.

Each number counts the convolutions left at that time, from 0. The 9th takes the second convolution
of 64 channels, which the thesis says hurts. None of them changes the channels of a neighbour.
"""


def configuration_of(model: VGG) -> tuple[int | str, ...]:
    """The network's features as torchvision lists them: channels, and ``"M"`` for a max-pooling.

    Examples
    --------
    >>> from ibcore import models
    >>> configuration_of(models.build("vgg11", width=1 / 64))
    (1, 'M', 2, 'M', 4, 4, 'M', 8, 8, 'M', 8, 8, 'M')
    """
    entries = []
    for module in model.features:
        if isinstance(module, nn.Conv2d):
            entries.append(module.out_channels)
        elif isinstance(module, nn.MaxPool2d):
            entries.append(POOLING)
    return tuple(entries)


def without(configuration: Sequence[int | str], number: int) -> tuple[int | str, ...]:
    """The configuration without its convolution ``number``, counted from 0.

    Raises ValueError if it has no such convolution, or no other one.

    Examples
    --------
    >>> without((64, "M", 128, 128, "M"), 1)
    (64, 'M', 128, 'M')
    """
    places = [place for place, entry in enumerate(configuration) if entry != POOLING]
    if not 0 <= number < len(places):
        raise ValueError(f"no convolution {number} among {len(places)}")
    if len(places) == 1:
        raise ValueError("the only convolution of a network cannot be removed")
    place = places[number]
    return (*configuration[:place], *configuration[place + 1 :])


def _weighted(model: VGG) -> dict[str, nn.Module]:
    """Convolutions, batch normalisations and linear layers in network order."""
    kinds = nn.Conv2d | nn.BatchNorm2d | nn.Linear
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def without_convolution(model: VGG, number: int, *, seed: int) -> tuple[VGG, list[str]]:
    """A network that lacks one convolution and otherwise keeps its weights.

    Its batch normalisation and ReLU go with it. Where the removed convolution changed the number of
    channels, the next layer with weights no longer fits: it is made anew for the other width, with
    initial weights.

    Parameters
    ----------
    model : VGG
        Not changed.
    number : int
        Of the convolution, counted from 0.
    seed : int
        Of the initial weights.

    Returns
    -------
    VGG, list of str
        The smaller network on the same device, and the names (in it) of the layers that were made
        anew: at most one.

    Raises
    ------
    ValueError
        As ``without``.
    """
    old = _weighted(model)
    linear = [module for module in old.values() if isinstance(module, nn.Linear)]
    norms = any(isinstance(module, nn.BatchNorm2d) for module in old.values())
    smaller = VGG(
        configuration=without(configuration_of(model), number),
        num_classes=linear[-1].out_features,
        generator=torch.Generator().manual_seed(seed),
        batch_norm=norms,
        hidden=[layer.out_features for layer in linear[:-1]],
        channels=model.features[0].in_channels,
    )
    first = number * (2 if norms else 1)
    kept = list(old.values())
    del kept[first : first + (2 if norms else 1)]
    anew = []
    for (name, layer), source in zip(_weighted(smaller).items(), kept, strict=True):
        if layer.weight.shape == source.weight.shape:
            layer.load_state_dict(source.state_dict())
        else:
            anew.append(name)
    return smaller.to(linear[0].weight.device), anew


def steps_of_convolutions(model: VGG) -> dict[int, tuple[str, str]]:
    """For every convolution but the first: the layers whose maps lie before and after it.

    Before is the ReLU or pooling that feeds the convolution, after is its own ReLU; both are names
    as in ``model.named_modules()``.

    Examples
    --------
    >>> from ibcore import models
    >>> steps_of_convolutions(models.build("vgg11", width=1 / 64))[1]
    ('features.2', 'features.4')
    """
    modules = list(model.features)
    places = [place for place, module in enumerate(modules) if isinstance(module, nn.Conv2d)]
    after = [
        next(p for p in range(place, len(modules)) if isinstance(modules[p], nn.ReLU))
        for place in places
    ]
    return {
        number: (f"features.{place - 1}", f"features.{after[number]}")
        for number, place in enumerate(places)
        if place > 0
    }


def choose(
    steps: dict[int, float], configuration: Sequence[int | str], *, order: str
) -> tuple[int, bool]:
    """Which convolution to remove: one across which the entropy does not fall.

    Parameters
    ----------
    steps : dict
        Convolution to the entropy after minus the entropy before it; NaN where there was nothing
        to measure.
    configuration : sequence of int and "M"
        Of the network.
    order : {"middle first", "early first"}
        Which of several: the one nearest to the input ("early first"), or nearest to the input
        among those behind at least half of the poolings (rounded down), before all others ("middle
        first").

    Returns
    -------
    int, bool
        The convolution, and whether its entropy does not fall. If it falls everywhere, the smallest
        fall is taken. A step without a value counts as no fall: a layer without maps shows nothing.

    Raises
    ------
    ValueError
        For an unknown order or no steps.

    Notes
    -----
    The document gives the rule, not the choice among several candidates; its results (two
    convolutions of 256 and two of 512 channels first, then the others of 512, then one of 128) fit
    "starting from the mid-end level of the network" read as "middle first".

    References
    ----------
    Muşat's thesis, section 2.1.4.

    Examples
    --------
    >>> configuration = (8, "M", 8, "M", 8, 8, "M", "M")
    >>> choose({1: 0.1, 2: 0.2, 3: -0.3}, configuration, order="early first")
    (1, True)
    >>> choose({1: 0.1, 2: 0.2, 3: -0.3}, configuration, order="middle first")
    (2, True)
    >>> choose({1: -0.1, 2: -0.2, 3: -0.3}, configuration, order="middle first")
    (1, False)
    """
    if order not in ORDERS:
        raise ValueError(f"order must be {' or '.join(ORDERS)}, got {order!r}")
    if not steps:
        raise ValueError("no convolution to choose from")
    rising = [number for number, step in steps.items() if not step < 0]
    if not rising:
        return max(steps, key=steps.get), False
    if order == "early first":
        return min(rising), True
    poolings, behind = 0, []
    for entry in configuration:
        if entry == POOLING:
            poolings += 1
        else:
            behind.append(poolings)
    return min(rising, key=lambda number: (behind[number] < poolings // 2, number)), True
