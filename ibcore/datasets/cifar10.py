"""CIFAR-10 in colour and in grey, from the official archive or from a copy as JPEG or PNG files.

Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images. The images are decoded
once into ``data/raw/cifar10/decoded-*.npz``. Fashion-MNIST, then scikit-learn's digits, stand in.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ibcore.datasets import fetch, idx
from ibcore.datasets.mnist import resize_bilinear
from ibcore.datasets.registry import LOG, DataUnavailable, load, register

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
TITLES = {
    "cifar10": "CIFAR-10",
    "cifar10_grey": "CIFAR-10 in grey",
    "cifar10_grey_wrapped": "CIFAR-10 in grey, sum wrapped mod 256",
}
SIZES = {"train": 50_000, "test": 10_000}
SIDE = 32
ARCHIVE = "cifar-10-binary.tar"
CHECKSUM = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
ADDRESS = "https://www.cs.toronto.edu/~kriz/"
SOURCES = (fetch.Source("official", ADDRESS, fetch.download(ADDRESS)),)

_BATCH = re.compile(r"(?:.*/)?(data|test)_batch(?:_\d)?\.bin")
_PICTURE = re.compile(r"(?:.*/)?(train|test)/([^/]+)/[^/]+\.(jpe?g|png)", re.IGNORECASE)


def _check(path, file=ARCHIVE):
    """Raise ValueError unless `path` is the official archive, byte for byte."""
    with Path(path).open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != CHECKSUM:
        raise ValueError(
            f"{path}: not the official {file}.gz: sha256 {found}, expected {CHECKSUM}. "
            "Remove or replace it"
        )


def _locate(place):
    """Return the first copy in ``place/cifar10`` or in `place`: an archive, a folder, or None."""
    for folder in (place / "cifar10", place):
        archives = sorted(folder.glob("cifar10*.tar*"))
        for path in (folder / f"{ARCHIVE}.gz", folder / ARCHIVE, *archives):
            if path.is_file():
                return path
        if (folder / "train" / CLASSES[0]).is_dir():
            return folder
    return None


def _is_official(path):
    return path.name == f"{ARCHIVE}.gz"


def _members(path):
    """Yield (name, content) of every file in an archive or below a folder."""
    if path.is_dir():
        for file in path.glob("t*/*/*"):
            yield str(file.relative_to(path)), file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile():
                    idx.refuse_huge(member, path)
                    yield member.name, archive.extractfile(member).read()
    except idx.DAMAGE as error:
        raise ValueError(f"{path}: truncated or damaged archive ({error})") from error


def _batches(path):
    """Return the records of the official archive by split."""
    parts = {"train": {}, "test": {}}
    for name, content in _members(path):
        if found := _BATCH.fullmatch(name):
            split = "test" if found[1] == "test" else "train"
            if len(content) % (1 + 3 * SIDE**2):
                raise ValueError(f"{path}: {name} has {len(content)} bytes, no whole records")
            parts[split][name] = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * SIDE**2)
    return {split: [part[name] for name in sorted(part)] for split, part in parts.items()}


def _pixels(content, name):
    """Return the 3 x 32 x 32 bytes of an encoded picture."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.size == (SIDE, SIDE):
                return np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
            reason = f"{picture.size[0]}x{picture.size[1]} pixels, not {SIDE}x{SIDE}"
    except Exception as error:  # Pillow answers damaged files with many kinds
        reason = str(error)
    raise ValueError(f"{name}: no picture of CIFAR-10 ({reason})")


def _pictures(path):
    """Return the records of a copy as picture files, by class and name, and whether any is JPEG."""
    parts, lossy = {"train": {}, "test": {}}, False
    for name, content in _members(path):
        if found := _PICTURE.fullmatch(name):
            split, kind, ending = found.groups()
            if kind not in CLASSES:
                raise ValueError(f"{path}: {kind!r} is no class of CIFAR-10")
            label = CLASSES.index(kind)
            record = np.empty((1, 1 + 3 * SIDE**2), np.uint8)
            record[0, 0], record[0, 1:] = label, _pixels(content, f"{path}, {name}").ravel()
            parts[split.lower()][label, name] = record
            lossy |= ending.lower() != "png"
    return {split: [part[key] for key in sorted(part)] for split, part in parts.items()}, lossy


def _decode(path):
    """Return the arrays of both splits, each record a label and 3 x 32 x 32 bytes."""
    if path.name in (f"{ARCHIVE}.gz", ARCHIVE):
        parts, lossy = _batches(path), False
    else:
        parts, lossy = _pictures(path)
    counts = {split: sum(map(len, part)) for split, part in parts.items()}
    if counts != SIZES:
        raise ValueError(f"{path}: holds {counts} images, CIFAR-10 has {SIZES}")
    return {**{split: np.concatenate(part) for split, part in parts.items()}, "lossy": lossy}


