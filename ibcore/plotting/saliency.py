"""Saliency maps and their spatial entropy."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ibcore.plotting.style import grid


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
    columns, rows = max(len(table) for table in chosen.values()), len(chosen)
    width, height = 1.05 * columns, 1.35 * rows + 0.2  # inches; room for `mark_standin`
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    figure.subplots_adjust(
        left=0.02 / width, right=1 - 0.02 / width, bottom=0.02 / height, top=1 - 0.53 / height,
        wspace=0.05, hspace=0.35,
    )  # fmt: skip
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
