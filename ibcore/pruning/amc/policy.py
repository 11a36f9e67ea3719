"""From numbers of channels to a smaller network: which channels stay, and what is refitted."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from ibcore.gradcam import modules_evaluating
from ibcore.pruning.amc.structure import Structure, trace
from ibcore.pruning.surgery import remove_channels
from ibcore.seeds import derived_seed

RIDGE = 1e-6
"""Added to the diagonal of a second-moment matrix, relative to the mean of that diagonal."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """How many channels each group of a network keeps.

    Attributes
    ----------
    channels, kept : mapping
        First convolution of each group to its number of channels before and after.

    Raises
    ------
    ValueError
        If the two name different layers, or a number kept is not between 1 and all.

    Examples
    --------
    >>> policy = Policy({"conv1": 8}, {"conv1": 3})
    >>> policy.to_json()
    '{"channels": {"conv1": 8}, "kept": {"conv1": 3}}'
    >>> Policy.from_json(policy.to_json()) == policy
    True
    """

    channels: Mapping[str, int]
    kept: Mapping[str, int]

    def __post_init__(self):
        if list(self.channels) != list(self.kept):
            raise ValueError(f"channels of {list(self.channels)}, but kept of {list(self.kept)}")
        for layer, n in self.channels.items():
            kept = self.kept[layer]
            if not (isinstance(n, int) and isinstance(kept, int) and 1 <= kept <= n):
                raise ValueError(f"layer {layer!r} keeps {kept!r} of {n!r} channels")

    @classmethod
    def of(cls, structure: Structure, counts: Sequence[int]) -> "Policy":
        """The policy that keeps ``counts`` channels of the groups."""
        names = [group[0] for group in structure.groups]
        return cls(
            dict(zip(names, structure.channels, strict=True)),
            dict(zip(names, map(int, counts), strict=True)),
        )

    def to_json(self) -> str:
        """As JSON, in network order."""
        return json.dumps({"channels": dict(self.channels), "kept": dict(self.kept)})

    @classmethod
    def from_json(cls, text: str) -> "Policy":
        """What ``to_json`` wrote; ValueError for anything else."""
        content = json.loads(text)
        if (
            not isinstance(content, dict)
            or set(content) != {"channels", "kept"}
            or not all(isinstance(value, dict) for value in content.values())
        ):
            raise ValueError(f"a policy holds the tables channels and kept, got {text[:80]!r}")
        return cls(content["channels"], content["kept"])


class Pruner:
    r"""Makes physically smaller networks from one network, as many as are asked for.

    A group keeps the channels with the largest L1 norm of the weights that read them. The reading
    layers are then refitted so that they give the outputs of the full network at sampled positions
    of the calibration images:

    .. math::
        W' = \arg\min_{W'} \lVert X W^T - X_S W'^T \rVert^2
        = W X^T X_S \, (X_S^T X_S)^{-1}

    with X the layer's inputs in the full network (rows: positions; columns: channel and place in
    the kernel) and S the kept columns. With the columns in order of importance, the Cholesky factor
    of the kept part of X^T X is a part of the whole factor, so that X^T X is factorised once and a
    refit is one triangular solve.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    images : tensor (n, ...)
        Calibration images, on the model's device.
    points : int
        Random output positions per image; 0 turns refitting off.
    seed : int
        Of the positions.

    Raises
    ------
    ValueError
        As ``trace``; for no images or a negative number of points.

    Notes
    -----
    AMC's program regresses on stored inputs and outputs anew for every candidate, and only in
    layers with 1x1 kernels. ``RIDGE`` keeps the solution finite when there are fewer positions than
    columns.

    References
    ----------
    He et al., AMC: AutoML for model compression and acceleration on mobile devices, 2018,
    section 3.3; He, Zhang & Sun, Channel pruning for accelerating very deep neural networks, 2017.
    """

    def __init__(self, model: nn.Module, images: torch.Tensor, *, points: int = 10, seed: int = 0):
        if len(images) == 0:
            raise ValueError("at least one calibration image is needed, got none")
        if points < 0:
            raise ValueError(f"points must not be negative, got {points}")
        self.model, self._example = model, images[:1]
        self.structure = trace(model, self._example)
        self._order = [self._by_magnitude(group) for group in range(len(self.structure.groups))]
        self._factors = self._factorised(images, points, seed) if points else {}

    def _by_magnitude(self, group: int) -> torch.Tensor:
        """Channels of a group, the most important first."""
        norms = sum(
            self._weight(layer.name).abs().sum((0, 2)) for layer in self.structure.readers(group)
        )
        return norms.argsort(descending=True, stable=True)

    def _weight(self, name: str) -> torch.Tensor:
        """Weights (out, in, places in the kernel) in float64."""
        return (
            self.model.get_submodule(name)
            .weight.detach()
            .flatten(1)
            .double()
            .unflatten(1, (-1, self._places(name)))
        )

    def _places(self, name: str) -> int:
        return self.model.get_submodule(name).weight[0, 0].numel()

    @torch.no_grad()
    def _factorised(self, images, points, seed):
        """Of every reading layer the Cholesky factor L of X^T X, and L^-1 X^T X W^T."""
        generator = torch.Generator().manual_seed(derived_seed(seed, "positions"))
        moments: dict[str, torch.Tensor] = {}

        def add(name):
            def hook(module, args):
                X = _patches(module, args[0], points, generator).double()
                moments[name] = moments.get(name, 0) + X.T @ X

            return hook

        readers = [layer.name for layer in self.structure.layers if layer.reads is not None]
        handles = [
            self.model.get_submodule(name).register_forward_pre_hook(add(name)) for name in readers
        ]
        try:
            with modules_evaluating(self.model):
                for batch in images.split(100):
                    self.model(batch)
        finally:
            for handle in handles:
                handle.remove()
        factors = {}
        for layer in self.structure.layers:
            if layer.reads is None:
                continue
            order = self._order[layer.reads]
            columns = _columns(order, self._places(layer.name))
            moment = moments.pop(layer.name)[columns][:, columns]
            weights = self._weight(layer.name).flatten(1)[:, columns].T
            target = moment @ weights
            moment.diagonal().add_(
                RIDGE * moment.diagonal().mean() + torch.finfo(torch.float64).tiny
            )
            factor = torch.linalg.cholesky(moment)
            factors[layer.name] = (
                factor,
                torch.linalg.solve_triangular(factor, target, upper=False),
            )
        return factors

    def policy(self, counts: Sequence[int]) -> Policy:
        """The policy that keeps ``counts`` channels of the groups."""
        return Policy.of(self.structure, counts)

    @torch.no_grad()
    def prune(self, counts: Sequence[int]) -> nn.Module:
        """The network with ``counts`` channels left in the groups, refitted.

        Raises ValueError for numbers that are not between 1 and all, see ``Policy``.
        """
        self.policy(counts)
        kept = [order[:count] for order, count in zip(self._order, counts, strict=True)]
        removed = {
            group[0]: order[count:].tolist()
            for group, order, count in zip(self.structure.groups, self._order, counts, strict=True)
        }
        pruned = remove_channels(self.model, self._example, removed)
        for layer in self.structure.layers:
            if layer.name in self._factors and len(kept[layer.reads]) < layer.inputs:
                weight = self._refitted(layer, kept[layer.reads])
                if layer.writes is not None:
                    weight = weight[kept[layer.writes].sort().values]
                parameter = pruned.get_submodule(layer.name).weight
                parameter.copy_(weight.reshape(parameter.shape))
        return pruned

    def _refitted(self, layer, kept):
        """Weights (out, kept in, places) of all outputs, inputs in the order of the network."""
        factor, target = self._factors[layer.name]
        places = self._places(layer.name)
        n = len(kept) * places
        weight = torch.linalg.solve_triangular(factor[:n, :n].T, target[:n], upper=True)
        return weight.T.unflatten(1, (len(kept), places))[:, kept.argsort()]


def _columns(channels, places):
    """Numbers of the columns that belong to channels, in their order."""
    return (channels[:, None] * places + torch.arange(places, device=channels.device)).flatten()


def _patches(module, inputs, points, generator):
    """What a layer reads at random output positions: (n points, in places), or (n, in)."""
    if isinstance(module, nn.Linear):
        return inputs
    (height, width), (down, right) = module.padding, module.stride
    padded = functional.pad(inputs, (width, width, height, height))
    (kh, kw), (dh, dw) = module.kernel_size, module.dilation
    rows = (padded.shape[2] - dh * (kh - 1) - 1) // down + 1
    columns = (padded.shape[3] - dw * (kw - 1) - 1) // right + 1
    shape = (len(inputs), points, 1, 1)
    top = down * torch.randint(rows, shape, generator=generator)
    left = right * torch.randint(columns, shape, generator=generator)
    image = torch.arange(len(inputs)).view(-1, 1, 1, 1)
    y, x = top + dh * torch.arange(kh).view(-1, 1), left + dw * torch.arange(kw)
    patches = padded[image, :, y, x]  # (n, points, kh, kw, in)
    return patches.permute(0, 1, 4, 2, 3).flatten(0, 1).flatten(1)


def apply_policy(
    model: nn.Module, policy: Policy, images: torch.Tensor, *, points: int = 10, seed: int = 0
) -> nn.Module:
    """A smaller copy of a network, pruned by a stored policy.

    Which channels stay is decided by the magnitudes in ``model``, so a policy also fits a network
    of the same architecture with other weights.

    Parameters
    ----------
    model : torch.nn.Module
    policy : Policy
    images, points, seed
        As for ``Pruner``; one image and ``points=0`` prune without refitting.

    Raises
    ------
    ValueError
        If the policy was made for other layers or numbers of channels, and as ``Pruner``.

    Examples
    --------
    >>> from ibcore import models
    >>> model = models.build("vgg11_bn", width=1 / 8)
    >>> images = torch.zeros(1, 3, 32, 32)
    >>> policy = Policy.of(trace(model, images), [4] * 8)
    >>> apply_policy(model, policy, images, points=0).features[4]
    Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """
    pruner = Pruner(model, images, points=points, seed=seed)
    expected = pruner.policy(pruner.structure.channels).channels
    if dict(policy.channels) != expected:
        raise ValueError(f"the policy is for {dict(policy.channels)}, the network has {expected}")
    return pruner.prune(list(policy.kept.values()))
