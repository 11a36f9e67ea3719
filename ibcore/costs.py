"""What a profile will take on machines like this one: ``ibcore cost``, ``make costs``.

The trainings of every run are counted, one step of each kind is timed here, and runs are shared out
over several devices of this kind. Measurements on the trained networks are not counted.
"""

import dataclasses
import functools
import heapq
import re
import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from ibcore import datasets, models, profiles, reproduce
from ibcore.experiments import (
    amc,
    entropy_by_depth,
    filter_pruning,
    information_plane,
    known_truth,
    layer_freezing,
    layer_removal,
    saliency_evolution,
)
from ibcore.experiments.shared import check_device, device_name, device_of, precision_of
from ibcore.pruning.filter_relevance import filters_kept
from ibcore.pruning.surgery import shared_channels
from ibcore.training import Replicas, make_optimiser

WORKERS = (1, 8, 64)
SECONDS_TIMED = 0.5
LARGEST_BATCH = 1024
"""Of larger batches a part is timed; the time of an image no longer depends on it."""
IMAGES = {
    "caltech101": 132,
    "cifar10": 50_000,
    "fma": 6_400,
    "pokemon": 2_100,
    "pokemon_time": 2_100,
    "szt": 4_096,
}
"""What a configuration that takes everything trains on: training images, or all rows.

Sizes of the data sets in data/README.md; of the sightings about so many are usable.
"""


@dataclasses.dataclass(frozen=True)
class Training:
    """Some networks of one kind that a run trains.

    Attributes
    ----------
    model : str
    options : mapping
        See ``ibcore.models.build``.
    networks : int
        How many, side by side.
    images : int
        What one of them sees in an epoch.
    epochs : int
    batch_size : int or None
    """

    model: str
    options: dict
    networks: int
    images: int
    epochs: int
    batch_size: int | None

    @property
    def passes(self) -> int:
        """Images times epochs times networks."""
        return self.networks * self.images * self.epochs


def _images(config, given: int | None = None) -> int:
    if given or config.n_train:
        return given or config.n_train
    if config.dataset not in IMAGES:
        raise ValueError(f"the size of {config.dataset!r} is not known; known: {', '.join(IMAGES)}")
    return IMAGES[config.dataset]


def _training(config, epochs: int, **changes) -> Training:
    fields = {
        "model": changes.pop("model", None) or config.model,
        "options": dict(config.model_options),
        "networks": config.replicas,
        "images": _images(config, changes.pop("images", None)),
        "epochs": epochs,
        "batch_size": getattr(config, "batch_size", None),
    }
    return Training(**fields | changes)


@functools.singledispatch
def trainings(config) -> list[Training]:
    """What a run of this configuration trains.

    A network that loses filters or layers on the way, or freezes some, counts as the full one, so
    the sum is an upper bound there. Raises TypeError for another object than a configuration.
    """
    raise TypeError(f"no configuration of an experiment: {config!r:.60}")


@trainings.register
def _(config: known_truth.Config) -> list[Training]:
    return []


@trainings.register
def _(config: information_plane.Config) -> list[Training]:
    images = round(_images(config) * (config.train_fraction or 1))
    factors = len(config.l2) if isinstance(config.l2, tuple) else 1
    return [_training(config, config.epochs, networks=config.replicas * factors, images=images)]


@trainings.register
def _(config: entropy_by_depth.Config) -> list[Training]:
    if not config.epochs:
        return []
    return [_training(config, config.epochs, model=config.network)]


@trainings.register
def _(config: saliency_evolution.Config) -> list[Training]:
    return [_training(config, config.epochs)]


@trainings.register
def _(config: layer_freezing.Config) -> list[Training]:
    return [_training(config, config.epochs, networks=config.replicas * len(config.rules))]


@trainings.register
def _(config: layer_removal.Config) -> list[Training]:
    networks = config.replicas * len(config.ways)
    return [
        _training(config, config.epochs),
        _training(config, config.epochs, model=config.smaller),
        _training(config, config.removals * config.retrain, networks=networks),
    ]


@trainings.register
def _(config: amc.Config) -> list[Training]:
    images = _images(config) - config.n_validation
    policies = len(config.rewards) + len(amc.CONTROLS)
    tuned = config.replicas * len(config.macs_kept) * policies
    return [
        _training(config, config.epochs, images=images),
        _training(config, config.fine_tuning_epochs, images=images, networks=tuned),
    ]


