"""Freezing layers whose saliency maps no longer change, in a way that saves time."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ibcore.estimators import aura_matrix_entropy
from ibcore.gradcam import degenerate, grad_cam, quantise
from ibcore.seeds import derived_seed
from ibcore.training import Callback, Replicas

CHOICES = ("never", "entropy", "random", "front")
STATISTICS = {"variance": np.var, "std": np.std, "range": np.ptp}
PROBES = ("resample", "fixed")


@dataclasses.dataclass(frozen=True)
class Rule:
    """When which layers of a network freeze.

    Attributes
    ----------
    choose : {"never", "entropy", "random", "front"}
        "entropy": every layer whose entropy is calm. "random" and "front" freeze as many layers at
        the same epochs as the network of the same seed with the first rule that chooses by entropy:
        layers drawn by lot, or those nearest to the input. "never": the normal training.
    epsilon, statistic, window, warm_up
        See ``first_calm_epoch``.
    probe : {"resample", "fixed"}
        Measure the entropy on other training images after every epoch, or always on the same.
    images : int
        How many.
    batch_norm : bool
        Whether the statistics of a frozen batch normalisation stand still too.

    Raises
    ------
    ValueError
        For an unknown choice, statistic or probe, an epsilon that is not positive, fewer than two
        epochs in the window, a warm-up shorter than the window, fewer than one image.
    """

    choose: str = "entropy"
    epsilon: float = 5e-5
    statistic: str = "variance"
    window: int = 5
    warm_up: int = 5
    probe: str = "resample"
    images: int = 50
    batch_norm: bool = True

    def __post_init__(self):
        for name, known in (("choose", CHOICES), ("statistic", STATISTICS), ("probe", PROBES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be {', '.join(known)}, got {getattr(self, name)!r}")
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {self.epsilon}")
        if self.window < 2:
            raise ValueError(f"window must be at least 2 epochs, got {self.window}")
        if self.warm_up < self.window:
            raise ValueError(
                f"warm_up must not be shorter than the window of {self.window} epochs, got "
                f"{self.warm_up}"
            )
        if self.images < 1:
            raise ValueError(f"images must be positive, got {self.images}")

    def spread(self, entropies: Sequence[float]) -> float:
        """The statistic of the last ``window`` values; NaN if one of them is NaN."""
        return float(STATISTICS[self.statistic](entropies[-self.window :]))


def first_calm_epoch(entropies: Sequence[float], rule: Rule) -> int | None:
    r"""First epoch at which the entropy of a layer has varied less than epsilon.

    .. math:: S(\bar H_{e-w+1}, \dots, \bar H_e) < \varepsilon, \qquad e \ge e_0

    with the mean spatial entropy of the layer's maps after epoch e, the window w, the warm-up e_0
    and the statistic S: the variance (divided by w), its root, or the largest minus the smallest
    value.

    Parameters
    ----------
    entropies : sequence of float
        After epochs 0 (initialisation), 1, 2, ...; NaN where the layer showed no map.
    rule : Rule

    Returns
    -------
    int or None
        None if there is no such epoch.

    Notes
    -----
    The document says "varied less than": field trials put its 5e-5 between the variances of calm
    and of moving layers; read as a standard deviation it would freeze nothing. A warm-up of at
    least the window keeps the initialisation out: layers are to freeze after their rise.

    References
    ----------
    Muşat & Andonie (2022), section 5.3.

    Examples
    --------
    >>> rule = Rule(epsilon=0.01, window=2, warm_up=2)
    >>> first_calm_epoch([0.5, 0.5, 0.9, 0.9, 0.9], rule)
    3
    >>> first_calm_epoch([0.1, 0.5, 0.9], rule)
    """
    for epoch in range(rule.warm_up, len(entropies)):
        if rule.spread(entropies[: epoch + 1]) < rule.epsilon:
            return epoch
    return None


def layer_entropies(
    model: nn.Module, images: torch.Tensor, layers: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Spatial entropy of the saliency maps of several layers, from one pass through the network.

    The documents' reading: Grad-CAM of the predicted class, scaled to 0...255 (truncated), resized
    to the images with Lanczos, then ``aura_matrix_entropy`` with 256 levels.

    Parameters
    ----------
    model : torch.nn.Module
    images : tensor (n, channels, height, width)
    layers : sequence of str

    Returns
    -------
    dict
        Layer to float64 tensor (n,) on the device of the images, without unit; NaN where the map is
        constant and so has no structure to measure.

    Raises
    ------
    ValueError
        As ``ibcore.gradcam.grad_cam``.
    """
    maps = grad_cam(model, images, layers)
    size = tuple(images.shape[2:])
    whole = torch.cat([quantise(map_, size=size) for map_ in maps.values()])
    constant = torch.cat([degenerate(map_) for map_ in maps.values()])
    values = aura_matrix_entropy(whole).masked_fill(constant, torch.nan)
    return dict(zip(maps, values.split(len(images)), strict=True))


