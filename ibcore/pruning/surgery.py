"""Removing channels for good, through torch-pruning's dependency graph, and what it saves.

A removed output channel of a layer takes along everything that depends on it: its batch
normalisation, the inputs of the layers that read it, and the same channel of every layer that is
added to it. The result is a smaller network, not a masked one.
"""

import copy
import time
from collections.abc import Mapping, Sequence

import torch
import torch_pruning
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ibcore.gradcam import modules_evaluating
from ibcore.models.resnet import Shortcut

_WITH_CHANNELS = (nn.Conv2d, nn.Linear)


class _ShortcutPruner(torch_pruning.pruner.function.BasePruningFunc):
    """Tells torch-pruning how channels pass through ``ibcore.models.resnet.Shortcut``."""

    def prune_in_channels(self, layer, idxs):
        layer.taken, kept = _renumbered(layer.taken, idxs, layer.in_channels)
        layer.placed = layer.placed[kept]
        layer.in_channels -= len(idxs)
        return layer

    def prune_out_channels(self, layer, idxs):
        layer.placed, kept = _renumbered(layer.placed, idxs, layer.out_channels)
        layer.taken = layer.taken[kept]
        layer.out_channels -= len(idxs)
        return layer

    def check(self, layer, idxs, to_output):
        """Nothing: the inherited check compares removed inputs with the number of outputs."""

    def get_in_channels(self, layer):
        return layer.in_channels

    def get_out_channels(self, layer):
        return layer.out_channels


def _renumbered(channels, removed, n):
    """The channels that stay, with their numbers after the removal, and which ones they are."""
    stays = torch.ones(n, dtype=torch.bool, device=channels.device)
    stays[list(removed)] = False
    kept = stays[channels]
    return (stays.cumsum(0) - 1)[channels[kept]], kept


def _graph(model: nn.Module, example: torch.Tensor) -> torch_pruning.DependencyGraph:
    """The dependency graph of a model that may be changed; it is left in evaluation mode."""
    model.requires_grad_(True)
    return torch_pruning.DependencyGraph().build_dependency(
        model, (example.detach().clone(),), customized_pruners={Shortcut: _ShortcutPruner()}
    )


def _group(graph, module, channels):
    remove = graph.get_pruner_of_module(module).prune_out_channels
    return graph.get_pruning_group(module, remove, list(channels))


def _loses_outputs(graph, group):
    """The layers of which a pruning group takes output channels."""
    return {
        dependency.target.module
        for dependency, _ in group
        if isinstance(dependency.target.module, _WITH_CHANNELS)
        and graph.is_out_channel_pruning_fn(dependency.handler)
    }


@torch.inference_mode(False)
@torch.enable_grad()
def shared_channels(model: nn.Module, example: torch.Tensor) -> list[tuple[str, ...]]:
    """The convolutions of a network, in groups whose output channels exist only together.

    In a plain network each is alone; where outputs are added (the stream of a residual stage,
    with the convolution that starts it) or pass through a depthwise convolution, they share.

    Parameters
    ----------
    model : torch.nn.Module
    example : tensor (n, ...)
        Input that the model takes.

    Returns
    -------
    list of tuples of str
        Names as in ``named_modules()``, in network order.

    Examples
    --------
    >>> from ibcore import models
    >>> shared_channels(models.build("resnet8", width=1 / 4), torch.zeros(1, 3, 8, 8))[:2]
    [('conv1', 'layer1.0.conv2'), ('layer1.0.conv1',)]
    """
    return list(channel_groups(model, example))


@torch.inference_mode(False)
@torch.enable_grad()
def channel_groups(
    model: nn.Module, example: torch.Tensor
) -> dict[tuple[str, ...], dict[str, int]]:
    """The groups of ``shared_channels``, and which layers read them.

    Each group is mapped to the layers that lose inputs with its first channel, and how many:
    1, or more where maps are flattened. A depthwise convolution belongs to its group.

    Examples
    --------
    >>> from ibcore import models
    >>> groups = channel_groups(models.build("vgg11_bn", width=1 / 8), torch.zeros(1, 3, 32, 32))
    >>> groups[("features.0",)]
    {'features.4': 1}
    """
    traced = copy.deepcopy(model)
    graph = _graph(traced, example)
    names = {
        module: name
        for name, module in traced.named_modules()
        if isinstance(module, _WITH_CHANNELS) and module in graph.module2node
    }
    groups = {}
    for module in names:
        if not isinstance(module, nn.Conv2d):
            continue
        together = _loses_outputs(graph, _group(graph, module, range(module.out_channels)))
        group = tuple(name for other, name in names.items() if other in together)
        if group not in groups:
            lost = {
                names[dependency.target.module]: len(channels)
                for dependency, channels in _group(graph, module, [0])
                if dependency.target.module in names
                and dependency.target.module not in together
                and graph.is_in_channel_pruning_fn(dependency.handler)
            }
            groups[group] = {name: lost[name] for name in names.values() if name in lost}
    return groups


