"""Estimators timed beside the usual ways of computing the same numbers.

The results are asserted to agree; the times are only shown.
"""

import time

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.special import digamma, gammaln, logsumexp
from sklearn.feature_selection import mutual_info_regression
from sklearn.neighbors import NearestNeighbors

from ibcore.estimators import (
    aligned_kernel_width,
    binned_information,
    discrete_entropy,
    kde_information_bounds,
    ksg_information,
    nearest_neighbour_entropy,
    renyi_information,
)

pytestmark = pytest.mark.benchmark


def best_of(call, repeats=3):
    """Return the shortest time in seconds and the result, after one call to warm up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def layer(n, d, classes=10):
    rng = np.random.default_rng(0)
    return np.tanh(rng.standard_normal((n, d))).astype(np.float32), rng.integers(0, classes, n)


def counted(cells, Y):
    joint = np.unique(cells * (Y.max() + 1) + Y, return_inverse=True)[1]
    H_T, H_Y, H_TY = discrete_entropy(cells), discrete_entropy(Y), discrete_entropy(joint)
    return H_T, H_T + H_Y - H_TY


def unique_rows(T, Y, width):
    codes = np.floor(T.astype(np.float64) / width).astype(np.int64)
    return counted(np.unique(codes, axis=0, return_inverse=True)[1].ravel(), Y)


def void_rows(T, Y, width):
    """Rows as opaque bytes, the way of IDNNs and ibsgd."""
    codes = np.ascontiguousarray(np.floor(T.astype(np.float64) / width).astype(np.int64))
    cells = codes.view(np.dtype((np.void, codes.dtype.itemsize * codes.shape[1]))).ravel()
    return counted(np.unique(cells, return_inverse=True)[1], Y)


@pytest.mark.parametrize(("n", "d"), [(4096, 10), (10_000, 20), (10_000, 1024)])
@pytest.mark.parametrize("peer", [unique_rows, void_rows])
def test_binning(record_ratio, peer, n, d):
    T, Y = layer(n, d)
    ours, value = best_of(lambda: binned_information(T, Y, bin_width=0.67))
    theirs, expected = best_of(lambda: peer(T, Y, 0.67), 1 if d > 100 else 3)
    assert value == pytest.approx(expected, abs=1e-9)
    way = "np.unique(axis=0)" if peer is unique_rows else "np.unique of void rows"
    record_ratio(f"binning {n}x{d}", ours, theirs, way)


def full_matrix_bounds(T, Y, v):
    """Whole distance matrices, again for every class and every bound, as ibsgd does."""
    T = T.astype(np.float64)

    def entropy(points, variance):
        norms = (points**2).sum(1)
        distances = norms[:, None] + norms - 2 * points @ points.T
        return -np.mean(logsumexp(-distances / (2 * variance), 1) - np.log(len(points)))

    bounds = []
    for variance in (v, 4 * v):
        marginal = entropy(T, variance)
        own = sum(np.mean(c == Y) * entropy(T[c == Y], variance) for c in np.unique(Y))
        bounds.append((marginal / np.log(2), (marginal - own) / np.log(2)))
    return bounds


@pytest.mark.parametrize(("n", "d"), [(2048, 10), (4096, 10)])
def test_kde(record_ratio, n, d):
    T, Y = layer(n, d)
    ours, value = best_of(lambda: kde_information_bounds(T, Y, noise_variance=0.1), 5)
    theirs, expected = best_of(lambda: full_matrix_bounds(T, Y, 0.1), 2)
    np.testing.assert_allclose(value, expected, atol=1e-9)
    record_ratio(f"KDE, both bounds {n}x{d}", ours, theirs, "full matrices (ibsgd's way), NumPy")


def scikit_entropy(T, k):
    n, d = T.shape
    radii = NearestNeighbors(n_neighbors=k).fit(T).kneighbors()[0][:, -1]
    nats = d * np.log(radii + 1e-16).mean() + d / 2 * np.log(np.pi) - gammaln(d / 2 + 1)
    return (nats + digamma(n) - digamma(k)) / np.log(2)


@pytest.mark.parametrize(("n", "d"), [(10_000, 2), (5_000, 10), (5_000, 64)])
def test_nearest_neighbours(record_ratio, n, d):
    T = layer(n, d)[0].astype(np.float64)
    ours, value = best_of(lambda: nearest_neighbour_entropy(T), 2)
    theirs, expected = best_of(lambda: scikit_entropy(T, 2), 2)
    assert value == pytest.approx(expected, abs=1e-7)
    record_ratio(f"nearest neighbour {n}x{d}", ours, theirs, "scikit-learn NearestNeighbors")


def test_ksg(record_ratio):
    A, Z = np.random.default_rng(0).standard_normal((2, 5000))
    A, B = A / A.std(), (A + Z) / (A + Z).std()
    ours, value = best_of(lambda: ksg_information(A, B), 2)
    theirs, expected = best_of(
        lambda: mutual_info_regression(A[:, None], B, n_neighbors=3, random_state=0)[0], 2
    )
    assert value == pytest.approx(expected / np.log(2), abs=1e-6)
    record_ratio("KSG 5000x(1+1)", ours, theirs, "scikit-learn mutual_info_regression")


def full_renyi(T, Y, width):
    """Three full eigen-decompositions with eigenvectors and the one-hot kernel, as HRel does."""
    T = torch.tensor(T, dtype=torch.float64)
    labels = torch.nn.functional.one_hot(torch.tensor(Y)).double()
    A = torch.exp(-(torch.cdist(T, T) ** 2) / (2 * width**2))
    B = torch.exp(-(torch.cdist(labels, labels) ** 2) / 0.1**2)

    def entropy(kernel):
        values = torch.linalg.eigh(kernel / kernel.trace())[0].abs()
        return torch.log2((values**1.01).sum()) / (1 - 1.01)

    return (entropy(A) + entropy(B) - entropy(A * B)).item()


@pytest.mark.parametrize("n", [100, 500, 1000])
def test_renyi(record_ratio, n):
    T, Y = layer(n, 64)
    ours, value = best_of(lambda: renyi_information(T, Y, kernel_width=3.0))
    theirs, expected = best_of(lambda: full_renyi(T, Y, 3.0), 1 if n > 500 else 3)
    assert value == pytest.approx(expected, abs=1e-7)
    record_ratio(f"Rényi information {n}x64", ours, theirs, "three full eigh (HRel's way)")


def matrix_alignment(T, Y):
    """Every candidate by matrix products, as the public code of Wickstrøm et al. does."""
    distances = squareform(pdist(T.astype(np.float64)))
    labels = (Y[:, None] == Y).astype(float)
    grid = np.linspace(0.3, 10 * distances.mean(), 300)
    scores = []
    for s in grid:
        kernel = np.exp(-(distances**2) / s**2)
        norms = np.sqrt(np.trace(kernel @ kernel) * np.trace(labels @ labels))
        scores.append(np.trace(kernel @ labels) / norms)
    return grid[np.argmax(scores)] / np.sqrt(2)


@pytest.mark.parametrize("n", [100, 300])
def test_alignment(record_ratio, n):
    T, Y = layer(n, 64)
    ours, value = best_of(lambda: aligned_kernel_width(T, Y))
    theirs, expected = best_of(lambda: matrix_alignment(T, Y), 1)
    assert value == pytest.approx(expected, rel=1e-9)
    record_ratio(f"kernel alignment {n}x64", ours, theirs, "matrix products (Wickstrøm's way)")
