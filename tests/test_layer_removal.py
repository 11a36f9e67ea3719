"""Removing convolutions: exact counts, kept weights, the choice by hand, and the whole loop."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ibcore import models, results
from ibcore.experiments import layer_removal
from ibcore.experiments.layer_removal import (
    Config,
    device_name,
    document_networks,
    load,
    run,
)
from ibcore.models.vgg import VGG
from ibcore.pruning.layer_removal import (
    DOCUMENT,
    choose,
    configuration_of,
    steps_of_convolutions,
    without,
    without_convolution,
)
from ibcore.seeds import derived_seed
from ibcore.training import Callback, Checkpoint

AFTER_4 = (64, 64, "M", 128, 128, "M", 256, "M", 512, "M", 512, 512, 512, "M")
AFTER_8 = (64, 64, "M", 128, "M", 256, "M", 512, "M", "M")


def small(configuration=(4, 4, "M", 6, 8, "M"), seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return VGG(configuration=configuration, num_classes=3, generator=generator, **options)


# ---------------------------------------------------------------- the document's networks


def test_the_documents_networks_have_its_numbers_of_parameters():
    found = document_networks().set_index("network")
    published = pd.read_csv(results.published_folder() / "layer_removal.csv").set_index("network")
    for name, expected in published["parameters"].items():
        assert found["parameters"][name] == expected
    assert sorted(published["parameters"]) == [2_118_346, 9_345_354, 9_750_922, 15_245_130]
    for removed, expected in ((4, AFTER_4), (8, AFTER_8)):
        text = found["configuration"][f"VGG16 after {removed} layers removed"]
        assert text == " ".join(map(str, expected))
    assert found["configuration"].iloc[-1] == "64 M 128 M 256 M 512 M M"


def test_the_documents_removals_keep_all_other_weights():
    model = models.build("vgg16", width=1 / 64)
    for number in DOCUMENT:
        model, anew = without_convolution(model, number, seed=0)
        assert anew == []


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19", "vgg16_bn"])
def test_configurations_are_read_back(name):
    expected = models.vgg.CONFIGURATIONS[name.removesuffix("_bn")]
    narrow = tuple(entry if entry == "M" else entry // 64 for entry in expected)
    assert configuration_of(models.build(name, width=1 / 64)) == narrow


# ---------------------------------------------------------------- surgery


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("number", "configuration", "anew"),
    [
        (0, (4, "M", 6, 8, "M"), 0),
        (1, (4, "M", 6, 8, "M"), None),
        (2, (4, 4, "M", 8, "M"), 2),
        (3, (4, 4, "M", 6, "M"), "classifier.0"),
    ],
)
def test_only_the_neighbour_is_made_anew(number, configuration, anew, batch_norm):
    model = small(hidden=(7,), batch_norm=batch_norm)
    if batch_norm:
        model.features[1].running_mean.fill_(3.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    smaller, made = without_convolution(model, number, seed=5)
    assert configuration_of(smaller) == configuration
    convs = [name for name, layer in smaller.named_modules() if isinstance(layer, nn.Conv2d)]
    assert made == ([] if anew is None else [convs[anew] if isinstance(anew, int) else anew])
    again, _ = without_convolution(model, number, seed=5)
    for name, value in smaller.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])

    def weights(network):
        return [
            layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
        ]

    kept = weights(model)
    del kept[number]
    fresh = len(kept) - 2 if anew == "classifier.0" else anew
    for place, (new, old) in enumerate(zip(weights(smaller), kept, strict=True)):
        if place == fresh:
            assert new.shape != old.shape
            assert new.abs().sum() > 0
        else:
            assert torch.equal(new, old)
    if batch_norm and number > 0:
        assert torch.equal(smaller.features[1].running_mean, torch.full((4,), 3.0))


def test_removing_an_identity_changes_nothing():
    """A convolution that hands positive maps through can go without any effect."""
    model = small()
    nn.init.dirac_(model.features[2].weight)
    images = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    smaller, _ = without_convolution(model, 1, seed=0)
    torch.testing.assert_close(smaller(images), model(images))


def test_a_layer_that_is_not_there_cannot_be_removed():
    with pytest.raises(ValueError, match="no convolution 4 among 4"):
        without_convolution(small(), 4, seed=0)
    with pytest.raises(ValueError, match="no convolution -1 among 4"):
        without(configuration_of(small()), -1)
    with pytest.raises(ValueError, match="the only convolution of a network cannot be removed"):
        without((8, "M"), 0)


# ---------------------------------------------------------------- the choice


@pytest.mark.parametrize("batch_norm", [False, True])
def test_steps_are_between_what_feeds_a_convolution_and_its_relu(batch_norm):
    model = small(batch_norm=batch_norm)
    modules = dict(model.named_modules())
    steps = steps_of_convolutions(model)
    assert sorted(steps) == [1, 2, 3]
    before = [type(modules[before]) for before, _ in steps.values()]
    assert before == [nn.ReLU, nn.MaxPool2d, nn.ReLU]
    assert all(isinstance(modules[after], nn.ReLU) for _, after in steps.values())
    if not batch_norm:
        assert steps[2] == ("features.4", "features.6")


CONFIGURATION = (4, 4, "M", 4, 4, "M", 4, "M", 4, "M")


@pytest.mark.parametrize(
    ("steps", "middle", "early"),
    [
        ({1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}, 4, 1),
        ({1: 1.0, 2: 1.0, 3: 1.0, 4: -1.0, 5: 0.0}, 5, 1),
        ({1: -1.0, 2: -1.0, 3: 0.0, 4: -1.0, 5: -1.0}, 3, 3),
        ({1: -1.0, 2: float("nan"), 3: 0.0, 4: -1.0, 5: -1.0}, 2, 2),
    ],
)
def test_the_choice_among_several_that_do_not_fall(steps, middle, early):
    assert choose(steps, CONFIGURATION, order="middle first") == (middle, True)
    assert choose(steps, CONFIGURATION, order="early first") == (early, True)


@pytest.mark.parametrize("order", ["middle first", "early first"])
def test_where_all_fall_the_smallest_fall_is_taken(order):
    steps = {1: -0.3, 2: -0.2, 3: -0.1, 4: -0.4, 5: -0.5}
    assert choose(steps, CONFIGURATION, order=order) == (3, False)


def test_choose_refuses():
    with pytest.raises(ValueError, match="order must be middle first or early first, got 'late'"):
        choose({1: 0.0}, CONFIGURATION, order="late")
    with pytest.raises(ValueError, match="no convolution to choose from"):
        choose({}, CONFIGURATION, order="early first")


# ---------------------------------------------------------------- the whole loop

CONFIG = Config(
    dataset="cifar10",
    allow_standin="only",
    n_train=40,
    n_test=20,
    model="vgg16",
    model_options={"width": 1 / 64},
    epochs=1,
    retrain=1,
    removals=3,
    batch_size=10,
    images=8,
    first=2,
    replicas=2,
)


@pytest.fixture(scope="module")
def stages():
    return run(CONFIG, 1)["stages"]


def test_every_way_removes_one_layer_at_a_time(stages):
    assert sorted(stages["seed"].unique()) == [3, 4]
    for (_, way), part in stages.groupby(["seed", "way"]):
        counts = [
            len([entry for entry in text.split() if entry != "M"]) for text in part["configuration"]
        ]
        if way == "vgg11":
            assert (part["removed"].tolist(), counts) == ([0], [8])
        elif way == "nothing removed":
            assert counts == [13] * 4
        else:
            assert counts == [13, 12, 11, 10]
            assert part["convolution"].isna().tolist() == [True, False, False, False]
        assert part["parameters"].is_monotonic_decreasing
        assert part["multiplications"].is_monotonic_decreasing
    assert (stages["microseconds"] > 0).all()
    assert stages["accuracy"].between(0, 1).all()


def test_what_is_trained_and_what_is_tested(monkeypatch):
    """The control goes on training as long as the others; accuracies are of the test images."""
    fit, trained = layer_removal.fit, []

    def spy(networks, X, Y, **options):
        trained.append((len(networks), len(X), options["epochs"]))
        return fit(networks, X, Y, **options)

    monkeypatch.setattr(layer_removal, "fit", spy)
    monkeypatch.setattr(layer_removal, "accuracy", lambda network, X, Y: len(X))
    config = dataclasses.replace(CONFIG, removals=1, replicas=1, retrain=2)
    stages = run(config, 1)["stages"]
    assert trained == [(2, 40, 1), (len(config.ways), 40, 2)]
    assert set(stages["accuracy"]) == {20}
    known = stages.dropna(subset="step")
    assert len(known) > 0
    assert (known["falls_not"].astype(bool) == (known["step"] >= 0)).all()


def test_a_step_is_the_entropy_after_a_convolution_minus_that_before(monkeypatch):
    """Entropies that rise by 1 from layer to layer, of images drawn by lot."""
    seen = []

    def entropies(network, images, layers):
        seen.append(images)
        return {layer: torch.tensor([float(i)]) for i, layer in enumerate(layers)}

    monkeypatch.setattr(layer_removal, "layer_entropies", entropies)
    dataset = load(CONFIG)
    work = layer_removal._Removal(CONFIG, 3, dataset, None)
    assert set(work.steps(models.build("vgg11", width=1 / 64), 1).values()) == {1.0}
    order = np.random.default_rng(derived_seed(3, "probe 1")).permutation(40)[:8]
    assert torch.equal(seen[0], torch.from_numpy(dataset.X[order]))


def test_all_ways_start_from_the_network_that_was_trained(monkeypatch):
    fit, given = layer_removal.fit, []

    def spy(networks, *arguments, **options):
        given.extend(networks)
        return fit(networks, *arguments, **options)

    monkeypatch.setattr(layer_removal, "fit", spy)
    work = layer_removal._Removal(CONFIG, 3, load(CONFIG), None)
    work.start("training")
    trained, smaller = given
    assert len(configuration_of(trained)) > len(configuration_of(smaller))
    assert list(work.networks) == list(CONFIG.ways)
    for network in work.networks.values():
        assert network is not trained
        for name, value in network.state_dict().items():
            assert torch.equal(value, trained.state_dict()[name])


def test_the_documents_choice_makes_nothing_anew(stages):
    documents = stages[(stages["way"] == "document") & (stages["removed"] > 0)]
    assert documents["convolution"].tolist() == list(DOCUMENT[:3]) * 2
    assert (documents["anew"] == "").all()


NUMBERS = ["seed", "way", "removed", "convolution", "step", "configuration", "accuracy"]


@pytest.mark.parametrize("stop", [1, 4])
def test_interrupted_and_resumed_with_the_same_numbers(stages, tmp_path, monkeypatch, stop):
    path, calls = tmp_path / "checkpoint", iter(range(100))
    remove = layer_removal._Removal.remove

    def interrupted(self, *args):
        if next(calls) == stop:
            raise KeyboardInterrupt
        remove(self, *args)

    monkeypatch.setattr(layer_removal._Removal, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(CONFIG, 1, checkpoint=path)
    monkeypatch.setattr(layer_removal._Removal, "remove", remove)
    again = run(CONFIG, 1, checkpoint=path)["stages"]
    assert again[NUMBERS].equals(stages[NUMBERS])


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stage", [0, 2])
def test_interrupted_within_a_training_and_resumed(tmp_path, monkeypatch, stage):
    """The training under way has a file of its own, which goes when it is done."""
    config = dataclasses.replace(CONFIG, epochs=2, retrain=2, removals=2, replicas=1)
    expected = run(config, 1)["stages"]
    path = tmp_path / "run.checkpoint"
    monkeypatch.setattr(Checkpoint, "due", lambda self: True)
    fit, begun = layer_removal.fit, []

    def stop(*arguments, **options):
        begun.append(options["checkpoint"].path.name)

        class Stop(Callback):
            def on_epoch(self, epoch, replicas):
                if len(begun) == stage + 1 and epoch == 2:
                    raise Interrupted

        return fit(*arguments, callbacks=[Stop()], **options)

    monkeypatch.setattr(layer_removal, "fit", stop)
    with pytest.raises(Interrupted):
        run(config, 1, checkpoint=path)
    assert begun == [f"run.checkpoint.3-{number}" for number in range(stage + 1)]
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {begun[-1], *["run.checkpoint"] * bool(stage)}
    begun.append("no stop is due any more")
    found = run(config, 1, checkpoint=path)["stages"]
    assert found[NUMBERS].equals(expected[NUMBERS])
    assert [file.name for file in tmp_path.iterdir()] == ["run.checkpoint"]


def test_where_it_runs_and_on_what():
    assert device_name(CONFIG) == "CPU"
    assert load(CONFIG).n_train == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"replicas": 0}, "replicas must be positive, got 0"),
        ({"removals": 0}, "removals must be positive, got 0"),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"ways": ("late first",)}, "ways are document, middle first, early first, random, "),
        ({"ways": ()}, "ways are document, "),
        ({"removals": 10}, "the document removes 9 layers of vgg16, not 10 of vgg16"),
        ({"model": "vgg19"}, "the document removes 9 layers of vgg16, not 3 of vgg19"),
    ],
)
def test_a_config_refuses(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        dataclasses.replace(CONFIG, **change)
