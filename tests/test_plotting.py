"""Figures: what is drawn is what the tables say, with units, with zero, without overlaps."""

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgba
from mpl_toolkits.mplot3d import proj3d

from ibcore import plotting
from ibcore.datasets import szt
from ibcore.plotting.curves import ceilings

LAYERS = ("hidden1", "hidden2", "output")
EPOCHS = (0, 1, 10, 100)


@pytest.fixture(autouse=True)
def clean():
    with mpl.rc_context():
        yield
        plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def table(run="tanh", part="all", estimator="binning", seeds=3, shift=0.0):
    rows = [
        {
            "run": run, "set": part, "estimator": estimator, "seed": seed, "epoch": epoch,
            "layer": layer, "layer_index": index,
            "I_XT": 8 - 2 * index + np.log10(epoch + 1) + 0.1 * seed + shift,
            "I_TY": 0.9 - 0.1 * index + 0.01 * seed,
        }
        for seed in range(seeds) for epoch in EPOCHS for index, layer in enumerate(LAYERS)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def limits(runs=("tanh", "ReLU"), x=12.0, y=1.0):
    return pd.DataFrame(
        [{"run": run, "set": "all", "ceiling_X": x, "ceiling_Y": y} for run in runs]
    )


def contains(interval, *values):
    low, high = sorted(interval)
    return all(low <= value <= high for value in values)


def test_ceilings_are_the_mean_of_the_seeds_that_are_drawn():
    bounds = pd.concat(
        limits(x=x, y=y).assign(seed=seed) for seed, (x, y) in enumerate([(3, 1.0), (4, 0.5)])
    )
    part = pd.DataFrame({"run": "ReLU", "set": "all", "seed": [0, 1, 1]})
    assert ceilings(part, bounds) == {"ceiling_X": 3.5, "ceiling_Y": 0.75}
    assert ceilings(part[:1], bounds) == {"ceiling_X": 3.0, "ceiling_Y": 1.0}
    assert ceilings(part.drop(columns="seed"), bounds)["ceiling_X"] == 3.5


# ---------------------------------------------------------------- one plane


def test_plane_shows_means_over_seeds(ax):
    points = plotting.information_plane(ax, table())
    assert isinstance(points, PathCollection)
    found = {
        (round(x, 9), round(y, 9)): epoch
        for (x, y), epoch in zip(points.get_offsets(), points.get_array(), strict=True)
    }
    expected = {
        (round(8 - 2 * i + np.log10(e + 1) + 0.1, 9), round(0.9 - 0.1 * i + 0.01, 9)): e
        for i in range(3)
        for e in EPOCHS
    }
    assert found == expected


def test_plane_has_units_title_and_zero(ax):
    plotting.information_plane(ax, table(), title="tanh")
    assert ax.get_xlabel() == "I(X;T) [bits]"
    assert ax.get_ylabel() == "I(T;Y) [bits]"
    assert ax.get_title() == "tanh"
    assert contains(ax.get_xlim(), 0.0, 10.1)
    assert contains(ax.get_ylim(), 0.0, 0.91)


def test_negative_estimates_are_shown(ax):
    plotting.information_plane(ax, table(shift=-12.0))
    assert contains(ax.get_xlim(), -8, 0)


def test_ceilings_are_dotted_named_and_visible(ax):
    before = len(ax.lines)
    plotting.information_plane(ax, table(), ceiling_X=12.0, ceiling_Y=1.5)
    dotted = [line for line in ax.lines[before:] if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted[:1]] == [12.0]
    assert [line.get_ydata()[0] for line in dotted[1:]] == [1.5]
    assert [text.get_text() for text in ax.texts] == [r"$\log_2 n$", "H(Y)"]
    assert contains(ax.get_xlim(), 12.0)
    assert contains(ax.get_ylim(), 1.5)


def outside_all_axes(figure, legend):
    """Whether a legend lies within the figure and hides neither data nor the axes' own texts."""
    figure.canvas.draw()
    box = legend.get_window_extent()
    inside = figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 and box.y0 >= figure.bbox.y0
    shown = [ax for ax in figure.axes if ax.get_visible()]
    taken = [ax.bbox for ax in shown]
    for ax in shown:
        texts = (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts, *ax.get_xticklabels())
        taken += [text.get_window_extent() for text in texts if text.get_text()]
    return inside and not any(box.overlaps(other) for other in taken)


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("size", [(4.3, 3.6), (2.4, 2.2)])
@pytest.mark.parametrize("style", [False, True])
def test_the_legend_of_a_plane_is_below_its_axes(stopped, size, style):
    if style:
        plotting.use_style()
    figure, axes = plotting.grid(2, width=size[0], height=size[1])
    for ax in axes.flat:
        plotting.information_plane(ax, table(), ceiling_X=12.0, ceiling_Y=1.0, title="tanh")
        if stopped:
            plotting.early_stopping(ax, table(), STOPS)
    for ax in axes.flat:
        assert outside_all_axes(figure, ax.get_legend())
        assert ax.bbox.height > 0.4 * figure.dpi


def test_no_ceiling_no_dotted_line(ax):
    plotting.information_plane(ax, table())
    assert not [line for line in ax.lines if line.get_linestyle() == ":"]
    assert not ax.texts


def test_layers_are_told_apart_by_marker_and_name_at_the_last_epoch(ax):
    plotting.information_plane(ax, table())
    ends = [c for c in ax.collections if c.get_label() in LAYERS]
    assert [c.get_label() for c in ends] == list(LAYERS)
    assert len({c.get_paths()[0].vertices.tobytes() for c in ends}) == 3
    for index, end in enumerate(ends):
        expected = (8 - 2 * index + np.log10(101) + 0.1, 0.9 - 0.1 * index + 0.01)
        assert end.get_offsets()[0].tolist() == pytest.approx(expected)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(LAYERS)


def test_grey_lines_join_the_layers_of_an_epoch_in_network_order(ax):
    plotting.information_plane(ax, table())
    assert len(ax.lines) == len(EPOCHS)
    for line, epoch in zip(ax.lines, EPOCHS, strict=True):
        assert to_rgba(line.get_color()) == to_rgba("0.85")
        expected = [8 - 2 * i + np.log10(epoch + 1) + 0.1 for i in range(3)]
        assert line.get_xdata() == pytest.approx(expected)


def test_more_layers_than_markers(ax):
    many = pd.DataFrame(
        [{"seed": 0, "epoch": e, "layer": f"l{i}", "layer_index": i, "I_XT": i, "I_TY": i}
         for i in range(25) for e in (0, 1)]
    )  # fmt: skip
    plotting.information_plane(ax, many)
    assert len(ax.get_legend().get_texts()) == 25


def test_plane_of_the_initialisation_alone(ax):
    plotting.information_plane(ax, table().query("epoch == 0"))
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    ("mixed", "words"),
    [
        (("tanh", "all", "binning", "ReLU", "all", "binning"), r"one run, got \['ReLU', 'tanh'\]"),
        (("tanh", "all", "binning", "tanh", "test", "binning"), r"one set, got \['all', 'test'\]"),
        (("tanh", "all", "kde", "tanh", "all", "bin"), r"one estimator, got \['bin', 'kde'\]"),
    ],
)
def test_mixed_tables_are_refused(ax, mixed, words):
    both = pd.concat([table(*mixed[:3]), table(*mixed[3:])])
    with pytest.raises(ValueError, match=f"one information plane shows {words}"):
        plotting.information_plane(ax, both)


