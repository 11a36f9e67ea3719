"""The experiment of 15_amc_entropy: every row from its parts, interrupted, refused."""

import dataclasses

import pandas as pd
import pytest
import torch

from ibcore import models
from ibcore.experiments import amc
from ibcore.experiments.amc import Config, load, run
from ibcore.pruning import Policy, apply_policy
from ibcore.pruning.amc import Budget, Pruner, convolution_entropy
from ibcore.pruning.surgery import count_macs, count_parameters
from ibcore.recording import accuracy
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, fit

SMALL = Config(
    dataset="cifar10",
    allow_standin="only",
    n_train=60,
    n_test=20,
    n_validation=20,
    network="VGG16",
    model="vgg11_bn",
    model_options={"width": 0.125},
    epochs=12,
    fine_tuning_epochs=1,
    batch_size=16,
    macs_kept=(0.5, 0.2),
    episodes=3,
    agent={"warmup": 2, "batch_size": 4, "hidden": (8, 8)},
    lowest=0.1,
    round_to=1,
    calibration_images=10,
    entropy_images=3,
    latency_repeats=1,
)
SEARCHES = [*SMALL.rewards, "random"]
METHODS = [*SMALL.rewards, "uniform", "random", "best random, accuracy", "best random, entropy"]


@pytest.fixture(scope="module")
def tables():
    torch.set_num_threads(1)  # as for every test, which is set later than this
    return run(SMALL, 3)


def assert_same(found, expected):
    """Equal tables, apart from the times."""
    found, expected = (
        table.drop(columns="latency_ms", errors="ignore").reset_index(drop=True)
        for table in (found, expected)
    )
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def by_hand():
    """The samples, and the full network after its training."""
    dataset = load(SMALL)
    generator = torch.Generator().manual_seed(derived_seed(3, "validation"))
    order = torch.randperm(60, generator=generator)
    X, Y = torch.from_numpy(dataset.X), torch.from_numpy(dataset.Y)
    model = models.build("vgg11_bn", seed=derived_seed(3, "weights"), width=0.125)
    model, X = (value.to(memory_format=torch.channels_last) for value in (model, X))
    fit_as_configured(model, X[order[:40]], Y[order[:40]], SMALL.epochs, "training")
    return model, [(X[rows], Y[rows]) for rows in (order[:40], order[40:], slice(60, 80))]


def fit_as_configured(model, X, Y, epochs, stage):
    fit(
        [model], X, Y, epochs=epochs, seeds=[derived_seed(3, stage)], batch_size=16,
        optimiser="sgd", learning_rate=0.01, momentum=0.9, annealing="cosine",
    )  # fmt: skip


def test_what_there_is(tables):
    networks, episodes = tables["networks"], tables["episodes"]
    assert networks["method"].tolist() == [amc.FULL, *METHODS, *METHODS]
    assert networks["share"].tolist() == [1.0, *[0.5] * 7, *[0.2] * 7]
    assert (networks["model"] == "vgg11_bn, width 0.125").all()
    assert (networks["macs_kept"] <= networks["share"]).all()
    assert (networks["latency_ms"] > 0).all()
    assert networks[["test_accuracy", "pruned_accuracy"]].stack().between(0, 1).all()
    expected = [(share, name, e) for share in (0.5, 0.2) for name in SEARCHES for e in range(3)]
    assert list(zip(episodes["share"], episodes["search"], episodes["episode"], strict=True)) == (
        expected
    )
    assert (episodes["macs_kept"] <= episodes["share"]).all()


def test_searches_are_rewarded_on_validation_images_with_the_seed_of_the_replica(monkeypatch):
    """15 images for validation, 20 for the test."""
    Evaluation, search, images, seeds = amc.Evaluation, amc.search, [], []

    def evaluation(pruner, X, Y, **options):
        images.append(len(X))
        return Evaluation(pruner, X, Y, **options)

    def searching(*arguments, **options):
        seeds.append(options["seed"])
        return search(*arguments, **options)

    monkeypatch.setattr(amc, "Evaluation", evaluation)
    monkeypatch.setattr(amc, "search", searching)
    config = dataclasses.replace(SMALL, n_validation=15, macs_kept=(0.5,), epochs=1)
    run(config, 3)
    run(config, 4)
    assert set(images) == {15}
    assert seeds == [3] * 3 + [4] * 3


