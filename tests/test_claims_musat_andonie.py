"""Claims about saliency maps: curves of entropy and information whose right answer is known."""

import math

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, UNINFORMATIVE

EPOCHS = np.arange(21)


def rise_and_level(*, bend=8.0, start=0.2, rise=0.2):
    return lambda epoch: start + rise * np.minimum(epoch / bend, 1)


def climb(epoch):
    return 0.2 + 0.01 * epoch


def fall(epoch):
    return 0.4 - 0.01 * epoch


def flat(epoch):
    return 0.3 + 0 * epoch


def overshoot(epoch):
    return 0.2 + 0.03 * np.minimum(epoch, 8) - 0.015 * np.maximum(epoch - 8, 0)


def table(curves, *, run="VGG16", value="entropy", seeds=3, epochs=EPOCHS):
    """Rows of one network; every seed has its curves shifted a little."""
    rows = []
    for seed in range(seeds):
        for number, (layer, curve) in enumerate(curves.items()):
            for epoch in epochs:
                rows.append((run, seed, epoch, layer, number, curve(epoch) + 0.001 * seed))
    columns = ["run", "seed", "epoch", "layer", "layer_index", value]
    return pd.DataFrame(rows, columns=columns)


def fits(curves, **options):
    return claims.two_phases(table(curves, **options), "entropy")


# ---------------------------------------------------------------- the fit


def test_a_rise_and_a_level_are_found_exactly():
    found = fits({"a": rise_and_level()}, seeds=1).iloc[0]
    assert found["start"] == pytest.approx(0.2)
    assert found["level"] == pytest.approx(0.4)
    assert found["rise"] == pytest.approx(0.2)
    assert found["bend"] == 8
    assert found["drift"] == pytest.approx(0, abs=1e-12)
    assert found["band"] == claims.ENTROPY_FLOOR
    assert found["epochs_to_level"] == 8  # 0.9 * 8 = 7.2
    assert found[["rises", "climbs", "follows"]].tolist() == [True, False, True]


def late(epoch):
    return np.nan if epoch < 3 else np.minimum((epoch - 3) / 16, 1)


@pytest.mark.parametrize("curve", [rise_and_level(bend=16, rise=1.0), late])
def test_epochs_to_level_count_from_the_first_value_to_nine_tenths(curve):
    """A ramp of 16 epochs is at 0.9 after 14.4."""
    (row,) = fits({"a": curve}, seeds=1, epochs=np.arange(41)).to_dict("records")
    assert row["epochs_to_level"] == 15


@pytest.mark.parametrize(
    ("curve", "answers"),
    [
        (rise_and_level(), (True, False, True)),
        (rise_and_level(bend=15), (True, False, True)),
        (rise_and_level(bend=16), (True, True, False)),
        (climb, (True, True, False)),
        (fall, (False, False, False)),
        (flat, (False, False, False)),
        (overshoot, (True, False, False)),
        (rise_and_level(rise=0.009), (False, False, False)),
        (rise_and_level(rise=0.011), (True, False, True)),
        (lambda epoch: rise_and_level()(epoch) + 0.004 * np.sin(3.0 * epoch), (True, False, True)),
        # A rise that is no larger than what the curve strays from the fit
        (lambda epoch: 0.2 + 0.02 * (epoch > 3) + 0.03 * (epoch % 2), (False, False, False)),
    ],
)
def test_what_a_curve_does(curve, answers):
    found = fits({"a": curve}, seeds=1).iloc[0]
    assert tuple(found[["rises", "climbs", "follows"]]) == answers


def test_the_fit_is_the_best_of_all_bends():
    """A slow twin: every bend and, by brute force, every line on a grid."""
    rng = np.random.default_rng(2)
    values = rise_and_level(bend=6)(EPOCHS) + rng.normal(0, 0.01, len(EPOCHS))
    curve = pd.DataFrame({"run": "a", "seed": 0, "layer": "b", "layer_index": 0, "epoch": EPOCHS})
    found = claims.two_phases(curve.assign(entropy=values), "entropy").iloc[0]

    def error(bend, start, level):
        fitted = start + (level - start) * np.minimum(EPOCHS / bend, 1)
        return np.square(values - fitted).sum()

    best = error(found["bend"], found["start"], found["level"])
    shifts = np.linspace(-0.01, 0.01, 5)
    for bend in EPOCHS[1:]:
        for a in shifts:
            for b in shifts:
                assert best <= error(bend, found["start"] + a, found["level"] + b) + 1e-12