def _evaluating(module: nn.Module, args) -> None:
    module.training = False


def freeze(model: nn.Module, layer: str, *, batch_norm: bool = True) -> None:
    """Stop the training of a layer and of the batch normalisation that directly follows it.

    "Follows": it is the next in the order of ``model.named_modules()`` and has the layer's number
    of channels. Their parameters need no gradient any more and lose the one they have. Below the
    lowest layer that is still trained no graph is built and no gradient computed.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    layer : str
        Name as in ``model.named_modules()``.
    batch_norm : bool
        Let the normalisation use its running mean and variance from now on, even in training
        mode, instead of following the batches.

    Raises
    ------
    ValueError
        If the model has no such layer.
    """
    leaves = {name: module for name, module in model.named_modules() if not [*module.children()]}
    if layer not in leaves:
        raise ValueError(f"unknown layer {layer!r}; layers of the model: {', '.join(leaves)}")
    names = list(leaves)
    place = names.index(layer)
    channels = getattr(leaves[layer], "out_channels", None)
    norms = [
        leaves[name]
        for name in names[place + 1 : place + 2]
        if isinstance(leaves[name], nn.BatchNorm2d) and leaves[name].num_features == channels
    ]
    for module in (leaves[layer], *norms):
        for parameter in module.parameters():
            parameter.requires_grad_(False).grad = None
    if batch_norm:
        for norm in norms:
            norm.register_forward_pre_hook(_evaluating)


