"""Estimators on data whose information is known: their error against n and d."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import integrate, stats
from tqdm import tqdm

from ibcore.estimators import (
    binned_entropy,
    binned_information,
    kde_information_bounds,
    ksg_information,
    nearest_neighbour_entropy,
    renyi_information,
)
from ibcore.seeds import derived_seed


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the samples.

    Attributes
    ----------
    sizes : tuple of int
        Numbers of samples n.
    dimensions : tuple of int
        Dimensions d.
    repeats : int
        Independent samples for each n and d.
    correlation : float
        Correlation of each pair of Gaussian coordinates.
    bin_width, noise_variance : float
        Of the binned and of the KDE estimates.
    separation : float
        Distance of the two class means in the labelled example, in standard deviations.
    renyi_limit : int
        Largest n for which the eigenvalues of the Gram matrix are computed.
    threads : int
    """

    sizes: tuple[int, ...]
    dimensions: tuple[int, ...]
    repeats: int
    correlation: float = 0.8
    bin_width: float = 0.5
    noise_variance: float = 0.1
    separation: float = 2.0
    renyi_limit: int = 1000
    threads: int = 1

    def __post_init__(self):
        if min(self.sizes) < 10 or min(self.dimensions) < 1 or self.repeats < 1:
            raise ValueError(
                f"sizes >= 10, dimensions >= 1 and repeats >= 1 are needed, got {self.sizes}, "
                f"{self.dimensions} and {self.repeats}"
            )
        if not -1 < self.correlation < 1:
            raise ValueError(f"correlation must lie in (-1, 1), got {self.correlation}")


@dataclasses.dataclass(frozen=True)
class Generated:
    """What the run store notes about samples that are drawn while running."""

    label: str = "generated samples"
    source: str = "official"
    note: str = "drawn from distributions whose information is known"
    fingerprint: str = "generated"


def load(config: Config) -> Generated:
    """Nothing to load: the samples are drawn while running."""
    return Generated()


def device_name(config: Config) -> str:
    """Always the processor."""
    return "CPU"


def gaussian_information(correlation: float, dimension: int) -> float:
    """I(A;B) in bits of ``dimension`` independent pairs of Gaussians: -d/2 log2(1 - rho^2)."""
    return -0.5 * dimension * math.log2(1 - correlation**2)


def gaussian_entropy(dimension: int) -> float:
    """Differential entropy in bits of a standard Gaussian: d/2 log2(2 pi e)."""
    return 0.5 * dimension * math.log2(2 * math.pi * math.e)


def channel_information(noise_variance: float, dimension: int) -> float:
    """I(T; T + N) in bits of a standard Gaussian T and Gaussian noise: d/2 log2(1 + 1/v)."""
    return 0.5 * dimension * math.log2(1 + 1 / noise_variance)


def binned_gaussian_entropy(bin_width: float, dimension: int) -> float:
    """Entropy in bits of a standard Gaussian cut into bins of a width, anchored at 0."""
    edges = np.arange(-math.ceil(12 / bin_width), math.ceil(12 / bin_width) + 1) * bin_width
    probabilities = np.diff(stats.norm.cdf(edges))
    probabilities = probabilities[probabilities > 0]
    return float(-dimension * (probabilities * np.log2(probabilities)).sum())


def two_class_information(separation: float) -> float:
    """I(T;Y) in bits of two equally likely unit Gaussians whose means lie ``separation`` apart."""

    def integrand(t):
        low, high = stats.norm.pdf(t, 0), stats.norm.pdf(t, separation)
        mean = (low + high) / 2
        return sum(p / 2 * math.log2(p / mean) for p in (low, high) if p > 0)

    return integrate.quad(integrand, -10, separation + 10, limit=200)[0]


def _pairs(config: Config, rng, n: int, d: int):
    a = rng.standard_normal((n, d))
    noise = rng.standard_normal((n, d))
    return a, config.correlation * a + math.sqrt(1 - config.correlation**2) * noise


def _unlabelled(config: Config, rng, n: int, d: int):
    """Estimates that need no label: name, parameter, estimate, truth."""
    a, b = _pairs(config, rng, n, d)
    everything = np.zeros(n, dtype=np.int64)
    upper, lower = kde_information_bounds(a, everything, noise_variance=config.noise_variance)
    channel = channel_information(config.noise_variance, d)
    yield "nearest-neighbour H(T)", nearest_neighbour_entropy(a), gaussian_entropy(d)
    yield "KSG I(A;B)", ksg_information(a, b), gaussian_information(config.correlation, d)
    yield "KDE upper I(X;T)", upper.I_XT, channel
    yield "KDE lower I(X;T)", lower.I_XT, channel
    truth = binned_gaussian_entropy(config.bin_width, d)
    yield "binned H(T)", binned_entropy(a, bin_width=config.bin_width), truth


def _labelled(config: Config, rng, n: int):
    """Estimates of I(T;Y) for two Gaussian classes on a line: name, estimate, truth."""
    labels = np.arange(n) % 2
    T = rng.standard_normal((n, 1)) + config.separation * labels[:, None]
    truth = two_class_information(config.separation)
    blurred = two_class_information(config.separation / math.sqrt(1 + config.noise_variance))
    upper, lower = kde_information_bounds(T, labels, noise_variance=config.noise_variance)
    binned = binned_information(T, labels, bin_width=config.bin_width)
    yield "binned I(T;Y)", binned.I_TY, truth
    yield "KDE upper I(T;Y)", upper.I_TY, blurred
    yield "KDE lower I(T;Y)", lower.I_TY, blurred
    if n <= config.renyi_limit:
        yield "Rényi I(T;Y)", renyi_information(T, labels, kernel_width=None), truth


def run(
    config: Config,
    seed: int,
    dataset: Generated | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "known truth",
) -> dict[str, pd.DataFrame]:
    """Estimate what is known, for every size and dimension.

    Returns
    -------
    dict of DataFrame
        ``estimates``: estimator, n, d, repeat, estimate, truth (bits). For the KDE bounds the
        truth is that of the Gaussian with the noise added, I(T; T + noise) and I(T + noise; Y);
        the estimate sees a mixture of n points and cannot exceed log2 n.
    """
    rows = []
    for repeat in tqdm(range(config.repeats), desc=name, leave=False):
        for n in config.sizes:
            for d in config.dimensions:
                rng = np.random.default_rng(derived_seed(seed, f"{n}, {d}, {repeat}"))
                for estimator, estimate, truth in _unlabelled(config, rng, n, d):
                    rows.append((estimator, n, d, repeat, estimate, truth))
            rng = np.random.default_rng(derived_seed(seed, f"labelled {n}, {repeat}"))
            for estimator, estimate, truth in _labelled(config, rng, n):
                rows.append((estimator, n, 1, repeat, estimate, truth))
    columns = ["estimator", "n", "d", "repeat", "estimate", "truth"]
    return {"estimates": pd.DataFrame(rows, columns=columns)}
