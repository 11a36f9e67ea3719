"""Spatial entropy of integer maps, from how often values occur beside each other."""

import functools
import math
from itertools import pairwise

import numpy as np
import torch

from ._validation import as_classes, positive

LARGEST_LEVELS = 1 << 16
_NEIGHBOURS = ((0, 0), (1, 0), (0, 1))
_NO_ENTROPY = 1e-9  # what rounding leaves of 0; one odd pixel among a million has 2e-5 bits
_DIRECT_CELLS = 1 << 16
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ELEMENTS_PER_BLOCK = 1 << 24
_TABLE = np.arange(1024) * np.log2(np.maximum(np.arange(1024), 1))


def aura_matrix_entropy(maps, *, levels=256):
    r"""Aura matrix entropy: relative entropy of a pixel pair, averaged over the four neighbours.

    .. math::
        H_{AME} = \tfrac14 \sum_{(k,l)} H_R(k,l), \qquad H_R(k,l) = \frac{H(k,l) - H(0)}{H(0)},
        \qquad (k,l) \in \{(\pm1,0), (0,\pm1)\}

    H(k,l) is the entropy of the pair (value at p, value at p + (k,l)) over all p with both pixels
    in the map, H(0) that of a single pixel. It is 0 where a pixel determines its neighbour
    and 1 where neighbours are independent.

    Parameters
    ----------
    maps : unsigned integer array or tensor, shape (n, h, w)
        At least 2x2, every value below `levels`.
    levels : int
        Number of grey levels, 2 to 65,536.

    Returns
    -------
    float64 array or tensor, shape (n,)
        No unit; a tensor on the device of `maps` if that is one. At most 1 up to the different
        number of pixels and pairs; negative for maps of a few pixels. A constant map has
        H(0) = 0 and gives 0 by definition.

    Raises
    ------
    ValueError
        For anything but unsigned integers (n, h, w) of at least one map of 2x2 below `levels`.

    Notes
    -----
    H(-k,-l) = H(k,l), so that two offsets suffice. The plug-in entropy of h x w pairs cannot exceed
    log2 of their number: with 256 levels pure noise reads far below 1 on small maps. Compare maps
    of one size only, and show the value of the shuffled pixels (`shuffled_pixels`) beside it.

    References
    ----------
    Muşat & Andonie (2022), equations 3-5 and 7 (thesis 1.2-1.4 and 1.6); Volden, Giraudon &
    Berthod (1995).

    Examples
    --------
    Four different pixels: H(0) = 2 bits, and the two pairs in either direction 1 bit.

    >>> aura_matrix_entropy(np.array([[[0, 1], [2, 3]]], dtype=np.uint8)).tolist()
    [-0.5]
    >>> aura_matrix_entropy(np.full((1, 5, 5), 7, dtype=np.uint8)).tolist()
    [0.0]
    """
    levels = _check_levels(levels)
    return _relative(_entropies(_check(maps, levels), levels, _NEIGHBOURS))


def spatial_disorder_entropy(maps, *, radius, levels=256):
    r"""Spatial disorder entropy: relative entropy of a pixel pair, averaged over all near offsets.

    .. math::
        H_{SDE} = \frac{1}{|B|} \sum_{(k,l) \in B} H_R(k,l), \qquad
        B = \{(k,l) : 0 < k^2 + l^2 \le r^2\}

    with H_R as in `aura_matrix_entropy`, which is the case r = 1.

    Parameters
    ----------
    maps : unsigned integer array or tensor, shape (n, h, w)
        At least 2x2, every value below `levels`.
    radius : float
        Largest distance r in pixels; at least 1 and below both sides of the map.
    levels : int
        Number of grey levels, 2 to 65,536.

    Returns
    -------
    float64 array or tensor, shape (n,)
        No unit.

    Raises
    ------
    ValueError
        As `aura_matrix_entropy`, and for a radius that does not fit.

    Notes
    -----
    Departures: the printed sum runs over all pairs of pixels of the map and is divided by the
    number of pixels, so that it grows with the map. Here it is an average over offsets, limited to
    a radius, as the aura matrix entropy is. H_R(0,0) = 0 is left out.

    References
    ----------
    Muşat & Andonie (2022), equation 6 (thesis 1.5); Journel & Deutsch (1993).

    Examples
    --------
    >>> stripes = np.array([[[0, 1, 0, 1]] * 4], dtype=np.uint8)
    >>> spatial_disorder_entropy(stripes, radius=1) == aura_matrix_entropy(stripes)
    array([ True])
    """
    radius = positive(radius, "radius")
    levels = _check_levels(levels)
    maps = _check(maps, levels)
    if not 1 <= radius < min(maps.shape[1:]):
        raise ValueError(
            f"radius must be at least 1 and below the sides of the map, got {radius:g} for "
            f"{maps.shape[1]}x{maps.shape[2]}"
        )
    reach = math.floor(radius)
    half = [
        (dy, dx)
        for dy in range(reach + 1)
        for dx in range(-reach, reach + 1)
        if 0 < dy * dy + dx * dx <= radius * radius and (dy > 0 or dx > 0)
    ]
    return _relative(_entropies(maps, levels, ((0, 0), *half)))


