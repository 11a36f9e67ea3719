"""Axes-level figures of the compendium: they draw, they never save and never show.

Every function takes tidy tables and returns the axes (or the figure it made). Colours of layers
and of epochs, limits and labels follow one style, set by ``use_style``.
"""

from ibcore.plotting.answers import ANSWERS, answer_matrix, verdict_map
from ibcore.plotting.curves import (
    INFORMATION,
    against_parameter,
    estimates_against_n,
    filters_over_epochs,
    information_over_epochs,
    intervals,
    layers_over_epochs,
    lines,
    over_epochs,
)
from ibcore.plotting.planes import (
    binned_plane,
    early_stopping,
    epoch_colourbar,
    filter_planes,
    information_plane,
    information_planes,
    layer_legend,
    planes_and_training,
)
from ibcore.plotting.pruning import (
    SEARCHES,
    agreement_through_depth,
    channels_kept,
    freezing_order,
    pruned_accuracy,
    reward_scatter,
    search_curves,
)
from ibcore.plotting.saliency import entropy_by_layer, entropy_through_depth, saliency_strips
from ibcore.plotting.samples import amplitude_histogram, icosahedra, places, spectrograms
from ibcore.plotting.style import epoch_norm, grid, mark_standin, palette, use_style

__all__ = [
    "ANSWERS",
    "INFORMATION",
    "SEARCHES",
    "against_parameter",
    "agreement_through_depth",
    "amplitude_histogram",
    "answer_matrix",
    "binned_plane",
    "channels_kept",
    "early_stopping",
    "entropy_by_layer",
    "entropy_through_depth",
    "epoch_colourbar",
    "epoch_norm",
    "estimates_against_n",
    "filter_planes",
    "filters_over_epochs",
    "freezing_order",
    "grid",
    "icosahedra",
    "information_over_epochs",
    "information_plane",
    "information_planes",
    "intervals",
    "layer_legend",
    "layers_over_epochs",
    "lines",
    "mark_standin",
    "over_epochs",
    "palette",
    "places",
    "planes_and_training",
    "pruned_accuracy",
    "reward_scatter",
    "saliency_strips",
    "search_curves",
    "spectrograms",
    "use_style",
    "verdict_map",
]
