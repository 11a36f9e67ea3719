"""Information planes end to end, on small cuts of the 12-bit task and of the digits."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from ibcore import datasets, models
from ibcore.estimators import binned_information
from ibcore.experiments import information_plane
from ibcore.experiments.information_plane import Config, device_name, load, run
from ibcore.recording import record_activations
from ibcore.seeds import derived_seed
from ibcore.training import fit

BINNING = {"estimator": "binning", "bin_width": 0.5}
SZT = Config(
    dataset="szt",
    allow_standin="only",
    train_fraction=0.75,
    n_train=200,
    model="mlp",
    model_options={"n_inputs": 12, "hidden": (4, 3)},
    epochs=6,
    batch_size=32,
    replicas=3,
    schedule="every",
    estimators=(BINNING,),
    learning_rate=0.01,
)
DIGITS = Config(
    dataset="mnist",
    allow_standin="only",
    n_train=60,
    n_test=30,
    model="cnn",
    model_options={"widths": (1, 1)},
    epochs=2,
    batch_size=25,
    replicas=2,
    schedule="every",
    estimators=(BINNING,),
    measured_sets=("train", "test"),
    learning_rate=0.01,
)


def change(config, **fields):
    return dataclasses.replace(config, **fields)


@pytest.fixture(scope="module")
def szt():
    return run(SZT, 4)


@pytest.fixture(scope="module")
def digits():
    return run(DIGITS, 0)


def test_tables(szt, digits):
    for tables in (szt, digits):
        assert list(tables) == ["measurements", "history", "bounds"]
    rows = szt["measurements"]
    assert len(rows) == 3 * 7 * 3  # seeds, epochs, layers
    assert rows["seed"].unique().tolist() == [4, 5, 6]
    assert rows["epoch"].unique().tolist() == list(range(7))
    assert rows.groupby("layer")["layer_index"].unique().map(list).to_dict() == {
        "hidden1": [0],
        "hidden2": [1],
        "output": [2],
    }
    assert rows["set"].unique().tolist() == ["all"]
    assert digits["measurements"]["set"].unique().tolist() == ["train", "test"]
    assert digits["measurements"]["layer"].unique().tolist() == ["conv1", "conv2", "output"]
    assert not rows.isna().any(axis=None)


def test_limits_hold(szt, digits):
    for tables in (szt, digits):
        table = tables["measurements"].merge(tables["bounds"], on=["seed", "set", "n"])
        assert len(table) == len(tables["measurements"])
        assert (table["I_XT"] <= table["ceiling_X"] + 1e-9).all()
        assert (table["I_TY"] <= table["ceiling_Y"] + 1e-9).all()
        assert (table["I_TY"] <= table["I_XT"] + 1e-9).all()
        assert (table["I_TY"] >= -1e-9).all()


def entropy(labels):
    p = np.bincount(labels) / len(labels)
    return -(p[p > 0] * np.log2(p[p > 0])).sum()


def test_bounds(szt, digits):
    data = datasets.load("szt", "all", n=200, allow_standin="only")
    assert szt["bounds"].to_dict("records") == [
        {
            "seed": seed,
            "set": "all",
            "n": 200,
            "distinct": 200,
            "ceiling_X": math.log2(200),
            "ceiling_Y": pytest.approx(entropy(data.Y)),
        }
        for seed in (4, 5, 6)
    ]
    rows = digits["bounds"]
    rows = rows[rows["seed"] == 1].set_index("set")
    for part, n in (("train", 60), ("test", 30)):
        data = datasets.load("mnist", part, n=n, allow_standin="only")
        assert rows.loc[part, "n"] == n
        assert rows.loc[part, "distinct"] == len(np.unique(data.X.reshape(n, -1), axis=0))
        assert rows.loc[part, "ceiling_Y"] == pytest.approx(entropy(data.Y))


def test_history_falls_and_learns():
    history = run(change(SZT, epochs=60, n_train=None, batch_size=128), 0)["history"]
    first, last = (history[history["epoch"] == epoch] for epoch in (0, 60))
    assert (last["train_loss"].to_numpy() < 0.7 * first["train_loss"].to_numpy()).all()
    assert (last["test_accuracy"] > 0.85).all()


def test_a_replica_is_what_one_trains_alone(szt):
    alone = run(change(SZT, replicas=1), 5)
    for name, table in alone.items():
        expected = szt[name][szt[name]["seed"] == 5].reset_index(drop=True)
        pd.testing.assert_frame_equal(table, expected, atol=1e-5, rtol=0)


def test_a_replica_of_a_null_model_is_what_one_trains_alone():
    config = change(DIGITS, permute_labels=True)
    together, alone = run(config, 0), run(change(config, replicas=1), 1)
    for name, table in alone.items():
        expected = together[name][together[name]["seed"] == 1].reset_index(drop=True)
        pd.testing.assert_frame_equal(table, expected, atol=1e-5, rtol=0)


def test_the_same_call_gives_the_same_bits(szt):
    for name, table in run(SZT, 4).items():
        pd.testing.assert_frame_equal(table, szt[name], check_exact=True)


def test_last_epoch_by_hand(digits):
    """The second replica, built, trained and measured here."""
    data = [datasets.load("mnist", part, n=n, allow_standin="only")
            for part, n in (("train", 60), ("test", 30))]  # fmt: skip
    x = torch.from_numpy(np.concatenate([part.X for part in data]))
    y = torch.from_numpy(np.concatenate([part.Y for part in data]))
    model = models.build("cnn", widths=(1, 1), seed=derived_seed(1, "weights"))
    fit([model], x, y, rows=torch.arange(60)[None], seeds=[1], epochs=2, batch_size=25,
        learning_rate=0.01)  # fmt: skip
    table = digits["measurements"]
    last = table[(table["seed"] == 1) & (table["epoch"] == 2)].set_index(["set", "layer"])
    for part, rows in (("train", slice(0, 60)), ("test", slice(60, 90))):
        recorded = record_activations(model, x[rows], model.measured_layers, softmax="output")
        for layer, T in recorded.items():
            value = binned_information(T, y[rows], bin_width=0.5)
            assert last.loc[(part, layer), "I_XT"] == pytest.approx(value.I_XT, abs=1e-9)
            assert last.loc[(part, layer), "I_TY"] == pytest.approx(value.I_TY, abs=1e-9)


def captured(monkeypatch, config, seed=0):
    """What ``run`` gives to ``fit``."""
    given = {}

    def no_training(networks, inputs, labels, **options):
        given.update(networks=networks, inputs=inputs, labels=labels, **options)

    monkeypatch.setattr(information_plane, "fit", no_training)
    run(config, seed)
    return given


def test_every_seed_has_a_split_of_its_own(monkeypatch):
    given = captured(monkeypatch, SZT)
    recorder = given["callbacks"][0]
    train, test = given["rows"], recorder._test_rows
    assert train.shape == (3, 150)
    assert test.shape == (3, 50)
    for own in torch.cat([train, test], dim=1):
        assert sorted(own.tolist()) == list(range(200))
    assert len({tuple(sorted(own.tolist())) for own in train}) == 3
    later = captured(monkeypatch, SZT, seed=1)["rows"]
    assert torch.equal(later[:2], train[1:])


def test_parts_stay_parts(monkeypatch):
    given = captured(monkeypatch, DIGITS)
    assert given["rows"].tolist() == [list(range(60))] * 2
    assert given["callbacks"][0]._test_rows.tolist() == [list(range(60, 90))] * 2
    train = datasets.load("mnist", "train", n=60, allow_standin="only")
    assert np.array_equal(given["inputs"][:60].numpy(), train.X)
    assert np.array_equal(given["labels"][:60].numpy(), train.Y)


def test_sets_of_different_rows(monkeypatch):
    config = change(SZT, measured_sets=("test", "train", "all"))
    sets = captured(monkeypatch, config)["callbacks"][0]._sets
    assert list(sets) == ["test", "train", "all"]
    monkeypatch.undo()
    limits = run(change(config, epochs=0), 0)["bounds"]
    assert limits["seed"].tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert limits["n"].tolist() == [50, 150, 200] * 3


def test_every_seed_has_the_bounds_of_its_own_split(monkeypatch):
    config = change(SZT, measured_sets=("test",))
    given = captured(monkeypatch, config)
    monkeypatch.undo()
    limits = run(change(config, epochs=0), 0)["bounds"].set_index("seed")["ceiling_Y"]
    for seed, rows in enumerate(given["callbacks"][0]._test_rows):
        assert limits[seed] == pytest.approx(entropy(given["labels"][rows].numpy()), abs=1e-12)
    assert limits.nunique() > 1


def test_permuted_labels_are_the_same_labels_elsewhere_anew_for_every_seed(monkeypatch):
    plain = captured(monkeypatch, SZT)["labels"].numpy()
    assert np.array_equal(load(SZT).Y, plain)
    null = captured(monkeypatch, change(SZT, permute_labels=True))
    copies = null["labels"].numpy().reshape(3, 200)
    for own in copies:
        assert np.bincount(own).tolist() == np.bincount(plain).tolist()
        assert 60 < (own != plain).sum() < 140
    assert len({own.tobytes() for own in copies}) == 3
    inputs = null["inputs"].numpy().reshape(3, 200, 12)
    assert (inputs == load(SZT).X).all()
    recorder = null["callbacks"][0]
    for i in range(3):
        own = [*null["rows"][i].tolist(), *recorder._test_rows[i].tolist()]
        assert sorted(own) == list(range(200 * i, 200 * (i + 1)))
        assert sorted(recorder._sets["all"][i].tolist()) == sorted(own)


def test_permuted_labels_stay_in_their_part(monkeypatch):
    given = captured(monkeypatch, change(DIGITS, permute_labels=True))
    plain, test_rows = load(DIGITS).Y, given["callbacks"][0]._test_rows
    for rows, part in ((given["rows"], plain[:60]), (test_rows, plain[60:])):
        for own in given["labels"].numpy()[rows]:
            assert np.bincount(own, minlength=10).tolist() == (
                np.bincount(part, minlength=10).tolist()
            )
            assert (own != part).any()


def test_labels_are_permuted_beside_features_of_every_seeds_own_statistics(monkeypatch):
    given = captured(monkeypatch, change(SIGHTINGS, permute_labels=True))
    plain = captured(monkeypatch, SIGHTINGS)
    assert torch.equal(given["inputs"], plain["inputs"])
    assert torch.equal(given["rows"], plain["rows"])
    assert not torch.equal(given["labels"], plain["labels"])


def test_samples_have_bounds_of_their_own():
    few = ({**BINNING, "samples": 20}, {**BINNING, "samples": 20, "view": "filter"}, BINNING)
    tables = run(change(DIGITS, estimators=few, epochs=0), 0)
    bounds = tables["bounds"].set_index(["seed", "set", "n"])
    assert bounds.index.tolist() == [
        (seed, part, n) for seed in (0, 1) for part, last in (("train", 60), ("test", 30))
        for n in (20, last)
    ]  # fmt: skip
    assert bounds.loc[(0, "train", 20), "ceiling_X"] <= np.log2(20)
    assert set(tables["measurements"]["n"]) == {20, 30, 60}


def test_more_samples_than_there_are_have_the_bounds_of_all():
    estimators = (BINNING, {**BINNING, "samples": 60, "view": "pooled"})
    tables = run(change(DIGITS, estimators=estimators, epochs=0, replicas=1), 0)
    assert tables["bounds"][["set", "n"]].values.tolist() == [["train", 60], ["test", 30]]
    assert set(tables["measurements"]["n"]) == {30, 60}


def test_options_reach_the_training(monkeypatch, tmp_path):
    config = change(SZT, optimiser="sgd", momentum=0.5, batch_size=None)
    given = captured(monkeypatch, config)
    expected = {"optimiser": "sgd", "momentum": 0.5, "batch_size": None, "epochs": 6}
    assert {key: given[key] for key in expected} == expected
    assert given["learning_rate"] == 0.01
    assert given["checkpoint"] is None
    monkeypatch.setattr(information_plane, "fit", lambda *_, **options: given.update(options))
    run(config, 0, checkpoint=tmp_path / "c", name="a name")
    assert given["checkpoint"].path == tmp_path / "c"
    assert given["description"] == "a name"


def test_schedule_and_estimators_reach_the_recorder():
    estimators = (BINNING, {"estimator": "kde", "noise_variance": 0.1, "every": 9})
    config = change(
        SZT, epochs=20, schedule="logarithmic", schedule_points=3, estimators=estimators
    )
    rows = run(config, 0)["measurements"]
    epochs = rows.groupby("estimator")["epoch"].unique().map(list).to_dict()
    assert epochs == {"binning": [0, 1, 4, 20], "KDE upper": [0, 20], "KDE lower": [0, 20]}
    assert rows.groupby("estimator")["parameter"].unique().map(list).to_dict() == {
        "binning": [0.5],
        "KDE upper": [0.1],
        "KDE lower": [0.1],
    }


# ---------------------------------------------------------------- penalties, standardisation

SIGHTINGS = change(
    SZT, dataset="pokemon", n_train=80, model_options={"n_inputs": 4, "hidden": (4,)},
    standardise=True, batch_size=None,
)  # fmt: skip


def test_features_are_standardised_by_each_seeds_own_training_rows(monkeypatch):
    given = captured(monkeypatch, SIGHTINGS)
    raw = load(SIGHTINGS).X
    inputs, rows = given["inputs"].numpy(), given["rows"].numpy()
    assert inputs.shape == (3 * 80, 4)
    for own in rows:
        np.testing.assert_allclose(inputs[own].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(inputs[own].std(0), 1, atol=1e-5)
    plain = captured(monkeypatch, change(SIGHTINGS, standardise=False))
    assert np.array_equal(plain["inputs"].numpy(), raw)
    for i, own in enumerate(plain["rows"].numpy()):
        mean, deviation = raw[own].astype(float).mean(0), raw[own].astype(float).std(0)
        np.testing.assert_allclose(inputs[rows[i]], (raw[own] - mean) / deviation, atol=1e-4)
        labels = given["labels"].numpy()[rows[i]]
        assert np.array_equal(labels, plain["labels"].numpy()[own])


def test_every_set_of_a_seed_lies_in_its_own_copy(monkeypatch):
    config = change(SIGHTINGS, measured_sets=("all", "train", "test"))
    recorder = captured(monkeypatch, config)["callbacks"][0]
    for i in range(3):
        parts = {name: rows[i].tolist() for name, rows in recorder._sets.items()}
        assert sorted(parts["train"] + parts["test"]) == sorted(parts["all"])
        assert sorted(parts["all"]) == list(range(80 * i, 80 * (i + 1)))
        assert recorder._test_rows[i].tolist() == parts["test"]


def test_the_first_samples_measured_are_a_random_part_of_all(monkeypatch):
    """The patterns of the 12-bit task come in binary order: the first eighth has three zeros."""
    config = change(SZT, n_train=None, estimators=({**BINNING, "samples": 512},))
    given = captured(monkeypatch, config)
    rows = given["callbacks"][0]._sets["all"]
    first = given["inputs"][rows[:512]]
    assert (first.mean(0) - 0.5).abs().max() < 0.1
    other = captured(monkeypatch, change(config, batch_size=64, replicas=1))
    assert torch.equal(rows, other["callbacks"][0]._sets["all"])
    tables = run(change(config, epochs=1, replicas=1), 0)
    assert tables["bounds"]["ceiling_X"].tolist() == [9.0]
    assert tables["bounds"]["ceiling_Y"].item() > 0.95


def test_the_test_rows_do_not_enter_the_statistics(monkeypatch):
    samples = load(SIGHTINGS)
    given = captured(monkeypatch, SIGHTINGS)
    test = captured(monkeypatch, change(SIGHTINGS, standardise=False))["callbacks"][0]._test_rows
    far = np.array(samples.X)
    far[test[0].numpy()] += 1e6
    monkeypatch.setattr(
        information_plane, "fit", lambda networks, inputs, *_, **rest: given.update(moved=inputs)
    )
    run(SIGHTINGS, 0, dataclasses.replace(samples, X=far))
    own = given["rows"][0]
    assert torch.equal(given["moved"][own], given["inputs"][own])


def test_a_constant_feature_becomes_zero():
    samples = load(SIGHTINGS)
    X = np.array(samples.X)
    X[:, 2] = 7
    history = run(SIGHTINGS, 0, dataclasses.replace(samples, X=X))["history"]
    assert np.isfinite(history["test_loss"]).all()


@pytest.mark.parametrize("config", [SIGHTINGS, SZT])
def test_several_penalties_at_once_are_the_single_ones(config):
    together = run(change(config, l2=(0.0, 0.02)), 3)
    for factor in (0.0, 0.02):
        single = run(change(config, l2=factor), 3)
        for name, table in single.items():
            chosen = together[name][together[name]["l2"] == factor]
            chosen = chosen.drop(columns="l2").reset_index(drop=True)
            pd.testing.assert_frame_equal(chosen, table, atol=1e-4, rtol=0)
            assert "l2" not in table


def test_one_penalty_in_a_tuple_has_its_column():
    tables = run(change(SZT, l2=(0.1,)), 0)
    assert all(table["l2"].unique().tolist() == [0.1] for table in tables.values())


def test_penalties_reach_the_training(monkeypatch):
    given = captured(monkeypatch, change(SZT, l2=(0.0, 0.1), weight_decay=0.3), seed=5)
    assert given["l2"] == [0.0] * 3 + [0.1] * 3
    assert given["seeds"] == [5, 6, 7] * 2
    assert given["weight_decay"] == 0.3
    assert torch.equal(given["rows"][:3], given["rows"][3:])
    assert captured(monkeypatch, SZT)["l2"] == [0.0] * 3


# ---------------------------------------------------------------- data


def test_load_describes_the_data():
    samples = load(DIGITS)
    assert samples.n_train == 60
    assert len(samples.X) == len(samples.Y) == 90
    assert samples.label == "stand-in (scikit-learn digits) for MNIST"
    assert samples.source == "stand-in"
    assert samples.note.startswith("stand-in: ")
    parts = [
        datasets.load("mnist", part, n=n, allow_standin="only")
        for part, n in (("train", 60), ("test", 30))
    ]
    assert samples.fingerprint == "-".join(part.fingerprint for part in parts)
    assert load(SZT).n_train is None
    assert load(SZT).label == "12-bit task"


def test_load_reads_once_and_tells_settings_apart():
    assert load(DIGITS) is load(change(DIGITS, epochs=9))
    assert load(DIGITS).fingerprint != load(change(DIGITS, n_test=29)).fingerprint
    assert load(SZT).fingerprint != load(change(SZT, n_train=199)).fingerprint


def test_load_passes_the_options_of_the_data_on():
    options = {"sample_rate": 2000, "n_fft": 256, "hop_length": 64, "bands": 8, "columns": 8}
    small = {**options, "seconds": 1.0, "size": 8}
    config = change(DIGITS, dataset="fma", n_train=8, n_test=4, dataset_options=small)
    found = load(config)
    assert found.X.shape == (12, 1, 8, 8)
    assert found.label == "stand-in (simulated genres) for FMA-small"
    assert load(change(config, dataset_options={**small, "size": 4})).X.shape == (12, 1, 4, 4)
    with pytest.raises(ValueError, match="unknown option 'size' of mnist"):
        load(change(DIGITS, dataset_options={"size": 8}))


def test_load_passes_errors_on():
    with pytest.raises(ValueError, match="unknown split 'train' of szt"):
        load(change(SZT, train_fraction=None))
    with pytest.raises(ValueError, match="unknown data set 'mnits'"):
        load(change(DIGITS, dataset="mnits"))


def test_data_are_not_changed_by_a_run():
    before = load(SZT).X.copy(), load(SZT).Y.copy()
    run(change(SZT, permute_labels=True), 0)
    assert np.array_equal(load(SZT).X, before[0])
    assert np.array_equal(load(SZT).Y, before[1])


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"measured_sets": ("all", "valid")}, r"are all, train or test, got \('all', 'valid'\)"),
        ({"measured_sets": ()}, r"measured_sets are all, train or test, got \(\)"),
        ({"l2": ()}, r"l2 needs at least one factor, got \(\)"),
        ({"replicas": 0}, "replicas must be positive, got 0"),
        ({"threads": 0}, "threads must be positive, got 0"),
        ({"device": "gpu"}, "device must be cpu, cuda or auto, got 'gpu'"),
        ({"train_fraction": 0.0}, r"train_fraction must lie in \(0, 1\), got 0.0"),
        ({"train_fraction": 1}, r"train_fraction must lie in \(0, 1\), got 1"),
    ],
)
def test_bad_settings(fields, words):
    with pytest.raises(ValueError, match=words):
        change(SZT, **fields)


@pytest.mark.parametrize(
    ("fraction", "words"), [(0.001, "0 of 200 samples for training"), (0.999, "200 of 200 samples")]
)
def test_a_split_without_training_or_test_samples(fraction, words):
    with pytest.raises(ValueError, match=f"{words}.*leave no training or test samples"):
        run(change(SZT, train_fraction=fraction), 0)


def test_an_activation_that_overflows_is_located():
    config = change(SZT, model_options={**SZT.model_options, "activation": "relu"},
                    optimiser="sgd", learning_rate=1e38)  # fmt: skip
    with pytest.raises(ValueError, match=r"seed 0, epoch [12], all set, layer hidden1: "):
        run(config, 0)


def test_device_name(monkeypatch):
    assert device_name(SZT) == "CPU"
    auto, cuda = change(SZT, device="auto"), change(SZT, device="cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, {device}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_name(auto) == "CPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_name(auto) == device_name(cuda) == "a GPU, cuda"
    assert device_name(SZT) == "CPU"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", [SZT, DIGITS])
def test_cuda_agrees(config):
    cpu, cuda = run(config, 0), run(change(config, device="cuda"), 0)
    pd.testing.assert_frame_equal(cpu["bounds"], cuda["bounds"])
    pd.testing.assert_frame_equal(cpu["history"], cuda["history"], atol=1e-3)
    start = [table["measurements"].query("epoch == 0") for table in (cpu, cuda)]
    pd.testing.assert_frame_equal(*start, atol=0.05)
