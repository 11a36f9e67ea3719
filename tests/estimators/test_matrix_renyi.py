"""Matrix-based Rényi entropy: closed forms, theorems, full eigen-decompositions as witnesses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ibcore.estimators import (
    _pairwise,
    aligned_kernel_width,
    discrete_entropy,
    gram_matrix,
    matrix_renyi,
    renyi_entropy,
    renyi_information,
    renyi_information_per_filter,
    renyi_joint_entropy,
    renyi_mutual_information,
)

few = settings(derandomize=True, max_examples=40, deadline=None)
orders = st.sampled_from([0.3, 0.9, 1.0, 1.01, 1.4, 2.0, 5.0])


@st.composite
def layers(draw):
    n, d = draw(st.integers(1, 16)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    T, Y = rng.standard_normal((n, d)), rng.integers(0, draw(st.integers(1, 4)), n)
    return T, Y, draw(st.sampled_from([0.1, 0.7, 3.0]))


def slow_entropy(kernel, alpha):
    values = np.linalg.eigh(kernel / np.trace(kernel))[0]
    values = values[values > 1e-14]
    if alpha == 1:
        return -np.sum(values * np.log2(values))
    return np.log2(np.sum(values**alpha)) / (1 - alpha)


def slow_kernel(T, width):
    return np.array([[math.exp(-sum((a - b) ** 2) / (2 * width**2)) for b in T] for a in T])


def one_hot_kernel(Y):
    """The label kernel of Wickstrøm et al.: exp(-d^2 / 0.1^2) of one-hot labels, no limit taken."""
    one_hot = np.eye(10)[Y]
    return slow_kernel(one_hot, 0.1 / math.sqrt(2))


@given(layers(), orders)
@few
def test_agrees_with_full_eigen_decompositions(case, alpha):
    T, Y, width = case
    A, B = slow_kernel(T, width), one_hot_kernel(Y)
    tolerance = 1e-8 if alpha >= 0.9 else 1e-2
    np.testing.assert_allclose(gram_matrix(T, kernel_width=width), A, atol=1e-12)
    entropy = renyi_entropy(T, kernel_width=width, alpha=alpha)
    assert entropy == pytest.approx(slow_entropy(A, alpha), abs=tolerance)
    joint = slow_entropy(A * B, alpha)
    assert renyi_joint_entropy(A, B, alpha=alpha) == pytest.approx(joint, abs=tolerance)
    expected = slow_entropy(A, alpha) + slow_entropy(B, alpha) - joint
    information = renyi_information(T, Y, kernel_width=width, alpha=alpha)
    assert information == pytest.approx(expected, abs=3 * tolerance)
    both = renyi_mutual_information(A, B, alpha=alpha)
    assert both == pytest.approx(expected, abs=3 * tolerance)


@given(layers(), orders)
@few
def test_bounds(case, alpha):
    T, Y, width = case
    ceiling = math.log2(len(T)) + 1e-9
    entropy = renyi_entropy(T, kernel_width=width, alpha=alpha)
    assert 0 <= entropy + 1e-12 <= ceiling
    A, B = gram_matrix(T, kernel_width=width), one_hot_kernel(Y)
    joint = renyi_joint_entropy(A, B, alpha=alpha)
    assert entropy - 1e-9 <= joint <= ceiling
    assert joint <= entropy + renyi_joint_entropy(B, B, alpha=alpha) + 1e-9 or alpha != 1


@given(layers())
@few
def test_entropy_falls_with_the_order_and_with_the_width(case):
    T, _, width = case
    by_order = [renyi_entropy(T, kernel_width=width, alpha=a) for a in (0.9, 1, 1.01, 1.6, 2, 6)]
    assert (np.diff(by_order) <= 1e-9).all()
    by_width = [renyi_entropy(T, kernel_width=w, alpha=2) for w in (0.1, 0.5, 2.0, 10.0)]
    assert (np.diff(by_width) <= 1e-9).all()


@given(layers(), st.randoms(use_true_random=False))
@few
def test_invariances(case, random):
    T, Y, width = case
    order = random.sample(range(len(T)), len(T))
    expected = renyi_information(T, Y, kernel_width=width)
    for other in (
        renyi_information(T[order], Y[order], kernel_width=width),
        renyi_information(T, 3 - 2 * Y, kernel_width=width),
        renyi_information(T + 10, Y, kernel_width=width),
        renyi_information(8 * T[:, ::-1], Y, kernel_width=8 * width),
    ):
        assert other == pytest.approx(expected, abs=1e-8)


@given(layers())
@few
def test_orders_near_one_are_continuous(case):
    T, _, width = case
    limit = renyi_entropy(T, kernel_width=width, alpha=1)
    for alpha in (1 - 1e-9, 1 + 1e-9, 1 + 1e-13):
        near = renyi_entropy(T, kernel_width=width, alpha=alpha)
        assert near == pytest.approx(limit, abs=1e-6)


def test_orders_on_both_sides_of_a_formula_agree():
    T = np.random.default_rng(0).standard_normal((20, 3))
    for edge in (0.5, 1.5, 2.0):
        inside, outside = (
            renyi_entropy(T, kernel_width=1.0, alpha=edge + step) for step in (-1e-9, 1e-9)
        )
        assert inside == pytest.approx(outside, abs=1e-7)
        assert renyi_entropy(T, kernel_width=1.0, alpha=edge) == pytest.approx(inside, abs=1e-7)


@pytest.mark.parametrize("alpha", [0.5, 1, 1.01, 2, 3])
def test_closed_forms(alpha):
    far = 100.0 * np.arange(8)
    assert renyi_entropy(far, kernel_width=1.0, alpha=alpha) == pytest.approx(3.0, abs=1e-12)
    assert renyi_entropy(np.ones((8, 2)), kernel_width=1.0, alpha=alpha) == pytest.approx(
        0.0, abs=1e-12
    )
    p = np.array([0.75, 0.25])
    true = -p @ np.log2(p) if alpha == 1 else np.log2((p**alpha).sum()) / (1 - alpha)
    coin = [0.0, math.sqrt(2 * math.log(2))]
    assert renyi_entropy(coin, kernel_width=1.0, alpha=alpha) == pytest.approx(true, abs=1e-12)
    biased = np.array([0.0, 50.0, 50.0, 50.0])
    assert renyi_entropy(biased, kernel_width=1.0, alpha=alpha) == pytest.approx(true, abs=1e-12)
    assert renyi_information(biased, [0, 1, 1, 1], kernel_width=1.0, alpha=alpha) == pytest.approx(
        true, abs=1e-12
    )


@pytest.mark.parametrize("alpha", [1, 1.01, 2])
def test_xor(alpha):
    bits = 100.0 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    xor = [0, 1, 1, 0]
    assert renyi_information(bits, xor, kernel_width=1.0, alpha=alpha) == pytest.approx(1.0)
    one = renyi_information(bits[:, 0], xor, kernel_width=1.0, alpha=alpha)
    assert one == pytest.approx(0.0, abs=1e-12)


def test_von_neumann_entropy_of_labels_is_their_shannon_entropy():
    Y = np.random.default_rng(0).integers(0, 4, 60)
    result = renyi_information(1000.0 * Y, Y, kernel_width=1.0, alpha=1)
    assert result == pytest.approx(discrete_entropy(Y), abs=1e-12)


def test_information_with_itself_is_less_than_the_entropy():
    Z = np.random.default_rng(0).standard_normal((30, 2))
    A = gram_matrix(Z, kernel_width=1.0)
    assert 0 < renyi_mutual_information(A, A) < renyi_entropy(Z, kernel_width=1.0)


def test_matrices_that_never_meet():
    A, B = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    with pytest.raises(ValueError, match="A and B must have a joint matrix of positive trace"):
        renyi_joint_entropy(A, B)


def test_tiny_scales_and_widths():
    A = np.ones((3, 3))
    assert renyi_mutual_information(1e-200 * A, 1e-200 * A) == renyi_mutual_information(A, A)
    words = r"kernel_width=1e-200 is too small for values up to 1$"
    with pytest.raises(ValueError, match=words):
        renyi_information_per_filter(np.eye(3), [0, 0, 1], kernel_width=1e-200)


def test_scale_of_gram_matrices_does_not_matter():
    A = gram_matrix(np.arange(5.0), kernel_width=1.0)
    B = gram_matrix(np.arange(5.0)[::-1] ** 2, kernel_width=1.0)
    expected = renyi_mutual_information(A, B)
    assert renyi_mutual_information(7 * A, B / 5) == pytest.approx(expected, abs=1e-12)
    assert renyi_mutual_information(B, torch.tensor(A)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [1, 6])
def test_degenerate_layers(n):
    T = np.arange(float(n))
    for alpha in (1, 1.01, 2):
        assert renyi_information(T, [3] * n, kernel_width=0.4, alpha=alpha) == 0.0
        assert renyi_information(T, [3] * n, alpha=alpha) == 0.0
        constant = renyi_information(np.full(n, 0.3), np.arange(n), alpha=alpha)
        assert constant == pytest.approx(0.0, abs=1e-12)
    assert aligned_kernel_width(np.full(n, 0.3), np.arange(n)) == 0.3 / math.sqrt(2)


def test_extreme_values_and_widths():
    T = np.array([1e30, 1e30, -1e30, -1e30])
    assert renyi_information(T, [0, 0, 1, 1], kernel_width=1.0) == pytest.approx(1.0, abs=1e-9)
    assert renyi_entropy(T, kernel_width=1e300) == pytest.approx(0.0, abs=1e-12)
    assert renyi_entropy([0.0, 0.0, 1.0, 1.0], kernel_width=1e-300) == pytest.approx(1.0, abs=1e-9)
    near = np.array([0.0, 1e-3, 1e9, 1e9 + 1e-3])
    kernel = gram_matrix(near, kernel_width=1e-3)
    np.testing.assert_allclose(kernel, slow_kernel(near[:, None], 1e-3), atol=1e-9)


@given(layers())
@few
def test_alignment_agrees_with_matrices(case):
    T, Y, _ = case
    labels = (Y[:, None] == Y).astype(float)
    distances = np.sqrt(((T[:, None] - T) ** 2).sum(2))
    grid = np.linspace(0.3, 10 * distances.mean(), 300)

    def alignment(s):
        kernel = np.exp(-(distances**2) / s**2)
        return (kernel * labels).sum() / np.linalg.norm(kernel) / np.linalg.norm(labels)

    width = aligned_kernel_width(T, Y)
    if len(T) > 1:
        best = max(map(alignment, grid))
        assert alignment(math.sqrt(2) * width) == pytest.approx(best, abs=1e-9)
        assert np.abs(grid - math.sqrt(2) * width).min() < 1e-12
    expected = renyi_information(T, Y, kernel_width=width)
    assert renyi_information(T, Y) == pytest.approx(expected, abs=1e-12)


def test_alignment_among_given_widths():
    T = np.array([0.0, 0.1, 5.0, 5.1])
    assert aligned_kernel_width(T, [0, 0, 1, 1], widths=np.array([0.01, 1.0, 100.0])) == 1.0
    with pytest.raises(ValueError, match=r"widths must hold at least one candidate, got \[\]"):
        aligned_kernel_width(T, [0, 0, 1, 1], widths=[])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones(3), r"A must be a square matrix, got shape \(3,\)"),
        (np.ones((2, 3)), r"A must be a square matrix, got shape \(2, 3\)"),
        (np.ones((0, 0)), r"A must be a square matrix, got shape \(0, 0\)"),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), r"A holds 1 values .* position \(0, 1\)"),
        (np.zeros((2, 2)), "A must have a positive trace, got 0"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "A must be symmetric, entries differ by 0.5"),
        (np.eye(3), "A has 3 samples and B has 2"),
    ],
)
@pytest.mark.parametrize("call", [renyi_joint_entropy, renyi_mutual_information])
def test_matrices_that_are_not_gram_matrices(call, matrix, message):
    with pytest.raises(ValueError, match=message):
        call(matrix, np.eye(2))


def test_features_in_blocks(monkeypatch):
    T = 3 + np.random.default_rng(0).standard_normal((12, 50))
    expected = gram_matrix(T, kernel_width=7.0)
    monkeypatch.setattr(_pairwise, "_FEATURES_PER_BLOCK", 7)
    np.testing.assert_allclose(gram_matrix(T, kernel_width=7.0), expected, atol=1e-13)
    assert (np.diag(expected) == 1).all()
    assert (expected == expected.T).all()


def test_tensors_images_float32_and_no_modification():
    T = np.random.default_rng(0).standard_normal((12, 3, 4)).astype(np.float32)
    Y = np.arange(12) % 3
    before = T.copy(), Y.copy()
    expected = renyi_information(T.astype(np.float64), Y)
    assert renyi_information(T, Y) == expected
    assert renyi_information(torch.tensor(T), torch.tensor(Y)) == expected
    assert isinstance(gram_matrix(torch.tensor(T), kernel_width=1.0), torch.Tensor)
    np.testing.assert_array_equal(T, before[0])
    np.testing.assert_array_equal(Y, before[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("alpha", [1, 1.01, 2])
def test_cuda_agrees(alpha):
    T, Y = torch.randn(100, 6), torch.arange(100) % 5
    expected = renyi_information(T, Y, alpha=alpha)
    assert renyi_information(T.cuda(), Y, alpha=alpha) == pytest.approx(expected, abs=1e-8)
    A = gram_matrix(T, kernel_width=1.0)
    assert renyi_mutual_information(A.cuda(), A) == pytest.approx(renyi_mutual_information(A, A))


# ---------------------------------------------------------------- all filters of a layer


def maps(n=24, filters=7, side=3, seed=0):
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, 4, n)
    T = rng.standard_normal((n, filters, side, side))
    T[:, 1] += Y[:, None, None]
    T[:, 2] = 0.5
    return T, Y


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.01, 2.0, 3.0])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_every_filter_as_if_it_were_alone(alpha, kind):
    T, Y = maps()
    before = T.copy()
    found = renyi_information_per_filter(kind(T), kind(Y), kernel_width=1.5, alpha=alpha)
    assert type(found) is type(kind(T))
    expected = [
        renyi_information(T[:, f], Y, kernel_width=1.5, alpha=alpha) for f in range(T.shape[1])
    ]
    np.testing.assert_allclose(found, expected, atol=1e-8 if alpha >= 0.9 else 1e-3)
    np.testing.assert_array_equal(T, before)
    if alpha >= 1:
        assert abs(found[2]) < 1e-12  # a constant filter tells nothing


@pytest.mark.parametrize("distance", [1e3, 1e5, 1e7, 1e9])
def test_filters_of_two_distant_clusters_keep_their_digits(distance):
    """Inner products of rows this far from their mean round away what is within a cluster."""
    rng = np.random.default_rng(2)
    T = rng.standard_normal((40, 1, 3)) + distance * (np.arange(40) % 2)[:, None, None]
    Y = rng.integers(0, 3, 40)
    (found,) = renyi_information_per_filter(T, Y, kernel_width=1.0)
    assert found == pytest.approx(renyi_information(T, Y, kernel_width=1.0), abs=1e-6)


def test_filters_in_blocks_and_far_apart(monkeypatch):
    T, Y = maps()
    for scale in (1.0, 1e4):
        together = renyi_information_per_filter(scale * T, Y, kernel_width=1.5, alpha=1)
        monkeypatch.setattr(matrix_renyi, "_ELEMENTS_PER_BLOCK", 1)
        alone = renyi_information_per_filter(scale * T, Y, kernel_width=1.5, alpha=1)
        monkeypatch.undo()
        np.testing.assert_allclose(together, alone, atol=1e-12)
    # Far apart every image is alone: the kernel tells the image, and with it the label.
    assert together[1] == pytest.approx(discrete_entropy(Y), abs=1e-9)


@pytest.mark.parametrize(
    ("T", "Y", "options", "words"),
    [
        (np.zeros(4), [0, 1, 0, 1], {}, r"\(n_samples, n_filters, ...\), got \(4,\)"),
        (np.zeros((4, 2)), [0, 1], {}, "Y"),
        (np.zeros((4, 2)), [0, 1, 0, 1], {"kernel_width": 0.0}, "kernel_width must be a positive"),
        (np.zeros((4, 2)), [0, 1, 0, 1], {"alpha": -1.0}, "alpha must be a positive"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], {}, "NaN"),
    ],
)
def test_refused_filters(T, Y, options, words):
    with pytest.raises(ValueError, match=words):
        renyi_information_per_filter(T, Y, **{"kernel_width": 1.0, **options})