def test_networks_from_their_parts(tables):
    model, ((X, Y), (X_val, Y_val), test) = by_hand()
    networks = tables["networks"].set_index(["share", "method"])
    full = networks.loc[(1.0, amc.FULL)]
    assert full["test_accuracy"] == full["pruned_accuracy"] == pytest.approx(accuracy(model, *test))
    assert full["macs"] == count_macs(model, X[:1])
    seed = derived_seed(3, "calibration")
    for method in ("uniform", "accuracy"):
        row = networks.loc[(0.5, method)]
        policy = Policy.from_json(row["policy"])
        smaller = apply_policy(model, policy, X[:10], seed=seed)
        assert row["macs"] == count_macs(smaller, X[:1])
        assert row["macs_kept"] == row["macs"] / full["macs"]
        assert row["parameters"] == count_parameters(smaller)
        entropies = convolution_entropy(smaller, X_val[:3])
        assert row["entropy"] == pytest.approx(sum(entropies.values()) / 8, abs=1e-3)
        assert row["pruned_accuracy"] == pytest.approx(accuracy(smaller, *test), abs=0.051)
        assert row["validation_accuracy"] == pytest.approx(
            accuracy(smaller, X_val, Y_val), abs=0.051
        )
        fit_as_configured(smaller, X, Y, 1, "fine-tuning")
        assert row["test_accuracy"] == pytest.approx(accuracy(smaller, *test), abs=0.051)


def test_policies_are_the_best_of_their_searches(tables):
    networks = tables["networks"].set_index(["share", "method"])["policy"]
    pruner = Pruner(models.build("vgg11_bn", width=0.125), torch.zeros(1, 3, 32, 32), points=0)
    for (share, name), part in tables["episodes"].groupby(["share", "search"]):
        best = {name: part.loc[part["reward"].idxmax()]}
        if name == "random":
            best = {
                "random": part.iloc[0],
                "best random, accuracy": part.loc[part["accuracy"].idxmax()],
                "best random, entropy": part.loc[part["entropy"].idxmin()],
            }
        for method, row in best.items():
            counts = list(map(int, row["counts"].split()))
            assert Policy.from_json(networks[share, method]) == pruner.policy(counts)
    uniform = Budget(pruner.structure, macs_kept=0.2, lowest=0.1, round_to=1).fit([1.0] * 8)
    assert networks[0.2, "uniform"] == pruner.policy(uniform).to_json()


class Stop(Exception):
    """In the place of a power failure."""


@pytest.mark.parametrize("saves", [3, 30])
def test_interrupted_and_resumed(tables, tmp_path, monkeypatch, saves):
    """Stopped after a number of checkpoints: training, searches or fine-tuning go on."""
    save, count = Checkpoint.save, iter(range(1000))

    def save_and_stop(self, state):
        save(self, state)
        if next(count) == saves:
            raise Stop

    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    monkeypatch.setattr(Checkpoint, "save", save_and_stop)
    path = tmp_path / "run"
    with pytest.raises(Stop):
        run(SMALL, 3, checkpoint=path)
    kept = {file.name for file in tmp_path.iterdir()}
    assert kept
    found = run(SMALL, 3, load(SMALL), checkpoint=path)
    for name, table in tables.items():
        assert_same(found[name], table)
    left = {file.name for file in tmp_path.iterdir()}
    assert kept <= left  # until the result is stored
    assert all(name.startswith("run.") for name in left)


def test_seeds_differ(tables):
    both = run(dataclasses.replace(SMALL, macs_kept=(0.5,), first=3, replicas=2), 0)
    for name, table in tables.items():
        assert_same(both[name][both[name]["seed"] == 3], table[table["share"] >= 0.5])
    rewards = [part["reward"].tolist() for _, part in both["episodes"].groupby("seed")]
    assert rewards[0] != rewards[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"replicas": 0}, "replicas must be positive, got 0"),
        ({"n_validation": 0}, "n_validation must be positive, got 0"),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"agent": {"warmup": 0}}, "warmup must be positive, got 0"),
    ],
)
def test_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(SMALL, **changes)


def test_some_images_have_to_be_left_for_training():
    with pytest.raises(ValueError, match="n_validation = 60 of 60 training images"):
        run(dataclasses.replace(SMALL, n_validation=60), 0)