def joint_aura_matrix_entropy(maps_a, maps_b, *, levels=256):
    r"""Aura matrix entropy of two maps seen together.

    .. math::
        H_{AME}(A, B) = \tfrac14 \sum_{(k,l)} \frac{H(k,l,k,l) - H_{AB}(0)}{H_{AB}(0)}

    H(k,l,k,l) is the entropy of the four values of A and B at p and p + (k,l), and H_AB(0) the
    joint entropy of the values of A and B at one pixel.

    Parameters
    ----------
    maps_a, maps_b : unsigned integer array or tensor, shape (n, h, w)
        Pairs of maps, at least 2x2, every value below `levels`.
    levels : int
        Number of grey levels, 2 to 65,536.

    Returns
    -------
    float64 array or tensor, shape (n,)
        No unit; 0 where both maps are constant.

    Raises
    ------
    ValueError
        As `aura_matrix_entropy`, and if the two differ in shape or device.

    Notes
    -----
    The document leaves open what the joint entropy is relative to; the joint entropy of a single
    pixel makes it the same quantity as for one map, whose values are pairs of grey levels.

    References
    ----------
    Muşat & Andonie (2022), equations 9 and 10.

    Examples
    --------
    Beside a constant map it is the entropy of the other one:

    >>> a = np.array([[[0, 1], [2, 3]]], dtype=np.uint8)
    >>> joint_aura_matrix_entropy(a, np.zeros_like(a)).tolist()
    [-0.5]
    """
    levels = _check_levels(levels)
    together = _together(_check(maps_a, levels, "maps_a"), _check(maps_b, levels, "maps_b"), levels)
    return _relative(_entropies(together, levels**2, _NEIGHBOURS))


def spatial_information(maps_a, maps_b, *, levels=256, reading="raw"):
    r"""Information between two maps from pairs of neighbouring pixels.

    .. math::
        \text{raw:}\quad \tfrac14 \sum_{(k,l)} \big[ H_A(k,l) + H_B(k,l) - H_{AB}(k,l,k,l) \big]
        \qquad
        \text{literal:}\quad H_{AME}(A) + H_{AME}(B) - H_{AME}(A, B)

    Parameters
    ----------
    maps_a, maps_b : unsigned integer array or tensor, shape (n, h, w)
        Pairs of maps, at least 2x2, every value below `levels`.
    levels : int
        Number of grey levels, 2 to 65,536.
    reading : {"raw", "literal"}
        "raw" is the mutual information of the pixel pairs in bits, averaged over the four
        neighbours; "literal" puts the relative entropies of the document into its equation 8.

    Returns
    -------
    float64 array or tensor, shape (n,)
        "raw": bits, between 0 and the smaller pair entropy. "literal": no unit.

    Raises
    ------
    ValueError
        As `joint_aura_matrix_entropy`, and for an unknown reading.

    Notes
    -----
    The literal reading is no mutual information: for ideal noise maps it is 1 if they are
    independent and also 1 if they are identical. The raw one suffers from plug-in bias: with 256
    levels two independent 16x16 maps read as identical. Use few levels and show the value after
    shuffling the pixels of one map (`shuffled_pixels`).

    References
    ----------
    Muşat & Andonie (2022), equation 8.

    Examples
    --------
    >>> a = np.array([[[0, 1], [2, 3]]], dtype=np.uint8)
    >>> spatial_information(a, a).tolist(), spatial_information(a, np.zeros_like(a)).tolist()
    ([1.0], [0.0])
    """
    _check_reading(reading)
    levels = _check_levels(levels)
    a, b = _check(maps_a, levels, "maps_a"), _check(maps_b, levels, "maps_b")
    together = _entropies(_together(a, b, levels), levels**2, _NEIGHBOURS)
    a, b = _entropies(a, levels, _NEIGHBOURS), _entropies(b, levels, _NEIGHBOURS)
    if reading == "literal":
        return _relative(a) + _relative(b) - _relative(together)
    return (a + b - together)[:, 1:].mean(1)


