"""MNIST and Fashion-MNIST, from idx files with known checksums; scikit-learn's digits stand in.

MNIST: LeCun, Cortes and Burges. Fashion-MNIST: Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np

from ibcore.datasets import fetch
from ibcore.datasets.idx import parse_idx, read_content
from ibcore.datasets.registry import LOG, DataUnavailable, register

TITLES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
DIGITS = tuple("0123456789")
CLASSES = {
    "mnist": DIGITS,
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
ALL_FILES = FILES["train"] + FILES["test"]
#: sha256 of the decompressed content, in the order of `ALL_FILES`; compressed files differ.
CHECKSUMS = {
    name: dict(zip(ALL_FILES, sums, strict=True))
    for name, sums in {
        "mnist": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        "fashion_mnist": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    }.items()
}
ADDRESSES = {
    "mnist": "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
SOURCES = {
    name: (fetch.Source("official", address, fetch.download(address)),)
    for name, address in ADDRESSES.items()
}
SOURCES["fashion_mnist"] += (
    fetch.Source(
        "mirror",
        "the Debian package dataset-fashion-mnist",
        fetch.debian_package("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist"),
    ),
)
STANDIN = "scikit-learn digits"


def _checked(path, name, file):
    """Return the content of a file after comparing its sha256 with the table."""
    content = read_content(path)
    found, expected = hashlib.sha256(content).hexdigest(), CHECKSUMS[name][file]
    if found != expected:
        raise ValueError(
            f"{path}: wrong content for {TITLES[name]}: sha256 of the decompressed bytes is "
            f"{found}, expected {expected}"
        )
    return content


def _belongs_to_another(path, name, file):
    """Whether a file is the equally named one of another data set of this module."""
    try:
        found = hashlib.sha256(read_content(path)).hexdigest()
    except ValueError:
        return False
    owners = {owner for owner, sums in CHECKSUMS.items() if sums[file] == found}
    return bool(owners) and name not in owners


def _locate(place, name, file):
    """Return the path of a file in ``place/name`` or in `place` itself, gzip or plain, or None."""
    for ending in (".gz", ""):
        path = place / name / f"{file}{ending}"
        if path.is_file():
            return path
    for ending in (".gz", ""):
        path = place / f"{file}{ending}"
        if path.is_file() and not _belongs_to_another(path, name, file):
            return path
    return None


def _wrong(path, name, file, ours, error):
    """Move a wrong file of ours aside; return the ValueError to raise."""
    if not ours:
        return ValueError(f"{error}. It is your file and was left untouched: replace or remove it")
    try:
        with fetch.locked(path.parent):
            try:  # another process may have put it right by now
                _checked(path, name, file)
            except ValueError:
                mark = hashlib.sha256(_some_content(path)).hexdigest()[:8]
                aside = path.with_name(f"{path.name}.wrong-{mark}")
                os.replace(path, aside)
                told = f"It was moved aside to {aside.name}"
            else:
                told = "It has been replaced since"
    except OSError as failure:
        return ValueError(f"{error}. It could not be moved aside ({failure}): remove it by hand")
    return ValueError(f"{error}. {told}: call again to download it anew")


def _some_content(path):
    """Return the decompressed bytes, or the bytes as they are if they cannot be unpacked."""
    try:
        return read_content(path)
    except ValueError:
        return path.read_bytes()


def _read(request, place, ours):
    """Return (images, labels, folder) from one place, or None if the pair is not there.

    A split is read from one place: images of one folder never meet labels of another.
    """
    files = FILES[request.split]
    paths = [_locate(place, request.name, file) for file in files]
    if None in paths:
        if any(paths) and not ours:
            lacking = ", ".join(f for f, p in zip(files, paths, strict=True) if p is None)
            LOG.warning("%s is passed over for %s: it lacks %s", place, request.title, lacking)
        return None
    arrays = []
    for file, path in zip(files, paths, strict=True):
        try:
            content = _checked(path, request.name, file)
        except ValueError as error:
            raise _wrong(path, request.name, file, ours, error) from error
        arrays.append(parse_idx(content, path))
    return *arrays, paths[0].parent


def _load(request):
    if request.hermetic:
        return _standin(request)
    for place, ours in request.places():
        found = _read(request, place, ours)
        if found:
            return _dataset(request, *found, ours)
    folder = request.raw / request.name
    try:
        fetch.obtain(
            folder,
            ALL_FILES,
            SOURCES[request.name],
            lambda path, file: _checked(path, request.name, file),
        )
        found = _read(request, request.raw, True)
        if found is None:
            raise fetch.FetchFailed(f"the files vanished from {folder}")
    except fetch.FetchFailed as failure:
        if request.allow_standin:
            LOG.warning("%s is not available: %s stand in", request.title, STANDIN)
            return _standin(request)
        raise DataUnavailable(_advice(request, folder, failure)) from failure
    return _dataset(request, *found, True)


def _advice(request, folder, failure):
    looked = ", ".join(str(place) for place, _ in request.places())
    answers = "\n".join(f"  {line}" for line in str(failure).splitlines())
    return (
        f"{request.title} is not available.\nLooked in {looked}. Then tried:\n{answers}\n"
        f"To go on, fetch {', '.join(f'{file}.gz' for file in ALL_FILES)} from "
        f"{ADDRESSES[request.name]} and put them into {folder} (or set IBCORE_DATA to a folder "
        f"with {request.name}/ in it), or allow the stand-in where the profile does."
    )


def _dataset(request, images, labels, folder, ours):
    source = fetch.recorded_source(folder, FILES[request.split]) if ours else "local"
    origin = {
        "official": f"the official files from {ADDRESSES[request.name]}",
        "mirror": "from a mirror, the content equal to the official files (sha256)",
        "local": "from local files, the content equal to the official files (sha256)",
    }[source]
    keep = request.pick(len(labels))
    return request.dataset(
        images[keep][:, None].astype(np.float32) / 255,
        labels[keep].astype(np.int64),
        classes=CLASSES[request.name],
        source=source,
        note=f"{request.title}, {request.split} split, {origin}.",
        folder=folder,
    )


def resize_bilinear(images, size):
    """Resize square images to size x size by linear interpolation, corner on corner.

    Written with elementwise operations in a fixed order: the result is the same, bit by bit, on
    every machine. It agrees with ``scipy.ndimage.zoom(order=1)`` up to rounding.

    Parameters
    ----------
    images : array (n, h, h)
        h >= 2.
    size : int
        At least 2.

    Returns
    -------
    float64 array (n, size, size)

    Raises
    ------
    ValueError
        Not square images of at least 2x2, or size below 2.

    Examples
    --------
    >>> resize_bilinear(np.array([[[0, 1], [2, 3]]]), 3)[0].tolist()
    [[0.0, 0.5, 1.0], [1.0, 1.5, 2.0], [2.0, 2.5, 3.0]]
    """
    images = np.asarray(images, dtype=np.float64)
    if images.ndim != 3 or images.shape[1] != images.shape[2] or images.shape[1] < 2:
        raise ValueError(f"images must be (n, h, h) with h >= 2, got {images.shape}")
    if size < 2:
        raise ValueError(f"size must be at least 2, got {size}")
    last = images.shape[1] - 1
    place = np.arange(size) * last / (size - 1)
    low = np.minimum(place.astype(np.intp), last - 1)
    share = place - low
    rows = images[:, low] * (1 - share)[:, None] + images[:, low + 1] * share[:, None]
    return rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share


def _standin(request):
    """Return scikit-learn's digits as 28x28 images; every fifth of each class is the test split.

    There are 1,442 training and 355 test images: where more are wanted, all are taken.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    for number in range(len(DIGITS)):
        test[np.flatnonzero(labels == number)[4::5]] = True
    members = np.flatnonzero(test if request.split == "test" else ~test)
    if request.n is not None and request.n > len(members):
        LOG.warning("the stand-in has only %d of the %d images wanted", len(members), request.n)
        keep = members
    else:
        keep = members[request.pick(len(members))]
    return request.dataset(
        (resize_bilinear(digits.images[keep], 28) / 16).astype(np.float32)[:, None],
        labels[keep],
        classes=DIGITS,
        source="stand-in",
        standin=STANDIN,
        note=(
            "stand-in: scikit-learn's handwritten digits (1,797 images of 8x8 pixels, 16 grey "
            f"levels) enlarged to 28x28, used in place of {request.title}."
        ),
    )


for _name, _title in TITLES.items():
    register(_name, title=_title, splits=FILES)(_load)
