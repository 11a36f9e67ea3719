"""Pictures of the data: spectrograms, places, the icosahedra of the 12-bit task."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ibcore.plotting.style import grid


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


def places(ax: Axes, X: np.ndarray, Y: np.ndarray, classes: Sequence[str], *, title="") -> Axes:
    """Where the samples lie: longitude and latitude are the first two features."""
    for number, name in enumerate(classes):
        chosen = X[number == Y]
        ax.scatter(chosen[:, 0], chosen[:, 1], s=9, alpha=0.6, label=f"{name} ({len(chosen)})")
    ax.legend(fontsize=7)
    ax.set(xlabel="longitude [degrees]", ylabel="latitude [degrees]", title=title)
    return ax


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
        ax = figure.add_subplot(1, len(patterns), number, projection="3d", computed_zorder=False)
        for i, j in pairs:
            ax.plot(*vertices[[i, j]].T, color="0.7", linewidth=0.8, zorder=1)
        colours = np.where(np.asarray(bits) > 0, "tab:orange", "white")
        ax.scatter(*vertices.T, c=colours, edgecolor="black", s=60, depthshade=False)
        ax.view_init(12, 126)
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        for i, place in enumerate(_beside(vertices, ax.elev, ax.azim)):
            ax.text(*place, str(i), fontsize=7, ha="center", va="center", bbox=behind)
        ax.set_axis_off()
        ax.set_box_aspect((1, 1, 1), zoom=1.15)
        ax.set_title(title, fontsize=9)
    return figure


def _beside(vertices: np.ndarray, elevation: float, azimuth: float) -> np.ndarray:
    """Places beside the vertices (angles in degrees): away from the centre as it is seen."""
    up, around = np.radians([elevation, azimuth])
    eye = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    seen = vertices - np.outer(vertices @ eye, eye)
    return vertices + 0.2 * seen / np.linalg.norm(seen, axis=1, keepdims=True)


def amplitude_histogram(ax: Axes, amplitude: np.ndarray, labels: np.ndarray, threshold: float):
    """How often each amplitude occurs, by label, with the threshold between them.

    The threshold is an edge of the bins, so that none holds amplitudes of both sides.
    """
    width = np.ptp(amplitude) / 60
    below = int((threshold - amplitude.min()) / width) + 1
    above = int((amplitude.max() - threshold) / width) + 1
    bins = threshold + width * np.arange(-below, above + 1)
    for label, colour in ((0, "tab:blue"), (1, "tab:orange")):
        ax.hist(
            amplitude[labels == label], bins=bins, color=colour, alpha=0.7, label=f"y = {label}"
        )
    ax.axvline(threshold, color="black", linestyle=":", linewidth=1)
    ax.set(xlabel=r"$|x|_1 + \|\sum_i x_i v_i\|_2$", ylabel="patterns")
    ax.legend(fontsize=8)
    return ax
