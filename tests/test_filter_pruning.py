"""Pruning filters end to end on small networks, and interrupted in between."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from ibcore import models, results, sweep
from ibcore.estimators import _eigenvalues
from ibcore.experiments import filter_pruning
from ibcore.experiments.filter_pruning import Config, device_name, load, run
from ibcore.experiments.shared import Samples
from ibcore.pruning.surgery import count_parameters, remove_channels, shared_channels
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint

VGG = Config(
    dataset="cifar10",
    allow_standin="only",
    n_train=60,
    n_test=30,
    model="vgg11_bn",
    model_options={"width": 1 / 16},
    configurations={"one": "32-64-128-128-256-256-256-256", "two": "16-128-256-256-512-512-512-64"},
    steps="16-32-64-128-256-256-256-512",
    scores={
        "HRel": {"samples": 30},
        "coarse": {"score": "spatial entropy", "levels": 8, "samples": 20},
        "magnitude": {},
        "random": {},
    },
    pruned_by=("HRel", "magnitude"),
    training={"optimiser": "sgd", "learning_rate": 0.05, "batch_size": 20, "epochs": 2},
    retraining={"epochs": 1, "learning_rate": 0.02},
    replicas=2,
)
RESNET = dataclasses.replace(
    VGG,
    model="resnet8",
    model_options={"width": 1 / 4},
    view="convolution",
    configurations={"pruned": "8-15-30"},
    steps="8-17-34",
    scores={"plug-in": {"samples": 20}, "random": {}},
    pruned_by=("plug-in",),
    training={**VGG.training, "augment": True},
)
MEASURED = ["latency", "scoring_seconds", "seconds"]


@pytest.fixture(scope="module")
def tables():
    return run(VGG, 3)


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, table in found.items():
        dropped = [column for column in MEASURED if column in table]
        assert table.drop(columns=dropped).equals(expected[name].drop(columns=dropped)), name


def test_networks_shrink_to_the_configurations(tables):
    networks = tables["networks"]
    keys = ["configuration", "score", "round"]
    assert networks.groupby(keys, sort=False).size().to_dict() == {
        ("unpruned", "unpruned", 0): 2,
        **{
            (configuration, score, number): 2
            for configuration, rounds in (("one", 2), ("two", 3))
            for score in ("HRel", "magnitude")
            for number in range(1, rounds + 1)
        },
    }
    last = networks.groupby(["configuration", "score", "seed"]).last()
    assert set(last.loc["unpruned", "filters"]) == {"4-8-16-16-32-32-32-32"}
    assert set(last.loc["one", "filters"]) == {"2-4-8-8-16-16-16-16"}
    assert set(last.loc["two", "filters"]) == {"1-8-16-16-32-32-32-4"}
    first = networks[networks["round"] == 1]
    assert set(first["filters"]) == {"3-6-12-8-16-16-16-16", "3-8-16-16-32-32-32-4"}
    costs = networks.groupby(["configuration", "round"])[["parameters", "macs"]].mean()
    assert (costs.loc["unpruned"].iloc[0] > costs.loc["one"]).all(axis=None)
    model = models.build("vgg11_bn", width=1 / 16)
    assert costs.loc[("unpruned", 0), "parameters"] == count_parameters(model)
    assert (networks["latency"] > 0).all()
    assert (networks[networks["round"] > 0]["scoring_seconds"] > 0).all()


def test_the_last_epoch_counts_and_the_best_is_at_least_as_good(tables):
    history, networks = tables["history"], tables["networks"]
    keys = ["configuration", "score", "round", "seed"]
    for row in networks.to_dict("records"):
        own = history.set_index(keys).loc[tuple(row[key] for key in keys)]
        curve = own.sort_values("epoch")["test_accuracy"].to_numpy()
        assert row["accuracy_before"] == curve[0]
        assert row["accuracy"] == curve[-1]
        assert row["best_test_epoch"] == curve[1:].max() >= row["accuracy"]
    assert set(history[history["round"] == 0]["epoch"]) == {0, 1, 2}
    assert set(history[history["round"] > 0]["epoch"]) == {0, 1}


def test_scores_of_the_trained_networks(tables):
    scores = tables["scores"]
    assert scores.groupby(["seed", "score"]).size().unique().tolist() == [4 + 8 + 32 + 128]
    assert set(scores["score"]) == set(VGG.scores)
    assert scores["layer_index"].max() == 7
    assert (scores.groupby("layer")["layer_index"].nunique() == 1).all()
    assert scores["value"].notna().all()
    timings = tables["timings"].set_index("score")
    assert timings["images"].groupby("score").first().to_dict() == {
        "HRel": 30,
        "coarse": 20,
        "magnitude": 60,
        "random": 60,
    }
    assert (timings["seconds"] > 0).all()


def test_the_trained_network_is_pruned_and_trained_on(monkeypatch):
    """Losses on the test images before and after the first removal, by hand."""
    config = dataclasses.replace(
        VGG,
        replicas=1,
        configurations={"one": "32-128-256-256-512-512-512-512"},
        scores={"magnitude": {}},
        pruned_by=("magnitude",),
    )
    fit, rates = filter_pruning.fit, []

    def spy(*arguments, **options):
        rates.append(options["learning_rate"])
        return fit(*arguments, **options)

    monkeypatch.setattr(filter_pruning, "fit", spy)
    losses = run(config, 3)["history"].set_index(["round", "epoch"])["test_loss"]
    assert rates == [0.05, 0.02, 0.02]
    dataset = load(config)
    X, Y = torch.from_numpy(dataset.X), torch.from_numpy(dataset.Y)
    X = X.to(memory_format=torch.channels_last)
    model = models.build("vgg11_bn", seed=derived_seed(3, "weights"), width=1 / 16)
    model = model.to(memory_format=torch.channels_last)
    order = derived_seed(3, "order of unpruned, round 0")
    fit([model], X, Y, rows=torch.arange(60)[None], seeds=[order], **VGG.training)

    @torch.no_grad()
    def loss(network):
        return functional.cross_entropy(network.eval()(X[60:]), Y[60:]).item()

    assert losses[0, 2] == pytest.approx(loss(model), rel=1e-4)
    smallest = model.features[0].weight.abs().sum((1, 2, 3)).argmin().item()
    pruned = remove_channels(model, X[:1], {"features.0": [smallest]})
    assert losses[1, 0] == pytest.approx(loss(pruned), rel=1e-3)


def test_images_for_the_scores_keep_their_labels():
    Y = np.arange(90) % 10
    X = np.ones((90, 3, 32, 32), np.float32) * Y[:, None, None, None].astype(np.float32)
    names = dict.fromkeys(("label", "source", "note", "fingerprint"), "")
    samples = Samples(X=X, Y=Y, classes=tuple("0123456789"), n_train=60, **names)
    images, labels = filter_pruning._Work(VGG, 0, samples, None, "").images({"samples": 30}, 0, "a")
    assert len(images) == 30
    assert torch.equal(images[:, 0, 0, 0].long(), labels)


def test_the_filters_with_the_lowest_scores_go(monkeypatch):
    """Scores that rise with the number of the filter: the first ones go, round after round."""

    def ascending(model, images, labels, layers, **options):
        return {layer: np.arange(model.get_submodule(layer).out_channels) for layer in layers}

    removed = []

    def remember(model, example, channels):
        removed.append(channels)
        return remove_channels(model, example, channels)

    monkeypatch.setattr(filter_pruning, "score_filters", ascending)
    monkeypatch.setattr(filter_pruning, "remove_channels", remember)
    config = dataclasses.replace(
        VGG,
        configurations={"one": "32-64-256-256-512-512-512-512"},
        pruned_by=("random",),
        replicas=1,
    )
    run(config, 0)
    first, _, second = removed  # the second one builds the network of the second round
    assert first == {"features.0": [0], "features.4": [0, 1]}
    assert second == {"features.0": [0], "features.4": [0, 1]}


def test_channels_of_a_residual_stage_go_together():
    found = run(RESNET, 0)
    networks = found["networks"]
    groups = shared_channels(models.build("resnet8", width=1 / 4), torch.zeros(1, 3, 32, 32))
    stages = [len(group) > 1 for group in groups]
    last = networks[networks["round"] == networks["round"].max()]
    counts = [int(number) for number in last["filters"].iloc[0].split("-")]
    assert len(counts) == len(stages)
    assert set(counts) == {2, 4, 8}
    again = run(RESNET, 0)
    same(found, again)


def test_every_score_starts_from_the_same_networks(tables):
    """The weights after training decide the first removal: magnitude can be done by hand."""
    config = dataclasses.replace(VGG, pruned_by=("magnitude",))
    found = run(config, 3)
    expected = tables["networks"]
    expected = expected[expected["score"] != "HRel"].reset_index(drop=True)
    columns = ["configuration", "score", "round", "seed", "filters", "accuracy"]
    assert found["networks"][columns].equals(expected[columns])
    losses, all_losses = (
        table.set_index([*columns[:4], "epoch"])["test_loss"]
        for table in (found["history"], tables["history"])
    )
    pd.testing.assert_series_equal(losses, all_losses[losses.index])


def test_a_run_repeats_itself_and_seeds_differ(tables):
    same(run(VGG, 3), tables)
    one, other = (part["value"].to_numpy() for _, part in tables["scores"].groupby("seed"))
    assert not np.allclose(one, other)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stage", [1, 3, 8])
def test_interrupted_between_stages_and_resumed(tables, tmp_path, monkeypatch, stage):
    path = tmp_path / "run.checkpoint"
    finish = filter_pruning._Work.finish

    def stop(self, number, networks):
        finish(self, number, networks)
        if number == stage:
            raise Interrupted

    monkeypatch.setattr(filter_pruning._Work, "finish", stop)
    with pytest.raises(Interrupted):
        run(VGG, 3, checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]
    monkeypatch.setattr(filter_pruning._Work, "finish", finish)
    same(run(VGG, 3, checkpoint=path), tables)


def test_interrupted_between_scores_and_resumed(tables, tmp_path, monkeypatch):
    """What has been scored, and the kernel widths, are not computed again."""
    path = tmp_path / "run.checkpoint"
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    score, calls = filter_pruning._Work.score, []

    def stop(self, *arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise Interrupted
        return score(self, *arguments)

    monkeypatch.setattr(filter_pruning._Work, "score", stop)
    with pytest.raises(Interrupted):
        run(VGG, 3, checkpoint=path)
    before = len(calls) - 1
    assert Checkpoint(path).load()["finished"] == 1
    monkeypatch.setattr(filter_pruning, "kernel_widths", None)
    same(run(VGG, 3, checkpoint=path), tables)
    purposes = [arguments[-1] for arguments in calls[before + 1 :]]
    assert purposes.count("first scores") == len(VGG.scores) * VGG.replicas - before


def test_interrupted_within_a_training_and_resumed(tables, tmp_path, monkeypatch):
    """The training under way has a file of its own, which goes when it is done."""
    path = tmp_path / "run.checkpoint"
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    fit = filter_pruning.fit
    calls = []

    def stop(networks, *arguments, callbacks, **options):
        calls.append(options["epochs"])

        class Stop(type(callbacks[0]).__base__):
            def on_epoch(self, epoch, replicas):
                if len(calls) == 2 and epoch == 1:
                    raise Interrupted

        return fit(networks, *arguments, callbacks=[*callbacks, Stop()], **options)

    monkeypatch.setattr(filter_pruning, "fit", stop)
    with pytest.raises(Interrupted):
        run(VGG, 3, checkpoint=path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "run.checkpoint",
        "run.checkpoint.1",
    ]
    same(run(VGG, 3, checkpoint=path), tables)
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def interrupted(config, path, monkeypatch, stage):
    """A run that ends after a number of its stages."""
    finish = filter_pruning._Work.finish

    def stop(self, number, networks):
        finish(self, number, networks)
        if number == stage:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(filter_pruning._Work, "finish", stop)
        with pytest.raises(Interrupted):
            run(config, 3, checkpoint=path)


@pytest.mark.parametrize("stage", [1, 7])
def test_configurations_in_another_order_go_on_in_the_first(tables, tmp_path, monkeypatch, stage):
    """In the middle of a configuration, and between rounds of the other one."""
    path = tmp_path / "run.checkpoint"
    interrupted(VGG, path, monkeypatch, stage)
    turned = dict(reversed(VGG.configurations.items()))
    same(run(dataclasses.replace(VGG, configurations=turned), 3, checkpoint=path), tables)


def test_a_checkpoint_of_other_stages_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "run.checkpoint"
    interrupted(VGG, path, monkeypatch, 0)
    other = dataclasses.replace(VGG, pruned_by=("HRel",))
    words = "run.checkpoint was saved by .* other stages: round 1 of 'one' by 'magnitude' is in one"
    with pytest.raises(ValueError, match=words):
        run(other, 3, checkpoint=path)
    assert path.exists()


def test_what_happens_once_is_not_timed(monkeypatch):
    """When the first score begins, all that numba compiles for the scores has been called."""
    calls, solve = [], _eigenvalues.eigenvalues

    def eigenvalues(*arguments):
        calls.append(arguments)
        return solve(*arguments)

    def stop(self, *arguments):
        raise Interrupted

    monkeypatch.setattr(_eigenvalues, "eigenvalues", eigenvalues)
    monkeypatch.setattr(filter_pruning, "kernel_widths", lambda *arguments, **options: {})
    monkeypatch.setattr(filter_pruning._Work, "score", stop)
    with pytest.raises(Interrupted):
        run(dataclasses.replace(VGG, replicas=1), 3)
    assert calls


def test_through_the_run_store(tables):
    found = sweep.run(filter_pruning, {"VGG11": VGG}, seed=3)
    stored = found.table("networks").drop(columns="run")
    np.testing.assert_allclose(stored["accuracy"], tables["networks"]["accuracy"])
    assert found.is_standin
    leftovers = results.runs_folder() / "filter_pruning"
    assert not list(leftovers.glob("*.checkpoint*"))


def test_load_and_device():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        samples = load(VGG)
    assert samples.n_train == 60
    assert len(samples.X) == 90
    assert device_name(VGG) == "CPU"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pruned_by": ("HRel", "L2")}, "pruned_by names 'L2', which is not in scores: HRel, "),
        ({"replicas": 0}, "replicas must be positive, got 0"),
    ],
)
def test_refused_configurations(changes, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(VGG, **changes)


@pytest.mark.parametrize(
    ("config", "counts", "words"),
    [
        (VGG, "1-2-3", "8 groups of layers"),
        (
            VGG,
            "32-64-128-512-256-256-256-256",
            "32 filters of layer 'features.11' are to stay, but it has 16",
        ),
        (RESNET, "8-15-80", "20 filters of layer 'layer3.0.conv1' are to stay, but it has 16"),
    ],
)
def test_counts_that_do_not_fit_are_refused_before_any_training(monkeypatch, config, counts, words):
    monkeypatch.setattr(filter_pruning, "fit", None)
    with pytest.raises(ValueError, match=words):
        run(dataclasses.replace(config, configurations={"other": counts}), 0)


def test_as_many_filters_as_there_are_take_no_round(monkeypatch):
    counts = "64-128-256-256-512-512-512-512"
    config = dataclasses.replace(VGG, configurations={"whole": counts}, replicas=1)
    assert set(run(config, 0)["networks"]["configuration"]) == {"unpruned"}


def test_refused_scores():
    with pytest.raises(ValueError, match="score must be one of"):
        run(dataclasses.replace(VGG, scores={"L2": {}}, pruned_by=("L2",)), 0)
