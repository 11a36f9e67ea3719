"""Estimators of entropy and information. Pure functions of arrays; every result is in bits."""

from ._validation import Information
from .binning import (
    binned_entropy,
    binned_information,
    binned_information_per_filter,
    count_distinct,
    discrete_entropy,
)
from .kde import kde_information, kde_information_bounds
from .matrix_renyi import (
    aligned_kernel_width,
    gram_matrix,
    renyi_entropy,
    renyi_information,
    renyi_information_per_filter,
    renyi_joint_entropy,
    renyi_mutual_information,
)
from .nearest_neighbour import ksg_information, nearest_neighbour_entropy
from .spatial import (
    aura_matrix_entropy,
    joint_aura_matrix_entropy,
    shuffled_pixels,
    spatial_disorder_entropy,
    spatial_information,
    spatial_information_per_filter,
)

__all__ = [
    "Information",
    "aligned_kernel_width",
    "aura_matrix_entropy",
    "binned_entropy",
    "binned_information",
    "binned_information_per_filter",
    "count_distinct",
    "discrete_entropy",
    "gram_matrix",
    "joint_aura_matrix_entropy",
    "kde_information",
    "kde_information_bounds",
    "ksg_information",
    "nearest_neighbour_entropy",
    "renyi_entropy",
    "renyi_information",
    "renyi_information_per_filter",
    "renyi_joint_entropy",
    "renyi_mutual_information",
    "shuffled_pixels",
    "spatial_disorder_entropy",
    "spatial_information",
    "spatial_information_per_filter",
]
