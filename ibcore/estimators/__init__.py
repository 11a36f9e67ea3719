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
    renyi_joint_entropy,
    renyi_mutual_information,
)
from .nearest_neighbour import ksg_information, nearest_neighbour_entropy

__all__ = [
    "Information",
    "aligned_kernel_width",
    "binned_entropy",
    "binned_information",
    "binned_information_per_filter",
    "count_distinct",
    "discrete_entropy",
    "gram_matrix",
    "kde_information",
    "kde_information_bounds",
    "ksg_information",
    "nearest_neighbour_entropy",
    "renyi_entropy",
    "renyi_information",
    "renyi_joint_entropy",
    "renyi_mutual_information",
]
