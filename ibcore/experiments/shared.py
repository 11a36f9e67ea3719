"""What the experiments have in common: samples, devices, and fields of a configuration."""

import dataclasses
import functools
import logging
from collections.abc import Iterable, Mapping

import numpy as np
import torch

from ibcore import datasets

LOG = logging.getLogger("ibcore.experiments")


@dataclasses.dataclass(frozen=True)
class Samples:
    """All samples of one setting: the training part first if the data set has parts."""

    X: np.ndarray
    Y: np.ndarray
    classes: tuple[str, ...]
    n_train: int | None
    label: str
    source: str
    note: str
    fingerprint: str


def load_alike(
    dataset: str,
    allow_standin: bool | str,
    parts: Iterable[tuple[str, int | None]],
    options: Iterable[tuple[str, object]] = (),
) -> list[datasets.Dataset]:
    """Parts (split, n) of a data set: all of them real, or all of them from one stand-in.

    Where one part comes from a stand-in and another does not, or from another one, all are taken
    from the stand-in that is on every machine. Errors as in ``ibcore.datasets.load``.
    """
    parts, options = tuple(parts), dict(options)

    def load(allowed):
        return [
            datasets.load(dataset, part, n=n, allow_standin=allowed, **options) for part, n in parts
        ]

    loaded = load(allow_standin)
    if any(part.is_standin for part in loaded) and len({part.label for part in loaded}) > 1:
        found = joined(f"{part.split}: {part.label}" for part in loaded)
        LOG.warning("%s would be mixed (%s): all of it is a stand-in", dataset, found)
        loaded = load("only")
    return loaded


def joined(words: Iterable[str]) -> str:
    """Different words in one phrase, each once.

    Examples
    --------
    >>> joined(["official", "local", "official"])
    'official, local'
    """
    return ", ".join(dict.fromkeys(words))


@functools.lru_cache(maxsize=4)
def load_parts(
    dataset: str,
    allow_standin: bool | str,
    parts: tuple[tuple[str, int | None], ...],
    options: tuple[tuple[str, object], ...] = (),
) -> Samples:
    """Parts (split, n) of a data set below each other; options (name, value) of its loader.

    See ``load_alike``. Sources, labels and notes that differ are named one after the other. What
    was loaded is kept for the life of the process: a notebook's kernel sees files that came later
    only after a restart.
    """
    loaded = load_alike(dataset, allow_standin, parts, options)
    first = loaded[0]
    return Samples(
        X=np.concatenate([part.X for part in loaded]),
        Y=np.concatenate([part.Y for part in loaded]),
        classes=first.classes,
        n_train=len(first) if len(loaded) > 1 else None,
        label=joined(part.label for part in loaded),
        source=joined(part.source for part in loaded),
        note=" ".join(dict.fromkeys(part.note for part in loaded)),
        fingerprint="-".join(part.fingerprint for part in loaded),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """What experiments that train on images are all told; the values come from a profile.

    Attributes
    ----------
    dataset, n_train, n_test, allow_standin
        See ``ibcore.datasets.load``; None takes all samples.
    model, model_options
        See ``ibcore.models.build``.
    replicas : int
        Seeds: seed, seed + 1, ...
    threads : int
        Processor threads; part of the configuration because sums depend on it in the last digit.
    device : {"cpu", "cuda", "auto"}
        "auto" takes a GPU when there is one.
    precision : {"float32", "auto"}
        Of the training. "auto" multiplies in bfloat16 on a GPU, see ``ibcore.training.fit``, and in
        float32 on a CPU, where bfloat16 is slower. Measurements are always taken in float32.
    """

    dataset: str
    model: str
    model_options: Mapping = dataclasses.field(default_factory=dict)
    replicas: int = 1
    n_train: int | None = None
    n_test: int | None = None
    allow_standin: bool | str = False
    threads: int = 1
    device: str = "cpu"
    precision: str = "float32"

    def __post_init__(self):
        check_positive(self, "replicas", "threads")
        check_device(self.device)
        if self.precision not in ("float32", "auto"):
            raise ValueError(f"precision must be float32 or auto, got {self.precision!r}")


def load(config: ImageConfig) -> Samples:
    """The samples of ``config``; errors as in ``ibcore.datasets.load``."""
    parts = (("train", config.n_train), ("test", config.n_test))
    return load_parts(config.dataset, config.allow_standin, parts)


def check_positive(config, *names: str) -> None:
    """ValueError for a field below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be positive, got {getattr(config, name)}")


def check_device(device: str) -> None:
    """ValueError for a device that no experiment knows."""
    if device not in ("cpu", "cuda", "auto"):
        raise ValueError(f"device must be cpu, cuda or auto, got {device!r}")


def device_of(config) -> torch.device:
    """The device that ``config`` asks for."""
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(config.device)


def precision_of(config) -> str:
    """The precision in which ``config`` trains: float32, or on a GPU bfloat16 if it may choose."""
    chooses = getattr(config, "precision", "float32") == "auto"
    return "bfloat16" if chooses and device_of(config).type == "cuda" else "float32"


def device_name(config) -> str:
    """Where ``config`` is computed, in words."""
    device = device_of(config)
    if device.type == "cpu":
        return "CPU"
    name = torch.cuda.get_device_name(device)
    return f"{name}, bfloat16" if precision_of(config) == "bfloat16" else name
