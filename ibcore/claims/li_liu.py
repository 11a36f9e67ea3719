"""Claims LL-1 to LL-7: Li & Liu on convolutional networks."""

import math

import numpy as np
import pandas as pd

from ibcore.claims.curves import (
    SATURATION,
    count_seeds,
    epochs_to_level,
    per_seed,
    rank_correlation,
    with_bounds,
)
from ibcore.claims.intervals import (
    CONTRADICTED,
    INCONCLUSIVE,
    SUPPORTED,
    UNINFORMATIVE,
    above,
    all_of,
    below,
    interval,
)
from ibcore.claims.verdict import Verdict


def ll_1(measurements: pd.DataFrame, bounds: pd.DataFrame) -> Verdict:
    """Every convolutional layer at both upper bounds, at every recorded epoch."""
    convolutions = measurements[measurements["layer"].str.startswith("conv")]
    table = with_bounds(convolutions, bounds)
    below_x = table["ceiling_X"] - table["I_XT"]
    below_y = table["ceiling_Y"] - table["I_TY"]
    largest = table.assign(distance=np.maximum(below_x, below_y))
    worst = largest.loc[largest["distance"].idxmax()]
    values = largest.groupby("seed")["distance"].max().to_numpy()
    text = (
        f"largest distance to a bound, per seed: {interval(values)} bit (tolerance {SATURATION}); "
        f"the largest is {worst['run']}, {worst['layer']}, epoch {worst['epoch']}"
    )
    return Verdict("LL-1", below(values, SATURATION), text, count_seeds(table))


def ll_2(measurements: pd.DataFrame, bounds: pd.DataFrame) -> Verdict:
    """Wider layers: higher first values of the output layer, fewer epochs to its bound.

    ``measurements`` has the columns ``dataset`` and ``width`` beside the usual ones. If most of the
    widths mostly begin at one and the same I(X;T), there is no order to support the claim.
    """
    output = measurements[measurements["layer"] == "output"]
    output = with_bounds(output, bounds)
    trained = output[output["epoch"] > 0]
    start = trained[trained["epoch"] == trained["epoch"].min()]
    high_x = rank_correlation(start, "I_XT", "width")
    high_y = rank_correlation(start, "I_TY", "width")
    reached = epochs_to_level(output, "I_TY", by="width", bound="ceiling_Y")
    fast = rank_correlation(reached, "epochs", "width")
    text = (
        f"rank correlation with width over seeds: first I(X;T) {interval(high_x)}, first I(T;Y) "
        f"{interval(high_y)}, epochs to 95% of the level {interval(fast)}"
    )
    parts = [above(high_x), above(high_y), below(fast)]
    first = start.groupby(["seed", "dataset", "set"])["I_XT"]
    alike = first.agg(lambda values: values.round(6).value_counts().max() > len(values) / 2)
    if alike.mean() > 0.5:
        parts.append(INCONCLUSIVE)
        text += f"; most widths begin at one I(X;T) in {alike.mean():.0%} of the cases"
    return Verdict("LL-2", all_of(parts), text, count_seeds(output))


SETTLED = 0.05
"""A curve that rises by less than this many bits over its last fifth has reached its level."""


def ll_3(output: pd.DataFrame) -> Verdict:
    """Larger kernels and more layers: a higher first value, up to a size that gains no more.

    ``output`` holds the output layer, with the columns ``series`` (kernels or depth of one base
    network) and ``setting`` (the size) beside the usual ones. In every series the step from the
    smallest size must gain and the step to the largest must gain less than ``SETTLED`` bits.
    """
    trained = output[output["epoch"] > 0]
    start = trained[trained["epoch"] == trained["epoch"].min()]
    parts, texts = [], []
    for series, table in start.groupby("series", sort=False):
        for column, name in (("I_XT", "I(X;T)"), ("I_TY", "I(T;Y)")):
            values = table.groupby(["seed", "setting"])[column].mean().unstack()
            gains = values.diff(axis=1).iloc[:, 1:]
            first, last = gains.iloc[:, 0], gains.iloc[:, -1]
            parts += [above(first), below(last, SETTLED)]
            texts.append(
                f"{series}, {name}: first step {interval(first)}, last step {interval(last)} bit"
            )
    return Verdict("LL-3", all_of(parts), "; ".join(texts), count_seeds(start))