def test_a_plane_until_an_epoch_keeps_colours_and_limits():
    whole, part = plt.subplots(1, 2)[1]
    of_all = plotting.information_plane(whole, table())
    points = plotting.information_plane(part, table(), until=EPOCHS[1])
    assert set(points.get_array()) == set(EPOCHS[:2])
    assert points.norm.vmax == of_all.norm.vmax == max(EPOCHS)
    assert part.get_xlim() == whole.get_xlim()
    assert part.get_ylim() == whole.get_ylim()
    assert whole.get_legend().get_title().get_text() == "layer at the last epoch"
    assert part.get_legend().get_title().get_text() == f"layer at epoch {EPOCHS[1]}"
    plotting.early_stopping(part, table(), STOPS)
    assert part.get_legend().get_title().get_text() == f"layer at epoch {EPOCHS[1]}"
    figure = plotting.information_planes(table(), limits(), until=EPOCHS[1])
    assert figure.legends[0].get_title().get_text() == f"layer at epoch {EPOCHS[1]}"
    assert figure.axes[0].collections[0].get_offsets().tolist() == points.get_offsets().tolist()


def test_a_plane_until_before_the_first_epoch_is_refused(ax):
    with pytest.raises(ValueError, match="nothing was measured until epoch -1"):
        plotting.information_plane(ax, table(), until=-1)


def test_empty_tables_are_refused(ax):
    with pytest.raises(ValueError, match="an information plane needs at least one row"):
        plotting.information_plane(ax, table().iloc[:0])
    with pytest.raises(ValueError, match="information planes need at least one row"):
        plotting.information_planes(table().iloc[:0], limits())


@pytest.mark.parametrize("last", [0, 1, 60, 10_000])
def test_epoch_colours_are_logarithmic_with_room_for_0(last):
    norm = plotting.epoch_norm(last)
    assert float(norm(0)) == 0.0
    assert float(norm(max(last, 2))) == 1.0
    values = norm(np.arange(max(last, 2) + 1))
    assert (np.diff(values) > 0).all()
    if last == 10_000:
        assert values[1000] - values[100] == pytest.approx(values[100] - values[10], rel=1e-6)
        assert values[1] > 0.03


# ---------------------------------------------------------------- several planes


def colour_bars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def test_planes_share_one_colour_bar_and_scale():
    both = pd.concat([table(), table("ReLU").query("epoch < 100")])
    figure = plotting.information_planes(both, limits())
    (bar,) = colour_bars(figure)
    assert bar.get_ylabel() == "epoch (0 = initialisation)"
    assert [axes.get_title() for axes in figure.axes if axes is not bar] == ["tanh", "ReLU"]
    norms = [
        c.norm for axes in figure.axes for c in axes.collections
        if isinstance(c, PathCollection) and c.get_array() is not None
    ]  # fmt: skip
    assert [norm.vmax for norm in norms] == [100, 100]


@pytest.mark.parametrize(
    ("last", "ticks"),
    [
        (1, ["0", "1", "2"]),
        (60, ["0", "1", "10", "60"]),
        (100, ["0", "1", "10", "100"]),
        (120, ["0", "1", "10", "120"]),
        (1200, ["0", "1", "10", "100", "1200"]),
        (4000, ["0", "1", "10", "100", "1000", "4000"]),
    ],
)
def test_colour_bar_ticks(ax, last, ticks):
    points = plotting.information_plane(ax, table(), last_epoch=last)
    plotting.epoch_colourbar(ax.figure, points, [ax])
    (bar,) = colour_bars(ax.figure)
    assert [label.get_text() for label in bar.get_yticklabels()] == ticks


def test_planes_in_rows_with_titles_and_without_an_empty_panel():
    tables = pd.concat([table(run) for run in "abc"])
    figure = plotting.information_planes(
        tables, limits("abc"), columns=2, titles={"a": "first panel"}
    )
    panels = [axes for axes in figure.axes if axes not in colour_bars(figure)]
    assert [axes.get_title() for axes in panels] == ["first panel", "b", "c", ""]
    assert [axes.get_visible() for axes in panels] == [True, True, True, False]
    assert len(colour_bars(figure)) == 1


def test_planes_by_another_column_take_the_ceiling_of_their_run():
    both = pd.concat([table(estimator="KDE upper"), table(estimator="KDE lower")])
    both = both.assign(panel=both["run"] + ", " + both["estimator"])
    bounds = pd.concat([limits(("ReLU",), x=3.0), limits(("tanh",), x=11.0)])
    figure = plotting.information_planes(both, bounds, by="panel")
    for axes in figure.axes[:2]:
        dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert dotted[0].get_xdata()[0] == 11.0


