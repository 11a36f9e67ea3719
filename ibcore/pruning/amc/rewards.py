"""What a pruned network is worth: accuracy, spatial entropy, or anything else."""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import nn

from ibcore.estimators import aura_matrix_entropy
from ibcore.gradcam import modules_evaluating, quantise, scaled
from ibcore.pruning.amc.policy import Pruner
from ibcore.pruning.surgery import count_parameters
from ibcore.recording import accuracy


@torch.no_grad()
def convolution_entropy(
    model: nn.Module, images: torch.Tensor, *, levels: int = 256
) -> dict[str, float]:
    r"""Mean aura matrix entropy of the outputs of every convolution, from one forward pass.

    Every channel of every image is a map: its smallest value becomes 0, its largest
    ``levels - 1``, and what lies between is rounded down.

    Parameters
    ----------
    model : torch.nn.Module
    images : tensor (n, ...)
        On the model's device.
    levels : int
        Number of grey levels, 2 to 256.

    Returns
    -------
    dict
        Convolution to the mean over images and channels, no unit. Maps of a single row or column
        have no entropy, and their layers are left out.

    Raises
    ------
    ValueError
        If no convolution has maps of at least 2x2, or an output is not finite.

    Notes
    -----
    Batch normalisation with a positive scale changes none of these numbers. Maps of a few pixels
    read low, down to -0.5 at 2x2, whatever is in them.

    A constant map counts as entropy 0 in the mean, while measurements of saliency maps leave
    constant ones out. So every channel that shows nothing lowers the mean, and "entropy
    minimisation" rewards a network for keeping such channels and losing others.

    References
    ----------
    Muşat thesis, section 3.1.2.

    Examples
    --------
    >>> layer = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    >>> convolution_entropy(layer, torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
    {'0': -0.5}
    """
    entropies: dict[str, float] = {}

    def keep(name):
        def hook(module, args, output):
            maps = output.flatten(0, 1)
            if min(maps.shape[1:]) < 2:
                return
            whole = quantise(scaled(maps, relu=False), levels=levels)
            entropies[name] = aura_matrix_entropy(whole, levels=levels).mean().item()

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        with modules_evaluating(model):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    if not entropies:
        raise ValueError("no convolution of the network has maps of at least 2x2")
    return entropies


class Candidate:
    """A pruned network and what can be asked about it; each answer is computed once, when asked.

    Attributes
    ----------
    model : torch.nn.Module
        The pruned network.
    counts : tuple of int
        Channels kept in each group.
    """

    def __init__(self, evaluation: "Evaluation", counts: Sequence[int]):
        self._evaluation = evaluation
        self.counts = tuple(counts)
        self.model = evaluation.pruner.prune(counts)

    @cached_property
    def accuracy(self) -> float:
        """Share of the validation images that are classified correctly."""
        return accuracy(self.model, self._evaluation.images, self._evaluation.labels)

    @cached_property
    def entropy(self) -> float:
        """Mean of ``convolution_entropy`` over the convolutions, on the first images."""
        images = self._evaluation.images[: self._evaluation.entropy_images]
        entropies = convolution_entropy(self.model, images, levels=self._evaluation.levels)
        return sum(entropies.values()) / len(entropies)

    @cached_property
    def macs_kept(self) -> float:
        """Share of the full network's multiply-accumulates."""
        structure = self._evaluation.pruner.structure
        return float(structure.macs(self.counts) / structure.macs(structure.channels))

    @cached_property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return count_parameters(self.model)


Reward = Callable[[Candidate], float]

REWARDS: dict[str, Reward] = {
    "accuracy": lambda candidate: candidate.accuracy,
    "entropy minimisation": lambda candidate: 1 - candidate.entropy,
    "entropy maximisation": lambda candidate: candidate.entropy,
}
"""The rewards of the document. Any other function of a ``Candidate`` serves as well."""


class Evaluation:
    """Numbers of channels to a reward, for ``PruningEnvironment``.

    Parameters
    ----------
    pruner : Pruner
    images, labels : tensors (n, ...) and (n,)
        Validation images, on the device of the network.
    reward : str or callable
        A name in ``REWARDS``, or a function of a ``Candidate`` that returns a number.
    entropy_images : int
        Images whose maps are measured.
    levels : int
        See ``convolution_entropy``.

    Raises
    ------
    ValueError
        For an unknown reward, lengths that differ, no images, or a number of images for the
        entropy that is not between 1 and all.
    """

    def __init__(
        self,
        pruner: Pruner,
        images: torch.Tensor,
        labels: torch.Tensor,
        *,
        reward: str | Reward,
        entropy_images: int = 100,
        levels: int = 256,
    ):
        if isinstance(reward, str) and reward not in REWARDS:
            raise ValueError(f"unknown reward {reward!r}; known rewards: {', '.join(REWARDS)}")
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
        if not 1 <= entropy_images <= len(images):
            raise ValueError(f"entropy_images must lie in 1..{len(images)}, got {entropy_images}")
        self.pruner, self.images, self.labels = pruner, images, labels
        self.entropy_images, self.levels = entropy_images, levels
        self._reward = REWARDS[reward] if isinstance(reward, str) else reward

    def candidate(self, counts: Sequence[int]) -> Candidate:
        """The network that keeps ``counts`` channels of the groups."""
        return Candidate(self, counts)

    def __call__(self, counts: Sequence[int]) -> tuple[float, dict]:
        """The reward of a candidate, and its accuracy, entropy and size."""
        candidate = self.candidate(counts)
        noted = ("accuracy", "entropy", "macs_kept", "parameters")
        return float(self._reward(candidate)), {name: getattr(candidate, name) for name in noted}
