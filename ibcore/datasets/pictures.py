"""Photographs of 224x224 pixels: two classes of Caltech-101, a sample of ImageNet.

Every picture is squeezed to a square by Pillow's bilinear filter, whatever its shape, as the small
public Grad-CAM programs do. Crops of scikit-learn's two photographs stand in.

Caltech-101: Fei-Fei, Fergus and Perona (2004). ImageNet: Russakovsky et al. (2015).
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from ibcore.datasets import fetch, idx
from ibcore.datasets.registry import LOG, DataUnavailable, register

SIDE = 224
TITLES = {"caltech101": "Caltech-101", "imagenet": "ImageNet"}
CALTECH = ("beaver", "kangaroo")
BEAVER = "n02363005"  # its number in WordNet, with which ImageNet names files and folders
SAMPLE = slice(7, None, 10)  # every tenth class, and the beaver (class 337) among them
ARCHIVE = "101_ObjectCategories.tar"
CHECKSUM = "b224c7392d521a49829488ab0f1120d9"  # md5, as published with the archive
ADDRESS = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
STANDIN = "crops of scikit-learn's photographs"
CROPS = 64

_PICTURE = re.compile(r".*\.(jpe?g|png)", re.IGNORECASE)


def _from_zip(files, folder):
    """Fetch the official zip archive and take the wanted files out of it."""
    from pooch import HTTPDownloader
    from requests import ConnectionError, Timeout

    packed = folder / "caltech-101.zip"
    timeout = (fetch.CONNECT_SECONDS, fetch.READ_SECONDS)
    try:
        HTTPDownloader(timeout=timeout, chunk_size=1 << 16)(ADDRESS, str(packed), None)
        with zipfile.ZipFile(packed) as archive:
            for file in files:
                inside = next(n for n in archive.namelist() if n.endswith(f"/{file}.gz"))
                (folder / f"{file}.gz").write_bytes(archive.read(inside))
    except (ConnectionError, Timeout) as error:
        raise OSError("no connection, or it broke off") from error
    except (zipfile.BadZipFile, StopIteration) as error:
        raise ValueError(f"{ADDRESS} is not the archive that is expected") from error


SOURCES = (fetch.Source("official", ADDRESS, _from_zip),)


def _check(path, file=ARCHIVE):
    """Raise ValueError unless `path` is the official archive, byte for byte."""
    with Path(path).open("rb") as content:
        found = hashlib.file_digest(content, "md5").hexdigest()
    if found != CHECKSUM:
        raise ValueError(
            f"{path}: not the official {file}.gz: md5 {found}, expected {CHECKSUM}. "
            "Remove or replace it"
        )


def _files(path):
    """Return {name: content} of every picture in an archive or below a folder, sorted by name."""
    found = {}
    if path.is_dir():
        for file in path.rglob("*"):
            if file.is_file() and _PICTURE.fullmatch(file.name):
                found[file.relative_to(path).as_posix()] = file.read_bytes()
    else:
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and _PICTURE.fullmatch(member.name):
                        idx.refuse_huge(member, path)
                        found[member.name] = archive.extractfile(member).read()
        except idx.DAMAGE as error:
            raise ValueError(f"{path}: truncated or damaged archive ({error})") from error
    return dict(sorted(found.items()))


def _squeezed(picture):
    """Return a picture as bytes (3, 224, 224)."""
    square = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)


def _pixels(content, name):
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return _squeezed(picture)
    except Exception as error:  # Pillow answers damaged files with many kinds
        raise ValueError(f"{name}: no picture ({error})") from error


def _caltech(files, split):
    """Return the names of a class, their labels and the class names."""
    kept = [name for name in files if PurePosixPath(name).parent.name == split]
    return kept, np.full(len(kept), CALTECH.index(split)), CALTECH


def _imagenet(files, split):
    """Return the names of the beavers or of the sample, their labels and the class names.

    The sample needs one picture of each of the 1,000 classes; sorted by name, they are numbered
    as usual.
    """
    if split == "beaver":
        kept = [name for name in files if BEAVER in "_".join(PurePosixPath(name).parts[-2:])]
        return kept, np.zeros(len(kept)), ("beaver",)
    if len(files) != 1000:
        return [], np.zeros(0), ()
    numbers = np.arange(1000)[SAMPLE]
    names = [PurePosixPath(name).stem for name in files]
    return list(files)[SAMPLE], numbers, tuple(names)


def _locate(place, name):
    """Yield the archives and the folder of a data set in ``place/name``, then archives in place."""
    for folder in (place / name, place):
        yield from sorted(folder.glob(f"{name}*.tar*"))
        for file in (f"{ARCHIVE}.gz", ARCHIVE):
            if name == "caltech101" and (folder / file).is_file():
                yield folder / file
        if folder != place and folder.is_dir():
            yield folder


def _load(request):
    if request.hermetic:
        return _standin(request)
    for place, ours in request.places():
        if found := _find(request, place, ours):
            return found
    folder = request.raw / request.name
    try:
        if request.name != "caltech101":
            raise fetch.FetchFailed("it cannot be fetched from anywhere without an account")
        fetch.obtain(folder, [ARCHIVE], SOURCES, _check, plain=False)
        found = _find(request, request.raw, True)
        if found is None:
            raise fetch.FetchFailed(f"the files vanished from {folder}")
    except fetch.FetchFailed as failure:
        if request.allow_standin:
            LOG.warning("%s is not available: %s stand in", request.title, STANDIN)
            return _standin(request)
        raise DataUnavailable(_advice(request, folder, failure)) from failure
    return found


def _find(request, place, ours):
    """Return the data set from the first archive or folder of a place that has it, or None."""
    found = (_dataset(request, path, ours) for path in _locate(place, request.name))
    return next(filter(None, found), None)


def _dataset(request, path, ours):
    """Return the data set read from one archive or folder, or None if the split is not there."""
    official = path.name == f"{ARCHIVE}.gz"
    if official:
        _check(path)
    files = _files(path)
    pick = _caltech if request.name == "caltech101" else _imagenet
    kept, labels, classes = pick(files, request.split)
    if not kept:
        return None
    chosen = request.pick(len(kept))
    images = [_pixels(files[kept[i]], f"{path}, {kept[i]}") for i in chosen]
    source = "local"
    if ours and official:
        source = fetch.recorded_source(path.parent, [ARCHIVE])
    origin = f"the official archive from {ADDRESS} (md5)" if official else "local picture files"
    return request.dataset(
        np.stack(images).astype(np.float32) / 255,
        labels[chosen].astype(np.int64),
        classes=classes,
        source=source,
        note=f"{request.title}, {request.split}, squeezed to {SIDE}x{SIDE}, from {origin}.",
        folder=path if path.is_dir() else path.parent,
    )


def _advice(request, folder, failure):
    looked = ", ".join(str(place) for place, _ in request.places())
    wanted = {
        "caltech101": f"fetch {ADDRESS}, take {ARCHIVE}.gz out of it",
        "imagenet": "take one picture of each of the 1,000 classes, called <wnid>_<name>.JPEG",
    }[request.name]
    return (
        f"{request.title} ({request.split}) is not available.\nLooked in {looked}. Then tried:\n"
        f"  {failure}\nTo go on, {wanted} and put it into {folder} (or set IBCORE_DATA to a folder "
        f"with {request.name}/ in it: an archive {request.name}*.tar or the pictures themselves), "
        "or allow the stand-in where the profile does."
    )


def _standin(request):
    """Return square crops of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images()
    rng = np.random.default_rng(20041001)
    images, labels = [], []
    for number in range(CROPS):
        photograph = photographs.images[number % 2]
        side = int(rng.integers(160, 401))
        top, left = (int(rng.integers(0, length - side + 1)) for length in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + side, left : left + side])
        images.append(_squeezed(crop))
        labels.append(number % 2)
    if request.n is not None and request.n > CROPS:
        LOG.warning("the stand-in has only %d of the %d pictures wanted", CROPS, request.n)
        chosen = np.arange(CROPS)
    else:
        chosen = request.pick(CROPS)
    return request.dataset(
        np.stack(images)[chosen].astype(np.float32) / 255,
        np.array(labels, dtype=np.int64)[chosen],
        classes=("china", "flower"),
        source="stand-in",
        standin=STANDIN,
        note=(
            f"stand-in: {CROPS} square crops of the photographs china.jpg and flower.jpg of "
            f"scikit-learn, squeezed to {SIDE}x{SIDE}, used in place of {request.title}."
        ),
    )


SPLITS = {"caltech101": CALTECH, "imagenet": ("beaver", "sample")}
for _name, _title in TITLES.items():
    register(_name, title=_title, splits=SPLITS[_name], by_hand=_name == "imagenet")(_load)