def spatial_information_per_filter(maps, Y, *, levels=256, reading="raw"):
    r"""Information between pixel pairs of every channel of a layer and the labels.

    .. math::
        \text{raw:}\quad \tfrac14 \sum_{(k,l)} \big[ H_A(k,l) + H(Y) - H_{AY}(k,l) \big]
        \qquad
        \text{literal:}\quad H_{AME}(A) - H_{AME}(A, Y)

    The label of an image is a map too, constant over the image, and the pairs of all images are
    counted together. Then the relative entropy of the label map is 0, because one pixel tells the
    next one: this is the H(Y) = 0 of the literal reading.

    Parameters
    ----------
    maps : unsigned integer array or tensor, shape (n_samples, n_filters, h, w)
        At least 2x2, every value below `levels`.
    Y : integer array or tensor, shape (n_samples,)
        Labels.
    levels : int
        Number of grey levels, 2 to 65,536.
    reading : {"raw", "literal"}
        "raw" is the plug-in information of the pixel pairs about the label in bits; "literal" puts
        relative entropies into it.

    Returns
    -------
    float64 array or tensor, shape (n_filters,)
        "raw": bits, between 0 and H(Y). "literal": no unit, 0 for a constant filter. A tensor on
        the device of `maps` if that is one.

    Raises
    ------
    ValueError
        As `aura_matrix_entropy`, for labels that do not fit, and for an unknown reading.

    Notes
    -----
    The document takes equation 1.6 (here `aura_matrix_entropy`) for H(A) and equation 1.5
    (`spatial_disorder_entropy`, over all offsets) for the joint entropy, of which it prints no
    joint form. The sum over offsets grows with the map, so the difference of the two would depend
    on the size of the map more than on the label: both are taken from neighbours here.

    The document does not say what a label map is. Within one image it is constant, and either
    reading would be 0 for every filter: pairs have to be counted over images.

    In bits, H(Y) = 0 instead of the entropy of the labels shifts all filters alike and changes no
    ranking; what does is that the relative entropies are divided by H_A(0) and H_AY(0).

    With many levels and few images nearly every pair occurs once and tells its image: "raw" is then
    close to H(Y) for every filter that is not constant.

    On a CPU and with up to 256 levels a pair is counted once, within its class; the counts of all
    images are the sums over classes.

    References
    ----------
    Muşat, PhD thesis, equation 3.2, with 1.6 for both terms; Muşat & Andonie (2022), equations 8
    to 10.

    Examples
    --------
    Two images with one label each; the first filter tells them apart, the second does not:

    >>> maps = np.array([[[[0, 0], [0, 0]], [[0, 1], [0, 1]]]] * 2, dtype=np.uint8)
    >>> maps[1, 0] = 1
    >>> spatial_information_per_filter(maps, [0, 1], levels=2).tolist()
    [1.0, 0.0]
    """
    _check_reading(reading)
    if not hasattr(maps, "shape") or len(maps.shape) != 4:
        raise ValueError(
            f"maps must have shape (n_samples, n_filters, h, w), got {tuple(np.shape(maps))}"
        )
    levels = _check_levels(levels)
    n, filters, h, w = maps.shape
    _check(maps.reshape(n * filters, h, w), levels)
    tensor = isinstance(maps, torch.Tensor)
    classes, sizes = as_classes(Y, n, device=maps.device if tensor else None)
    share = sizes.double() / n
    entropy = -(share * torch.log2(share)).sum().item()
    counted = not (tensor and maps.is_cuda) and levels**2 <= _DIRECT_CELLS
    by_class = _by_class_counting if counted else _by_class_stacking
    alone, within = by_class(maps.detach() if tensor else maps, classes, sizes, levels)
    together = entropy + (within * (share if tensor else share.numpy())[:, None]).sum(1)
    if reading == "literal":
        return _relative(alone) - _relative(together)
    return (alone + entropy - together)[:, 1:].mean(1)


