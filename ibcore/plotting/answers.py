"""Verdicts and answers as coloured cells."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure


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
        text = f"{row['drop']:.2f}" if row["falls"] in ANSWERS else "at ceiling"
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
