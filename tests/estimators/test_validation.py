"""Every check names the value it refuses; what is legal passes unchanged."""

import numpy as np
import pytest
import torch

from ibcore import estimators
from ibcore.estimators import (
    binned_entropy,
    binned_information,
    discrete_entropy,
    kde_information,
    ksg_information,
    nearest_neighbour_entropy,
    renyi_entropy,
    renyi_information,
)
from ibcore.estimators._validation import as_classes, as_rows

OF_T = {
    "binned_information": lambda T: binned_information(T, [0, 1, 1], bin_width=0.5),
    "binned_entropy": lambda T: binned_entropy(T, bin_width=0.5),
    "count_distinct": lambda T: estimators.count_distinct(T),
    "kde_information": lambda T: kde_information(T, [0, 1, 1], noise_variance=0.1),
    "nearest_neighbour_entropy": lambda T: nearest_neighbour_entropy(T),
    "ksg_first": lambda T: ksg_information(T, [1.0, 2.0, 4.0], k=1),
    "ksg_second": lambda T: ksg_information([1.0, 2.0, 4.0], T, k=1),
    "gram_matrix": lambda T: estimators.gram_matrix(T, kernel_width=1.0),
    "renyi_entropy": lambda T: renyi_entropy(T, kernel_width=1.0),
    "renyi_information": lambda T: renyi_information(T, [0, 1, 1]),
    "aligned_kernel_width": lambda T: estimators.aligned_kernel_width(T, [0, 1, 1]),
}
OF_Y = {
    "binned_information": lambda T, Y: binned_information(T, Y, bin_width=0.5),
    "kde_information": lambda T, Y: kde_information(T, Y, noise_variance=0.1),
    "renyi_information": lambda T, Y: renyi_information(T, Y, kernel_width=1.0),
    "aligned_kernel_width": lambda T, Y: estimators.aligned_kernel_width(T, Y),
}
NAN, INF = float("nan"), float("inf")
every_T = pytest.mark.parametrize("call", OF_T.values(), ids=OF_T)
every_Y = pytest.mark.parametrize("call", OF_Y.values(), ids=OF_Y)


def test_all_names_exist():
    assert "Information" in estimators.__all__
    assert all(hasattr(estimators, name) for name in estimators.__all__)


@every_T
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_nan_and_infinity_are_counted_and_located(call, kind):
    T = kind([[0.0, 1.0], [1.0, NAN], [INF, -INF]])
    with pytest.raises(ValueError, match=r"3 values that are NaN.*\(nan\) at position \(1, 1\)"):
        call(T)


@every_T
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_nan_and_infinity_of_half_precision_are_refused(call, dtype, bad):
    with pytest.raises(ValueError, match=r"1 values that are NaN or infinite.*position \(2,\)"):
        call(torch.tensor([0.0, 1.0, bad], dtype=dtype))


@every_T
def test_position_counts_in_the_shape_given(call):
    T = np.arange(12.0).reshape(3, 2, 2)
    T[2, 1, 0] = -INF
    with pytest.raises(ValueError, match=r"1 values .*\(-inf\) at position \(2, 1, 0\)"):
        call(T)


@every_T
@pytest.mark.parametrize(
    ("T", "message"),
    [
        (np.zeros((0, 3)), r"empty set: shape \(0, 3\)"),
        (np.zeros(0), r"empty set: shape \(0,\)"),
        (np.zeros((3, 0)), r"no features: shape \(3, 0\)"),
        (np.float64(3.0), "single number"),
        (np.array(["a", "b", "c"]), "real numbers, got dtype <U1"),
        (np.array([1j, 2, 3]), "real numbers, got dtype complex128"),
        (torch.tensor([1j, 2, 3]), "real numbers, got dtype torch.complex64"),
        (np.array([0, 1, 2**60]), "integer 1152921504606846976, beyond 2"),
        (np.array([0, 1, 2**60 + 1], np.uint64), "integer 1152921504606846977, beyond 2"),
    ],
)
def test_unusable_arrays(call, T, message):
    with pytest.raises(ValueError, match=message):
        call(T)


@pytest.mark.parametrize(
    "call", [OF_T[name] for name in OF_T if name[:3] in ("nea", "ksg", "gra", "ren", "ali")]
)
def test_squares_that_overflow(call):
    with pytest.raises(ValueError, match=r"reaches 1e\+200; squared distances overflow"):
        call(np.array([0.0, 1.0, 1e200]))


@every_Y
@pytest.mark.parametrize(
    ("Y", "message"),
    [
        ([0, 1], "Y has 2 labels for 3 samples"),
        ([], "Y has 0 labels for 3 samples"),
        ([[0], [1], [1]], r"shape \(n_samples,\), got \(3, 1\)"),
        (1, r"shape \(n_samples,\), got \(\)"),
        ([0.0, 1.0, 1.0], "integer labels, got dtype float64"),
        (["a", "b", "b"], "integer labels, got dtype <U1"),
        (torch.tensor([0.0, 1.0, 1.0]), "integer labels, got dtype torch.float32"),
        (torch.tensor([[0], [1], [1]]), r"got \(3, 1\)"),
    ],
)
def test_labels_that_do_not_fit(call, Y, message):
    with pytest.raises(ValueError, match=message):
        call(np.arange(3.0), Y)