def _by_class_stacking(maps, classes, sizes, levels):
    """Entropies of a pixel, of pairs in rows and in columns: over all images and in every class.

    Returns (filters, 3) and (filters, classes, 3). Images become one tall or wide map, in whose
    rows no pair crosses from one image to the next.
    """
    tensor = isinstance(maps, torch.Tensor)
    order = torch.argsort(classes, stable=True)
    order = order if tensor else order.numpy()
    sides = []
    for axes, offsets in (((1, 0, 2, 3), ((0, 0), (0, 1))), ((1, 0, 3, 2), ((0, 1),))):
        turned = (maps.permute(*axes) if tensor else np.asarray(maps).transpose(axes))[:, order]
        ends = sizes.cumsum(0).tolist()
        parts = [turned, *(turned[:, low:high] for low, high in pairwise([0, *ends]))]
        stacks = [part.reshape(len(part), -1, part.shape[-1]) for part in parts]
        found = [_entropies(stack, levels, offsets) for stack in stacks]
        sides.append((torch if tensor else np).stack(found, 1))
    entropies = (torch.cat if tensor else np.concatenate)(sides, 2)
    return entropies[:, 0], entropies[:, 1:]


def _by_class_counting(maps, classes, sizes, levels):
    """The same, where every pair has its own cell: counted once within its class, then added up."""
    tensor = isinstance(maps, torch.Tensor)
    array = np.require(maps.numpy() if tensor else maps, np.uint8, "CW")
    out = np.empty((array.shape[1], 1 + len(sizes), 3))
    order = torch.argsort(classes, stable=True).numpy()
    ends = np.concatenate([[0], sizes.cumsum(0).numpy()])
    _compiled(_count_by_class)(array, order, ends, np.uint64(levels), out)
    entropies = torch.from_numpy(out) if tensor else out
    return entropies[:, 0], entropies[:, 1:]


def shuffled_pixels(maps, *, rng):
    """Maps with the same values in random places: the baseline without spatial structure.

    Parameters
    ----------
    maps : array or tensor, shape (n, h, w)
    rng : int or numpy.random.Generator
        The order is drawn by NumPy, so that every device sees the same.

    Returns
    -------
    array or tensor like `maps`
        A copy; every map is shuffled by itself.

    Raises
    ------
    ValueError
        If the maps are not (n, h, w) or `rng` is None.

    Examples
    --------
    >>> shuffled_pixels(np.array([[[0, 0], [1, 2]]]), rng=0).ravel().tolist()
    [1, 0, 0, 2]
    """
    if rng is None:
        raise ValueError("shuffled_pixels needs an explicit rng (a seed or Generator), got None")
    maps = maps if isinstance(maps, torch.Tensor) else np.asarray(maps)
    if len(maps.shape) != 3:
        raise ValueError(f"maps must have shape (n, h, w), got {tuple(maps.shape)}")
    n, h, w = maps.shape
    order = np.random.default_rng(rng).permuted(np.tile(np.arange(h * w), (n, 1)), axis=1)
    flat = maps.reshape(n, h * w)
    if isinstance(maps, torch.Tensor):
        order, own = (torch.from_numpy(i).to(maps.device) for i in (order, np.arange(n)[:, None]))
        return flat[own, order].reshape(n, h, w)
    return np.take_along_axis(flat, order, axis=1).reshape(n, h, w)


def _check_reading(reading):
    if reading not in ("raw", "literal"):
        raise ValueError(f"reading must be 'raw' or 'literal', got {reading!r}")


def _check_levels(levels):
    """Return the number of levels as an int: squares of small NumPy integers would overflow."""
    if isinstance(levels, bool) or not isinstance(levels, int | np.integer):
        raise ValueError(f"levels must be an integer, got {levels!r}")
    if not 2 <= levels <= LARGEST_LEVELS:
        raise ValueError(f"levels must lie between 2 and {LARGEST_LEVELS}, got {levels}")
    return int(levels)


