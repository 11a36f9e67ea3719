"""Axes-level figures of the compendium: they draw, they never save and never show.

Every function takes tidy tables and returns the axes (or the figure it made). Colours of layers
and of epochs, limits and labels follow one style, set by ``use_style``.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MARKERS = "osD^vP*XdpH"


def use_style() -> None:
    """The project's look, for notebooks; changes matplotlib's global settings."""
    sns.set_theme(context="notebook", style="ticks", font_scale=0.85)
    plt.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "svg.hashsalt": "ibcore",
        }
    )


def mark_standin(figure: Figure, label: str) -> None:
    """Write above a figure that its data are a stand-in."""
    figure.suptitle(label, x=0.995, ha="right", fontsize=9, color="crimson", weight="bold")


def _mean_over_seeds(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    keys = ["layer_index", "layer", "epoch"]
    return table.groupby(keys, sort=True)[columns].mean().reset_index()


def epoch_norm(last_epoch: int) -> SymLogNorm:
    """Colour scale of epochs: logarithmic, with room for epoch 0."""
    return SymLogNorm(linthresh=1, linscale=0.3, vmin=0, vmax=max(last_epoch, 2), base=10)


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
    title: str = "",
):
    """I(T;Y) against I(X;T) through training, mean over seeds.

    Colour is the epoch; a marker and a label at the last epoch tell the layers apart; thin grey
    lines join the layers of an epoch; dotted lines are the limits.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        ``seed, epoch, layer, layer_index, I_XT, I_TY`` of one run, set and estimator.
    ceiling_X, ceiling_Y : float, optional
        log2 of the distinct inputs and H(Y), in bits.
    last_epoch : int, optional
        End of the colour scale, to share it between panels.
    title : str

    Returns
    -------
    matplotlib.collections.PathCollection
        For ``epoch_colourbar``.

    Raises
    ------
    ValueError
        If the table mixes runs, sets or estimators, or is empty.
    """
    if table.empty:
        raise ValueError("an information plane needs at least one row")
    _one_curve_per_layer(table)
    mean = _mean_over_seeds(table, ["I_XT", "I_TY"])
    norm = epoch_norm(last_epoch or int(mean["epoch"].max()))
    for _, layers in mean.groupby("epoch"):
        ax.plot(layers["I_XT"], layers["I_TY"], color="0.85", linewidth=0.5, zorder=1)
    points = ax.scatter(
        mean["I_XT"], mean["I_TY"], c=mean["epoch"], cmap="viridis", norm=norm, s=9, zorder=2
    )
    ends = mean[mean["epoch"] == mean["epoch"].max()].sort_values("layer_index")
    for number, row in enumerate(ends.itertuples()):
        ax.scatter(
            row.I_XT,
            row.I_TY,
            marker=MARKERS[number % len(MARKERS)],
            s=42,
            facecolor="white",
            edgecolor="black",
            linewidth=1,
            zorder=4,
            label=row.layer,
        )
    _limits(ax, mean, ceiling_X, ceiling_Y)
    ax.legend(title="layer at the last epoch", fontsize=7, title_fontsize=7, loc="best")
    ax.set(xlabel="I(X;T) [bits]", ylabel="I(T;Y) [bits]", title=title)
    return points


def _limits(ax: Axes, mean: pd.DataFrame, ceiling_X, ceiling_Y) -> None:
    for ceiling, column, line, text in (
        (ceiling_X, "I_XT", ax.axvline, r"$\log_2 n$"),
        (ceiling_Y, "I_TY", ax.axhline, "H(Y)"),
    ):
        values = [mean[column].min(), mean[column].max(), 0.0]
        if ceiling is not None:
            line(ceiling, color="0.4", linestyle=":", linewidth=1, zorder=0)
            values.append(ceiling)
            if column == "I_XT":
                ax.text(
                    ceiling,
                    0.02,
                    text,
                    fontsize=7,
                    color="0.4",
                    rotation=90,
                    ha="right",
                    transform=ax.get_xaxis_transform(),
                )
            else:
                ax.text(
                    0.02,
                    ceiling,
                    text,
                    fontsize=7,
                    color="0.4",
                    va="bottom",
                    transform=ax.get_yaxis_transform(),
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
    if last > 1.5 * ticks[-1]:
        ticks.append(int(last))
    bar.set_ticks(ticks, labels=[str(tick) for tick in ticks])
    bar.minorticks_off()
    bar.set_label("epoch (0 = initialisation)")


def grid(columns: int, *, rows: int = 1, width: float = 4.3, height: float = 3.6):
    """A figure and a (rows, columns) array of axes of a given size in inches."""
    return plt.subplots(
        rows,
        columns,
        figsize=(width * columns + 0.8, height * rows),
        squeeze=False,
        layout="constrained",
    )


def information_planes(
    table: pd.DataFrame,
    bounds: pd.DataFrame,
    *,
    by: str = "run",
    titles: dict | None = None,
    columns: int | None = None,
) -> Figure:
    """Information planes side by side, one panel per value of a column, one colour bar.

    Parameters
    ----------
    table : DataFrame
        Measurements, see ``information_plane``.
    bounds : DataFrame
        ``run, set, n, ceiling_X, ceiling_Y``.
    by : str
        Column whose values become panels, in order of appearance.
    titles : dict, optional
        Value to panel title; the value itself by default.
    columns : int, optional
        Panels per row; all in one row by default.

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
    last = int(table["epoch"].max())
    for ax, value in zip(axes.flat, values, strict=False):
        part = table[table[by] == value]
        points = information_plane(
            ax,
            part,
            **_ceilings(part, bounds),
            last_epoch=last,
            title=(titles or {}).get(value, str(value)),
        )
    for ax in axes.flat[len(values) :]:
        ax.set_visible(False)
    epoch_colourbar(figure, points, list(axes.flat))
    return figure


