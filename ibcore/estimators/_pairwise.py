"""All squared distances between the rows of one set, in float64."""

import torch

LARGEST_ROUNDING = 1e-9
_FEATURES_PER_BLOCK = 8192
EXACT_DIFFERENCES = "donot_use_mm_for_euclid_dist"


def squared_distances(rows, unit=None):
    """Return the symmetric (n, n) matrix of squared distances, with an exactly zero diagonal.

    Computed from inner products of centred rows. Where the rounding of these could reach 1e-9
    in units of `unit` squared, differences are taken directly.
    """
    n, d = rows.shape
    inner = torch.zeros((n, n), dtype=torch.float64, device=rows.device)
    for start in range(0, d, _FEATURES_PER_BLOCK):
        centred = rows[:, start : start + _FEATURES_PER_BLOCK].double()
        centred = centred - centred.mean(0)
        inner += centred @ centred.T
    norms = inner.diagonal().clone()
    rounding = torch.finfo(torch.float64).eps * norms.max().item()
    if unit is not None and not rounding <= LARGEST_ROUNDING * unit * unit:
        double = rows.double()
        return torch.cdist(double, double, compute_mode=EXACT_DIFFERENCES).square_()
    squared = norms[:, None] + norms - (inner + inner.T)
    return squared.clamp_(min=0.0).fill_diagonal_(0.0)
