"""Spatial entropies: counted by hand, against scikit-image, and as theorems."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter
from skimage.feature import graycomatrix, graycoprops

from ibcore.estimators import (
    aura_matrix_entropy,
    joint_aura_matrix_entropy,
    shuffled_pixels,
    spatial,
    spatial_disorder_entropy,
    spatial_information,
    spatial_information_per_filter,
)
from ibcore.estimators._validation import as_classes

few = settings(derandomize=True, max_examples=60, deadline=None)
FOUR = ((1, 0), (-1, 0), (0, 1), (0, -1))


def close(found, expected, atol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def noise(*shape, levels=256, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, levels, shape).astype(dtype)


def smooth(n=3, size=40, seed=0):
    maps = gaussian_filter(np.random.default_rng(seed).random((n, size, size)), (0, 3, 3))
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return (255 * (maps - low) / (high - low)).astype(np.uint8)


@st.composite
def two_maps(draw):
    shape = draw(st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6)))
    levels = draw(st.sampled_from([2, 3, 256]))
    values = st.integers(0, levels - 1)
    return *(draw(arrays(np.uint8, shape, elements=values)) for _ in range(2)), levels


# ---------------------------------------------------------------- a slow and obvious twin


def entropy(symbols):
    p = np.array(list(Counter(symbols).values())) / len(symbols)
    return -(p * np.log2(p)).sum()


def symbols(maps, dy=None, dx=None):
    """Values of one or several maps at every pixel, or at every pixel and its neighbour."""
    h, w = maps[0].shape
    if dy is None:
        return [tuple(m[y, x] for m in maps) for y in range(h) for x in range(w)]
    return [
        tuple(m[y, x] for m in maps) + tuple(m[y + dy, x + dx] for m in maps)
        for y in range(h)
        for x in range(w)
        if 0 <= y + dy < h and 0 <= x + dx < w
    ]


def slow_relative(maps, offsets=FOUR):
    single = entropy(symbols(maps))
    if single == 0:
        return 0.0
    return np.mean([entropy(symbols(maps, *offset)) - single for offset in offsets]) / single


def slow_information(a, b):
    return np.mean(
        [
            entropy(symbols([a], *o)) + entropy(symbols([b], *o)) - entropy(symbols([a, b], *o))
            for o in FOUR
        ]
    )


@pytest.mark.parametrize("levels", [2, 7, 256, 257, 65_536])
@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 5, 9), (2, 12, 7)])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_slow_twin(shape, levels, kind):
    a, b = (noise(*shape, levels=levels, seed=seed, dtype=np.uint32) for seed in (1, 2))
    given = kind(a), kind(b)
    close(aura_matrix_entropy(given[0], levels=levels), [slow_relative([m]) for m in a])
    found = joint_aura_matrix_entropy(*given, levels=levels)
    both = [slow_relative(pair) for pair in zip(a, b, strict=True)]
    close(found, both)
    raw = spatial_information(*given, levels=levels)
    close(raw, [slow_information(*pair) for pair in zip(a, b, strict=True)])
    literal = spatial_information(*given, levels=levels, reading="literal")
    one, other = ([slow_relative([m]) for m in maps] for maps in (a, b))
    close(literal, np.add(one, other) - both)


@pytest.mark.parametrize("radius", [1, 1.5, 2, 3.7])
def test_disorder_entropy_slow_twin(radius):
    maps = noise(2, 6, 5, levels=4)
    reach = range(-4, 5)
    near = [(k, m) for k in reach for m in reach if 0 < k * k + m * m <= radius**2]
    expected = [slow_relative([m], near) for m in maps]
    close(spatial_disorder_entropy(maps, radius=radius, levels=4), expected)


@pytest.mark.parametrize("levels", [256, 300])
def test_kernel_without_numba(monkeypatch, levels):
    """The source of the kernel as it stands: the plain table (256 levels) and the hashed one."""
    maps = np.concatenate([noise(2, 40, 9), np.zeros((1, 40, 9), np.uint8)])
    compiled = spatial_disorder_entropy(maps, radius=2, levels=levels)
    monkeypatch.setattr(spatial, "_compiled", lambda function: function)
    monkeypatch.setattr(spatial, "_TABLE", spatial._TABLE[:2])
    with np.errstate(over="ignore"):
        close(spatial_disorder_entropy(maps, radius=2, levels=levels), compiled, 1e-14)


# ---------------------------------------------------------------- torch, and other kinds of input


@pytest.mark.parametrize("levels", [256, 65_536])
def test_sorting_agrees_with_counting(monkeypatch, levels):
    maps = np.concatenate([noise(4, 33, 21), smooth(3, 33)[:, :, :21]])
    offsets = ((0, 0), (1, 0), (2, -3), (0, 1))
    counted = spatial._by_counting(maps, levels, offsets)
    for elements in (1, 1500, 1 << 24):
        monkeypatch.setattr(spatial, "_ELEMENTS_PER_BLOCK", elements)
        sorted_ = spatial._by_sorting(torch.from_numpy(maps), levels, offsets)
        close(sorted_, counted)
    together = spatial._together(maps, maps[::-1], levels)
    close(
        spatial._by_sorting(torch.from_numpy(together).to(torch.int64), levels**2, offsets),
        spatial._by_counting(together, levels**2, offsets),
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_tensors_stay_on_their_gpu():
    a, b = noise(5, 30, 20), smooth(5, 30)[:, :, :20]
    on_gpu = torch.from_numpy(a).cuda(), torch.from_numpy(b).cuda()
    for function, maps in (
        (aura_matrix_entropy, 1),
        (joint_aura_matrix_entropy, 2),
        (spatial_information, 2),
    ):
        found = function(*on_gpu[:maps])
        assert found.is_cuda
        assert found.dtype == torch.float64
        close(found.cpu(), function(*(a, b)[:maps]))
    shuffled = shuffled_pixels(on_gpu[0], rng=0)
    assert shuffled.is_cuda
    assert np.array_equal(shuffled.cpu(), shuffled_pixels(a, rng=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, ">u2"])
def test_every_unsigned_type(dtype):
    maps = noise(2, 6, 6)
    expected = aura_matrix_entropy(maps)
    assert np.array_equal(aura_matrix_entropy(maps.astype(dtype)), expected)
    assert isinstance(expected, np.ndarray)
    if np.dtype(dtype).isnative:
        found = aura_matrix_entropy(torch.from_numpy(maps.astype(dtype)))
        assert isinstance(found, torch.Tensor)
        assert np.array_equal(found, expected)


def test_inputs_are_neither_changed_nor_required_to_be_writeable_or_contiguous():
    maps = noise(4, 8, 8)
    before = maps.copy()
    maps.flags.writeable = False
    strided = np.asfortranarray(maps)[::2, ::-1]
    assert np.array_equal(aura_matrix_entropy(strided), aura_matrix_entropy(before[::2]))
    spatial_information(maps, maps)
    shuffled_pixels(maps, rng=0)
    assert np.array_equal(maps, before)


# ---------------------------------------------------------------- scikit-image as oracle


def by_graycomatrix(image):
    angles = [0, np.pi / 2, np.pi, 3 * np.pi / 2]
    found = graycomatrix(image, [1], angles, levels=256, normed=True)
    pair = graycoprops(found, "entropy").mean() / np.log(2)
    share = np.bincount(image.ravel()) / image.size
    single = -(share[share > 0] * np.log2(share[share > 0])).sum()
    return (pair - single) / single


@pytest.mark.parametrize("maps", [noise(3, 32, 32), smooth(), noise(2, 5, 90)])
def test_scikit_image(maps):
    close(aura_matrix_entropy(maps), [by_graycomatrix(image) for image in maps])


# ---------------------------------------------------------------- closed forms and theorems


def test_closed_forms():
    rows = np.repeat(np.arange(4, dtype=np.uint8)[None, :, None], 6, 2)
    # Along a row the value is known; of the three pairs of rows below each other all differ.
    expected = ((2 - 2) / 2 + (np.log2(3) - 2) / 2) / 2
    assert aura_matrix_entropy(rows)[0] == pytest.approx(expected, abs=1e-15)
    constant = np.full((2, 4, 4), 9, dtype=np.uint8)
    for found in (
        aura_matrix_entropy(constant),
        spatial_disorder_entropy(constant, radius=2),
        joint_aura_matrix_entropy(constant, constant),
        spatial_information(constant, constant),
        spatial_information(constant, constant, reading="literal"),
    ):
        assert found.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_constant_maps_of_every_size_have_none(kind):
    """log2 n - n log2 n / n is not always 0 in floating point, as for 2x5 pixels."""
    for h in range(2, 12):
        for w in range(2, 60):
            assert aura_matrix_entropy(kind(np.full((1, h, w), 3, np.uint8))).item() == 0


def test_large_noise_is_independent():
    """Few levels on a large map leave no plug-in bias: H_R = 1, I = 0, and I = H of itself."""
    a, b = noise(2, 1, 400, 400, levels=4)
    assert aura_matrix_entropy(a) == pytest.approx(1, abs=1e-3)
    assert spatial_disorder_entropy(a, radius=3) == pytest.approx(1, abs=1e-3)
    assert joint_aura_matrix_entropy(a, b, levels=4) == pytest.approx(1, abs=1e-3)
    assert spatial_information(a, b, levels=4) == pytest.approx(0, abs=2e-3)
    assert spatial_information(a, a, levels=4) == pytest.approx(4, abs=1e-3)
    for other in (a, b):  # the literal reading cannot tell identical from independent maps
        literal = spatial_information(a, other, levels=4, reading="literal")
        assert literal == pytest.approx(1, abs=2e-3)


def test_small_noise_reads_too_low_and_too_informative():
    a, b = noise(2, 20, 16, 16)
    assert aura_matrix_entropy(a).max() < 0.15
    assert np.allclose(spatial_information(a, b), spatial_information(a, a), rtol=0.01)


@given(two_maps())
@few
def test_information_is_between_nothing_and_everything(case):
    a, b, levels = case
    found = spatial_information(a, b, levels=levels)
    assert np.array_equal(found, spatial_information(b, a, levels=levels))
    own = spatial_information(a, a, levels=levels)
    assert (found >= -1e-12).all()
    assert (found <= own + 1e-12).all()
    close(joint_aura_matrix_entropy(a, a, levels=levels), aura_matrix_entropy(a, levels=levels))


@given(two_maps(), st.integers(0, 2**32 - 1))
@few
def test_relabelling_and_turning_change_nothing(case, seed):
    maps, _, levels = case
    expected = aura_matrix_entropy(maps, levels=levels)
    order = np.random.default_rng(seed).permutation(levels).astype(np.uint8)
    close(aura_matrix_entropy(order[maps], levels=levels), expected)
    for turned in (maps[:, ::-1], maps[:, :, ::-1], maps.transpose(0, 2, 1)):
        close(aura_matrix_entropy(turned, levels=levels), expected)
    close(spatial_disorder_entropy(maps, radius=1, levels=levels), expected)


def test_every_map_stands_alone():
    maps = np.concatenate([noise(3, 20, 20), smooth(3, 20)])
    expected = [aura_matrix_entropy(one[None])[0] for one in maps]
    assert aura_matrix_entropy(maps).tolist() == expected


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_shuffled_pixels(kind):
    maps = smooth(4)
    shuffled = shuffled_pixels(kind(maps), rng=3)
    assert type(shuffled) is type(kind(maps))
    found = np.asarray(shuffled)
    assert np.array_equal(np.sort(found.reshape(4, -1)), np.sort(maps.reshape(4, -1)))
    assert np.array_equal(found, shuffled_pixels(maps, rng=np.random.default_rng(3)))
    assert not np.array_equal(found, shuffled_pixels(maps, rng=4))
    assert (aura_matrix_entropy(found) > aura_matrix_entropy(maps)).all()
    same = shuffled_pixels(np.stack([maps[0]] * 2), rng=0)
    assert not np.array_equal(*same)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (noise(1, 4, 4).astype(np.int64), "maps must hold unsigned integers, got int64"),
        (np.zeros((1, 4, 4)), "unsigned integers, got float64"),
        (np.zeros((1, 4, 4), bool), "unsigned integers, got bool"),
        (torch.zeros(1, 4, 4), "unsigned integers, got torch.float32"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), "unsigned integers, got torch.int64"),
        (noise(4, 4), r"shape \(n, h, w\) .* got \(4, 4\)"),
        (noise(1, 1, 4, 4), r"got \(1, 1, 4, 4\)"),
        (noise(1, 1, 4), r"sides of at least 2, got \(1, 1, 4\)"),
        (noise(1, 4, 1), r"got \(1, 4, 1\)"),
        (noise(0, 4, 4), r"n >= 1 .* got \(0, 4, 4\)"),
        (np.full((1, 2, 2), 256, np.uint16), "holds the value 256, not below levels = 256"),
        (
            torch.full((1, 2, 2), 300, dtype=torch.uint16),
            "holds the value 300, not below levels = 256",
        ),
    ],
)
def test_refused_maps(maps, message):
    fine = noise(1, 4, 4)
    for call in (
        lambda: aura_matrix_entropy(maps),
        lambda: spatial_disorder_entropy(maps, radius=1),
        lambda: joint_aura_matrix_entropy(maps, fine),
        lambda: spatial_information(maps, fine),
    ):
        with pytest.raises(ValueError, match=message.removeprefix("maps")):
            call()
    with pytest.raises(ValueError, match=f"maps_b.*{message.removeprefix('maps')}"):
        spatial_information(fine, maps)


@pytest.mark.parametrize(
    "call",
    [
        lambda maps, levels: aura_matrix_entropy(maps, levels=levels),
        lambda maps, levels: spatial_disorder_entropy(maps, radius=2, levels=levels),
        lambda maps, levels: joint_aura_matrix_entropy(maps, maps[::-1], levels=levels),
        lambda maps, levels: spatial_information(maps, maps[::-1], levels=levels),
        lambda maps, levels: spatial_information_per_filter(
            maps.reshape(4, 2, 6, 6), [0, 1, 1, 0], levels=levels
        ),
    ],
    ids=["aura", "disorder", "joint", "information", "per filter"],
)
@pytest.mark.parametrize("levels", [17, 100, 255])
def test_levels_of_any_integer_type_count_the_same(call, levels):
    """The square of 100 is 16 in eight bits."""
    maps = noise(8, 6, 6, levels=levels)
    expected = call(maps, levels)
    for kind in (np.uint8, np.int16, np.uint32):
        np.testing.assert_array_equal(call(maps, kind(levels)), expected)


def test_values_beyond_signed_integers_are_refused():
    maps = torch.tensor([[[2**63 + 5, 0], [1, 2]]], dtype=torch.uint64)
    with pytest.raises(ValueError, match="holds the value 9223372036854775813, not below levels"):
        aura_matrix_entropy(maps, levels=4)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (1, "levels must lie between 2 and 65536, got 1"),
        (65_537, "got 65537"),
        (2.0, "levels must be an integer, got 2.0"),
        (True, "levels must be an integer, got True"),
    ],
)
def test_refused_levels(levels, message):
    with pytest.raises(ValueError, match=message):
        aura_matrix_entropy(noise(1, 4, 4), levels=levels)


@pytest.mark.parametrize(
    ("radius", "message"),
    [
        (0.9, "at least 1 and below the sides of the map, got 0.9 for 4x6"),
        (4, "got 4 for 4x6"),
        (0, "radius must be a positive finite number, got 0"),
        (float("nan"), "got nan"),
    ],
)
def test_refused_radius(radius, message):
    with pytest.raises(ValueError, match=message):
        spatial_disorder_entropy(noise(1, 4, 6), radius=radius)


def test_refused_pairs():
    maps = noise(2, 4, 4)
    with pytest.raises(ValueError, match=r"differ in shape: \(2, 4, 4\), \(1, 4, 4\)"):
        spatial_information(maps, maps[:1])
    with pytest.raises(ValueError, match="maps_a is a ndarray and maps_b a Tensor"):
        joint_aura_matrix_entropy(maps, torch.from_numpy(maps))
    with pytest.raises(ValueError, match="maps_a is on cpu and maps_b on meta"):
        spatial._together(torch.from_numpy(maps), torch.empty(2, 4, 4, device="meta"), 256)
    with pytest.raises(ValueError, match="reading must be 'raw' or 'literal', got 'RAW'"):
        spatial_information(maps, maps, reading="RAW")


def test_refused_shuffles():
    with pytest.raises(ValueError, match=r"explicit rng .* got None"):
        shuffled_pixels(noise(1, 4, 4), rng=None)
    with pytest.raises(ValueError, match=r"shape \(n, h, w\), got \(4, 4\)"):
        shuffled_pixels(noise(4, 4), rng=0)


# ---------------------------------------------------------------- filters and labels


def counted(maps, Y, dy, dx):
    """Symbols of all images together: pixels or pairs, each with the label of its image."""
    pairs = [symbols([image], dy, dx) for image in maps]
    return [p for image in pairs for p in image], [
        (p, y) for image, y in zip(pairs, Y, strict=True) for p in image
    ]


def slow_filter(maps, Y, reading):
    alone, together = [], []
    for offset in ((None, None), *FOUR):
        pairs, labelled = counted(maps, Y, *offset)
        alone.append(entropy(pairs))
        together.append(entropy(labelled))
    H_Y = entropy(list(Y))
    if reading == "raw":
        return np.mean([a + H_Y - t for a, t in zip(alone[1:], together[1:], strict=True)])
    relative = [
        0.0 if h[0] == 0 else np.mean([(pair - h[0]) / h[0] for pair in h[1:]])
        for h in (alone, together)
    ]
    return relative[0] - relative[1]


def filters(n=9, count=4, h=5, w=4, levels=3, seed=0):
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, 3, n)
    maps = rng.integers(0, levels, (n, count, h, w)).astype(np.uint8)
    maps[:, 1] = Y[:, None, None]
    maps[:, 2] = 1
    return maps, Y


@pytest.mark.parametrize("reading", ["raw", "literal"])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_filters_and_labels_slow_twin(reading, kind):
    maps, Y = filters()
    before = maps.copy()
    found = spatial_information_per_filter(kind(maps), kind(Y), levels=3, reading=reading)
    assert type(found) is type(kind(maps))
    expected = [slow_filter(maps[:, f], Y, reading) for f in range(maps.shape[1])]
    close(found, expected)
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
@pytest.mark.parametrize(("levels", "size"), [(2, 5), (3, 2), (40, 6), (256, 9), (256, 30)])
def test_classes_counted_or_stacked(levels, size, kind):
    rng = np.random.default_rng(size)
    maps = np.maximum(0, rng.integers(-levels, levels, (23, 5, size, size + 1))).astype(np.uint16)
    maps[:, 0] = 0
    maps[:, 1] = rng.integers(0, 2, (23, 1, 1))
    classes, sizes = as_classes(rng.integers(0, 4, 23))
    assert len(sizes) == 4
    counted = spatial._by_class_counting(kind(maps), classes, sizes, levels)
    stacked = spatial._by_class_stacking(kind(maps), classes, sizes, levels)
    for one, other in zip(counted, stacked, strict=True):
        assert type(one) is type(other) is type(kind(maps))
        close(one, other)


def test_counting_classes_without_numba(monkeypatch):
    maps, Y = filters()
    compiled = spatial_information_per_filter(maps, Y, levels=3)
    monkeypatch.setattr(spatial, "_compiled", lambda function: function)
    monkeypatch.setattr(spatial, "_TABLE", spatial._TABLE[:2])
    close(spatial_information_per_filter(maps, Y, levels=3), compiled, 1e-14)


@pytest.mark.parametrize("reading", ["raw", "literal"])
@pytest.mark.parametrize("levels", [256, 300])
def test_more_levels_than_fit_a_table(reading, levels):
    maps, Y = filters()
    expected = spatial_information_per_filter(maps, Y, levels=3, reading=reading)
    close(spatial_information_per_filter(maps, Y, levels=levels, reading=reading), expected)


@given(st.integers(0, 10_000))
@few
def test_a_filter_tells_at_most_the_label(seed):
    maps, Y = filters(seed=seed)
    found = spatial_information_per_filter(maps, Y, levels=3)
    H_Y = entropy(list(Y))
    assert (found > -1e-12).all()
    assert (found < H_Y + 1e-12).all()
    close(found[1:3], [H_Y, 0.0])


def test_a_label_map_has_no_relative_entropy():
    """The document's H(Y) = 0: a pixel of a constant map tells the next one."""
    _, Y = filters()
    stack = np.repeat(Y.astype(np.uint8), 16).reshape(len(Y) * 4, 4)
    pixels, pairs = symbols([stack]), symbols([stack], 0, 1)
    close(entropy(pairs) - entropy(pixels), 0.0)


