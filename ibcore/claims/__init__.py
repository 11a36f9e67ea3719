"""From measurements to verdicts: statistics over seeds, with intervals, never from a picture.

Every verdict is one of *supported*, *contradicted*, *inconclusive*, *uninformative (estimator
saturated)* and *not run (why)*. A comparison is decided by a 95% Student interval over seeds: the
whole interval on one side decides, anything else is inconclusive, and so is a single seed. A claim
with several parts is supported if all parts are, contradicted if one part is.

``intervals``, ``curves`` and ``agreement`` hold the statistics, ``verdict`` the tables; every
document has a module of its own with one function per claim (``szt_1``, ``ll_6``, ...), all
importable from here.
"""

from ibcore.claims.agreement import agreement, curve_correlations
from ibcore.claims.amc import (
    AS_WELL,
    accuracy_difference,
    amc_beside_published,
    amc_controls,
    mt_6,
    mt_7,
    mt_8,
    reward_correlation,
)
from ibcore.claims.curves import (
    NOISE_FLOOR,
    SATURATION,
    beyond_null,
    compression,
    epochs_to_level,
    falls,
    noise_band,
    per_seed,
    phases,
    rank_correlation,
    smooth,
    upper_layers,
    with_bounds,
)
from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    UNINFORMATIVE,
    Interval,
    above,
    all_of,
    below,
    interval,
)
from ibcore.claims.li_liu import (
    SETTLED,
    ll_1,
    ll_2,
    ll_3,
    ll_4,
    ll_5,
    ll_6,
    ll_7,
    softmax_allowance,
)
from ibcore.claims.szt import (
    OVERFITTING,
    szt_1,
    szt_2,
    szt_3,
    szt_4,
)
from ibcore.claims.verdict import (
    Verdict,
    collect,
    published,
    verdict_table,
)

__all__ = [
    "AS_WELL",
    "CONTRADICTED",
    "INCONCLUSIVE",
    "NOISE_FLOOR",
    "OVERFITTING",
    "SATURATION",
    "SETTLED",
    "SUPPORTED",
    "UNINFORMATIVE",
    "Interval",
    "Verdict",
    "above",
    "accuracy_difference",
    "agreement",
    "all_of",
    "amc_beside_published",
    "amc_controls",
    "below",
    "beyond_null",
    "collect",
    "compression",
    "curve_correlations",
    "epochs_to_level",
    "falls",
    "interval",
    "ll_1",
    "ll_2",
    "ll_3",
    "ll_4",
    "ll_5",
    "ll_6",
    "ll_7",
    "mt_6",
    "mt_7",
    "mt_8",
    "noise_band",
    "per_seed",
    "phases",
    "published",
    "rank_correlation",
    "reward_correlation",
    "smooth",
    "softmax_allowance",
    "szt_1",
    "szt_2",
    "szt_3",
    "szt_4",
    "upper_layers",
    "verdict_table",
    "with_bounds",
]
