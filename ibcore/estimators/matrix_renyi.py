"""Matrix-based Rényi entropy and information, from the eigenvalues of Gram matrices."""

import math
from itertools import pairwise

import numpy as np
import torch

from ._pairwise import EXACT_DIFFERENCES, LARGEST_ROUNDING, squared_distances
from ._validation import (
    LARGEST_FOR_SQUARES,
    as_classes,
    as_rows_for_distances,
    largest,
    positive,
    to_tensor,
)

_SMALLEST_EXPONENT = -80.0
_ASYMMETRY = 1e-6
_ELEMENTS_PER_BLOCK = 1 << 18
_FILTERS_PER_BLOCK = 64
_FEWEST_TO_COMPILE_FOR = 16
_LARGEST_TO_COMPILE_FOR = 256


def gram_matrix(T, *, kernel_width):
    r"""Gaussian Gram matrix of the samples.

    .. math:: K_{ij} = \exp\Big(-\frac{\|t_i - t_j\|^2}{2 \sigma^2}\Big)

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample.
    kernel_width : float
        Width sigma, in the unit of `T`.

    Returns
    -------
    array or tensor, shape (n_samples, n_samples)
        Symmetric, float64, ones on the diagonal; a tensor on the device of `T` if that is one.

    Raises
    ------
    ValueError
        For NaN, infinite or too large (beyond 1e150) values, an empty set, or a width that is not
        positive.

    Notes
    -----
    Departures: Wickstrøm et al. and HRel leave out the 2; their width is sqrt(2) times this one.
    Entries below e^-80 are given as e^-80.

    References
    ----------
    Sanchez Giraldo, Rao & Principe (2015); Wickstrøm et al. (2019).

    Examples
    --------
    >>> import math
    >>> gram_matrix([0.0, math.sqrt(2 * math.log(2))], kernel_width=1.0).round(6).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    kernel = _gram(as_rows_for_distances(T), positive(kernel_width, "kernel_width"))
    return kernel if isinstance(T, torch.Tensor) else kernel.numpy()


def renyi_entropy(T, *, kernel_width, alpha=1.01):
    r"""Matrix-based Rényi entropy of order alpha, in bits.

    .. math:: S_\alpha(A) = \frac{1}{1-\alpha} \log_2 \sum_i \lambda_i(A)^\alpha,
        \qquad A = K / \mathrm{tr} K

    with K the matrix of `gram_matrix`.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample.
    kernel_width : float
        Width of the kernel exp(-d^2 / (2 kernel_width^2)), in the unit of `T`.
    alpha : float
        Order. 1 is the von Neumann entropy, 2 needs no eigenvalues.

    Returns
    -------
    float
        Entropy in bits, between 0 (all samples alike) and log2 n_samples (all far apart).

    Raises
    ------
    ValueError
        As `gram_matrix`, and for an order that is not positive.

    Notes
    -----
    Eigenvalues below n eps times the largest, negative ones included, are rounding errors and are
    set to 0; the others are divided by their sum.

    References
    ----------
    Sanchez Giraldo, Rao & Principe (2015); Wickstrøm et al. (2019).

    Examples
    --------
    Two samples far apart are a fair coin; a kernel of 1/2 gives eigenvalues 3/4 and 1/4, and
    -log2(9/16 + 1/16) = log2(8/5) at order 2:

    >>> round(renyi_entropy([0.0, 100.0], kernel_width=1.0), 9)
    1.0
    >>> import math
    >>> round(renyi_entropy([0.0, math.sqrt(2 * math.log(2))], kernel_width=1.0, alpha=2), 6)
    0.678072
    """
    alpha = positive(alpha, "alpha")
    kernel = _gram(as_rows_for_distances(T), positive(kernel_width, "kernel_width"))
    return _entropy_of_blocks([kernel], alpha)


def renyi_joint_entropy(A, B, *, alpha=1.01):
    r"""Matrix-based joint entropy of two variables given by their Gram matrices, in bits.

    .. math:: S_\alpha(A, B) = S_\alpha\Big(\frac{A \circ B}{\mathrm{tr}(A \circ B)}\Big)

    Parameters
    ----------
    A, B : array or tensor, shape (n_samples, n_samples)
        Gram matrices, in any scale.
    alpha : float
        Order.

    Returns
    -------
    float
        Entropy in bits, at most log2 n_samples.

    Raises
    ------
    ValueError
        If a matrix is not finite, square, symmetric or of positive trace, if the two differ in
        size, or if the order is not positive.

    References
    ----------
    Sanchez Giraldo, Rao & Principe (2015).

    Examples
    --------
    >>> A = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    >>> B = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    >>> round(renyi_joint_entropy(A, B), 9)
    2.0
    """
    alpha = positive(alpha, "alpha")
    a, b = _check_gram_matrices(A, B)
    return _entropy_of_blocks([a * b], alpha)


def renyi_mutual_information(A, B, *, alpha=1.01):
    r"""Matrix-based information between two variables given by their Gram matrices, in bits.

    .. math:: I_\alpha(A; B) = S_\alpha(A) + S_\alpha(B) - S_\alpha(A, B)

    Parameters
    ----------
    A, B : array or tensor, shape (n_samples, n_samples)
        Gram matrices, in any scale; for I(X;T), those of the inputs and of the layer.
    alpha : float
        Order.

    Returns
    -------
    float
        Information in bits.

    Raises
    ------
    ValueError
        As `renyi_joint_entropy`.

    Notes
    -----
    The Hadamard square of A is not A: S(A, A) > S(A) in general, so that I(Z;Z) < S(Z).

    References
    ----------
    Sanchez Giraldo, Rao & Principe (2015); Wickstrøm et al. (2019).

    Examples
    --------
    Two fair coins, independent in these four samples, and one coin with itself:

    >>> A = [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
    >>> B = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    >>> abs(round(renyi_mutual_information(A, B), 9)), round(renyi_mutual_information(A, A), 9)
    (0.0, 1.0)
    """
    alpha = positive(alpha, "alpha")
    a, b = _check_gram_matrices(A, B)
    joint = _entropy_of_blocks([a * b], alpha)
    return _entropy_of_blocks([a], alpha) + _entropy_of_blocks([b], alpha) - joint


def renyi_information(T, Y, *, kernel_width=None, alpha=1.01):
    r"""Matrix-based information of a layer about integer labels, in bits.

    .. math:: I_\alpha(T; Y) = S_\alpha(A) + S_\alpha(B)
        - S_\alpha\Big(\frac{A \circ B}{\mathrm{tr}(A \circ B)}\Big)

    with A the normalised Gram matrix of `T` and B that of the labels, whose kernel is 1 within a
    class and 0 between classes.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample.
    Y : integer array or tensor, shape (n_samples,)
        Labels. A single class is legal and gives 0.
    kernel_width : float, optional
        Width of the kernel exp(-d^2 / (2 kernel_width^2)); by default `aligned_kernel_width`.
    alpha : float
        Order. 1 is the von Neumann entropy, 2 needs no eigenvalues.

    Returns
    -------
    float
        Information in bits.

    Raises
    ------
    ValueError
        As `renyi_entropy`, and for labels that do not fit.

    Notes
    -----
    The label kernel is the limit of the one-hot kernel of width 0.1 in Wickstrøm et al., where
    e^-200 is 0 in float32. S(B) is then the Rényi entropy of the class frequencies, and the joint
    matrix falls into one block per class: n^3 / C^2 operations instead of n^3.

    Departures: the sources smooth the width over mini-batches with weights 0.9 and 0.1; here the
    width belongs to the samples given.

    References
    ----------
    Wickstrøm et al. (2019); Sarvani et al. (2022), HRel.

    Examples
    --------
    A layer that tells two classes apart and forgets all else:

    >>> round(renyi_information([0.0, 0.0, 9.0, 9.0], [0, 0, 1, 1], kernel_width=0.5), 9)
    1.0
    """
    alpha = positive(alpha, "alpha")
    rows = as_rows_for_distances(T)
    classes, sizes = as_classes(Y, rows.shape[0], device=rows.device)
    if kernel_width is None:
        kernel_width = _align(squared_distances(rows), classes, None)
    kernel = _gram(rows, positive(kernel_width, "kernel_width"))
    order = torch.argsort(classes, stable=True).split(sizes.tolist())
    joint = _entropy_of_blocks([kernel[own][:, own] for own in order], alpha)
    labels = _entropy_of_eigenvalues(sizes.double() / rows.shape[0], alpha)
    return _entropy_of_blocks([kernel], alpha) + labels - joint


def renyi_information_per_filter(T, Y, *, kernel_width, alpha=1.01):
    r"""`renyi_information` of every channel of a layer by itself, in one batched computation.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, n_filters, ...)
        Activations; a filter is everything at one index of the second axis.
    Y : integer array or tensor, shape (n_samples,)
        Labels.
    kernel_width : float
        Width of the kernel exp(-d^2 / (2 kernel_width^2)), one for all filters: HRel takes that of
        the whole layer (`aligned_kernel_width`).
    alpha : float
        Order. 1 is the von Neumann entropy, 2 needs no eigenvalues.

    Returns
    -------
    float64 array or tensor, shape (n_filters,)
        Information in bits; a tensor on the device of `T` if that is one.

    Raises
    ------
    ValueError
        As `renyi_information`, for activations without an axis of filters, and for values beyond
        1e150 widths.

    Notes
    -----
    The eigenvalues of all filters are computed together, those of the joint matrix one class at a
    time, as it falls into one block per class. On a CPU and for up to 256 samples own code takes
    the place of LAPACK; the eigenvalues agree to rounding.

    References
    ----------
    Sarvani et al. (2022), HRel.

    Examples
    --------
    The first filter tells the classes apart, the second one is constant:

    >>> T = [[0.0, 1.0], [0.0, 1.0], [9.0, 1.0], [9.0, 1.0]]
    >>> renyi_information_per_filter(T, [0, 0, 1, 1], kernel_width=0.5).round(9).tolist()
    [1.0, 0.0]
    """
    alpha = positive(alpha, "alpha")
    kernel_width = positive(kernel_width, "kernel_width")
    rows = as_rows_for_distances(T, convert=False)
    reach = largest(rows)
    if reach / kernel_width > LARGEST_FOR_SQUARES:
        raise ValueError(f"kernel_width={kernel_width} is too small for values up to {reach:g}")
    shape = tuple(T.shape) if hasattr(T, "shape") else np.shape(T)
    if len(shape) < 2:
        raise ValueError(f"T must have shape (n_samples, n_filters, ...), got {shape}")
    n, filters = shape[:2]
    classes, sizes = as_classes(Y, n, device=rows.device)
    order = torch.argsort(classes, stable=True)
    maps = rows.view(n, filters, -1)
    labels = _entropy_of_eigenvalues(sizes.double() / n, alpha)
    bounds = [0, *sizes.cumsum(0).tolist()]
    found = []
    for some in maps.split(_FILTERS_PER_BLOCK if n <= _LARGEST_TO_COMPILE_FOR else 1, 1):
        few = some.split(max(1, _ELEMENTS_PER_BLOCK // (n * max(n, maps.shape[2]))), 1)
        kernel = torch.cat([_gram_per_filter(part[order], kernel_width) for part in few])
        blocks = [kernel[:, low:high, low:high] for low, high in pairwise(bounds)]
        joint = _entropies_of_blocks(blocks, alpha)
        found.append(_entropies_of_blocks([kernel], alpha) + labels - joint)
    information = torch.cat(found)
    return information if isinstance(T, torch.Tensor) else information.numpy()


def aligned_kernel_width(T, Y, *, widths=None):
    r"""Kernel width whose Gram matrix is best aligned with the label kernel.

    .. math:: \sigma^* = \arg\max_\sigma
        \frac{\langle K_\sigma, K_Y \rangle_F}{\|K_\sigma\|_F \|K_Y\|_F}

    with :math:`K_Y` equal to 1 within a class and 0 between classes.

    Parameters
    ----------
    T : array or tensor, shape (n_samples, ...)
        Activations, flattened per sample.
    Y : integer array or tensor, shape (n_samples,)
        Labels.
    widths : sequence of float, optional
        Candidates. By default ``linspace(0.3, 10 m, 300) / sqrt(2)``, with m the mean of all n^2
        distances (the zeros of the diagonal included).

    Returns
    -------
    float
        The best candidate, the first one among equals.

    Raises
    ------
    ValueError
        For NaN, infinite or too large values, an empty set, labels that do not fit, or candidates
        that are empty or not positive.

    Notes
    -----
    The default grid is that of the public code, whose kernel exp(-d^2 / s^2) has s = sqrt(2) times
    the width used here. Its smallest value, 0.3, is an absolute number. The alignment is not
    centred. If all samples coincide, every width is as good and the first is returned.

    References
    ----------
    Wickstrøm et al. (2019); Cristianini et al. (2002).

    Examples
    --------
    Classes of equal points: the narrower the kernel, the more it looks like the labels.

    >>> aligned_kernel_width([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1], widths=[0.2, 1.0, 5.0])
    0.2
    """
    rows = as_rows_for_distances(T)
    classes, _ = as_classes(Y, rows.shape[0], device=rows.device)
    if widths is not None:
        widths = [positive(width, "every one of widths") for width in widths]
        if not widths:
            raise ValueError(f"widths must hold at least one candidate, got {widths!r}")
    return _align(squared_distances(rows), classes, widths)


def _align(squared, classes, widths):
    """The width of best alignment, the first of equals; pairs i < j count twice, i = i once."""
    n = len(classes)
    mean = squared.sqrt().mean().item()
    if widths is None:
        widths = np.linspace(0.3, 10 * mean, 300) / math.sqrt(2) if mean > 0 else [0.3 / 2**0.5]
    i, j = torch.triu_indices(n, n, offset=1, device=squared.device)
    pairs = squared[i, j]
    same = classes[i] == classes[j]
    candidates = torch.tensor(list(map(float, widths)), dtype=torch.float64, device=pairs.device)
    alignments = []
    for some in candidates.split(max(1, _ELEMENTS_PER_BLOCK // max(1, len(pairs)))):
        kernel = _gaussian(pairs, some[:, None])
        product = n + 2 * kernel[:, same].sum(1)
        alignments.append(product / torch.sqrt(n + 2 * kernel.square().sum(1)))
    best = torch.cat(alignments).cpu().numpy().argmax()
    return candidates[best].item()


def _gram(rows, width):
    return _gaussian(squared_distances(rows, width), width)


def _gram_per_filter(maps, width):
    """Gram matrices (m, n, n) of maps (n, m, d), from the inner products of centred rows.

    Where the rounding of these could reach 1e-9 kernel widths squared, as in `squared_distances`,
    from differences.
    """
    rows = maps.transpose(0, 1).double()
    rows = rows.sub_(rows.mean(1, keepdim=True)).div_(math.sqrt(2) * width)
    norms = rows.square().sum(2)
    if not 2 * torch.finfo(torch.float64).eps * norms.max().item() <= LARGEST_ROUNDING:
        exponents = torch.cdist(rows, rows, compute_mode=EXACT_DIFFERENCES).square_().neg_()
        return exponents.clamp_(min=_SMALLEST_EXPONENT).exp_()
    exponents = torch.baddbmm(norms[:, :, None] + norms[:, None], rows, rows.mT, beta=-1, alpha=2)
    exponents.diagonal(dim1=1, dim2=2).zero_()
    return exponents.clamp_(_SMALLEST_EXPONENT, 0.0).exp_()


def _gaussian(squared, width):
    scaled = squared.sqrt().div(width).square_().div_(-2.0)
    return scaled.clamp_(min=_SMALLEST_EXPONENT).exp_()


def _check_gram_matrices(A, B):
    a, b = (_check_gram_matrix(matrix, name) for matrix, name in ((A, "A"), (B, "B")))
    if len(a) != len(b):
        raise ValueError(f"A has {len(a)} samples and B has {len(b)}")
    b = b.to(a.device)
    joint = (a.diagonal() * b.diagonal()).sum().item()
    if not joint > 0:
        raise ValueError(f"A and B must have a joint matrix of positive trace, got {joint:g}")
    return a, b


def _check_gram_matrix(matrix, name):
    matrix = to_tensor(matrix, name)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) == 0:
        raise ValueError(f"{name} must be a square matrix, got shape {tuple(matrix.shape)}")
    matrix = as_rows_for_distances(matrix, name)
    trace = matrix.trace().item()
    if not trace > 0:
        raise ValueError(f"{name} must have a positive trace, got {trace:g}")
    gap = (matrix - matrix.T).abs().max().item() / trace * len(matrix)
    if gap > _ASYMMETRY:
        raise ValueError(
            f"{name} must be symmetric, entries differ by {gap:g} of its mean diagonal"
        )
    return matrix / 2.0 ** math.floor(math.log2(trace))  # exact, so that products do not underflow


def _entropy_of_blocks(blocks, alpha):
    """Entropy of a block-diagonal positive matrix, divided by its trace."""
    trace = sum(block.trace() for block in blocks)
    if alpha == 2.0:
        purity = sum((block / trace).square().sum() for block in blocks)
        return -torch.log2(purity).item() + 0.0
    eigenvalues = torch.cat([torch.linalg.eigvalsh(block / trace) for block in blocks])
    return _entropy_of_eigenvalues(eigenvalues, alpha)


def _entropies_of_blocks(blocks, alpha):
    """The same for batches (m, k, k) of blocks with ones on their diagonals: m entropies."""
    if alpha == 2.0:
        n = sum(block.shape[1] for block in blocks)
        return -torch.log2(sum(block.square().sum((1, 2)) for block in blocks) / n**2)
    eigenvalues = torch.cat([_eigenvalues_of(block) for block in blocks], 1)
    return _entropies_of_eigenvalues(eigenvalues, alpha)


def _eigenvalues_of(batch):
    """Eigenvalues (m, k) of matrices (m, k, k) whose largest entry is 1, in any order."""
    many = len(batch) >= _FEWEST_TO_COMPILE_FOR and batch.shape[1] <= _LARGEST_TO_COMPILE_FOR
    if many and batch.device.type == "cpu":
        from ._eigenvalues import eigenvalues  # numba is imported when it is needed

        found = batch.new_empty(batch.shape[:2])
        if eigenvalues(batch.contiguous().numpy(), found.numpy()):
            return found
    return torch.linalg.eigvalsh(batch)


def _entropy_of_eigenvalues(eigenvalues, alpha):
    """Rényi entropy of a spectrum, in bits."""
    return _entropies_of_eigenvalues(eigenvalues[None], alpha).item() + 0.0


def _entropies_of_eigenvalues(eigenvalues, alpha):
    """Rényi entropy of every row of eigenvalues, in bits.

    Near order 1 it is computed from sum(p (p^(alpha-1) - 1)), which keeps its digits there.
    """
    eps = torch.finfo(torch.float64).eps
    floor = eigenvalues.shape[1] * eps * eigenvalues.amax(1, keepdim=True)
    p = torch.where(eigenvalues > floor, eigenvalues, 0.0)
    p = p / p.sum(1, keepdim=True)
    log_p = torch.log(torch.where(p > 0, p, 1.0))
    if alpha == 1.0:
        nats = -(p * log_p).sum(1)
    elif abs(alpha - 1.0) < 0.5:
        nats = torch.log1p((p * torch.expm1((alpha - 1.0) * log_p)).sum(1)) / (1.0 - alpha)
    else:
        logarithms = torch.where(p > 0, alpha * log_p, -math.inf)
        nats = torch.logsumexp(logarithms, 1) / (1.0 - alpha)
    return nats / math.log(2)
