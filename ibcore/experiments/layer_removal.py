"""Layer removal: VGG16 loses one convolution after the other, by entropy or by lot."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ibcore import models
from ibcore.experiments.shared import (
    ImageConfig,
    Samples,
    check_positive,
    device_name,
    device_of,
    load,
    precision_of,
)
from ibcore.freezing import layer_entropies
from ibcore.pruning.layer_removal import (
    DOCUMENT,
    ORDERS,
    choose,
    configuration_of,
    steps_of_convolutions,
    without_convolution,
)
from ibcore.pruning.surgery import count_macs, count_parameters, measure_latency
from ibcore.recording import accuracy
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, fit

__all__ = [
    "WAYS",
    "Config",
    "device_name",
    "document_networks",
    "load",
    "run",
]

LATENCY_IMAGES, LATENCY_REPEATS = 100, 5
WAYS = ("document", *ORDERS, "random", "nothing removed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One network on one data set; the values come from a profile.

    The fields of ``ImageConfig``, and:

    Attributes
    ----------
    model : str
        A VGG.
    smaller : str
        Model that is trained from the start for comparison.
    ways : tuple of str
        How layers are chosen, of ``WAYS``: ``DOCUMENT``, which leads to the thesis's networks;
        those whose entropy does not fall, in the two orders of ``ibcore.pruning.layer_removal``; by
        lot; or not at all (the full network goes on training as long as the others).
    epochs : int
        Of the first training, which the ways share.
    retrain : int
        Epochs after each removal.
    removals : int
    batch_size, optimiser, learning_rate, momentum
        See ``ibcore.training.fit``.
    images : int
        Training images whose maps are measured.
    first : int
        Seeds: seed + first, seed + first + 1, ...
    """

    epochs: int
    retrain: int
    removals: int
    smaller: str = "vgg11"
    ways: tuple[str, ...] = WAYS
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 128
    images: int = 50
    first: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_positive(self, "images", "removals")
        unknown = set(self.ways) - set(WAYS)
        if unknown or not self.ways:
            raise ValueError(f"ways are {', '.join(WAYS)}, got {self.ways}")
        if "document" in self.ways and (self.model != "vgg16" or self.removals > len(DOCUMENT)):
            raise ValueError(
                f"the document removes {len(DOCUMENT)} layers of vgg16, not {self.removals} of "
                f"{self.model}"
            )


def document_networks() -> pd.DataFrame:
    """The thesis's networks at full width: network, configuration, parameters, multiplications.

    VGG16, VGG11 and VGG16 after each removal of ``DOCUMENT`` (the thesis prints the fourth and the
    eighth, the others are inferred); the multiplications are for one image of 32x32 pixels.
    """
    network = models.build("vgg16")
    networks = {"VGG16": network, "VGG11": models.build("vgg11")}
    for removed, number in enumerate(DOCUMENT, start=1):
        network, _ = without_convolution(network, number, seed=0)
        networks[f"VGG16 after {removed} layers removed"] = network
    return pd.DataFrame(
        [
            {
                "network": name,
                "configuration": _text(model),
                "parameters": count_parameters(model),
                "multiplications": count_macs(model, torch.zeros(1, 3, 32, 32)),
            }
            for name, model in networks.items()
        ]
    )


def _text(model: nn.Module) -> str:
    return " ".join(map(str, configuration_of(model)))