def convolutions(model: nn.Module) -> list[str]:
    """Names of the convolutions, in the order of ``model.named_modules()``."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]


class LayerFreezing(Callback):
    """Freezes convolutions during training, each replica by a rule of its own.

    After every epoch the entropy of the layers that are still trained is measured in one pass, for
    networks whose rule is "entropy" and, for comparison, "never".

    Parameters
    ----------
    inputs : tensor (N, channels, height, width)
        All data, on the device of the replicas.
    rows : integer tensor (n,)
        Training rows, from which the images to measure on are drawn.
    rules : mapping
        Name to ``Rule``.
    seeds : sequence of int
        The replicas are one network per seed and rule, see ``members``.

    Raises
    ------
    ValueError
        For a rule "random" or "front" without a rule "entropy" to follow, more images than rows;
        when training starts, for stacked replicas or another number of them.

    Attributes
    ----------
    members : list of (int, str)
        Seed and name of each replica: all rules of the first seed, then of the second, ...
    entropies : list of dict
        ``seed, method, epoch, layer, layer_index, entropy`` (mean over the maps that are not
        constant), ``constant`` (share of the maps that are).
    frozen : list of dict
        ``seed, method, epoch, layer, layer_index``: what froze at the end of which epoch.
    times : list of dict
        ``seed, method, epoch, training, measuring`` in seconds: loss and gradients of this
        replica over the epoch (the optimiser's steps are taken for all replicas together and not
        counted), and the measurement of its entropies after it. On a CPU it is processor time.

    Notes
    -----
    The replicas take turns within every training step, so that whatever else slows the machine
    down hits them alike. Processor time leaves out what other programs take.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        *,
        rows: torch.Tensor,
        rules: Mapping[str, Rule],
        seeds: Sequence[int],
    ):
        leaders = [name for name, rule in rules.items() if rule.choose == "entropy"]
        followers = [name for name, rule in rules.items() if rule.choose in ("random", "front")]
        if followers and not leaders:
            raise ValueError(f"{followers[0]!r} needs a rule 'entropy' to follow")
        largest = max(rule.images for rule in rules.values())
        if largest > len(rows):
            raise ValueError(f"{largest} images wanted, but there are {len(rows)} training rows")
        self._inputs, self._rows, self._rules = inputs, rows, rules
        self._leader = leaders[0] if leaders else None
        # Followers come last, when the layers of the network that they follow are known.
        self._order = [name for name in rules if name not in followers] + followers
        self.members = [(seed, name) for seed in seeds for name in rules]
        self._seconds = dict.fromkeys(self.members, 0.0)
        self._layers: list[str] = []
        self.entropies: list[dict] = []
        self.frozen: list[dict] = []
        self.times: list[dict] = []

    def on_start(self, replicas: Replicas) -> None:
        """Find the layers, freeze what an interrupted training had frozen, start the clock."""
        if replicas.stacked or len(replicas) != len(self.members):
            raise ValueError(
                f"{len(self.members)} networks side by side are needed, got {len(replicas)}"
                f"{' stacked' if replicas.stacked else ''}"
            )
        self._layers = convolutions(replicas.network(0))
        for index, (seed, name) in enumerate(self.members):
            for layer in self._frozen(seed, name):
                freeze(replicas.network(index), layer, batch_norm=self._rules[name].batch_norm)
        replicas.around = self._timed

    @contextmanager
    def _timed(self, index: int) -> Iterator[None]:
        started = self._now()
        yield
        self._seconds[self.members[index]] += self._now() - started

    def _now(self) -> float:
        if not self._inputs.is_cuda:
            return time.process_time()
        torch.cuda.synchronize(self._inputs.device)
        return time.perf_counter()

    def _of(self, rows: list[dict], seed: int, name: str) -> list[dict]:
        return [row for row in rows if (row["seed"], row["method"]) == (seed, name)]

    def _frozen(self, seed: int, name: str) -> list[str]:
        return [row["layer"] for row in self._of(self.frozen, seed, name)]

    def on_epoch(self, epoch: int, replicas: Replicas) -> None:
        """Measure, then freeze."""
        for seed, name in sorted(self.members, key=lambda m: (m[0], self._order.index(m[1]))):
            rule = self._rules[name]
            network = replicas.network(self.members.index((seed, name)))
            frozen = self._frozen(seed, name)
            open_layers = [layer for layer in self._layers if layer not in frozen]
            started = self._now()
            if open_layers and rule.choose in ("entropy", "never"):
                self._measure(epoch, seed, name, network, open_layers)
            row = {"seed": seed, "method": name, "epoch": epoch}
            training = self._seconds[seed, name]
            self.times.append({**row, "training": training, "measuring": self._now() - started})
            self._seconds[seed, name] = 0.0
            for layer in self._chosen(epoch, seed, name, open_layers):
                freeze(network, layer, batch_norm=rule.batch_norm)
                self.frozen.append({**row, "layer": layer, "layer_index": self._number(layer)})

    def _number(self, layer: str) -> int:
        return self._layers.index(layer)

    def _measure(self, epoch, seed, name, network, layers) -> None:
        rule = self._rules[name]
        purpose = "probe" if rule.probe == "fixed" else f"probe {epoch}"
        order = np.random.default_rng(derived_seed(seed, purpose)).permutation(len(self._rows))
        rows = self._rows[torch.from_numpy(np.sort(order[: rule.images]))]
        for layer, values in layer_entropies(network, self._inputs[rows], layers).items():
            self.entropies.append(
                {
                    "seed": seed,
                    "method": name,
                    "epoch": epoch,
                    "layer": layer,
                    "layer_index": self._number(layer),
                    "entropy": values.nanmean().item(),
                    "constant": values.isnan().double().mean().item(),
                }
            )

    def _chosen(self, epoch: int, seed: int, name: str, layers: list[str]) -> list[str]:
        """Which of the open layers freeze now."""
        rule = self._rules[name]
        if rule.choose == "never":
            return []
        if rule.choose == "entropy":
            curves = {layer: [] for layer in layers}
            for row in self._of(self.entropies, seed, name):
                if row["layer"] in curves:
                    curves[row["layer"]].append(row["entropy"])
            return [layer for layer in layers if first_calm_epoch(curves[layer], rule) == epoch]
        followed = self._of(self.frozen, seed, self._leader)
        count = sum(row["epoch"] == epoch for row in followed)
        if rule.choose == "random":
            rng = np.random.default_rng(derived_seed(seed, f"frozen by lot {epoch}"))
            layers = [layers[place] for place in rng.permutation(len(layers))]
        return layers[:count]

    def state_dict(self) -> dict:
        """What was measured and frozen so far."""
        return {"entropies": self.entropies, "frozen": self.frozen, "times": self.times}

    def load_state_dict(self, state: dict) -> None:
        """Take back what an interrupted training had measured and frozen."""
        self.entropies = list(state["entropies"])
        self.frozen = list(state["frozen"])
        self.times = list(state["times"])
