"""Information of a layer with Gaussian noise added for the analysis: pairwise-distance bounds."""

import bisect
import math

import torch

from ._validation import Information, as_classes, as_rows, positive

_BLOCK = {"cpu": 512, "cuda": 4096}
_SMALLEST_EXPONENT = -80.0
_LARGEST_ROUNDING = 1e-9


def kde_information(T, Y, *, noise_variance, bound="upper"):
    r"""Information of a noisy layer about its input and its label, from pairwise distances.

    .. math::
        I(X;T) = -\frac1n \sum_i \log_2 \frac1n \sum_j
            \exp\Big(-\frac{\|t_i - t_j\|^2}{2 a v}\Big), \qquad
        I(T;Y) = I(X;T) - \sum_c p_c\, I_c(X;T)

    with a = 1 for the upper bound (Kullback-Leibler) and a = 4 for the lower one
    (Bhattacharyya); v is the noise variance and :math:`I_c` is the same sum over class c alone.
    A thin wrapper of `kde_information_bounds`, which gives both bounds at the same cost.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Noise-free activations, flattened per sample.
    Y : integer array or tensor, shape (n_samples,)
        Labels. A single class is legal and gives I(T;Y) = 0.
    noise_variance : float
        Variance v of the Gaussian noise per unit, in the squared unit of `T`.
    bound : {"upper", "lower"}
        Which bound on the entropy of the mixture to use.

    Returns
    -------
    Information
        ``(I_XT, I_TY)`` in bits; ``I_XT`` lies between 0 and log2 n_samples.

    Raises
    ------
    ValueError
        For NaN or infinite activations, an empty set, labels that do not fit, a noise variance
        that is not positive, or an unknown bound.

    Notes
    -----
    ``I_XT`` is a bound on the information of the noisy layer. ``I_TY`` is a difference of two
    bounds of the same kind and so is itself neither an upper nor a lower bound.

    Departures: the slides give the lower bound as an inequality for I(T;Y); it holds for each
    term only.

    References
    ----------
    Padova slides, "Computation of MI: KDE method"; Saxe et al. (2018), equations 7 and
    10, printed without the minus sign and the 1/n as equations 2 and 3 of Dong & Hisham;
    Kolchinsky & Tracey (2017).

    Examples
    --------
    Two samples far apart are told apart by one bit, two equal ones not at all:

    >>> kde_information([[0.0], [100.0]], [0, 1], noise_variance=1.0)
    Information(I_XT=1.0, I_TY=1.0)
    >>> kde_information([[3.0], [3.0]], [0, 1], noise_variance=1.0, bound="lower")
    Information(I_XT=0.0, I_TY=0.0)
    """
    if bound not in ("upper", "lower"):
        raise ValueError(f"bound must be 'upper' or 'lower', got {bound!r}")
    upper, lower = kde_information_bounds(T, Y, noise_variance=noise_variance)
    return upper if bound == "upper" else lower


