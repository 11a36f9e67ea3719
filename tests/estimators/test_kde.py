"""Pairwise-distance bounds: closed forms, theorems, plain double loops as witnesses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import logsumexp
from torch.utils._python_dispatch import TorchDispatchMode

from ibcore.estimators import (
    Information,
    discrete_entropy,
    kde,
    kde_information,
    kde_information_bounds,
)

few = settings(derandomize=True, max_examples=50, deadline=None)


@st.composite
def layers(draw):
    n, d = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    T = draw(arrays(np.float64, (n, d), elements=st.floats(-3, 3, width=32)))
    Y = draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    return T, Y, draw(st.sampled_from([1e-3, 0.1, 1.0, 50.0]))


def slow_mixture(T, variance):
    """-mean_i log2 mean_j exp(-d^2 / 2 variance), one pair at a time."""
    total = 0.0
    for one in T:
        exponents = [-sum((one - other) ** 2) / (2 * variance) for other in T]
        total -= (logsumexp(exponents) - math.log(len(T))) / math.log(2)
    return total / len(T)


def slow_information(T, Y, variance):
    marginal = slow_mixture(T, variance)
    classes = (T[c == Y] for c in np.unique(Y))
    return Information(
        marginal, marginal - sum(len(own) / len(T) * slow_mixture(own, variance) for own in classes)
    )


@given(layers())
@few
def test_agrees_with_loops(case):
    T, Y, v = case
    upper, lower = kde_information_bounds(T, Y, noise_variance=v)
    assert upper == pytest.approx(slow_information(T, Y, v), abs=1e-10)
    assert lower == pytest.approx(slow_information(T, Y, 4 * v), abs=1e-10)
    assert kde_information(T, Y, noise_variance=v) == upper
    assert kde_information(T, Y, noise_variance=v, bound="lower") == lower


@given(layers())
@few
def test_bounds_and_their_order(case):
    T, Y, v = case
    upper, lower = kde_information_bounds(T, Y, noise_variance=v)
    assert -1e-12 <= lower.I_XT <= upper.I_XT + 1e-12
    assert math.log2(len(T)) + 1e-11 >= upper.I_XT
    for info in (upper, lower):
        assert -1e-12 <= info.I_TY <= min(info.I_XT, discrete_entropy(Y)) + 1e-11


@given(layers(), st.randoms(use_true_random=False))
@few
def test_permutation_relabelling_translation_and_scale(case, random):
    T, Y, v = case
    order = random.sample(range(len(T)), len(T))
    expected = np.array(kde_information_bounds(T, Y, noise_variance=v))
    for other in (
        kde_information_bounds(T[order], Y[order], noise_variance=v),
        kde_information_bounds(T, 5 - 2 * Y, noise_variance=v),
        kde_information_bounds(T + 100.0, Y, noise_variance=v),
        kde_information_bounds(8 * T[:, ::-1], Y, noise_variance=64 * v),
    ):
        np.testing.assert_allclose(other, expected, atol=1e-9)


def test_samples_far_apart_reach_the_ceiling_exactly_enough():
    T, Y = 100.0 * np.arange(1024), np.arange(1024) % 4
    upper, lower = kde_information_bounds(T, Y, noise_variance=1.0)
    assert upper == pytest.approx((10.0, 2.0), abs=1e-11)
    assert lower == pytest.approx((10.0, 2.0), abs=1e-11)


def test_coin_seen_through_gaussian_noise():
    """Two equally likely points: 1 - log2(1 + e^-D/2v) for the upper bound, by hand."""
    T = np.repeat([0.0, 1.5], 40)
    Y = np.repeat([0, 1], 40)
    for v in (0.1, 1.0):
        upper, lower = kde_information_bounds(T, Y, noise_variance=v)
        expected = 1 - math.log2(1 + math.exp(-(1.5**2) / (2 * v)))
        assert upper == pytest.approx((expected, expected), abs=1e-12)
        expected = 1 - math.log2(1 + math.exp(-(1.5**2) / (8 * v)))
        assert lower == pytest.approx((expected, expected), abs=1e-12)


def test_encloses_the_true_information_of_a_noisy_coin():
    """The information of two points in Gaussian noise, by numerical integration, is enclosed."""
    grid = np.linspace(-12, 14, 200_001)
    density = sum(np.exp(-((grid - m) ** 2) / 2) for m in (0.0, 2.0)) / (2 * math.sqrt(2 * math.pi))
    terms = np.where(density > 0, -density * np.log2(np.maximum(density, 1e-300)), 0.0)
    true = terms.sum() * (grid[1] - grid[0]) - 0.5 * math.log2(2 * math.pi * math.e)
    upper, lower = kde_information_bounds([0.0, 2.0], [0, 1], noise_variance=1.0)
    assert lower.I_XT < true < upper.I_XT


@pytest.mark.parametrize(("n", "d", "v"), [(300, 10, 0.1), (210, 64, 1e-3), (150, 1024, 0.1)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_accuracy_on_trained_looking_layers(n, d, v, kind):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((n // 3, d))
    T = np.tanh(3 + np.repeat(base, 3, 0) + 0.01 * rng.standard_normal((n, d))).astype(kind)
    Y = rng.integers(0, 10, n)
    wide = T.astype(np.float64)
    upper, lower = kde_information_bounds(T, Y, noise_variance=v)
    assert upper == pytest.approx(slow_information_matrix(wide, Y, v), abs=1e-9)
    assert lower == pytest.approx(slow_information_matrix(wide, Y, 4 * v), abs=1e-9)


def slow_information_matrix(T, Y, variance):
    """The same sums, with all pairs of one sample at once."""

    def mixture(points):
        rows = [logsumexp(-((points - p) ** 2).sum(1) / (2 * variance)) for p in points]
        return (math.log(len(points)) - np.mean(rows)) / math.log(2)

    marginal = mixture(T)
    return Information(
        marginal, marginal - sum(np.mean(c == Y) * mixture(T[c == Y]) for c in np.unique(Y))
    )


@pytest.mark.parametrize("labels", [np.zeros, np.arange, lambda n: np.arange(n) % 7])
@pytest.mark.parametrize("step", [1, 3, 10, 64])
def test_blocks_do_not_matter(monkeypatch, step, labels):
    T, Y = np.random.default_rng(1).standard_normal((37, 3)), labels(37).astype(int)
    expected = slow_information(T, Y, 0.1), slow_information(T, Y, 0.4)
    monkeypatch.setitem(kde._BLOCK, "cpu", step)
    result = kde_information_bounds(T, Y, noise_variance=0.1)
    np.testing.assert_allclose(result, expected, atol=1e-11)


def test_degenerate_layers():
    zero = (Information(0.0, 0.0), Information(0.0, 0.0))
    assert kde_information_bounds([[2.0, 3.0]], [1], noise_variance=0.1) == zero
    assert kde_information_bounds(np.full((9, 2), 0.3), [1] * 9, noise_variance=0.1) == zero
    constant = kde_information(np.full((9, 2), 0.3), np.arange(9), noise_variance=0.1)
    assert constant == pytest.approx((0.0, 0.0), abs=1e-12)
    one_class = kde_information(np.arange(9.0), [3] * 9, noise_variance=0.1)
    assert one_class.I_TY == 0.0


@pytest.mark.parametrize("huge", [1e30, 1e200, 1e308])
def test_huge_values_keep_equal_rows_together(huge):
    T = np.array([[huge, 1.0], [huge, 1.0], [-huge, 1.0], [-huge, 1.0]])
    for info in kde_information_bounds(T, [0, 0, 1, 1], noise_variance=1e-3):
        assert info == pytest.approx((1.0, 1.0), abs=1e-12)


def test_small_differences_far_from_the_centre():
    T = np.array([0.0, 1e-3, 1e9, 1e9 + 2e-3])[:, None]
    Y = np.array([0, 0, 1, 1])
    upper = kde_information(T, Y, noise_variance=1e-6)
    assert upper == pytest.approx(slow_information(T, Y, 1e-6), abs=1e-9)


def test_tiny_noise_does_not_divide_by_zero():
    info = kde_information([0.0, 0.0, 1.0, 2.0], [0, 0, 1, 1], noise_variance=1e-320)
    assert info == pytest.approx((1.5, 1.0), abs=1e-12)


def test_unknown_bound():
    with pytest.raises(ValueError, match="bound must be 'upper' or 'lower', got 'both'"):
        kde_information([1.0], [0], noise_variance=0.1, bound="both")


def test_images_non_contiguous_input_and_no_modification():
    T = np.random.default_rng(0).standard_normal((20, 3, 4, 5)).astype(np.float32)
    Y = np.arange(20) % 3
    before = T.copy(), Y.copy()
    expected = kde_information(T.reshape(20, -1), Y, noise_variance=0.5)
    view = torch.tensor(T).permute(0, 2, 3, 1).permute(0, 3, 1, 2)
    assert not view.reshape(20, -1).is_set_to(view)
    assert kde_information(T, Y, noise_variance=0.5) == expected
    result = kde_information(view, torch.tensor(Y), noise_variance=0.5)
    assert result == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(T, before[0])
    np.testing.assert_array_equal(Y, before[1])


def test_memory_is_one_copy_of_the_layer_and_a_few_blocks(monkeypatch):
    """No tensor larger than a block or the layer's float64 copy is ever allocated."""
    n, d = 3000, 4
    T, Y = np.random.default_rng(0).standard_normal((n, d)), np.arange(n) % 10
    sizes = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            sizes.extend(
                o.numel()
                for o in (out if isinstance(out, tuple) else (out,))
                if isinstance(o, torch.Tensor)
            )
            return out

    monkeypatch.setitem(kde._BLOCK, "cpu", 128)
    with Watch():
        kde_information_bounds(T, Y, noise_variance=0.1)
    assert max(sizes) <= max(128 * 128, n * (d + 2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees():
    T, Y = torch.randn(5000, 6), torch.arange(5000) % 5
    expected = kde_information_bounds(T, Y, noise_variance=0.1)
    result = kde_information_bounds(T.cuda(), Y, noise_variance=0.1)
    np.testing.assert_allclose(result, expected, atol=1e-9)
