"""Information by binning: activations are cut into bins of one width and counted."""

import numpy as np
import torch

from ._validation import EXACT_INTEGERS, Information, as_classes, as_rows, largest, positive

_ELEMENTS_PER_BLOCK = {"cpu": 1 << 18, "cuda": 1 << 24}
_FEATURES_TRIED_FIRST = 256
_GROUP_MULTIPLIER = 0x5851F42D4C957F2D


def binned_information(T, Y, *, bin_width):
    r"""Information of a layer about its input and about the label, by binning.

    .. math::
        I(X;T) = H(\hat T), \qquad
        I(T;Y) = H(\hat T) - \sum_c p_c H(\hat T \mid Y=c), \qquad
        \hat T = \lfloor T / w \rfloor

    with :math:`p_c` the frequency of class c among the samples given. The network is
    deterministic, so that :math:`H(\hat T \mid X) = 0`.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample. Samples may repeat.
    Y : integer array or tensor, shape (n_samples,)
        Labels. A single class is legal and gives I(T;Y) = 0.
    bin_width : float
        Width w of a bin, in the unit of `T`. Bins are anchored at 0.

    Returns
    -------
    Information
        ``(I_XT, I_TY)`` in bits, between 0 and log2 n_samples.

    Raises
    ------
    ValueError
        For NaN or infinite activations, an empty set, labels that do not fit, a bin width that is
        not positive, or activations beyond 2**53 bins, where floor is no longer exact.

    Notes
    -----
    A layer whose samples all fall into different cells is *saturated*: it reads log2 n_samples
    (with repeated inputs, the entropy of the inputs) and H(Y), whatever the network does.

    Departures: ``floor``, as Saxe et al. do; Shwartz-Ziv & Tishby use 30 edges on [-1, 1].
    I(T;Y) is computed as H(T) + H(Y) - H(T,Y), which is the same number. The division is done in
    float64 for every input type, so that a float32 array and its float64 copy agree.

    References
    ----------
    "The Binning Method", Padova slides; Shwartz-Ziv & Tishby (2017), section 3;
    Saxe et al. (2018), section 2.

    Examples
    --------
    Three of the four cells are different, and the last two samples share one:

    >>> binned_information([[0.1], [0.6], [-0.1], [-0.4]], [0, 0, 1, 1], bin_width=0.5)
    Information(I_XT=1.5, I_TY=1.0)
    """
    rows, bin_width = _check(T, bin_width)
    n = rows.shape[0]
    classes, sizes = as_classes(Y, n, device=rows.device)
    cells, counts = _partition(rows, bin_width)
    _, joint = torch.unique(cells * len(sizes) + classes, return_counts=True)
    entropy = _entropy(counts)
    return Information(entropy, entropy + _entropy(sizes) - _entropy(joint))


def binned_information_per_filter(T, Y, *, bin_width):
    r"""`binned_information` of every channel of a layer by itself, in one batched computation.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, n_filters, ...)
        Activations; a filter is everything at one index of the second axis.
    Y : integer array or tensor, shape (n_samples,)
        Labels.
    bin_width : float
        Width of a bin, in the unit of `T`; bins are anchored at 0.

    Returns
    -------
    list of Information
        One pair ``(I_XT, I_TY)`` in bits per filter.

    Raises
    ------
    ValueError
        As `binned_information`, and for activations without an axis of filters.

    References
    ----------
    "Filter by filter", Padova slides.

    Examples
    --------
    The first filter tells the samples apart, the second one is constant:

    >>> binned_information_per_filter([[0.1, 0.3], [0.9, 0.3]], [0, 1], bin_width=0.5)
    [Information(I_XT=1.0, I_TY=1.0), Information(I_XT=0.0, I_TY=0.0)]
    """
    rows, bin_width = _check(T, bin_width)
    shape = tuple(T.shape) if hasattr(T, "shape") else np.shape(T)
    if len(shape) < 2:
        raise ValueError(f"T must have shape (n_samples, n_filters, ...), got {shape}")
    n, filters = shape[:2]
    classes, sizes = as_classes(Y, n, device=rows.device)
    flat = rows.view(n, filters, -1).transpose(0, 1).reshape(filters * n, -1)
    own = torch.arange(filters, device=rows.device).repeat_interleave(n)
    cells, counts = _partition(flat, bin_width, own)
    joint = cells * len(sizes) + classes.repeat(filters)
    _, pairs, pair_counts = torch.unique(joint, return_inverse=True, return_counts=True)
    entropy = torch.log2(n / counts[cells].double()).view(filters, n).mean(1)
    both = torch.log2(n / pair_counts[pairs].double()).view(filters, n).mean(1)
    about_label = entropy + _entropy(sizes) - both
    return [Information(*pair) for pair in zip(entropy.tolist(), about_label.tolist(), strict=True)]


def binned_entropy(T, *, bin_width=None):
    r"""Entropy of the binned activations, in bits, or of samples that are compared exactly.

    .. math:: H(\hat T) = -\sum_i p_i \log_2 p_i, \qquad \hat T = \lfloor T / w \rfloor

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample.
    bin_width : float, optional
        Width of a bin, in the unit of `T`; bins are anchored at 0. By default samples are compared
        exactly: of inputs this is the ceiling of I(X;T), below log2 n_samples where some repeat.

    Returns
    -------
    float
        Entropy in bits, between 0 and log2 n_samples.

    Raises
    ------
    ValueError
        As `binned_information`.

    References
    ----------
    "The Binning Method", Padova slides.

    Examples
    --------
    >>> binned_entropy([0.1, 0.2, 0.7, 0.8], bin_width=0.5)
    1.0
    """
    rows, bin_width = _check(T, bin_width) if bin_width is not None else (as_rows(T), None)
    _, counts = _partition(rows, bin_width)
    return _entropy(counts)


