"""Information planes: train replicas of a classifier and measure its layers on the way."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler

from ibcore import models
from ibcore.experiments.shared import (
    Samples,
    check_device,
    check_positive,
    device_name,
    device_of,
    load_parts,
)
from ibcore.recording import InformationRecorder, bounds, schedule
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, fit

__all__ = ["Config", "device_name", "load", "run"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One setting of the experiment; the values come from a profile.

    Attributes
    ----------
    dataset : str
        Name for ``ibcore.datasets.load``.
    dataset_options : mapping
        Further options of that data set.
    allow_standin : bool or "only"
        See ``ibcore.datasets.load``.
    n_train, n_test : int or None
        Sizes of a data set that has a training and a test part; None takes all.
    train_fraction : float or None
        For a data set without parts: share of the samples that is trained on, drawn anew for
        every seed; the others are the test samples.
    standardise : bool
        Give every feature mean 0 and variance 1, by the statistics of the training rows of each
        seed's own split. Every seed then has its own copy of the data, so keep it for small ones.
    permute_labels : bool
        Null model: labels shuffled among the samples of each part, so that H(Y) stays, anew for
        every seed. Every seed then has its own copy of the data here, too.
    model : str
        Name for ``ibcore.models.build``.
    model_options : mapping
        Options of that model.
    replicas : int
        Seeds trained together: seed, seed + 1, ...
    epochs, batch_size, optimiser, learning_rate, momentum
        See ``ibcore.training.fit``; ``batch_size`` None is full batch.
    l2 : float or tuple of float
        Factor of the penalty in the loss, see ``ibcore.training.fit``. Of a tuple, each factor
        is trained with every seed, all in one batched computation, and the tables have a column
        ``l2``.
    weight_decay : float
        See ``ibcore.training.make_optimiser``.
    schedule, schedule_points
        See ``ibcore.recording.schedule``.
    estimators : tuple of mappings
        See ``ibcore.recording.InformationRecorder``.
    measured_sets : tuple of {"all", "train", "test"}
        "all" comes in an order drawn once for all runs, so that an estimator limited to the first
        ``samples`` sees a random part of it.
    threads : int
        Processor threads; part of the configuration because sums depend on it in the last digit.
    device : {"cpu", "cuda", "auto"}
        "auto" takes a GPU when there is one.
    """

    dataset: str
    model: str
    model_options: Mapping
    epochs: int
    estimators: tuple[Mapping, ...]
    learning_rate: float
    optimiser: str = "adam"
    momentum: float = 0.0
    l2: float | tuple[float, ...] = 0.0
    weight_decay: float = 0.0
    batch_size: int | None = None
    replicas: int = 1
    schedule: str = "logarithmic"
    schedule_points: int = 50
    measured_sets: tuple[str, ...] = ("all",)
    n_train: int | None = None
    n_test: int | None = None
    train_fraction: float | None = None
    standardise: bool = False
    permute_labels: bool = False
    dataset_options: Mapping = dataclasses.field(default_factory=dict)
    allow_standin: bool | str = False
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self):
        unknown = set(self.measured_sets) - {"all", "train", "test"}
        if unknown or not self.measured_sets:
            raise ValueError(f"measured_sets are all, train or test, got {self.measured_sets}")
        check_positive(self, "replicas", "threads")
        check_device(self.device)
        if self.l2 == ():
            raise ValueError("l2 needs at least one factor, got ()")
        if self.train_fraction is not None and not 0 < self.train_fraction < 1:
            raise ValueError(f"train_fraction must lie in (0, 1), got {self.train_fraction}")


def load(config: Config) -> Samples:
    """The samples of ``config``; errors as in ``ibcore.datasets.load``."""
    if config.train_fraction is None:
        parts = (("train", config.n_train), ("test", config.n_test))
    else:
        parts = (("all", config.n_train),)
    options = tuple(sorted(config.dataset_options.items()))
    return load_parts(config.dataset, config.allow_standin, parts, options)


def _split(config: Config, n: int, seeds: list[int], n_train: int | None):
    """Training and test rows of every replica, two integer tensors (replicas, .)."""
    if config.train_fraction is None:
        rows = torch.arange(n).expand(len(seeds), -1)
    else:
        n_train = round(n * config.train_fraction)
        orders = [
            np.random.default_rng(derived_seed(seed, "split")).permutation(n) for seed in seeds
        ]
        rows = torch.from_numpy(np.stack(orders))
    if not 0 < n_train < n:
        raise ValueError(f"{n_train} of {n} samples for training leave no training or test samples")
    return rows[:, :n_train], rows[:, n_train:]


def _permuted(dataset: Samples, seed: int) -> np.ndarray:
    """The labels (n,), shuffled within the training and within the test part."""
    Y = np.array(dataset.Y)
    rng = np.random.default_rng(derived_seed(seed, "labels"))
    for part in np.split(Y, [dataset.n_train or 0]):
        rng.shuffle(part)
    return Y


