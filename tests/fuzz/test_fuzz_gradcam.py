"""Grad-CAM and integer maps: finite maps in [0, 1] or a ValueError; nothing is changed."""

import numpy as np
import pytest
import torch
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from ibcore.gradcam import degenerate, grad_cam, quantise

ODD = st.sampled_from([0, -1, 2.5, "big", None, (3,), (0, 2), True, float("nan")])


def mostly(usual, odd=ODD):
    """The usual values nine times in ten."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 0 else usual)


sides = st.integers(1, 7)
size = st.none() | mostly(sides | st.tuples(sides, sides))


@st.composite
def pictures(draw):
    """Images, often blank or of few values, sometimes of the wrong shape or not finite."""
    shape = (draw(st.integers(0, 3)), 2, draw(sides), draw(sides))
    if draw(st.integers(0, 9)) == 0:
        shape = draw(array_shapes(max_dims=4, max_side=3))
    tame = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-2, 2, width=32)
    wild = st.floats(width=32)
    return draw(arrays("f4", shape, elements=draw(mostly(st.just(tame), st.just(wild)))))


def network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(3, 2, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2, 4),
        )


@examples(60)
@given(
    images=pictures(),
    layers=st.lists(
        st.sampled_from(["0", "1", "2"]) | mostly(st.just("0"), st.just("5")), max_size=3
    ),
    targets=st.none() | mostly(st.lists(st.integers(0, 3), max_size=3), st.just([0.5])),
    size=size,
    relu=st.booleans(),
    seed=st.integers(0, 3),
)
def test_grad_cam(images, layers, targets, size, relu, seed):
    model, before = network(seed), images.tobytes()
    weights = [parameter.clone() for parameter in model.parameters()]
    tensor = torch.from_numpy(images)
    try:
        found = grad_cam(model, tensor, layers, targets=targets, size=size, relu=relu)
    except ValueError as error:
        assert len(str(error)) > 10  # noqa: PT017
        found = {}
    except RuntimeError as error:  # the network itself refuses images of another shape
        assert images.ndim != 4 or images.shape[1] != 2, error  # noqa: PT017
        found = {}
    assert images.tobytes() == before
    assert all(map(torch.equal, model.parameters(), weights))
    assert all(parameter.grad is None for parameter in model.parameters())
    for layer, maps in found.items():
        assert layer in layers
        assert maps.shape[0] == len(images)
        assert ((maps >= 0) & (maps <= 1)).all()


@examples(150)
@given(data=st.data())
def test_quantise(data):
    kind = data.draw(
        mostly(st.sampled_from(["f4", "f8", "f2"]), st.sampled_from(["i8", "u1", "?"]))
    )
    shape = (data.draw(st.integers(0, 3)), data.draw(sides), data.draw(sides))
    if data.draw(st.integers(0, 9)) == 0:
        shape = data.draw(array_shapes(max_dims=4, max_side=3))
    elements = None
    if "f" in kind:
        bits = 8 * int(kind[-1])
        elements = data.draw(mostly(st.just(st.floats(0, 1, width=bits)), st.just(None)))
    maps = data.draw(arrays(kind, shape, elements=elements))
    options = {
        "levels": data.draw(mostly(st.integers(2, 256))),
        "size": data.draw(size),
        "resample": data.draw(mostly(st.sampled_from(["lanczos", "bilinear"]))),
        "order": data.draw(mostly(st.sampled_from(["quantise-resize", "resize-quantise"]))),
        "rounding": data.draw(mostly(st.sampled_from(["floor", "nearest"]))),
    }
    before = maps.tobytes()
    try:
        found = quantise(maps, **options)
    except ValueError as error:
        assert len(str(error)) > 10  # noqa: PT017
        with pytest.raises(ValueError, match=r"\w+"):
            quantise(torch.from_numpy(maps), **options)
        return
    finally:
        assert maps.tobytes() == before
    assert found.dtype == np.uint8
    assert found.max() < options["levels"]
    np.testing.assert_array_equal(quantise(torch.from_numpy(maps), **options).numpy(), found)
    np.testing.assert_array_equal(degenerate(torch.from_numpy(found)).numpy(), degenerate(found))


@pytest.mark.parametrize("thing", [None, "text", [], [[1], [1, 2]], {}, object(), 3, 1j])
@pytest.mark.parametrize("call", [quantise, degenerate], ids=["quantise", "degenerate"])
def test_what_is_no_map(call, thing):
    with pytest.raises(ValueError, match=r"\w+"):
        call(thing)