def _ceilings(part: pd.DataFrame, bounds: pd.DataFrame) -> dict[str, float]:
    """The limits of one run, set and number of samples."""
    on = [key for key in ("run", "set", "n") if key in part and key in bounds]
    limits = bounds[(bounds[on] == part[on].iloc[0]).all(axis=1)].iloc[0]
    return {column: limits[column] for column in ("ceiling_X", "ceiling_Y")}


def early_stopping(ax: Axes, table: pd.DataFrame, stops: pd.DataFrame) -> Axes:
    """Stars in an information plane where training would have been stopped early.

    Each star is a layer's mean over seeds, every seed at its own epoch.

    Parameters
    ----------
    ax : Axes
        With ``information_plane`` of the same table.
    table : DataFrame
        See ``information_plane``.
    stops : DataFrame
        ``seed, epoch`` of that run.
    """
    where = _mean_over_seeds(
        table.merge(stops[["seed", "epoch"]]).assign(epoch=0), ["I_XT", "I_TY"]
    )
    ax.scatter(
        where["I_XT"], where["I_TY"], marker="*", s=70, color="crimson", zorder=5, linewidth=0,
        label="early stopping",
    )  # fmt: skip
    ax.legend(title="layer at the last epoch", fontsize=7, title_fontsize=7, loc="best")
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
    last = int(table["epoch"].max())
    for row, run in zip(axes, runs, strict=True):
        part, trained = table[table["run"] == run], history[history["run"] == run]
        limits = _ceilings(part, bounds)
        points = information_plane(row[2], part, **limits, last_epoch=last, title=run)
        for ax, quantity in zip(row, ("loss", "accuracy"), strict=False):
            both = pd.concat(
                trained.assign(value=trained[f"{samples}_{quantity}"], samples=samples)
                for samples in ("train", "test")
            )
            label = "loss [nats]" if quantity == "loss" else quantity
            over_epochs(ax, both, "value", hue="samples", ylabel=label, title=run)
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
    return figure


