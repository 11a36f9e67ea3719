"""What a data set is, where its files may lie, and the table of loaders behind `load`."""

from __future__ import annotations

import hashlib
import logging
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

LOG = logging.getLogger("ibcore.datasets")
SOURCES = ("official", "mirror", "local", "stand-in")
PACKAGE_FOLDER = Path(__file__).resolve().parents[1]


class DataUnavailable(RuntimeError):
    """The data are not on this machine, cannot be fetched, and no stand-in is allowed."""


def content_fingerprint(X, Y):
    """Return the sha256 (hex) of dtype, shape and bytes of two arrays, the same on every machine.

    Neither the name nor the source enters: equal content gives an equal fingerprint.

    Parameters
    ----------
    X, Y : array_like
        Any shapes and number types.

    Examples
    --------
    >>> content_fingerprint([1.0], [0]) == content_fingerprint([1], [0])
    False
    """
    digest = hashlib.sha256()
    for array in (X, Y):
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of one data set, and where it came from.

    Attributes
    ----------
    name, split : str
        As given to `load`.
    X : float32 array
        Images (n, 1, h, w) in [0, 1], or feature rows (n, d).
    Y : int64 array (n,)
        Class numbers, 0 <= Y < len(classes).
    classes : tuple of str
        Class names; of a stand-in, the stand-in's own.
    source : str
        "official", "mirror", "local" or "stand-in".
    note : str
        One plain sentence on the origin; a stand-in's begins with "stand-in: ".
    title : str
        The name to print; `name` if empty.
    standin : str
        What stands in ("scikit-learn digits"); empty for the data themselves.
    folder : Path or None
        Where the files lie; None if no file was read.
    fingerprint : str
        `content_fingerprint` of X and Y (computed, not given).

    Raises
    ------
    ValueError
        An array has the wrong type or shape, a label has no class, the source is unknown, or a
        stand-in does not say that it is one.
    """

    name: str
    split: str
    X: np.ndarray = field(repr=False)
    Y: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    source: str
    note: str
    title: str = ""
    standin: str = ""
    folder: Path | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self):
        if self.X.dtype != np.float32 or self.X.ndim < 2:
            raise ValueError(
                f"X must be float32 with at least 2 axes, got {self.X.dtype} {self.X.shape}"
            )
        if self.Y.dtype != np.int64 or self.Y.ndim != 1:
            raise ValueError(f"Y must be int64 with 1 axis, got {self.Y.dtype} {self.Y.shape}")
        if len(self.X) != len(self.Y) or len(self.Y) == 0:
            raise ValueError(
                f"X and Y must be equally long and not empty, got {len(self.X)} and {len(self.Y)}"
            )
        if self.Y.min() < 0 or self.Y.max() >= len(self.classes):
            raise ValueError(
                f"labels run from {self.Y.min()} to {self.Y.max()}, "
                f"but there are {len(self.classes)} classes"
            )
        if self.source not in SOURCES:
            raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {self.source!r}")
        marks = {self.is_standin, bool(self.standin), self.note.startswith("stand-in: ")}
        if len(marks) > 1:
            raise ValueError(
                "a stand-in, and nothing else, must name what stands in and have a note that "
                f"begins with 'stand-in: '; got source {self.source!r}, standin "
                f"{self.standin!r}, note {self.note!r}"
            )
        object.__setattr__(self, "fingerprint", content_fingerprint(self.X, self.Y))

    def __len__(self):
        return len(self.Y)

    @property
    def is_standin(self):
        """Whether these are other data than the name says."""
        return self.source == "stand-in"

    @property
    def label(self):
        """The words for captions: "MNIST", or "stand-in (scikit-learn digits) for MNIST"."""
        title = self.title or self.name
        return f"stand-in ({self.standin}) for {title}" if self.is_standin else title

    def subset(self, indices):
        """Return the samples at `indices`, in that order, with a fingerprint of their own.

        Parameters
        ----------
        indices : array_like
            Integers in 0..n-1, or n booleans.

        Raises
        ------
        ValueError
            Not a list of integers or n booleans, nothing selected, or an index out of range.
        """
        indices = np.asarray(indices)
        if indices.dtype == bool and indices.shape == self.Y.shape:
            indices = np.flatnonzero(indices)
        if indices.ndim != 1 or indices.size == 0 or indices.dtype.kind not in "iu":
            raise ValueError(
                f"indices must be one or more integers, or {len(self)} booleans with at least "
                f"one true, got {indices.dtype} {indices.shape}"
            )
        if indices.min() < 0 or indices.max() >= len(self):
            raise ValueError(
                f"indices run from {indices.min()} to {indices.max()}, "
                f"but there are {len(self)} samples"
            )
        return replace(self, X=self.X[indices], Y=self.Y[indices])


def raw_folder():
    """Return the folder of fetched data: ``data/raw`` in the project.

    The project is the folder in the environment variable IBCORE_OUTPUT if set, else the checkout
    (the folder above the package, if it holds a pyproject.toml), else the current folder.
    """
    output = os.environ.get("IBCORE_OUTPUT")
    checkout = PACKAGE_FOLDER.parent
    if output:
        project = Path(output).expanduser()
    elif (checkout / "pyproject.toml").is_file():
        project = checkout
    else:
        project = Path.cwd()
    return project / "data" / "raw"


@dataclass(frozen=True)
class Kind:
    """One entry of the table of data sets."""

    title: str
    splits: tuple[str, ...]
    loader: Callable[[Request], Dataset]
    options: Mapping[str, object]
    by_hand: bool


_KINDS: dict[str, Kind] = {}


def register(name, *, title, splits, options=None, by_hand=False):
    """Return a decorator that enters a loader ``Request -> Dataset`` under `name`.

    `options` maps further keywords that `load` takes for this data set to their defaults;
    `by_hand` says that `load` knows no address to fetch it from.

    Raises
    ------
    ValueError
        The name is taken.
    """

    def enter(loader):
        if name in _KINDS:
            raise ValueError(f"the data set {name!r} is registered already")
        _KINDS[name] = Kind(title, tuple(splits), loader, dict(options or {}), by_hand)
        return loader

    return enter


@dataclass(frozen=True)
class Request:
    """What a loader gets to know: the arguments of `load`, checked, and the folders to look in.

    Attributes
    ----------
    name, split, title : str
        The data set.
    n : int or None
        Number of samples; None for all.
    seed : int
        Seed of the random subset.
    own : Path or None
        The user's own folder (`root`, else IBCORE_DATA): read, never written.
    raw : Path
        The project's folder of fetched data: read and written.
    allow_standin : bool or "only"
        "only" forbids disk and net.
    options : mapping
        Further options of this data set, all of them.
    """

    name: str
    split: str
    title: str
    n: int | None
    seed: int
    own: Path | None
    raw: Path
    allow_standin: bool | str
    options: Mapping[str, object]

    @property
    def hermetic(self):
        """Whether neither disk nor net may be used."""
        return self.allow_standin == "only"

    def places(self):
        """Return [(folder, whether it is the project's own)], in the order to look."""
        if self.own is None or self.own.resolve() == self.raw.resolve():
            return [(self.raw, True)]
        return [(self.own, False), (self.raw, True)]

    def pick(self, available):
        """Return the indices of the wanted samples out of `available`, ascending.

        The n of seed s are the first n of a permutation drawn by ``numpy.random.default_rng(s)``,
        so that a smaller subset lies within a larger one; they are then put in file order.

        Raises
        ------
        ValueError
            More samples wanted than there are.
        """
        if self.n is None:
            return np.arange(available)
        if self.n > available:
            raise ValueError(
                f"n = {self.n} samples wanted, but {self.name} {self.split} has {available}"
            )
        return np.sort(np.random.default_rng(self.seed).permutation(available)[: self.n])

    def dataset(self, X, Y, **rest):
        """Return a `Dataset` of this name, split and title."""
        return Dataset(name=self.name, split=self.split, title=self.title, X=X, Y=Y, **rest)


def names():
    """Return the names that `load` knows."""
    return tuple(_KINDS)


def splits(name):
    """Return the splits of a data set.

    Raises
    ------
    ValueError
        Unknown name.
    """
    return _kind(name).splits


def title(name):
    """Return the name of a data set as it is printed; ValueError as `splits`."""
    return _kind(name).title


def is_by_hand(name):
    """Return whether people have to put its files in place; ValueError as `splits`."""
    return _kind(name).by_hand


def _kind(name):
    if name not in _KINDS:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(_KINDS)}")
    return _KINDS[name]


def _whole_number(value, what, least):
    """Return value as an int of at least `least`, or raise ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise ValueError(f"{what} must be an integer of at least {least}, got {value!r}")
    return number


def own_folder(root):
    """Return the user's own data folder, or None."""
    if root is not None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise ValueError(f"root = {str(root)!r} is not a folder")
        return folder
    named = os.environ.get("IBCORE_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise ValueError(f"IBCORE_DATA = {named!r} is not a folder")
    return folder


def load(name, split, *, n=None, seed=0, root=None, allow_standin=False, **options):
    """Load one split of a data set.

    Order of sources: `root`, else the folder in IBCORE_DATA; ``data/raw`` (`raw_folder`);
    official download into ``data/raw``; a mirror; a stand-in, where allowed.

    Parameters
    ----------
    name, split : str
        One of `names` and of `splits`.
    n : int, optional
        Take a random subset of n samples without replacement, in file order; all by default.
    seed : int
        Seed of the subset. Subsets of one seed are nested.
    root : path, optional
        Folder with the user's own copies; it is only read.
    allow_standin : bool or "only"
        True: take other data, clearly named, if there is nothing else. "only": never look at
        disk or net; take the stand-in, or generated data, at once.
    **options
        Further keywords that this data set has, such as the ``size`` of "fma".

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        Unknown name, split or option, a bad n, seed, root or allow_standin, or a file with wrong
        content.
    DataUnavailable
        Nothing found, nothing fetched, no stand-in allowed.
    OSError
        The disk is full.

    Examples
    --------
    >>> data = load("szt", "all", allow_standin="only")
    >>> data.X.shape, int(data.Y.sum()), data.label
    ((4096, 12), 2118, '12-bit task')
    """
    kind = _kind(name)
    if split not in kind.splits:
        raise ValueError(
            f"unknown split {split!r} of {name}; known are {', '.join(map(repr, kind.splits))}"
        )
    if allow_standin not in (False, True, "only"):
        raise ValueError(f"allow_standin must be False, True or 'only', got {allow_standin!r}")
    unknown = sorted(set(options) - set(kind.options))
    if unknown:
        known = ", ".join(kind.options) or "none"
        raise ValueError(f"unknown option {unknown[0]!r} of {name}; known are {known}")
    return kind.loader(
        Request(
            name=name,
            split=split,
            title=kind.title,
            n=None if n is None else _whole_number(n, "n", 1),
            seed=_whole_number(seed, "seed", 0),
            own=None if allow_standin == "only" else own_folder(root),
            raw=raw_folder(),
            allow_standin=allow_standin,
            options={**kind.options, **options},
        )
    )
