"""Normal and frozen training side by side, end to end on a cut of the digits."""

import dataclasses

import pytest
import torch

from ibcore import models
from ibcore.experiments import layer_freezing
from ibcore.experiments.layer_freezing import Config, device_name, load, run
from ibcore.freezing import LayerFreezing
from ibcore.recording import accuracy
from ibcore.seeds import derived_seed
from ibcore.training import fit

RULES = {
    "normal": {"choose": "never", "images": 10},
    "entropy": {"epsilon": 0.01, "window": 2, "warm_up": 2, "images": 10},
    "random": {"choose": "random", "images": 10},
}
CONFIG = Config(
    dataset="cifar10",
    allow_standin="only",
    n_train=40,
    n_test=20,
    model="vgg11",
    model_options={"width": 1 / 32},
    epochs=3,
    batch_size=10,
    rules=RULES,
    checks=(2, 3),
    first=1,
    replicas=2,
)


@pytest.fixture(scope="module")
def tables():
    return run(CONFIG, 4)


def test_tables_have_a_row_for_every_seed_method_and_epoch(tables):
    assert list(tables) == ["history", "entropies", "frozen", "times"]
    for name in ("history", "times"):
        found = tables[name].groupby(["seed", "method"])["epoch"].agg(list)
        assert found.to_dict() == {
            (seed, method): [0, 1, 2, 3] for seed in (5, 6) for method in RULES
        }
    assert set(tables["entropies"]["method"]) == {"normal", "entropy"}
    assert tables["entropies"]["layer"].nunique() == 8
    counts = tables["frozen"].groupby("method").size()
    assert counts["entropy"] == counts["random"] > 0


def test_the_normal_method_is_a_plain_training(tables):
    samples = load(CONFIG)
    model = models.build("vgg11", seed=derived_seed(5, "weights"), width=1 / 32)
    X, Y = torch.from_numpy(samples.X), torch.from_numpy(samples.Y)
    replicas = fit(
        [model.to(memory_format=torch.channels_last)],
        X.to(memory_format=torch.channels_last),
        Y,
        rows=torch.arange(40)[None],
        seeds=[5],
        epochs=3,
        batch_size=10,
        optimiser="sgd",
        learning_rate=0.01,
        momentum=0.9,
    )
    history = tables["history"]
    last = history[(history["seed"] == 5) & (history["epoch"] == 3)].set_index("method")
    expected = accuracy(replicas.network(0), X[40:], Y[40:])
    assert last["test_accuracy"]["normal"] == expected


def fingerprint(model, X, Y):
    """In place of an accuracy, which on 20 images is the same for many networks."""
    with torch.no_grad():
        return model.eval()(X).double().square().sum().item()


def test_methods_start_alike_and_part_when_something_freezes(monkeypatch):
    """They see the test images only through the accuracy, and probe the training images."""
    probed = {}

    def spy(inputs, **options):
        probed.update(options)
        return LayerFreezing(inputs, **options)

    monkeypatch.setattr(layer_freezing, "LayerFreezing", spy)
    monkeypatch.setattr(layer_freezing, "accuracy", fingerprint)
    found = run(CONFIG, 4)
    assert probed["rows"].tolist() == list(range(40))
    history = found["history"].rename(columns={"test_accuracy": "value"})
    X = torch.from_numpy(load(CONFIG).X[40:])
    for seed in (5, 6):
        model = models.build("vgg11", seed=derived_seed(seed, "weights"), width=1 / 32)
        start = history[(history["seed"] == seed) & (history["epoch"] == 0)]["value"]
        assert start.tolist() == pytest.approx([fingerprint(model, X, None)] * 3, rel=1e-5)
    first = found["frozen"].groupby("seed")["epoch"].min()
    until = history[history["epoch"] <= history["seed"].map(first)]
    assert (until.groupby(["seed", "epoch"])["value"].nunique() == 1).all()
    after = history[history["epoch"] > history["seed"].map(first)]
    assert (after.groupby(["seed", "epoch"])["value"].nunique() > 1).all()


def test_the_same_numbers_again_and_after_an_interruption(tables, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint"
    monkeypatch.setattr(layer_freezing, "Checkpoint", lambda path: Eager(path, every_seconds=0))
    calls = iter(range(100))

    def interrupted(model, inputs, labels):
        if next(calls) == 15:
            raise KeyboardInterrupt
        return accuracy(model, inputs, labels)

    monkeypatch.setattr(layer_freezing, "accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, 4, checkpoint=path)
    assert path.exists()
    again = run(CONFIG, 4, checkpoint=path)
    for name in ("history", "entropies", "frozen"):
        assert again[name].equals(tables[name])


Eager = layer_freezing.Checkpoint


def test_networks_are_not_stacked_on_any_device(monkeypatch):
    """Each network freezes layers of its own, so that their weights cannot be one tensor."""
    given = {}

    def fit(*_, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(layer_freezing, "fit", fit)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, 4)
    assert given["stacked"] is False


def test_nothing_frozen_is_an_empty_table_with_columns():
    rules = {"normal": {"choose": "never", "images": 5}}
    found = run(dataclasses.replace(CONFIG, rules=rules, epochs=0, checks=(), replicas=1), 0)
    assert list(found["frozen"]) == ["seed", "method", "epoch", "layer", "layer_index"]
    assert len(found["frozen"]) == 0


def test_it_runs_on_the_processor():
    assert device_name(CONFIG) == "CPU"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replicas": 0}, "replicas must be positive, got 0"),
        ({"threads": 0}, "threads must be positive, got 0"),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"checks": (2, 4)}, r"checks must lie in 1 ... 3, got \(2, 4\)"),
        ({"rules": {"a": {"epsilon": -1}}}, "epsilon must be positive, got -1"),
    ],
)
def test_a_config_refuses(change, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(CONFIG, **change)