def filter_planes(table: pd.DataFrame, bounds: pd.DataFrame, *, columns: int = 8) -> Figure:
    """A small information plane for every filter of a layer, all with the same limits.

    Parameters
    ----------
    table : DataFrame
        ``seed, epoch, filter, I_XT, I_TY`` of one run, set, estimator, layer and seed: filter 3 of
        one seed has nothing to do with filter 3 of another.
    bounds : DataFrame
        ``run, set, n, ceiling_X, ceiling_Y``.
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
    filters, limits = sorted(table["filter"].unique()), _ceilings(table, bounds)
    columns = min(columns, len(filters))
    rows = -(-len(filters) // columns)
    width, height = 1.3 * columns + 1.7, 1.3 * rows + 1.0
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), sharex=True, sharey=True, squeeze=False
    )
    figure.subplots_adjust(
        left=0.7 / width,
        right=1 - 1.0 / width,
        bottom=0.6 / height,
        top=1 - 0.4 / height,
        wspace=0.12,
        hspace=0.25,
    )  # the same at once as a constrained layout would find in seconds
    norm = epoch_norm(int(table["epoch"].max()))
    for ax, number in zip(axes.flat, filters, strict=False):
        path = table[table["filter"] == number].sort_values("epoch")
        ax.plot(path["I_XT"], path["I_TY"], color="0.85", linewidth=0.6, zorder=1)
        points = ax.scatter(
            path["I_XT"], path["I_TY"], c=path["epoch"], cmap="viridis", norm=norm, s=6, zorder=2
        )
        end = path.iloc[-1]
        ax.scatter(end["I_XT"], end["I_TY"], s=22, facecolor="none", edgecolor="black", zorder=3)
        ax.axvline(limits["ceiling_X"], color="0.4", linestyle=":", linewidth=0.8)
        ax.axhline(limits["ceiling_Y"], color="0.4", linestyle=":", linewidth=0.8)
        ax.set_title(str(number), fontsize=7, pad=2)
        ax.tick_params(labelsize=6, length=2)
    for ax in axes.flat[len(filters) :]:
        ax.set_visible(False)
    for axis, limit in (("x", limits["ceiling_X"]), ("y", limits["ceiling_Y"])):
        axes[0, 0].set(**{f"{axis}lim": (-0.06 * limit, 1.06 * limit)})
    figure.supxlabel("I(X;T) [bits]", fontsize=9)
    figure.supylabel("I(T;Y) [bits]", fontsize=9)
    place = figure.add_axes((1 - 0.8 / width, 0.6 / height, 0.15 / width, 1 - 1.0 / height))
    epoch_colourbar(figure, points, cax=place)
    return figure


def filters_over_epochs(
    table: pd.DataFrame, value: str, *, ylabel: str, title: str = "", ceiling: float | None = None
) -> Figure:
    """A panel per layer with a thin line for every filter and a thick one for their mean.

    ``table`` holds the filters of one run and one seed; ``ceiling`` is drawn dotted.
    """
    layers = table.sort_values("layer_index")["layer"].unique()
    figure, axes = grid(len(layers), width=3.2, height=3)
    for ax, layer in zip(axes.flat, layers, strict=True):
        curves = table[table["layer"] == layer].pivot(index="epoch", columns="filter", values=value)
        ax.plot(curves.index, curves, color="tab:blue", alpha=0.4, linewidth=0.8)
        ax.plot(curves.index, curves.mean(axis=1), color="black", linewidth=1.8)
        if ceiling is not None:
            ax.axhline(ceiling, color="0.4", linestyle=":", linewidth=1)
        _epoch_axis(ax, curves.index.max())
        _show_zero(ax)
        name = ", ".join(filter(None, (title, f"{layer}: {curves.shape[1]} filters")))
        ax.set(ylabel=ylabel, title=name)
    return figure


def spectrograms(pictures: np.ndarray, titles: list[str], *, columns: int = 4) -> Figure:
    """One spectrogram per panel: time to the right, mel bands upwards, bright is loud.

    ``pictures`` is (n, bands, columns) with values in [0, 1] and the lowest band first.
    """
    rows = -(-len(pictures) // columns)
    figure, axes = grid(columns, rows=rows, width=2.6, height=2.4)
    for ax, picture, title in zip(axes.flat, pictures, titles, strict=False):
        image = ax.imshow(picture, origin="lower", cmap="magma", vmin=0, vmax=1, aspect="auto")
        ax.set(title=title, xlabel="time step", ylabel="mel band")
    for ax in axes.flat[len(pictures) :]:
        ax.set_visible(False)
    bar = figure.colorbar(image, ax=list(axes.flat), pad=0.01, fraction=0.03)
    bar.set_label("level, 0 to 1 (the range of the clip in dB)")
    return figure


def over_epochs(
    ax: Axes,
    table: pd.DataFrame,
    value: str,
    *,
    hue: str,
    ceiling: float | None = None,
    ylabel: str = "",
    title: str = "",
    label_ends: bool = True,
    zero: bool = True,
) -> Axes:
    """One line per value of ``hue`` over epochs, with the standard deviation over seeds as a band.

    Labels stand at the ends of the lines (or in a legend), epoch is on a logarithmic scale that
    shows epoch 0. Zero is visible unless ``zero`` is False.
    """
    levels = list(dict.fromkeys(table[hue]))
    colours = dict(zip(levels, sns.color_palette("colorblind", len(levels)), strict=True))
    ends = []
    for level in levels:
        curves = table[table[hue] == level].groupby("epoch")[value]
        mean, spread = curves.mean(), curves.std().fillna(0.0)
        ax.plot(mean.index, mean, color=colours[level], linewidth=1.4, label=str(level))
        ax.fill_between(
            mean.index, mean - spread, mean + spread, color=colours[level], alpha=0.2, linewidth=0
        )
        ends.append((mean.iloc[-1], str(level), colours[level]))
    last = table["epoch"].max()
    _epoch_axis(ax, last)
    if ceiling is not None:
        ax.axhline(ceiling, color="0.4", linestyle=":", linewidth=1)
    if zero:
        _show_zero(ax)
    if label_ends:
        _label_ends(ax, last, ends)
    else:
        ax.legend(fontsize=7)
    ax.set(ylabel=ylabel or value, title=title)
    return ax


def _show_zero(ax: Axes) -> None:
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.0), max(high, 0.0))


def _epoch_axis(ax: Axes, last: int) -> None:
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.xaxis.set_major_formatter(lambda epoch, _: f"{epoch:g}")
    ax.set_xlim(0, last)
    ax.set_xlabel("epoch (0 = initialisation)")


def _label_ends(ax: Axes, x: float, ends: list[tuple]) -> None:
    """Write each line's name right of its end, pushed apart inside the limits of the axis."""
    low, high = ax.get_ylim()
    gap = 0.06 * (high - low)
    ends = sorted(ends, key=lambda end: end[0])
    places = [end[0] for end in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    places[-1] = min(places[-1], high)
    for i in reversed(range(len(places) - 1)):
        places[i] = min(places[i], places[i + 1] - gap)
    for place, (_, text, colour) in zip(places, ends, strict=True):
        ax.annotate(
            text,
            (x, place),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7,
            color=colour,
            va="center",
            annotation_clip=False,
        )


def layers_over_epochs(
    table: pd.DataFrame,
    value: str,
    *,
    by: str = "run",
    ylabel: str,
    titles: dict | None = None,
    ceilings: dict | None = None,
) -> Figure:
    """Panels of ``over_epochs`` with a line per layer, one panel per value of ``by``."""
    values = list(dict.fromkeys(table[by]))
    figure, axes = grid(len(values))
    for ax, level in zip(axes.flat, values, strict=True):
        part = table[table[by] == level].sort_values("layer_index", kind="stable")
        over_epochs(
            ax,
            part,
            value,
            hue="layer",
            ylabel=ylabel,
            title=(titles or {}).get(level, str(level)),
            ceiling=(ceilings or {}).get(level),
        )
    return figure


INFORMATION = {"I_XT": "I(X;T) [bits]", "I_TY": "I(T;Y) [bits]"}


def information_over_epochs(
    table: pd.DataFrame, *, hue: str, by: Sequence[str], title=""
) -> Figure:
    """I(X;T) above and I(T;Y) below, one column of panels per value of the columns ``by``.

    Each panel is ``over_epochs`` with a line per value of ``hue``; its title is ``title`` and the
    values of ``by``.
    """
    panels = list(table.groupby(list(by), sort=False))
    figure, axes = grid(len(panels), rows=2, height=3)
    for column, (values, part) in enumerate(panels):
        name = ", ".join(filter(None, (title, *map(str, values))))
        for ax, (value, label) in zip(axes[:, column], INFORMATION.items(), strict=True):
            over_epochs(ax, part, value, hue=hue, ylabel=label, title=name)
    return figure


def places(ax: Axes, X: np.ndarray, Y: np.ndarray, classes: Sequence[str], *, title="") -> Axes:
    """Where the samples lie: longitude and latitude are the first two features."""
    for number, name in enumerate(classes):
        chosen = X[number == Y]
        ax.scatter(chosen[:, 0], chosen[:, 1], s=9, alpha=0.6, label=f"{name} ({len(chosen)})")
    ax.legend(fontsize=7)
    ax.set(xlabel="longitude [degrees]", ylabel="latitude [degrees]", title=title)
    return ax


def verdict_map(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    value: str,
    inside: str,
    limits: tuple[float, float],
    label: str,
    title: str = "",
) -> Axes:
    """Heat map of a value over two settings, with a line about the cells where something holds.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        One row per cell.
    x, y : str
        Columns of the settings, also the names of the axes.
    value : str
        Column of the numbers, written into the cells.
    inside : str
        Column of booleans: true within the line.
    limits : (low, high)
        Of the colour scale, to share it between panels.
    label : str
        Name and unit of the value.
    title : str
    """
    cells = table.pivot(index=y, columns=x, values=value)
    held = table.pivot(index=y, columns=x, values=inside).to_numpy(dtype=bool)
    sns.heatmap(
        cells, ax=ax, annot=True, fmt=".2f", cmap="Blues", vmin=limits[0], vmax=limits[1],
        cbar_kws={"label": label}, annot_kws={"fontsize": 8},
    )  # fmt: skip
    framed = np.pad(held, 1)
    for across, lines in ((0, ax.hlines), (1, ax.vlines)):
        for place in np.argwhere(np.diff(framed.astype(int), axis=across)):
            edge, start = place[across], place[1 - across] - 1
            lines(edge, start, start + 1, color="crimson", linewidth=3, clip_on=False)
    ax.set_yticklabels([f"{number:g}" for number in cells.index], rotation=0)
    ax.set_xticklabels([f"{number:g}" for number in cells.columns])
    ax.set_title(title)
    ax.invert_yaxis()
    return ax


def intervals(ax: Axes, table: pd.DataFrame, *, label: str, xlabel: str, threshold=None) -> Axes:
    """Horizontal error bars: columns ``label``, ``mean``, ``low``, ``high``; dotted threshold."""
    rows = np.arange(len(table))[::-1]
    errors = np.stack([table["mean"] - table["low"], table["high"] - table["mean"]])
    ax.errorbar(table["mean"], rows, xerr=errors, fmt="o", color="black", capsize=3, markersize=4)
    ax.set_yticks(rows, table[label])
    if threshold is not None:
        ax.axvline(threshold, color="0.4", linestyle=":", linewidth=1)
    ax.set(xlabel=xlabel, ylabel="")
    return ax


def estimates_against_n(table: pd.DataFrame) -> Figure:
    """Estimates minus truth against the number of samples: a panel per estimator, a line per d.

    ``table`` has the columns ``estimator, n, d, estimate, truth``; the band is the standard
    deviation over repeats.
    """
    table = table.assign(bias=table["estimate"] - table["truth"])
    names = list(dict.fromkeys(table["estimator"]))
    columns = min(3, len(names))
    figure, axes = grid(columns, rows=-(-len(names) // columns), width=3.4, height=2.7)
    colours = dict(
        zip(
            sorted(table["d"].unique()),
            sns.color_palette("viridis", table["d"].nunique()),
            strict=True,
        )
    )
    for ax, name in zip(axes.flat, names, strict=False):
        for d, part in table[table["estimator"] == name].groupby("d"):
            bias = part.groupby("n")["bias"]
            mean, spread = bias.mean(), bias.std().fillna(0.0)
            ax.plot(mean.index, mean, marker="o", markersize=3, color=colours[d], label=f"d = {d}")
            ax.fill_between(
                mean.index, mean - spread, mean + spread, color=colours[d], alpha=0.2, linewidth=0
            )
        ax.axhline(0, color="0.4", linestyle=":", linewidth=1)
        ax.set(xscale="log", xlabel="samples n", ylabel="estimate - truth [bits]", title=name)
        ax.legend(fontsize=7)
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    return figure


def against_parameter(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    hue: str,
    xlabel: str,
    ylabel: str,
    ceilings: dict | None = None,
) -> Axes:
    """Lines of ``y`` over a logarithmic parameter, one per ``hue``, each with its dotted limit."""
    levels = list(dict.fromkeys(table[hue]))
    for level, colour in zip(levels, sns.color_palette("viridis", len(levels)), strict=True):
        part = table[table[hue] == level].sort_values(x)
        ax.plot(part[x], part[y], marker="o", markersize=3, color=colour, label=f"{hue} = {level}")
        if ceilings:
            ax.axhline(ceilings[level], color=colour, linestyle=":", linewidth=1)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.0), max(high, 0.0))
    ax.legend(fontsize=7)
    return ax


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


def icosahedra(vertices: np.ndarray, patterns: dict[str, np.ndarray]) -> Figure:
    """Patterns of twelve bits drawn on the vertices of an icosahedron, one panel per pattern.

    ``vertices`` is (12, 3); ``patterns`` maps a panel's title to twelve zeros and ones. Filled
    vertices are ones.
    """
    distances = np.linalg.norm(vertices[:, None] - vertices[None], axis=2)
    edge = distances[distances > 0].min()
    pairs = np.argwhere(np.triu(np.isclose(distances, edge)))
    figure = plt.figure(figsize=(3.2 * len(patterns), 3.4), layout="constrained")
    for number, (title, bits) in enumerate(patterns.items(), start=1):
        ax = figure.add_subplot(1, len(patterns), number, projection="3d")
        for i, j in pairs:
            ax.plot(*vertices[[i, j]].T, color="0.7", linewidth=0.8)
        colours = np.where(np.asarray(bits) > 0, "tab:orange", "white")
        ax.scatter(*vertices.T, c=colours, edgecolor="black", s=60, depthshade=False)
        for i, vertex in enumerate(vertices):
            ax.text(*(1.22 * vertex), str(i), fontsize=7, ha="center", va="center")
        ax.set_axis_off()
        ax.set_box_aspect((1, 1, 1), zoom=1.15)
        ax.view_init(12, 126)
        ax.set_title(title, fontsize=9)
    return figure


def amplitude_histogram(ax: Axes, amplitude: np.ndarray, labels: np.ndarray, threshold: float):
    """How often each amplitude occurs, by label, with the threshold between them."""
    bins = np.linspace(amplitude.min(), amplitude.max(), 60)
    for label, colour in ((0, "tab:blue"), (1, "tab:orange")):
        ax.hist(
            amplitude[labels == label], bins=bins, color=colour, alpha=0.7, label=f"y = {label}"
        )
    ax.axvline(threshold, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel=r"$|x|_1 + \|\sum_i x_i v_i\|_2$", ylabel="patterns")
    ax.legend(fontsize=8)
    return ax


ANSWERS = {"yes": "#4477aa", "no": "#ee8866", "open": "#dddddd"}


def answer_matrix(table: pd.DataFrame, *, rows: Sequence[str], columns: str) -> Figure:
    """Answers *yes*, *no*, *open* or *cannot tell* as coloured cells with the drop written in.

    Parameters
    ----------
    table : DataFrame
        As ``ibcore.claims.falls`` gives it: ``falls`` and ``drop`` beside the columns named here.
    rows : sequence of str
        Columns that label a row; a line separates rows that differ in the first of them.
    columns : str
        Column whose values become columns.
    """
    names = list(dict.fromkeys(table[columns]))
    labels = list(dict.fromkeys(table[list(rows)].itertuples(index=False, name=None)))
    size = (1.1 * len(names) + 3.2, 0.27 * len(labels) + 1.2)
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    for row in table.to_dict("records"):
        x, y = names.index(row[columns]), labels.index(tuple(row[key] for key in rows))
        colour = ANSWERS.get(row["falls"], "white")
        ax.add_patch(plt.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colour))
        text = f"{row['drop']:.2f}" if row["falls"] in ANSWERS else "saturated"
        ink = "white" if row["falls"] == "yes" else "black"
        ax.text(x, y, text, ha="center", va="center", fontsize=7, color=ink)
    for y in range(1, len(labels)):
        if labels[y][0] != labels[y - 1][0]:
            ax.axhline(y - 0.5, color="0.2", linewidth=0.8)
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(labels) - 0.5, -0.5))
    ax.set_xticks(range(len(names)), names, rotation=30, ha="left")
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(labels)), [", ".join(map(str, label)) for label in labels], fontsize=7)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    keys = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in ANSWERS.values()]
    figure.legend(
        keys, ["I(X;T) falls", "does not fall", "open"], loc="outside lower center", ncols=3
    )
    return figure


