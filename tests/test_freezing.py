"""Freezing: the rule by hand, what freezing takes away, followers, and interrupted trainings."""

import itertools
import math
import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ibcore import freezing, models
from ibcore.estimators import aura_matrix_entropy
from ibcore.freezing import (
    LayerFreezing,
    Rule,
    convolutions,
    first_calm_epoch,
    freeze,
    layer_entropies,
)
from ibcore.gradcam import grad_cam, quantise
from ibcore.training import Callback, Checkpoint, Replicas, fit

SMALL = (4, "M", 8, 8, "M")
LAYERS = ["features.0", "features.3", "features.5"]


def network(seed=0, batch_norm=False):
    generator = torch.Generator().manual_seed(seed)
    return models.VGG(
        configuration=SMALL, num_classes=3, generator=generator, hidden=(), batch_norm=batch_norm
    )


def samples(n=24, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    images = torch.randn(n, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
    return images, labels


# ---------------------------------------------------------------- the rule


SERIES = [0.9, 0.1, 0.30, 0.32, 0.34, 0.5]


@pytest.mark.parametrize(
    ("statistic", "value"), [("variance", 0.02**2 * 2 / 3), ("std", 0.02 * (2 / 3) ** 0.5),
                             ("range", 0.04)],
)  # fmt: skip
def test_the_statistics_by_hand(statistic, value):
    rule = Rule(statistic=statistic, window=3, warm_up=3, epsilon=value * 1.01)
    assert rule.spread(SERIES[:5]) == pytest.approx(value)
    assert first_calm_epoch(SERIES, rule) == 4
    tighter = Rule(statistic=statistic, window=3, warm_up=3, epsilon=value * 0.99)
    assert first_calm_epoch(SERIES, tighter) is None


def test_nothing_freezes_in_the_warm_up_or_without_a_value():
    rule = partial(Rule, window=2, epsilon=0.01)
    assert first_calm_epoch([0.5] * 6, rule(warm_up=2)) == 2
    assert first_calm_epoch([0.5] * 6, rule(warm_up=4)) == 4
    assert first_calm_epoch([0.5] * 4, rule(warm_up=4)) is None
    assert first_calm_epoch([0.5, 0.5, math.nan, 0.5, 0.5], rule(warm_up=2)) == 4
    assert first_calm_epoch([], rule(warm_up=2)) is None


def test_calm_is_less_than_epsilon():
    half = Rule(statistic="range", epsilon=0.5, window=2, warm_up=2)
    assert first_calm_epoch([0.0, 0.0, 0.5, 1.0], half) is None
    assert first_calm_epoch([0.0, 0.0, 0.5, 0.5 + 2**-20], half) == 3


def test_a_larger_epsilon_never_freezes_later():
    rng = np.random.default_rng(0)
    for _ in range(50):
        series = rng.normal(0.5, 0.01, 20)
        epochs = [
            first_calm_epoch(series, Rule(epsilon=epsilon)) for epsilon in (1e-5, 5e-5, 2e-4, 1)
        ]
        epochs = [math.inf if epoch is None else epoch for epoch in epochs]
        assert epochs == sorted(epochs, reverse=True)
        assert epochs[-1] == 5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"choose": "late"}, "choose must be never, entropy, random, front, got 'late'"),
        ({"statistic": "mean"}, "statistic must be variance, std, range, got 'mean'"),
        ({"probe": "new"}, "probe must be resample, fixed, got 'new'"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
        ({"epsilon": math.nan}, "epsilon must be positive, got nan"),
        ({"window": 1}, "window must be at least 2 epochs, got 1"),
        ({"warm_up": 4}, "warm_up must not be shorter than the window of 5 epochs, got 4"),
        ({"images": 0}, "images must be positive, got 0"),
    ],
)
def test_a_rule_refuses(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Rule(**fields)


# ---------------------------------------------------------------- entropies


def test_entropies_are_those_of_one_layer_after_the_other():
    model, (images, _) = network(), samples()
    found = layer_entropies(model, images, LAYERS)
    assert list(found) == LAYERS
    for layer in LAYERS:
        map_ = grad_cam(model, images, [layer])[layer]
        expected = aura_matrix_entropy(quantise(map_, size=(8, 8)))
        flat = map_.flatten(1)
        constant = flat.amax(1) == flat.amin(1)
        assert torch.equal(found[layer].isnan(), constant)
        assert torch.equal(found[layer][~constant], expected[~constant])


def test_a_layer_without_maps_has_no_entropy():
    model, (images, _) = network(), samples()
    nn.init.zeros_(model.features[0].weight)
    assert layer_entropies(model, images, ["features.0"])["features.0"].isnan().all()


# ---------------------------------------------------------------- what freezing takes away


def graph_modules(model, images):
    """Convolution gradients in the graph of the loss: one node for each convolution in it."""
    pending, seen = [model(images).sum().grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        pending += [following for following, _ in node.next_functions]
    return sum(node.name() == "ConvolutionBackward0" for node in seen)


def test_no_graph_below_the_lowest_trained_layer():
    images, _ = samples()
    model = network()
    assert graph_modules(model, images) == 3
    freeze(model, "features.3")
    assert graph_modules(model, images) == 3
    freeze(model, "features.0")
    assert graph_modules(model, images) == 1
    freeze(model, "features.5")
    assert graph_modules(model, images) == 0


def test_a_frozen_layer_has_no_gradient_and_the_others_the_same():
    images, labels = samples()
    plain, frozen = network(), network()
    functional.cross_entropy(frozen(images), labels).backward()
    freeze(frozen, "features.3")
    assert frozen.features[3].weight.grad is None
    frozen.zero_grad()
    for model in (plain, frozen):
        functional.cross_entropy(model(images), labels).backward()
    for (name, one), other in zip(plain.named_parameters(), frozen.parameters(), strict=True):
        if name.startswith("features.3."):
            assert other.grad is None
            assert not other.requires_grad
        else:
            assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_batch_normalisation_after_a_frozen_layer(batch_norm):
    images, _ = samples()
    model = network(batch_norm=True)
    freeze(model, "features.0", batch_norm=batch_norm)
    own, other = model.features[1], model.features[5]
    assert not own.weight.requires_grad
    assert other.weight.requires_grad
    before = own.running_mean.clone(), other.running_mean.clone()
    model.train()
    model(images)
    assert torch.equal(own.running_mean, before[0]) == batch_norm
    assert not torch.equal(other.running_mean, before[1])


def test_the_normalisation_of_other_channels_is_not_frozen():
    """In a dense block the next normalisation sees more than the convolution before it."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(5), nn.Conv2d(5, 5, 1))
    freeze(model, "0")
    assert not model[0].weight.requires_grad
    assert model[1].weight.requires_grad
    assert not model[1]._forward_pre_hooks


def test_freeze_refuses_a_layer_that_is_not_there():
    words = "unknown layer 'features'; layers of the model: features.0, features.1"
    with pytest.raises(ValueError, match=words):
        freeze(network(), "features")


# ---------------------------------------------------------------- in the training loop

RULES = {
    "front": Rule(choose="front", images=4),
    "normal": Rule(choose="never", images=4),
    "entropy": Rule(epsilon=3e-4, window=2, warm_up=2, images=4),
    "random": Rule(choose="random", images=4),
}
SEEDS = (3, 8)
EPOCHS = 6


class Weights(Callback):
    """The weights after every epoch, and the tensors in the optimiser's checkpoint."""

    def __init__(self):
        self.epochs = []

    def on_epoch(self, epoch, replicas):
        networks = [replicas.network(i) for i in range(len(replicas))]
        self.epochs.append([{**network.state_dict()} for network in networks])
        for state in self.epochs[-1]:
            for name in state:
                state[name] = state[name].clone()


def train(*, rules=RULES, callbacks=(), path=None, batch_norm=False, **options):
    images, labels = samples()
    freezing = LayerFreezing(images, rows=torch.arange(20), rules=rules, seeds=SEEDS)
    replicas = fit(
        [network(seed, batch_norm) for seed, _ in freezing.members],
        images,
        labels,
        rows=torch.arange(20).expand(len(freezing.members), -1),
        seeds=[seed for seed, _ in freezing.members],
        epochs=EPOCHS,
        batch_size=7,
        optimiser="sgd",
        learning_rate=0.02,
        momentum=0.9,
        callbacks=[freezing, *callbacks],
        checkpoint=Checkpoint(path, every_seconds=0) if path else None,
        **options,
    )
    return replicas, freezing


def of(rows, seed, method):
    return [row for row in rows if row["seed"] == seed and row["method"] == method]


@pytest.fixture(scope="module")
def trained():
    weights = Weights()
    return *train(callbacks=[weights]), weights


def test_something_freezes_here_and_not_everything(trained):
    _, freezing, _ = trained
    counts = [len(of(freezing.frozen, seed, "entropy")) for seed in SEEDS]
    assert 0 < sum(counts) < len(LAYERS) * len(SEEDS)


def test_frozen_weights_stand_still_and_others_move(trained):
    _, freezing, weights = trained
    for index, (seed, method) in enumerate(freezing.members):
        since = {row["layer"]: row["epoch"] for row in of(freezing.frozen, seed, method)}
        for epoch in range(EPOCHS):
            before, after = weights.epochs[epoch][index], weights.epochs[epoch + 1][index]
            for layer in LAYERS:
                name = f"{layer}.weight"
                still = epoch >= since.get(layer, math.inf)
                assert torch.equal(before[name], after[name]) == still


def test_the_entropy_rule_is_that_of_its_own_curve(trained):
    _, freezing, _ = trained
    for seed in SEEDS:
        since = {row["layer"]: row["epoch"] for row in of(freezing.frozen, seed, "entropy")}
        for layer in LAYERS:
            rows = [row for row in of(freezing.entropies, seed, "entropy") if row["layer"] == layer]
            curve = [row["entropy"] for row in rows]
            assert [row["epoch"] for row in rows] == list(range(since.get(layer, EPOCHS) + 1))
            assert first_calm_epoch(curve, RULES["entropy"]) == since.get(layer)
            assert {row["layer_index"] for row in rows} == {LAYERS.index(layer)}


def test_followers_freeze_as_many_at_the_same_epochs(trained):
    _, freezing, _ = trained
    for seed in SEEDS:
        led = [row["epoch"] for row in of(freezing.frozen, seed, "entropy")]
        for method in ("front", "random"):
            rows = of(freezing.frozen, seed, method)
            assert [row["epoch"] for row in rows] == led
            assert len({row["layer"] for row in rows}) == len(led)
        front = [row["layer"] for row in of(freezing.frozen, seed, "front")]
        assert front == LAYERS[: len(led)]
        assert of(freezing.frozen, seed, "normal") == []


def test_normal_training_is_untouched_by_its_neighbours(trained):
    replicas, freezing, _ = trained
    images, labels = samples()
    alone = fit(
        [network(SEEDS[0])], images, labels, rows=torch.arange(20)[None], seeds=SEEDS[:1],
        epochs=EPOCHS, batch_size=7, optimiser="sgd", learning_rate=0.02, momentum=0.9,
    )  # fmt: skip
    found = replicas.network(freezing.members.index((SEEDS[0], "normal"))).state_dict()
    for name, value in alone.network(0).state_dict().items():
        assert torch.equal(found[name], value)


def test_lots_differ_between_seeds_and_do_not_change():
    lots = set()
    for seed in range(20):
        images, _ = samples()
        freezing = LayerFreezing(images, rows=torch.arange(20), rules=RULES, seeds=[seed])
        freezing._layers = LAYERS
        freezing.frozen = [{"seed": seed, "method": "entropy", "epoch": 4}] * 2
        chosen = freezing._chosen(4, seed, "random", LAYERS)
        assert chosen == freezing._chosen(4, seed, "random", LAYERS)
        lots.add(tuple(sorted(chosen)))
    assert len(lots) == 3


def test_a_fixed_probe_sees_the_same_images(monkeypatch):
    seen = {"resample": [], "fixed": []}
    rules = {name: Rule(choose="never", probe=name, images=4) for name in seen}
    probes = iter(list(seen) * (EPOCHS + 1) * len(SEEDS))

    def watch(model, images, layers):
        seen[next(probes)].append(images[:, 0, 0, 0].tolist())
        return {layer: torch.zeros(len(images)) for layer in layers}

    monkeypatch.setattr("ibcore.freezing.layer_entropies", watch)
    train(rules=rules)
    for probe, number in (("fixed", 1), ("resample", EPOCHS + 1)):
        assert len(set(map(tuple, seen[probe][0 :: len(SEEDS)]))) == number
        assert len(set(map(tuple, seen[probe]))) == number * len(SEEDS)


def test_rows_of_the_entropies_by_hand(monkeypatch):
    """Entropies that tell layer and image; constant maps have none."""
    images, _ = samples()

    def by_position(model, probe, layers):
        assert all(any(torch.equal(image, row) for row in images[:20]) for image in probe)
        values = torch.arange(4.0) + 10 * torch.tensor([LAYERS.index(layer) for layer in layers])[
            :, None
        ]  # fmt: skip
        values[0, 3] = torch.nan
        return dict(zip(layers, values, strict=True))

    monkeypatch.setattr("ibcore.freezing.layer_entropies", by_position)
    _, freezing = train(rules={"a name": Rule(choose="never", images=4)})
    expected = [
        {
            "seed": seed,
            "method": "a name",
            "epoch": epoch,
            "layer": layer,
            "layer_index": index,
            "entropy": pytest.approx(10 * index + (1.0 if index == 0 else 1.5)),
            "constant": 0.25 if index == 0 else 0.0,
        }
        for epoch in range(EPOCHS + 1)
        for seed in SEEDS
        for index, layer in enumerate(LAYERS)
    ]
    assert freezing.entropies == expected


def test_times_are_measured_for_every_member_and_epoch(trained):
    _, freezing, _ = trained
    assert len(freezing.times) == len(freezing.members) * (EPOCHS + 1)
    for row in freezing.times:
        assert (row["training"] > 0) == (row["epoch"] > 0)
        assert row["measuring"] > 0


def test_an_epoch_is_timed_by_itself(monkeypatch):
    """By a clock that moves on by a second whenever it is read; an epoch has three batches."""
    clock = itertools.count()
    monkeypatch.setattr(LayerFreezing, "_now", lambda self: float(next(clock)))
    _, found = train()
    trained = {row["training"] for row in found.times if row["epoch"] > 0}
    assert trained == {3}


def test_constant_maps_are_counted_and_not_taken_for_0(monkeypatch):
    def entropies(network, images, layers):
        return {layer: torch.tensor([0.5, math.nan]) for layer in layers}

    monkeypatch.setattr(freezing, "layer_entropies", entropies)
    _, found = train()
    assert {(row["entropy"], row["constant"]) for row in found.entropies} == {(0.5, 0.5)}


class Stop(Callback):
    def __init__(self, at):
        self.at = at

    def on_epoch(self, epoch, replicas):
        if epoch == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 5, 6])
