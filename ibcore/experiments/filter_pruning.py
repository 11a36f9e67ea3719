"""Filter pruning: train once, then remove filters by several scores, a few at a time, and retrain.

All scores start from the same trained network, so that their differences are paired by seed.
"""

import copy
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ibcore import models
from ibcore.estimators import renyi_information_per_filter, spatial_information_per_filter
from ibcore.experiments.shared import (
    ImageConfig,
    Samples,
    device_name,
    device_of,
    load,
    precision_of,
)
from ibcore.pruning.filter_relevance import (
    filters_kept,
    kernel_widths,
    least_relevant,
    score_filters,
)
from ibcore.pruning.surgery import (
    count_macs,
    count_parameters,
    measure_latency,
    remove_channels,
    shared_channels,
)
from ibcore.recording import InformationRecorder
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, crop_and_flip, fit

__all__ = ["Config", "device_name", "load", "rounds", "run"]

LATENCY_IMAGES, LATENCY_REPEATS = 100, 5
CURVE_IMAGES = 200
"""Training images on which loss and accuracy are followed."""
UNPRUNED = "unpruned"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One network on one data set; the values come from a profile.

    The fields of ``ImageConfig``, and:

    Attributes
    ----------
    model_options
        A ``width`` among them also scales filter counts.
    configurations : mapping
        Name to the filters that are left, as the documents print them, see
        ``ibcore.pruning.filter_relevance.filters_kept``.
    steps : str
        Filters that go in one round, in the same form.
    scores : mapping
        Name to the options of ``score_filters``, with ``score`` if that is not the name, and
        ``samples``, the number of training images (all by default).
    pruned_by : tuple of str
        Names of the scores that networks are pruned by; the others are only compared.
    training, retraining : mapping
        Options of ``ibcore.training.fit`` before and after filters are removed; what
        ``retraining`` leaves out is as in ``training``.
    view : {"activated", "convolution"}
        See ``ibcore.pruning.filter_relevance.map_layers``.
    """

    configurations: Mapping[str, str]
    steps: str
    scores: Mapping[str, Mapping]
    pruned_by: tuple[str, ...]
    training: Mapping
    retraining: Mapping
    view: str = "activated"

    def __post_init__(self):
        super().__post_init__()
        unknown = [name for name in self.pruned_by if name not in self.scores]
        if unknown:
            known = ", ".join(self.scores)
            raise ValueError(f"pruned_by names {unknown[0]!r}, which is not in scores: {known}")


class _Work:
    """The networks and tables of one run, and the file that lets it go on."""

    def __init__(self, config: Config, seed: int, dataset: Samples, path: Path | None, name: str):
        self.config, self.name, self.device = config, name, device_of(config)
        self.seeds = list(range(seed, seed + config.replicas))
        # Channels last is the faster order for convolutions of few channels.
        self.inputs = torch.from_numpy(dataset.X).to(self.device, memory_format=torch.channels_last)
        self.labels = torch.from_numpy(dataset.Y).to(self.device)
        self.n_train, self.n_classes = dataset.n_train, len(dataset.classes)
        self.example = self.inputs[:1]
        self.file = Checkpoint(path) if path else None
        self.state = (self.file.load() if self.file else None) or {
            "finished": 0,
            "baseline": [],
            "removed": [],
            "weights": [],
            "widths": {},
            "tables": {"networks": [], "history": [], "scores": [], "timings": []},
        }
        self.tables = self.state["tables"]

    def in_order(self, stages: list[tuple]) -> list[tuple]:
        """The stages in the order in which the run was begun: finished ones are counted.

        A profile may meanwhile name its configurations in another order. ValueError if the state
        knows other stages.
        """
        begun = self.state.setdefault("stages", stages)
        other = sorted(set(begun) ^ set(stages))
        if other:
            configuration, score, number = other[0]
            raise ValueError(
                f"{self.file.path.name} was saved by a run with other stages: round {number} of "
                f"{configuration!r} by {score!r} is in one of the two only"
            )
        return begun

    def training(self) -> Checkpoint | None:
        """Where the training under way is kept: each stage has its own, and takes no other."""
        if self.file is None:
            return None
        path = self.file.path
        return Checkpoint(path.with_name(f"{path.name}.{self.state['finished']}"))

    def networks(self, weights: list[dict], removed: list[list[dict]]) -> list[torch.nn.Module]:
        """Networks as built from the seeds, without some filters, with given weights."""
        found = []
        for index, seed in enumerate(self.seeds):
            model = models.build(
                self.config.model,
                num_classes=self.n_classes,
                seed=derived_seed(seed, "weights"),
                **self.config.model_options,
            ).to(self.device)
            for channels in removed[index] if removed else []:
                model = remove_channels(model, self.example, channels)
            if weights:
                model.load_state_dict(weights[index])
            found.append(model.to(memory_format=torch.channels_last))
        return found

    def train(self, networks, options: Mapping, **where) -> pd.DataFrame:
        """Train the networks, keep the curves and give them back."""
        rows = torch.arange(self.n_train).expand(len(self.seeds), -1)
        tests = torch.arange(self.n_train, len(self.inputs)).expand(len(self.seeds), -1)
        recorder = InformationRecorder(
            self.inputs,
            self.labels,
            sets={},
            train_rows=rows[:, :CURVE_IMAGES],
            test_rows=tests,
            seeds=self.seeds,
            epochs=range(options["epochs"] + 1),
            estimators=(),
            layers=(),
        )
        order = f"order of {where['configuration']}, round {where['round']}"
        fit(
            networks,
            self.inputs,
            self.labels,
            rows=rows,
            seeds=[derived_seed(seed, order) for seed in self.seeds],
            callbacks=[recorder],
            checkpoint=self.training(),
            description=", ".join(map(str, (self.name, *where.values()))),
            device=self.device,
            precision=precision_of(self.config),
            **options,
        )
        self.tables["history"] += [{**where, **row} for row in recorder.history]
        return pd.DataFrame(recorder.history)

    def finish(self, stage: int, networks) -> None:
        """Note that a stage is done."""
        training = self.training()
        self.state["finished"] = stage + 1
        self.state["weights"] = [copy.deepcopy(model.state_dict()) for model in networks]
        if self.file:
            self.file.save(self.state)
            training.remove()

    def describe(self, networks, curves: pd.DataFrame, groups, **where) -> None:
        """One row per network: what it costs, and what it can do after training."""
        for seed, model in zip(self.seeds, networks, strict=True):
            accuracy = curves[curves["seed"] == seed]["test_accuracy"].to_numpy()
            counts = [model.get_submodule(group[0]).out_channels for group in groups]
            self.tables["networks"].append(
                {
                    **where,
                    "seed": seed,
                    "filters": "-".join(map(str, counts)),
                    "parameters": count_parameters(model),
                    "macs": count_macs(model, self.example),
                    "latency": measure_latency(
                        model, self.inputs[:LATENCY_IMAGES], repeats=LATENCY_REPEATS
                    ),
                    "accuracy_before": float(accuracy[0]),
                    "accuracy": float(accuracy[-1]),
                    "best_test_epoch": float(accuracy[min(1, len(accuracy) - 1) :].max()),
                }
            )

    def images(self, options: Mapping, seed: int, purpose: str):
        """The training images a score looks at, shuffled, and moved if those of training are."""
        order = np.random.default_rng(derived_seed(seed, purpose)).permutation(self.n_train)
        chosen = torch.from_numpy(order[: options.get("samples")]).to(self.device)
        images = self.inputs[chosen]
        if self.config.training.get("augment"):
            generator = torch.Generator().manual_seed(derived_seed(seed, f"{purpose}, moved"))
            images = crop_and_flip(images, generator)
        return images, self.labels[chosen]

    def score(self, model, index: int, name: str, layers, widths, purpose: str):
        """Scores of a network's filters and the seconds they took."""
        options = dict(self.config.scores[name])
        kind, seed = options.pop("score", name), self.seeds[index]
        images, labels = self.images(options, seed, purpose)
        options.pop("samples", None)
        # Processor time, which other programs disturb least; on a GPU it would not be the whole.
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        start = clock()
        found = score_filters(
            model,
            images,
            labels,
            layers,
            score=kind,
            view=self.config.view,
            widths=widths.get((index, name)),
            seed=derived_seed(seed, purpose),
            **options,
        )
        return found, clock() - start, len(images)

    def keep(self) -> None:
        """Save the state from time to time."""
        if self.file and self.file.due():
            self.file.save(self.state)

    def widths(self, networks, layers) -> dict[tuple[int, str], dict[str, float]]:
        """Kernel widths of the trained networks for every HRel score; they stay from then on."""
        found = self.state["widths"]
        for name, options in self.config.scores.items():
            if options.get("score", name) != "HRel":
                continue
            for index, model in enumerate(networks):
                if (index, name) not in found:
                    images, labels = self.images(options, self.seeds[index], "widths")
                    view = self.config.view
                    found[index, name] = kernel_widths(model, images, labels, layers, view=view)
                    self.keep()
        return found

    def compare(self, networks, groups, widths) -> None:
        """All scores of the trained networks that are not there yet."""
        done = {(row["seed"], row["score"]) for row in self.tables["timings"]}
        layers = [layer for group in groups for layer in group]
        order = [n for n, _ in networks[0].named_modules() if n in layers]
        # What happens once is not timed; HRel compiles only if a layer has many filters.
        widest = max(networks[0].get_submodule(layer).out_channels for layer in order)
        tiny = np.zeros((2, widest, 2, 2), np.uint8)
        spatial_information_per_filter(tiny, [0, 1])
        renyi_information_per_filter(tiny, [0, 1], kernel_width=1.0)
        for index, (seed, model) in enumerate(zip(self.seeds, networks, strict=True)):
            for name in self.config.scores:
                if (seed, name) in done:
                    continue
                found, seconds, n = self.score(model, index, name, order, widths, "first scores")
                self.tables["timings"].append(
                    {"seed": seed, "score": name, "images": n, "seconds": seconds}
                )
                self.tables["scores"] += [
                    {
                        "seed": seed,
                        "layer": layer,
                        "layer_index": number,
                        "filter": f,
                        "score": name,
                        "value": float(value),
                    }
                    for number, layer in enumerate(order)
                    for f, value in enumerate(found[layer])
                ]
                self.keep()


