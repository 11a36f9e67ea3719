"""Freezing and pruning: what was chosen, at what cost, and how accurate it stayed."""

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ibcore.plotting.curves import banded
from ibcore.plotting.style import MARKERS, grid, one_legend


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
            style = {"color": colours[score], "label": score}
            banded(ax, own["accuracy"].groupby(left), limits=(0, 1), scale=100, **style)
        highest = 100 * networks.loc[networks["run"] == run, "accuracy"].max()
        ax.set(
            xlabel="parameters left [%]",
            ylabel="test accuracy [%]",
            title=f"{run}, {configuration}",
            xlim=(105, 0),
            ylim=(0, max(10, 1.15 * highest)),
        )
    one_legend(figure, axes, len(scores))
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
            groups = own.groupby("layer_index")["correlation"]
            banded(ax, groups, limits=(-1, 1), color=colour, label=pair)
        ax.axhline(0, color="0.4", linestyle=":", linewidth=1)
        ax.set(
            xlabel="convolution, from input to output",
            ylabel="rank correlation (Spearman)",
            title=run,
            ylim=(-1.05, 1.05),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)
    one_legend(figure, axes, 2)
    return figure


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
        ax.xaxis.set_major_locator(MaxNLocator(4))  # numbers of seven characters
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
