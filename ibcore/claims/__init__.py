"""From measurements to verdicts: statistics over seeds, with intervals, never from a picture.

Every verdict is one of *supported*, *contradicted*, *inconclusive*, *uninformative (estimator
saturated)* and *not run (why)*. A comparison is decided by a 95% Student interval over seeds: the
whole interval on one side decides, anything else is inconclusive, and so is a single seed. A claim
with several parts is supported if all parts are, contradicted if one part is.

``intervals``, ``curves`` and ``agreement`` hold the statistics, ``verdict`` the tables; every
document has a module of its own with one function per claim (``szt_1``, ``ll_6``, ...), all
importable from here.
"""

from ibcore.claims.agreement import (
    agreement,
    curve_correlations,
)
from ibcore.claims.curves import (
    NOISE_FLOOR,
    SATURATION,
    beyond_null,
    compression,
    early_stopping,
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
from ibcore.claims.dong_hisham import (
    both_coordinates,
    dh_1,
    dh_2,
    dh_3,
    trends,
)
from ibcore.claims.filter_pruning import (
    last_round,
    mt_9,
    mt_10,
    paired_accuracy,
    pruning_beside_published,
    score_agreement,
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
from ibcore.claims.padova import (
    CHANCE,
    judged_layers,
    pd_1,
    pd_2,
    pd_3,
    pd_4,
    pd_5,
    pd_6,
)
from ibcore.claims.saliency import (
    beside_published,
    by_unit,
    depth_correlations,
    depth_steps,
    entropy_intervals,
    mt_1,
    mt_2,
    published_entropies,
    reading_distances,
    shuffled_baseline,
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
    "CHANCE",
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
    "agreement",
    "all_of",
    "below",
    "beside_published",
    "beyond_null",
    "both_coordinates",
    "by_unit",
    "collect",
    "compression",
    "curve_correlations",
    "depth_correlations",
    "depth_steps",
    "dh_1",
    "dh_2",
    "dh_3",
    "early_stopping",
    "entropy_intervals",
    "epochs_to_level",
    "falls",
    "interval",
    "judged_layers",
    "last_round",
    "ll_1",
    "ll_2",
    "ll_3",
    "ll_4",
    "ll_5",
    "ll_6",
    "ll_7",
    "mt_1",
    "mt_2",
    "mt_9",
    "mt_10",
    "noise_band",
    "paired_accuracy",
    "pd_1",
    "pd_2",
    "pd_3",
    "pd_4",
    "pd_5",
    "pd_6",
    "per_seed",
    "phases",
    "pruning_beside_published",
    "published",
    "published_entropies",
    "rank_correlation",
    "reading_distances",
    "score_agreement",
    "shuffled_baseline",
    "smooth",
    "softmax_allowance",
    "szt_1",
    "szt_2",
    "szt_3",
    "szt_4",
    "trends",
    "upper_layers",
    "verdict_table",
    "with_bounds",
]