def _copies(config: Config, dataset: Samples, seeds: list[int], train_rows: torch.Tensor):
    """Inputs and labels with a copy of the samples for each seed, one after the other."""
    X, n = dataset.X, len(seeds)
    inputs = (
        [StandardScaler().fit(X[rows]).transform(X) for rows in train_rows.numpy()]
        if config.standardise
        else [X] * n
    )
    labels = (
        [_permuted(dataset, seed) for seed in seeds] if config.permute_labels else [dataset.Y] * n
    )
    return torch.from_numpy(np.concatenate(inputs)), torch.from_numpy(np.concatenate(labels))


def _limits(config: Config, inputs, labels, sets, seeds: list[int]) -> pd.DataFrame:
    """The table ``bounds`` without penalties: what limits the estimates in each seed's own sets."""
    rows = []
    for i, seed in enumerate(seeds):
        for part, chosen in sets.items():
            own = chosen[i] if chosen.dim() == 2 else chosen
            sizes = [min(spec.get("samples") or len(own), len(own)) for spec in config.estimators]
            for n in dict.fromkeys(sizes):
                limits = bounds(inputs[own[:n]], labels[own[:n]])
                rows.append({"seed": seed, "set": part, **limits})
    return pd.DataFrame(rows)


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "information plane",
) -> dict[str, pd.DataFrame]:
    """Train the replicas of one setting and measure their layers.

    Parameters
    ----------
    config : Config
    seed : int
        Seed of the first replica.
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted run go on.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``measurements``: seed, epoch, set, layer, layer_index, and the columns of
        ``ibcore.recording.measure`` (bits). ``history``: seed, epoch, loss (nats) and
        accuracy on training and test samples.
        ``bounds``: seed, set, n, distinct, ceiling_X, ceiling_Y (bits), one row for every seed,
        set and n that an estimator looks at. All have a column ``l2`` if that is a tuple.

    Raises
    ------
    ValueError
        When the split leaves no training or no test samples; when an activation is not finite.
    """
    dataset = load(config) if dataset is None else dataset
    device = device_of(config)
    seeds = list(range(seed, seed + config.replicas))
    inputs, labels = torch.from_numpy(dataset.X), torch.from_numpy(dataset.Y)
    train_rows, test_rows = _split(config, len(inputs), seeds, dataset.n_train)
    order = np.random.default_rng(derived_seed(0, "measured")).permutation(len(inputs))
    rows = {"all": torch.from_numpy(order), "train": train_rows, "test": test_rows}
    if config.standardise or config.permute_labels:
        first = torch.arange(len(seeds))[:, None] * len(inputs)
        rows = {part: chosen + first for part, chosen in rows.items()}
        inputs, labels = _copies(config, dataset, seeds, train_rows)
    inputs, labels = inputs.to(device), labels.to(device)
    several = isinstance(config.l2, tuple)
    factors = config.l2 if several else (config.l2,)
    rows = {
        part: chosen.repeat(len(factors), 1) if chosen.dim() == 2 else chosen
        for part, chosen in rows.items()
    }
    sets = {part: rows[part] for part in config.measured_sets}
    replicas = [(factor, s) for factor in factors for s in seeds]
    networks = [
        models.build(
            config.model,
            num_classes=len(dataset.classes),
            seed=derived_seed(s, "weights"),
            **config.model_options,
        )
        for _, s in replicas
    ]
    layers = networks[0].measured_layers
    recorder = InformationRecorder(
        inputs,
        labels,
        sets=sets,
        train_rows=rows["train"],
        test_rows=rows["test"],
        seeds=[s for _, s in replicas],
        columns=[{"l2": factor} if several else {} for factor, _ in replicas],
        epochs=schedule(config.schedule, config.epochs, points=config.schedule_points),
        estimators=config.estimators,
        layers=layers,
        softmax=layers[-1],
    )
    fit(
        networks,
        inputs,
        labels,
        rows=rows["train"],
        seeds=[s for _, s in replicas],
        epochs=config.epochs,
        batch_size=config.batch_size,
        optimiser=config.optimiser,
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        l2=[factor for factor, _ in replicas],
        weight_decay=config.weight_decay,
        callbacks=[recorder],
        checkpoint=Checkpoint(checkpoint) if checkpoint else None,
        description=name,
        device=device,
    )
    limits = _limits(config, inputs, labels, sets, seeds)
    if several:
        limits = pd.concat([limits.assign(l2=factor) for factor in factors], ignore_index=True)
    return {
        "measurements": pd.DataFrame(recorder.measurements),
        "history": pd.DataFrame(recorder.history),
        "bounds": limits,
    }
