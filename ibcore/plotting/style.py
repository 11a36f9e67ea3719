"""The look of all figures, and what several kinds of them share."""

from collections.abc import Iterable

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

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


def palette(names: Iterable) -> dict:
    """A colour for every name, in their order."""
    names = list(names)
    return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def mark_standin(figure: Figure, label: str) -> None:
    """Write above a figure that its data are a stand-in."""
    place = {} if figure.get_layout_engine() else {"y": 1 - 0.04 / figure.get_figheight()}
    figure.suptitle(label, x=0.995, ha="right", fontsize=9, color="crimson", weight="bold", **place)


def mean_over_seeds(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """One row per layer and epoch, ordered from the input to the output."""
    keys = ["layer_index", "layer", "epoch"]
    return table.groupby(keys, sort=True)[columns].mean().reset_index()


def epoch_norm(last_epoch: int) -> SymLogNorm:
    """Colour scale of epochs: logarithmic, with room for epoch 0."""
    return SymLogNorm(linthresh=1, linscale=0.3, vmin=0, vmax=max(last_epoch, 2), base=10)


def grid(columns: int, *, rows: int = 1, width: float = 4.3, height: float = 3.6):
    """A figure and a (rows, columns) array of axes of a given size in inches."""
    return plt.subplots(
        rows,
        columns,
        figsize=(width * columns + 0.8, height * rows),
        squeeze=False,
        layout="constrained",
    )


def one_legend(figure: Figure, axes, columns: int) -> None:
    """The legend of the first panel, once for the figure, below it; unused panels go."""
    figure.legend(
        *axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns
    )
    for ax in axes.flat:
        ax.set_visible(ax.has_data())
