"""GTZAN (Tzanetakis & Cook 2002) as ready-made mel spectrograms of 128x128 values."""

from __future__ import annotations

import numpy as np

FILE = "gtzan_mel_128x128.npz"
SIDE = 128


def read(path):
    """Read the spectrograms of GTZAN.

    Parameters
    ----------
    path : path
        An npz file with ``mel`` (uint8, clip x mel bin x time, 0 the lowest bin), ``label`` and
        ``genre``. The value v means m (1 - v / 255) dB with m the minimum of the clip.

    Returns
    -------
    mel : uint8 array (n, 128, 128)
    label : int64 array (n,)
    genres : tuple of str

    Raises
    ------
    ValueError
        Not such a file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            mel, label, genres = arrays["mel"], arrays["label"], arrays["genre"]
    except Exception as error:  # zipfile and NumPy answer damaged files with many kinds
        raise ValueError(f"{path}: not the spectrograms of GTZAN ({error})") from error
    if mel.dtype != np.uint8 or mel.shape != (len(label), SIDE, SIDE) or label.ndim != 1:
        raise ValueError(f"{path}: mel is {mel.dtype} {mel.shape} for labels {label.shape}")
    if len(label) == 0 or label.min() < 0 or label.max() >= len(genres):
        raise ValueError(f"{path}: labels do not fit the {len(genres)} genres")
    return mel, label.astype(np.int64), tuple(genres.tolist())
