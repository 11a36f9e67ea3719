"""Layer freezing: the same network trained normally and with layers frozen, side by side."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

from ibcore import models
from ibcore.experiments.shared import (
    ImageConfig,
    Samples,
    device_name,
    device_of,
    load,
    precision_of,
)
from ibcore.freezing import LayerFreezing, Rule
from ibcore.recording import accuracy
from ibcore.seeds import derived_seed
from ibcore.training import Callback, Checkpoint, Replicas, fit

__all__ = ["Config", "device_name", "load", "rules", "run"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One network on one data set; the values come from a profile.

    The fields of ``ImageConfig``, and:

    Attributes
    ----------
    epochs, batch_size, optimiser, learning_rate, momentum
        See ``ibcore.training.fit``.
    rules : mapping
        Name of a way to train to the fields of ``ibcore.freezing.Rule``.
    checks : tuple of int
        Epochs up to which the best test accuracy is compared.
    first : int
        Seeds: seed + first, seed + first + 1, ...
    """

    epochs: int
    rules: Mapping[str, Mapping]
    checks: tuple[int, ...]
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 128
    first: int = 0

    def __post_init__(self):
        super().__post_init__()
        if not all(0 < check <= self.epochs for check in self.checks):
            raise ValueError(f"checks must lie in 1 ... {self.epochs}, got {self.checks}")
        rules(self)


def rules(config: Config) -> dict[str, Rule]:
    """The ways to train; errors as in ``ibcore.freezing.Rule``."""
    return {name: Rule(**fields) for name, fields in config.rules.items()}


class _History(Callback):
    """Test accuracy of every replica after every epoch."""

    def __init__(self, inputs, labels, members):
        self._inputs, self._labels, self._members = inputs, labels, members
        self.rows: list[dict] = []

    def on_epoch(self, epoch: int, replicas: Replicas) -> None:
        for index, (seed, name) in enumerate(self._members):
            reached = accuracy(replicas.network(index), self._inputs, self._labels)
            row = {"seed": seed, "method": name, "epoch": epoch, "test_accuracy": reached}
            self.rows.append(row)

    def state_dict(self) -> dict:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict) -> None:
        self.rows = list(state["rows"])


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "layer freezing",
) -> dict[str, pd.DataFrame]:
    """Train one network per seed and rule, all from the same start and in the same order.

    Parameters
    ----------
    config : Config
    seed : int
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted run go on.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``history``: seed, method, epoch, test_accuracy. ``entropies``, ``frozen``, ``times``: see
        ``ibcore.freezing.LayerFreezing``.

    Raises
    ------
    ValueError
        Whatever freezing and training refuse.
    """
    dataset = load(config) if dataset is None else dataset
    device, n_train = device_of(config), dataset.n_train
    seeds = [seed + config.first + number for number in range(config.replicas)]
    # Channels last is the faster order for convolutions of few channels.
    inputs = torch.from_numpy(dataset.X).to(device, memory_format=torch.channels_last)
    labels = torch.from_numpy(dataset.Y).to(device)
    train_rows = torch.arange(n_train)
    freezing = LayerFreezing(inputs, rows=train_rows, rules=rules(config), seeds=seeds)
    history = _History(inputs[n_train:], labels[n_train:], freezing.members)
    networks = [
        models.build(
            config.model,
            num_classes=len(dataset.classes),
            seed=derived_seed(s, "weights"),
            **config.model_options,
        ).to(memory_format=torch.channels_last)
        for s, _ in freezing.members
    ]
    fit(
        networks,
        inputs,
        labels,
        rows=train_rows.expand(len(networks), -1),
        seeds=[s for s, _ in freezing.members],
        epochs=config.epochs,
        batch_size=config.batch_size,
        optimiser=config.optimiser,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        callbacks=[history, freezing],
        checkpoint=Checkpoint(checkpoint) if checkpoint else None,
        description=name,
        device=device,
        stacked=False,
        precision=precision_of(config),
    )
    columns = ["seed", "method", "epoch", "layer", "layer_index"]
    return {
        "history": pd.DataFrame(history.rows),
        "entropies": pd.DataFrame(freezing.entropies),
        "frozen": pd.DataFrame(freezing.frozen, columns=columns),
        "times": pd.DataFrame(freezing.times),
    }