def _check(maps, levels, name="maps"):
    """Return the maps as they are (an array if they are no tensor), after all checks."""
    if isinstance(maps, torch.Tensor):
        maps = maps.detach()
        unsigned = maps.dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64)
    else:
        maps = np.asarray(maps)
        unsigned = maps.dtype.kind == "u"
    if not unsigned:
        raise ValueError(f"{name} must hold unsigned integers, got {maps.dtype}")
    if maps.ndim != 3 or maps.shape[0] == 0 or min(maps.shape[1:]) < 2:
        raise ValueError(
            f"{name} must have shape (n, h, w) with n >= 1 and sides of at least 2, got "
            f"{tuple(maps.shape)}"
        )
    if isinstance(maps, torch.Tensor) and maps.dtype != torch.uint8:
        unsigned_64, maps = maps.dtype == torch.uint64, maps.to(torch.int64)
        if unsigned_64 and maps.min() < 0:
            largest = int(maps[maps < 0].max()) + 2**64
            raise ValueError(f"{name} holds the value {largest}, not below levels = {levels}")
    largest = int(maps.max())
    if largest >= levels:
        raise ValueError(f"{name} holds the value {largest}, not below levels = {levels}")
    return maps


def _together(a, b, levels):
    """One map whose values are pairs of grey levels."""
    if isinstance(a, torch.Tensor) != isinstance(b, torch.Tensor):
        raise ValueError(f"maps_a is a {type(a).__name__} and maps_b a {type(b).__name__}")
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(f"maps_a and maps_b differ in shape: {tuple(a.shape)}, {tuple(b.shape)}")
    if isinstance(a, torch.Tensor):
        if a.device != b.device:
            raise ValueError(f"maps_a is on {a.device} and maps_b on {b.device}")
        return a.to(torch.int64) * levels + b
    return a.astype(np.uint32) * np.uint32(levels) + b.astype(np.uint32)


def _relative(entropies):
    """Mean over offsets of (H(k,l) - H(0)) / H(0), from columns H(0), H(k,l), ...; 0 if H(0) = 0.

    The offsets of the other half-plane have the same entropies and are not listed.
    """
    single, mean = entropies[:, 0], entropies[:, 1:].mean(1)
    constant = single < _NO_ENTROPY
    return (mean - single) / (single + constant) * ~constant


def _entropies(maps, levels, offsets):
    """Entropy in bits of (value at p, value at p + offset): (n, offsets) in float64.

    Offsets (dy, dx) have dy >= 0; the offset (0, 0) gives the entropy of a single pixel.
    """
    if isinstance(maps, torch.Tensor):
        if maps.is_cuda:
            return _by_sorting(maps, levels, offsets)
        return torch.from_numpy(_by_counting(maps.numpy(), levels, offsets))
    return _by_counting(maps, levels, offsets)


def _by_counting(maps, levels, offsets):
    maps = np.require(maps, np.uint8 if maps.dtype == np.uint8 else np.uint32, "CW")
    hashed = levels**2 > _DIRECT_CELLS
    bits = math.ceil(math.log2(2 * maps[0].size if hashed else levels**2))
    counts = np.zeros(1 << bits, dtype=np.uint32)
    keys = np.empty(1 << bits if hashed else 0, dtype=np.uint64)
    out = np.empty((len(maps), len(offsets)))
    _compiled(_count)(
        maps,
        np.uint64(levels),
        np.asarray(offsets),
        np.uint64(64 - bits),
        hashed,
        counts,
        keys,
        out,
    )
    return out


@functools.cache
def _compiled(function):
    """The function compiled; numba is imported when it is needed for the first time."""
    import numba

    return numba.njit(cache=True)(function)


def _count(maps, levels, offsets, shift, hashed, counts, keys, out):
    """Fill out[map, offset] with entropies, counting pairs in a table that is left clean.

    The slot of a pair is its number or, where there are too many, its multiplicative hash followed
    by linear probing. Only slots that were touched are read and cleared. The list of them grows
    without a branch, because whether a pair is new cannot be predicted.
    """
    n, h, w = maps.shape
    touched = np.empty(h * w + 1, dtype=np.uint32)
    one, last = np.uint64(1), np.uint64(len(counts) - 1)
    for i in range(n):
        for j in range(len(offsets)):
            dy, dx = offsets[j]
            left, right = max(-dx, 0), min(w, w - dx)
            distinct = np.uint64(0)
            for y in range(h - dy):
                here = maps[i, y, left:right]
                there = maps[i, y + dy, left + dx : right + dx]
                for x in range(right - left):
                    slot = np.uint64(here[x]) * levels + np.uint64(there[x])
                    if hashed:
                        key = slot
                        slot = (key * _HASH_MULTIPLIER) >> shift
                        while counts[slot] != 0 and keys[slot] != key:
                            slot = (slot + one) & last
                        keys[slot] = key
                    touched[distinct] = slot
                    distinct += np.uint64(counts[slot] == 0)
                    counts[slot] += 1
            total = 0.0
            for t in range(distinct):
                count = counts[touched[t]]
                counts[touched[t]] = 0
                total += _TABLE[count] if count < len(_TABLE) else count * np.log2(count)
            pairs = (h - dy) * (right - left)
            out[i, j] = np.log2(pairs) - total / pairs