def network(run, layers):
    rows = [
        {"run": run, "set": "all", "estimator": "binning", "seed": 0, "epoch": epoch,
         "layer": layer, "layer_index": i, "I_XT": 12 - i, "I_TY": 1 - 0.01 * i * epoch}
        for epoch in (0, 1) for i, layer in enumerate(layers)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def named(legend):
    return [text.get_text() for text in legend.get_texts()]


def marks(ax):
    """Layer to the shape of its marker."""
    ends = [c for c in ax.collections if not c.get_label().startswith("_")]
    return {c.get_label(): c.get_paths()[0].vertices.tobytes() for c in ends}


@pytest.mark.parametrize("panels", [1, 2, 4, 6])
def test_planes_have_one_legend_below_all_of_them(panels):
    plotting.use_style()
    runs = "abcdef"[:panels]
    tables = pd.concat([table(run) for run in runs])
    figure = plotting.information_planes(tables, limits(runs), columns=min(3, panels))
    (legend,) = figure.legends
    assert named(legend) == list(LAYERS)
    assert legend.get_title().get_text() == "layer at the last epoch"
    assert not any(ax.get_legend() for ax in figure.axes)
    plotting.mark_standin(figure, "stand-in (digits) for MNIST")
    assert outside_all_axes(figure, legend)


def test_long_names_of_layers_stay_within_the_figure():
    plotting.use_style()
    layers = [f"features.denseblock{i}" for i in range(10)]
    figure = plotting.information_planes(network("a", layers), limits("a"))
    assert outside_all_axes(figure, figure.legends[0])


def test_a_layer_has_the_same_marker_in_networks_of_different_depth():
    shallow, deep = ["conv1", "output"], ["conv1", "conv2", "conv3", "output"]
    tables = pd.concat([network("a", shallow), network("b", deep)])
    figure = plotting.information_planes(tables, limits("ab"))
    first, second = (marks(ax) for ax in figure.axes[:2])
    assert first == {layer: second[layer] for layer in shallow}
    assert len(set(second.values())) == 4
    assert named(figure.legends[0]) == deep


def test_networks_with_more_layers_than_markers_keep_their_own_legends():
    one, other = [f"a{i}" for i in range(6)], [f"b{i}" for i in range(6)]
    tables = pd.concat([network("a", one), network("b", other)])
    figure = plotting.information_planes(tables, limits("ab"))
    assert not figure.legends
    assert [named(ax.get_legend()) for ax in figure.axes[:2]] == [one, other]


def test_one_legend_in_place_of_several():
    figure, axes = plotting.grid(2)
    for ax, epoch in zip(axes.flat, (1, 100), strict=True):
        plotting.information_plane(ax, table(), until=epoch)
    height = figure.get_figheight()
    legend = plotting.layer_legend(figure)
    assert figure.legends == [legend]
    assert legend.get_title().get_text() == "layer at the last epoch shown"
    assert named(legend) == list(LAYERS)
    assert figure.get_figheight() > height


def test_a_star_enters_the_legend_of_the_figure():
    figure = plotting.information_planes(table(), limits())
    height = figure.get_figheight()
    plotting.early_stopping(figure.axes[0], table(), STOPS)
    (legend,) = figure.legends
    assert named(legend) == [*LAYERS, "early stopping"]
    assert figure.get_figheight() == height
    assert outside_all_axes(figure, legend)


# ---------------------------------------------------------------- over epochs


def boxes(figure, texts):
    figure.canvas.draw()
    return [text.get_window_extent() for text in texts]


def band_edges(ax):
    (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    heights = band.get_paths()[0].vertices[:, 1]
    return heights.min(), heights.max()


def test_over_epochs_is_mean_and_standard_deviation(ax):
    assert plotting.over_epochs(ax, table(), "I_XT", hue="layer", ylabel="y", title="t") is ax
    lines = {line.get_label(): line for line in ax.lines}
    assert set(lines) == set(LAYERS)
    line = lines["hidden2"]
    assert line.get_xdata().tolist() == list(EPOCHS)
    expected = [6 + np.log10(e + 1) + 0.1 for e in EPOCHS]
    assert line.get_ydata() == pytest.approx(expected)
    bands = [c for c in ax.collections if isinstance(c, PolyCollection)]
    heights = np.ptp(bands[0].get_paths()[0].vertices[:, 1])
    assert heights == pytest.approx(np.log10(101) + 2 * 0.1)
    assert ax.get_xlabel() == "epoch (0 = initialisation)"
    assert (ax.get_ylabel(), ax.get_title()) == ("y", "t")


def test_over_epochs_shows_epoch_0_zero_and_the_ceiling(ax):
    plotting.over_epochs(ax, table(), "I_XT", hue="layer", ceiling=12.0)
    assert ax.get_xlim() == (0, 100)
    assert ax.get_xscale() == "symlog"
    assert contains(ax.get_ylim(), 0.0, 12.0)
    assert ax.get_ylabel() == "I_XT"
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in dotted] == [12.0]


def test_a_band_ends_where_no_value_can_be(ax):
    """One seed at 0 and one at the ceiling: mean and deviation alone reach beyond both."""
    ends = pd.DataFrame(
        {"seed": [0, 1] * 2, "epoch": [0, 0, 10, 10], "v": [0.0, 8.0] * 2, "l": "a"}
    )
    plotting.over_epochs(ax, ends, "v", hue="l", ceiling=8.0)
    assert band_edges(ax) == pytest.approx((0.0, 8.0))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 8.0), (0.0, 9.0)])
