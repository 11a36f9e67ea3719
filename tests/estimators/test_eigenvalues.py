"""Eigenvalues of many matrices: closed forms, degenerate spectra, LAPACK as a witness."""

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ibcore.estimators import _eigenvalues, matrix_renyi

few = settings(derandomize=True, max_examples=60, deadline=None)


def solved(batch):
    batch = np.ascontiguousarray(batch, dtype=np.float64)
    before, found = batch.copy(), np.full(batch.shape[:2], np.nan)
    assert _eigenvalues.eigenvalues(batch, found)
    np.testing.assert_array_equal(batch, before)
    return np.sort(found, axis=1)


def close(found, expected):
    expected = np.sort(np.broadcast_to(expected, found.shape), axis=1)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13 * scale)


def rotated(spectrum, seed=0):
    """A full matrix with the given eigenvalues."""
    normal = np.random.default_rng(seed).standard_normal((len(spectrum),) * 2)
    Q = np.linalg.qr(normal)[0]
    matrix = (Q * spectrum) @ Q.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 33, 100])
def test_closed_forms(n):
    """A vibrating string, its dense inverse, and the matrix of ones with another diagonal."""
    string = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    values = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    close(solved(string[None]), values)
    i = np.arange(1, n + 1)
    inverse = np.minimum(i, i[:, None]) - np.outer(i, i) / (n + 1)
    close(solved(inverse[None]), 1 / values)
    close(
        solved((0.3 * np.ones((n, n)) + 0.7 * np.eye(n))[None]), [0.7] * (n - 1) + [0.7 + 0.3 * n]
    )


def test_degenerate_spectra():
    n = 21
    first = np.random.default_rng(0).standard_normal(n)
    cases = {
        "identity": (np.eye(n), np.ones(n)),
        "zero": (np.zeros((n, n)), np.zeros(n)),
        "diagonal": (np.diag(first), first),
        "rank one": (np.outer(first, first), [first @ first] + [0.0] * (n - 1)),
        "two values": (rotated(np.repeat([1.0, -2.0], [9, 12])), np.repeat([1.0, -2.0], [9, 12])),
        "blocks": (np.kron(np.eye(7), np.ones((3, 3))), np.repeat([3.0, 0.0], [7, 14])),
        "from 1 to 1e-30": (
            rotated(10.0 ** -np.linspace(0, 30, n)),
            10.0 ** -np.linspace(0, 30, n),
        ),
        "exchanged": (np.eye(n)[::-1], np.repeat([1.0, -1.0], [11, 10])),
        "large": (1e6 * rotated(first), 1e6 * first),
    }
    for matrix, expected in cases.values():
        close(solved(matrix[None]), expected)
    together = solved(
        np.stack([matrix / np.abs(matrix).max(initial=1.0) for matrix, _ in cases.values()])
    )
    for (matrix, expected), found in zip(cases.values(), together, strict=True):
        close(found[None], np.asarray(expected) / np.abs(matrix).max(initial=1.0))


@given(
    st.integers(1, 40), st.integers(1, 140), st.sampled_from([1.0, 0.05, 3.0]), st.integers(0, 999)
)
@few
def test_against_lapack(n, m, width, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, n, 2))
    kernels = np.exp(-((x[:, :, None] - x[:, None]) ** 2).sum(3) / (2 * width**2))
    close(solved(kernels), np.linalg.eigvalsh(kernels))
    signed = rng.standard_normal((m, n, n))
    signed += signed.transpose(0, 2, 1)
    close(solved(signed), np.linalg.eigvalsh(signed))


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (0, 4), (4, 4)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_does_not_converge_is_said(bad, place):
    batch = np.stack([np.eye(5)] * 3)
    batch[1][place] = batch[1].T[place] = bad
    assert not _eigenvalues.eigenvalues(batch, np.empty((3, 5)))


def test_small_entries_keep_reflections_orthogonal():
    """Squares of entries around 1e-160 have lost their digits."""
    i = np.arange(12)
    for exponent in range(0, 330, 6):
        small = 10.0**-exponent if exponent < 308 else 5e-324
        matrix = 1.0 * np.diag(i) + small * (i[:, None] != i)
        close(solved(matrix[None]), np.linalg.eigvalsh(matrix))


def update_rows(a, j, start, v, w, u, p):
    """Slow twin of the vectors."""
    rows = slice(j, j + 4)
    a[rows, start:] -= np.outer(v[rows], w[start:]) + np.outer(w[rows], v[start:])
    p[start:] += u[rows] @ a[rows, start:]


def test_rows_slow_twin():
    @numba.njit  # not from the cache
    def compiled(a, j, start, v, w, u, p):
        _eigenvalues._update_rows(a, j, start, v, w, u, p)

    rng = np.random.default_rng(0)
    a, (v, w, u, p) = rng.standard_normal((24, 24)), rng.standard_normal((4, 24))
    expected, expected_p = a.copy(), p.copy()
    for j, start in ((0, 0), (12, 8), (20, 16)):
        update_rows(expected, j, start, v, w, u, expected_p)
        compiled(a, j, start, v, w, u, p)
    np.testing.assert_allclose(a, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(p, expected_p, rtol=0, atol=1e-13)


def test_kernel_without_numba(monkeypatch):
    """The source as it stands, with the slow twin of its vectors."""
    batch = np.stack([rotated(np.linspace(0, 1, 10), 1), np.eye(10)])
    expected = solved(batch)
    monkeypatch.setattr(_eigenvalues, "_update_rows", update_rows)
    for name in ("_tridiagonal", "_iterate"):
        monkeypatch.setattr(_eigenvalues, name, getattr(_eigenvalues, name).py_func)
    found = np.empty((2, 10))
    with np.errstate(divide="ignore"):
        assert _eigenvalues.eigenvalues.py_func(batch, found)
        close(np.sort(found, axis=1), expected)
        batch[0, 0, 1] = np.nan
        assert not _eigenvalues.eigenvalues.py_func(batch[:, :2, :2], found[:, :2])


@pytest.mark.parametrize("shape", [(16, 12, 12), (15, 12, 12), (16, 257, 257)])
def test_when_lapack_is_left_out(monkeypatch, shape):
    calls = []
    original = _eigenvalues.eigenvalues
    monkeypatch.setattr(
        _eigenvalues, "eigenvalues", lambda *args: calls.append(1) or original(*args)
    )
    batch = torch.eye(shape[1], dtype=torch.float64).expand(shape)
    assert (matrix_renyi._eigenvalues_of(batch) == 1).all()
    assert bool(calls) == (shape == (16, 12, 12))
    monkeypatch.setattr(_eigenvalues, "eigenvalues", lambda batch, found: False)
    assert (matrix_renyi._eigenvalues_of(batch) == 1).all()  # LAPACK helps out
