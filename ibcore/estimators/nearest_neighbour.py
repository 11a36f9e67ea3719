"""Entropy and information of continuous variables from nearest-neighbour distances."""

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from ._pairwise import EXACT_DIFFERENCES
from ._validation import as_rows_for_distances, neighbours, positive, with_noise

_TREE_FEATURES = 10
_ELEMENTS_PER_BLOCK = {"cpu": 1 << 18, "cuda": 1 << 26}
_TRUSTED_RESOLUTION = 1e6


def nearest_neighbour_entropy(T, *, k=2, epsilon=1e-16, noise_scale=None, rng=None):
    r"""Differential entropy by the Kozachenko-Leonenko estimator, in bits.

    .. math::
        H(T) = \frac{1}{\ln 2} \Big[ \frac{d}{n} \sum_i \ln(r_i + \epsilon)
            + \frac d2 \ln\pi - \ln\Gamma\big(\tfrac d2 + 1\big) + \psi(n) - \psi(k) \Big]

    with :math:`r_i` the Euclidean distance from sample i to its k-th nearest neighbour and d the
    number of features.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Samples, flattened to d features each.
    k : int
        Which neighbour, 1 <= k < n_samples.
    epsilon : float
        Added to every distance, as in the source; it may be 0.
    noise_scale : float, optional
        Standard deviation of Gaussian noise added to `T`, for activations with repeated values.
    rng : int or numpy.random.Generator, optional
        Source of that noise; required with `noise_scale`.

    Returns
    -------
    float
        Differential entropy in bits; it depends on the unit of `T` and can be negative.

    Raises
    ------
    ValueError
        For NaN, infinite or too large (beyond 1e150) values, an empty set, k out of range,
        a negative epsilon, or points whose k-th neighbour lies at distance zero.

    Notes
    -----
    For a deterministic layer I(T;X) equals H(T) up to an unknown constant (slides, "Computation
    of MI: Kraskov method"). The bias grows with d; rely on it for few features only.

    Departures: the slides let repeated points through, where each costs d log2(epsilon) / n bits;
    here they are an error unless noise is asked for. The unit is the bit, not the nat.

    References
    ----------
    Padova slides, "Computation of MI: Kraskov method"; Kraskov et al. (2004), equation 20.

    Examples
    --------
    Two points at distance 1: ln 1 + ln pi / 2 - ln Gamma(3/2) + psi(2) - psi(1) = ln 2 + 1 nat.

    >>> round(nearest_neighbour_entropy([0.0, 1.0], k=1), 6)
    2.442695
    """
    epsilon = positive(epsilon, "epsilon", zero=True)
    rows = as_rows_for_distances(T)
    n, d = rows.shape
    k = neighbours(k, n)
    rows = with_noise(rows, noise_scale, rng)
    if d <= _TREE_FEATURES and rows.device.type == "cpu":
        found = cKDTree(rows.numpy()).query(rows.numpy(), k=[k + 1], workers=_workers())
        distances = torch.from_numpy(found[0][:, 0])
    else:
        distances = _kth_distances(rows, k)
    _refuse_zero(distances, k)
    nats = d * torch.log(distances + epsilon).mean().item()
    nats += 0.5 * d * math.log(math.pi) - gammaln(0.5 * d + 1) + digamma(n) - digamma(k)
    return float(nats / math.log(2))


def ksg_information(A, B, *, k=3, noise_scale=None, rng=None):
    r"""Information between two continuous variables by the first KSG algorithm, in bits.

    .. math::
        I(A;B) = \frac{1}{\ln 2} \Big[ \psi(k) + \psi(n)
            - \frac1n \sum_i \big( \psi(n_a(i) + 1) + \psi(n_b(i) + 1) \big) \Big]

    with :math:`n_a(i)` the number of other samples strictly nearer to sample i in A than its
    k-th neighbour in the joint space, where distances are in the maximum norm.

    Parameters
    ----------
    A, B : array or tensor, shape (n_samples, ...)
        Samples of the two variables, flattened to features.
    k : int
        Which neighbour, 1 <= k < n_samples.
    noise_scale : float, optional
        Standard deviation of Gaussian noise added to both variables.
    rng : int or numpy.random.Generator, optional
        Source of that noise; required with `noise_scale`.

    Returns
    -------
    float
        Information in bits; it can be slightly negative.

    Raises
    ------
    ValueError
        For NaN, infinite or too large (beyond 1e150) values, an empty set, different numbers of
        samples, k out of range, or points whose k-th joint neighbour lies at distance zero.

    Notes
    -----
    The maximum norm compares A with B: multiplying one of them alone changes the estimate. Bring
    both to a common scale first. The estimate is far too low when there are many features.

    References
    ----------
    Kraskov, Stögbauer & Grassberger (2004), equation 8.

    Examples
    --------
    Four equal steps with k = 1: the nearest neighbour is at distance 1 and no point is strictly
    nearer, so that psi(1) + psi(4) - 2 psi(1) = 1 + 1/2 + 1/3 = 11/6 nat:

    >>> round(ksg_information([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0], k=1) * math.log(2), 6)
    1.833333
    """
    a = as_rows_for_distances(A, "A")
    b = as_rows_for_distances(B, "B").to(a.device)
    n = a.shape[0]
    if b.shape[0] != n:
        raise ValueError(f"A has {n} samples and B has {b.shape[0]}")
    k = neighbours(k, n)
    rng = rng if noise_scale is None or rng is None else np.random.default_rng(rng)
    a, b = with_noise(a, noise_scale, rng), with_noise(b, noise_scale, rng)
    if a.shape[1] + b.shape[1] <= _TREE_FEATURES and a.device.type == "cpu":
        near_a, near_b = _count_by_tree(a.numpy(), b.numpy(), k)
    else:
        near_a, near_b = _count_by_blocks(a, b, k)
    mean = sum(torch.digamma(near.double() + 1).mean().item() for near in (near_a, near_b))
    return float((digamma(k) + digamma(n) - mean) / math.log(2))