def test_a_band_is_whole_where_values_are_beyond(ax, low, high):
    """Estimates may be below 0 or above the ceiling; then that side of the band is not cut."""
    ends = pd.DataFrame({"seed": [0, 1], "epoch": [10, 10], "v": [low, high], "l": "a"})
    plotting.over_epochs(ax, ends, "v", hue="l", ceiling=8.0)
    middle, spread = (low + high) / 2, (high - low) / 2**0.5
    cut = (0.0, middle + spread) if low == 0 else (middle - spread, 8.0)
    assert band_edges(ax) == pytest.approx(cut)


@pytest.mark.parametrize(
    ("column", "high", "edge"),
    [("test_accuracy", 1.0, 1.0), ("test_accuracy", 90.0, 109.39), ("loss", 1.0, 1.1536)],
)
def test_a_band_of_accuracies_ends_at_1_without_a_line_there(ax, column, high, edge):
    """Unless they are percentages, which are beyond 1."""
    seeds = pd.DataFrame({"seed": [0, 1, 2], "epoch": 10, column: [0.2 * high, high, high]})
    plotting.over_epochs(ax, seeds.assign(l="a"), column, hue="l")
    mean, spread = seeds[column].mean(), seeds[column].std()
    assert mean + spread > high
    assert band_edges(ax)[1] == pytest.approx(1.0 if edge == 1.0 else mean + spread)
    assert not [line for line in ax.lines if line.get_linestyle() == ":"]


def test_a_name_keeps_its_colour_where_others_are_missing(ax):
    runs = ["tanh", "ReLU", "full batch"]
    colours = plotting.palette(runs)
    assert len(set(colours.values())) == 3
    some = pd.concat([table(run) for run in ("full batch", "tanh")]).query("layer == 'output'")
    plotting.over_epochs(ax, some, "I_XT", hue="run", colours=colours)
    assert {line.get_label(): line.get_color() for line in ax.lines} == {
        run: colours[run] for run in ("full batch", "tanh")
    }


def test_negative_curves_are_shown(ax):
    plotting.over_epochs(ax, table(shift=-12.0), "I_XT", hue="layer")
    assert contains(ax.get_ylim(), -8.0, 0.0)


def test_one_seed_has_a_band_of_no_width(ax):
    plotting.over_epochs(ax, table(seeds=1), "I_XT", hue="layer")
    ax.figure.canvas.draw()
    assert np.isfinite(ax.dataLim.get_points()).all()


def test_names_stand_at_the_ends_in_the_colour_of_their_lines(ax):
    plotting.over_epochs(ax, table(), "I_XT", hue="layer")
    assert sorted(text.get_text() for text in ax.texts) == sorted(LAYERS)
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert len(set(colours.values())) == 3
    for text in ax.texts:
        assert text.get_color() == colours[text.get_text()]
        assert text.xy[0] == 100
    assert ax.get_legend() is None


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0])
def test_names_at_the_ends_do_not_overlap(spread):
    figure, axes = plotting.grid(1)
    lines = pd.DataFrame(
        [{"seed": 0, "epoch": e, "layer": f"layer {i}", "v": 5 + spread * i}
         for i in range(8) for e in (0, 10)]
    )  # fmt: skip
    plotting.over_epochs(axes[0, 0], lines, "v", hue="layer")
    found = boxes(figure, axes[0, 0].texts)
    assert len(found) == 8
    assert contains(axes[0, 0].get_ylim(), *(text.xy[1] for text in axes[0, 0].texts))
    for one, other in itertools.combinations(found, 2):
        assert not one.overlaps(other)
    heights = [box.y0 for _, box in sorted(zip([t.get_text() for t in axes[0, 0].texts], found,
                                               strict=True), key=lambda pair: pair[0])]  # fmt: skip
    assert heights == sorted(heights)


def test_a_legend_instead_of_names_at_the_ends(ax):
    plotting.over_epochs(ax, table(), "I_XT", hue="layer", label_ends=False)
    assert not ax.texts
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(LAYERS)


