"""What is measured: schedules of the public programs, activations as they were, rows by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ibcore import models, recording
from ibcore.estimators import (
    binned_information,
    gram_matrix,
    kde_information_bounds,
    nearest_neighbour_entropy,
    renyi_information,
    renyi_mutual_information,
)
from ibcore.recording import (
    InformationRecorder,
    accuracy,
    bounds,
    evaluation_mode,
    measure,
    record_activations,
    schedule,
)
from ibcore.training import Replicas, fit

# ---------------------------------------------------------------- schedules


def test_ibsgd_schedule():
    """Snapshots of artemyk/ibsgd at the end of a zero-based epoch: 20 + 16 + 95 + 80."""
    found = schedule("ibsgd", 10_000)
    program = [
        *range(20),
        *range(20, 100, 5),
        *range(100, 2000, 20),
        *range(2000, 10_000, 100),
    ]
    assert len(program) == 211
    assert found == [0, *(epoch + 1 for epoch in program), 10_000]
    assert found[18:24] == [18, 19, 20, 21, 26, 31]


def test_idnns_schedule():
    """Snapshots of ravidziv/IDNNs, by the expression of that program."""
    found = schedule("idnns", 8000)
    program = np.unique(np.logspace(np.log2(1), np.log2(8000), 400, dtype=int, base=2)) - 1
    assert len(program) == 274
    assert found == [*program.tolist(), 8000]
    assert found[:5] == [0, 1, 2, 3, 4]


def test_ib_on_cnn_schedule():
    found = schedule("ib_on_cnn", 10_000)
    assert len(found) == 37
    assert found == [
        *(0, 1, 3, 5, 7, 9),
        *range(15, 51, 5),
        *(100, 150, 200),
        *range(500, 10_001, 500),
    ]


def test_every_and_logarithmic():
    assert schedule("every", 4) == [0, 1, 2, 3, 4]
    assert schedule("logarithmic", 1000, points=4) == [0, 1, 10, 100, 1000]
    assert schedule("logarithmic", 64, points=1) == [0, 1, 64]


@pytest.mark.parametrize("epochs", [0, 1, 2, 19, 21, 500, 2001])
@pytest.mark.parametrize("name", ["every", "logarithmic", "ibsgd", "idnns", "ib_on_cnn"])
def test_every_schedule_rises_strictly_from_0_to_the_last_epoch(name, epochs):
    found = schedule(name, epochs)
    assert found[0] == 0
    assert found[-1] == epochs
    assert all(type(epoch) is int for epoch in found)
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("daily", 3), {}, "unknown schedule 'daily'; known: every, logarithmic, ibsgd, idnns"),
        (("every", -1), {}, "epochs must not be negative, got -1"),
        (("logarithmic", 9), {"points": 0}, "points must be at least 1, got 0"),
    ],
)
def test_bad_schedules(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        schedule(*arguments, **options)


# ---------------------------------------------------------------- activations


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class InPlace(nn.Module):
    """The ReLU overwrites what ``linear`` gave; a frozen batch norm and an unused layer beside."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 6)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm1d(6)
        self.dropout = nn.Dropout(0.9)
        self.unused = nn.Linear(1, 1)
        self.output = nn.Linear(6, 3)

    def forward(self, inputs):
        return self.output(self.dropout(self.norm(self.relu(self.linear(inputs)))))


@pytest.fixture
def model():
    model = InPlace()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    model.norm.running_mean.fill_(0.3)
    return model


def test_activations_are_copied_before_an_in_place_operation(model):
    x = draw(9, 4)
    kept = []
    handle = model.linear.register_forward_hook(lambda m, a, output: kept.append(output))
    model(x)
    handle.remove()
    expected = functional.linear(x, model.linear.weight, model.linear.bias).detach()
    assert (kept[0] >= 0).all()  # the trap: the hook's own output is overwritten
    found = record_activations(model, x, ["relu", "linear"])
    assert list(found) == ["relu", "linear"]
    torch.testing.assert_close(found["linear"], expected)
    torch.testing.assert_close(found["relu"], expected.relu())
    assert found["linear"].min() < 0


