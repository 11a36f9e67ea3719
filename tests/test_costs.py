"""What a profile takes: trainings are counted, steps timed, runs shared out."""

import dataclasses
import re
import types
from pathlib import Path

import pytest
import torch

from ibcore import costs, profiles, reproduce
from ibcore.__main__ import main
from ibcore.costs import Training, makespan, trainings
from ibcore.experiments import (
    amc,
    entropy_by_depth,
    filter_pruning,
    information_plane,
    known_truth,
    layer_freezing,
    layer_removal,
    saliency_evolution,
)

CHECKOUT = Path(__file__).resolve().parents[1]
STANDIN = {"dataset": "cifar10", "allow_standin": "only", "n_train": 24, "n_test": 12}
SMALL_VGG = {"model": "vgg11", "model_options": {"width": 1 / 32}}
CONFIGS = {
    information_plane: {
        "dataset": "szt",
        "allow_standin": "only",
        "n_train": 200,
        "train_fraction": 0.6,
        "model": "mlp",
        "model_options": {"n_inputs": 12, "hidden": (3,)},
        "epochs": 3,
        "replicas": 2,
        "l2": (0.0, 0.1, 0.2),
        "learning_rate": 0.01,
        "estimators": ({"estimator": "binning", "bin_width": 0.5},),
    },
    entropy_by_depth: {
        "network": "lenet",
        "dataset": "cifar10",
        "split": "test",
        "train_splits": ("train",),
        "allow_standin": "only",
        "n_train": 20,
        "epochs": 2,
        "images": 2,
        "replicas": 2,
    },
    saliency_evolution: {**STANDIN, **SMALL_VGG, "epochs": 2, "replicas": 2, "images": 4},
    layer_freezing: {
        **STANDIN,
        **SMALL_VGG,
        "epochs": 2,
        "replicas": 2,
        "rules": {"normal": {"choose": "never", "images": 4}, "entropy": {"images": 4}},
        "checks": (1,),
    },
    layer_removal: {
        **STANDIN,
        "model": "vgg16",
        "model_options": {"width": 1 / 64},
        "epochs": 3,
        "retrain": 2,
        "removals": 2,
        "images": 4,
        "replicas": 2,
    },
    amc: {
        **STANDIN,
        "network": "VGG",
        "model": "vgg11_bn",
        "model_options": {"width": 1 / 32},
        "n_validation": 6,
        "epochs": 2,
        "fine_tuning_epochs": 1,
        "episodes": 3,
        "agent": {"warmup": 1},
        "macs_kept": (0.6, 0.5),
        "lowest": 0.1,
        "round_to": 1,
        "calibration_images": 6,
        "entropy_images": 2,
        "latency_repeats": 1,
        "replicas": 2,
    },
    filter_pruning: {
        **STANDIN,
        "model": "vgg11_bn",
        "model_options": {"width": 1 / 16},
        "configurations": {"one": "48-96-192-192-384-384-384-384", "two": "32" + "-96" * 7},
        "steps": "16-32-64-64-64-64-64-64",
        "scores": {"magnitude": {}, "random": {}},
        "pruned_by": ("magnitude", "random"),
        "training": {"optimiser": "sgd", "learning_rate": 0.01, "epochs": 2, "batch_size": 12},
        "retraining": {"epochs": 1},
        "replicas": 2,
    },
}


@pytest.fixture
def steps(monkeypatch):
    """Every step takes a thousandth of a second for an image; what is timed is kept."""
    timed = []

    def step(training, inputs, *, precision):
        timed.append((training.model, tuple(inputs.shape), precision))
        return 0.001

    monkeypatch.setattr(costs, "seconds_per_image", step)
    return timed


