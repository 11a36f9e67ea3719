"""AMC with several rewards: train, search under a budget, prune, fine-tune, and compare."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch

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
from ibcore.pruning.amc import (
    AgentSettings,
    Budget,
    Evaluation,
    Policy,
    Pruner,
    PruningEnvironment,
    convolution_entropy,
    random_search,
    search,
)
from ibcore.pruning.surgery import count_macs, count_parameters, measure_latency
from ibcore.recording import accuracy
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, fit

__all__ = ["CONTROLS", "FULL", "Config", "device_name", "load", "run"]

FULL = "full network"
CONTROLS = ("uniform", "random", "best random, accuracy", "best random, entropy")
"""Policies without an agent: the same share everywhere, the first by lot, and the best by lot."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One network on one data set; the values come from a profile.

    The fields of ``ImageConfig``, and:

    Attributes
    ----------
    n_validation : int
        Training images that are kept from training and judge the candidates.
    network : str
        Name of the network in the document's tables; ``model`` may be a smaller one in its place.
    epochs, fine_tuning_epochs : int
        Of the full network, and of each pruned one.
    batch_size, learning_rate, momentum, annealing, augment
        Of the stochastic gradient descent of both, see ``ibcore.training.fit``.
    macs_kept : tuple of float
        Shares of the multiply-accumulates ("FLOPs") that pruned networks may keep.
    rewards : tuple of str
        Names in ``ibcore.pruning.amc.REWARDS``, each a search of its own.
    episodes : int
        Of each search, and random policies in the control.
    agent : mapping
        Fields of ``ibcore.pruning.amc.AgentSettings``.
    lowest, round_to
        See ``ibcore.pruning.amc.Budget``.
    calibration_images, points : int
        Training images for refitting weights, and positions in each, see
        ``ibcore.pruning.amc.Pruner``.
    entropy_images : int
        Validation images whose maps are measured.
    latency_repeats : int
        See ``ibcore.pruning.surgery.measure_latency``.
    first : int
        Seeds: seed + first, seed + first + 1, ...
    """

    network: str
    epochs: int
    fine_tuning_epochs: int
    episodes: int
    macs_kept: tuple[float, ...]
    n_validation: int
    rewards: tuple[str, ...] = ("accuracy", "entropy minimisation", "entropy maximisation")
    agent: Mapping = dataclasses.field(default_factory=dict)
    lowest: float = 0.2
    round_to: int = 8
    calibration_images: int = 3000
    points: int = 10
    entropy_images: int = 100
    latency_repeats: int = 20
    learning_rate: float = 0.01
    momentum: float = 0.9
    annealing: str = "cosine"
    augment: bool = False
    batch_size: int = 128
    first: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_positive(self, "n_validation", "calibration_images")
        AgentSettings(**self.agent)


class _Seed:
    """Everything that is done with one seed: one trained network and its pruned versions."""

    def __init__(self, config: Config, seed: int, dataset: Samples, checkpoint: Path | None, name):
        self.config, self.seed, self._checkpoint, self._name = config, seed, checkpoint, name
        n_train = dataset.n_train
        if not config.n_validation < n_train:
            raise ValueError(f"n_validation = {config.n_validation} of {n_train} training images")
        generator = torch.Generator().manual_seed(derived_seed(seed, "validation"))
        order = torch.randperm(n_train, generator=generator)
        rows = torch.cat([order, torch.arange(n_train, len(dataset.X))])
        self.device = device_of(config)
        images = torch.from_numpy(dataset.X)[rows]
        images = images.to(self.device, memory_format=torch.channels_last)
        labels = torch.from_numpy(dataset.Y)[rows].to(self.device)
        sizes = [n_train - config.n_validation, config.n_validation, len(rows) - n_train]
        self.train, self.validation, self.test = zip(
            images.split(sizes), labels.split(sizes), strict=True
        )
        model = models.build(
            config.model,
            num_classes=len(dataset.classes),
            seed=derived_seed(seed, "weights"),
            **config.model_options,
        )
        self.networks: list[dict] = []
        self.episodes: list[dict] = []
        self._full = self._trained(
            model.to(memory_format=torch.channels_last), config.epochs, "training"
        )
        self._pruner = Pruner(
            self._full,
            self.train[0][: config.calibration_images],
            points=config.points,
            seed=derived_seed(seed, "calibration"),
        )

    def _stage(self, stage: str) -> Checkpoint | None:
        """A checkpoint of its own for each part of the work."""
        if self._checkpoint is None:
            return None
        name = f"{self._checkpoint.name}.{self.seed}-{stage.replace(' ', '-')}"
        return Checkpoint(self._checkpoint.with_name(name))

    def _trained(self, model, epochs: int, stage: str):
        config = self.config
        fit(
            [model],
            *self.train,
            epochs=epochs,
            seeds=[derived_seed(self.seed, stage.split()[0])],
            batch_size=config.batch_size,
            optimiser="sgd",
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            annealing=config.annealing,
            augment=config.augment,
            checkpoint=self._stage(stage),
            description=f"{self._name}, {stage}",
            device=self.device,
            precision=precision_of(config),
        )
        return model

    def _note(self, share: float, method: str, model, policy: Policy) -> None:
        """Fine-tune a pruned network and note what it is and can do."""
        config = self.config
        options = "".join(f", {key} {value:g}" for key, value in config.model_options.items())
        row = {"seed": self.seed, "network": config.network, "model": config.model + options}
        row |= {"share": share, "method": method}
        example = self.test[0][:100]
        row["macs"] = count_macs(model, example[:1])
        row["macs_kept"] = row["macs"] / count_macs(self._full, example[:1])
        row["parameters"] = count_parameters(model)
        seconds = measure_latency(model, example, repeats=config.latency_repeats)
        row["latency_ms"] = 1000 * seconds
        entropies = convolution_entropy(model, self.validation[0][: config.entropy_images])
        row["entropy"] = sum(entropies.values()) / len(entropies)
        row["validation_accuracy"] = accuracy(model, *self.validation)
        row["pruned_accuracy"] = accuracy(model, *self.test)
        if method != FULL:
            tuned = copy.deepcopy(model)
            stage = f"fine-tuning {share:g} {method}"
            model = self._trained(tuned, config.fine_tuning_epochs, stage)
        row["test_accuracy"] = accuracy(model, *self.test)
        self.networks.append({**row, "policy": policy.to_json()})

    def _searched(self, share: float, method: str, find):
        """Run a search and note its episodes."""
        found = find(
            episodes=self.config.episodes,
            seed=self.seed,
            checkpoint=self._stage(f"search {share:g} {method}"),
            description=f"{self._name}, {method}",
        )
        key = {"seed": self.seed, "network": self.config.network, "share": share, "search": method}
        for row in found.episodes:
            counts = " ".join(map(str, row["counts"]))
            self.episodes.append({**key, **row, "counts": counts})
        return found

    def compare(self) -> None:
        """The full network, and every search and control at every share."""
        structure, config = self._pruner.structure, self.config
        self._note(1.0, FULL, self._full, Policy.of(structure, structure.channels))
        for share in config.macs_kept:
            budget = Budget(
                structure, macs_kept=share, lowest=config.lowest, round_to=config.round_to
            )
            self._searches(share, budget)
            self._controls(share, budget)

    def _evaluation(self, reward: str) -> Evaluation:
        return Evaluation(
            self._pruner,
            *self.validation,
            reward=reward,
            entropy_images=self.config.entropy_images,
        )

    def _searches(self, share: float, budget: Budget) -> None:
        for reward in self.config.rewards:
            environment = PruningEnvironment(budget, self._evaluation(reward))
            settings = AgentSettings(**self.config.agent)

            def find(environment=environment, settings=settings, **options):
                return search(environment, settings=settings, **options)

            self._prune(share, reward, self._searched(share, reward, find).policy)

    def _controls(self, share: float, budget: Budget) -> None:
        def find(**options):
            return random_search(budget, self._evaluation("accuracy"), **options)

        found = self._searched(share, "random", find)
        lowest = min(found.episodes, key=lambda row: row["entropy"])["counts"]
        policies = (
            self._pruner.policy(budget.fit([1.0] * len(budget.structure.channels))),
            self._pruner.policy(found.episodes[0]["counts"]),
            found.policy,
            self._pruner.policy(lowest),
        )
        for method, policy in zip(CONTROLS, policies, strict=True):
            self._prune(share, method, policy)

    def _prune(self, share: float, method: str, policy: Policy) -> None:
        self._note(share, method, self._pruner.prune(list(policy.kept.values())), policy)


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "AMC",
) -> dict[str, pd.DataFrame]:
    """Prune one network per seed by every reward and control, at every share.

    Parameters
    ----------
    config : Config
    seed : int
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        Files of this name, with something added, let an interrupted run go on. They are removed by
        whoever stores the result.
    name : str
        Text of the progress bars.

    Returns
    -------
    dict of DataFrame
        ``networks``: seed, network, model, share (allowed; 1 for the full network), method, macs,
        macs_kept (share of the full network's), parameters, latency_ms (of 100 images), entropy,
        validation_accuracy and pruned_accuracy (validation and test images, before fine-tuning),
        test_accuracy (after), policy (JSON). ``episodes``: seed, network, share, search, episode,
        reward, accuracy, entropy, macs_kept, parameters, counts.

    Raises
    ------
    ValueError
        Whatever training, pruning and searching refuse; if no training images are left.
    """
    dataset = load(config) if dataset is None else dataset
    networks, episodes = [], []
    for number in range(config.replicas):
        one = _Seed(config, seed + config.first + number, dataset, checkpoint, name)
        one.compare()
        networks += one.networks
        episodes += one.episodes
    return {"networks": pd.DataFrame(networks), "episodes": pd.DataFrame(episodes)}