def test_evaluation_mode_for_the_measurement_only(model):
    """Dropout is off, running statistics are used and not changed, every mode comes back."""
    model.train()
    model.norm.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    before = copy.deepcopy(model.state_dict())
    x = draw(9, 4)
    found = record_activations(model, x, ["dropout", "output"])
    h = functional.linear(x, model.linear.weight, model.linear.bias).relu()
    h = (h - 0.3) / (1 + 1e-5) ** 0.5 * model.norm.weight + model.norm.bias
    torch.testing.assert_close(found["dropout"], h.detach())
    assert not found["output"].requires_grad
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert modes["norm"] is False
    assert modes["dropout"] is True
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.is_grad_enabled()


def hooks(model):
    return [h for module in model.modules() for h in module._forward_hooks]


def test_the_model_is_left_as_it_was_after_an_error(model):
    model.train()
    model.norm.eval()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        record_activations(model, draw(3, 5), ["linear", "output"])
    assert hooks(model) == []
    assert model.training
    assert not model.norm.training
    assert torch.is_grad_enabled()
    record_activations(model, draw(3, 4), ["linear", "output"])
    assert hooks(model) == []


def test_evaluation_mode_comes_back_after_an_error(model):
    model.train()

    def fail():
        with evaluation_mode(model):
            assert not any(module.training for module in model.modules())
            assert not torch.is_grad_enabled()
            raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        fail()
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("chunk_size", [1, 4, 12, 13, 1000])
def test_chunks_do_not_matter(chunk_size):
    network = models.build("cnn", widths=(2, 3), image=(1, 6, 6), num_classes=4)
    x = draw(13, 1, 6, 6)
    expected = record_activations(network, x, network.measured_layers)
    found = record_activations(network, x, network.measured_layers, chunk_size=chunk_size)
    assert {name: tuple(T.shape) for name, T in found.items()} == {
        "conv1": (13, 2, 6, 6),
        "conv2": (13, 3, 4, 4),
        "output": (13, 4),
    }
    for name, T in found.items():
        torch.testing.assert_close(T, expected[name])


def test_softmax_turns_one_layer_into_probabilities(model):
    x = draw(9, 4)
    plain = record_activations(model, x, ["linear", "output"])
    found = record_activations(model, x, ["linear", "output"], softmax="output")
    torch.testing.assert_close(found["output"], plain["output"].softmax(1))
    torch.testing.assert_close(found["linear"], plain["linear"])
    torch.testing.assert_close(found["output"].sum(1), torch.ones(9))


@pytest.mark.parametrize(
    ("inputs", "layers", "options", "words"),
    [
        (
            draw(2, 4),
            ["hidden"],
            {},
            "unknown layer 'hidden'; layers of the model: linear, relu, norm, dropout, unused, out",
        ),
        (
            draw(2, 4),
            ["linear", "relu"],
            {"softmax": "output"},
            "softmax must be one of the layers linear, relu, got 'output'",
        ),
        (draw(2, 4), [], {"softmax": "output"}, r"layers \(none\), got 'output'"),
        (draw(2, 4), [""], {}, "unknown layer ''"),
        (draw(0, 4), ["output"], {}, "no inputs to record"),
        (draw(2, 4), ["output"], {"chunk_size": 0}, "chunk_size must be positive, got 0"),
        (draw(2, 4), ["unused", "output"], {}, "layers not used in the forward pass: unused"),
    ],
)
def test_recording_refuses(model, inputs, layers, options, words):
    with pytest.raises(ValueError, match=words):
        record_activations(model, inputs, layers, **options)
    assert hooks(model) == []


# ---------------------------------------------------------------- rows

BOTH = [{"estimator": "binning", "bin_width": 0.5}, {"estimator": "kde", "noise_variance": 0.1}]