def test_interrupted_and_resumed_bit_for_bit(tmp_path, stop, batch_norm):
    replicas, expected = train(batch_norm=batch_norm, callbacks=[Callback()])
    path = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        train(batch_norm=batch_norm, callbacks=[Stop(stop)], path=path)
    optimiser = Checkpoint(path).load()["optimiser"]
    resumed, found = train(batch_norm=batch_norm, callbacks=[Callback()], path=path)

    assert found.frozen == expected.frozen
    assert found.entropies == expected.entropies
    for index in range(len(replicas)):
        one, other = (each.network(index).state_dict() for each in (resumed, replicas))
        assert all(torch.equal(one[name], other[name]) for name in other)
        for a, b in zip(
            resumed.network(index).parameters(), replicas.network(index).parameters(), strict=True
        ):
            assert a.requires_grad == b.requires_grad

    # Each frozen layer is four tensors with batch normalisation, two without.
    frozen = sum(row["epoch"] < stop for row in expected.frozen) * (4 if batch_norm else 2)
    every = sum(len([*replicas.network(i).parameters()]) for i in range(len(replicas)))
    assert len(optimiser["param_groups"][0]["params"]) == every - frozen
    assert len(optimiser["state"]) == (every - frozen if stop > 1 else 0)


# ---------------------------------------------------------------- refusals


