"""Verdicts: intervals by hand, and curves whose right answer is known."""

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ibcore import claims, results
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, UNINFORMATIVE, Verdict
from ibcore.claims.curves import beyond_band

# ---------------------------------------------------------------- intervals


def test_interval_by_hand():
    """Mean 2, standard deviation 1, t(0.975; 2) = 4.302653."""
    found = claims.interval([1.0, 3.0, 2.0])
    margin = 4.302652729749464 / math.sqrt(3)
    assert (found.mean, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - margin)
    assert found.high == pytest.approx(2 + margin)
    assert str(found) == "2.00 [-0.48, 4.48]"


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_interval_agrees_with_scipy(level):
    sample = np.random.default_rng(0).normal(3, 2, 11)
    found = claims.interval(sample, level=level)
    expected = stats.ttest_1samp(sample, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_interval_agrees_with_the_bootstrap_of_many_seeds():
    sample = np.random.default_rng(1).normal(0, 1, 400)
    found = claims.interval(sample)
    resampled = stats.bootstrap(
        (sample,), np.mean, n_resamples=2000, rng=np.random.default_rng(2)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(resampled, abs=0.02)


def test_interval_covers_the_truth_19_times_of_20():
    samples = np.random.default_rng(3).normal(1.0, 0.5, (1000, 4))
    found = [claims.interval(sample) for sample in samples]
    covered = np.mean([one.low < 1.0 < one.high for one in found])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_one_seed_has_an_infinite_interval():
    found = claims.interval([0.7])
    assert (found.low, found.high, found.n) == (-math.inf, math.inf, 1)
    assert str(found) == "0.70 (one seed)"


def test_equal_values_have_an_interval_of_no_width():
    found = claims.interval([0.25, 0.25, 0.25])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ([], 0.95, r"one value per seed is needed, got shape \(0,\)"),
        ([[1.0]], 0.95, r"one value per seed is needed, got shape \(1, 1\)"),
        (1.0, 0.95, r"one value per seed is needed, got shape \(\)"),
        ([1.0, math.nan], 0.95, "values must be finite, got .*nan"),
        ([1.0, math.inf], 0.95, "values must be finite, got .*inf"),
        ([1.0], 0.0, r"level must lie in \(0, 1\), got 0.0"),
        ([1.0], 1.0, r"level must lie in \(0, 1\), got 1.0"),
    ],
)
def test_interval_refuses(values, level, words):
    with pytest.raises(ValueError, match=words):
        claims.interval(values, level=level)


@pytest.mark.parametrize(
    ("values", "threshold", "is_above", "is_below"),
    [
        ([1.0, 1.1, 0.9], 0.0, SUPPORTED, CONTRADICTED),
        ([1.0, 1.1, 0.9], 2.0, CONTRADICTED, SUPPORTED),
        ([1.0, 1.1, 0.9], 1.05, INCONCLUSIVE, INCONCLUSIVE),
        ([-1.0, 1.0, 3.0], 0.0, INCONCLUSIVE, INCONCLUSIVE),
        ([5.0], 0.0, INCONCLUSIVE, INCONCLUSIVE),
        ([0.5, 0.5], 0.5, INCONCLUSIVE, INCONCLUSIVE),
        ([0.5, 0.5], 0.4, SUPPORTED, CONTRADICTED),
    ],
)
def test_above_and_below(values, threshold, is_above, is_below):
    assert claims.above(values, threshold) == is_above
    assert claims.below(values, threshold) == is_below


def test_exact_shares():
    """For 0 of n the upper end is 1 - 0.025^(1/n); shares of seeds are not Student's."""
    for n in (1, 3, 6):
        none, every = claims.exact_share([False] * n), claims.exact_share([True] * n)
        assert (none.mean, none.low, every.mean, every.high) == (0, 0, 1, 1)
        assert none.high == pytest.approx(1 - 0.025 ** (1 / n))
        assert every.low == pytest.approx(0.025 ** (1 / n))
    with pytest.raises(ValueError, match="one case per seed is needed, got none"):
        claims.exact_share([])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([SUPPORTED], SUPPORTED),
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([SUPPORTED, CONTRADICTED], CONTRADICTED),
        ([INCONCLUSIVE, CONTRADICTED, UNINFORMATIVE], CONTRADICTED),
        ([SUPPORTED, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, UNINFORMATIVE], UNINFORMATIVE),
        ([SUPPORTED, UNINFORMATIVE], UNINFORMATIVE),
        (iter([SUPPORTED, CONTRADICTED]), CONTRADICTED),
    ],
)
def test_all_of(parts, expected):
    assert claims.all_of(parts) == expected


def test_opposite_turns_what_is_decided():
    verdicts = [SUPPORTED, CONTRADICTED, INCONCLUSIVE, UNINFORMATIVE]
    turned = [CONTRADICTED, SUPPORTED, INCONCLUSIVE, UNINFORMATIVE]
    assert [claims.opposite(verdict) for verdict in verdicts] == turned


def test_no_part_is_no_claim():
    with pytest.raises(ValueError, match="a claim needs at least one part"):
        claims.all_of([])


# ---------------------------------------------------------------- curves


def test_smooth_is_a_running_median_of_five():
    series = [9.0, 1.0, 5.0, 2.0, 8.0, 3.0, 7.0]
    padded = [9.0, 9.0, *series, 7.0, 7.0]
    expected = [sorted(padded[i : i + 5])[2] for i in range(7)]
    assert claims.smooth(series).tolist() == expected == [9, 5, 5, 3, 5, 7, 7]
    assert claims.smooth([1, 1, 1, 50, 1, 1, 1]).tolist() == [1] * 7


def test_noise_band_by_hand():
    """The medians are 9, 5, 5, 3, 5, 7, 7; the residuals 0, 4, 0, 1, 3, 4, 0 have median 1."""
    series = np.array([9.0, 1.0, 5.0, 2.0, 8.0, 3.0, 7.0])
    assert claims.noise_band(series) == pytest.approx(3 * 1.4826)
    assert claims.noise_band(10 * series) == pytest.approx(30 * 1.4826)
    assert claims.noise_band(series + 4) == pytest.approx(3 * 1.4826)


