"""Claims DH-1 to DH-3 and early stopping, on curves whose right answer is known."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims
from ibcore.claims import CONTRADICTED, INCONCLUSIVE, SUPPORTED, UNINFORMATIVE

EPOCHS = np.unique(np.geomspace(1, 1000, 40).round()).astype(int)
LOG = np.log10(EPOCHS)
RISE = LOG / 3
LEVEL = np.full(len(EPOCHS), 0.6)
HUMP = np.interp(LOG, [0, 1.5, 3], [0.1, 0.9, 0.4])
SLIGHT = np.interp(LOG, [0, 1.5, 3], [0.1, 0.9, 0.7])
LATE = np.interp(LOG, [0, 2.7, 3], [0.1, 0.9, 0.4])
EARLY = np.interp(LOG, [0, 1.5, 2.6, 3], [0.1, 0.9, 0.4, 0.4])
LAYERS = ("hidden1", "hidden2", "output")


def curves(run, x, y, *, seeds=4, output=None, noise=0.002):
    """Measurements; ``x`` and ``y`` are one curve of all hidden layers, or one per seed."""
    rng = np.random.default_rng(5)
    shape = (seeds, len(EPOCHS))
    x, y = np.broadcast_to(x, shape), np.broadcast_to(y, shape)
    rows = []
    for seed in range(seeds):
        for index, layer in enumerate(LAYERS):
            last = layer == "output" and output is not None
            frame = pd.DataFrame({"epoch": EPOCHS})
            frame["I_XT"] = (output if last else 4 + x[seed]) + rng.normal(0, noise, shape[1])
            frame["I_TY"] = (output if last else y[seed]) + rng.normal(0, noise, shape[1])
            rows.append(
                frame.assign(run=run, set="train", seed=seed, layer=layer, layer_index=index,
                             estimator="KDE upper", parameter=0.1)
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def both(relu, tanh, **options):
    return pd.concat([curves("ReLU", *relu, **options), curves("tanh", *tanh, **options)])


def ceilings(*runs, x=6.0, y=1.5):
    return pd.DataFrame([{"run": r, "set": "train", "ceiling_X": x, "ceiling_Y": y} for r in runs])


BOUNDS = ceilings("ReLU", "tanh", "ReLU L2", "tanh L2")
MIXED = np.stack([RISE, RISE, HUMP, HUMP])


# ---------------------------------------------------------------- the curves


def test_slopes_by_hand():
    table = claims.trends(curves("ReLU", RISE, 2 * RISE, noise=0))
    assert len(table) == 4 * 2 * 2
    expected = table["coordinate"].map({"I(X;T)": 1 / 3, "I(T;Y)": 2 / 3})
    assert table["slope"].to_numpy() == pytest.approx(expected.to_numpy())
    assert set(table["layer"]) == {"hidden1", "hidden2"}


def test_slopes_leave_out_epoch_0():
    table = curves("ReLU", RISE, RISE, noise=0)
    start = table[table["epoch"] == 1].assign(epoch=0, I_XT=1e6)
    with_start = claims.trends(pd.concat([start, table]))
    pd.testing.assert_frame_equal(with_start, claims.trends(table))


def test_both_coordinates_are_the_phases_of_each():
    table = curves("ReLU", HUMP, RISE)
    found = claims.both_coordinates(table, BOUNDS).groupby("coordinate")
    hidden = table[table["layer"] != "output"]
    x = claims.phases(hidden, BOUNDS)
    y = claims.phases(hidden.assign(I_XT=hidden["I_TY"]), BOUNDS)
    for coordinate, expected in (("I(X;T)", x), ("I(T;Y)", y)):
        for column in ("start", "peak", "drop", "band"):
            assert found.get_group(coordinate)[column].tolist() == expected[column].tolist()
    assert x["fall_of_I_TY"].tolist() == pytest.approx(found.get_group("I(T;Y)")["drop"].tolist())


def test_each_coordinate_has_its_own_ceiling():
    table = curves("ReLU", LEVEL, LEVEL)
    found = claims.both_coordinates(table, ceilings("ReLU", x=4.6, y=1.5))
    assert found.groupby("coordinate")["saturated"].all().to_dict() == {
        "I(X;T)": True,
        "I(T;Y)": False,
    }
    found = claims.both_coordinates(table, ceilings("ReLU", x=6, y=0.6))
    assert found.groupby("coordinate")["saturated"].all().to_dict() == {
        "I(X;T)": False,
        "I(T;Y)": True,
    }


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("relu", "tanh", "verdict"),
    [
        ((RISE, RISE), (RISE, RISE), SUPPORTED),
        ((RISE, RISE), (LATE, RISE), SUPPORTED),
        ((RISE, RISE), (RISE, -RISE), CONTRADICTED),
        ((-RISE, RISE), (RISE, RISE), CONTRADICTED),
        ((RISE, RISE), (np.stack([RISE, RISE, -RISE, -RISE]), RISE), INCONCLUSIVE),
    ],
)
def test_dh_1(relu, tanh, verdict):
    found = claims.dh_1(both(relu, tanh), BOUNDS)
    assert (found.claim, found.verdict, found.seeds) == ("DH-1", verdict, 4)


def test_dh_1_names_slopes_and_what_falls():
    found = claims.dh_1(both((RISE, RISE), (RISE, -RISE), noise=0), BOUNDS)
    assert "ReLU I(X;T) 0.33 [0.33, 0.33]" in found.statistic
    assert "tanh I(T;Y) -0.33 [-0.33, -0.33]" in found.statistic
    assert "falling: tanh hidden1 I(T;Y), tanh hidden2 I(T;Y); 0 of 8 curves" in found.statistic


def test_saturated_curves_cannot_answer():
    table = both((LEVEL, RISE), (RISE, RISE))
    tight = ceilings("ReLU", x=4.6)
    wide = ceilings("tanh")
    found = claims.dh_1(table, pd.concat([tight, wide]))
    assert found.verdict == SUPPORTED
    assert found.statistic.endswith("2 of 8 curves saturated")
    full = both((LEVEL, LEVEL), (LEVEL, LEVEL))
    bounds = ceilings("ReLU", "tanh", x=4.6, y=0.6)
    for decide in (claims.dh_1, claims.dh_2):
        assert decide(full, bounds).verdict == UNINFORMATIVE


def test_a_curve_that_climbs_to_its_ceiling_rises_and_says_nothing_of_a_fall():
    table = both((RISE, RISE), (RISE, RISE), noise=0)
    last = table[table["epoch"] == table["epoch"].max()]
    hidden = last[last["layer"] == "hidden1"]
    bounds = ceilings("ReLU", "tanh", x=hidden["I_XT"].max(), y=hidden["I_TY"].max())
    assert claims.dh_1(table, bounds).verdict == SUPPORTED
    found = claims.dh_2(table, bounds)
    assert found.verdict == UNINFORMATIVE
    assert found.statistic.endswith("8 of 8 curves end at the ceiling")


def test_the_output_layer_is_not_judged():
    table = both((RISE, RISE), (RISE, RISE), output=-RISE)
    assert claims.dh_1(table, BOUNDS).verdict == SUPPORTED
    assert claims.dh_2(table, BOUNDS).verdict == SUPPORTED


@pytest.mark.parametrize(
    ("relu", "tanh", "verdict"),
    [
        ((RISE, RISE), (RISE, RISE), SUPPORTED),
        ((RISE, RISE), (LATE, RISE), SUPPORTED),
        ((LATE, RISE), (RISE, RISE), CONTRADICTED),
        ((RISE, RISE), (EARLY, RISE), CONTRADICTED),
        ((RISE, HUMP), (RISE, RISE), CONTRADICTED),
        ((MIXED, RISE), (RISE, RISE), INCONCLUSIVE),
    ],
)
def test_dh_2(relu, tanh, verdict):
    found = claims.dh_2(both(relu, tanh), BOUNDS, except_late=["tanh"])
    assert (found.claim, found.verdict, found.seeds) == ("DH-2", verdict, 4)


def test_late_falls_are_told_and_do_not_decide():
    table = both((RISE, RISE), (LATE, RISE))
    text = claims.dh_2(table, BOUNDS, except_late=["tanh"]).statistic
    assert "; falling: none; 0 of 8 curves end at the ceiling; " in text
    assert text.endswith(
        "with the last half of the epochs also falling: tanh hidden1 I(X;T), tanh hidden2 I(X;T)"
    )
    strict = claims.dh_2(table, BOUNDS)
    assert strict.verdict == CONTRADICTED
    assert "last half" not in strict.statistic


def test_the_first_half_of_the_epochs_includes_its_last():
    """A fall that ends at epoch 500 of 1,000 decides, one that begins there does not."""
    epochs = np.array([0, 100, 200, 300, 400, 450, 500, 520, 600, 800, 1000])

    def falling(after):
        x = np.where(epochs > after, 0.1, 0.9)
        frame = pd.DataFrame({"epoch": epochs, "I_XT": 4 + x, "I_TY": 0.5})
        rows = [
            frame.assign(run="tanh", set="train", seed=seed, layer=layer, layer_index=index,
                         estimator="KDE upper", parameter=0.1)
            for seed in range(4)
            for index, layer in enumerate(LAYERS)
        ]  # fmt: skip
        return pd.concat(rows, ignore_index=True)

    for after, verdict in ((450, CONTRADICTED), (500, SUPPORTED)):
        found = claims.dh_2(falling(after), BOUNDS, except_late=["tanh"])
        assert found.verdict == verdict


def test_each_run_has_a_first_half_of_its_own():
    """A fall after half of 1,000 epochs, beside a run of 5,000: late, however long the other is."""
    relu = curves("ReLU", RISE, RISE)
    longer = relu.assign(epoch=5 * relu["epoch"])
    table = pd.concat([longer, curves("tanh", LATE, RISE)], ignore_index=True)
    found = claims.dh_2(table, BOUNDS, except_late=["tanh"])
    assert found.verdict == SUPPORTED
    assert "also falling: tanh hidden1 I(X;T)" in found.statistic


PAIRS = {"ReLU L2": "ReLU", "tanh L2": "tanh"}


def with_penalty(relu, tanh, plain=(RISE, RISE), **options):
    return pd.concat(
        [
            both(plain, plain, **options),
            curves("ReLU L2", *relu, **options),
            curves("tanh L2", *tanh, **options),
        ]
    )


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (with_penalty((RISE, HUMP), (RISE, HUMP)), SUPPORTED),
        (with_penalty((SLIGHT, HUMP), (SLIGHT, HUMP)), SUPPORTED),
        (with_penalty((HUMP, SLIGHT), (SLIGHT, HUMP)), CONTRADICTED),
        (with_penalty((RISE, RISE), (RISE, HUMP)), CONTRADICTED),
        (with_penalty((RISE, -RISE), (RISE, HUMP)), CONTRADICTED),
        (with_penalty((RISE, HUMP), (RISE, HUMP), plain=(RISE, 1.5 * HUMP)), CONTRADICTED),
        (with_penalty((RISE, MIXED), (RISE, HUMP)), INCONCLUSIVE),
    ],
)
def test_dh_3(table, verdict):
    found = claims.dh_3(table, BOUNDS, PAIRS)
    assert (found.claim, found.verdict, found.seeds) == ("DH-3", verdict, 4)


def test_dh_3_pairs_the_seeds():
    """Falls that differ between seeds, and always by a quarter between with and without."""
    depth = np.linspace(0.2, 0.8, 4)[:, None]
    shape = np.interp(LOG, [0, 1, 1.5, 2, 3], [0, 1, 1, 0, 0])
    table = pd.concat(
        [
            curves("ReLU", RISE, depth * shape, noise=0),
            curves("ReLU L2", RISE, (depth + 0.25) * shape, noise=0),
        ]
    )
    text = claims.dh_3(table, BOUNDS, {"ReLU L2": "ReLU"}).statistic
    assert "then falls by 0.75 [" in text
    assert "0.25 [0.25, 0.25] more than without; I(X;T) falls by 0.00" in text
    assert text.endswith("against the claim: none")


@pytest.mark.parametrize(
    ("less", "verdict"), [(0.03, INCONCLUSIVE), (0.2, CONTRADICTED), (-0.2, SUPPORTED)]
)
def test_hundredths_of_a_bit_decide_nothing(less, verdict):
    """A fall of I(T;Y) beside one of I(X;T) that is larger by a little, by much, or smaller."""
    shape = HUMP * 0.5 / (HUMP.max() - HUMP[-1])
    table = pd.concat(
        [
            curves("ReLU", RISE, RISE, noise=0.001),
            curves("ReLU L2", shape * (0.5 + less) / 0.5, shape, noise=0.001),
        ]
    )
    assert claims.dh_3(table, BOUNDS, {"ReLU L2": "ReLU"}).verdict == verdict


def test_dh_3_names_what_speaks_against_it():
    found = claims.dh_3(with_penalty((HUMP, RISE), (RISE, HUMP)), BOUNDS, PAIRS)
    assert found.statistic.endswith(
        "against the claim: ReLU L2: fall of I(T;Y), ReLU L2: less of I(X;T)"
    )


def test_tables_are_not_changed():
    table, bounds = with_penalty((RISE, HUMP), (RISE, HUMP)), BOUNDS.copy()
    before = table.copy()
    claims.dh_1(table, bounds)
    claims.dh_2(table, bounds, except_late=["tanh"])
    claims.dh_3(table, bounds, PAIRS)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(bounds, BOUNDS)


# ---------------------------------------------------------------- early stopping


def test_early_stopping_is_the_first_epoch_of_the_lowest_loss():
    losses = {("a", 0): [3, 1, 2, 1], ("a", 1): [3, 2, 1, 4], ("b", 0): [1, 2, 3, 4]}
    history = pd.DataFrame(
        [
            {"run": run, "seed": seed, "epoch": epoch, "test_loss": loss, "test_accuracy": -loss}
            for (run, seed), values in losses.items()
            for epoch, loss in zip((0, 1, 10, 100), values, strict=True)
        ]
    )
    for order in (history, history.sample(frac=1, random_state=0)):
        found = claims.early_stopping(order).set_index(["run", "seed"])
        assert found["epoch"].to_dict() == {("a", 0): 1, ("a", 1): 10, ("b", 0): 0}
        assert (found["test_accuracy"] == -1).all()