def test_followers_need_somebody_to_follow():
    rules = {"random": Rule(choose="random")}
    with pytest.raises(ValueError, match="'random' needs a rule 'entropy' to follow"):
        LayerFreezing(samples(60)[0], rows=torch.arange(60), rules=rules, seeds=[0])


def test_more_images_than_rows():
    with pytest.raises(ValueError, match="50 images wanted, but there are 20 training rows"):
        LayerFreezing(samples()[0], rows=torch.arange(20), rules={"a": Rule()}, seeds=[0])


def test_stacked_or_missing_replicas():
    images, _ = samples(60)
    freezing = LayerFreezing(images, rows=torch.arange(60), rules={"a": Rule()}, seeds=[0, 1])
    with pytest.raises(ValueError, match="2 networks side by side are needed, got 2 stacked"):
        freezing.on_start(Replicas([network(0), network(1)], stacked=True))
    with pytest.raises(ValueError, match=r"2 networks .* needed, got 1$"):
        freezing.on_start(Replicas([network(0)]))


def test_convolutions_are_listed_in_network_order():
    assert convolutions(network()) == LAYERS
    names = convolutions(models.build("vgg16", width=1 / 64))
    assert [int(name.split(".")[1]) for name in names] == [
        0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28,
    ]  # fmt: skip
