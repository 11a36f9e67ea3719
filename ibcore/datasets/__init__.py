"""Data sets by name, with checksums, and with stand-ins that say that they are stand-ins.

`load` is the whole interface: it looks in the user's folder, then in ``data/raw``, then fetches,
and only where the caller allows it takes a stand-in.

A new data set is one more file here: a loader marked with `registry.register` that takes a
`registry.Request` and returns ``request.dataset(...)``, imported in the block below.
"""

from ibcore.datasets.idx import (
    read_idx,
)
from ibcore.datasets.registry import (
    Dataset,
    DataUnavailable,
    content_fingerprint,
    is_by_hand,
    load,
    names,
    raw_folder,
    splits,
    title,
)

# isort: split
# Each of these files registers its data sets when it is imported.
from ibcore.datasets import (
    audio,
    cifar10,
    mnist,
    pictures,
    pokemon,
    szt,
)

__all__ = [
    "DataUnavailable",
    "Dataset",
    "audio",
    "cifar10",
    "content_fingerprint",
    "is_by_hand",
    "load",
    "mnist",
    "names",
    "pictures",
    "pokemon",
    "raw_folder",
    "read_idx",
    "splits",
    "szt",
    "title",
]
