"""What can be removed from a network, what it saves, and how a budget limits it."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ibcore.gradcam import modules_evaluating
from ibcore.pruning.surgery import channel_groups


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution or linear layer; ``reads`` and ``writes`` are numbers of groups or None.

    A depthwise convolution passes its group through: it writes it and reads none.
    """

    name: str
    linear: bool
    inputs: int
    outputs: int
    stride: int
    kernel: int
    weights: int
    macs: int
    reads: int | None
    writes: int | None


@dataclasses.dataclass(frozen=True)
class Structure:
    """Layers of a network and the groups of channels that can only be removed together.

    Attributes
    ----------
    layers : tuple of Layer
        Convolutions and linear layers in network order.
    groups : tuple of tuples of str
        Convolutions that share their output channels, see ``shared_channels``.
    channels : tuple of int
        Number of channels of each group.
    """

    layers: tuple[Layer, ...]
    groups: tuple[tuple[str, ...], ...]
    channels: tuple[int, ...]

    def readers(self, group: int) -> list[Layer]:
        """The layers whose inputs are the channels of a group."""
        return [layer for layer in self.layers if layer.reads == group]

    def macs(self, counts) -> np.ndarray:
        """Multiply-accumulates of one image when groups keep ``counts`` (..., groups) channels.

        The same as ``count_macs`` of the pruned network, without building it.
        """
        counts = np.asarray(counts, dtype=np.int64)
        total = np.zeros(counts.shape[:-1], dtype=np.int64)
        for layer in self.layers:
            part = layer.macs
            for group in (layer.reads, layer.writes):
                if group is not None:
                    part = part * counts[..., group] // self.channels[group]
            total += part
        return total


def trace(model: nn.Module, example: torch.Tensor) -> Structure:
    """The structure of a network.

    Parameters
    ----------
    model : torch.nn.Module
        Plain, residual, depthwise: every layer reads the whole of one group.
    example : tensor (n, ...)
        Input that the model takes.

    Raises
    ------
    ValueError
        For a convolution whose padding is a word, whose ``groups`` are neither 1 nor all its
        channels, or whose channels are the network's outputs; for a layer that reads several
        groups (concatenation) or several values of a channel (flattened maps).

    Examples
    --------
    >>> from ibcore import models
    >>> structure = trace(models.build("vgg11_bn", width=1 / 8), torch.zeros(1, 3, 32, 32))
    >>> structure.groups[:2], structure.channels[:2]
    ((('features.0',), ('features.4',)), (8, 16))
    """
    positions = _positions(model, example[:1])
    groups = channel_groups(model, example[:1])
    modules = dict(model.named_modules())
    reads, writes = {}, {}
    for number, (names, readers) in enumerate(groups.items()):
        channels = modules[names[0]].out_channels
        if not readers:
            raise ValueError(f"no layer reads the channels of {names[0]!r}: they are outputs")
        for name, lost in readers.items():
            if lost > 1 or _inputs(modules[name]) != channels:
                raise ValueError(
                    f"layer {name!r} has {_inputs(modules[name])} inputs for the {channels} "
                    f"channels of {names[0]!r}: flattened and concatenated maps are not handled"
                )
            reads[name] = number
        writes.update(dict.fromkeys(names, number))
    layers = tuple(
        _layer(name, modules[name], count, reads.get(name), writes.get(name))
        for name, count in positions.items()
    )
    channels = tuple(modules[names[0]].out_channels for names in groups)
    return Structure(layers, tuple(groups), channels)


def _inputs(module):
    return module.in_features if isinstance(module, nn.Linear) else module.in_channels


def _layer(name, module, positions, reads, writes):
    linear = isinstance(module, nn.Linear)
    weights = module.weight.numel()
    return Layer(
        name=name,
        linear=linear,
        inputs=_inputs(module),
        outputs=len(module.weight),
        stride=1 if linear else module.stride[0],
        kernel=1 if linear else module.kernel_size[0],
        weights=weights,
        macs=weights * positions,
        reads=reads,
        writes=writes,
    )