def test_noise_band_of_normal_noise():
    """One residual in five is exactly zero, so it is 2.2 (not 3) standard deviations wide."""
    noise = np.random.default_rng(0).normal(0, 0.2, 20_000)
    assert claims.noise_band(noise) / 0.2 == pytest.approx(2.19, abs=0.05)


def test_noise_band_has_a_floor():
    assert claims.noise_band(np.arange(20.0)) == claims.NOISE_FLOOR
    assert claims.noise_band(np.full(9, 3.0)) == claims.NOISE_FLOOR


def test_the_ends_of_a_smoothed_curve_are_those_of_the_curve():
    noise = np.random.default_rng(1).normal(size=(20, 7))
    for series in noise:
        assert claims.smooth(series)[[0, -1]].tolist() == series[[0, -1]].tolist()


@pytest.mark.parametrize("epochs", [5, 6, 10, 24, 60])
def test_chance_of_a_fall_is_that_of_phases(epochs):
    """Flat curves of other noise, sent through ``phases`` one by one."""
    rng = np.random.default_rng(3)
    keys = pd.MultiIndex.from_product([range(1500), range(epochs)], names=["seed", "epoch"])
    table = keys.to_frame(index=False).assign(
        run="noise", set="all", estimator="binning", layer="hidden1", layer_index=0, I_TY=0.5
    )
    table["I_XT"] = rng.normal(8, 2.0, len(table))
    found = claims.phases(table)
    share = (found["drop"] > found["band"]).mean()
    assert claims.chance_of_a_fall(epochs) == pytest.approx(share, abs=0.04)


def test_chance_of_a_fall_needs_five_epochs():
    with pytest.raises(ValueError, match="at least 5 epochs are needed, got 4"):
        claims.chance_of_a_fall(4)


EPOCHS = np.arange(0, 41)
RISE_AND_FALL = np.interp(EPOCHS, [0, 10, 40], [2.0, 6.0, 4.0])
RISE = np.interp(EPOCHS, [0, 20, 40], [2.0, 6.0, 6.0])
FALL = np.interp(EPOCHS, [0, 40], [6.0, 4.0])
FLAT = np.full(41, 5.0)
LEARNT = np.interp(EPOCHS, [0, 20, 40], [0.1, 0.9, 0.95])
FORGOTTEN = np.interp(EPOCHS, [0, 20, 40], [0.1, 0.9, 0.2])
LAYERS = ("hidden1", "hidden2", "hidden3", "output")


def curves(x, y=LEARNT, *, run="tanh", seeds=5, noise=0.005, layers=LAYERS, part="all", rest=FLAT):
    """Measurements; ``x`` is one curve, or one per seed, of the upper two hidden layers."""
    rng = np.random.default_rng(7)
    x = np.broadcast_to(x, (seeds, len(EPOCHS)))
    rows = []
    for seed in range(seeds):
        for index, layer in enumerate(layers):
            upper = len(layers) - 3 <= index < len(layers) - 1
            frame = pd.DataFrame({"epoch": EPOCHS})
            frame["I_XT"] = (x[seed] if upper else rest) + rng.normal(0, noise, len(EPOCHS))
            frame["I_TY"] = y + rng.normal(0, noise, len(EPOCHS))
            frame = frame.assign(
                run=run, seed=seed, set=part, layer=layer, layer_index=index, estimator="binning"
            )
            rows.append(frame)
    return pd.concat(rows, ignore_index=True)


def ceilings(x=12.0, y=1.0, runs=("tanh",), parts=("all",)):
    return pd.DataFrame(
        [{"run": r, "set": p, "ceiling_X": x, "ceiling_Y": y} for r in runs for p in parts]
    )


def test_phases_by_hand():
    table = curves(RISE_AND_FALL, noise=0.0, seeds=2, layers=("hidden1", "hidden2", "output"))
    found = claims.phases(table, ceilings())
    assert len(found) == 2 * 3
    row = found[(found["seed"] == 1) & (found["layer"] == "hidden2")].iloc[0]
    # The median of 2.0, 2.0, 2.0, 2.4, 2.8 is 2.0; around the peak 5.2, 5.6, 6, 5.93, 5.87 is 5.87.
    assert row["start"] == pytest.approx(2.0)
    assert row["peak"] == pytest.approx(6 - 2 * 2 / 30)
    assert row["peak_epoch"] in (10, 11)
    assert row["end"] == pytest.approx(4.0)
    assert row["rise"] == pytest.approx(row["peak"] - 2)
    assert row["drop"] == pytest.approx(row["peak"] - 4)
    assert row["band"] == claims.NOISE_FLOOR
    assert row["lowest"] == 2.0
    assert row["epochs"] == len(EPOCHS)
    assert row["fall_of_I_TY"] == pytest.approx(0.0, abs=1e-12)
    assert not row["saturated"]
    assert not row["capped"]
    assert {"saturated", "capped"}.isdisjoint(claims.phases(table))