def test_measure_is_one_row_per_estimate():
    T, Y = draw(30, 2), torch.arange(30) % 3
    binned = binned_information(T, Y, bin_width=0.5)
    upper, lower = kde_information_bounds(T, Y, noise_variance=0.1)
    assert measure(T, Y, BOTH) == [
        {
            "estimator": name,
            "parameter": parameter,
            "view": "whole",
            "filter": -1,
            "n": 30,
            "I_XT": value.I_XT,
            "I_TY": value.I_TY,
        }
        for name, parameter, value in (
            ("binning", 0.5, binned),
            ("KDE upper", 0.1, upper),
            ("KDE lower", 0.1, lower),
        )
    ]
    assert measure(T, Y, []) == []
    assert BOTH[0] == {"estimator": "binning", "bin_width": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"estimator": "knn", "k": 3}, "unknown estimator 'knn'; known: binning, kde"),
        ({"bin_width": 0.1}, "unknown estimator None"),
        ({"estimator": "binning"}, r"binning takes bin_width, got \[\]"),
        (
            {"estimator": "kde", "bin_width": 0.1},
            r"kde takes noise_variance, got \['bin_width'\]",
        ),
        (
            {"estimator": "binning", "bin_width": 0.1, "every": 2},
            r"binning takes bin_width, got \['bin_width', 'every'\]",
        ),
        ({"estimator": "binning", "bin_width": 0.0}, "bin_width"),
        (
            {"estimator": "renyi", "kernel_width": 1.0},
            r"renyi takes input_kernel_width, kernel_width \(optional\), alpha \(optional\), got",
        ),
        ({"estimator": "renyi", "input_kernel_width": 1.0}, "renyi needs the inputs X"),
        ({**BOTH[0], "view": "row"}, "unknown view 'row'; known: whole, pooled, filter"),
        ({**BOTH[0], "samples": 0}, "samples must be at least 1, got 0"),
    ],
)
def test_measure_refuses(given, words):
    with pytest.raises(ValueError, match=words):
        measure(draw(4, 2), torch.arange(4), [given])


def values(rows):
    """Estimator and filter to the pair of numbers."""
    return {(r["estimator"], r["filter"]): (r["I_XT"], r["I_TY"]) for r in rows}


def test_pooled_is_the_mean_over_space_and_leaves_out_layers_without_space():
    T, Y = draw(20, 3, 4, 5), torch.arange(20) % 2
    pooled = [{**spec, "view": "pooled"} for spec in BOTH]
    assert values(measure(T, Y, pooled)) == values(measure(T.mean((2, 3)), Y, BOTH))
    assert {row["view"] for row in measure(T, Y, pooled)} == {"pooled"}
    assert measure(draw(20, 3), Y, pooled) == []
    in_numpy = measure(T.numpy(), Y.numpy(), pooled)
    assert values(in_numpy)["KDE upper", -1] == pytest.approx(
        values(measure(T, Y, pooled))["KDE upper", -1]
    )


@pytest.mark.parametrize("shape", [(20, 3, 4, 5), (20, 3)])
def test_filters_are_measured_one_by_one(shape):
    T, Y = draw(*shape), torch.arange(20) % 2
    found = values(measure(T, Y, [{**spec, "view": "filter"} for spec in BOTH]))
    assert len(found) == 3 * 3
    for f in range(3):
        for (name, _), expected in values(measure(T[:, f], Y, BOTH)).items():
            assert found[name, f] == pytest.approx(expected)


def test_samples_takes_the_first_ones():
    T, Y = draw(20, 2), torch.arange(20) % 2
    limited = measure(T, Y, [{**BOTH[0], "samples": 8}, {**BOTH[0], "samples": 50}])
    assert [row["n"] for row in limited] == [8, 20]
    assert limited[0]["I_XT"] == binned_information(T[:8], Y[:8], bin_width=0.5).I_XT