def test_the_order_of_rows_does_not_matter():
    rows = table({"a": rise_and_level(), "b": fall})
    shuffled = rows.sample(frac=1, random_state=0)
    expected = claims.two_phases(rows, "entropy")
    found = claims.two_phases(shuffled, "entropy").sort_values(["seed", "layer_index"])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)


def test_curves_without_values_are_left_out():
    rows = table({"a": rise_and_level(), "constant": flat, "late": climb})
    rows.loc[rows["layer"] == "constant", "entropy"] = math.nan
    rows.loc[(rows["layer"] == "late") & (rows["epoch"] < 17), "entropy"] = math.nan
    assert claims.two_phases(rows, "entropy")["layer"].unique().tolist() == ["a"]
    rows["entropy"] = math.nan
    with pytest.raises(ValueError, match="no curve of entropy has five epochs with values"):
        claims.two_phases(rows, "entropy")


# ---------------------------------------------------------------- information


def information(curves_x, curves_y, **options):
    x = table(curves_x, value="I_XT", **options)
    y = table(curves_y, value="I_TY", **options)
    null = {"baseline_XT": 1.0, "baseline_TY": 1.0}
    return x.assign(I_TY=y["I_TY"], reading="raw", levels=256, **null)


def up(epoch):
    return 3 + np.minimum(epoch, 6)


def up_and_down(epoch):
    return 3 + np.minimum(epoch, 6) - 0.3 * np.maximum(epoch - 10, 0)


def down(epoch):
    return 9 - 0.2 * epoch


def test_the_early_slope_is_that_of_epochs_0_to_5():
    """Of min(epoch, 4): the covariance 15 of six epochs by their squared deviations 17.5."""

    def curve(epoch):
        return 3 + np.minimum(epoch, 4)

    text = claims.ma_1(information({"a": curve}, {"a": curve})).statistic
    assert text.count(f"epochs {15 / 17.5:.3f} [") == 2


def test_the_floor_of_the_noise_band_is_that_of_the_reading():
    """A fall of 0.03: nothing in bits, something where values lie around 0.4."""

    def curve(epoch):
        return 0.1 * np.minimum(epoch, 6) - 0.003 * np.maximum(epoch - 10, 0)

    rows = information({"a": curve}, {"a": curve}).assign(baseline_XT=-1.0, baseline_TY=-1.0)
    assert claims.ma_1(rows).verdict == SUPPORTED
    assert claims.ma_1(rows.assign(reading="literal")).verdict == CONTRADICTED


@pytest.mark.parametrize(
    ("x", "y", "verdict"),
    [
        (up, up, SUPPORTED),
        (up_and_down, up, CONTRADICTED),
        (up, up_and_down, CONTRADICTED),
        (down, up, CONTRADICTED),
        (up, lambda epoch: 3 + 0 * epoch, INCONCLUSIVE),
    ],
)
def test_ma_1(x, y, verdict):
    found = claims.ma_1(information({"a": x}, {"a": y}))
    assert (found.verdict, found.seeds) == (verdict, 3)
    assert found.statistic.startswith("raw reading, 256 levels: I(X;T): slope over the first 5")


@pytest.mark.parametrize(
    ("x", "verdict"), [(up, UNINFORMATIVE), (flat, UNINFORMATIVE), (down, CONTRADICTED)]
)
def test_ma_1_is_uninformative_where_shuffled_maps_give_as_much(x, verdict):
    rows = information({"a": x}, {"a": up})
    found = claims.ma_1(rows.assign(baseline_XT=rows["I_XT"] + 0.01))
    assert found.verdict == verdict
    assert "beyond shuffled maps -0.010 [-0.010, -0.010]" in found.statistic


def test_the_slope_of_ma_1_is_that_of_the_first_five_epochs():
    found = claims.ma_1(information({"a": up, "b": up}, {"a": down, "b": down}))
    assert "I(X;T): slope over the first 5 epochs 1.000 [1.000, 1.000]" in found.statistic
    assert "I(T;Y): slope over the first 5 epochs -0.200 [-0.200, -0.200]" in found.statistic


def test_ma_1_leaves_out_what_is_missing():
    rows = information({"a": up, "b": down}, {"a": up, "b": down})
    rows.loc[rows["layer"] == "b", "I_TY"] = math.nan
    assert claims.ma_1(rows).verdict == SUPPORTED
    rows.loc[(rows["layer"] == "b") & (rows["epoch"] < 4), "I_TY"] = 1.0
    assert claims.ma_1(rows).verdict == SUPPORTED
    found = claims.ma_1(rows[rows["layer"] == "b"])
    assert found.verdict == INCONCLUSIVE
    assert found.statistic == "raw reading, 256 levels: no layer has maps at five epochs"


