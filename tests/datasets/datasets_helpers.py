"""Tiny idx files with checksums of their own."""

import gzip
import hashlib
from pathlib import Path

import numpy as np

from ibcore.datasets import fetch, mnist

REPOSITORY = Path(__file__).resolve().parents[2]


def idx_bytes(array):
    """Return the idx form of a uint8 array of one or three axes."""
    magic = {1: 0x801, 3: 0x803}[array.ndim]
    header = b"".join(number.to_bytes(4, "big") for number in (magic, *array.shape))
    return header + array.astype(np.uint8).tobytes()


class Tiny:
    """MNIST and Fashion-MNIST of 30 + 10 images of 4x4 pixels."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.arrays, self.content, self.checksums = {}, {}, {}
        for name in mnist.TITLES:
            for split, n in (("train", 30), ("test", 10)):
                pair = (rng.integers(0, 256, (n, 4, 4)), np.arange(n) % 10)
                for file, array in zip(mnist.FILES[split], pair, strict=True):
                    self.arrays[name, file] = array
                    self.content[name, file] = idx_bytes(array)
            self.checksums[name] = {
                file: hashlib.sha256(self.content[name, file]).hexdigest()
                for file in mnist.ALL_FILES
            }

    def write(self, folder, name, files=mnist.ALL_FILES, *, packed=True):
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            content = self.content[name, file]
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(content, 1))
            else:
                (folder / file).write_bytes(content)

    def source(self, name, kind="official", where="a fake site"):
        """Return a source that delivers, and the list of its calls."""
        calls = []

        def deliver(files, folder):
            calls.append(list(files))
            self.write(folder, name, files)

        return fetch.Source(kind, where, deliver), calls