@trainings.register
def _(config: filter_pruning.Config) -> list[Training]:
    width = config.model_options.get("width", 1.0)
    model = models.build(config.model, seed=0, **config.model_options)
    groups = shared_channels(model, _inputs(config.dataset, 1))
    steps = filters_kept(groups, config.steps, width=width)
    rounds = sum(
        filter_pruning.rounds(model, groups, filters_kept(groups, counts, width=width), steps)
        for counts in config.configurations.values()
    )
    retraining = {**config.training, **config.retraining}
    return [
        _training(config, options["epochs"], batch_size=options.get("batch_size"), networks=number)
        for options, number in (
            (config.training, config.replicas),
            (retraining, config.replicas * rounds * len(config.pruned_by)),
        )
    ]


def _inputs(dataset: str, n: int, options: tuple = (), side: int | None = None) -> torch.Tensor:
    """Samples of the right shape: the stand-in's, repeated to ``n``, images cut to a side."""
    split = datasets.splits(dataset)[0]
    few = datasets.load(dataset, split, n=2, allow_standin="only", **dict(options))
    inputs = torch.from_numpy(few.X)[torch.arange(n) % len(few)]
    return inputs if side is None else inputs[:, :, :side, :side]


def seconds_per_image(training: Training, inputs: torch.Tensor, *, precision="float32") -> float:
    """Seconds that a step of training takes, by the images of all networks in it.

    Parameters
    ----------
    training : Training
    inputs : tensor (batch, ...)
        One batch, on the device to be timed.
    precision : {"float32", "bfloat16"}
    """
    labels = torch.arange(len(inputs), device=inputs.device) % 2
    built = [models.build(training.model, seed=0, **training.options)]
    replicas = Replicas(built, inputs.device, precision=precision)
    if replicas.stacked:  # their cost depends on how many they are
        replicas = Replicas(built * training.networks, inputs.device, precision=precision)
    elif inputs.dim() == 4:
        inputs = inputs.to(memory_format=torch.channels_last)
        built[0].to(memory_format=torch.channels_last)
    inputs, labels = (value.expand(len(replicas), *value.shape) for value in (inputs, labels))
    optimiser = make_optimiser("sgd", replicas.parameters(), learning_rate=1e-6)

    def step():
        optimiser.zero_grad(set_to_none=True)
        replicas.backward(inputs, labels)
        optimiser.step()
        if inputs.is_cuda:
            torch.cuda.synchronize(inputs.device)

    step()  # the first one also compiles and allocates
    steps, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < SECONDS_TIMED or not steps:
        step()
        steps += 1
    return spent / (steps * labels.numel())


