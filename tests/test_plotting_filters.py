"""Small multiples of filters, spectrograms, and planes beside the training curves."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ibcore import plotting


@pytest.fixture(autouse=True)
def clean():
    yield
    plt.close("all")


def rows(*, filters=range(5), layers=("conv1",), seeds=1, run="tanh"):
    return pd.DataFrame(
        [
            {
                "run": run,
                "set": "train",
                "n": 64,
                "seed": seed,
                "epoch": epoch,
                "layer": layer,
                "layer_index": index,
                "filter": number,
                "I_XT": 0.5 * epoch + 0.1 * number,
                "I_TY": 0.2 * epoch,
            }
            for seed in range(seeds)
            for index, layer in enumerate(layers)
            for number in filters
            for epoch in range(6)
        ]
    )


BOUNDS = pd.DataFrame(
    [{"run": r, "set": "train", "n": 64, "ceiling_X": 6.0, "ceiling_Y": 2.0} for r in "ab"]
)
BOUNDS = pd.concat([BOUNDS, BOUNDS.assign(run="tanh")])


def shown(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def test_every_filter_has_a_plane_with_the_same_limits():
    table = rows(filters=range(32))
    figure = plotting.filter_planes(table, BOUNDS)
    ax, bar = figure.axes
    assert [text.get_text() for text in ax.texts] == [str(i) for i in range(32)]
    assert bar.get_ylabel() == "epoch"
    assert ax.get_xlabel() == "I(X;T) [bits]"
    assert ax.get_ylabel() == "I(T;Y) [bits]"
    ceilings, paths, frames, points, ends = ax.collections
    frame = np.array(frames.get_segments())
    np.testing.assert_allclose(frame[0], [(-0.36, 2.12), (-0.36, -0.12), (6.36, -0.12)])
    moves = frame[:, 1] - frame[0, 1]
    np.testing.assert_allclose(moves[9], [1.12 * 6.72, -1.25 * 2.24])
    expected = table[["I_XT", "I_TY"]].to_numpy().reshape(32, 6, 2) + moves[:, None]
    np.testing.assert_allclose(paths.get_segments(), expected)
    np.testing.assert_allclose(points.get_offsets(), expected.reshape(-1, 2))
    assert points.get_array().tolist() == table["epoch"].tolist()
    np.testing.assert_allclose(ends.get_offsets(), expected[:, -1])
    dotted = np.array(ceilings.get_segments()).reshape(32, 2, 2, 2) - moves[:, None, None]
    np.testing.assert_allclose(dotted[31], [[(6, -0.12), (6, 2.12)], [(-0.36, 2), (6.36, 2)]])


def test_epochs_are_joined_in_their_order():
    table = rows(filters=[7])
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(0))
    _, paths, *_ = plotting.filter_planes(shuffled, BOUNDS).axes[0].collections
    np.testing.assert_allclose(paths.get_segments()[0], table[["I_XT", "I_TY"]])


@pytest.mark.parametrize(
    ("filters", "columns", "shape"), [(4, 4, (1, 4)), (5, 3, (2, 3)), (10, 8, (2, 8))]
)
def test_ticks_are_repeated_in_every_row_and_column(filters, columns, shape):
    figure = plotting.filter_planes(rows(filters=range(filters)), BOUNDS, columns=columns)
    ax = figure.axes[0]
    across, down = ax.get_xticklabels(), ax.get_yticklabels()
    assert [tick.get_text() for tick in across] == ["0", "3", "6"] * shape[1]
    assert [tick.get_text() for tick in down] == ["0", "1", "2"] * shape[0]
    first, second = np.array(ax.get_xticks()).reshape(-1, 3)[:2]
    np.testing.assert_allclose(first, [0, 3, 6])
    np.testing.assert_allclose(second - first, 1.12 * 6.72)


def test_the_planes_leave_room_for_the_bar():
    figure = plotting.filter_planes(rows(filters=range(32)), BOUNDS)
    planes, bar = (ax.get_tightbbox() for ax in figure.axes)
    assert not planes.overlaps(bar)
    assert all(figure.bbox.contains(*corner) for box in (planes, bar) for corner in box.corners())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (rows().iloc[:0], "planes of filters need at least one row"),
        (rows(seeds=2), r"one seed at a time, got \[0, 1\]"),
        (rows(layers=("conv1", "conv2")), r"one layer at a time, got \['conv1', 'conv2'\]"),
    ],
)
def test_planes_of_filters_refuse(table, words):
    with pytest.raises(ValueError, match=words):
        plotting.filter_planes(table, BOUNDS)


def test_filters_over_epochs():
    figure = plotting.filters_over_epochs(
        rows(layers=("conv1", "conv2")), "I_XT", ylabel="H [bits]", title="tanh", ceiling=6.0
    )
    assert [ax.get_title() for ax in figure.axes] == [
        "tanh, conv1: 5 filters",
        "tanh, conv2: 5 filters",
    ]
    *thin, mean, ceiling = figure.axes[0].get_lines()
    assert len(thin) == 5
    np.testing.assert_allclose(mean.get_ydata(), 0.5 * np.arange(6) + 0.2)
    assert set(ceiling.get_ydata()) == {6.0}
    assert figure.axes[0].get_ylim()[0] <= 0
    plain = plotting.filters_over_epochs(rows(), "I_TY", ylabel="")
    assert len(plain.axes[0].get_lines()) == 6
    assert plain.axes[0].get_title() == "conv1: 5 filters"


def test_spectrograms_have_the_low_bands_below():
    pictures = np.zeros((5, 8, 12))
    pictures[:, 0] = 1.0
    figure = plotting.spectrograms(pictures, list("abcde"), columns=3)
    panels = [ax for ax in shown(figure) if ax.get_title()]
    assert [ax.get_title() for ax in panels] == list("abcde")
    for ax in panels:
        (image,) = ax.get_images()
        assert image.origin == "lower"
        assert image.get_clim() == (0, 1)
        low, high = ax.get_ylim()
        assert low < high
    assert len(figure.axes) == 7


def test_planes_and_training():
    table = pd.concat([rows(filters=[-1], seeds=2, run=run) for run in "ab"])
    history = pd.DataFrame(
        [
            {"run": run, "seed": seed, "epoch": epoch, "train_loss": 2.0 - 0.3 * epoch,
             "test_loss": 2.0, "train_accuracy": 0.1 * epoch, "test_accuracy": 0.05 * epoch}
            for run in "ab" for seed in range(2) for epoch in range(6)
        ]
    )  # fmt: skip
    figure = plotting.planes_and_training(table, history, BOUNDS)
    assert len(figure.axes) == 7
    loss, accuracy, plane = figure.axes[3:6]
    assert [ax.get_title() for ax in (loss, accuracy, plane)] == ["b"] * 3
    assert loss.get_ylabel() == "loss [nats]"
    assert accuracy.get_ylabel() == "accuracy"
    assert plane.get_xlabel() == "I(X;T) [bits]"
    train, test = loss.get_lines()
    np.testing.assert_allclose(train.get_ydata(), 2.0 - 0.3 * np.arange(6))
    np.testing.assert_allclose(test.get_ydata(), 2.0)


def test_zero_may_be_out_of_sight():
    _, axes = plotting.grid(2)
    table = rows(filters=[-1]).assign(I_XT=lambda t: t["epoch"] - 60.0)
    for ax, zero in zip(axes.flat, (True, False), strict=True):
        plotting.over_epochs(ax, table, "I_XT", hue="layer", zero=zero)
    assert axes[0, 0].get_ylim()[1] == 0.0
    assert axes[0, 1].get_ylim()[1] < -50
