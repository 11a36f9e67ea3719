"""The 12-bit task of Shwartz-Ziv and Tishby (2017), arXiv:1703.00810, from an exact rule.

The twelve inputs are the vertices of an icosahedron. The published labels follow a threshold on
the sum of the l = 0 and l = 1 spherical-harmonic amplitudes of the set of active vertices; the
rule is invariant under all 120 symmetries of the icosahedron. It gives the labels of the
published file ``var_u.mat`` (artemyk/ibsgd, ravidziv/IDNNs) without an error; whether it is
literally the authors' function cannot be told from the data.
"""

from __future__ import annotations

import numpy as np

from ibcore.datasets.registry import register

BITS = 12
PATTERNS = 1 << BITS
#: Any value from 7.562778 to 7.701301 gives the same labels (the gap is 7.56277742 to 7.70130162).
THRESHOLD = 7.6


def icosahedron_vertices():
    """Return the unit vertices of an icosahedron, in the order of the task's inputs.

    Returns
    -------
    float64 array (12, 3)
        (0, ±1, ±phi) and its cyclic permutations over sqrt(1 + phi^2), phi = (1 + sqrt 5) / 2.

    Examples
    --------
    >>> bool(np.allclose(icosahedron_vertices().sum(axis=0), 0))
    True
    """
    phi = (1 + np.sqrt(5)) / 2
    return np.array(
        [
            (0, 1, phi),
            (1, phi, 0),
            (0, 1, -phi),
            (-1, phi, 0),
            (phi, 0, -1),
            (0, -1, phi),
            (1, -phi, 0),
            (-1, -phi, 0),
            (-phi, 0, -1),
            (0, -1, -phi),
            (-phi, 0, 1),
            (phi, 0, 1),
        ]
    ) / np.sqrt(1 + phi**2)


def amplitudes(X):
    """Return ``|x|_1 + || sum_i x_i v_i ||_2`` of each row; the label is 1 above `THRESHOLD`.

    Parameters
    ----------
    X : array (n, 12)
        Zeros and ones.

    Returns
    -------
    float64 array (n,)
        No unit; between 0 and 12.

    Raises
    ------
    ValueError
        Not 12 columns, or a value other than 0 and 1.

    Examples
    --------
    >>> amplitudes([[0] * 12, [1] * 12]).round(6).tolist()
    [0.0, 12.0]
    """
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != BITS:
        raise ValueError(f"X must be (n, {BITS}), got {X.shape}")
    other = X[(X != 0) & (X != 1)]
    if other.size:
        raise ValueError(f"X must hold zeros and ones only, got {other[0]}")
    return X.sum(axis=1) + np.linalg.norm(X @ icosahedron_vertices(), axis=1)


def patterns():
    """Return all 4096 patterns: plain binary counting, column 0 the most significant bit.

    Returns
    -------
    float32 array (4096, 12)
    """
    numbers = np.arange(PATTERNS)[:, None]
    return (numbers >> np.arange(BITS)[::-1] & 1).astype(np.float32)


def read_var_u(path):
    """Read inputs and labels from the published MATLAB file ``var_u.mat``.

    Parameters
    ----------
    path : path

    Returns
    -------
    F : uint8 array (4096, 12)
    y : uint8 array (4096,)

    Raises
    ------
    ValueError
        Not a whole MATLAB 5 file, F or y absent or misshapen, or values other than 0 and 1.
    FileNotFoundError
        No such file.
    """
    from scipy.io import loadmat

    try:
        with open(path, "rb") as file:
            content = loadmat(file)
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy answers damaged files with many kinds of exception
        raise ValueError(f"{path}: not a whole MATLAB 5 file ({error!r})") from error
    arrays = []
    for key, shapes in (("F", [(PATTERNS, BITS)]), ("y", [(1, PATTERNS), (PATTERNS, 1)])):
        if key not in content:
            known = sorted(k for k in content if not k.startswith("__"))
            raise ValueError(f"{path}: no variable {key!r} (there are {known})")
        array = content[key]
        if getattr(array, "shape", None) not in shapes:
            raise ValueError(
                f"{path}: {key} must be {' or '.join(map(str, shapes))}, "
                f"got {getattr(array, 'shape', type(array).__name__)}"
            )
        if array.dtype.kind not in "buif" or not np.isin(array, (0, 1)).all():
            raise ValueError(f"{path}: {key} must hold zeros and ones only")
        arrays.append(array.astype(np.uint8))
    return arrays[0], arrays[1].ravel()


def _agreeing_file(request, X, Y):
    """Return the folder of a ``var_u.mat`` that agrees with the rule, or None if there is none."""
    if request.hermetic:
        return None
    for place, _ in request.places():
        for path in (place / "szt" / "var_u.mat", place / "var_u.mat"):
            if not path.is_file():
                continue
            F, y = read_var_u(path)
            if not np.array_equal(F, X):
                raise ValueError(f"{path}: the rows of F are not plain binary counting")
            if not np.array_equal(y, Y):
                raise ValueError(f"{path}: {np.sum(y != Y)} of {PATTERNS} labels break the rule")
            return path.parent
    return None


@register("szt", title="12-bit task", splits=("all",))
def _load(request):
    X = patterns()
    Y = (amplitudes(X) > THRESHOLD).astype(np.int64)
    folder = _agreeing_file(request, X, Y)
    keep = request.pick(PATTERNS)
    origin = (
        "generated by the icosahedron rule, identical to the published file var_u.mat"
        if folder is None
        else "read from var_u.mat, which agrees with the icosahedron rule"
    )
    return request.dataset(
        X[keep],
        Y[keep],
        classes=("0", "1"),
        source="official" if folder is None else "local",
        note=f"12-bit task of Shwartz-Ziv and Tishby, labels {origin}.",
        folder=folder,
    )