def kde_information_bounds(T, Y, *, noise_variance):
    r"""Both bounds of `kde_information`, from one pass over the pairs of samples.

    The lower kernel :math:`\exp(-d^2/8v)` is computed once; the upper one is its fourth power.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Noise-free activations, flattened per sample.
    Y : integer array or tensor, shape (n_samples,)
        Labels.
    noise_variance : float
        Variance of the Gaussian noise per unit.

    Returns
    -------
    upper, lower : Information
        In bits. ``lower.I_XT <= upper.I_XT``; the two ``I_TY`` have no fixed order.

    Raises
    ------
    ValueError
        As `kde_information`.

    Notes
    -----
    Distances and kernels are in float64 for every input type. Pairs with d^2/8v > 80 count as
    e^-80 in the lower and e^-320 in the upper kernel, beside the self pair's 1: an error below
    n e^-80 bits. Only the block pairs on and above the diagonal are computed, so the memory is
    one float64 copy of `T` plus O(block^2 + n_samples).

    References
    ----------
    Padova slides, "Computation of MI: KDE method"; Kolchinsky & Tracey (2017).

    Examples
    --------
    With d^2 = 8 ln 2 and v = 1 the kernel is 1/2 in the lower and 1/16 in the upper bound, which
    gives -log2(3/4) and -log2(17/32):

    >>> import math
    >>> T = [[0.0], [math.sqrt(8 * math.log(2))]]
    >>> upper, lower = kde_information_bounds(T, [0, 1], noise_variance=1.0)
    >>> round(upper.I_XT, 6), round(lower.I_XT, 6)
    (0.912537, 0.415037)
    """
    noise_variance = positive(noise_variance, "noise_variance")
    rows = as_rows(T)
    n = rows.shape[0]
    classes, sizes = as_classes(Y, n, device=rows.device)
    order = torch.argsort(classes, stable=True)
    ends = torch.cumsum(sizes, 0)
    exponents = _exponents(rows[order], math.sqrt(noise_variance))

    total = torch.zeros((2, n), dtype=torch.float64, device=rows.device)
    own = torch.zeros_like(total)
    bounds = [0, *ends.tolist()]
    step = _BLOCK["cuda" if rows.is_cuda else "cpu"]
    for right in range(0, n, step):
        for left in range(0, right + 1, step):
            kernel = exponents(left, right, step)
            kernel.clamp_(_SMALLEST_EXPONENT, 0.0).exp_()
            shared = _shared_classes(bounds, left, right, *kernel.shape)
            _accumulate(kernel, total[0], own[0], left, right, shared)
            kernel.mul_(kernel).mul_(kernel)
            _accumulate(kernel, total[1], own[1], left, right, shared)

    marginal = -torch.log2(total / n).mean(1)
    conditional = -torch.log2(own / sizes[classes[order]]).mean(1)
    lower, upper = zip((marginal + 0.0).tolist(), (marginal - conditional).tolist(), strict=True)
    return Information(*upper), Information(*lower)


def _exponents(rows, noise_sd):
    """Return a function (left, right, step) that gives -d^2 / 8v for one block of pairs.

    The rows are centred and scaled to z = t / 2 sd, and -|z_i - z_j|^2 / 2 comes from one matrix
    product. Where its rounding could reach `_LARGEST_ROUNDING`, differences are taken directly.
    """
    n, d = rows.shape
    z = torch.empty((n, d + 2), dtype=torch.float64, device=rows.device)
    z[:, :d] = rows
    z[:, :d] -= z[:, :d].mean(0)
    z[:, :d] /= 2 * noise_sd
    z[:, d] = z[:, :d].square().sum(1) / -2
    z[:, d + 1] = 1.0
    rounding = torch.finfo(torch.float64).eps * -2 * z[:, d].min().item()

    def by_product(left, right, step):
        other = z[right : right + step]
        other = torch.cat((other[:, :d], other[:, d + 1 :], other[:, d : d + 1]), 1)
        return z[left : left + step] @ other.T

    def by_difference(left, right, step):
        one = rows[left : left + step].double()
        other = rows[right : right + step].double()
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(one, other, compute_mode=mode).div_(2 * noise_sd).square_().div_(-2)

    return by_product if rounding <= _LARGEST_ROUNDING else by_difference


def _shared_classes(bounds, left, right, height, width):
    """Slices (of the block's rows, of its columns) of every class that has both in this block.

    Samples are sorted by class, and `bounds` holds where each class begins.
    """
    first = bisect.bisect_right(bounds, right) - 1
    last = bisect.bisect_right(bounds, left + height - 1) - 1
    return [
        (
            slice(max(bounds[c] - left, 0), min(bounds[c + 1] - left, height)),
            slice(max(bounds[c] - right, 0), min(bounds[c + 1] - right, width)),
        )
        for c in range(first, last + 1)
    ]


def _accumulate(kernel, total, own, left, right, shared):
    """Add the row sums of a block and, off the diagonal, its column sums."""
    everything = [(slice(0, kernel.shape[0]), slice(0, kernel.shape[1]))]
    for out, parts in ((total, everything), (own, shared)):
        for rows, columns in parts:
            part = kernel[rows, columns]
            out[left + rows.start : left + rows.stop] += part.sum(1)
            if left < right:
                out[right + columns.start : right + columns.stop] += part.sum(0)