def test_one_early_value_is_no_trend_for_ma_1():
    rows = information({"a": up, "b": flat}, {"a": up, "b": flat})
    late = rows[(rows["layer"] == "a") | (rows["epoch"] >= 5)]
    text = "slope over the first 5 epochs 1.000 [1.000, 1.000]"
    assert claims.ma_1(late).statistic.count(text) == 2
    layers = dict.fromkeys("abc", up)
    rows = information(layers, layers)
    two_early = rows["epoch"] // 2 == rows["layer"].map({"a": 0, "b": 1, "c": 2})
    found = claims.ma_1(rows[two_early | (rows["epoch"] > 12)])
    assert found.verdict == INCONCLUSIVE
    assert found.statistic.endswith("no layer has maps at 3 of the first epochs")


@pytest.mark.parametrize("column", ["reading", "levels"])
def test_ma_1_refuses_mixed_readings(column):
    rows = information({"a": up}, {"a": up})
    mixed = pd.concat([rows, rows.assign(**{column: {"reading": "literal", "levels": 8}[column]})])
    with pytest.raises(ValueError, match=r"one reading is decided at a time, got \[\['raw', 256\]"):
        claims.ma_1(mixed)


# ---------------------------------------------------------------- entropies


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        ([rise_and_level()] * 3 + [fall], SUPPORTED),
        ([rise_and_level(), rise_and_level(), fall, fall], INCONCLUSIVE),
        ([rise_and_level()] + [fall] * 3, CONTRADICTED),
        ([rise_and_level(), climb, climb, fall], INCONCLUSIVE),
        ([rise_and_level(), climb, fall, overshoot, flat], CONTRADICTED),
    ],
)
def test_ma_2(curves, verdict):
    found = claims.ma_2(fits({str(i): curve for i, curve in enumerate(curves)}))
    assert (found.verdict, found.seeds) == (verdict, 3)


def test_ma_2_wants_every_network():
    good = fits({"a": rise_and_level()})
    bad = fits({"a": fall}, run="ResNet")
    found = claims.ma_2(pd.concat([good, bad]))
    assert found.verdict == CONTRADICTED
    assert "VGG16 1.00 [1.00, 1.00] of the layers" in found.statistic
    assert "ResNet 0.00 [0.00, 0.00] of the layers" in found.statistic


@pytest.mark.parametrize(
    ("bends", "verdict"),
    [((2, 4, 8, 12), SUPPORTED), ((12, 8, 4, 2), CONTRADICTED), ((2, 12, 4, 2), INCONCLUSIVE)],
)
def test_ma_3(bends, verdict):
    curves = {str(i): rise_and_level(bend=bend) for i, bend in enumerate(bends)}
    rows = table({**curves, "deep": fall})
    shift = (rows["seed"] == 1) & (rows["layer"] == "1") & (verdict == INCONCLUSIVE)
    rows.loc[shift, "entropy"] = rise_and_level(bend=1)(rows["epoch"])[shift]
    found = claims.ma_3(claims.two_phases(rows, "entropy"))
    assert found.verdict == verdict
    assert "4 [4, 4] rising layers" in found.statistic


def test_ma_3_orders_the_layers_of_one_network():
    """Two networks in which depth rises with the epochs, one of them later as a whole."""
    rows = [
        (run, seed, first + i, str(first + i), True, late + i)
        for run, first, late in (("A", 0, 20), ("B", 3, 1))
        for seed in range(3)
        for i in range(3)
    ]
    columns = ["run", "seed", "layer_index", "layer", "rises", "epochs_to_level"]
    assert claims.ma_3(pd.DataFrame(rows, columns=columns)).verdict == SUPPORTED


def test_ma_3_needs_three_rising_layers():
    found = claims.ma_3(fits({"a": rise_and_level(), "b": climb, "c": fall, "d": flat}))
    assert found.verdict == INCONCLUSIVE
    assert found.statistic.startswith("only 2 layers rise in one seed")
    assert claims.ma_3(fits({"a": fall})).statistic.startswith("only 0 layers")


