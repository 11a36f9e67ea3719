"""Trained weights of torchvision's ImageNet classifiers, as arrays by parameter name."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ibcore.datasets import fetch
from ibcore.datasets.registry import DataUnavailable, own_folder, raw_folder

ADDRESS = "https://download.pytorch.org/models/"
#: torchvision's files; the digits before the ending begin the sha256 of the content.
FILES = {
    "alexnet": "alexnet-owt-7be5be79.pth",
    "vgg16": "vgg16-397923af.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "squeezenet1_0": "squeezenet1_0-b66bff10.pth",
    "squeezenet1_1": "squeezenet1_1-b8a52dc0.pth",
}
_failed: dict[str, str] = {}  # files that could not be fetched; not tried again by this process


@dataclass(frozen=True, eq=False)
class Weights:
    """Parameters of one trained network, and where they came from.

    Attributes
    ----------
    network : str
    state : dict of str to array
        Keyed as the network's ``state_dict``.
    source : str
        "official" (torchvision's own file, by its sha256) or "local" (others, see ``note``).
    note : str
    fingerprint : str
        sha256 of names, shapes and values (computed, not given).
    """

    network: str
    state: dict = field(repr=False)
    source: str
    note: str
    fingerprint: str = field(init=False)

    def __post_init__(self):
        digest = hashlib.sha256()
        for name, value in sorted(self.state.items()):
            digest.update(f"{name} {value.dtype.str} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).data)
        object.__setattr__(self, "fingerprint", digest.hexdigest())


def _check(path, file):
    """Raise ValueError unless the sha256 begins with the digits in the file's name."""
    expected = re.search(r"-([0-9a-f]{8})\.pth$", file)[1]
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if not found.startswith(expected):
        raise ValueError(f"wrong content: its sha256 begins with {found[:8]}, not with {expected}")


def _hub():
    """Return the folder where torchvision itself keeps what it downloads."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _download(file, folder):
    """Fetch a file into `folder`, checked before it gets its name; OSError if that fails."""
    from pooch import HTTPDownloader
    from requests import ConnectionError, Timeout

    if file in _failed:
        raise OSError(_failed[file])
    folder.mkdir(parents=True, exist_ok=True)
    with fetch.locked(folder):
        path = folder / file
        if path.is_file():  # another process has fetched it meanwhile
            return path
        temporary = folder / f".fetching-{file}"
        timeout = (fetch.CONNECT_SECONDS, fetch.READ_SECONDS)
        try:
            HTTPDownloader(timeout=timeout, chunk_size=1 << 16)(
                f"{ADDRESS}{file}", str(temporary), None
            )
            _check(temporary, file)
            os.replace(temporary, path)
        except (ConnectionError, Timeout) as error:  # their own words fill half a page
            raise OSError("no connection, or it broke off") from error
        except ValueError as error:
            raise OSError(str(error)) from error
        finally:
            temporary.unlink(missing_ok=True)
    return path


def _read(path):
    """Return the arrays of a file by name; objects and code in it are refused, not executed."""
    import torch

    try:
        if path.suffix == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[f"{name}.npy"] for name in arrays.files}
        else:
            state = torch.load(path, weights_only=True)
            found = {name: value.numpy() for name, value in state.items()}
        if not found:
            raise ValueError("it holds none")
        return found
    except Exception as error:  # damaged files are answered with many kinds of exception
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not a whole file of weights ({reason})") from error


def _places(root):
    own = own_folder(root)
    return [place for place in (own, raw_folder()) if place is not None]


def load_weights(network, *, root=None):
    """Load the ImageNet weights of a network of torchvision.

    Looked for, in this order: torchvision's file in ``weights/`` below `root` (else IBCORE_DATA)
    or ``data/raw``, or in torch's own cache; for SqueezeNet, ``squeezenet/<network>*.npz`` in those
    folders (trained by others, see the note); the official download into ``data/raw/weights``.

    Parameters
    ----------
    network : str
        A key of `FILES`.
    root : path, optional
        Folder with the user's own copies; it is only read.

    Returns
    -------
    Weights

    Raises
    ------
    ValueError
        Unknown network, or a file on this machine with wrong content.
    DataUnavailable
        Nothing found, and nothing or something else fetched; the message is one line.
    """
    if network not in FILES:
        raise ValueError(f"no weights known for {network!r}; known are {', '.join(FILES)}")
    file, places = FILES[network], _places(root)
    for folder in (*(place / "weights" for place in places), _hub()):
        if (folder / file).is_file():
            return _official(network, folder / file)
    for place in places:
        for path in sorted((place / "squeezenet").glob(f"{network}*.npz")):
            note = f"local weights {path.name}, not those of torchvision"
            return Weights(network, _read(path), "local", note)
    try:
        return _official(network, _download(file, raw_folder() / "weights"))
    except OSError as error:
        _failed[file] = " ".join(str(error).split())[:200]
        raise DataUnavailable(
            f"weights of {network}: no {file} in weights/ below IBCORE_DATA or data/raw, and "
            f"{ADDRESS} did not deliver ({_failed[file]})"
        ) from error


def _official(network, path):
    try:
        _check(path, path.name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}. Remove or replace it") from error
    return Weights(network, _read(path), "official", f"torchvision's {path.name} (sha256)")