def _last(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Last value of a column and its rise over the last fifth of the snapshots, per curve."""
    keys = ["seed", "series", "setting", "dataset", "set"]

    def end(curve):
        values = curve.sort_values("epoch")[column]
        before = values.iloc[-max(2, len(values) // 5)]
        return pd.Series({"last": values.iloc[-1], "rise": values.iloc[-1] - before})

    return table.groupby(keys, sort=False)[["epoch", column]].apply(end).reset_index()


def _settled(output: pd.DataFrame) -> tuple[str, str]:
    """Whether I(T;Y) has reached its level, on average over the curves of a seed, and in words."""
    rise = _last(output, "I_TY").groupby("seed")["rise"].mean()
    settled = below(rise, SETTLED)
    return settled, (
        f"rise over the last fifth of the snapshots {interval(rise)} bit (settled below {SETTLED}: "
        f"{settled})"
    )


def ll_4(output: pd.DataFrame) -> Verdict:
    """One common last I(T;Y) of the output layer, whatever the kernel size or depth.

    ``output`` as in ``ll_3``. While curves still rise there is no maximum to compare, and the
    claim is inconclusive.
    """
    ends = _last(output, "I_TY")
    where = ["seed", "series", "dataset", "set"]
    spread = ends.groupby(where)["last"].agg(lambda last: last.max() - last.min())
    spread = spread.groupby("seed").mean()
    settled, of_rise = _settled(output)
    verdict = below(spread, SATURATION) if settled == SUPPORTED else INCONCLUSIVE
    text = (
        f"highest minus lowest last I(T;Y) over the sizes {interval(spread)} bit (tolerance "
        f"{SATURATION}); {of_rise}"
    )
    return Verdict("LL-4", verdict, text, count_seeds(output))


def ll_5(output: pd.DataFrame) -> Verdict:
    """More information in the output layer with pooling than without, at the last epoch.

    ``output`` as in ``ll_3``, with the settings ``with`` and ``without``. I(T;Y) decides; while
    its curves still rise (see ``ll_4``), networks that learn at different rates are caught on the
    way, and the claim is inconclusive.
    """
    gains = {}
    for column in ("I_TY", "I_XT"):
        ends = _last(output, column).groupby(["setting", "seed"])["last"].mean()
        gains[column] = ends["with"] - ends["without"]
    settled, of_rise = _settled(output)
    text = (
        f"with minus without pooling, paired by seed: last I(T;Y) {interval(gains['I_TY'])} bit, "
        f"last I(X;T) {interval(gains['I_XT'])} bit; {of_rise}"
    )
    verdict = above(gains["I_TY"]) if settled == SUPPORTED else INCONCLUSIVE
    return Verdict("LL-5", verdict, text, count_seeds(output))


def softmax_allowance(n_classes: int) -> float:
    """Fall of I(X;T) of a softmax layer that is no compression, in bits.

    With bins wider than 1/2 a softmax output has one symbol per winning class and one for "no
    class above the edge". When the latter dies out I(X;T) may fall by log2((K + 1) / K).

    Examples
    --------
    >>> round(softmax_allowance(10), 4)
    0.1375
    """
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}")
    return math.log2((n_classes + 1) / n_classes)


def ll_6(table: pd.DataFrame, *, n_classes: int) -> Verdict:
    """No fall of I(X;T) in any layer in which one could be seen.

    ``table`` holds ``phases`` with bounds. Layers that end at the ceiling in every seed cannot
    answer, and those that do in some seeds cannot answer that they did not fall. If no hidden
    layer can, the claim about hidden layers is uninformative even when the output layer shows no
    fall; a fall of any layer contradicts it.
    """
    allowance = np.where(table["layer"] == "output", softmax_allowance(n_classes), 0.0)
    table = table.assign(excess=table["drop"] - table["band"] - allowance)
    parts, fallen, capped = {}, [], 0
    for (run, part, layer), group in table.groupby(["run", "set", "layer"], sort=False):
        stays = below(per_seed(group, "excess"))
        if group["capped"].all() or (stays == SUPPORTED and group["capped"].any()):
            capped += 1
            continue
        parts[run, part, layer] = stays
        if parts[run, part, layer] == CONTRADICTED:
            fallen.append(f"{run} {layer} ({part})")
    hidden = [key for key in parts if key[2] != "output"]
    verdict = all_of(parts.values()) if parts else UNINFORMATIVE
    if verdict != CONTRADICTED and not hidden:
        verdict = UNINFORMATIVE
    text = f"{capped} of {capped + len(parts)} curves end at the ceiling"
    if parts:
        largest = table[~table["capped"]]["excess"].max()
        text += (
            f"; among the others the largest drop beyond the noise band is {largest:.2f} bit; "
            f"falling: {', '.join(fallen) or 'none'}"
        )
    return Verdict("LL-6", verdict, text, count_seeds(table))


def ll_7(history: pd.DataFrame) -> Verdict:
    """Wider networks: higher test accuracy, fewer epochs to a given accuracy.

    ``history`` has the columns ``dataset`` and ``width`` beside the usual ones.
    """
    history = history.assign(set="test")
    last = history[history["epoch"] == history["epoch"].max()]
    better = rank_correlation(last, "test_accuracy", "width")
    reached = epochs_to_level(history, "test_accuracy", by="width")
    fast = rank_correlation(reached, "epochs", "width")
    text = (
        f"rank correlation with width over seeds: last test accuracy {interval(better)}, epochs "
        f"to 95% of the accuracy that all reach {interval(fast)}"
    )
    return Verdict("LL-7", all_of([above(better), below(fast)]), text, count_seeds(history))