def count_distinct(T, *, bin_width=None):
    """Count the distinct samples, exactly or after binning.

    The ceiling of I(X;T) is the entropy of the inputs (`binned_entropy` without a bin width); it is
    log2 of this count when no input repeats.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Samples, flattened; 0.0 and -0.0 are equal.
    bin_width : float, optional
        Bin the samples first; by default they are compared exactly.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        As `binned_information`.

    Examples
    --------
    >>> count_distinct([0.1, 0.2, 0.2, 0.7]), count_distinct([0.1, 0.2, 0.2, 0.7], bin_width=0.5)
    (3, 2)
    """
    rows, bin_width = _check(T, bin_width) if bin_width is not None else (as_rows(T), None)
    _, counts = _partition(rows, bin_width)
    return len(counts)


def discrete_entropy(labels):
    r"""Entropy of integer labels, in bits.

    .. math:: H(Y) = -\sum_c p_c \log_2 p_c

    Parameters
    ----------
    labels : integer array or tensor, shape (n_samples,)

    Returns
    -------
    float
        Entropy in bits, between 0 and log2 n_samples.

    Raises
    ------
    ValueError
        If the labels are empty, not integers or not one-dimensional.

    Examples
    --------
    >>> discrete_entropy([0, 1, 1, 0]), discrete_entropy([7, 7, 7])
    (1.0, 0.0)
    """
    _, sizes = as_classes(labels, name="labels")
    return _entropy(sizes)


def _check(T, bin_width):
    bin_width = positive(bin_width, "bin_width")
    rows = as_rows(T)
    reach = largest(rows)
    bins = reach / bin_width
    if not bins <= EXACT_INTEGERS:
        raise ValueError(
            f"T reaches {reach:.6g}, that is {bins:.6g} bins of width {bin_width:g}; "
            "floor is exact up to 2**53 bins only"
        )
    return rows, bin_width


def _entropy(counts):
    """Entropy of a histogram; equal counts are summed together, so that uniform is exact."""
    n = counts.sum().double()
    sizes, times = torch.unique(counts, return_counts=True)
    return (sizes * times / n * torch.log2(n / sizes)).sum().item()


def _partition(rows, bin_width, groups=None):
    """Number the distinct rows (binned, or exact if `bin_width` is None): (n,) ids, counts.

    Rows are grouped by a 64-bit hash of their codes. Equal rows have equal hashes, so n different
    hashes prove n different rows; of wide rows some features are tried first, because rows that
    differ there differ. Otherwise every row is compared with the first of its group; those that
    differ leave the group, until none does. Rows of different `groups` (n,) count as different.
    """
    n, d = rows.shape
    own = 0 if groups is None else groups * _GROUP_MULTIPLIER
    if d > 4 * _FEATURES_TRIED_FIRST:
        some = _hash(rows[:, :: d // _FEATURES_TRIED_FIRST], bin_width) + own
        if len(torch.unique(some)) == n:
            return torch.arange(n, device=rows.device), torch.ones_like(some)
    keys = _hash(rows, bin_width) + own
    while True:
        _, cells, counts = torch.unique(keys, return_inverse=True, return_counts=True)
        if len(counts) == n:
            return cells, counts
        order = torch.arange(n, device=rows.device)
        first = torch.full_like(counts, n).scatter_reduce_(0, cells, order, "amin")
        representative = first[cells]
        strangers = _differ(rows, representative, bin_width)
        if groups is not None:
            strangers |= groups != groups[representative]
        if not strangers.any():
            return cells, counts
        keys = 2 * cells + strangers


def _hash(rows, bin_width):
    """Multilinear hash sum_j m_j code_j modulo 2**64, with fixed odd multipliers m_j."""
    n, d = rows.shape
    rng = np.random.default_rng(20180430)
    multipliers = rng.integers(-(2**63), 2**63, size=d, dtype=np.int64) | 1
    multipliers = torch.from_numpy(multipliers).to(rows.device)
    out = torch.empty(n, dtype=torch.int64, device=rows.device)
    for block in _blocks(n, rows):
        out[block] = _codes(rows[block], bin_width).mul_(multipliers).sum(1)
    return out


def _differ(rows, representative, bin_width):
    """Say for every row whether its codes differ from those of its representative row."""
    out = torch.zeros(rows.shape[0], dtype=torch.bool, device=rows.device)
    candidates = torch.nonzero(representative != torch.arange(len(out), device=rows.device))[:, 0]
    for block in _blocks(len(candidates), rows):
        these = candidates[block]
        theirs = _codes(rows[representative[these]], bin_width)
        out[these] = (_codes(rows[these], bin_width) != theirs).any(1)
    return out


def _codes(block, bin_width):
    """Integer code of every value: its bin, or a mixture of its bits that keeps equal equal."""
    if bin_width is not None:
        return (block.double() / bin_width).floor_().long()
    bits = (block.double() + 0.0).view(torch.int64)
    return bits ^ ((bits >> 32) & 0xFFFFFFFF)


def _blocks(n, rows):
    step = max(1, _ELEMENTS_PER_BLOCK["cuda" if rows.is_cuda else "cpu"] // rows.shape[1])
    return (slice(start, start + step) for start in range(0, n, step))
