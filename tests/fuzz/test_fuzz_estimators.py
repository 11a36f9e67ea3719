"""Every public estimator: a finite number or a ValueError that says what is wrong.

NaN and infinity are never let through, the arguments are not changed, and tensors give what arrays
give.
"""

import numpy as np
import pytest
import torch
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ibcore import estimators

ODD = st.sampled_from([0, -1, float("nan"), float("inf"), "wide", None, 1e-300, 1e300])


def mostly(usual, odd=ODD):
    """The usual values nine times in ten."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 0 else usual)


width = mostly(st.floats(1e-3, 1e3))
order = mostly(st.sampled_from([0.5, 1, 1.01, 2, 3]) | st.floats(0.01, 50))
seed = st.integers(0, 5)
noise = st.none() | mostly(st.floats(1e-3, 1))
levels = mostly(st.sampled_from([2, 4, 256, 65_536]))


def sizes(draw):
    return draw(st.shared(st.integers(1, 7), key="samples"))


@st.composite
def layers(draw, least=1):
    """Activations: many types and shapes, repeated and huge values, sometimes NaN or another n."""
    n = draw(mostly(st.just(sizes(draw)), st.integers(0, 8)))
    shape = (n, *draw(mostly(array_shapes(min_dims=least, max_dims=3, max_side=3), st.just(()))))
    kind = draw(st.sampled_from(["f8", "f4", "f2", "i8", "u1", "?", ">f8"]))
    if "f" not in kind:
        return draw(arrays(kind, shape))
    bits = 8 * int(kind[-1])
    tame = st.floats(-2, 2, width=16) | st.sampled_from([0.0, -0.0, 0.5])
    wild = st.floats(width=bits) | st.sampled_from([1e300, 1e-320, float("nan")]).filter(
        lambda value: bits == 64
    )
    return draw(arrays(kind, shape, elements=draw(mostly(st.just(tame), st.just(wild)))))


@st.composite
def labels(draw):
    n = draw(mostly(st.just(sizes(draw)), st.integers(0, 8)))
    kind = draw(mostly(st.sampled_from(["i8", "i4", "u1", "?", "u8"]), st.just("f8")))
    few = st.integers(0, 2) | st.integers(0, 255 if kind in ("u1", "?") else 2**31 - 1)
    if kind == "f8":
        return draw(arrays(kind, n))
    return draw(arrays(kind, n, elements=st.booleans() if kind == "?" else few))


@st.composite
def matrices(draw):
    """Gram matrices, and matrices that are none."""
    rows = draw(arrays("f8", (sizes(draw), 2), elements=st.floats(-3, 3)))
    if draw(mostly(st.just(True), st.just(False))):
        scale = draw(st.sampled_from([1e-200, 1.0, 1e100]))
        return scale * np.exp(-((rows[:, None] - rows) ** 2).sum(2))
    return draw(arrays("f8", array_shapes(max_dims=3, max_side=4)))


@st.composite
def maps(draw, dims=3):
    shape = draw(st.shared(st.tuples(*[st.integers(1, 5)] * 2), key="map"))
    shape = draw(mostly(st.just(shape), st.tuples(st.integers(0, 2), st.integers(0, 2))))
    front = (sizes(draw), 2)[: dims - 2]
    kind = draw(mostly(st.sampled_from(["u1", "u2", "u4"]), st.sampled_from(["i8", "f8"])))
    least = st.integers(0, 3) | st.integers(0, 300 if kind != "u1" else 255)
    if kind == "f8":
        least = st.floats(0, 1)
    return draw(arrays(kind, (*front, *shape), elements=least))


TY = (layers(), labels())
FUNCTIONS = {
    "aligned_kernel_width": (TY, {"widths": st.none() | st.lists(width, max_size=3)}),
    "aura_matrix_entropy": ((maps(),), {"levels": levels}),
    "binned_entropy": (TY[:1], {"bin_width": width}),
    "binned_information": (TY, {"bin_width": width}),
    "binned_information_per_filter": ((layers(least=2), labels()), {"bin_width": width}),
    "count_distinct": (TY[:1], {"bin_width": st.none() | width}),
    "discrete_entropy": (TY[1:], {}),
    "gram_matrix": (TY[:1], {"kernel_width": width}),
    "joint_aura_matrix_entropy": ((maps(), maps()), {"levels": levels}),
    "kde_information": (
        TY,
        {"noise_variance": width, "bound": mostly(st.sampled_from(["upper", "lower"]))},
    ),
    "kde_information_bounds": (TY, {"noise_variance": width}),
    "ksg_information": (
        (layers(), layers()),
        {"k": mostly(st.integers(1, 3)), "noise_scale": noise, "rng": seed},
    ),
    "nearest_neighbour_entropy": (
        TY[:1],
        {"k": mostly(st.integers(1, 3)), "epsilon": width, "noise_scale": noise, "rng": seed},
    ),
    "renyi_entropy": (TY[:1], {"kernel_width": width, "alpha": order}),
    "renyi_information": (TY, {"kernel_width": st.none() | width, "alpha": order}),
    "renyi_information_per_filter": (
        (layers(least=2), labels()),
        {"kernel_width": width, "alpha": order},
    ),
    "renyi_joint_entropy": ((matrices(), matrices()), {"alpha": order}),
    "renyi_mutual_information": ((matrices(), matrices()), {"alpha": order}),
    "shuffled_pixels": ((maps(),), {"rng": st.none() | seed}),
    "spatial_disorder_entropy": ((maps(),), {"radius": mostly(st.integers(1, 3))}),
    "spatial_information": (
        (maps(), maps()),
        {"levels": levels, "reading": mostly(st.sampled_from(["raw", "literal"]))},
    ),
    "spatial_information_per_filter": (
        (maps(dims=4), labels()),
        {"levels": levels, "reading": mostly(st.sampled_from(["raw", "literal"]))},
    ),
}


def test_every_function_is_tried():
    assert {*FUNCTIONS, "Information"} == set(estimators.__all__)


def answer(call, arguments, options):
    """What a call gives, as a flat array, or the text of its error."""
    try:
        found = call(*arguments, **options)
    except ValueError as error:
        return str(error)
    parts = found if isinstance(found, list | tuple) else [found]
    return np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts])


@pytest.mark.parametrize("name", FUNCTIONS)
@examples(25)
@given(data=st.data())
def test_a_finite_number_or_a_named_fault(name, data):
    call = getattr(estimators, name)
    strategies, choices = FUNCTIONS[name]
    given_arrays = [data.draw(strategy) for strategy in strategies]
    options = {key: data.draw(choice) for key, choice in choices.items()}
    before = [array.tobytes() for array in given_arrays]
    found = answer(call, given_arrays, options)
    assert [array.tobytes() for array in given_arrays] == before
    finite = all(np.isfinite(array).all() for array in given_arrays)
    if isinstance(found, str):
        assert len(found) > 10
    else:
        assert finite
        assert np.isfinite(found).all()
    native = [array.astype(array.dtype.newbyteorder("=")) for array in given_arrays]
    again = answer(call, [torch.from_numpy(array) for array in native], options)
    if isinstance(found, str):
        assert isinstance(again, str)
    else:
        np.testing.assert_allclose(again, found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("thing", [None, "text", [], [[1], [1, 2]], {}, object(), 3, 1j])
def test_what_is_no_array(name, thing):
    strategies, choices = FUNCTIONS[name]
    usual = {
        "bin_width": 0.5,
        "kernel_width": 1.0,
        "noise_variance": 0.1,
        "radius": 1,
        "rng": 0,
        "k": 1,
    }
    options = {key: value for key, value in usual.items() if key in choices}
    with pytest.raises(ValueError, match=r"\w+"):
        getattr(estimators, name)(*[thing] * len(strategies), **options)