@pytest.mark.parametrize("module", CONFIGS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_trainings_are_those_that_a_run_does(monkeypatch, module):
    """Every call of ``fit`` is counted: networks times rows times epochs."""
    config, passes = module.Config(**CONFIGS[module]), []
    fit = module.fit

    def counted(networks, inputs, labels, *, epochs, rows=None, **options):
        images = len(inputs) if rows is None else rows.shape[1]
        passes.append(len(networks) * images * epochs)
        return fit(networks, inputs, labels, epochs=epochs, rows=rows, **options)

    monkeypatch.setattr(module, "fit", counted)
    module.run(config, 0)
    assert sum(part.passes for part in trainings(config)) == sum(passes) > 0


def test_without_training_nothing_is_counted():
    config = known_truth.Config(sizes=(10,), dimensions=(1,), repeats=1, renyi_limit=10)
    assert trainings(config) == []
    random = {**CONFIGS[entropy_by_depth], "epochs": 0, "train_splits": ()}
    assert trainings(entropy_by_depth.Config(**random)) == []


def test_whole_data_sets_have_their_sizes():
    config = saliency_evolution.Config(dataset="cifar10", model="vgg11", epochs=3)
    assert [part.passes for part in trainings(config)] == [150_000]
    with pytest.raises(ValueError, match="the size of 'mnist' is not known; known: caltech101, "):
        trainings(dataclasses.replace(config, dataset="mnist"))
    with pytest.raises(TypeError, match="no configuration of an experiment: 'vgg11'"):
        trainings("vgg11")


def test_the_page_counts_what_the_paper_profile_trains(steps):
    """Its times depend on the machine; its numbers of runs and images do not."""
    rows, _ = costs.table("paper", device="cpu")
    page = (CHECKOUT / "book" / "costs.md").read_text()
    found = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("|")][2:]
    expected = rows[["notebook", "runs", "images"]].astype(str).values.tolist()
    assert [[cell.strip() for cell in row] for row in found] == expected


# ---------------------------------------------------------------- time


def clock(monkeypatch, seconds):
    """Every look at the clock is some seconds later."""
    now = iter(range(10**6))
    monkeypatch.setattr(costs.time, "perf_counter", lambda: seconds * next(now))


@pytest.mark.parametrize(("model", "networks"), [("mlp", 3), ("cnn", 1)])
def test_seconds_are_shared_by_the_images_of_all_networks(monkeypatch, model, networks):
    """Stacked networks take a step together; of others one is timed."""
    options = {"n_inputs": 4, "hidden": (3,)} if model == "mlp" else {"widths": (2,)}
    inputs = torch.rand(5, 4) if model == "mlp" else torch.rand(5, 1, 28, 28)
    training = Training(model, options, networks=3, images=9, epochs=2, batch_size=5)
    assert training.passes == 54
    clock(monkeypatch, 0.3)
    found = costs.seconds_per_image(training, inputs)
    # Looks at 0, 0.3 (a step), 0.6 (over): one step in 0.6 seconds.
    assert found == pytest.approx(0.6 / (5 * networks))


def test_a_slow_step_is_timed_once(monkeypatch):
    clock(monkeypatch, 10.0)
    training = Training("mlp", {"n_inputs": 4, "hidden": ()}, 1, 9, 2, 5)
    assert costs.seconds_per_image(training, torch.rand(5, 4)) == pytest.approx(20.0 / 5)


@pytest.mark.parametrize(
    ("seconds", "workers", "expected"),
    [
        ([], 3, 0.0),
        ([5.0], 64, 5.0),
        ([1.0, 2.0, 3.0], 1, 6.0),
        ([1.0, 2.0, 3.0], 2, 3.0),
        ([3.0, 3.0, 2.0, 2.0, 2.0], 2, 7.0),  # the best is 6: longest first is no optimum
    ],
)
def test_makespan(seconds, workers, expected):
    assert makespan(seconds, workers) == expected
    assert makespan(seconds[::-1], workers) == expected


def test_makespan_needs_a_worker():
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        makespan([1.0], 0)


# ---------------------------------------------------------------- the table