def test_phases_do_not_depend_on_the_order_of_rows():
    table = curves(RISE_AND_FALL)
    shuffled = table.sample(frac=1, random_state=0)
    keys = ["seed", "layer_index"]
    one, other = (claims.phases(t).sort_values(keys, ignore_index=True) for t in (table, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_monotone_curves_have_no_drop_or_no_rise():
    rising, falling = (claims.phases(curves(c, noise=0)) for c in (RISE, FALL))
    assert (claims.upper_layers(rising)["drop"] == 0).all()
    assert (claims.upper_layers(falling)["rise"] == 0).all()
    assert (claims.upper_layers(falling)["peak_epoch"] == 0).all()


@pytest.mark.parametrize(("level", "saturated"), [(11.97, True), (11.9, False)])
def test_saturated_means_never_below_the_last_twentieth_of_a_bit(level, saturated):
    table = curves(np.full(41, level), rest=np.full(41, 12.0), noise=0)
    found = claims.phases(table, ceilings(12.0))
    upper = claims.upper_layers(found)["saturated"]
    assert (upper == saturated).all()
    once = table.copy()
    once.loc[once["epoch"] == 17, "I_XT"] = 11.0
    assert not claims.phases(once, ceilings(12.0))["saturated"].any()


MIXED = np.stack([RISE_AND_FALL, RISE, RISE_AND_FALL, RISE, RISE])
RISE_TO_CEILING = np.interp(EPOCHS, [0, 30, 40], [2.0, 11.99, 11.99])
FALL_FROM_CEILING = np.interp(EPOCHS, [0, 10, 40], [12.0, 12.0, 8.0])


@pytest.mark.parametrize(
    ("curve", "capped"), [(RISE_TO_CEILING, True), (FALL_FROM_CEILING, False), (RISE, False)]
)
def test_capped_means_ending_at_the_ceiling(curve, capped):
    found = claims.upper_layers(claims.phases(curves(curve, noise=0), ceilings(12.0)))
    assert not found["saturated"].any()
    assert (found["capped"] == capped).all()
    assert len(claims.able_to_fall(found)) == (0 if capped else len(found))


def test_a_layer_that_one_seed_leaves_below_the_ceiling_is_able_to_fall():
    mixed = np.stack([RISE_TO_CEILING] * 4 + [RISE])
    found = claims.upper_layers(claims.phases(curves(mixed, noise=0), ceilings(12.0)))
    assert found["capped"].sum() == 8
    assert len(claims.able_to_fall(found)) == 10


def test_the_entropy_of_a_density_has_no_ceiling():
    table = curves(FLAT).assign(estimator="nearest neighbour")
    found = claims.phases(table, ceilings(4.0))
    assert not found[["saturated", "capped"]].any(axis=None)
    assert len(claims.able_to_fall(found)) == len(found)


CAPPED_BUT_ONE = np.stack([RISE_TO_CEILING] * 4 + [RISE])
MOSTLY_FALLING = np.stack([FALL_FROM_CEILING] * 4 + [RISE_TO_CEILING])


@pytest.mark.parametrize(
    ("upper", "other", "verdict"),
    [
        (CAPPED_BUT_ONE, None, UNINFORMATIVE),
        (CAPPED_BUT_ONE, RISE_TO_CEILING, UNINFORMATIVE),
        (CAPPED_BUT_ONE, RISE, CONTRADICTED),
        (CAPPED_BUT_ONE, MIXED, INCONCLUSIVE),
        (MOSTLY_FALLING, None, SUPPORTED),
    ],
)
def test_a_layer_capped_in_some_seeds_shows_a_fall_but_not_its_absence(upper, other, verdict):
    found = claims.phases(curves(upper, noise=0), ceilings(12.0))
    found = found[found["layer"] == "hidden2"]
    if other is not None:
        more = claims.phases(curves(other, noise=0), ceilings(12.0))
        found = pd.concat([found, more[more["layer"] == "hidden3"]])
    assert claims.compression(found)[0] == verdict


def test_every_seed_has_ceilings_of_its_own():
    table = pd.DataFrame({"run": "a", "set": "test", "seed": [1, 0, 1], "I_XT": [2.0, 2.0, 1.0]})
    bounds = pd.DataFrame(
        {"run": "a", "set": "test", "seed": [0, 1], "ceiling_X": [3.0, 2.0], "ceiling_Y": [1, 0.9]}
    )
    found = claims.with_bounds(table, bounds)
    assert found["ceiling_X"].tolist() == [2.0, 3.0, 2.0]
    assert found["ceiling_Y"].tolist() == [0.9, 1.0, 0.9]
    shared = claims.with_bounds(table, bounds[:1].drop(columns="seed"))
    assert shared["ceiling_X"].tolist() == [3.0] * 3
    with pytest.raises(ValueError, match="many-to-one"):
        claims.with_bounds(table.drop(columns="seed"), bounds)


def test_only_bounds_tell_which_layers_are_able_to_fall():
    with pytest.raises(ValueError, match="phases with bounds are needed"):
        claims.compression(claims.phases(curves(RISE)))


def test_phases_refuse_short_curves():
    table = curves(FLAT)
    words = "every curve needs at least five recorded epochs"
    for short in (table[table["epoch"] < 4], table.iloc[:0]):
        with pytest.raises(ValueError, match=words):
            claims.phases(short)
    assert len(claims.phases(table[table["epoch"] < 5])) == 20


def test_upper_layers_are_the_last_hidden_ones_of_each_run():
    deep = curves(FLAT, run="deep", layers=("h1", "h2", "h3", "h4", "out"))
    table = claims.phases(pd.concat([curves(FLAT), deep]))
    found = claims.upper_layers(table).groupby("run")["layer"].unique().map(list).to_dict()
    assert found == {"deep": ["h3", "h4"], "tanh": ["hidden2", "hidden3"]}
    one = claims.upper_layers(table, 1).groupby("run")["layer"].unique().map(list).to_dict()
    assert one == {"deep": ["h4"], "tanh": ["hidden3"]}


def test_per_seed_averages_layers_and_keeps_the_order_of_seeds():
    table = pd.DataFrame({"seed": [3, 1, 3, 1], "drop": [1.0, 10.0, 3.0, 20.0]})
    assert claims.per_seed(table, "drop").tolist() == [15.0, 2.0]


# ---------------------------------------------------------------- SZT


def phases(x, y=LEARNT, **options):
    return claims.phases(curves(x, y, **options), ceilings())


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (phases(RISE_AND_FALL), SUPPORTED),
        (phases(RISE), CONTRADICTED),
        (phases(FALL), CONTRADICTED),
        (phases(FLAT), CONTRADICTED),
        (phases(MIXED), INCONCLUSIVE),
        (phases(RISE_AND_FALL, FORGOTTEN), CONTRADICTED),
        (phases(RISE_AND_FALL, seeds=1), INCONCLUSIVE),
        (phases(RISE_AND_FALL, rest=FALL), SUPPORTED),
        (phases(RISE_TO_CEILING), UNINFORMATIVE),
    ],
)
def test_szt_1(table, verdict):
    found = claims.szt_1(table)
    assert (found.claim, found.verdict) == ("SZT-1", verdict)
    assert found.seeds == table["seed"].nunique()


def test_the_statistic_of_szt_1_names_its_numbers():
    text = claims.szt_1(phases(RISE_AND_FALL, noise=0)).statistic
    assert text == (
        "rise 3.87 [3.87, 3.87] bit (supported), then drop 1.87 [1.87, 1.87] bit (supported); "
        "noise band 0.05 bit; I(T;Y) falls by 0.00 [0.00, 0.00] bit from its peak (kept: supported)"
    )