@torch.inference_mode(False)
@torch.enable_grad()
def remove_channels(
    model: nn.Module, example: torch.Tensor, channels: Mapping[str, Sequence[int]]
) -> nn.Module:
    """A smaller copy of a network, without some output channels of some layers.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    example : tensor (n, ...)
        Input that the model takes, on its device.
    channels : mapping
        Name of a convolution or linear layer to the numbers of the output channels (units) to
        remove. Of layers that share their channels (``shared_channels``) one is named for all.

    Returns
    -------
    torch.nn.Module
        With the weights that are left, and the modes and ``requires_grad`` of the original.

    Raises
    ------
    ValueError
        For a layer that is unknown, of another kind, not used, or gives the network's own
        outputs; for channels that it does not have, that are named twice, or that are all it has;
        for two layers that share their channels.

    Examples
    --------
    >>> from ibcore import models
    >>> model = models.build("vgg11", width=1 / 8)
    >>> smaller = remove_channels(model, torch.zeros(1, 3, 32, 32), {"features.0": [0, 5]})
    >>> smaller.features[0].out_channels, smaller.features[3].in_channels
    (6, 6)
    """
    pruned = copy.deepcopy(model)
    graph = _graph(pruned, example)
    modules = dict(pruned.named_modules())
    names = {module: name for name, module in modules.items()}
    done: dict[nn.Module, str] = {}
    for layer, removed in channels.items():
        module = modules.get(layer)
        if not isinstance(module, _WITH_CHANNELS) or module not in graph.module2node:
            known = [names[m] for m in graph.module2node if isinstance(m, _WITH_CHANNELS)]
            raise ValueError(f"no layer with channels {layer!r}; such layers: {', '.join(known)}")
        if module in done:
            raise ValueError(f"layers {done[module]!r} and {layer!r} share their channels")
        n = graph.get_out_channels(module)
        removed = sorted(int(channel) for channel in removed)
        if not set(removed) < set(range(n)) or len(set(removed)) < len(removed):
            raise ValueError(
                f"layer {layer!r} has channels 0 to {n - 1}, of which one has to stay; got "
                f"{removed} to remove"
            )
        if not removed:
            continue
        group = _group(graph, module, removed)
        done.update(dict.fromkeys(_loses_outputs(graph, group), layer))
        group.prune()
    with torch.no_grad(), modules_evaluating(model):
        before, after = model(example), pruned(example)
    if before.shape != after.shape:
        raise ValueError(
            f"one of the layers {', '.join(channels)} gives the outputs of the network, which "
            f"would shrink from {tuple(before.shape)} to {tuple(after.shape)}"
        )
    for original, module in zip(model.modules(), pruned.modules(), strict=True):
        module.training = original.training
    for original, parameter in zip(model.parameters(), pruned.parameters(), strict=True):
        parameter.requires_grad_(original.requires_grad)
    return pruned


def count_parameters(model: nn.Module) -> int:
    """Number of weights and biases, buffers left out.

    Examples
    --------
    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, example: torch.Tensor) -> int:
    """Multiplications with an addition for one input, in convolutions and linear layers.

    Biases, normalisation, activation and pooling are not counted.

    Parameters
    ----------
    model : torch.nn.Module
    example : tensor (n, ...)

    Examples
    --------
    >>> count_macs(nn.Conv2d(3, 4, 3, padding=1), torch.zeros(2, 3, 5, 5))
    2700
    """
    with torch.no_grad(), modules_evaluating(model), FlopCounterMode(display=False) as counter:
        model(example)
    return counter.get_total_flops() // 2 // len(example)


def measure_latency(model: nn.Module, example: torch.Tensor, *, repeats: int = 20) -> float:
    """Seconds of one forward pass of ``example``: the median of several, after one to warm up.

    Raises ValueError unless ``repeats`` is positive.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be positive, got {repeats}")
    times = []
    with torch.no_grad(), modules_evaluating(model):
        for _ in range(repeats + 1):
            start = time.perf_counter()
            model(example).sum().item()  # the number has to arrive, also from a GPU
            times.append(time.perf_counter() - start)
    return torch.tensor(times[1:], dtype=torch.float64).median().item()
