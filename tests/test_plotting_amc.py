"""Figures of the pruning searches: panels, lines, the warm-up, and every policy as a dot."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ibcore import plotting


@pytest.fixture(autouse=True)
def clean():
    yield
    plt.close("all")


def episodes(networks=("VGG16",), shares=(0.5, 0.1), seeds=2):
    rows = [
        {
            "network": network, "share": share, "seed": seed, "search": search,
            "episode": episode, "accuracy": 0.1 * episode + seed, "entropy": 0.5 - 0.01 * episode,
        }
        for network in networks for share in shares for seed in range(seeds)
        for search in plotting.SEARCHES for episode in range(8)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def visible(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def test_search_curves():
    figure = plotting.search_curves(episodes(), {"VGG16": 3})
    axes = visible(figure)
    assert [ax.get_ylabel() for ax in axes[:2]] == [
        "validation accuracy",
        "mean entropy (no unit)",
    ]
    assert len(axes) == 4
    assert "10% of the FLOPs" in axes[2].get_title()
    lines = {line.get_label(): line for line in axes[0].lines}
    assert set(plotting.SEARCHES) <= set(lines)
    # Mean over seeds 0 and 1 and, from the fifth episode on, over five episodes.
    mean = lines["accuracy"].get_ydata()
    assert mean[[0, 1, 6]] == pytest.approx([0.5, 0.55, 0.9])
    assert axes[0].lines[-1].get_xdata()[0] == 2.5
    assert len(figure.legends[0].get_texts()) == 4


def test_reward_scatter():
    figure = plotting.reward_scatter(episodes(networks=("VGG16", "ResNet50")))
    axes = visible(figure)
    assert len(axes) == 4
    assert axes[3].get_title() == "ResNet50, 10%"
    shown = axes[0].lines[0]
    assert len(shown.get_xdata()) == 16
    assert np.asarray(shown.get_xdata())[:2] == pytest.approx([0.5, 0.49])
    assert (axes[0].get_xlabel(), axes[0].get_ylabel()) == (
        "mean aura matrix entropy (no unit)",
        "validation accuracy",
    )


def test_long_numbers_of_the_reward_scatter_stay_apart():
    table = episodes()
    table["entropy"] = np.random.default_rng(0).uniform(-0.0829, -0.0648, len(table))
    with plt.rc_context():
        plotting.use_style()
        figure = plotting.reward_scatter(table)
        figure.draw_without_rendering()
    for ax in visible(figure):
        low, high = ax.get_xlim()
        marks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        boxes = [label.get_window_extent() for place, label in marks if low <= place <= high]
        assert len(boxes) >= 2
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_channels_kept():
    rows = [
        {"network": network, "share": 0.1, "method": method, "seed": seed, "group": group,
         "kept": 0.2 * place + 0.1 * seed}
        for network in "abcd" for method in ("accuracy", "uniform") for seed in range(2)
        for place, group in enumerate(("conv1", "conv2", "conv3"))
    ]  # fmt: skip
    figure = plotting.channels_kept(pd.DataFrame(rows))
    axes = visible(figure)
    assert len(axes) == 4
    assert axes[0].get_ylim() == (0, 1.02)
    first, second = axes[0].lines
    assert first.get_ydata() == pytest.approx([0.05, 0.25, 0.45])
    assert (first.get_label(), second.get_label()) == ("accuracy", "uniform")
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["conv1", "conv2", "conv3"]