def test_a_drop_within_the_noise_is_no_compression():
    small = np.interp(EPOCHS, [0, 10, 40], [2.0, 6.0, 5.9])
    assert claims.szt_1(phases(small, noise=0.0)).verdict == SUPPORTED
    assert claims.szt_1(phases(small, noise=0.3)).verdict != SUPPORTED


def test_noise_alone_is_hardly_ever_called_compression():
    """Flat curves of 40 noisy snapshots, five seeds, sixty times over."""
    rng = np.random.default_rng(0)
    keys = pd.MultiIndex.from_product(
        [range(60), range(5), range(40)], names=["run", "seed", "epoch"]
    )
    table = keys.to_frame(index=False).assign(
        set="all", estimator="binning", layer="hidden1", layer_index=0, I_TY=0.5
    )
    table["I_XT"] = rng.normal(5, 0.2, len(table))
    found = claims.phases(table, ceilings(runs=range(60)))
    verdicts = [claims.compression(run)[0] for _, run in found.groupby("run")]
    assert verdicts.count(SUPPORTED) == 0


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (phases(RISE), SUPPORTED),
        (phases(FLAT), SUPPORTED),
        (phases(RISE_AND_FALL), CONTRADICTED),
        (phases(FALL), CONTRADICTED),
        (phases(MIXED), INCONCLUSIVE),
        (phases(RISE, seeds=1), INCONCLUSIVE),
        (phases(RISE_TO_CEILING), UNINFORMATIVE),
    ],
)
def test_szt_2(table, verdict):
    found = claims.szt_2(table, table)
    assert (found.claim, found.verdict) == ("SZT-2", verdict)
    assert "noise band" in found.statistic


def test_tanh_does_not_decide_szt_2_and_is_named_beside_it():
    shape = np.interp(EPOCHS, [0, 15, 25, 40], [0, 1, 1, 0])
    for tanh, difference in ((2 * shape, "1.50 [1.50, 1.50]"), (0 * shape, "-0.50 [-0.50, -0.50]")):
        found = claims.szt_2(phases(0.5 * shape, noise=0), phases(tanh, noise=0))
        assert found.verdict == CONTRADICTED
        assert found.statistic.endswith(f"tanh minus ReLU, paired: {difference} bit")


@pytest.mark.parametrize(
    ("full_batch", "verdict"),
    [(RISE_AND_FALL, SUPPORTED), (RISE, CONTRADICTED), (MIXED, INCONCLUSIVE)],
)
def test_szt_3(full_batch, verdict):
    found = claims.szt_3(phases(RISE_AND_FALL), phases(full_batch, run="full"))
    assert (found.claim, found.verdict, found.seeds) == ("SZT-3", verdict, 5)


def test_szt_3_pairs_the_seeds():
    """Drops that differ widely between seeds, and always by 1 between the two trainings."""
    depth = np.linspace(1, 3, 5)[:, None]
    shape = np.interp(EPOCHS, [0, 15, 25, 40], [0, 1, 1, 0])
    one, other = (phases(d * shape, noise=0) for d in (depth, depth + 1))
    text = claims.szt_3(one, other).statistic
    assert text.startswith("drop under full batch 3.00 [")
    assert text.endswith("full batch minus mini-batch, paired: 1.00 [1.00, 1.00] bit")


