"""Checks shared by all estimators, and the pair of numbers they return."""

import operator
from typing import NamedTuple

import numpy as np
import torch

EXACT_INTEGERS = 2**53
LARGEST_FOR_SQUARES = 1e150


class Information(NamedTuple):
    """Information of a layer T about the input X and about the label Y, in bits."""

    I_XT: float
    I_TY: float


def to_tensor(values, name):
    """Return `values` as a detached tensor on its own device, sharing memory where possible."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        if array.size and array.max() > EXACT_INTEGERS:
            raise ValueError(f"{name} holds the integer {array.max()}, beyond 2**53")
        array = array.astype(np.int64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def as_rows(T, name="T"):
    """Flatten activations to a finite floating tensor (n_samples, n_features), checked.

    float32 and float64 keep their type, half precision becomes float32, integers and booleans
    become float64. The input is never written to.

    Raises
    ------
    ValueError
        If `T` is not numeric, has no samples or no features, holds NaN or infinity, or holds
        integers beyond 2**53, which float64 cannot represent.
    """
    tensor = to_tensor(T, name)
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, got dtype {tensor.dtype}")
    if tensor.ndim == 0:
        raise ValueError(f"{name} must have shape (n_samples, ...), got a single number")
    if tensor.shape[0] == 0:
        raise ValueError(f"{name} is an empty set: shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        raise ValueError(f"{name} has no features: shape {tuple(tensor.shape)}")
    if not tensor.is_floating_point():
        tensor = tensor.double()
        if largest(tensor) > EXACT_INTEGERS:
            raise ValueError(f"{name} holds the integer {int(largest(tensor))}, beyond 2**53")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    if not np.isfinite(largest(tensor)):
        bad = torch.nonzero(~torch.isfinite(tensor))
        first = tuple(bad[0].tolist())
        raise ValueError(
            f"{name} holds {len(bad)} values that are NaN or infinite, "
            f"the first one ({tensor[first].item()}) at position {first}"
        )
    return tensor.reshape(tensor.shape[0], -1)


def as_rows_for_distances(T, name="T", *, convert=True):
    """Like `as_rows`, in float64 (unless not `convert`), refusing values whose squares overflow."""
    rows = as_rows(T, name)
    if largest(rows) > LARGEST_FOR_SQUARES:
        raise ValueError(
            f"{name} reaches {largest(rows):.6g}; squared distances overflow beyond "
            f"{LARGEST_FOR_SQUARES:g}, rescale it first"
        )
    return rows.double() if convert else rows


def largest(tensor):
    """Return the largest absolute value (NaN if there is one) in one pass."""
    low, high = torch.aminmax(tensor)
    return torch.maximum(low.abs(), high.abs()).item()


def as_classes(Y, n=None, *, device=None, name="Y"):
    """Return class indices 0..C-1 of integer labels and the size of every class.

    Raises
    ------
    ValueError
        If the labels are not one-dimensional, not integers, empty, or not `n` of them.
    """
    if isinstance(Y, torch.Tensor):
        labels = Y.detach()
        integral = not (labels.is_floating_point() or labels.is_complex())
    else:
        labels = np.asarray(Y)
        integral = labels.dtype.kind in "biu"
    if labels.ndim != 1:
        raise ValueError(f"{name} must have shape (n_samples,), got {tuple(labels.shape)}")
    if n is not None and len(labels) != n:
        raise ValueError(f"{name} has {len(labels)} labels for {n} samples")
    if len(labels) == 0:
        raise ValueError(f"{name} is an empty set of labels")
    if not integral:
        raise ValueError(f"{name} must hold integer labels, got dtype {labels.dtype}")
    if not isinstance(labels, torch.Tensor):
        labels = torch.from_numpy(labels.astype(np.int64))
    labels = labels.to(device=device or labels.device, dtype=torch.int64)
    _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    return classes, sizes


def positive(value, name, *, zero=False):
    """Return `value` as a float after checking that it is finite and above 0 (or 0 if allowed)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and (number > 0 or (zero and number == 0))):
        sign = "non-negative" if zero else "positive"
        raise ValueError(f"{name} must be a {sign} finite number, got {value!r}")
    return number


def neighbours(k, n):
    """Return `k` as an int after checking 1 <= k < n."""
    try:
        number = operator.index(k)
    except TypeError:
        raise ValueError(f"k must be an integer, got {k!r}") from None
    if not 1 <= number < n:
        raise ValueError(f"k must satisfy 1 <= k < n_samples = {n}, got {k}")
    return number


def with_noise(rows, noise_scale, rng):
    """Add Gaussian noise of standard deviation `noise_scale`, or return `rows` if it is None.

    The noise is drawn by NumPy and moved to the device, so that every device sees the same.
    """
    if noise_scale is None:
        return rows
    noise_scale = positive(noise_scale, "noise_scale")
    if rng is None:
        raise ValueError(f"noise_scale={noise_scale} needs an explicit rng (a seed or Generator)")
    noise = np.random.default_rng(rng).standard_normal(tuple(rows.shape))
    noisy = rows + noise_scale * torch.from_numpy(noise).to(rows.device)
    if not largest(noisy) <= LARGEST_FOR_SQUARES:
        raise ValueError(f"noise_scale={noise_scale} makes squared distances overflow")
    return noisy