def test_renyi_sees_inputs_and_labels():
    X, T, Y = draw(24, 6), draw(24, 2), torch.arange(24) % 3
    given = {"estimator": "renyi", "input_kernel_width": 2.0, "kernel_width": 0.7, "alpha": 2.0}
    (row,) = measure(T, Y, [given], X=X)
    grams = gram_matrix(X, kernel_width=2.0), gram_matrix(T, kernel_width=0.7)
    assert (row["estimator"], row["parameter"]) == ("Rényi", 0.7)
    assert row["I_XT"] == renyi_mutual_information(*grams, alpha=2.0)
    assert row["I_TY"] == renyi_information(T, Y, kernel_width=0.7, alpha=2.0)
    (aligned,) = measure(T, Y, [{"estimator": "renyi", "input_kernel_width": 2.0}], X=X)
    assert aligned["parameter"] is None
    assert aligned["I_TY"] == renyi_information(T, Y)


def test_nearest_neighbour_is_an_entropy_and_its_fall_within_classes():
    T, Y = draw(30, 2), (torch.arange(30) < 10).long()
    (row,) = measure(T, Y, [{"estimator": "nearest_neighbour"}])
    whole = nearest_neighbour_entropy(T)
    many, few = (nearest_neighbour_entropy(T[c == Y]) for c in (0, 1))
    assert row["I_XT"] == whole
    assert row["I_TY"] == pytest.approx(whole - (20 * many + 10 * few) / 30)
    repeated = torch.ones(30, 2)
    with pytest.raises(ValueError, match="distance 0"):
        measure(repeated, Y, [{"estimator": "nearest_neighbour"}])
    noisy = [{"estimator": "nearest_neighbour", "k": 3, "noise_scale": 0.1}]
    assert measure(repeated, Y, noisy) == measure(repeated, Y, noisy)


@pytest.mark.parametrize("k", [2, 3])
def test_a_class_with_too_few_samples_for_nearest_neighbour_is_named(k):
    T, Y = draw(30, 2), torch.tensor([4] * 20 + [9] * k + [7] * (10 - k))
    with pytest.raises(ValueError, match=f"k = {k} needs more than {k} .* got {k} of class 9"):
        measure(T, Y, [{"estimator": "nearest_neighbour", "k": k}])
    Y[0] = 9
    assert len(measure(T, Y, [{"estimator": "nearest_neighbour", "k": k}])) == 1


def test_bounds_are_the_entropies_of_inputs_and_labels():
    """Two equal inputs of five: 2/5 log2(5/2) + 3/5 log2 5, less than log2 4."""
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]])
    found = bounds(x, torch.tensor([0, 0, 1, 1, 1]))
    assert found["n"] == 5
    assert found["distinct"] == 4
    assert found["ceiling_X"] == pytest.approx(math.log2(5) - 0.4)
    expected = -(0.4 * math.log2(0.4) + 0.6 * math.log2(0.6))
    assert found["ceiling_Y"] == pytest.approx(expected)


N, SEEDS = 40, (7, 9)


class Case:
    """Two small networks, their data and a recorder of them."""

    def __init__(self, **changes):
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randn(N, 4, generator=generator)
        self.y = torch.randint(3, (N,), generator=generator)
        orders = torch.stack([torch.randperm(N, generator=generator) for _ in SEEDS])
        self.train, self.test = orders[:, :28], orders[:, 28:]
        self.networks = [
            models.build("mlp", n_inputs=4, hidden=(3, 2), num_classes=3, seed=seed)
            for seed in SEEDS
        ]
        options = {
            "sets": {"all": torch.arange(N), "test": self.test},
            "train_rows": self.train,
            "test_rows": self.test,
            "seeds": SEEDS,
            "epochs": (0, 2, 3, 5),
            "estimators": BOTH,
            "layers": ["hidden1", "hidden2", "output"],
            "softmax": "output",
        }
        self.recorder = InformationRecorder(self.x, self.y, **{**options, **changes})

    def fit(self):
        return fit(
            self.networks, self.x, self.y, rows=self.train, seeds=SEEDS, epochs=5,
            learning_rate=0.1, callbacks=[self.recorder],
        )  # fmt: skip


