"""Claims SZT-1 to SZT-4: Shwartz-Ziv & Tishby (2017) and Saxe et al. (2018).

All tables are ``phases`` with bounds unless said otherwise. Layers that end at the ceiling are not
asked for a fall (see ``ibcore.claims.compression``); where none can answer the claim is
uninformative.
"""

import pandas as pd

from ibcore.claims.curves import compression, count_seeds, per_seed, upper_layers
from ibcore.claims.intervals import above, all_of, below, interval, opposite
from ibcore.claims.verdict import Verdict


def szt_1(table: pd.DataFrame) -> Verdict:
    """Rise, then fall of I(X;T) in the upper hidden layers while I(T;Y) is kept.

    ``table`` holds the ``phases`` of the tanh network trained with mini-batches.
    """
    upper = upper_layers(table)
    fell, drop, band = compression(upper)
    rose = above(per_seed(upper, "rise") - per_seed(upper, "band"))
    kept = below(per_seed(upper, "fall_of_I_TY") - per_seed(upper, "band_of_I_TY"))
    rise, loss = interval(per_seed(upper, "rise")), interval(per_seed(upper, "fall_of_I_TY"))
    text = (
        f"rise {rise} bit ({rose}), then drop {drop} bit ({fell}); noise band {band:.2f} bit; "
        f"I(T;Y) falls by {loss} bit from its peak (kept: {kept})"
    )
    return Verdict("SZT-1", all_of([rose, fell, kept]), text, count_seeds(upper))


def szt_2(relu: pd.DataFrame, tanh: pd.DataFrame) -> Verdict:
    """No fall of I(X;T) beyond the noise band with ReLU; the tanh network only for comparison."""
    upper = upper_layers(relu)
    difference = interval(per_seed(upper_layers(tanh), "drop") - per_seed(upper, "drop"))
    fell, drop, band = compression(upper)
    text = f"drop {drop} bit; noise band {band:.2f} bit; tanh minus ReLU, paired: {difference} bit"
    return Verdict("SZT-2", opposite(fell), text, count_seeds(upper))


def szt_3(stochastic: pd.DataFrame, full_batch: pd.DataFrame) -> Verdict:
    """The same fall of I(X;T) under full-batch training."""
    stochastic, full_batch = upper_layers(stochastic), upper_layers(full_batch)
    fell, drop, band = compression(full_batch)
    difference = interval(per_seed(full_batch, "drop") - per_seed(stochastic, "drop"))
    text = (
        f"drop under full batch {drop} bit, noise band {band:.2f} bit; full batch minus "
        f"mini-batch, paired: {difference} bit"
    )
    return Verdict("SZT-3", fell, text, count_seeds(full_batch))


OVERFITTING = 0.02
"""Gap between training and test accuracy that counts as over-fitting."""


def szt_4(table: pd.DataFrame, history: pd.DataFrame) -> Verdict:
    """Compression together with over-fitting, at the smallest training fraction.

    ``table`` and ``history`` hold the run with the least training data only.
    """
    upper = upper_layers(table)
    fell, drop, band = compression(upper)
    last = history[history["epoch"] == history["epoch"].max()].sort_values("seed")
    gap = (last["train_accuracy"] - last["test_accuracy"]).to_numpy()
    text = (
        f"drop {drop} bit ({fell}), noise band {band:.2f} bit; training minus test accuracy "
        f"{interval(gap)} (threshold {OVERFITTING}: {above(gap, OVERFITTING)})"
    )
    return Verdict("SZT-4", all_of([fell, above(gap, OVERFITTING)]), text, count_seeds(upper))