def _count_by_class(maps, order, ends, levels, out):
    """Fill out[filter, 0 and 1 + class] with entropies of a pixel, of row and of column pairs.

    The table of a class is read and cleared once, while it is added to that of all images. A pixel
    is the first of a pair in rows or lies in the last column.
    """

    def weighted(count):
        return _TABLE[count] if count < len(_TABLE) else count * np.log2(count)

    filters, classes = out.shape[0], out.shape[1] - 1
    h, w = maps.shape[2], maps.shape[3]
    own, every = np.zeros(levels**2, np.uint32), np.zeros(levels**2, np.uint32)
    own_pixels, pixels = np.zeros(levels, np.uint32), np.zeros(levels, np.uint32)
    touched, touched_by_any = np.empty(levels**2 + 1, np.uint32), np.empty(levels**2 + 1, np.uint32)
    for f in range(filters):
        for down in range(2):
            across = 1 - down
            known = np.uint64(0)
            pairs = (h - down) * (w - across)
            for c in range(classes):
                distinct = np.uint64(0)
                for image in order[ends[c] : ends[c + 1]]:
                    for y in range(h - down):
                        here, there = maps[image, f, y], maps[image, f, y + down, across:]
                        for x in range(w - across):
                            slot = np.uint64(here[x]) * levels + np.uint64(there[x])
                            touched[distinct] = slot
                            distinct += np.uint64(own[slot] == 0)
                            own[slot] += 1
                        if across:
                            own_pixels[here[w - 1]] += 1
                total = 0.0
                for t in range(distinct):
                    slot = touched[t]
                    count = own[slot]
                    own[slot] = 0
                    touched_by_any[known] = slot
                    known += np.uint64(every[slot] == 0)
                    every[slot] += count
                    total += weighted(count)
                    if across:
                        own_pixels[slot // levels] += count
                images = ends[c + 1] - ends[c]
                out[f, 1 + c, 1 + down] = np.log2(images * pairs) - total / (images * pairs)
                if across:
                    total = 0.0
                    for level in range(levels):
                        count = own_pixels[level]
                        own_pixels[level] = 0
                        pixels[level] += count
                        total += weighted(count)
                    out[f, 1 + c, 0] = np.log2(images * h * w) - total / (images * h * w)
            total = 0.0
            for t in range(known):
                count = every[touched_by_any[t]]
                every[touched_by_any[t]] = 0
                total += weighted(count)
            images = len(order)
            out[f, 0, 1 + down] = np.log2(images * pairs) - total / (images * pairs)
        total = 0.0
        for level in range(levels):
            count = pixels[level]
            pixels[level] = 0
            total += weighted(count)
        out[f, 0, 0] = np.log2(images * h * w) - total / (images * h * w)


def _by_sorting(maps, levels, offsets):
    """The same with torch: pairs are sorted within each map, and equal ones form runs."""
    n, h, w = maps.shape
    out = torch.empty((n, len(offsets)), dtype=torch.float64, device=maps.device)
    step = max(1, _ELEMENTS_PER_BLOCK // (h * w))
    for start in range(0, n, step):
        values = maps[start : start + step].to(torch.int64)
        for j, (dy, dx) in enumerate(offsets):
            left, right = max(-dx, 0), min(w, w - dx)
            here = values[:, : h - dy, left:right]
            there = values[:, dy:, left + dx : right + dx]
            codes = (here * levels + there).flatten(1).sort(dim=1).values
            pairs = codes.shape[1]
            first = torch.ones_like(codes, dtype=torch.bool)
            first[:, 1:] = codes[:, 1:] != codes[:, :-1]
            places = first.flatten().nonzero()[:, 0]
            sizes = torch.diff(places, append=places.new_tensor([codes.numel()])).double()
            weighted = torch.zeros(codes.numel(), dtype=torch.float64, device=maps.device)
            weighted[places] = sizes * torch.log2(sizes)
            total = weighted.view(-1, pairs).sum(1)
            out[start : start + step, j] = math.log2(pairs) - total / pairs
    return out