def test_the_order_of_images_and_of_labels_does_not_matter():
    maps, Y = filters()
    order = np.random.default_rng(1).permutation(len(Y))
    for reading in ("raw", "literal"):
        expected = spatial_information_per_filter(maps, Y, levels=3, reading=reading)
        found = spatial_information_per_filter(maps[order], 7 - Y[order], levels=3, reading=reading)
        close(found, expected)


@pytest.mark.parametrize(
    ("maps", "Y", "options", "words"),
    [
        (np.zeros((4, 2, 2), np.uint8), [0, 1, 0, 1], {}, r"got \(4, 2, 2\)"),
        ([[1]], [0], {}, r"got \(1, 1\)"),
        (np.zeros((2, 3, 1, 4), np.uint8), [0, 1], {}, "1, 4"),
        (np.full((2, 3, 2, 2), 9, np.uint8), [0, 1], {"levels": 8}, "9"),
        (np.zeros((2, 3, 2, 2), np.uint8), [0, 1, 1], {}, "Y"),
        (np.zeros((2, 3, 2, 2), np.uint8), [0, 1], {"reading": "plain"}, "got 'plain'"),
    ],
)
def test_refused_filters(maps, Y, options, words):
    with pytest.raises(ValueError, match=words):
        spatial_information_per_filter(maps, Y, **options)