def _kth_distances(rows, k):
    """Distance of every row to its k-th neighbour, by brute force in blocks.

    Candidates come from inner products of the centred rows, their distances from differences. For
    rows so close together that the inner products cannot rank them, all differences are taken.
    """
    n = rows.shape[0]
    z = rows - rows.mean(0)
    norms = z.square().sum(1)
    squared = torch.empty_like(norms)
    for block, diagonal in _blocks(n, n, rows.device):
        ranks = torch.addmm(norms[None], z[block], z.T, alpha=-2.0)
        ranks[diagonal] = math.inf
        nearest = ranks.topk(k, largest=False, sorted=False).indices
        exact = [(z[block] - z[column]).square_().sum(1) for column in nearest.T]
        squared[block] = torch.stack(exact).amax(0)
    distances = squared.sqrt_()
    limit = _TRUSTED_RESOLUTION * torch.finfo(torch.float64).eps * norms.max()
    doubtful = torch.nonzero(distances.square() < limit)[:, 0]
    for block, (line, _) in _blocks(len(doubtful), n, rows.device):
        these = doubtful[block]
        every = torch.cdist(rows[these], rows, compute_mode=EXACT_DIFFERENCES)
        every[line, these] = math.inf
        distances[these] = _kth_smallest(every, k)
    return distances


def _count_by_tree(a, b, k):
    radii = cKDTree(np.hstack((a, b))).query(
        np.hstack((a, b)), k=[k + 1], p=np.inf, workers=_workers()
    )[0][:, 0]
    _refuse_zero(torch.from_numpy(radii), k)
    # The tree counts "at most r": the next smaller number makes that "less than r".
    below = np.nextafter(radii, 0.0)
    counts = (
        cKDTree(x).query_ball_point(x, below, p=np.inf, workers=_workers(), return_length=True)
        for x in (a, b)
    )
    return tuple(torch.from_numpy(count - 1) for count in counts)


def _count_by_blocks(a, b, k):
    n = a.shape[0]
    near = torch.empty((2, n), dtype=torch.int64, device=a.device)
    radii = torch.empty(n, dtype=torch.float64, device=a.device)
    for block, diagonal in _blocks(n, n, a.device):
        marginals = [torch.cdist(x[block], x, p=math.inf) for x in (a, b)]
        for distances in marginals:
            distances[diagonal] = math.inf
        radii[block] = _kth_smallest(torch.maximum(*marginals), k)
        for out, distances in zip(near, marginals, strict=True):
            out[block] = (distances < radii[block, None]).sum(1)
    _refuse_zero(radii, k)
    return near[0], near[1]


def _kth_smallest(distances, k):
    return distances.topk(k, largest=False, sorted=False).values.amax(1)


def _refuse_zero(distances, k):
    zeros = int((distances == 0).sum())
    if zeros:
        raise ValueError(
            f"{zeros} of {len(distances)} points have their neighbour number k={k} at distance 0 "
            "(repeated values); remove repeats or pass noise_scale and rng"
        )


def _blocks(n, width, device):
    """Slices of n rows, each with the index of its diagonal, for blocks of `width` columns."""
    step = max(1, _ELEMENTS_PER_BLOCK["cuda" if device.type == "cuda" else "cpu"] // width)
    for start in range(0, n, step):
        rows = torch.arange(min(step, n - start), device=device)
        yield slice(start, start + step), (rows, rows + start)


def _workers():
    return torch.get_num_threads()