def accuracies(train, test, seeds=5):
    rows = [
        {"seed": seed, "epoch": epoch, "train_accuracy": 0.5 if epoch < 40 else a,
         "test_accuracy": 0.5 if epoch < 40 else b}
        for seed, (a, b) in enumerate(np.broadcast_to(np.stack([train, test], -1), (seeds, 2)))
        for epoch in (0, 20, 40)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


@pytest.mark.parametrize(
    ("x", "train", "test", "verdict"),
    [
        (RISE_AND_FALL, 1.0, 0.9, SUPPORTED),
        (RISE_AND_FALL, 0.95, 0.95, CONTRADICTED),
        (RISE_AND_FALL, 0.95, 0.94, CONTRADICTED),
        (RISE, 1.0, 0.9, CONTRADICTED),
        (MIXED, 1.0, 0.9, INCONCLUSIVE),
        (RISE_AND_FALL, [1.0, 0.9, 1.0, 0.9, 0.9], [0.9] * 5, INCONCLUSIVE),
    ],
)
def test_szt_4(x, train, test, verdict):
    found = claims.szt_4(phases(x), accuracies(train, test))
    assert (found.claim, found.verdict, found.seeds) == ("SZT-4", verdict, 5)


def test_szt_4_looks_at_the_last_epoch():
    text = claims.szt_4(phases(RISE_AND_FALL), accuracies(1.0, 0.9)).statistic
    assert "training minus test accuracy 0.10 [0.10, 0.10] (threshold 0.02: supported)" in text


# ---------------------------------------------------------------- Li & Liu

CNN = ("conv1", "conv2", "output")


def cnn(conv=12.0, output=RISE, conv_y=1.0, **options):
    """A network whose convolutions stay at a level and whose output follows a curve."""
    table = curves(np.full(41, conv), np.full(41, conv_y), layers=CNN, noise=0, **options)
    table.loc[table["layer"] == "output", "I_XT"] = np.tile(output, table["seed"].nunique())
    return table


def lower(table, by, **where):
    """The same table with I(X;T) lowered in some rows."""
    chosen = np.logical_and.reduce([table[key] == value for key, value in where.items()])
    return table.assign(I_XT=table["I_XT"] - by * chosen)


@pytest.mark.parametrize(
    ("table", "verdict", "worst"),
    [
        (cnn(), SUPPORTED, None),
        (cnn(conv=11.99), SUPPORTED, None),
        (cnn(conv=11.8), CONTRADICTED, "tanh, conv1, epoch 0"),
        (cnn(conv_y=0.9), CONTRADICTED, None),
        (lower(cnn(), 0.3, layer="conv2", epoch=9), CONTRADICTED, "tanh, conv2, epoch 9"),
        (lower(cnn(), 0.3, layer="conv2", epoch=9, seed=1), INCONCLUSIVE, "conv2, epoch 9"),
        (lower(cnn(), 5.0, layer="output"), SUPPORTED, None),
        (cnn(seeds=1), INCONCLUSIVE, None),
    ],
)
def test_ll_1(table, verdict, worst):
    found = claims.ll_1(table, ceilings())
    assert (found.claim, found.verdict) == ("LL-1", verdict)
    if worst:
        assert found.statistic.endswith(worst)


def test_ll_1_takes_each_run_and_set_by_its_own_ceiling():
    tables = [cnn(run="tanh"), cnn(conv=10.0, run="other", part="test")]
    limits = pd.concat([ceilings(12.0), ceilings(10.0, runs=("other",), parts=("test",))])
    assert claims.ll_1(pd.concat(tables), limits).verdict == SUPPORTED
    assert claims.ll_1(pd.concat(tables), limits.assign(ceiling_X=12.0)).verdict == CONTRADICTED


WIDTHS = (1, 3, 6, 12)


def widths(x_of, y_of, *, seeds=4, dataset="MNIST", part="train"):
    """Output layers; ``x_of(width, seed)`` and ``y_of(width, seed)`` give curves over epochs."""
    epochs = np.array([0, 1, 2, 5, 10, 20])
    rows = []
    for width in WIDTHS:
        for seed in range(seeds):
            frame = pd.DataFrame({"epoch": epochs})
            frame["I_XT"], frame["I_TY"] = x_of(width, seed, epochs), y_of(width, seed, epochs)
            frame = frame.assign(
                run=f"{dataset} {width}", dataset=dataset, width=width, seed=seed, set=part,
                layer="output", layer_index=2, estimator="binning",
            )  # fmt: skip
            rows.append(frame)
    return pd.concat(rows, ignore_index=True)


def first_values(scale):
    """Wider starts higher (for a positive scale); epoch 0 says the opposite and must not count."""
    return lambda width, seed, epochs: np.where(
        epochs == 0, 9 - scale * width, 1 + scale * width + 0.01 * seed * (width == 3)
    )


def arrival(epoch_of):
    """I(T;Y) jumps to 1 bit at an epoch that depends on the width, and starts with the width."""
    return lambda width, seed, epochs: np.where(epochs >= epoch_of(width), 1.0, 0.01 * width)


WIDE_FAST = arrival(lambda width: {1: 20, 3: 10, 6: 5, 12: 2}[width])
WIDE_SLOW = arrival(lambda width: {1: 2, 3: 5, 6: 10, 12: 20}[width])
EQUAL = arrival(lambda width: 10)


def limits_of(table, y=1.0):
    return pd.DataFrame(
        [{"run": r, "set": s, "ceiling_Y": y} for r, s in set(zip(table["run"], table["set"],
                                                                  strict=True))]
    )  # fmt: skip


def now_and_then(width, seed, epochs):
    return (WIDE_FAST if seed % 2 else WIDE_SLOW)(width, seed, epochs)


@pytest.mark.parametrize(
    ("x_of", "y_of", "verdict"),
    [
        (first_values(0.1), WIDE_FAST, SUPPORTED),
        (first_values(-0.05), WIDE_FAST, CONTRADICTED),
        (first_values(0.1), WIDE_SLOW, CONTRADICTED),
        (first_values(0.1), EQUAL, INCONCLUSIVE),
        (first_values(0.1), now_and_then, INCONCLUSIVE),
        (first_values(0.0), WIDE_FAST, INCONCLUSIVE),
    ],
)
def test_ll_2(x_of, y_of, verdict):
    table = widths(x_of, y_of)
    hidden = table.assign(layer="conv1", I_XT=-table["I_XT"], I_TY=-table["I_TY"])
    found = claims.ll_2(pd.concat([table, hidden]), limits_of(table))
    assert (found.claim, found.verdict, found.seeds) == ("LL-2", verdict, 4)


def nearly_all_begin_at_0(width, seed, epochs):
    return np.where(epochs == 0, 0.0, (width == 12) * 1.0 + (epochs > 1) * width)


def test_ll_2_is_not_supported_by_one_width_of_four():
    """The rank correlation with three ties is 0.77 in every seed, an interval without width."""
    found = claims.ll_2(table := widths(nearly_all_begin_at_0, WIDE_FAST), limits_of(table))
    assert found.verdict == INCONCLUSIVE
    assert "first I(X;T) 0.77 [0.77, 0.77]" in found.statistic
    assert found.statistic.endswith("most widths begin at one I(X;T) in 100% of the cases")


def test_ll_2_is_supported_if_half_of_the_cases_have_an_order():
    tied = widths(nearly_all_begin_at_0, WIDE_FAST)
    table = pd.concat([tied, widths(first_values(0.1), WIDE_FAST, dataset="Fashion")])
    assert claims.ll_2(table, limits_of(table)).verdict == SUPPORTED


def test_ll_2_averages_over_data_sets_and_sets():
    """Two data sets that say the opposite cancel in every seed."""
    one = widths(first_values(0.1), WIDE_FAST)
    other = widths(first_values(0.1), WIDE_SLOW, dataset="Fashion", part="test")
    found = claims.ll_2(pd.concat([one, other]), limits_of(pd.concat([one, other])))
    assert found.verdict == INCONCLUSIVE
    assert found.statistic.endswith("epochs to 95% of the level 0.00 [0.00, 0.00]")


def test_epochs_to_level_takes_the_bound_where_all_reach_it():
    table = widths(first_values(0.1), WIDE_FAST, seeds=1).assign(ceiling_Y=1.0)
    found = claims.epochs_to_level(table, "I_TY", by="width", bound="ceiling_Y")
    assert found["level"].unique().tolist() == [1.0]
    assert found.set_index("width")["epochs"].to_dict() == {1: 20, 3: 10, 6: 5, 12: 2}
    assert list(found) == ["seed", "dataset", "set", "width", "epochs", "level"]


def test_epochs_to_level_takes_the_bound_where_all_come_near_it():
    """All end at 0.97 of the bound, of which 0.95 are asked."""
    table = widths(first_values(0.1), WIDE_FAST, seeds=1).assign(ceiling_Y=1.0)
    table["I_TY"] = table["I_TY"].clip(upper=0.97)
    found = claims.epochs_to_level(table, "I_TY", by="width", bound="ceiling_Y")
    assert found["level"].unique().tolist() == [1.0]


def test_epochs_to_level_takes_what_all_reach_otherwise():
    """Width 1 ends at 0.6; the others count from where they pass 95% of that."""

    def y_of(width, seed, epochs):
        return np.minimum(0.6 if width == 1 else 1.0, 0.01 * width * epochs + 0.4 * (epochs >= 20))

    table = widths(first_values(0.1), y_of, seeds=2).assign(ceiling_Y=1.0)
    found = claims.epochs_to_level(table, "I_TY", by="width", bound="ceiling_Y")
    assert found["level"].unique().tolist() == pytest.approx([0.6])
    reached = found[found["seed"] == 1].set_index("width")["epochs"].to_dict()
    assert reached == {1: 20, 3: 20, 6: 10, 12: 5}
    free = claims.epochs_to_level(table, "I_TY", by="width")
    pd.testing.assert_frame_equal(free, found)
    half = claims.epochs_to_level(table, "I_TY", by="width", share=0.1)
    assert half.set_index("width").loc[12, "epochs"].tolist() == [1, 1]


def test_epochs_to_level_decides_for_every_seed_alone():
    def y_of(width, seed, epochs):
        return np.where(epochs >= 5, 1.0 if seed else 0.5, 0.0)

    table = widths(first_values(0.1), y_of, seeds=2).assign(ceiling_Y=1.0)
    found = claims.epochs_to_level(table, "I_TY", by="width", bound="ceiling_Y")
    assert found.groupby("seed")["level"].unique().map(list).to_dict() == {0: [0.5], 1: [1.0]}


def test_softmax_allowance():
    assert claims.softmax_allowance(10) == pytest.approx(math.log2(11) - math.log2(10))
    assert claims.softmax_allowance(2) == pytest.approx(math.log2(1.5))
    with pytest.raises(ValueError, match="n_classes must be at least 2, got 1"):
        claims.softmax_allowance(1)


def falling_by(bits):
    return np.interp(EPOCHS, [0, 10, 20, 40], [2.0, 3.0, 3.0, 3.0 - bits])


def ll_6(table, n_classes=10):
    return claims.ll_6(claims.phases(table, ceilings()), n_classes=n_classes)


FREE = {"conv": 11.0}
HALF_FALL = lower(cnn(**FREE), 3.0, layer="conv2")


def some_fall(by, seeds):
    table = cnn(**FREE)
    late = (table["layer"] == "conv2") & (table["epoch"] > 20) & table["seed"].isin(seeds)
    return table.assign(I_XT=table["I_XT"] - by * late)


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (cnn(**FREE), SUPPORTED),
        (cnn(), UNINFORMATIVE),
        (cnn(output=np.full(41, 12.0)), UNINFORMATIVE),
        (cnn(output=falling_by(1.0)), CONTRADICTED),
        (cnn(output=falling_by(1.0), **FREE), CONTRADICTED),
        (cnn(output=falling_by(0.15), **FREE), SUPPORTED),
        (cnn(output=falling_by(0.25), **FREE), CONTRADICTED),
        (some_fall(0.2, range(5)), CONTRADICTED),
        (some_fall(0.04, range(5)), SUPPORTED),
        (some_fall(0.5, [0, 2]), INCONCLUSIVE),
        (cnn(seeds=1, **FREE), INCONCLUSIVE),
        (cnn(seeds=1), UNINFORMATIVE),
    ],
)
def test_ll_6(table, verdict):
    found = ll_6(table)
    assert (found.claim, found.verdict) == ("LL-6", verdict)
    assert "nan" not in found.statistic


