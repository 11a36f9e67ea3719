"""Information planes, alone, in grids, filter by filter and beside training curves."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from ibcore.plotting.curves import ceilings, over_epochs
from ibcore.plotting.style import MARKERS, epoch_norm, grid, mean_over_seeds

_LEGEND = "layers of information planes"


def _one_curve_per_layer(table: pd.DataFrame) -> None:
    for column in ("run", "set", "estimator", "parameter", "view", "filter", "n"):
        if column in table and table[column].nunique() > 1:
            raise ValueError(
                f"one information plane shows one {column}, got {sorted(table[column].unique())}"
            )


def information_plane(
    ax: Axes,
    table: pd.DataFrame,
    *,
    ceiling_X: float | None = None,
    ceiling_Y: float | None = None,
    last_epoch: int | None = None,
    until: int | None = None,
    markers: Mapping[str, str] | None = None,
    title: str = "",
):
    """I(T;Y) against I(X;T) through training, mean over seeds.

    Colour is the epoch; a marker at the last epoch, explained below the axes, tells the layers
    apart; thin grey lines join the layers of an epoch; dotted lines are the limits. A figure with
    constrained layout, such as ``grid`` makes, leaves room for the legend.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        ``seed, epoch, layer, layer_index, I_XT, I_TY`` of one run, set and estimator.
    ceiling_X, ceiling_Y : float, optional
        log2 of the distinct inputs and H(Y), in bits.
    last_epoch : int, optional
        End of the colour scale, to share it between panels.
    until : int, optional
        Last epoch that is drawn; colours and limits stay those of the whole table.
    markers : mapping, optional
        Layer to marker, to share them between panels; in the order of the layers by default.
    title : str

    Returns
    -------
    matplotlib.collections.PathCollection
        For ``epoch_colourbar``.

    Raises
    ------
    ValueError
        If the table mixes runs, sets or estimators, or is empty, or begins after ``until``.
    """
    if table.empty:
        raise ValueError("an information plane needs at least one row")
    _one_curve_per_layer(table)
    whole = mean_over_seeds(table, ["I_XT", "I_TY"])
    norm = epoch_norm(last_epoch or int(whole["epoch"].max()))
    mean = whole if until is None else whole[whole["epoch"] <= until]
    if mean.empty:
        raise ValueError(f"nothing was measured until epoch {until}")
    for _, layers in mean.groupby("epoch"):
        ax.plot(layers["I_XT"], layers["I_TY"], color="0.85", linewidth=0.5, zorder=1)
    points = ax.scatter(
        mean["I_XT"], mean["I_TY"], c=mean["epoch"], cmap="viridis", norm=norm, s=9, zorder=2
    )
    ends = mean[mean["epoch"] == mean["epoch"].max()].sort_values("layer_index")
    markers = markers or _markers(table)
    for row in ends.itertuples():
        ax.scatter(
            row.I_XT,
            row.I_TY,
            marker=markers[row.layer],
            s=42,
            facecolor="white",
            edgecolor="black",
            linewidth=1,
            zorder=4,
            label=row.layer,
        )
    _limits(ax, whole, ceiling_X, ceiling_Y)
    when = "the last epoch" if until is None else f"epoch {mean['epoch'].max()}"
    _legend_below(ax, f"layer at {when}")
    ax.set(xlabel="I(X;T) [bits]", ylabel="I(T;Y) [bits]", title=title)
    return points


def _markers(table: pd.DataFrame) -> dict[str, str]:
    """A marker per layer, from the input to the output of the deepest network."""
    depth = table.groupby("layer", sort=False)["layer_index"].max().sort_values(kind="stable")
    return {layer: MARKERS[i % len(MARKERS)] for i, layer in enumerate(depth.index)}


def _shared_markers(table: pd.DataFrame, by: str) -> dict[str, str] | None:
    """The markers of all panels; none where different layers would get the same one."""
    markers = _markers(table)
    alike = (table.groupby(by)["layer"].nunique() == len(markers)).all()
    return markers if alike or len(markers) <= len(MARKERS) else None


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """The columns of a legend in a width in inches, with rows as even as possible."""
    most = max(1, int(width / (0.55 + 0.058 * max(map(len, labels)))))
    rows = -(-len(labels) // most)
    return -(-len(labels) // rows)


def _legend_below(ax: Axes, title: str) -> None:
    """A legend under the label of the horizontal axis, where no data can be."""
    labels = ax.get_legend_handles_labels()[1]
    below = ScaledTranslation(0, -0.55, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        title=title,
        fontsize=8,
        title_fontsize=8,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + below,
        borderaxespad=0,
        ncols=_legend_columns(labels, 1.1 * ax.bbox.width / ax.figure.dpi),
    )
    legend.set_gid(_LEGEND)


def layer_legend(figure: Figure) -> Legend:
    """One legend below a figure for all its information planes, in place of one for each.

    The planes have to share their markers, see ``information_plane``. The figure becomes higher by
    the height of the legend.
    """
    entries, depth = {}, {}
    for ax in figure.axes:
        named = zip(*ax.get_legend_handles_labels(), strict=True)
        points = [(label, drawn) for drawn, label in named if isinstance(drawn, PathCollection)]
        for number, (label, drawn) in enumerate(points):
            entries.setdefault(label, drawn)
            depth[label] = max(depth.get(label, 0), number)
    labels = sorted(entries, key=depth.get)
    everywhere = [*figure.legends, *(ax.get_legend() for ax in figure.axes)]
    former = [legend for legend in everywhere if legend and legend.get_gid() == _LEGEND]
    titles = {legend.get_title().get_text() for legend in former}
    columns = _legend_columns(labels, figure.bbox.width / figure.dpi)
    if not any(legend in figure.legends for legend in former):
        rows = 1 + -(-len(labels) // columns)
        figure.set_figheight(figure.get_figheight() + 0.1 + 0.19 * rows)
    for legend in former:
        legend.remove()
    legend = figure.legend(
        [entries[label] for label in labels],
        labels,
        title=titles.pop() if len(titles) == 1 else "layer at the last epoch shown",
        fontsize=8,
        title_fontsize=8,
        loc="outside lower center",
        ncols=columns,
    )
    legend.set_gid(_LEGEND)
    return legend


def _limits(ax: Axes, mean: pd.DataFrame, ceiling_X, ceiling_Y) -> None:
    for ceiling, column, line, text in (
        (ceiling_X, "I_XT", ax.axvline, r"$\log_2 n$"),
        (ceiling_Y, "I_TY", ax.axhline, "H(Y)"),
    ):
        values = [mean[column].min(), mean[column].max(), 0.0]
        if ceiling is not None:
            line(ceiling, color="0.4", linestyle=":", linewidth=1, zorder=0)
            values.append(ceiling)
            upright = column == "I_XT"
            ax.annotate(
                text,
                (ceiling, 0.02) if upright else (0.02, ceiling),
                xycoords=ax.get_xaxis_transform() if upright else ax.get_yaxis_transform(),
                xytext=(1.5, 0) if upright else (0, 1.5),
                textcoords="offset points",
                fontsize=7,
                color="0.4",
                rotation=90 if upright else 0,
                annotation_clip=False,
            )
        low, high = min(values), max(values)
        margin = 0.05 * (high - low or 1.0)
        (ax.set_xlim if column == "I_XT" else ax.set_ylim)(low - margin, high + margin)


def epoch_colourbar(figure: Figure, points, axes=None, *, cax: Axes | None = None) -> None:
    """The one colour bar of a figure of information planes, beside ``axes`` or in ``cax``."""
    where = {"cax": cax} if cax else {"ax": axes, "pad": 0.01, "fraction": 0.03}
    bar = figure.colorbar(points, **where)
    last = points.norm.vmax
    ticks = [0, *(10**k for k in range(int(np.log10(last)) + 1))]
    if points.norm(ticks[-1]) > 0.9:
        ticks.pop()
    ticks.append(int(last))
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.minorticks_off()
    bar.set_label("epoch (0 = initialisation)")


def information_planes(
    table: pd.DataFrame,
    bounds: pd.DataFrame,
    *,
    by: str = "run",
    titles: dict | None = None,
    columns: int | None = None,
    until: int | None = None,
) -> Figure:
    """Information planes side by side, one panel per value of a column, one colour bar.

    One legend below the figure names the layers of all panels, unless they have more layers
    than there are markers.

    Parameters
    ----------
    table : DataFrame
        Measurements, see ``information_plane``.
    bounds : DataFrame
        ``run, seed, set, n, ceiling_X, ceiling_Y``.
    by : str
        Column whose values become panels, in order of appearance.
    titles : dict, optional
        Value to panel title; the value itself by default.
    columns : int, optional
        Panels per row; all in one row by default.
    until : int, optional
        See ``information_plane``.

    Raises
    ------
    ValueError
        As ``information_plane``.
    """
    if table.empty:
        raise ValueError("information planes need at least one row")
    values = list(dict.fromkeys(table[by]))
    columns = columns or len(values)
    rows = -(-len(values) // columns)
    figure, axes = grid(columns, rows=rows)
    last, markers = int(table["epoch"].max()), _shared_markers(table, by)
    for ax, value in zip(axes.flat, values, strict=False):
        part = table[table[by] == value]
        points = information_plane(
            ax,
            part,
            **ceilings(part, bounds),
            last_epoch=last,
            until=until,
            markers=markers,
            title=(titles or {}).get(value, str(value)),
        )
    for ax in axes.flat[len(values) :]:
        ax.set_visible(False)
    epoch_colourbar(figure, points, list(axes.flat))
    if markers:
        layer_legend(figure)
    return figure


def early_stopping(ax: Axes, table: pd.DataFrame, stops: pd.DataFrame) -> Axes:
    """Stars in an information plane where training would have been stopped early.

    Each star is a layer's mean over seeds, every seed at its own epoch.

    Parameters
    ----------
    ax : Axes
        With ``information_plane`` of the same table; the star enters its legend or, after
        ``information_planes``, that of the figure.
    table : DataFrame
        See ``information_plane``.
    stops : DataFrame
        ``seed, epoch`` of that run.
    """
    where = mean_over_seeds(table.merge(stops[["seed", "epoch"]]).assign(epoch=0), ["I_XT", "I_TY"])
    ax.scatter(
        where["I_XT"], where["I_TY"], marker="*", s=70, color="crimson", zorder=5, linewidth=0,
        label="early stopping",
    )  # fmt: skip
    if legend := ax.get_legend():
        _legend_below(ax, legend.get_title().get_text())
    else:
        layer_legend(ax.figure)
    return ax


def planes_and_training(
    table: pd.DataFrame,
    history: pd.DataFrame,
    bounds: pd.DataFrame,
    *,
    stops: pd.DataFrame | None = None,
) -> Figure:
    """A row per run: loss and accuracy on training and test samples, information plane.

    ``table`` and ``bounds`` as in ``information_planes``; ``history`` has the columns ``run, seed,
    epoch, train_loss, train_accuracy, test_loss, test_accuracy``. Given ``stops`` (``run, seed,
    epoch``), early stopping is marked, in the curves (dotted) at its median epoch, and the loss is
    on a scale that is logarithmic above 1 nat.
    """
    runs = list(dict.fromkeys(table["run"]))
    figure, axes = grid(3, rows=len(runs))
    last, markers = int(table["epoch"].max()), _shared_markers(table, "run")
    for row, run in zip(axes, runs, strict=True):
        part, trained = table[table["run"] == run], history[history["run"] == run]
        limits = ceilings(part, bounds)
        points = information_plane(
            row[2], part, **limits, last_epoch=last, markers=markers, title=run
        )
        for ax, quantity in zip(row, ("loss", "accuracy"), strict=False):
            both = pd.concat(
                trained.assign(**{quantity: trained[f"{samples}_{quantity}"], "samples": samples})
                for samples in ("train", "test")
            )
            label = "loss [nats]" if quantity == "loss" else quantity
            over_epochs(ax, both, quantity, hue="samples", ylabel=label, title=run)
        if stops is not None:
            chosen = stops[stops["run"] == run]
            early_stopping(row[2], part, chosen)
            for ax in row[:2]:
                ax.axvline(chosen["epoch"].median(), color="crimson", linestyle=":", linewidth=1)
            row[0].set_yscale("symlog", linthresh=1)
            row[0].yaxis.set_major_formatter(lambda loss, _: f"{loss:g}")
            row[0].set_ylim(bottom=0)
            highest = row[0].get_ylim()[1]
            row[0].set_yticks([0, 0.5, *(loss for loss in (1, 3, 10, 30, 100) if loss <= highest)])
    epoch_colourbar(figure, points, list(axes.flat))
    if markers:
        layer_legend(figure)
    return figure


def filter_planes(table: pd.DataFrame, bounds: pd.DataFrame, *, columns: int = 8) -> Figure:
    """A small information plane for every filter of a layer, all with the same limits.

    Parameters
    ----------
    table : DataFrame
        ``seed, epoch, filter, I_XT, I_TY`` of one run, set, estimator, layer and seed: filter 3 of
        one seed has nothing to do with filter 3 of another.
    bounds : DataFrame
        ``run, seed, set, n, ceiling_X, ceiling_Y``.
    columns : int
        Panels per row.

    Raises
    ------
    ValueError
        If the table mixes seeds or layers, or is empty.
    """
    if table.empty:
        raise ValueError("planes of filters need at least one row")
    for column in ("seed", "layer"):
        if table[column].nunique() > 1:
            raise ValueError(f"one {column} at a time, got {sorted(set(table[column].tolist()))}")
    filters = table["filter"].nunique()
    columns = min(columns, filters)
    width, height = 1.3 * columns + 1.7, 1.3 * -(-filters // columns) + 1.0
    figure, ax = plt.subplots(figsize=(width, height))
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 1.0 / width, bottom=0.6 / height, top=1 - 0.4 / height
    )
    limits = np.array(list(ceilings(table, bounds).values()))
    points = _small_planes(ax, table.sort_values(["filter", "epoch"]), limits, columns)
    place = figure.add_axes((1 - 0.8 / width, 0.6 / height, 0.15 / width, 1 - 1.0 / height))
    epoch_colourbar(figure, points, cax=place)
    place.set_ylabel("epoch", fontsize=9)
    return figure


def _small_planes(ax: Axes, table: pd.DataFrame, limits: np.ndarray, columns: int):
    """A plane per filter, side by side in one system of axes: with one each it takes seconds.

    ``limits`` (2,) are the upper limits of both coordinates; returns the points.
    """
    low, high = -0.06 * limits, 1.06 * limits
    step = (high - low) * (1.12, -1.25)
    frame = np.array([(low[0], high[1]), low, (high[0], low[1])])
    ceilings = np.array(
        [[(limits[0], low[1]), (limits[0], high[1])], [(low[0], limits[1]), (high[0], limits[1])]]
    )
    paths, places = [], []
    for number, (name, path) in enumerate(table.groupby("filter")):
        place = step * (number % columns, number // columns)
        places.append(place)
        paths.append(path[["I_XT", "I_TY"]].to_numpy() + place)
        x, y = np.array([(low[0] + high[0]) / 2, high[1] + 0.04 * limits[1]]) + place
        ax.text(x, y, name, fontsize=7, ha="center")
    dotted = [line + place for place in places for line in ceilings]
    ax.add_collection(LineCollection(dotted, color="0.4", linewidth=0.8, linestyle=":"))
    ax.add_collection(LineCollection(paths, color="0.85", linewidth=0.6))
    frames = [frame + place for place in places]
    ax.add_collection(LineCollection(frames, color="0.15", linewidth=1, clip_on=False))
    norm = epoch_norm(int(table["epoch"].max()))
    points = ax.scatter(
        *np.concatenate(paths).T, c=table["epoch"], cmap="viridis", norm=norm, s=6, zorder=2
    )
    ends = np.array([path[-1] for path in paths])
    ax.scatter(*ends.T, s=22, facecolor="none", edgecolor="black", zorder=3)
    ax.spines[:].set_visible(False)
    for axis, name in enumerate(("x", "y")):
        ticks = MaxNLocator(2).tick_values(0, limits[axis])
        ticks = ticks[(ticks >= 0) & (ticks <= high[axis])]
        starts = np.unique(np.array(places)[:, axis])
        span = starts[0] + low[axis], starts[-1] + high[axis]
        where, labels = np.add.outer(starts, ticks).ravel(), [f"{tick:g}" for tick in ticks]
        ax.set(**{f"{name}lim": span, f"{name}ticks": where})
        ax.set(**{f"{name}ticklabels": labels * len(starts)})
    ax.tick_params(labelsize=6, length=2)
    ax.set_xlabel("I(X;T) [bits]", fontsize=9)
    ax.set_ylabel("I(T;Y) [bits]", fontsize=9)
    return points


def binned_plane(
    ax: Axes, T: np.ndarray, labels: np.ndarray, bin_width: float, *, title: str = ""
) -> Figure:
    """Two units of a layer with the bins that cut them; colour is the label."""
    ax.scatter(T[:, 0], T[:, 1], c=labels, cmap="coolwarm", s=6)
    for line, values in ((ax.axvline, T[:, 0]), (ax.axhline, T[:, 1])):
        low, high = np.floor(values.min() / bin_width), np.ceil(values.max() / bin_width)
        for edge in np.arange(low, high + 1) * bin_width:
            line(edge, color="0.8", linewidth=0.5, zorder=0)
    ax.set(xlabel="unit 1", ylabel="unit 2", title=title)
    return ax.figure