def test_layers_over_epochs():
    both = pd.concat([table(), table("ReLU")])
    figure = plotting.layers_over_epochs(
        both, "I_XT", ylabel="I(X;T) [bits]", titles={"ReLU": "rectifier"}, ceilings={"tanh": 12.0}
    )
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["tanh", "rectifier"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["I(X;T) [bits]"] * 2
    assert [line.get_label() for line in first.lines[:3]] == list(LAYERS)
    assert len(first.lines) == 4
    assert len(second.lines) == 3


def estimators():
    """Three estimators on numbers of samples of their own, and the bounds of these."""
    rows = [("binning", 4096, 0.0), ("nearest neighbour", 800, 0.0), ("Renyi", 100, -7.5)]
    tables = [table(estimator=e, shift=shift).assign(n=n) for e, n, shift in rows]
    bounds = [limits(("tanh",), x=np.log2(n)).assign(n=n) for _, n, _ in rows]
    return pd.concat(tables), pd.concat(bounds)


def dotted_heights(ax):
    return [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"]


def test_layers_by_estimator_have_names_and_limits_of_their_own():
    measured, bounds = estimators()
    figure = plotting.layers_over_epochs(measured, "I_XT", by="estimator", bounds=bounds, columns=2)
    panels = figure.axes
    assert [ax.get_visible() for ax in panels] == [True] * 3 + [False]
    found = {ax.get_title(): (ax.get_ylabel(), dotted_heights(ax)) for ax in panels[:3]}
    assert found == {
        "binning": ("I(X;T) [bits]", [12.0]),
        "nearest neighbour": ("H(T) [bits]", []),
        "Renyi": ("I(X;T) [bits]", []),
    }
    figure = plotting.layers_over_epochs(measured, "I_TY", by="estimator", bounds=bounds)
    assert [ax.get_ylabel() for ax in figure.axes] == ["I(T;Y) [bits]"] * 3
    assert [dotted_heights(ax) for ax in figure.axes] == [[1.0]] * 3
    figure = plotting.layers_over_epochs(measured.assign(e=0.5), "e", by="estimator")
    assert [ax.get_ylabel() for ax in figure.axes] == ["e"] * 3


def test_grid_has_the_size_it_is_given():
    figure, axes = plotting.grid(3, rows=2, width=2.0, height=1.5)
    assert axes.shape == (2, 3)
    assert figure.get_size_inches().tolist() == pytest.approx([6.8, 3.0])


# ---------------------------------------------------------------- other figures


def test_intervals(ax):
    rows = pd.DataFrame(
        {"claim": ["a", "b"], "mean": [1.0, 2.0], "low": [0.5, 1.0], "high": [2.0, 2.5]}
    )
    drawn = plotting.intervals(ax, rows, label="claim", xlabel="drop [bits]", threshold=0.3)
    assert drawn is ax
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    assert ax.get_yticks().tolist() == [1, 0]
    (bars,) = [c for c in ax.collections if c.get_label().startswith("_")]
    assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [[0.5, 2.0], [1.0, 2.5]]
    assert ax.get_xlabel() == "drop [bits]"
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [0.3]


def test_an_infinite_interval_can_be_drawn(ax):
    rows = pd.DataFrame(
        {"claim": ["one seed", "b"], "mean": [1.0, 2.0], "low": [-np.inf, 1.0], "high": [np.inf, 3]}
    )
    plotting.intervals(ax, rows, label="claim", xlabel="x")
    ax.figure.canvas.draw()
    assert np.isfinite(ax.get_xlim()).all()


def test_estimates_against_n():
    rows = pd.DataFrame(
        [{"estimator": name, "n": n, "d": d, "estimate": 1.0 + bias + 0.1 * r, "truth": 1.0}
         for name, bias in (("a", 0.5), ("b", -0.5), ("c", 0.0), ("d", 0.1))
         for n in (100, 1000) for d in (2, 5) for r in (-1, 1)]
    )  # fmt: skip
    figure = plotting.estimates_against_n(rows)
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", "d", "", ""]
    assert [axes.get_visible() for axes in panels] == [True] * 4 + [False] * 2
    assert panels[0].lines[0].get_ydata().tolist() == pytest.approx([0.5, 0.5])
    assert panels[0].get_ylabel() == "estimate - truth [bits]"
    assert [text.get_text() for text in panels[0].get_legend().get_texts()] == ["d = 2", "d = 5"]
    assert [line.get_ydata()[0] for line in panels[1].lines if line.get_linestyle() == ":"] == [0]


def test_against_parameter(ax):
    rows = pd.DataFrame(
        {"width": [1.0, 0.1, 1.0, 0.1], "I": [2.0, 1.0, 4.0, 3.0], "d": [1, 1, 5, 5]}
    )
    options = {"x": "width", "y": "I", "hue": "d", "xlabel": "bin width", "ylabel": "I [bits]"}
    assert plotting.against_parameter(ax, rows, **options, ceilings={1: 6.0, 5: 7.0}) is ax
    solid = [line for line in ax.lines if line.get_linestyle() != ":"]
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata().tolist() for line in solid] == [[0.1, 1.0]] * 2
    assert [line.get_ydata().tolist() for line in solid] == [[1.0, 2.0], [3.0, 4.0]]
    assert [line.get_ydata()[0] for line in dotted] == [6.0, 7.0]
    assert [line.get_color() for line in dotted] == [line.get_color() for line in solid]
    assert ax.get_xscale() == "log"
    assert contains(ax.get_ylim(), 0.0, 7.0)
    _, plain = plt.subplots()
    plotting.against_parameter(plain, rows, **options)
    assert len(plain.lines) == 2


def test_binned_plane(ax):
    T = np.array([[0.1, -0.2], [0.9, 0.4], [0.6, 0.3]])
    assert plotting.binned_plane(ax, T, np.array([0, 1, 1]), 0.5, title="t") is ax.figure
    vertical = [
        line.get_xdata()[0] for line in ax.lines if line.get_xdata()[0] == line.get_xdata()[1]
    ]
    horizontal = [line.get_ydata()[0] for line in ax.lines if line not in ax.lines[: len(vertical)]]
    assert vertical == [0.0, 0.5, 1.0]
    assert horizontal == [-0.5, 0.0, 0.5]
    assert ax.collections[0].get_offsets().tolist() == T.tolist()


def test_icosahedra():
    bits = np.zeros(12)
    bits[[0, 3]] = 1
    vertices = szt.icosahedron_vertices()
    figure = plotting.icosahedra(vertices, {"two": bits, "none": np.zeros(12)})
    figure.canvas.draw()
    two, none = figure.axes
    assert (two.get_title(), none.get_title()) == ("two", "none")
    assert len(two.lines) == 30  # the edges of an icosahedron
    for axes, expected in ((two, bits), (none, np.zeros(12))):
        depth = proj3d.proj_transform(*vertices.T, axes.M)[2]  # colours are sorted by it when drawn
        orange = (axes.collections[0].get_facecolor() == to_rgba("tab:orange")).all(1)
        assert orange.tolist() == (expected[np.argsort(-depth)] == 1).tolist()
    assert [text.get_text() for text in two.texts] == [str(i) for i in range(12)]


def test_the_numbers_of_the_vertices_are_beside_them():
    vertices = szt.icosahedron_vertices()
    figure = plotting.icosahedra(vertices, {"none": np.zeros(12)})
    figure.canvas.draw()
    (ax,) = figure.axes
    written = np.array([text.get_position_3d() for text in ax.texts])
    nodes, texts = (
        ax.transData.transform(np.column_stack(proj3d.proj_transform(*points.T, ax.M)[:2]))
        for points in (vertices, written)
    )
    radius, letters = (60**0.5 / 2 * figure.dpi / 72, 7 * figure.dpi / 72)
    distances = np.linalg.norm(nodes - texts[:, None], axis=2)
    assert distances.min() > radius + letters / 2
    assert distances.argmin(axis=1).tolist() == list(range(12))


def test_amplitude_histogram(ax):
    amplitude = np.linspace(0, 12, 101)
    labels = (amplitude > 7.6).astype(int)
    assert plotting.amplitude_histogram(ax, amplitude, labels, 7.6) is ax
    heights = [sum(patch.get_height() for patch in bars) for bars in ax.containers]
    assert heights == [(labels == 0).sum(), (labels == 1).sum()]
    assert [line.get_xdata()[0] for line in ax.lines] == [7.6]


def test_no_bin_of_amplitudes_holds_both_labels(ax):
    amplitude = np.linspace(0, 12, 1201) + 0.003
    plotting.amplitude_histogram(ax, amplitude, (amplitude > 7.6).astype(int), 7.6)
    below, above = (
        [bar for bar in bars if bar.get_height() > 0] for bars in ax.containers
    )  # fmt: skip
    assert max(bar.get_x() + bar.get_width() for bar in below) == pytest.approx(7.6)
    assert min(bar.get_x() for bar in above) == pytest.approx(7.6)
    assert sum(bar.get_height() for bar in (*below, *above)) == 1201


# ---------------------------------------------------------------- penalties and early stopping


def history(run="tanh", scale=1.0):
    rows = [
        {
            "run": run, "seed": seed, "epoch": epoch,
            "train_loss": 1 / (1 + epoch) * scale, "test_loss": (1 + 0.1 * epoch) * scale,
            "train_accuracy": 0.9, "test_accuracy": 0.5 + 0.1 * seed,
        }
        for seed in range(3) for epoch in EPOCHS
    ]  # fmt: skip
    return pd.DataFrame(rows)


STOPS = pd.DataFrame({"run": "tanh", "seed": [0, 1, 2], "epoch": [1, 10, 10]})


def test_stars_are_means_at_each_seeds_own_epoch(ax):
    plotting.information_plane(ax, table())
    assert plotting.early_stopping(ax, table(), STOPS) is ax
    stars = ax.collections[-1]
    expected = [
        (8 - 2 * i + np.mean(np.log10([2, 11, 11])) + 0.1, 0.9 - 0.1 * i + 0.01) for i in range(3)
    ]
    assert stars.get_offsets().ravel().tolist() == pytest.approx(np.ravel(expected).tolist())
    assert "early stopping" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_early_stopping_beside_the_learning_curves():
    runs = ("ReLU", "tanh")
    tables = pd.concat([table(run) for run in runs])
    both = pd.concat([history(run, scale=100) for run in runs])
    stops = pd.concat([STOPS.assign(run=run) for run in runs])
    figure = plotting.planes_and_training(tables, both, limits(runs), stops=stops)
    panels = [axes for axes in figure.axes if axes not in colour_bars(figure)]
    loss, accuracy, plane = panels[3:]
    for ax in (loss, accuracy):
        (median,) = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
        assert median == 10
    assert plane.get_legend() is None
    assert named(figure.legends[0]) == [*LAYERS, "early stopping"]
    assert outside_all_axes(figure, figure.legends[0])
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("symlog", "linear")
    assert loss.get_ylim()[0] == 0
    assert contains(loss.get_ylim(), 1100)
    figure.canvas.draw()
    assert {"0", "1", "10", "100"} <= {label.get_text() for label in loss.get_yticklabels()}


def cells(held):
    rows = [
        {"L2": l2, "variance": v, "drop": 10 * l2 + v, "held": held(l2, v)}
        for l2 in (0.0, 0.001, 0.01) for v in (0.01, 0.1)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def verdict_map(ax, held):
    return plotting.verdict_map(
        ax, cells(held), x="variance", y="L2", value="drop", inside="held", limits=(0, 1),
        label="drop [bits]", title="t",
    )  # fmt: skip


def frame(ax):
    """The edges drawn about cells, as a set of ((x, y), (x, y))."""
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    segments = [segment for line in lines for segment in line.get_segments()]
    return {tuple(sorted(map(tuple, segment.tolist()))) for segment in segments}


def test_verdict_map(ax):
    assert verdict_map(ax, lambda l2, v: (l2, v) == (0.001, 0.1)) is ax
    assert frame(ax) == {
        ((1, 1), (1, 2)),
        ((2, 1), (2, 2)),
        ((1, 1), (2, 1)),
        ((1, 2), (2, 2)),
    }
    assert [text.get_text() for text in ax.texts] == [
        "0.01",
        "0.10",
        "0.02",
        "0.11",
        "0.11",
        "0.20",
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "0.001", "0.01"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.01", "0.1"]
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("variance", "L2", "t")
    assert ax.collections[0].get_clim() == (0, 1)
    assert ax.get_ylim() == (0, 3)


@pytest.mark.parametrize(
    ("held", "edges"),
    [
        (lambda l2, v: False, 0),
        (lambda l2, v: True, 10),
        (lambda l2, v: l2 == 0.01, 6),
        (lambda l2, v: l2 == 0.01 or v == 0.1, 10),
    ],
)
def test_the_line_runs_about_the_cells_and_not_between_them(ax, held, edges):
    verdict_map(ax, held)
    assert len(frame(ax)) == edges


def test_places(ax):
    X = np.array([[10.0, 50.0, 1.0], [-70.0, 40.0, 2.0], [11.0, 51.0, 3.0]])
    plotting.places(ax, X, np.array([1, 0, 1]), ("Diglett", "Seel"), title="t")
    assert [c.get_offsets().tolist() for c in ax.collections] == [
        [[-70.0, 40.0]],
        [[10.0, 50.0], [11.0, 51.0]],
    ]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Diglett (1)", "Seel (2)"]
    assert ax.get_xlabel() == "longitude [degrees]"


# ---------------------------------------------------------------- style


def test_stand_ins_are_marked_within_the_figure(ax):
    plotting.mark_standin(ax.figure, "stand-in (digits) for MNIST")
    (text,) = ax.figure.texts
    assert text.get_text() == "stand-in (digits) for MNIST"
    (box,) = boxes(ax.figure, [text])
    figure = ax.figure.bbox
    assert figure.x0 <= box.x0 < box.x1 <= figure.x1
    assert figure.y0 <= box.y0 < box.y1 <= figure.y1


def test_style():
    plotting.use_style()
    assert not mpl.rcParams["axes.spines.top"]
    assert mpl.rcParams["savefig.dpi"] == 110
    assert mpl.rcParams["svg.hashsalt"] == "ibcore"


def test_tables_are_not_changed(ax):
    given, bounds = table(), limits(("tanh",))
    before = given.copy(), bounds.copy()
    plotting.information_planes(given, bounds)
    plotting.over_epochs(ax, given, "I_XT", hue="layer")
    pd.testing.assert_frame_equal(given, before[0])
    pd.testing.assert_frame_equal(bounds, before[1])


# ---------------------------------------------------------------- saliency maps


def strip(layers, side=4):
    pixels = [np.full(side * side, i, np.uint8) for i in range(len(layers) + 1)]
    return pd.DataFrame(
        {
            "layer": ["picture", *layers],
            "side": [32, *(32 >> i for i in range(len(layers)))],
            "pixels": [f"x{one.tobytes().hex()}" for one in pixels],
        }
    )


def test_saliency_strips():
    strips = {"A, random": strip(["a", "b", "c", "d"]), "B, trained": strip(["a"])}
    figure = plotting.saliency_strips(strips, every=2)
    shown = [ax for ax in figure.axes if ax.images]
    titles = [ax.get_title() for ax in shown]
    assert titles == ["A\nrandom", "a\n32x32", "c\n8x8", "d\n4x4", "B\ntrained", "a\n32x32"]
    values = [np.unique(ax.images[0].get_array()).tolist() for ax in shown]
    assert values == [[0], [1], [3], [4], [0], [1]]
    assert {ax.images[0].get_clim() for ax in shown} == {(0, 255)}
    assert not any(ax.axison for ax in figure.axes)


@pytest.mark.parametrize("rows", [1, 8])
def test_the_name_of_a_stand_in_has_room_above_strips(rows):
    layers = ["a", "b", "c", "d"]
    figure = plotting.saliency_strips({f"row {i}, random": strip(layers) for i in range(rows)})
    plotting.mark_standin(figure, "stand-in (digits) for CIFAR-10")
    titles = [ax.title for ax in figure.axes[:5]]
    name, *others = boxes(figure, [figure.texts[0], *titles])
    assert max(box.y1 for box in others) <= name.y0 < name.y1 <= figure.bbox.y1


def test_entropy_through_depth():
    def curves(network, setting, shift):
        index = np.arange(4)
        mean = 0.8 - 0.1 * index + shift
        return pd.DataFrame(
            {
                "network": network, "setting": setting, "layer": [f"l{i}" for i in index],
                "layer_index": index, "side": [32, 32, 16, 8], "mean": mean, "low": mean - 0.05,
                "high": mean + 0.05,
            }
        )  # fmt: skip

    table = pd.concat(
        [curves("A", "random", 0), curves("A", "trained", 0.1), curves("B", "random", 0)]
    )
    null = pd.concat([curves("A", "random", 0.2), curves("B", "random", 0.2)])
    known = pd.DataFrame(
        {"network": ["A"], "layer": ["l2"], "setting": ["trained"], "published": [0.66]}
    )
    figure = plotting.entropy_through_depth(table, null, known)
    first, second = (ax for ax in figure.axes if ax.get_visible())
    assert [ax.get_title() for ax in (first, second)] == ["A", "B"]
    assert first.get_ylim() == (0, 1)
    lines = {line.get_label(): line for line in first.lines}
    assert np.allclose(lines["pixels shuffled"].get_ydata(), 1.0 - 0.1 * np.arange(4))
    assert np.allclose(lines["trained"].get_ydata(), 0.9 - 0.1 * np.arange(4))
    crosses = [line for line in first.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(line.get_xdata().tolist(), line.get_ydata().tolist()) for line in crosses] == [
        ([2], [0.66])
    ]
    assert [text.get_text() for text in first.get_xticklabels()] == ["32", "16", "8"]
    assert first.get_xticks().tolist() == [0, 2, 3]
    without = plotting.entropy_through_depth(table, null)
    assert not [line for line in without.axes[0].lines if line.get_marker() == "x"]
    four = pd.concat([curves(network, "random", 0) for network in "ABCD"])
    figure = plotting.entropy_through_depth(four, four)
    assert [ax.get_visible() for ax in figure.axes] == [True] * 4 + [False] * 2


def test_entropy_by_layer_shows_curves_and_fits():
    epochs = np.arange(5)
    table = pd.concat(
        pd.DataFrame({"seed": seed, "epoch": epochs, "layer": layer, "entropy": 0.1 * epochs})
        for seed in (0, 1)
        for layer in ("a", "b", "unknown")
    )
    names = ["layer_index", "layer", "seed", "bend", "start", "level", "follows"]
    rows = [(1, "b", 0, 4, 0.0, 0.4, False), (0, "a", 0, 2, 0.1, 0.3, True),
            (0, "a", 1, 3, 0.1, 0.4, False)]  # fmt: skip
    figure = plotting.entropy_by_layer(table, pd.DataFrame(rows, columns=names), columns=3)
    first, second, third = figure.axes
    assert [first.get_title(), second.get_title()] == ["a: 1 of 2", "b: 0 of 1"]
    assert not third.get_visible()
    curve, fit = first.lines[:2]
    assert np.allclose(curve.get_ydata(), 0.1 * epochs)
    assert list(zip(*fit.get_data(), strict=True)) == [(0, 0.1), (2, 0.3), (4, 0.3)]
    assert len(first.lines) == 4
    assert len(second.lines) == 2
    plt.close(figure)


def test_answers_are_cells_with_the_drop_or_a_word():
    rows = [
        ("net", "a", "binning", 0.5, "yes"),
        ("net", "a", "KDE", 0.01, "no"),
        ("net", "b", "binning", 0.1, "open"),
        ("net", "b", "KDE", 0.0, "cannot tell (at the ceiling)"),
    ]
    given = pd.DataFrame(rows, columns=["network", "layer", "estimator", "drop", "falls"])
    figure = plotting.answer_matrix(given, rows=["network", "layer"], columns="estimator")
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.01", "0.10", "at ceiling"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["net, a", "net, b"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["binning", "KDE"]
    colours = [to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert colours == [*plotting.ANSWERS.values(), "#ffffff"]
    plt.close(figure)


def test_information_is_drawn_above_and_below():
    both = pd.concat([table().assign(set=part) for part in ("train", "test")])
    bounds = pd.concat([limits(x=x).assign(set=part) for part, x in (("train", 12), ("test", 99))])
    figure = plotting.information_over_epochs(both, bounds, hue="layer", by=["set"], title="net")
    labels = [(ax.get_ylabel(), ax.get_title()) for ax in figure.axes]
    assert labels == [
        ("I(X;T) [bits]", "net, train"),
        ("I(X;T) [bits]", "net, test"),
        ("I(T;Y) [bits]", "net, train"),
        ("I(T;Y) [bits]", "net, test"),
    ]
    dotted = [line for ax in figure.axes for line in ax.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata()[0] for line in dotted] == [12, 1, 1]
    plt.close(figure)


# ---------------------------------------------------------------- pruned networks


def pruned(runs=("a", "b"), configurations=("one", "two"), rounds=2, seeds=3):
    rows = [
        {"run": run, "configuration": "unpruned", "score": "unpruned", "round": 0, "seed": seed,
         "parameters": 200, "accuracy": 0.8 + 0.01 * seed}
        for run in runs for seed in range(seeds)
    ]  # fmt: skip
    rows += [
        {"run": run, "configuration": configuration, "score": score, "round": number, "seed": seed,
         "parameters": 200 - 50 * number, "accuracy": 0.7 - 0.1 * number - 0.2 * s + 0.01 * seed}
        for run in runs for configuration in configurations
        for s, score in enumerate(("HRel", "random"))
        for number in range(1, rounds + 1) for seed in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_pruned_accuracy_starts_at_the_whole_network():
    figure = plotting.pruned_accuracy(pruned())
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in panels] == ["a, one", "a, two", "b, one", "b, two"]
    assert len(figure.axes) == 6
    for ax in panels:
        assert ax.get_xlabel() == "parameters left [%]"
        assert ax.get_ylabel() == "test accuracy [%]"
        assert ax.get_xlim() == (105, 0)
        low, high = ax.get_ylim()
        assert low == 0
        assert high > 82
        first, second = ax.get_lines()
        for line, expected in ((first, [50, 60, 80]), (second, [30, 40, 80])):
            np.testing.assert_allclose(line.get_xdata(), [50, 75, 100])
            np.testing.assert_allclose(line.get_ydata(), np.add(expected, 1))
        band = ax.collections[0].get_paths()[0].get_extents()
        assert (band.y0, band.y1) == (pytest.approx(50), pytest.approx(82))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["HRel", "random"]


def test_the_band_of_a_pruned_network_ends_at_100_percent():
    """Four seeds at 1 and one at 0.5: mean and deviation alone reach beyond."""
    table = pruned(("a",), ("one",), 1, 5)
    table = table.assign(accuracy=1 - 0.5 * (table["seed"] == 0))
    band = plotting.pruned_accuracy(table).axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (pytest.approx(90 - 50 / 5**0.5), 100)


def test_a_network_at_chance_has_room_above_it():
    table = pruned(("a",), ("one",), 1, 1).assign(accuracy=0.02)
    assert plotting.pruned_accuracy(table).axes[0].get_ylim() == (0, 10)


def test_agreement_through_depth():
    rows = pd.DataFrame(
        [{"run": run, "seed": seed, "layer_index": layer, "pair": pair,
          "correlation": c + 0.1 * seed}
         for run in ("VGG16", "ResNet8") for pair, c in (("x and y", 0.5), ("x and z", -0.7))
         for layer in range(4) for seed in (-1, 0, 1)]
    )  # fmt: skip
    figure = plotting.agreement_through_depth(rows)
    assert [ax.get_title() for ax in figure.axes] == ["VGG16", "ResNet8"]
    for ax in figure.axes:
        first, second, zero = ax.get_lines()
        np.testing.assert_allclose(first.get_ydata(), 0.5)
        np.testing.assert_allclose(second.get_ydata(), -0.7, atol=1e-12)
        assert set(zero.get_ydata()) == {0}
        assert ax.get_ylim() == (-1.05, 1.05)
        assert ax.get_ylabel() == "rank correlation (Spearman)"
        assert all(tick == round(tick) for tick in ax.get_xticks())
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["x and y", "x and z"]


def test_freezing_order_has_a_mark_per_seed_and_layer(ax):
    frozen = pd.DataFrame(
        {"seed": [0, 0, 1], "epoch": [5, 7, 6], "layer": ["b", "a", "b"]},
    )
    ax = plotting.freezing_order(ax, frozen, ["a", "b", "c"], 9)
    marks = [line.get_xydata() for line in ax.lines]
    assert [points[:, 0].tolist() for points in marks] == [[5, 7], [6]]
    assert [points[:, 1].round().tolist() for points in marks] == [[1, 0], [1]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.get_xlim()[1] > 9


def test_freezing_order_of_nothing_has_no_legend(ax):
    nothing = pd.DataFrame({"seed": [], "epoch": [], "layer": []})
    ax = plotting.freezing_order(ax, nothing, ["a"], 3)
    assert (len(ax.lines), ax.get_legend()) == (0, None)


def test_lines_show_means_over_seeds(ax):
    table = pd.DataFrame(
        {"way": ["a", "a", "a", "b"], "removed": [0, 0, 1, 0], "y": [1.0, 3, 5, 7]}
    )
    ax = plotting.lines(ax, table, x="removed", y="y", hue="way", xlabel="n", ylabel="v")
    drawn = [line.get_ydata().tolist() for line in ax.lines if len(line.get_ydata())]
    assert drawn[:2] == [[2.0, 5.0], [7.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("n", "v")