def rounds(model, groups, kept, steps) -> int:
    """Rounds until no group of layers has more filters than it keeps.

    ValueError if one has fewer from the start.
    """
    counts = [model.get_submodule(group[0]).out_channels for group in groups]
    for group, n, stays in zip(groups, counts, kept, strict=True):
        if stays > n:
            raise ValueError(f"{stays} filters of layer {group[0]!r} are to stay, but it has {n}")
    return max(-(-(n - stays) // step) for n, stays, step in zip(counts, kept, steps, strict=True))


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "filter pruning",
) -> dict[str, pd.DataFrame]:
    """Train, score all filters, and prune by every score down to every configuration.

    Parameters
    ----------
    config : Config
    seed : int
        Seed of the first replica.
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted run go on after its last training or score; a second one
        beside it belongs to the training under way.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``networks``: configuration, score, round, seed, filters, parameters, macs (one image),
        latency (seconds for 100 images), accuracy_before (retraining), accuracy (last epoch),
        best_test_epoch (the best test accuracy of all epochs: optimistic), scoring_seconds.
        ``history``: configuration, score, round, seed, epoch, loss (nats) and accuracy, on all test
        and ``CURVE_IMAGES`` training images.
        ``scores``: seed, layer, layer_index, filter, score, value, of the trained network.
        ``timings``: seed, score, images, seconds, of the same; HRel without its kernel widths. On
        a CPU these and scoring_seconds are processor time.

    Raises
    ------
    ValueError
        For unknown scores or options; for configurations that do not fit the network or leave more
        filters than it has, before any training; for a checkpoint of a run with other stages.
    """
    dataset = load(config) if dataset is None else dataset
    work = _Work(config, seed, dataset, checkpoint, name)
    width = config.model_options.get("width", 1.0)
    networks = work.networks([], [])
    groups = shared_channels(networks[0], work.example)
    steps = filters_kept(groups, config.steps, width=width)
    kept = {
        configuration: filters_kept(groups, counts, width=width)
        for configuration, counts in config.configurations.items()
    }
    stages = work.in_order(
        [
            (configuration, score, number)
            for configuration, stays in kept.items()
            for score in config.pruned_by
            for number in range(1, rounds(networks[0], groups, stays, steps) + 1)
        ]
    )
    if work.state["finished"] == 0:
        where = {"configuration": UNPRUNED, "score": UNPRUNED, "round": 0}
        curves = work.train(networks, config.training, **where)
        work.describe(networks, curves, groups, **where, scoring_seconds=float("nan"))
        work.state["baseline"] = [copy.deepcopy(model.state_dict()) for model in networks]
        work.finish(0, networks)
    trained = work.networks(work.state["baseline"], [])
    layers = [layer for group in groups for layer in group]
    widths = work.widths(trained, layers)
    work.compare(trained, groups, widths)
    for stage, (configuration, score, number) in enumerate(stages, 1):
        if stage < work.state["finished"]:
            continue
        if number == 1:
            work.state["removed"] = [[] for _ in work.seeds]
            work.state["weights"] = work.state["baseline"]
        networks = work.networks(work.state["weights"], work.state["removed"])
        where = {"configuration": configuration, "score": score, "round": number}
        took = []
        for index, model in enumerate(networks):
            purpose = f"round {number}"
            found, seconds, _ = work.score(model, index, score, layers, widths, purpose)
            channels = least_relevant(found, groups, kept[configuration], steps)
            work.state["removed"][index].append(channels)
            networks[index] = remove_channels(model, work.example, channels)
            took.append(seconds)
        curves = work.train(networks, {**config.training, **config.retraining}, **where)
        work.describe(networks, curves, groups, **where, scoring_seconds=float(np.mean(took)))
        work.finish(stage, networks)
    return {table: pd.DataFrame(rows) for table, rows in work.tables.items()}