def test_recorder_rows_are_direct_estimates_on_each_replica():
    case = Case()
    replicas = case.fit()
    rows = case.recorder.measurements
    assert len(rows) == 4 * 2 * 2 * 3 * 3  # epochs, seeds, sets, layers, estimates
    assert list(rows[0]) == [
        *("seed", "epoch", "set", "layer", "layer_index", "estimator", "parameter"),
        *("view", "filter", "n", "I_XT", "I_TY"),
    ]
    assert sorted({row["epoch"] for row in rows}) == [0, 2, 3, 5]
    found = {
        tuple(row[key] for key in ("seed", "set", "layer", "layer_index", "estimator")): row
        for row in rows
        if row["epoch"] == 5
    }
    for index, seed in enumerate(SEEDS):
        network = replicas.network(index)
        for name, chosen in (("all", torch.arange(N)), ("test", case.test[index])):
            T = record_activations(network, case.x[chosen], ["hidden1", "hidden2", "output"])
            T["output"] = T["output"].softmax(1)
            for number, (layer, values) in enumerate(T.items()):
                for expected in measure(values, case.y[chosen], BOTH):
                    row = found[seed, name, layer, number, expected["estimator"]]
                    assert row["I_XT"] == pytest.approx(expected["I_XT"], abs=1e-12)
                    assert row["I_TY"] == pytest.approx(expected["I_TY"], abs=1e-12)
    assert len({row["I_XT"] for row in found.values()}) > 10


def test_more_columns_of_each_replica():
    case = Case(columns=[{"l2": 0.1, "name": "a"}, {"l2": 0.2, "name": "b"}])
    case.fit()
    for rows in (case.recorder.measurements, case.recorder.history):
        assert {(row["seed"], row["l2"], row["name"]) for row in rows} == {
            (7, 0.1, "a"),
            (9, 0.2, "b"),
        }
        assert list(rows[0])[:4] == ["seed", "l2", "name", "epoch"]


def test_epoch_0_is_the_initialisation():
    case = Case()
    expected = [
        record_activations(model, case.x, ["hidden1"])["hidden1"] for model in case.networks
    ]
    case.fit()
    rows = [row for row in case.recorder.measurements if (row["epoch"], row["set"]) == (0, "all")]
    for seed, T in zip(SEEDS, expected, strict=True):
        value = binned_information(T, case.y, bin_width=0.5)
        own = [row for row in rows if (row["seed"], row["layer"]) == (seed, "hidden1")]
        assert (own[0]["estimator"], own[0]["I_XT"], own[0]["I_TY"]) == ("binning", *value)


def test_history_is_loss_in_nats_and_accuracy_by_hand():
    case = Case()
    replicas = case.fit()
    history = case.recorder.history
    assert [(row["epoch"], row["seed"]) for row in history] == [
        (epoch, seed) for epoch in (0, 2, 3, 5) for seed in SEEDS
    ]
    for index, row in enumerate(history[-2:]):
        for name, chosen in (("train", case.train[index]), ("test", case.test[index])):
            with torch.no_grad():
                logits = replicas.network(index)(case.x[chosen]).numpy()
            labels = case.y[chosen].numpy()
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            loss = -np.log(p[np.arange(len(labels)), labels]).mean()
            assert row[f"{name}_loss"] == pytest.approx(loss, rel=1e-5)
            assert row[f"{name}_accuracy"] == np.mean(logits.argmax(1) == labels)


def rows_through(case, monkeypatch):
    """Numbers of rows that pass through the network in each forward pass of the next epoch."""
    lengths, forward = [], recording._forward

    def count(model, inputs, *arguments):
        lengths.append(len(inputs))
        return forward(model, inputs, *arguments)

    monkeypatch.setattr(recording, "_forward", count)
    case.recorder.on_epoch(2, Replicas(case.networks))
    return lengths