def freezing_order(ax: Axes, frozen: pd.DataFrame, layers: Sequence[str], last_epoch: int) -> Axes:
    """At which epoch each layer froze: a mark per seed, layers from the input upwards.

    ``frozen`` has the columns ``seed, epoch, layer``; a layer without marks never froze.
    """
    places = {layer: place for place, layer in enumerate(layers)}
    seeds = sorted(frozen["seed"].unique())
    for number, seed in enumerate(seeds):
        part = frozen[frozen["seed"] == seed]
        shift = 0.12 * (number - (len(seeds) - 1) / 2)
        heights = [places[layer] + shift for layer in part["layer"]]
        ax.plot(part["epoch"], heights, "o", markersize=5, label=f"seed {seed}")
    ax.set_yticks(range(len(layers)), layers, fontsize=7)
    ax.set(xlabel="epoch", xlim=(0, last_epoch + 0.5), ylim=(-0.5, len(layers) - 0.5))
    if seeds:
        ax.legend(fontsize=7)
    return ax


def lines(
    ax: Axes, table: pd.DataFrame, *, x: str, y: str, hue: str, xlabel: str, ylabel: str
) -> Axes:
    """Mean of ``y`` over ``x`` with the standard deviation as a band, a line per ``hue``."""
    sns.lineplot(
        table, x=x, y=y, hue=hue, errorbar="sd", marker="o", markersize=4, linewidth=1.2, ax=ax
    )
    ax.legend(fontsize=7, title="")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def _decoded(text: str) -> np.ndarray:
    """The square picture in a field of text: ``x`` and two hexadecimal digits per pixel."""
    pixels = np.frombuffer(bytes.fromhex(text.removeprefix("x")), dtype=np.uint8)
    side = round(len(pixels) ** 0.5)
    return pixels.reshape(side, side)