def _positions(model, example):
    """Name of each convolution and linear layer in use to its number of output positions."""
    found = {}

    def keep(name, module):
        if isinstance(module, nn.Conv2d) and (
            module.groups not in (1, module.in_channels) or isinstance(module.padding, str)
        ):
            raise ValueError(
                f"convolution {name!r} has groups={module.groups} and padding={module.padding!r}; "
                "plain and depthwise ones with numbers for padding are handled"
            )

        def hook(_, args, output):
            found[name] = output[0, 0].numel()

        return module.register_forward_hook(hook)

    handles = []
    try:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                handles.append(keep(name, module))
        with torch.no_grad(), modules_evaluating(model):
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return {name: found[name] for name, _ in model.named_modules() if name in found}


class Budget:
    r"""The largest share of multiply-accumulates that a pruned network may need.

    A group of n channels of which a share a is wanted keeps

    .. math:: d' = \min\Big(n,\; r \Big\lceil \frac{\mathrm{round}(n a)}{r} \Big\rceil\Big)

    and no fewer than that for the lowest allowed share.

    Parameters
    ----------
    structure : Structure
    macs_kept : float
        Share of the network's multiply-accumulates, in (0, 1].
    lowest : float
        Smallest share of channels that a group keeps, in (0, 1].
    round_to : int
        The multiple r.

    Raises
    ------
    ValueError
        For values outside these ranges, and if the smallest network exceeds the budget.

    Notes
    -----
    AMC's program cuts the ratio before it is rounded up, so that the network may exceed its budget
    a little. Here numbers of channels are cut, and it never does.
    """

    def __init__(
        self, structure: Structure, *, macs_kept: float, lowest: float = 0.2, round_to: int = 8
    ):
        for name, value in (("macs_kept", macs_kept), ("lowest", lowest)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {value}")
        if round_to < 1:
            raise ValueError(f"round_to must be positive, got {round_to}")
        self.structure, self.round_to = structure, round_to
        self.total = int(structure.macs(structure.channels))
        self.limit = int(macs_kept * self.total)
        self.smallest = self.rounded([lowest] * len(structure.channels))
        least = int(structure.macs(self.smallest))
        if least > self.limit:
            raise ValueError(
                f"macs_kept = {macs_kept} cannot be reached: with lowest = {lowest} the smallest "
                f"network keeps {least / self.total:.4f}"
            )

    def rounded(self, ratios: Sequence[float]) -> tuple[int, ...]:
        """Numbers of channels for shares of channels, whatever they cost."""
        step = self.round_to
        return tuple(
            min(n, step * max(1, -(-round(n * float(ratio)) // step)))
            for n, ratio in zip(self.structure.channels, ratios, strict=True)
        )

    def wall(self, decided: Sequence[int], ratio: float) -> int:
        """Number of channels for the next group, so that the rest can still meet the budget.

        ``decided`` holds the numbers of the groups before it; all later ones count with their
        smallest number.
        """
        group = len(decided)
        smallest = self.smallest[group]
        ratios = np.zeros(len(self.structure.channels))
        ratios[group] = ratio
        wanted = max(smallest, self.rounded(ratios)[group])
        choices = {*range(smallest, wanted, self.round_to), wanted}
        counts = np.tile([*decided, *self.smallest[group:]], (len(choices), 1))
        counts[:, group] = sorted(choices)
        fits = self.structure.macs(counts) <= self.limit
        return int(counts[fits, group].max())

    def fit(self, ratios: Sequence[float]) -> tuple[int, ...]:
        """Numbers of channels in these proportions, as large as the budget allows.

        Equal ratios give a uniformly thinner network, random ones a random network of the same
        cost. What rounding leaves of the budget goes to the groups that are furthest below their
        share. Raises ValueError unless there is one positive ratio for each group.
        """
        ratios = np.asarray(ratios, dtype=float)
        channels = np.array(self.structure.channels)
        if ratios.shape != channels.shape or not (ratios > 0).all():
            raise ValueError(f"{len(channels)} positive ratios are needed, got {ratios.tolist()}")
        low, high = 0.0, 1 / ratios.min()
        best = np.array(self.smallest)
        for _ in range(40):
            middle = (low + high) / 2
            counts = np.maximum(self.smallest, self.rounded(np.minimum(1, middle * ratios)))
            if self.structure.macs(counts) <= self.limit:
                low, best = middle, counts
            else:
                high = middle
        missing = np.minimum(1, high * ratios) - best / channels
        for group in np.argsort(-missing, kind="stable"):
            more = best.copy()
            more[group] = min(channels[group], more[group] + self.round_to)
            if self.structure.macs(more) <= self.limit:
                best = more
        return tuple(best.tolist())
