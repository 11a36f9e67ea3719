"""Means over seeds with intervals, and what an interval decides."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
INCONCLUSIVE = "inconclusive"
UNINFORMATIVE = "uninformative (estimator saturated)"


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over seeds and its 95% interval."""

    mean: float
    low: float
    high: float
    n: int

    def __format__(self, digits: str) -> str:
        digits = digits or ".2f"
        if self.n < 2:
            return f"{self.mean:{digits}} (one seed)"
        return f"{self.mean:{digits}} [{self.low:{digits}}, {self.high:{digits}}]"

    def __str__(self) -> str:
        return format(self)


def interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Mean and Student interval of one value per seed.

    Parameters
    ----------
    values : sequence of float
        One per seed. A single value has an infinite interval.
    level : float
        Coverage.

    Raises
    ------
    ValueError
        For no values, values that are not finite, or a level outside (0, 1).

    Examples
    --------
    >>> print(interval([1.0, 2.0, 3.0]))
    2.00 [-0.48, 4.48]
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"one value per seed is needed, got shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"values must be finite, got {sample.tolist()}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    mean = float(sample.mean())
    if len(sample) == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    margin = stats.t.ppf((1 + level) / 2, len(sample) - 1) * stats.sem(sample)
    return Interval(mean, float(mean - margin), float(mean + margin), len(sample))


def exact_share(cases: Sequence[bool], *, level: float = 0.95) -> Interval:
    """Share of seeds in which something is the case, with the interval of Clopper and Pearson.

    Student's has no width where all seeds agree, however few they are. Raises ValueError for no
    seeds or a level outside (0, 1).

    Examples
    --------
    >>> print(exact_share([True, True, True]))
    1.00 [0.29, 1.00]
    """
    cases = [bool(case) for case in cases]
    if not cases:
        raise ValueError("one case per seed is needed, got none")
    found = stats.binomtest(sum(cases), len(cases)).proportion_ci(level)
    return Interval(sum(cases) / len(cases), float(found.low), float(found.high), len(cases))


def decided(found: Interval, threshold: float = 0.0) -> str:
    """Whether an interval lies above a threshold: supported, contradicted or inconclusive."""
    if found.low > threshold:
        return SUPPORTED
    return CONTRADICTED if found.high < threshold else INCONCLUSIVE


def above(values: Sequence[float], threshold: float = 0.0) -> str:
    """Whether the values lie above a threshold: supported, contradicted or inconclusive."""
    return decided(interval(values), threshold)


def below(values: Sequence[float], threshold: float = 0.0) -> str:
    """Whether the values lie below a threshold: supported, contradicted or inconclusive."""
    return above([-value for value in values], -threshold)


def opposite(verdict: str) -> str:
    """Verdict on the negation of what has been decided."""
    return {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED}.get(verdict, verdict)


def all_of(parts: Iterable[str]) -> str:
    """Verdict of a claim whose parts must all hold.

    One contradicted part decides. Otherwise a part that the estimator cannot see makes the claim
    uninformative, whatever more seeds would say of the others.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("a claim needs at least one part")
    for decisive in (CONTRADICTED, UNINFORMATIVE, INCONCLUSIVE):
        if decisive in parts:
            return decisive
    return SUPPORTED
