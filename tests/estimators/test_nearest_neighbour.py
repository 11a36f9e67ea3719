"""Nearest neighbours: closed-form entropies, invariances, other libraries as witnesses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln
from scipy.stats import multivariate_normal
from sklearn.feature_selection import mutual_info_regression
from sklearn.preprocessing import scale

from ibcore.estimators import ksg_information, nearest_neighbour, nearest_neighbour_entropy

few = settings(derandomize=True, max_examples=30, deadline=None)


@st.composite
def clouds(draw):
    n, d = draw(st.integers(5, 40)), draw(st.sampled_from([1, 2, 3, 12]))
    seed = draw(st.integers(0, 10_000))
    return np.random.default_rng(seed).standard_normal((n, d)), draw(st.integers(1, 4))


def slow_entropy(T, k, epsilon=1e-16):
    """The formula of the slides, with sorted lists of distances."""
    n, d = T.shape
    radii = [sorted(math.dist(a, b) for b in T)[k] for a in T]
    nats = d / n * sum(math.log(r + epsilon) for r in radii) + d / 2 * math.log(math.pi)
    return (nats - gammaln(d / 2 + 1) + digamma(n) - digamma(k)) / math.log(2)


def slow_ksg(A, B, k):
    """Algorithm 1 of Kraskov et al. with sorted lists and strict inequalities."""
    n = len(A)
    total = 0.0
    for i in range(n):
        in_a = [max(abs(A[i] - A[j])) for j in range(n) if j != i]
        in_b = [max(abs(B[i] - B[j])) for j in range(n) if j != i]
        radius = sorted(max(pair) for pair in zip(in_a, in_b, strict=True))[k - 1]
        total += sum(digamma(1 + sum(x < radius for x in each)) for each in (in_a, in_b))
    return (digamma(k) + digamma(n) - total / n) / math.log(2)


@given(clouds())
@few
def test_entropy_agrees_with_sorted_lists(case):
    T, k = case
    assert nearest_neighbour_entropy(T, k=k) == pytest.approx(slow_entropy(T, k), abs=1e-9)


@given(clouds())
@few
def test_information_agrees_with_sorted_lists(case):
    T, k = case
    B = np.round(T[:, ::-1] ** 2 + 0.3 * np.roll(T, 1, 0), 2)
    assert ksg_information(T, B, k=k) == pytest.approx(slow_ksg(T, B, k), abs=1e-12)


@given(clouds(), st.floats(0.01, 100))
@few
def test_entropy_scales_translates_and_permutes(case, factor):
    T, k = case
    expected = nearest_neighbour_entropy(T, k=k)
    scaled = nearest_neighbour_entropy(factor * T, k=k)
    assert scaled == pytest.approx(expected + T.shape[1] * math.log2(factor), abs=1e-8)
    assert nearest_neighbour_entropy(T + 5, k=k) == pytest.approx(expected, abs=1e-8)
    assert nearest_neighbour_entropy(T[::-1], k=k) == pytest.approx(expected, abs=1e-9)


@given(clouds())
@few
def test_information_is_symmetric_and_ignores_order_and_common_scale(case):
    T, k = case
    B = np.sin(T) + 0.5 * np.roll(T, 2, 0)
    expected = ksg_information(T, B, k=k)
    for other in (
        ksg_information(B, T, k=k),
        ksg_information(T[::-1], B[::-1], k=k),
        ksg_information(4 * T, 4 * B, k=k),
    ):
        assert other == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gaussian_entropy(d):
    rng = np.random.default_rng(d)
    root = rng.standard_normal((d, d)) + 2 * np.eye(d)
    T = rng.standard_normal((4000, d)) @ root.T
    true = multivariate_normal(cov=root @ root.T).entropy() / math.log(2)
    assert nearest_neighbour_entropy(T) == pytest.approx(true, abs=0.08)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_uniform_entropy(d, k):
    T = 8 * np.random.default_rng(k).random((4000, d))
    assert nearest_neighbour_entropy(T, k=k) == pytest.approx(3 * d, abs=0.1)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, -0.99])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_information_of_correlated_gaussians(correlation, k):
    rng = np.random.default_rng(7)
    A, Z = rng.standard_normal((2, 3000))
    B = correlation * A + math.sqrt(1 - correlation**2) * Z
    true = -0.5 * math.log2(1 - correlation**2)
    assert ksg_information(A, B, k=k) == pytest.approx(true, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_information_agrees_with_scikit_learn(seed):
    """Scikit-learn adds noise of 1e-10 and clips at 0; dependent variables show neither."""
    A, Z = np.random.default_rng(seed).standard_normal((2, 400))
    A, B = scale(A, with_mean=False), scale(A + Z, with_mean=False)
    expected = mutual_info_regression(A[:, None], B, n_neighbors=3, random_state=0)[0]
    assert ksg_information(A, B) == pytest.approx(expected / math.log(2), abs=1e-9)


def test_agrees_with_infomeasure():
    infomeasure = pytest.importorskip("infomeasure")
    A, Z = np.random.default_rng(0).standard_normal((2, 300))
    expected = infomeasure.entropy(A, approach="metric", k=2, minkowski_p=2, base=2, noise_level=0)
    assert nearest_neighbour_entropy(A, epsilon=0) == pytest.approx(expected, abs=1e-9)
    expected = infomeasure.mutual_information(
        A, A + Z, approach="metric", k=3, minkowski_p=np.inf, base=2, noise_level=0
    )
    assert ksg_information(A, A + Z) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_brute_force_and_tree_agree(monkeypatch, k):
    T = np.random.default_rng(0).standard_normal((150, 3))
    B = np.round(T + np.roll(T, 1, 0), 1)
    by_tree = nearest_neighbour_entropy(T, k=k), ksg_information(T, B, k=k)
    monkeypatch.setattr(nearest_neighbour, "_TREE_FEATURES", 0)
    for elements in (1 << 21, 1000, 1):
        monkeypatch.setitem(nearest_neighbour._ELEMENTS_PER_BLOCK, "cpu", elements)
        assert nearest_neighbour_entropy(T, k=k) == pytest.approx(by_tree[0], abs=1e-11)
        assert ksg_information(T, B, k=k) == by_tree[1]


def test_pairs_too_close_for_inner_products():
    """Two clouds a million apart, whose points are a millionth apart."""
    rng = np.random.default_rng(0)
    T = 1e-6 * rng.standard_normal((60, 12))
    T[:30] += 1e6
    assert nearest_neighbour_entropy(T, k=2) == pytest.approx(slow_entropy(T, 2), abs=1e-9)


def test_epsilon_is_added_to_the_distance():
    T = np.array([[0.0], [1.0], [2.0]])
    assert nearest_neighbour_entropy(T, k=1, epsilon=7.0) == pytest.approx(
        nearest_neighbour_entropy(T, k=1, epsilon=0) + 3.0, abs=1e-12
    )


def test_strict_inequality_on_a_lattice():
    """All spacings are ties: nothing is strictly nearer than the first neighbour."""
    T = np.arange(6.0)
    expected = (digamma(6) - digamma(1)) / math.log(2)
    assert ksg_information(T, T, k=1) == pytest.approx(expected, abs=1e-12)
    step = 0.1 * np.arange(6)
    assert ksg_information(step, step**2, k=2) == pytest.approx(
        slow_ksg(step[:, None], step[:, None] ** 2, 2), abs=1e-12
    )


@pytest.mark.parametrize("d", [2, 12])
def test_repeated_points_are_refused_with_their_number(d):
    T = np.random.default_rng(0).standard_normal((10, d))
    T[1] = T[2] = T[0]
    with pytest.raises(ValueError, match="3 of 10 points have their neighbour number k=2 at dist"):
        nearest_neighbour_entropy(T, k=2)
    with pytest.raises(ValueError, match="3 of 10 points have their neighbour number k=1 at dist"):
        ksg_information(T, T, k=1)
    assert np.isfinite(nearest_neighbour_entropy(T, k=3))
    assert np.isfinite(ksg_information(T, T, k=3))


@pytest.mark.parametrize("d", [2, 12])
def test_constant_layer_is_refused(d):
    with pytest.raises(ValueError, match="9 of 9 points"):
        nearest_neighbour_entropy(np.full((9, d), 0.7))


def test_noise_of_stated_size():
    T = np.repeat([0.0, 1.0], 500)
    first = nearest_neighbour_entropy(T, noise_scale=0.01, rng=3)
    assert first == nearest_neighbour_entropy(T, noise_scale=0.01, rng=np.random.default_rng(3))
    assert first != nearest_neighbour_entropy(T, noise_scale=0.01, rng=4)
    true = 1 + 0.5 * math.log2(2 * math.pi * math.e * 0.01**2)
    assert first == pytest.approx(true, abs=0.1)
    np.testing.assert_array_equal(T, np.repeat([0.0, 1.0], 500))


def test_noise_that_is_too_loud():
    with pytest.raises(ValueError, match=r"noise_scale=1e\+300 makes squared distances overflow"):
        nearest_neighbour_entropy([0.0, 1.0, 2.0], noise_scale=1e300, rng=0)


def test_noise_differs_between_the_two_variables():
    T = np.zeros(800)
    assert ksg_information(T, T, noise_scale=1.0, rng=0) == pytest.approx(0.0, abs=0.1)
    coin = np.repeat([0.0, 1.0], 400)
    assert ksg_information(coin, coin, noise_scale=0.01, rng=0) == pytest.approx(1.0, abs=0.1)


def test_many_features_are_far_too_low():
    """The documented limit: 16 independent bits' worth of correlation is not found."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((500, 20))
    B = A + 0.1 * rng.standard_normal((500, 20))
    assert ksg_information(A, B) < 0.5 * 10 * math.log2(101)


