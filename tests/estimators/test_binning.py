"""Binning: closed forms, theorems, a dictionary twin and scikit-learn as witnesses."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mutual_info_score

from ibcore.estimators import (
    Information,
    binned_entropy,
    binned_information,
    binned_information_per_filter,
    binning,
    count_distinct,
    discrete_entropy,
)

few = settings(derandomize=True, max_examples=60, deadline=None)


@st.composite
def layers(draw):
    n, d = draw(st.integers(1, 24)), draw(st.integers(1, 4))
    T = draw(arrays(np.float64, (n, d), elements=st.floats(-2, 2, width=32)))
    Y = draw(arrays(np.int64, n, elements=st.integers(-3, 3)))
    return T, Y, draw(st.sampled_from([0.07, 0.5, 0.67, 1.0, 5.0]))


def slow_entropy(symbols):
    counts = Counter(symbols)
    return -sum(c / len(symbols) * math.log2(c / len(symbols)) for c in counts.values())


def slow_information(T, Y, width):
    """Count tuples in dictionaries, once for all samples and once for every class."""
    cells = [tuple(math.floor(float(t) / width) for t in np.ravel(row)) for row in T]
    conditional = 0.0
    for label in set(Y.tolist()):
        own = [cell for cell, y in zip(cells, Y.tolist(), strict=True) if y == label]
        conditional += len(own) / len(cells) * slow_entropy(own)
    return Information(slow_entropy(cells), slow_entropy(cells) - conditional)


@given(layers())
@few
def test_agrees_with_dictionaries(case):
    T, Y, width = case
    fast = binned_information(T, Y, bin_width=width)
    assert fast == pytest.approx(slow_information(T, Y, width), abs=1e-12)
    assert binned_entropy(T, bin_width=width) == fast.I_XT


@given(layers())
@few
def test_bounds(case):
    T, Y, width = case
    I_XT, I_TY = binned_information(T, Y, bin_width=width)
    assert 0 <= I_XT <= math.log2(len(T)) + 1e-12
    assert -1e-12 <= I_TY <= min(I_XT, discrete_entropy(Y)) + 1e-12
    assert math.log2(count_distinct(T, bin_width=width)) + 1e-12 >= I_XT
    assert count_distinct(T, bin_width=width) <= count_distinct(T)


@given(layers(), st.randoms(use_true_random=False))
@few
def test_permuting_and_relabelling_change_nothing_at_all(case, random):
    T, Y, width = case
    order = random.sample(range(len(T)), len(T))
    expected = binned_information(T, Y, bin_width=width)
    assert binned_information(T[order], Y[order], bin_width=width) == expected
    assert binned_information(T, 7 - 3 * Y, bin_width=width) == expected
    assert binned_information(T[:, ::-1], Y, bin_width=width) == expected


@given(layers())
@few
def test_agrees_with_scikit_learn(case):
    T, Y, width = case
    names = [str(row) for row in np.floor(T / width).astype(int)]
    cells = np.unique(names, return_inverse=True)[1]
    expected = mutual_info_score(cells, Y) / math.log(2)
    assert pytest.approx(expected, abs=1e-12) == binned_information(T, Y, bin_width=width).I_TY


def test_coins_and_xor():
    assert discrete_entropy([0, 1]) == 1.0
    assert discrete_entropy([5] * 3 + [-2]) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-15)
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    xor = bits[:, 0] ^ bits[:, 1]
    assert binned_information(bits, xor, bin_width=1) == (2.0, 1.0)
    assert binned_information(bits[:, 0], xor, bin_width=1) == (1.0, 0.0)


def test_bins_use_floor_and_are_anchored_at_zero():
    assert count_distinct([-0.1, 0.1], bin_width=0.5) == 2
    assert count_distinct([0.0, 0.49], bin_width=0.5) == 1
    assert count_distinct([0.49, 0.5], bin_width=0.5) == 2
    assert count_distinct([-0.5, -0.01], bin_width=0.5) == 1


def test_saturated_layer_reads_exactly_the_ceiling():
    T, Y = np.arange(4096.0), np.arange(4096) % 2
    assert binned_information(T, Y, bin_width=0.5) == (12.0, 1.0)


def test_repeated_inputs_lower_the_ceiling():
    T = np.array([0.0, 1.0, 2.0, 2.0])
    assert count_distinct(T) == 3
    assert binned_information(T, [0, 0, 1, 1], bin_width=0.1).I_XT == 1.5


@pytest.mark.parametrize("n", [1, 7])
def test_constant_layer_and_single_class(n):
    assert binned_information(np.full((n, 3), 0.3), np.arange(n), bin_width=0.1) == (0.0, 0.0)
    T = np.arange(float(n))
    assert binned_information(T, np.full(n, 4), bin_width=0.1).I_TY == 0.0
    assert discrete_entropy(np.full(n, 4)) == 0.0


def test_zero_and_minus_zero_are_one_sample():
    assert count_distinct([0.0, -0.0]) == 1
    assert count_distinct(torch.tensor([0.0, -0.0])) == 1
    assert count_distinct([1e-300, -1e-300]) == 2
    assert count_distinct([-0.0, 0.0], bin_width=1.0) == 1


@pytest.mark.parametrize("bin_width", [0.0, -1.0, math.nan, math.inf, "wide"])
def test_entropy_refuses_widths_that_are_none(bin_width):
    words = f"bin_width must be a positive finite number, got {bin_width!r}"
    with pytest.raises(ValueError, match=words):
        binned_entropy([1.0, 2.0], bin_width=bin_width)


def test_huge_values():
    assert count_distinct([1e30, -1e30, 1e30]) == 2
    assert count_distinct([1e30, -1e30, 1e30], bin_width=1e29) == 2
    with pytest.raises(ValueError, match=r"T reaches 1e\+30, that is 2e\+30 bins of width 0.5"):
        binned_entropy([1e30, 1.0], bin_width=0.5)
    with pytest.raises(ValueError, match=r"that is inf bins"):
        binned_entropy([1e300], bin_width=1e-300)
    edge = [2.0**53 - 1, 2.0**53, 2.0**53 - 2]
    assert count_distinct(edge, bin_width=1.0) == 3


def test_float32_is_divided_in_float64():
    T = (np.arange(-300, 300) / 10).astype(np.float32)
    wide = T.astype(np.float64)
    assert binned_entropy(T, bin_width=0.1) == binned_entropy(wide, bin_width=0.1)
    assert binned_entropy(torch.tensor(T), bin_width=0.1) == binned_entropy(wide, bin_width=0.1)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_colliding_hashes_are_told_apart(monkeypatch, bits):
    rng = np.random.default_rng(3)
    T, Y = rng.integers(0, 3, (200, 4)) + 0.5, rng.integers(0, 3, 200)
    expected = slow_information(T, Y, 1.0)
    true_hash = binning._hash
    calls = []

    def weak_hash(rows, bin_width):
        calls.append(len(rows))
        return true_hash(rows, bin_width) & (2**bits - 1)

    monkeypatch.setattr(binning, "_hash", weak_hash)
    assert binned_information(T, Y, bin_width=1.0) == pytest.approx(expected, abs=1e-12)
    assert count_distinct(T) == len(np.unique(T, axis=0))
    assert calls == [200, 200]


def test_blocks_do_not_matter(monkeypatch):
    T = np.random.default_rng(0).integers(0, 2, (300, 7)) * 1.0
    Y = np.arange(300) % 4
    expected = binned_information(T, Y, bin_width=0.5)
    monkeypatch.setitem(binning._ELEMENTS_PER_BLOCK, "cpu", 20)
    assert binned_information(T, Y, bin_width=0.5) == expected


def test_inputs_are_not_modified():
    T, Y = np.random.default_rng(0).standard_normal((50, 2, 3)), np.arange(50) % 3
    before = T.copy(), Y.copy()
    binned_information(T, Y, bin_width=0.5)
    count_distinct(T)
    np.testing.assert_array_equal(T, before[0])
    np.testing.assert_array_equal(Y, before[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees():
    T, Y = torch.randn(500, 6), torch.arange(500) % 5
    expected = binned_information(T, Y, bin_width=1.5)
    assert binned_information(T.cuda(), Y.cuda(), bin_width=1.5) == expected
    assert binned_information(T.cuda(), Y.numpy(), bin_width=1.5) == expected
    assert count_distinct(T.cuda()) == count_distinct(T)


@st.composite
def stacked(draw):
    n, filters, m = draw(st.integers(1, 12)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    T = draw(arrays(np.float64, (n, filters, m), elements=st.floats(-2, 2, width=32)))
    return T, draw(arrays(np.int64, n, elements=st.integers(-3, 3)))


@given(stacked())
@few
def test_filters_together_are_filters_one_by_one(case):
    T, Y = case
    found = binned_information_per_filter(T, Y, bin_width=0.5)
    assert len(found) == T.shape[1]
    for f, pair in enumerate(found):
        assert pair == pytest.approx(binned_information(T[:, f], Y, bin_width=0.5), abs=1e-12)


def test_equal_filters_stay_apart(monkeypatch):
    """Also when every hash is the same, so that only the comparison can tell rows apart."""
    T = torch.tensor([[[0.1], [0.1]], [[0.1], [0.1]], [[0.9], [0.1]]])
    Y = torch.tensor([0, 1, 1])
    expected = binned_information_per_filter(T, Y, bin_width=0.5)
    entropy = math.log2(3) - 2 / 3
    assert expected[0] == pytest.approx((entropy, entropy - 2 / 3))
    assert expected[1] == pytest.approx((0.0, 0.0), abs=1e-15)
    monkeypatch.setattr(binning, "_hash", lambda rows, _: torch.zeros(len(rows), dtype=torch.int64))
    monkeypatch.setattr(binning, "_GROUP_MULTIPLIER", 0)
    found = binned_information_per_filter(T, Y, bin_width=0.5)
    assert found == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize("shape", [(4,), ()])
def test_filters_need_an_axis(shape):
    with pytest.raises(ValueError, match=r"n_filters|single number"):
        binned_information_per_filter(np.zeros(shape), [0, 1, 0, 1], bin_width=0.5)


@pytest.mark.parametrize("column", [0, 7, 1500, 2999])
def test_wide_rows_that_differ_in_one_feature_only(column):
    """Whether or not that feature is among those that are tried first."""
    T = torch.zeros(5, 3000)
    T[:, column] = torch.arange(5.0)
    assert binned_entropy(T, bin_width=1.0) == pytest.approx(math.log2(5))
    assert binned_entropy(T, bin_width=2.0) == pytest.approx(slow_entropy([0, 0, 1, 1, 2]))
    exact = [0.1, 0.1 + 1e-12, 0.1, 7.0, -0.0, 0.0]
    assert binned_entropy(exact) == pytest.approx(slow_entropy([0, 1, 0, 2, 3, 3]))
    assert count_distinct(T) == 5