def makespan(seconds: Iterable[float], workers: int) -> float:
    """Seconds until ``workers`` devices have done all runs, the longest run first.

    Raises ValueError for fewer than one worker.

    Examples
    --------
    >>> makespan([3.0, 2.0, 2.0, 2.0], 2)
    5.0
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    busy = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + run)
    return max(busy)


def _experiment(notebook: str):
    """The module whose runs a notebook asks for."""
    modules = {sys.modules[kind.__module__] for kind in trainings.registry if kind is not object}
    known = {module.__name__.rpartition(".")[2]: module for module in modules}
    asked = re.search(r"sweep\.run\((\w+),", reproduce.source(notebook).read_text())
    if asked is None or asked[1] not in known:
        raise ValueError(f"{notebook} asks for no run of an experiment")
    return known[asked[1]]


class _Stopwatch:
    """Times every kind of step once."""

    def __init__(self, device: str):
        self._device = device
        self._known: dict[str, float] = {}
        self.devices: set[str] = set()

    def run(self, config) -> tuple[int, float]:
        """Images that the trainings of a run see, and the seconds they take."""
        parts = trainings(config)
        if not parts:
            return 0, 0.0
        config = dataclasses.replace(config, device=self._device)
        self.devices.add(device_name(config))
        seconds = sum(part.passes * self._seconds_per_image(part, config) for part in parts)
        return sum(part.passes for part in parts), seconds

    def _seconds_per_image(self, part: Training, config) -> float:
        precision = precision_of(config)
        kind = repr((dataclasses.replace(part, epochs=0), config.dataset, precision))
        if kind not in self._known:
            options = tuple(getattr(config, "dataset_options", {}).items())
            batch = min(part.batch_size or part.images, part.images, LARGEST_BATCH)
            inputs = _inputs(config.dataset, batch, options, side=getattr(config, "crop", None))
            inputs = inputs.to(device_of(config))
            self._known[kind] = seconds_per_image(part, inputs, precision=precision)
        return self._known[kind]


def table(
    profile: str,
    notebooks: Sequence[str] = (),
    *,
    device: str = "auto",
    workers: Sequence[int] = WORKERS,
) -> tuple[pd.DataFrame, str]:
    """What the trainings of every notebook take on this device, and on several like it.

    Parameters
    ----------
    profile : {"smoke", "laptop", "paper"}
    notebooks : sequence of str
        Numbers or names, whole or their beginnings; all by default.
    device : {"cpu", "cuda", "auto"}
        A processor is timed with as many threads as torch has here.
    workers : sequence of int
        Numbers of devices.

    Returns
    -------
    table : DataFrame
        notebook, runs, images (networks times epochs times images), longest run, and a column per
        number of devices, as texts. The last row is for all, and counts a run that two notebooks
        share once.
    device : str
        Its name.

    Raises
    ------
    ValueError
        For an unknown profile or device, "cuda" where torch finds none, a notebook that is not
        there, fewer than one worker.
    """
    chosen = [
        name
        for name in reproduce.notebooks()
        if not notebooks or any(name.startswith(begin) for begin in notebooks)
    ]
    for begin in notebooks:
        if not any(name.startswith(begin) for name in chosen):
            known = ", ".join(reproduce.notebooks())
            raise ValueError(f"no notebook begins with {begin!r}; notebooks: {known}")
    check_device(device)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but torch finds no CUDA GPU here")
    if min(workers, default=0) < 1:
        raise ValueError(f"workers must be at least 1, got {', '.join(map(str, workers))}")
    stopwatch, rows, everything = _Stopwatch(device), [], {}
    for notebook in tqdm(chosen, desc="timing", unit="notebook", leave=False):
        module = _experiment(notebook)
        configs = profiles.configs(profile, notebook, module.Config)
        runs = {f"{module.__name__} {config}": config for config in configs.values()}
        found = {key: stopwatch.run(config) for key, config in runs.items()}
        rows.append(_row(notebook, list(found.values()), workers))
        everything |= found
    if len(chosen) > 1:
        rows.append(_row("all", list(everything.values()), workers))
    return pd.DataFrame(rows), " and ".join(sorted(stopwatch.devices)) or "nothing"


def _row(notebook: str, runs: list[tuple[int, float]], workers: Sequence[int]) -> dict:
    seconds = [one for _, one in runs]
    row = {
        "notebook": notebook,
        "runs": len(runs),
        "images": f"{sum(passes for passes, _ in runs):,}",
        "longest run": _amount(max(seconds)),
    }
    return row | {f"on {number}": _amount(makespan(seconds, number)) for number in workers}


def _amount(seconds: float) -> str:
    """A time in words.

    >>> [_amount(seconds) for seconds in (0, 0.4, 59, 90, 5400, 200000)]
    ['-', '<1 s', '59 s', '1.5 min', '1.5 h', '2.3 days']
    """
    if not seconds:
        return "-"
    if seconds < 1:
        return "<1 s"
    for unit, size, below in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86400)):
        if seconds < below:
            return f"{seconds / size:.{0 if size == 1 else 1}f} {unit}"
    return f"{seconds / 86400:.1f} days"


PAGE = """\
One step of every kind of training in the {profile} profile was timed on {device}. "On 8" means
eight devices of that kind: runs are shared out, the seeds of a run are not, so no number of
devices beats the longest run. Images are those that pass through networks in training, forward
and back, in all epochs. Sizes are those of the official data (FMA-small, about 2,100 sightings);
runs that several notebooks share count once in "all". Not in it: the measurements, which for
small networks (01, 05, 17) take longer than the training, data that have to be fetched, figures.
Upper bounds: networks that are pruned or partly frozen count as whole ones."""


def text(profile: str, notebooks: Sequence[str] = (), **options) -> str:
    """The table of ``table`` with what it means, as Markdown; options and errors as there."""
    rows, device = table(profile, notebooks, **options)
    if device == "CPU":
        threads = torch.get_num_threads()
        device = f"{threads} {'threads' if threads > 1 else 'thread'} of {processor()}"
    shown = rows.to_markdown(index=False, disable_numparse=True)
    return f"{textwrap.fill(PAGE.format(profile=profile, device=device), 100)}\n\n{shown}"


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    facts = Path("/proc/cpuinfo")
    listed = facts.read_text() if facts.exists() else ""
    named = re.search(r"model name\s*:\s*(.+)", listed)
    return named[1] if named else f"a processor with {torch.backends.cpu.get_cpu_capability()}"