def test_different_numbers_of_samples():
    with pytest.raises(ValueError, match="A has 3 samples and B has 4"):
        ksg_information([0.0, 1.0, 2.0], [0.0, 1.0, 2.0, 3.0])


def test_one_sample_has_no_neighbour():
    with pytest.raises(ValueError, match="1 <= k < n_samples = 1, got 2"):
        nearest_neighbour_entropy([[1.0, 2.0]])


def test_huge_values():
    T = 1e30 * np.random.default_rng(0).standard_normal((50, 2))
    for d in (1, 6):
        wide = np.hstack([T + i for i in range(d)])
        assert nearest_neighbour_entropy(wide) == pytest.approx(slow_entropy(wide, 2), abs=1e-6)


@pytest.mark.parametrize("d", [3, 12])
def test_tensors_images_float32_and_no_modification(d):
    T = np.random.default_rng(0).standard_normal((40, d, 2)).astype(np.float32)
    before = T.copy()
    expected = nearest_neighbour_entropy(T.astype(np.float64))
    assert nearest_neighbour_entropy(T) == expected
    assert nearest_neighbour_entropy(torch.tensor(T)) == expected
    assert ksg_information(T, torch.tensor(T[:, ::-1].copy())) == ksg_information(T, T[:, ::-1])
    np.testing.assert_array_equal(T, before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("d", [2, 12])
def test_cuda_agrees(d):
    T = torch.randn(500, d, dtype=torch.float64)
    assert nearest_neighbour_entropy(T.cuda()) == pytest.approx(
        nearest_neighbour_entropy(T), abs=1e-9
    )
    assert ksg_information(T.cuda(), T.sin()) == pytest.approx(
        ksg_information(T, T.sin()), abs=1e-9
    )
    noisy = nearest_neighbour_entropy(T, noise_scale=0.1, rng=0)
    assert nearest_neighbour_entropy(T.cuda(), noise_scale=0.1, rng=0) == pytest.approx(
        noisy, abs=1e-9
    )