def test_the_table_adds_up(steps):
    rows, device = costs.table("smoke", ["11", "12"], workers=(1, 2))
    assert device == "CPU"
    assert rows["notebook"].tolist() == [
        "11_entropy_evolution",
        "12_superization_continuation",
        "all",
    ]
    assert rows["runs"].tolist() == [4, 1, 4]  # the run of 12 is one of 11
    assert rows["images"][0] == rows["images"][2]
    images = int(rows["images"][0].replace(",", ""))
    assert rows["on 1"][0] == costs._amount(images / 1000)
    assert len(steps) == len(set(steps)) == 4


def test_pictures_are_cut_and_steps_are_timed_once(steps):
    rows, _ = costs.table("smoke", ["09"])
    assert len(rows) == 1
    section = profiles.configs("smoke", "09_entropy_by_depth", entropy_by_depth.Config)
    trained = {config.network: config for config in section.values() if config.epochs}
    assert {model for model, _, _ in steps} == set(trained)
    for model, shape, _ in steps:
        side = trained[model].crop
        assert side is None or shape[2:] == (side, side)


def test_nothing_is_trained_and_nothing_timed(steps):
    rows, device = costs.table("smoke", ["00"])
    assert device == "nothing"
    assert rows.iloc[0].tolist() == ["00_estimators", 1, "0", "-", "-", "-", "-"]
    assert not steps


def test_bfloat16_is_timed_where_a_gpu_would_use_it(monkeypatch, steps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: self)
    _, device = costs.table("paper", ["13", "16"], device="cuda")
    assert device == "a GPU and a GPU, bfloat16"
    assert {precision for model, _, precision in steps if model == "vgg16"} == {"float32"}
    assert {precision for model, _, precision in steps if model == "resnet56"} == {"bfloat16"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"notebooks": ["01", "99"]}, "no notebook begins with '99'; notebooks: 00_estimators, "),
        ({"workers": (1, 0)}, "workers must be at least 1, got 1, 0"),
        ({"workers": ()}, "workers must be at least 1, got "),
        ({"device": "tpu"}, "device must be cpu, cuda or auto, got 'tpu'"),
        ({"profile": "huge"}, "unknown profile 'huge'"),
    ],
)
def test_refused(given, words):
    with pytest.raises(ValueError, match=words):
        costs.table(**{"profile": "smoke", **given})


def test_a_gpu_that_is_not_there_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["cost", "01", "--profile", "smoke", "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "error: device is 'cuda', but torch finds no CUDA GPU here\n"


def test_sizes_are_those_that_the_page_on_data_tells():
    """Small data sets are told part by part, and of the sightings about how many can be used."""
    told = {}
    for line in (CHECKOUT / "data" / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6:
            numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", cells[4])]
            told |= dict.fromkeys(re.findall(r"`(\w+)`", cells[1]), numbers)
    sizes = {name: told[name][0] for name in costs.IMAGES}
    sizes |= {"caltech101": sum(told["caltech101"]), "fma": told["fma"][0] * 8 // 10}
    assert sizes == costs.IMAGES


def test_a_notebook_without_runs(monkeypatch, tmp_path):
    (tmp_path / "20_talk.py").write_text("print(1)\n")
    monkeypatch.setattr(reproduce, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="20_talk asks for no run of an experiment"):
        costs.table("smoke")


def test_the_command(steps, capsys):
    assert main(["cost", "02", "--profile", "smoke", "--workers", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("One step of every kind of training in the smoke profile was timed on ")
    assert f"1 thread of {costs.processor()}" in said.replace("\n", " ")
    assert said.splitlines()[-1].startswith("| 02_cnn_width ")
    assert "| on 3 " in said


@pytest.mark.parametrize(
    ("listed", "name"),
    [("processor: 0\nmodel name\t: A B 7\n", "A B 7"), ("", "a processor with ")],
)
def test_processor(monkeypatch, listed, name):
    path = types.SimpleNamespace(exists=lambda: True, read_text=lambda: listed)
    monkeypatch.setattr(costs, "Path", lambda _: path)
    assert costs.processor().startswith(name)