def _mark(path):
    """Return a hash that changes when an archive's bytes or a folder's files change."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    for file in sorted(path.glob("t*/*/*")):
        facts = file.stat()
        digest.update(f"{file.relative_to(path)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _decoded(path, split, folder):
    """Return the records of a split and whether they went through JPEG; decode only once.

    The zip format checks the CRC of what is read, and the mark of the copy is in it: a damaged file
    and one under a wrong name are decoded anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = _mark(path)
    kept = folder / f"decoded-{mark[:16]}.npz"
    with fetch.locked(folder):
        if kept.is_file():
            try:
                with kept.open("rb") as file, np.load(file) as arrays:
                    if arrays["mark"] != mark:
                        raise ValueError("decoded from another copy")
                    return arrays[split], bool(arrays["lossy"])
            except Exception as error:  # zipfile and NumPy answer damage with many kinds
                LOG.warning("%s is damaged (%s): decoding again", kept, error)
        LOG.info("decoding %s", path)
        arrays = _decode(path)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, mark=mark, **arrays)
            os.chmod(temporary, 0o644)
            os.replace(temporary, kept)
        finally:
            Path(temporary).unlink(missing_ok=True)
    return arrays[split], arrays["lossy"]


def grey(images, *, wrapped=False):
    """Return the mean of the three colours, in bytes.

    Parameters
    ----------
    images : uint8 array (n, 3, h, w)
    wrapped : bool
        Add the colours as bytes, so that the sum is taken modulo 256, as the public program of
        Li & Liu does.

    Returns
    -------
    float32 array (n, 1, h, w)
        In [0, 255], or in [0, 85] if wrapped.

    Raises
    ------
    ValueError
        Not uint8, or not three colours.

    Examples
    --------
    >>> pixel = np.full((1, 3, 1, 1), 200, np.uint8)
    >>> grey(pixel).item(), round(grey(pixel, wrapped=True).item(), 2)
    (200.0, 29.33)
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be uint8 (n, 3, h, w), got {images.dtype} {images.shape}")
    total = images.sum(axis=1, keepdims=True, dtype=np.uint8 if wrapped else np.uint16)
    return (total / 3).astype(np.float32)


def _dataset(request, path, ours):
    if _is_official(path):
        _check(path)
    records, lossy = _decoded(path, request.split, request.raw / "cifar10")
    source = "local"
    if ours and _is_official(path):
        source = fetch.recorded_source(path.parent, [ARCHIVE])
    if _is_official(path):
        origin = f"the official archive from {ADDRESS} (sha256)"
    elif path.name == ARCHIVE:
        origin = f"from a local {ARCHIVE} without its gzip, so not compared with a checksum"
    else:
        kind = "re-encoded JPEG, not the official pixels" if lossy else "PNG"
        origin = f"from a local copy as picture files ({kind})"
    if lossy:  # every figure, table and verdict shows the title
        request = replace(request, title=f"{request.title} (JPEG copy)")
    records = records[request.pick(len(records))]
    images = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    if request.name != "cifar10":
        images = grey(images, wrapped=request.name.endswith("wrapped"))
    return request.dataset(
        images.astype(np.float32) / 255,
        records[:, 0].astype(np.int64),
        classes=CLASSES,
        source=source,
        note=f"{request.title}, {request.split} split, {origin}.",
        folder=path if path.is_dir() else path.parent,
    )


def _load(request):
    if request.hermetic:
        return _standin(request)
    for place, ours in request.places():
        path = _locate(place)
        if path:
            return _dataset(request, path, ours)
    folder = request.raw / "cifar10"
    try:
        fetch.obtain(folder, [ARCHIVE], SOURCES, _check, plain=False)
        path = _locate(request.raw)
        if path is None:
            raise fetch.FetchFailed(f"the files vanished from {folder}")
    except fetch.FetchFailed as failure:
        if request.allow_standin:
            LOG.warning("%s is not available: other data stand in", request.title)
            return _standin(request)
        raise DataUnavailable(_advice(request, folder, failure)) from failure
    return _dataset(request, path, True)


def _advice(request, folder, failure):
    looked = ", ".join(str(place) for place, _ in request.places())
    answers = "\n".join(f"  {line}" for line in str(failure).splitlines())
    return (
        f"{request.title} is not available.\nLooked in {looked}. Then tried:\n{answers}\n"
        f"To go on, fetch {ARCHIVE}.gz from {ADDRESS} and put it into {folder} (or set "
        "IBCORE_DATA to a folder with cifar10/ in it: that file, an archive cifar10*.tar[.xz] or "
        "the folders train/<class> and test/<class> with JPEG or PNG files), or allow the stand-in "
        "where the profile does."
    )


def _standin(request):
    """Return Fashion-MNIST, or what stands in for it, enlarged to 32x32, grey in every colour."""
    other = load(
        "fashion_mnist",
        request.split,
        n=request.n,
        seed=request.seed,
        root=request.own,
        allow_standin=request.allow_standin,
    )
    name = other.standin or other.title
    images = np.empty((len(other), 1, SIDE, SIDE), np.float32)
    for start in range(0, len(other), 1000):  # in pieces, because the work is in float64
        piece = slice(start, start + 1000)
        images[piece, 0] = resize_bilinear(other.X[piece, 0], SIDE)
    if request.name == "cifar10":
        images = images.repeat(3, axis=1)
    return request.dataset(
        images,
        other.Y,
        classes=other.classes,
        source="stand-in",
        standin=name,
        note=f"stand-in: {name}, enlarged to 32x32, used in place of {request.title}.",
        folder=other.folder,
    )


for _name, _title in TITLES.items():
    register(_name, title=_title, splits=SIZES)(_load)