@pytest.mark.parametrize(
    ("curves", "verdict"),
    [
        ({"a": rise_and_level(), "b": climb, "features.28": fall}, SUPPORTED),
        ({"a": rise_and_level(), "b": fall, "features.28": climb}, CONTRADICTED),
        ({"a": fall, "b": fall, "features.28": fall}, CONTRADICTED),
        ({"a": rise_and_level(), "features.28": rise_and_level()}, CONTRADICTED),
        ({"a": rise_and_level(), "features.28": fall}, INCONCLUSIVE),
    ],
)
def test_ma_4(curves, verdict):
    assert claims.ma_4(fits(curves, seeds=6)).verdict == verdict


def test_three_seeds_that_agree_do_not_decide_a_share():
    found = claims.ma_4(fits({"a": rise_and_level(), "b": climb, "features.28": fall}))
    assert found.verdict == INCONCLUSIVE
    assert "features.28 is one in a share of 1.00 [0.29, 1.00] of the seeds (incon" in (
        found.statistic
    )


def test_exceptions_are_listed_with_their_share_of_seeds():
    rows = table({"a": rise_and_level(), "b": fall, "features.28": fall})
    once = (rows["layer"] == "a") & (rows["seed"] == 2)
    rows.loc[once, "entropy"] = fall(rows["epoch"])[once]
    found = claims.two_phases(rows, "entropy")
    shares = claims.exceptions(found).set_index("layer")["share of seeds"]
    assert shares.to_dict() == {"a": pytest.approx(1 / 3), "b": 1, "features.28": 1}
    text = claims.ma_4(found).statistic
    assert text.endswith("exceptions in every seed: b, features.28")
    assert "features.28 is one in a share of 1.00 [0.29, 1.00] of the seeds" in text


# ---------------------------------------------------------------- continuation


def pairs(*, drop, level, **options):
    """Earlier layers start at 0.4, later ones at 0.4 - drop and end at ``level``."""
    curves = {}
    for before, after in claims.PAIRS:
        curves[before] = rise_and_level(start=0.4, rise=0.1)
        curves[after] = rise_and_level(start=0.4 - drop, rise=level - 0.4 + drop)
    return table(curves, **options)


def test_a_level_is_the_mean_of_the_last_five_epochs():
    curves = {}
    for before, after in claims.PAIRS:
        curves[before], curves[after] = flat, lambda epoch: 0.5 if epoch > EPOCHS[-6] else 1.0
    levels = claims.continuation(table(curves, seeds=1))["level_after"]
    assert levels.tolist() == pytest.approx([0.5] * len(claims.PAIRS))


def test_continuation_by_hand():
    found = claims.continuation(pairs(drop=0.1, level=0.38, seeds=1))
    assert found["pair"].tolist() == [
        "features.3 to features.5",
        "features.8 to features.10",
        "features.15 to features.17",
        "features.22 to features.24",
    ]
    for row in found.itertuples():
        assert row.start_before == pytest.approx(0.4)
        assert row.start_after == pytest.approx(0.3)
        assert row.level_after == pytest.approx(0.38)
        assert row.drop == pytest.approx(0.1)
        assert row.difference == pytest.approx(-0.02)
        assert row.excess == pytest.approx(0.02 - 0.025)


@pytest.mark.parametrize(
    ("drop", "level", "verdict"),
    [
        (0.1, 0.4, SUPPORTED),
        (0.1, 0.42, SUPPORTED),
        (0.1, 0.3, CONTRADICTED),
        (0.1, 0.5, CONTRADICTED),
        (-0.1, 0.4, CONTRADICTED),
    ],
)
def test_ma_8(drop, level, verdict):
    found = claims.ma_8(claims.continuation(pairs(drop=drop, level=level)))
    assert (found.verdict, found.seeds) == (verdict, 3)


def test_ma_8_is_open_when_the_seeds_disagree():
    rows = pairs(drop=0.1, level=0.4)
    rows.loc[rows["seed"] == 1, "entropy"] = pairs(drop=0.1, level=0.3)["entropy"]
    found = claims.ma_8(claims.continuation(rows))
    assert found.verdict == INCONCLUSIVE
    assert "features.3 to features.5: drop 0.100 [0.100, 0.100] (supported)" in found.statistic


def test_an_interval_can_be_written_with_more_digits():
    found = claims.interval([1.0, 2.0, 3.0])
    assert f"{found:.3f}" == "2.000 [-0.484, 4.484]"
    assert f"{found}" == str(found) == "2.00 [-0.48, 4.48]"
    assert f"{claims.interval([0.125]):.3f}" == "0.125 (one seed)"