def test_ll_6_allows_the_softmax_of_few_classes_more():
    table = cnn(output=falling_by(0.5), **FREE)
    assert ll_6(table, n_classes=10).verdict == CONTRADICTED
    assert ll_6(table, n_classes=2).verdict == SUPPORTED


def test_the_statistic_of_ll_6_names_what_falls():
    text = ll_6(some_fall(0.2, range(5))).statistic
    assert text == (
        "0 of 3 curves end at the ceiling; among the others the largest drop beyond the noise "
        "band is 0.15 bit; falling: tanh conv2 (all)"
    )
    everything = cnn(output=np.full(41, 12.0))
    assert ll_6(everything).statistic == "3 of 3 curves end at the ceiling"
    assert ll_6(cnn()).statistic.startswith("2 of 3 curves end at the ceiling")
    assert ll_6(cnn()).statistic.endswith("falling: none")


def test_a_layer_that_one_seed_leaves_below_the_ceiling_can_tell_ll_6_of_a_fall_only():
    table = cnn()
    conv1, late = table["layer"] == "conv1", table["epoch"] > 20
    found = ll_6(table.assign(I_XT=table["I_XT"] - 0.5 * (conv1 & (table["seed"] == 3))))
    assert found.statistic.startswith("2 of 3 curves end at the ceiling")
    assert found.verdict == UNINFORMATIVE
    found = ll_6(table.assign(I_XT=table["I_XT"] - 2.0 * (conv1 & late & (table["seed"] < 4))))
    assert found.statistic.startswith("1 of 3 curves end at the ceiling")
    assert found.verdict == CONTRADICTED


def test_ll_6_hears_nothing_of_a_layer_that_climbs_to_the_ceiling():
    table = cnn()
    climbs = (table["layer"] == "conv1") & (table["epoch"] < 5)
    found = ll_6(table.assign(I_XT=table["I_XT"] - 2.0 * climbs))
    assert found.statistic.startswith("2 of 3 curves end at the ceiling")
    assert found.verdict == UNINFORMATIVE


@pytest.mark.parametrize(
    ("accuracy", "epoch_of", "verdict"),
    [
        (lambda width: 0.8 + width / 100, {1: 20, 3: 10, 6: 5, 12: 2}, SUPPORTED),
        (lambda width: 0.9 - width / 100, {1: 20, 3: 10, 6: 5, 12: 2}, CONTRADICTED),
        (lambda width: 0.8 + width / 1000, {1: 2, 3: 5, 6: 10, 12: 20}, CONTRADICTED),
        (lambda width: 0.8, {1: 20, 3: 10, 6: 5, 12: 2}, INCONCLUSIVE),
        (lambda width: 0.8 + width / 1000, dict.fromkeys(WIDTHS, 5), INCONCLUSIVE),
    ],
)
def test_ll_7(accuracy, epoch_of, verdict):
    table = widths(first_values(0.1), WIDE_FAST).drop(columns=["set", "I_XT", "I_TY"])
    arrived = table["epoch"] >= table["width"].map(epoch_of)
    table["test_accuracy"] = table["width"].map(accuracy).where(arrived, 0.1)
    found = claims.ll_7(table)
    assert (found.claim, found.verdict, found.seeds) == ("LL-7", verdict, 4)