class _Removal:
    """The networks of one seed, one for every way to choose, and what was measured on them."""

    def __init__(self, config: Config, seed: int, dataset: Samples, checkpoint: Path | None):
        self._config, self._seed, self._checkpoint = config, seed, checkpoint
        device, n_train = device_of(config), dataset.n_train
        X = torch.from_numpy(dataset.X).to(device, memory_format=torch.channels_last)
        Y = torch.from_numpy(dataset.Y).to(device)
        self._train, self._test = (X[:n_train], Y[:n_train]), (X[n_train:], Y[n_train:])
        self._classes = len(dataset.classes)
        self.networks: dict[str, nn.Module] = {}
        self.rows: list[dict] = []

    def _build(self, name: str) -> nn.Module:
        return models.build(
            name,
            num_classes=self._classes,
            seed=derived_seed(self._seed, "weights"),
            **self._config.model_options,
        )

    def training(self, removed: int) -> Checkpoint | None:
        """The file of the training under way, one for every stage."""
        if self._checkpoint is None:
            return None
        name = f"{self._checkpoint.name}.{self._seed}-{removed}"
        return Checkpoint(self._checkpoint.with_name(name))

    def _trained(self, networks: list[nn.Module], epochs: int, stage: int, name: str) -> None:
        config = self._config
        fit(
            [network.to(memory_format=torch.channels_last) for network in networks],
            *self._train,
            seeds=[derived_seed(self._seed, f"stage {stage}")] * len(networks),
            epochs=epochs,
            batch_size=config.batch_size,
            optimiser=config.optimiser,
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            checkpoint=self.training(stage),
            description=f"{name}, {stage} removed",
            device=self._train[0].device,
            precision=precision_of(config),
        )

    def _note(self, way: str, removed: int, network: nn.Module, **chosen) -> None:
        images = self._test[0][:LATENCY_IMAGES]
        nothing = {"convolution": None, "step": None, "falls_not": None, "anew": ""}
        self.rows.append(
            {
                "seed": self._seed,
                "way": way,
                "removed": removed,
                **nothing,
                **chosen,
                "configuration": _text(network),
                "parameters": count_parameters(network),
                "multiplications": count_macs(network, images[:1]),
                "microseconds": 1e6
                * measure_latency(network, images, repeats=LATENCY_REPEATS)
                / len(images),
                "accuracy": accuracy(network, *self._test),
            }
        )

    def start(self, name: str) -> None:
        """Train the full network, from which every way goes on, and the smaller one."""
        config = self._config
        full, smaller = self._build(config.model), self._build(config.smaller)
        self._trained([full, smaller], config.epochs, 0, name)
        self._note(config.smaller, 0, smaller)
        for way in config.ways:
            network = self._build(config.model)
            network.load_state_dict(full.state_dict())
            self.networks[way] = network.to(self._train[0].device)
            self._note(way, 0, full)

    def steps(self, network: nn.Module, removed: int) -> dict[int, float]:
        """Mean change of the spatial entropy across each convolution, over the same images."""
        purpose = f"probe {removed}"
        rng = np.random.default_rng(derived_seed(self._seed, purpose))
        rows = torch.from_numpy(rng.permutation(len(self._train[0]))[: self._config.images])
        sides = steps_of_convolutions(network)
        layers = list(dict.fromkeys(layer for pair in sides.values() for layer in pair))
        entropies = layer_entropies(network, self._train[0][rows], layers)
        return {
            number: (entropies[after] - entropies[before]).nanmean().item()
            for number, (before, after) in sides.items()
        }

    def remove(self, removed: int, name: str) -> None:
        """Take one convolution out of every network and train them again."""
        notes = {}
        for way, network in self.networks.items():
            if way == "nothing removed":
                continue
            steps = self.steps(network, removed)
            if way in ORDERS:
                number, calm = choose(steps, configuration_of(network), order=way)
            else:
                rng = np.random.default_rng(derived_seed(self._seed, f"lot {removed}"))
                lot = int(rng.choice(sorted(steps)))
                number = DOCUMENT[removed - 1] if way == "document" else lot
                calm = not steps[number] < 0
            seed = derived_seed(self._seed, f"anew {removed}")
            self.networks[way], anew = without_convolution(network, number, seed=seed)
            notes[way] = {"convolution": number, "step": steps[number], "falls_not": calm}
            notes[way]["anew"] = " ".join(anew)
        self._trained(list(self.networks.values()), self._config.retrain, removed, name)
        for way, network in self.networks.items():
            self._note(way, removed, network, **notes.get(way, {}))

    def state(self, removed: int) -> dict:
        """Everything needed to go on after a stage."""
        return {
            "seed": self._seed,
            "removed": removed,
            "rows": self.rows,
            "networks": {way: network.state_dict() for way, network in self.networks.items()},
        }

    def resume(self, state: dict) -> None:
        """Take back what ``state`` gave: rebuild the networks by removing the same layers."""
        self.rows = list(state["rows"])
        for way, weights in state["networks"].items():
            network = self._build(self._config.model)
            for row in self.rows:
                if row["way"] == way and row["convolution"] is not None:
                    network, _ = without_convolution(network, row["convolution"], seed=0)
            network.load_state_dict(weights)
            self.networks[way] = network.to(self._train[0].device)


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "layer removal",
) -> dict[str, pd.DataFrame]:
    """Train, measure, remove a convolution, train again.

    Parameters
    ----------
    config : Config
    seed : int
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted run go on after the last complete removal; a second one beside
        it belongs to the training under way.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``stages``: seed, way (of ``Config.ways``, or the smaller model), removed (how many
        convolutions), convolution (the last one removed, counted from 0), step (change of the
        entropy across it), falls_not (whether that did not fall), anew (the layer made anew),
        configuration, parameters, multiplications (for one image), microseconds (measured, for one
        of up to 100 test images together), accuracy (on the test images).

    Raises
    ------
    ValueError
        Whatever removal and training refuse.
    """
    dataset = load(config) if dataset is None else dataset
    saved = Checkpoint(checkpoint) if checkpoint else None
    state = (saved.load() if saved else None) or {"finished": [], "current": None}
    rows = list(state["finished"])
    done = {row["seed"] for row in rows}
    for number in range(config.replicas):
        own = seed + config.first + number
        if own in done:
            continue
        removal, begin = _Removal(config, own, dataset, checkpoint), 0
        current = state["current"]
        if current is not None and current["seed"] == own:
            removal.resume(current)
            begin = current["removed"] + 1
        for removed in range(begin, config.removals + 1):
            if removed == 0:
                removal.start(name)
            else:
                removal.remove(removed, name)
            if saved:
                saved.save({"finished": rows, "current": removal.state(removed)})
                removal.training(removed).remove()
        rows += removal.rows
    return {"stages": pd.DataFrame(rows)}