def saliency_strips(strips: dict[str, pd.DataFrame], *, every: int = 1) -> Figure:
    """Saliency maps of one picture through the layers of a network, one row per network.

    Parameters
    ----------
    strips : dict
        Title of a row to its table ``layer, side, pixels``, the picture itself first.
    every : int
        Show each ``every``-th layer only, and the last.
    """
    chosen = {}
    for title, table in strips.items():
        layers = list(range(1, len(table), every))
        chosen[title] = table.iloc[[0, *layers, *({len(table) - 1} - set(layers))]]
    columns = max(len(table) for table in chosen.values())
    figure, axes = grid(columns, rows=len(chosen), width=1.05, height=1.35)
    for ax in axes.flat:
        ax.set_axis_off()
    for row, (title, table) in zip(axes, chosen.items(), strict=True):
        for ax, one in zip(row, table.itertuples(), strict=False):
            picture = one.layer == "picture"
            colours = "gray" if picture else "magma"
            ax.imshow(_decoded(one.pixels), cmap=colours, vmin=0, vmax=255)
            name = (
                title.replace(", ", "\n", 1) if picture else f"{one.layer}\n{one.side}x{one.side}"
            )
            ax.set_title(name, fontsize=7)
    return figure


def entropy_through_depth(
    table: pd.DataFrame, baseline: pd.DataFrame, published: pd.DataFrame | None = None
) -> Figure:
    """Spatial entropy against depth: a panel per network, a line and an interval per setting.

    Parameters
    ----------
    table : DataFrame
        ``network, setting, layer, layer_index, side, mean, low, high``.
    baseline : DataFrame
        The same columns for shuffled pixels, drawn dashed and grey.
    published : DataFrame, optional
        ``network, layer, setting, published``, drawn as crosses in the colour of the setting.
    """
    networks = list(dict.fromkeys(table["network"]))
    settings = list(dict.fromkeys(table["setting"]))
    colours = dict(zip(settings, sns.color_palette("colorblind", len(settings)), strict=True))
    columns = min(3, len(networks))
    figure, axes = grid(columns, rows=-(-len(networks) // columns), width=4.4, height=3.4)
    for ax in axes.flat[len(networks) :]:
        ax.set_visible(False)
    for ax, network in zip(axes.flat, networks, strict=False):
        part = table[table["network"] == network]
        shuffled = baseline[baseline["network"] == network].groupby("layer_index")["mean"].mean()
        ax.plot(shuffled.index, shuffled, color="0.6", linestyle="--", label="pixels shuffled")
        for setting, curve in part.groupby("setting", sort=False):
            colour = colours[setting]
            ax.plot(curve["layer_index"], curve["mean"], color=colour, marker=".", label=setting)
            finite = curve[np.isfinite(curve["low"])]
            ax.fill_between(
                finite["layer_index"], finite["low"], finite["high"], color=colour, alpha=0.2, lw=0
            )
            if published is not None:
                known = published[published["setting"] == setting].merge(
                    part[["network", "layer", "layer_index"]].drop_duplicates()
                )
                ax.plot(known["layer_index"], known["published"], "x", color=colour, markersize=7)
        _side_axis(ax, part)
        ax.set_ylim(0, 1)
        ax.set(ylabel="aura matrix entropy (no unit)", title=network)
        ax.legend(fontsize=7)
    return figure


def entropy_by_layer(table: pd.DataFrame, fits: pd.DataFrame, *, columns: int = 8) -> Figure:
    """Spatial entropy through training: a panel per layer, a line per seed, its fit dotted.

    Titles say in how many seeds the layer follows the two phases. Each panel has its own scale.

    Parameters
    ----------
    table : DataFrame
        ``seed, epoch, layer, entropy`` of one run.
    fits : DataFrame
        Of that run, as ``ibcore.claims.two_phases`` gives them; layers without a fit are left out.
    columns : int
        Panels in a row.
    """
    fits = fits.sort_values("layer_index")
    layers = list(dict.fromkeys(fits["layer"]))
    rows = -(-len(layers) // columns)
    figure, axes = grid(columns, rows=rows, width=1.7, height=1.5)
    for ax in axes.flat[len(layers) :]:
        ax.set_visible(False)
    seeds = sorted(fits["seed"].unique())
    colours = dict(zip(seeds, sns.color_palette("colorblind", len(seeds)), strict=True))
    for ax, layer in zip(axes.flat, layers, strict=False):
        chosen = fits[fits["layer"] == layer]
        for fit in chosen.itertuples():
            curve = table[(table["layer"] == layer) & (table["seed"] == fit.seed)]
            curve = curve.sort_values("epoch")
            ends = curve["epoch"].min(), fit.bend, curve["epoch"].max()
            colour = colours[fit.seed]
            ax.plot(curve["epoch"], curve["entropy"], color=colour, linewidth=0.9)
            ax.plot(ends, (fit.start, fit.level, fit.level), color=colour, ls=":", lw=1.3)
        ax.set_title(f"{layer}: {chosen['follows'].sum()} of {len(chosen)}", fontsize=7)
        ax.tick_params(labelsize=7)
    figure.supxlabel("epoch (0 = initialisation)", fontsize=9)
    figure.supylabel("aura matrix entropy (no unit)", fontsize=9)
    return figure


def _side_axis(ax: Axes, part: pd.DataFrame) -> None:
    """Label the layer axis with the sides of the maps, where they change."""
    sides = part.drop_duplicates("layer_index").sort_values("layer_index")
    first = sides.drop_duplicates("side")
    ax.set_xticks(first["layer_index"], [f"{side}" for side in first["side"]])
    for place in first["layer_index"].iloc[1:]:
        ax.axvline(place - 0.5, color="0.9", linewidth=1, zorder=0)
    ax.set_xlabel("layer, from input to output (side of its map)")


def _banded(ax: Axes, groups, *, scale: float = 1.0, **line) -> None:
    """Mean of every group over its key, times ``scale``, in a band of one standard deviation."""
    mean, spread = scale * groups.mean(), scale * groups.std().fillna(0.0)
    (drawn,) = ax.plot(mean.index, mean, marker="o", markersize=4, **line)
    ax.fill_between(
        mean.index, mean - spread, mean + spread, color=drawn.get_color(), alpha=0.12, linewidth=0
    )


def _one_legend(figure: Figure, axes, columns: int) -> None:
    """The legend of the first panel, once for the figure, below it; unused panels go."""
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns
    )
    for ax in axes.flat:
        ax.set_visible(ax.has_data())


def pruned_accuracy(networks: pd.DataFrame) -> Figure:
    """Accuracy after each round of pruning over what is left of the network, a line per score.

    ``networks`` has the columns ``run, configuration, score, round, seed, parameters, accuracy``;
    the rows with round 0 are the networks before pruning, from which every line starts. One panel
    per run and configuration; the band is the standard deviation over seeds.
    """
    after = networks[networks["round"] > 0]
    panels = list(after.groupby(["run", "configuration"], sort=False))
    columns = min(3, len(panels))
    figure, axes = grid(columns, rows=-(-len(panels) // columns), height=3.2)
    scores = list(dict.fromkeys(after["score"]))
    colours = dict(zip(scores, sns.color_palette("colorblind", len(scores)), strict=True))
    for ax, ((run, configuration), part) in zip(axes.flat, panels, strict=False):
        before = networks[(networks["run"] == run) & (networks["round"] == 0)]
        for score, own in part.groupby("score", sort=False):
            own = pd.concat([before, own])
            whole = before["parameters"].mean()
            left = 100 * own.groupby("round")["parameters"].transform("mean") / whole
            _banded(ax, own["accuracy"].groupby(left), scale=100, color=colours[score], label=score)
        highest = 100 * networks.loc[networks["run"] == run, "accuracy"].max()
        ax.set(
            xlabel="parameters left [%]",
            ylabel="test accuracy [%]",
            title=f"{run}, {configuration}",
            xlim=(105, 0),
            ylim=(0, max(10, 1.15 * highest)),
        )
    _one_legend(figure, axes, len(scores))
    return figure


def agreement_through_depth(table: pd.DataFrame) -> Figure:
    """Rank correlation of pairs of scores in every layer, mean and spread over seeds.

    ``table`` has the columns ``run, seed, layer_index, pair, correlation``; one panel per run, one
    line per pair.
    """
    runs = list(table.groupby("run", sort=False))
    figure, axes = grid(len(runs), height=3.6)
    for ax, (run, part) in zip(axes.flat, runs, strict=True):
        pairs = list(part.groupby("pair", sort=False))
        colours = sns.color_palette("colorblind", len(pairs))
        for (pair, own), colour in zip(pairs, colours, strict=True):
            _banded(ax, own.groupby("layer_index")["correlation"], color=colour, label=pair)
        ax.axhline(0, color="0.4", linestyle=":", linewidth=1)
        ax.set(
            xlabel="convolution, from input to output",
            ylabel="rank correlation (Spearman)",
            title=run,
            ylim=(-1.05, 1.05),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
    _one_legend(figure, axes, 2)


SEARCHES = {
    "accuracy": "C0",
    "entropy minimisation": "C1",
    "entropy maximisation": "C3",
    "random": "0.5",
}


def search_curves(episodes: pd.DataFrame, warmup: Mapping[str, int]) -> Figure:
    """Accuracy and entropy of the candidates of each search, a row per network and share of FLOPs.

    Dots are single episodes of all seeds, lines their mean over seeds and five episodes; the
    vertical line ends the warm-up.

    Parameters
    ----------
    episodes : DataFrame
        ``network, share, seed, search, episode, accuracy, entropy``.
    warmup : mapping
        Network to the number of its first episodes, with random actions.
    """
    panels = list(episodes.groupby(["network", "share"], sort=False))
    figure, axes = grid(2, rows=len(panels), width=4.6, height=2.9)
    for row, ((network, share), part) in zip(axes, panels, strict=True):
        for ax, column in zip(row, ("accuracy", "entropy"), strict=True):
            for search, one in part.groupby("search", sort=False):
                colour = SEARCHES[search]
                ax.plot(one["episode"], one[column], ".", color=colour, markersize=3, alpha=0.3)
                mean = one.groupby("episode")[column].mean().rolling(5, min_periods=1).mean()
                ax.plot(mean.index, mean, color=colour, label=search)
            ax.axvline(warmup[network] - 0.5, color="0.4", linestyle=":", linewidth=1)
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set(xlabel="episode", title=f"{network}, at most {share:.0%} of the FLOPs")
        row[0].set_ylim(bottom=0)
        row[0].set_ylabel("validation accuracy")
        row[1].set_ylabel("mean entropy (no unit)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def reward_scatter(episodes: pd.DataFrame) -> Figure:
    """Accuracy against spatial entropy of every visited policy: a panel per network and share.

    ``episodes`` as in ``search_curves``; colours tell the searches.
    """
    panels = list(episodes.groupby(["network", "share"], sort=False))
    columns = min(3, len(panels))
    figure, axes = grid(columns, rows=-(-len(panels) // columns), width=3.8, height=3.2)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, ((network, share), part) in zip(axes.flat, panels, strict=False):
        for search, one in part.groupby("search", sort=False):
            ax.plot(
                one["entropy"], one["accuracy"], ".", color=SEARCHES[search], alpha=0.5,
                label=search,
            )  # fmt: skip
        ax.set(
            xlabel="mean aura matrix entropy (no unit)",
            ylabel="validation accuracy",
            title=f"{network}, {share:.0%}",
        )
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2 * min(2, columns),
    )
    return figure


def channels_kept(table: pd.DataFrame) -> Figure:
    """Share of channels that stay in each group of layers: a panel per network and share.

    Parameters
    ----------
    table : DataFrame
        ``network, share, method, group, kept`` (share of channels); means over seeds are drawn.
    """
    panels = list(table.groupby(["network", "share"], sort=False))
    columns = min(3, len(panels))
    figure, axes = grid(columns, rows=-(-len(panels) // columns), width=4.4, height=3.2)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, ((network, share), part) in zip(axes.flat, panels, strict=False):
        for (method, one), marker in zip(part.groupby("method", sort=False), MARKERS, strict=False):
            mean = one.groupby("group", sort=False)["kept"].mean()
            colour = SEARCHES.get(method, "black")
            ax.plot(range(len(mean)), mean, marker=marker, markersize=4, color=colour, label=method)
        ax.set_xticks(range(len(mean)), mean.index, rotation=90, fontsize=6)
        ax.set(ylim=(0, 1.02), ylabel="share of channels kept", title=f"{network}, {share:.0%}")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2 * min(2, columns),
    )
    return figure