def test_falls_says_yes_no_open_or_cannot_tell():
    table = pd.DataFrame(
        [
            (layer, seed, drop + 0.001 * seed + (-1.0) ** seed * (layer == "c"), 0.1, layer == "d")
            for layer, drop in zip("abcd", (1.0, 0.0, 0.1, 0.0), strict=True)
            for seed in range(4)
        ],
        columns=["layer", "seed", "drop", "band", "capped"],
    )
    found = claims.falls(table.assign(view="whole"), by=["view", "layer"])
    assert found["falls"].tolist() == ["yes", "no", "open", "cannot tell (at the ceiling)"]
    assert found["drop"].tolist()[:2] == pytest.approx([1.0015, 0.0015])
    assert list(found) == ["view", "layer", "drop", "low", "high", "band", "falls"]


@pytest.mark.parametrize("missing", [None, np.nan])
def test_falls_of_curves_whose_parameter_is_missing(missing):
    rows = [(p, seed, drop, 0.1) for p, drop in ((missing, 1.0), (3.0, 0.0)) for seed in range(4)]
    table = pd.DataFrame(rows, columns=["parameter", "seed", "drop", "band"])
    found = claims.falls(table.assign(layer="a", capped=False), by=["layer", "parameter"])
    assert found["falls"].tolist() == ["yes", "no"]
    assert found["parameter"].isna().tolist() == [True, False]


def test_what_does_not_drop_does_not_fall_whatever_its_noise_bands():
    """Bands that differ between seeds leave drop minus band open."""
    rows = [
        (layer, seed, drop, band, False)
        for layer, drop in (("still", 0.0), ("little", 0.1))
        for seed, band in enumerate((0.05, 0.05, 0.9))
    ]
    table = pd.DataFrame(rows, columns=["layer", "seed", "drop", "band", "capped"])
    found = claims.falls(table.assign(view="whole"), by=["view", "layer"])
    assert found["falls"].tolist() == ["no", "open"]


def test_a_drop_above_the_smallest_band_may_be_open():
    table = pd.DataFrame({"seed": range(4), "drop": 0.07, "band": [0.05, 0.05, 0.05, 0.3]})
    assert beyond_band(table) == INCONCLUSIVE


def test_drop_and_band_are_those_of_the_layers_that_could_fall():
    rows = [
        (seed, layer, capped, drop, band)
        for seed in range(3)
        for layer, capped, drop, band in (("a", True, 0.0, 0.3), ("b", False, 2.0, 0.1))
    ]
    table = pd.DataFrame(rows, columns=["seed", "layer", "capped", "drop", "band"])
    verdict, drop, band = claims.compression(table.assign(run="r", set="test"))
    assert (verdict, drop.mean, band) == (SUPPORTED, 2.0, pytest.approx(0.1))


def test_beyond_null_is_paired_and_takes_the_last_epoch():
    rows = [("a", seed, epoch, 10.0 * seed + epoch) for seed in range(3) for epoch in (0, 5)]
    real = pd.DataFrame(rows, columns=["layer", "seed", "epoch", "I_TY"])
    null = real.assign(I_TY=real["I_TY"] - 0.5 * (real["epoch"] == 5)).sample(
        frac=1, random_state=0
    )
    shorter = [part[part["epoch"] == 0].assign(layer="b") for part in (real, null)]
    both = [pd.concat(parts) for parts in zip((real, null), shorter, strict=True)]
    found = claims.beyond_null(*both, by=["layer"]).set_index("layer")
    assert found.loc["a"].tolist() == pytest.approx([15, 14.5, 0.5, 0.5, 0.5])
    assert found.loc["b"].tolist() == pytest.approx([10, 10, 0, 0, 0])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_beyond_null_of_curves_whose_parameter_is_missing(missing):
    rows = [
        (parameter, seed, epoch, 10.0 * seed + epoch)
        for parameter in (missing, 3.0)
        for seed in range(3)
        for epoch in (0, 5)
    ]
    real = pd.DataFrame(rows, columns=["parameter", "seed", "epoch", "I_TY"])
    null = real.assign(I_TY=real["I_TY"] - np.where(real["parameter"].isna(), 0.5, 2.0))
    for table in (real, real.iloc[::-1]):
        found = claims.beyond_null(table, null, by=["parameter"]).sort_values("parameter")
        assert found["parameter"].isna().tolist() == [False, True]
        assert found["I_TY"].tolist() == [15, 15]
        assert found["difference"].tolist() == pytest.approx([2.0, 0.5])


SIZES = (3, 5, 7)


def sizes(value, *, seeds=4, settings=SIZES, series=("kernels", "depth")):
    """Output layers of several sizes; ``value(setting, seed, epochs)`` gives both curves."""
    epochs = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    rows = []
    for name, setting, seed in itertools.product(series, settings, range(seeds)):
        curve = value(setting, seed, epochs)
        frame = pd.DataFrame({"epoch": epochs, "I_XT": curve, "I_TY": curve})
        rows.append(frame.assign(
            series=name, setting=setting, seed=seed, dataset="MNIST", set="test", layer="output"
        ))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def first(by_size):
    """Given values at epoch 1; epoch 0 says the opposite and must not count."""
    return lambda size, seed, epochs: np.where(
        epochs == 0, -by_size[size], by_size[size] + 0.001 * seed
    )


@pytest.mark.parametrize(
    ("by_size", "expected"),
    [
        ({3: 1.0, 5: 1.5, 7: 1.5}, SUPPORTED),
        ({3: 1.0, 5: 1.5, 7: 1.2}, SUPPORTED),
        ({3: 1.0, 5: 1.5, 7: 2.0}, CONTRADICTED),
        ({3: 1.0, 5: 0.8, 7: 0.8}, CONTRADICTED),
    ],
)
def test_ll_3(by_size, expected):
    found = claims.ll_3(sizes(first(by_size)))
    assert (found.claim, found.verdict, found.seeds) == ("LL-3", expected, 4)
    assert "kernels, I(X;T)" in found.statistic
    assert "depth, I(T;Y)" in found.statistic


