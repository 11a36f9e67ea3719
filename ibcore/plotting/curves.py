"""Curves over epochs, samples and parameters, and intervals."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ibcore.plotting.style import grid, palette


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
    colours: Mapping | None = None,
) -> Axes:
    """One line per value of ``hue`` over epochs, with the standard deviation over seeds as a band.

    The band ends at 0, at ``ceiling`` (drawn dotted) and, in a column that is named an accuracy, at
    1, where no value is beyond them.
    Labels stand at the ends of the lines (or in a legend), epoch is on a logarithmic scale that
    shows epoch 0. Zero is visible unless ``zero`` is False. ``colours`` (value of ``hue`` to
    colour, see ``palette``) keeps the colours of several figures the same.
    """
    levels = list(dict.fromkeys(table[hue]))
    colours = palette(levels) if colours is None else colours
    floor = 0.0 if table[value].min() >= 0 else None
    highest = 1.0 if ceiling is None and value.endswith("accuracy") else ceiling
    roof = highest if highest is not None and table[value].max() <= highest + 1e-9 else None
    ends = []
    for level in levels:
        curves = table[table[hue] == level].groupby("epoch")[value]
        mean, spread = curves.mean(), curves.std().fillna(0.0)
        ax.plot(mean.index, mean, color=colours[level], linewidth=1.4, label=str(level))
        low, high = (mean - spread).clip(lower=floor), (mean + spread).clip(upper=roof)
        ax.fill_between(mean.index, low, high, color=colours[level], alpha=0.2, linewidth=0)
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
    ylabel: str | None = None,
    titles: dict | None = None,
    ceilings: dict | None = None,
    bounds: pd.DataFrame | None = None,
    columns: int | None = None,
) -> Figure:
    """Panels of ``over_epochs`` with a line per layer, one panel per value of ``by``.

    Parameters
    ----------
    table : DataFrame
        ``seed, epoch, layer, layer_index``, the columns ``by`` and ``value``.
    value : str
    by : str
        Column whose values become panels, in order of appearance.
    ylabel : str, optional
        By default the name of the information, ``H(T)`` for I(X;T) by nearest neighbours: that
        is a differential entropy.
    titles, ceilings : dict, optional
        Value of ``by`` to title of the panel and to dotted limit.
    bounds : DataFrame, optional
        ``run, seed, set, n, ceiling_X, ceiling_Y``: draws the limit of a panel's own number of
        samples where a value is above half of it, in place of ``ceilings``.
    columns : int, optional
        Panels per row; all in one row by default.
    """
    values = list(dict.fromkeys(table[by]))
    columns = columns or len(values)
    figure, axes = grid(columns, rows=-(-len(values) // columns))
    for ax, level in zip(axes.flat, values, strict=False):
        part = table[table[by] == level].sort_values("layer_index", kind="stable")
        over_epochs(
            ax,
            part,
            value,
            hue="layer",
            ylabel=ylabel or _quantity(part, value),
            title=(titles or {}).get(level, str(level)),
            ceiling=(ceilings or {}).get(level) if bounds is None else _limit(part, bounds, value),
        )
    for ax in axes.flat[len(values) :]:
        ax.set_visible(False)
    return figure


def ceilings(part: pd.DataFrame, bounds: pd.DataFrame) -> dict[str, float]:
    """The limits of one run, set and number of samples, mean of the seeds in ``part``."""
    on = [key for key in ("run", "set", "n") if key in part and key in bounds]
    limits = bounds[(bounds[on] == part[on].iloc[0]).all(axis=1)]
    if "seed" in limits and "seed" in part:
        limits = limits[limits["seed"].isin(part["seed"])]
    return limits[["ceiling_X", "ceiling_Y"]].mean().to_dict()


INFORMATION = {"I_XT": "I(X;T) [bits]", "I_TY": "I(T;Y) [bits]"}


def _differential(part: pd.DataFrame, value: str) -> bool:
    """Whether a column holds entropies of densities, which have no limit."""
    names = set(part["estimator"]) if "estimator" in part else set()
    return value == "I_XT" and names == {"nearest neighbour"}


def _quantity(part: pd.DataFrame, value: str) -> str:
    return "H(T) [bits]" if _differential(part, value) else INFORMATION.get(value, value)


def _limit(part: pd.DataFrame, bounds: pd.DataFrame, value: str) -> float | None:
    """The limit of an information where a value is above half of it."""
    limit = ceilings(part, bounds)[{"I_XT": "ceiling_X", "I_TY": "ceiling_Y"}[value]]
    near = 2 * part[value].max() > limit and not _differential(part, value)
    return limit if near else None


def information_over_epochs(
    table: pd.DataFrame, bounds: pd.DataFrame, *, hue: str, by: Sequence[str], title=""
) -> Figure:
    """I(X;T) above and I(T;Y) below, one column of panels per value of the columns ``by``.

    Each panel is ``over_epochs`` with a line per value of ``hue``; its title is ``title`` and the
    values of ``by``. The limit in ``bounds`` (``run, seed, set, n, ceiling_X, ceiling_Y``) is drawn
    where a value is above half of it.
    """
    panels = list(table.groupby(list(by), sort=False))
    figure, axes = grid(len(panels), rows=2, height=3)
    for column, (values, part) in enumerate(panels):
        name = ", ".join(filter(None, (title, *map(str, values))))
        for ax, value in zip(axes[:, column], INFORMATION, strict=True):
            near, label = _limit(part, bounds, value), _quantity(part, value)
            over_epochs(ax, part, value, hue=hue, ceiling=near, ylabel=label, title=name)
    return figure


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


def banded(ax: Axes, groups, *, limits: tuple[float, float], scale: float = 1.0, **line) -> None:
    """Mean of every group over its key in a band of one standard deviation, cut at the limits.

    All are multiplied by ``scale``.
    """
    mean, spread = groups.mean(), groups.std().fillna(0.0)
    (drawn,) = ax.plot(mean.index, scale * mean, marker="o", markersize=4, **line)
    low, high = (scale * edge.clip(*limits) for edge in (mean - spread, mean + spread))
    ax.fill_between(mean.index, low, high, color=drawn.get_color(), alpha=0.12, linewidth=0)