def test_no_labels_at_all():
    with pytest.raises(ValueError, match="labels is an empty set"):
        discrete_entropy(np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="labels must hold integer"):
        discrete_entropy([0.5, 1.0])


@pytest.mark.parametrize("value", [0, -1.0, NAN, INF, -INF, None, "wide"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("bin_width", lambda v: binned_information([1.0, 2.0], [0, 1], bin_width=v)),
        ("noise_variance", lambda v: kde_information([1.0, 2.0], [0, 1], noise_variance=v)),
        ("kernel_width", lambda v: estimators.gram_matrix([1.0, 2.0], kernel_width=v)),
        ("kernel_width", lambda v: renyi_entropy([1.0, 2.0], kernel_width=v)),
        ("alpha", lambda v: renyi_entropy([1.0, 2.0], kernel_width=1.0, alpha=v)),
        ("alpha", lambda v: renyi_information([1.0, 2.0], [0, 1], alpha=v)),
        ("alpha", lambda v: estimators.renyi_joint_entropy(np.eye(2), np.eye(2), alpha=v)),
        ("alpha", lambda v: estimators.renyi_mutual_information(np.eye(2), np.eye(2), alpha=v)),
        ("widths", lambda v: estimators.aligned_kernel_width([1.0, 2.0], [0, 1], widths=[v])),
    ],
)
def test_parameters_must_be_positive(name, call, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive finite number, got {value!r}"):
        call(value)


def test_epsilon_may_be_zero_but_not_negative():
    assert np.isfinite(nearest_neighbour_entropy([0.0, 1.0, 3.0], epsilon=0))
    with pytest.raises(ValueError, match="epsilon must be a non-negative finite number, got -1"):
        nearest_neighbour_entropy([0.0, 1.0, 3.0], epsilon=-1)


@pytest.mark.parametrize(
    "call",
    [
        lambda k: nearest_neighbour_entropy([0.0, 1.0, 3.0], k=k),
        lambda k: ksg_information([0.0, 1.0, 3.0], [0.0, 1.0, 3.0], k=k),
    ],
)
@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "1 <= k < n_samples = 3, got 0"),
        (3, "1 <= k < n_samples = 3, got 3"),
        (1.5, "k must be an integer, got 1.5"),
    ],
)
def test_number_of_neighbours(call, k, message):
    with pytest.raises(ValueError, match=message):
        call(k)


@pytest.mark.parametrize(
    "call",
    [
        lambda **o: nearest_neighbour_entropy([0.0, 1.0, 3.0], **o),
        lambda **o: ksg_information([0.0, 1.0, 3.0], [0.0, 1.0, 3.0], k=1, **o),
    ],
)
def test_noise_needs_a_source_and_a_size(call):
    with pytest.raises(ValueError, match=r"noise_scale=0.1 needs an explicit rng"):
        call(noise_scale=0.1)
    with pytest.raises(ValueError, match="noise_scale must be a positive finite number, got -1"):
        call(noise_scale=-1, rng=0)


@pytest.mark.parametrize("call", [call for name, call in OF_T.items() if name != "ksg_second"])
def test_every_numeric_type_layout_and_byte_order_reads_the_same(call):
    T = np.array([[0, 3], [5, 1], [9, 8]], dtype=np.int64)
    expected = call(T.astype(float))
    read_only = T.astype(np.float32)
    read_only.flags.writeable = False
    wide = np.zeros((3, 4))
    wide[:, ::2] = T
    variants = [
        *(T.astype(kind) for kind in ("u1", "i2", "u2", "u4", "u8", "f2", "f4", "g", ">f8", ">i4")),
        read_only,
        wide[:, ::2],
        np.asfortranarray(T),
        T[::-1][::-1],
        T.reshape(3, 2, 1),
        T.tolist(),
        torch.tensor(T, dtype=torch.bfloat16),
        torch.tensor(T, dtype=torch.float16),
        torch.tensor(T, dtype=torch.int32),
        torch.tensor(T.T.copy()).T,
        torch.tensor(T, dtype=torch.float64, requires_grad=True),
    ]
    for variant in variants:
        np.testing.assert_allclose(call(variant), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint32, np.int64, bool])
def test_labels_of_every_integer_type(kind):
    classes, sizes = as_classes(np.array([1, 0, 1, 1], dtype=kind))
    assert classes.tolist() == [1, 0, 1, 1]
    assert sizes.tolist() == [1, 3]
    assert as_classes(torch.tensor([1, 0, 1, 1]).bool())[1].tolist() == [1, 3]


def test_rows_share_memory_where_possible():
    T = np.zeros((3, 2, 2))
    assert as_rows(T).data_ptr() == T.ctypes.data