def test_history_is_of_its_own_rows_whatever_the_sets_are_called(monkeypatch):
    """Sets called train and test that hold other rows, of other and of the same number."""
    expected = Case()
    sets = {"train": torch.arange(28), "test": torch.arange(7)}
    case = Case(sets=sets)
    expected.recorder.on_epoch(2, Replicas(expected.networks))
    assert rows_through(case, monkeypatch) == [28, 7, 28, 12] * 2
    for found, row in zip(case.recorder.history, expected.recorder.history, strict=True):
        assert found == pytest.approx(row)


def test_rows_that_were_measured_do_not_pass_through_the_network_again(monkeypatch):
    rows = Case()
    case = Case(sets={"some": rows.train, "test": rows.test})
    assert rows_through(case, monkeypatch) == [28, 12] * 2


def test_chunks_do_not_change_rows():
    one, other = Case(), Case(chunk_size=5)
    one.fit()
    other.fit()
    for a, b in zip(one.recorder.measurements, other.recorder.measurements, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    for a, b in zip(one.recorder.history, other.recorder.history, strict=True):
        assert a == pytest.approx(b, abs=1e-5)


def test_recording_does_not_change_the_training():
    watched, unwatched = Case(), Case(epochs=(0,))
    watched.fit()
    unwatched.fit()
    for one, other in zip(watched.networks, unwatched.networks, strict=True):
        assert all(
            torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)
        )


@pytest.mark.parametrize(
    ("every", "expected"), [(1, [0, 2, 3, 5]), (2, [0, 3, 5]), (3, [0, 5]), (9, [0, 5])]
)
def test_every_thins_one_estimator_but_keeps_the_first_and_last(every, expected):
    case = Case(estimators=[BOTH[0], {**BOTH[1], "every": every}])
    case.fit()
    rows = case.recorder.measurements
    epochs = {
        name: sorted({row["epoch"] for row in rows if row["estimator"] == name})
        for name in ("binning", "KDE upper")
    }
    assert epochs == {"binning": [0, 2, 3, 5], "KDE upper": expected}


def test_an_unknown_estimator_is_refused_before_training():
    with pytest.raises(ValueError, match="unknown estimator 'knn'"):
        Case(estimators=[{"estimator": "knn", "every": 2}])


@pytest.mark.parametrize("every", [0, -1])
def test_every_below_1_is_refused(every):
    with pytest.raises(ValueError, match=f"every must be at least 1, got {every}"):
        Case(estimators=[{**BOTH[0], "every": every}])


def test_an_activation_that_is_not_finite_is_located():
    case = Case()
    with torch.no_grad():
        case.networks[1].hidden2.linear.weight.fill_(math.nan)
    replicas = Replicas(case.networks)
    case.recorder.on_epoch(1, replicas)
    assert case.recorder.history == []
    words = "seed 9, epoch 2, all set, layer hidden2: .*(NaN|finite)"
    with pytest.raises(ValueError, match=words):
        case.recorder.on_epoch(2, replicas)


def test_rows_survive_a_checkpoint():
    case, other = Case(), Case()
    case.fit()
    other.recorder.load_state_dict(copy.deepcopy(case.recorder.state_dict()))
    assert other.recorder.measurements == case.recorder.measurements
    assert other.recorder.history == case.recorder.history
    other.recorder.measurements.clear()
    assert case.recorder.measurements


def test_accuracy_counts_and_leaves_the_model_in_training_mode():
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.9)).train()
    logits = torch.eye(4)[[0, 1, 2, 0]]
    assert accuracy(model, logits, torch.tensor([0, 1, 2, 3])) == 0.75
    assert model.training
    with pytest.raises(ValueError, match="no inputs to record"):
        accuracy(model, logits[:0], torch.tensor([]))


def test_accuracy_counts_over_all_chunks():
    digits = torch.arange(60_000) % 4
    wanted = torch.where(torch.arange(60_000) < 45_000, digits, 0)
    sizes = []
    model = nn.Identity()
    model.register_forward_hook(lambda module, args, output: sizes.append(len(output)))
    assert accuracy(model, torch.eye(4)[digits], wanted) == (45_000 + 15_000 / 4) / 60_000
    assert len(sizes) > 1