def test_ll_3_needs_agreement_of_the_seeds():
    table = sizes(lambda size, seed, epochs: 1 + (size == 5) * (-1.0) ** seed + 0 * epochs)
    assert claims.ll_3(table).verdict == INCONCLUSIVE
    assert claims.ll_3(sizes(first({3: 1.0, 5: 1.5, 7: 1.5}), seeds=1)).verdict == INCONCLUSIVE


def level(by_size, rise=0.0):
    """Curves at a level from epoch 7 on, but for a last rise."""
    return lambda size, seed, epochs: (
        by_size[size] * np.minimum(epochs / 7, 1) + rise * (epochs == 9) + 0.001 * seed
    )


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        (level({3: 3.0, 5: 3.0, 7: 3.01}), SUPPORTED),
        (level({3: 3.0, 5: 3.0, 7: 3.2}), CONTRADICTED),
        (level({3: 3.0, 5: 3.0, 7: 3.0}, rise=0.2), INCONCLUSIVE),
    ],
)
def test_ll_4(curve, expected):
    found = claims.ll_4(sizes(curve))
    assert (found.claim, found.verdict, found.seeds) == ("LL-4", expected, 4)


def test_ll_4_looks_at_the_last_fifth_and_at_one_series_at_a_time():
    """Ten snapshots: a jump at the ninth is over, and series may have levels of their own."""
    jump = sizes(lambda size, seed, epochs: 3.0 * (epochs >= 8) + 0.001 * seed)
    assert claims.ll_4(jump).verdict == SUPPORTED
    apart = sizes(lambda size, seed, epochs: 3.0 + 0.001 * seed + 0 * epochs)
    apart["I_TY"] += 0.2 * (apart["series"] == "depth")
    assert claims.ll_4(apart).verdict == SUPPORTED


@pytest.mark.parametrize(
    ("gain", "expected"), [(0.1, SUPPORTED), (-0.1, CONTRADICTED), (0.0, INCONCLUSIVE)]
)
def test_ll_5_is_paired_by_seed(gain, expected):
    """Seeds differ by far more than the gain."""
    table = sizes(
        lambda setting, seed, epochs: 10.0 * seed + gain * (setting == "with") + 0 * epochs,
        settings=("with", "without"),
        series=("pooling",),
    )
    if expected == INCONCLUSIVE:
        table["I_TY"] += (-1.0) ** table["seed"] * 0.1 * (table["setting"] == "with")
    found = claims.ll_5(table)
    assert (found.claim, found.verdict, found.seeds) == ("LL-5", expected, 4)


@pytest.mark.parametrize(("until", "expected"), [(4, INCONCLUSIVE), (40, SUPPORTED)])
def test_ll_5_waits_for_the_curves_to_settle(until, expected):
    """With pooling the network learns more slowly and ends higher."""
    table = sizes(
        lambda setting, seed, epochs: (
            (3.0 if setting == "with" else 2.9)
            * (1 - np.exp(-epochs * until / 9 / (4 if setting == "with" else 1)))
            + 0.001 * seed
        ),
        settings=("with", "without"),
        series=("pooling",),
    )
    assert claims.ll_5(table).verdict == expected


# ---------------------------------------------------------------- tables


def test_a_stand_in_says_so_in_the_verdict_itself():
    plain = Verdict("SZT-1", SUPPORTED, "drop 1", 3, data="12-bit task")
    standin = dataclasses.replace(plain, data="stand-in (digits) for MNIST", standin=True)
    assert plain.row() == {
        "claim": "SZT-1",
        "verdict": "supported",
        "statistic": "drop 1",
        "seeds": 3,
        "data": "12-bit task",
    }
    table = claims.verdict_table([plain, standin])
    assert table["verdict"].tolist() == ["supported", "supported (stand-in data)"]
    assert list(table) == list(plain.row())


@pytest.fixture
def published(tmp_path, monkeypatch):
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "claims.csv").write_text(
        "claim,source,where,statement,decided_by\n"
        "SZT-1,Saxe,Fig. 1,It falls.,A rule.\nLL-6,Li,Fig. 4,It does not.,A rule.\n"
    )
    monkeypatch.setattr(results, "published_folder", lambda: folder)


def write(notebook, *verdicts, profile="smoke"):
    path = results.figures_folder(profile, notebook) / "claims.csv"
    results.write_atomically(path, results.table_to_csv(claims.verdict_table(verdicts)))


def test_published(published):
    assert claims.published()["claim"].tolist() == ["SZT-1", "LL-6"]


def test_collect_before_any_notebook(published):
    found = claims.collect("smoke")
    assert found["claim"].tolist() == ["SZT-1", "LL-6"]
    assert set(found["verdict"]) == {"not run (no notebook of this profile has decided it)"}
    assert list(found) == [
        *("claim", "statement", "verdict", "statistic", "seeds", "data", "notebook", "source"),
        *("where", "profile"),
    ]
    assert found[["statistic", "seeds", "data", "notebook"]].isna().all(axis=None)


def test_collect_several_notebooks(published):
    first = Verdict("LL-6", SUPPORTED, "a", 3, data="MNIST")
    second = Verdict("LL-6", CONTRADICTED, "b", 2, data="digits", standin=True)
    write("03_third", second)
    write("02_second", first)
    write("02_second", Verdict("SZT-1", INCONCLUSIVE, "c", 1), profile="laptop")
    found = claims.collect("smoke")
    assert found["claim"].tolist() == ["SZT-1", "LL-6", "LL-6"]
    assert found["verdict"].tolist() == [
        "not run (no notebook of this profile has decided it)",
        "supported",
        "contradicted (stand-in data)",
    ]
    assert found["notebook"].tolist()[1:] == ["02_second", "03_third"]
    assert found["seeds"].tolist()[1:] == [3, 2]
    assert found["statement"].tolist() == ["It falls.", "It does not.", "It does not."]
    assert found["profile"].unique().tolist() == ["smoke"]
    laptop = claims.collect("laptop")
    assert laptop["verdict"].tolist()[0] == "inconclusive"
    assert laptop["statistic"].tolist()[0] == "c"


def test_a_verdict_on_an_unknown_claim_is_refused(published):
    folder = results.figures_folder("smoke", "01_first")
    folder.mkdir(parents=True)
    (folder / "claims.csv").write_text("claim,verdict\nXX-1,supported\n")
    with pytest.raises(ValueError, match="01_first decides an unknown claim 'XX-1'; known: SZT-1"):
        claims.collect("smoke")
