"""The training loop: a slow obvious twin, replicas that do not meet, and every interruption."""

import copy
import errno
import hashlib
import io
import math
import os
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from ibcore import models
from ibcore.seeds import derived_seed
from ibcore.training import (
    Callback,
    Checkpoint,
    Replicas,
    crop_and_flip,
    fit,
    make_optimiser,
)

N, CLASSES, SEEDS = 37, 3, (2, 5, 11)


def samples(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (N,), generator=generator)
    return torch.randn(N, *shape, generator=generator) + labels.view(-1, *[1] * len(shape)), labels


def mlps(seeds=SEEDS, **options):
    options = {"n_inputs": 6, "hidden": (5, 4), "num_classes": CLASSES, **options}
    return [models.build("mlp", seed=seed, **options) for seed in seeds]


def cnns(seeds=SEEDS):
    options = {"widths": (2, 3), "image": (1, 5, 5), "num_classes": CLASSES}
    return [models.build("cnn", seed=seed, **options) for seed in seeds]


KINDS = {"mlp": (mlps, (6,)), "cnn": (cnns, (1, 5, 5))}


def different_rows(n_train=24):
    """Training rows of their own for every seed."""
    orders = [torch.randperm(N, generator=torch.Generator().manual_seed(100 + s)) for s in SEEDS]
    return torch.stack(orders)[:, :n_train]


def vector(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach().clone()


def slow_twin(model, inputs, labels, rows, seed, *, epochs, batch_size, optimiser):
    """One network, sample by sample sums, an unfused optimiser, the same order of samples."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "order"))
    for _ in range(epochs):
        order = rows.tolist()
        if batch_size is not None and batch_size < len(order):
            order = [order[i] for i in torch.randperm(len(order), generator=generator)]
        while order:
            batch, order = order[: batch_size or N], order[batch_size or N :]
            optimiser.zero_grad()
            losses = [functional.cross_entropy(model(inputs[[i]]), labels[[i]]) for i in batch]
            (sum(losses) / len(batch)).backward()
            optimiser.step()
    return vector(model)


OPTIMISERS = {
    "adam": ({}, lambda p: torch.optim.Adam(p, lr=0.02, eps=1e-7, foreach=False)),
    "sgd": ({}, lambda p: torch.optim.SGD(p, lr=0.02, foreach=False)),
    "momentum": (
        {"optimiser": "sgd", "momentum": 0.9},
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, foreach=False),
    ),
    "nesterov": (
        {"optimiser": "sgd", "momentum": 0.9, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, foreach=False),
    ),
}


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_a_plain_loop(kind, name, batch_size):
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    rows = different_rows()
    options, reference = OPTIMISERS[name]
    options = {"optimiser": name, "epochs": 4, "learning_rate": 0.02, **options}
    replicas = fit(
        build(), inputs, labels, seeds=SEEDS, rows=rows, batch_size=batch_size, **options
    )
    for i, (seed, model) in enumerate(zip(SEEDS, build(), strict=True)):
        start = vector(model)
        expected = slow_twin(
            model, inputs, labels, rows[i], seed,
            epochs=4, batch_size=batch_size, optimiser=reference(model.parameters()),
        )  # fmt: skip
        assert (expected - start).abs().max() > 0.01
        torch.testing.assert_close(vector(replicas.network(i)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("kind", KINDS)
def test_the_others_do_not_matter(kind, batch_size):
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    rows = different_rows()
    options = {"epochs": 15, "batch_size": batch_size, "learning_rate": 0.01}
    together = fit(build(), inputs, labels, seeds=SEEDS, rows=rows, **options)
    for chosen in ([0], [1], [2, 0]):
        seeds = [SEEDS[i] for i in chosen]
        some = fit(build(seeds), inputs, labels, seeds=seeds, rows=rows[chosen], **options)
        for position, i in enumerate(chosen):
            torch.testing.assert_close(
                vector(some.network(position)), vector(together.network(i)), atol=1e-5, rtol=0
            )


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_models_are_trained_in_place(kind):
    build, shape = KINDS[kind]
    given = build()
    before = [vector(model) for model in given]
    replicas = fit(given, *samples(shape), seeds=SEEDS, epochs=2, learning_rate=0.1)
    for i, model in enumerate(given):
        assert not torch.equal(vector(model), before[i])
        assert torch.equal(vector(model), vector(replicas.network(i)))
        assert model.training


def test_mlps_are_stacked_and_others_are_not():
    assert Replicas(mlps()).stacked
    assert not Replicas(cnns()).stacked
    assert len(Replicas(cnns())) == 3
    inputs, labels = samples((6,))
    losses = Replicas(mlps()).backward(inputs.expand(3, -1, -1), labels.expand(3, -1))
    expected = [functional.cross_entropy(model(inputs), labels) for model in mlps()]
    torch.testing.assert_close(losses, torch.stack(expected).detach())
    assert not losses.requires_grad


def watch_batches(monkeypatch):
    """Collect the labels that reach ``backward``; with labels = row numbers, the rows seen."""
    seen = []

    def backward(self, inputs, labels):
        seen.append(labels.tolist())
        return torch.zeros(len(labels))

    monkeypatch.setattr(Replicas, "backward", backward)
    return seen


@pytest.mark.parametrize("batch_size", [None, N, N + 5])
def test_full_batch_sees_all_rows_in_fixed_order(monkeypatch, batch_size):
    seen = watch_batches(monkeypatch)
    fit(mlps(), torch.zeros(N, 6), torch.arange(N), seeds=SEEDS, epochs=2, batch_size=batch_size)
    assert seen == [[list(range(N))] * 3] * 2


def test_mini_batches_see_every_row_once_and_the_last_is_smaller(monkeypatch):
    seen = watch_batches(monkeypatch)
    rows = different_rows(24)
    fit(
        mlps(), torch.zeros(N, 6), torch.arange(N),
        seeds=SEEDS, rows=rows, epochs=3, batch_size=10,
    )  # fmt: skip
    assert [len(batch[0]) for batch in seen] == [10, 10, 4] * 3
    epochs = [seen[0:3], seen[3:6], seen[6:9]]
    orders = [[[*epoch[0][i], *epoch[1][i], *epoch[2][i]] for epoch in epochs] for i in range(3)]
    for i, own in enumerate(orders):
        for order in own:
            assert sorted(order) == sorted(rows[i].tolist())
        assert len({tuple(order) for order in own}) == 3
    permutations = [[rows[i].tolist().index(row) for row in orders[i][0]] for i in range(3)]
    assert len({tuple(order) for order in permutations}) == 3


def test_adam_adds_1e_7_to_the_root():
    """A first step is lr g / (|g| + eps): half of lr where the gradient equals eps."""
    weight = nn.Parameter(torch.zeros(2))
    steps = make_optimiser("adam", [weight], learning_rate=0.5)
    weight.grad = torch.tensor([1e-7, 1.0])
    steps.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.25, -0.5]))


# ---------------------------------------------------------------- penalties


def penalised_twin(model, inputs, labels, factor, *, epochs, optimiser):
    """The penalty written into the loss of one network, full batch, left to autograd."""
    weights = [p for name, p in model.named_parameters() if name.endswith("weight")]
    for _ in range(epochs):
        optimiser.zero_grad()
        penalty = sum((weight**2).sum() for weight in weights)
        (functional.cross_entropy(model(inputs), labels) + factor * penalty).backward()
        optimiser.step()
    return vector(model)


@pytest.mark.parametrize("l2", [0.3, (0.3, 0.0, 0.01)])
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_penalty_is_the_sum_of_squared_weights_in_the_loss(kind, name, l2):
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    options, reference = OPTIMISERS[name]
    options = {"optimiser": name, "epochs": 6, "learning_rate": 0.02, **options}
    replicas = fit(build(), inputs, labels, seeds=SEEDS, l2=l2, **options)
    factors = l2 if isinstance(l2, tuple) else [l2] * 3
    for i, model in enumerate(build()):
        expected = penalised_twin(
            model, inputs, labels, factors[i], epochs=6, optimiser=reference(model.parameters())
        )
        torch.testing.assert_close(vector(replicas.network(i)), expected, atol=1e-5, rtol=0)


def test_a_step_against_the_penalty_by_hand():
    """Without other gradients a step of SGD multiplies weights by 1 - 2 lr f and keeps biases."""
    replicas = Replicas(mlps())
    for parameter in replicas.parameters():
        parameter.grad = torch.zeros_like(parameter)
    replicas.penalise(torch.tensor([0.0, 1.0, 2.0]))
    for name, weight in replicas.state_dict().items():
        gradient = replicas._parameters[name].grad
        factors = torch.tensor([0.0, 1.0, 2.0]) if name.endswith("weight") else torch.zeros(3)
        expected = 2 * weight * factors.view(3, *[1] * (weight.dim() - 1))
        torch.testing.assert_close(gradient, expected)


def test_norms_and_biases_are_not_penalised():
    model = Noisy(0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    Replicas([model]).penalise(torch.tensor([1.0]))
    touched = {name for name, p in model.named_parameters() if p.grad.any()}
    assert touched == {"hidden.weight", "output.weight"}


class FreezeFirst(Callback):
    """Freezes the first weights of every network, at once."""

    def on_epoch(self, epoch, replicas):
        weights = replicas.parameters()
        for parameter in weights[:: len(list(replicas.network(0).parameters()))]:
            parameter.requires_grad_(False).grad = None


@pytest.mark.parametrize("kind", KINDS)
def test_a_penalty_on_networks_with_frozen_weights(kind):
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    options = {"optimiser": "sgd", "epochs": 6, "learning_rate": 0.02}
    replicas = fit(
        build(), inputs, labels, seeds=SEEDS, l2=0.3, callbacks=[FreezeFirst()], **options
    )
    for i, model in enumerate(build()):
        first = next(model.parameters()).requires_grad_(False)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.02)
        expected = penalised_twin(model, inputs, labels, 0.3, epochs=6, optimiser=optimiser)
        torch.testing.assert_close(vector(replicas.network(i)), expected, atol=1e-5, rtol=0)
        assert torch.equal(next(replicas.network(i).parameters()), first)


def trained(**options):
    options = {"epochs": 5, "learning_rate": 0.02, "batch_size": 10, **options}
    replicas = fit(mlps(), *samples((6,)), seeds=SEEDS, **options)
    return torch.stack([vector(replicas.network(i)) for i in range(3)])


@pytest.mark.parametrize("options", [{"l2": 0.0}, {"l2": [0.0] * 3}, {"weight_decay": 0.0}])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_no_penalty_is_no_penalty_to_the_last_bit(options, name):
    assert torch.equal(trained(optimiser=name, **options), trained(optimiser=name))


def test_without_decay_it_is_adam():
    one, other = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    steps = make_optimiser("adam", [one], learning_rate=0.1)
    plain = torch.optim.Adam([other], lr=0.1, eps=1e-7, fused=True)
    for scale in range(1, 9):
        for parameter, optimiser in ((one, steps), (other, plain)):
            parameter.grad = torch.sin(scale * torch.arange(7.0))
            optimiser.step()
    assert torch.equal(one, other)


def test_weight_decay_of_adam_is_decoupled():
    """The parameter is multiplied by 1 - lr decay; then comes the step lr * sign(gradient)."""
    weight = nn.Parameter(torch.tensor([2.0, -3.0]))
    steps = make_optimiser("adam", [weight], learning_rate=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([4.0, -1e3])
    steps.step()
    expected = torch.tensor([2.0, -3.0]) * (1 - 0.1 * 0.5) - 0.1 * torch.tensor([1.0, -1.0])
    torch.testing.assert_close(weight.detach(), expected)


def test_weight_decay_of_sgd_is_twice_the_penalty():
    inputs, labels = samples((6,))
    bare = [nn.Sequential(nn.Linear(6, CLASSES, bias=False)) for _ in SEEDS]
    twins = [copy.deepcopy(model) for model in bare]
    options = {"epochs": 5, "optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.5}
    one = fit(bare, inputs, labels, seeds=SEEDS, l2=0.2, **options)
    other = fit(twins, inputs, labels, seeds=SEEDS, weight_decay=0.4, **options)
    for i in range(3):
        torch.testing.assert_close(vector(one.network(i)), vector(other.network(i)))


def test_a_penalty_and_adams_weight_decay_differ():
    plain, penalty, decay = trained(), trained(l2=0.1), trained(weight_decay=0.1)
    assert (penalty - plain).abs().max() > 3 * (decay - plain).abs().max() > 0


@pytest.mark.parametrize(
    "l2", [-1.0, math.nan, math.inf, (0.1, 0.2), (0.1, 0.2, -0.3), [[0.1] * 3]]
)
def test_bad_penalties(l2):
    with pytest.raises(ValueError, match="l2 must be one factor >= 0, or one for each of 3, got"):
        trained(l2=l2)


@pytest.mark.parametrize("weight_decay", [-0.1, math.nan])
def test_bad_weight_decay(weight_decay):
    with pytest.raises(ValueError, match=f"weight_decay must not be negative, got {weight_decay}"):
        trained(weight_decay=weight_decay)


# ---------------------------------------------------------------- learning rate and images


def test_milestones_are_those_of_multi_step_lr():
    inputs, labels = samples((6,))
    models_ = mlps()
    options = {"optimiser": "sgd", "learning_rate": 0.5, "milestones": (1, 3)}
    fit(models_, inputs, labels, seeds=SEEDS, epochs=5, **options)
    for model, twin in zip(models_, mlps(), strict=True):
        steps = torch.optim.SGD(twin.parameters(), lr=0.5, foreach=False)
        schedule = torch.optim.lr_scheduler.MultiStepLR(steps, [1, 3])
        for _ in range(5):
            steps.zero_grad()
            functional.cross_entropy(twin(inputs), labels).backward()
            steps.step()
            schedule.step()
        torch.testing.assert_close(vector(model), vector(twin), atol=1e-5, rtol=1e-4)


def test_every_changed_image_is_a_window_of_the_padded_one_or_its_mirror_image():
    images = torch.arange(1.0, 1 + 40 * 2 * 3 * 4).view(40, 2, 3, 4)
    before = images.clone()
    found = crop_and_flip(images, torch.Generator().manual_seed(0), margin=1)
    assert found.shape == images.shape
    padded = functional.pad(images, (1, 1, 1, 1))
    windows = {
        (top, left): padded[:, :, top : top + 3, left : left + 4]
        for top in range(3)
        for left in range(3)
    }
    candidates = {(*at, 0): window for at, window in windows.items()}
    candidates |= {(*at, 1): window.flip(3) for at, window in windows.items()}
    seen = set()
    for i, image in enumerate(found):
        (match,) = [at for at, window in candidates.items() if torch.equal(image, window[i])]
        seen.add(match)
    assert len(seen) > 10
    assert {mirrored for *_, mirrored in seen} == {0, 1}
    assert torch.equal(images, before)
    assert torch.equal(found, crop_and_flip(images, torch.Generator().manual_seed(0), margin=1))


def test_training_sees_the_changed_images():
    inputs, labels = samples((1, 5, 5))
    options = {"seeds": (2,), "epochs": 2, "optimiser": "sgd", "learning_rate": 0.1}
    model, plain, twin = (cnns((2,))[0] for _ in range(3))
    fit([plain], inputs, labels, **options)
    fit([model], inputs, labels, augment=True, **options)
    generator = torch.Generator().manual_seed(derived_seed(2, "order"))
    steps = torch.optim.SGD(twin.parameters(), lr=0.1, foreach=False)
    for _ in range(2):
        steps.zero_grad()
        functional.cross_entropy(twin(crop_and_flip(inputs, generator)), labels).backward()
        steps.step()
    torch.testing.assert_close(vector(model), vector(twin), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(vector(model), vector(plain), atol=1e-3)


class Watch(Callback):
    """Remembers epochs and weights; can interrupt the training."""

    def __init__(self, stop=None):
        self.stop, self.epochs, self.weights = stop, [], []

    def on_epoch(self, epoch, replicas):
        if epoch == self.stop:
            raise KeyboardInterrupt
        self.epochs.append(epoch)
        self.weights.append(
            torch.stack([vector(replicas.network(i)) for i in range(len(replicas))])
        )

    def state_dict(self):
        return {"epochs": self.epochs, "weights": self.weights}

    def load_state_dict(self, state):
        self.epochs, self.weights = list(state["epochs"]), list(state["weights"])


@pytest.mark.parametrize("epochs", [0, 1, 4])
def test_callbacks_see_every_epoch_from_0_in_order(epochs):
    first, second = Watch(), Watch()
    start = torch.stack([vector(model) for model in mlps()])
    fit(mlps(), *samples((6,)), seeds=SEEDS, epochs=epochs, callbacks=[first, second])
    assert first.epochs == second.epochs == list(range(epochs + 1))
    assert torch.equal(first.weights[0], start)
    for before, after in zip(first.weights, first.weights[1:], strict=False):
        assert not torch.equal(before, after)


def test_a_callback_that_does_nothing():
    callback = Callback()
    fit(mlps(), *samples((6,)), seeds=SEEDS, epochs=1, callbacks=[callback])
    assert callback.state_dict() == {}
    assert callback.load_state_dict({}) is None


def test_training_mode_returns_after_a_callback_left_evaluation_mode():
    modes = []

    class Evaluate(Callback):
        def on_epoch(self, epoch, replicas):
            modes.append(replicas.network(0).training)
            replicas.network(0).eval()

    fit(cnns(), *samples((1, 5, 5)), seeds=SEEDS, epochs=2, callbacks=[Evaluate()])
    assert modes == [True, True, True]


# ---------------------------------------------------------------- checkpoints


class Noisy(nn.Module):
    """Has what makes resuming hard: dropout (global random state) and running statistics."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.hidden = nn.Linear(6, 8)
            self.norm = nn.BatchNorm1d(8)
            self.dropout = nn.Dropout(0.5)
            self.output = nn.Linear(8, CLASSES)

    def forward(self, inputs):
        return self.output(self.dropout(torch.relu(self.norm(self.hidden(inputs)))))


BUILD = {"stacked": mlps, "one by one": lambda: [Noisy(seed) for seed in SEEDS]}
EPOCHS = 4


def train(build, watch, path=None, **options):
    """The same global random state for every call, as a fresh process would have."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fit(
            build(),
            *samples((6,)),
            seeds=SEEDS,
            epochs=EPOCHS,
            batch_size=10,
            learning_rate=0.01,
            callbacks=[watch],
            checkpoint=Checkpoint(path, every_seconds=0) if path else None,
            **options,
        )


def state(replicas):
    return {
        (i, name): value.clone()
        for i in range(len(replicas))
        for name, value in replicas.network(i).state_dict().items()
    }


def assert_same(watch, replicas, expected_watch, expected):
    assert watch.epochs == expected_watch.epochs
    for one, other in zip(watch.weights, expected_watch.weights, strict=True):
        assert torch.equal(one, other)
    found, expected = state(replicas), state(expected)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in found)


STEPPED = {"optimiser": "sgd", "momentum": 0.9, "nesterov": True, "milestones": (2,)}
ANNEALED = {"optimiser": "sgd", "momentum": 0.9, "annealing": "cosine"}


@pytest.mark.parametrize("options", [{}, {"optimiser": "sgd", "momentum": 0.9}, STEPPED, ANNEALED])
@pytest.mark.parametrize("stop", range(EPOCHS + 1))
@pytest.mark.parametrize("kind", BUILD)
def test_interrupted_after_any_epoch_and_resumed_bit_for_bit(tmp_path, kind, stop, options):
    path = tmp_path / "folder" / "run.checkpoint"
    expected_watch = Watch()
    expected = train(BUILD[kind], expected_watch, **options)

    with pytest.raises(KeyboardInterrupt):
        train(BUILD[kind], Watch(stop), path, **options)
    assert path.exists() == (stop > 0)

    trained = []
    resumed = Watch()
    resumed.on_epoch = lambda epoch, replicas: (
        trained.append(epoch),
        Watch.on_epoch(resumed, epoch, replicas),
    )
    replicas = train(BUILD[kind], resumed, path, **options)
    assert trained == list(range(stop, EPOCHS + 1))
    assert_same(resumed, replicas, expected_watch, expected)
    assert os.listdir(path.parent) == [path.name]


def test_interrupted_twice(tmp_path):
    expected_watch = Watch()
    expected = train(mlps, expected_watch)
    for stop in (2, 3):
        with pytest.raises(KeyboardInterrupt):
            train(mlps, Watch(stop), tmp_path / "c")
    watch = Watch()
    assert_same(watch, train(mlps, watch, tmp_path / "c"), expected_watch, expected)


def interrupted(path):
    with pytest.raises(KeyboardInterrupt):
        train(mlps, Watch(3), path)
    return path.read_bytes()


def flip(position):
    def damage(content):
        content = bytearray(content)
        content[position] ^= 1
        return bytes(content)

    return damage


def sealed(payload):
    """A payload under the right hash for a checkpoint called "c"."""
    return hashlib.sha256(b"c" + payload).digest() + payload


DAMAGE = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[:-1],
    "cut in the hash": lambda content: content[:20],
    "bit of the hash": flip(3),
    "bit of the weights": flip(-2000),
    "last bit": flip(-1),
    "longer": lambda content: content + b"\0",
    "text": lambda content: b"epoch 3\n",
    "no checkpoint under a right hash": lambda content: sealed(b"epoch 3\n"),
    "nothing under a right hash": lambda content: sealed(b""),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_warns_and_training_starts_anew(tmp_path, damage):
    path = tmp_path / "c"
    content = interrupted(path)
    path.write_bytes(damage(content))
    with pytest.warns(UserWarning, match="checkpoint c is damaged; training starts anew"):
        assert Checkpoint(path).load() is None
    assert not path.exists()

    path.write_bytes(damage(content))
    watch, expected_watch = Watch(), Watch()
    expected = train(mlps, expected_watch)
    with pytest.warns(UserWarning, match="checkpoint c is damaged"):
        replicas = train(mlps, watch, path)
    assert_same(watch, replicas, expected_watch, expected)


def test_an_undamaged_one_is_read_without_a_warning(tmp_path):
    path = tmp_path / "c"
    interrupted(path)
    assert Checkpoint(path).load()["epoch"] == 2
    assert path.exists()


def test_the_checkpoint_of_another_run_is_not_taken(tmp_path):
    """Two runs that differ in their seed only could go on from each other's weights."""
    interrupted(tmp_path / "c")
    (tmp_path / "c").rename(tmp_path / "d")
    with pytest.warns(UserWarning, match="checkpoint d is damaged; training starts anew"):
        assert Checkpoint(tmp_path / "d").load() is None


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_not_executed(tmp_path):
    """Forged with the right hash; an ordinary torch.load would run it."""
    buffer = io.BytesIO()
    torch.save({"epoch": Malicious(tmp_path / "executed")}, buffer)
    path = tmp_path / "c"
    path.write_bytes(sealed(buffer.getvalue()))
    with pytest.warns(UserWarning, match="checkpoint c is damaged"):
        assert Checkpoint(path).load() is None
    assert not (tmp_path / "executed").exists()
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    assert (tmp_path / "executed").exists()


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def half_written(self, content):
    with open(self, "wb") as file:
        file.write(content[: len(content) // 2])
    no_space()


@pytest.mark.parametrize(
    ("owner", "name", "failure"),
    [(os, "replace", no_space), (Path, "write_bytes", half_written)],
    ids=["replace", "write"],
)
def test_a_failed_write_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path, monkeypatch, owner, name, failure
):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save({"epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failure)
        with pytest.raises(OSError, match="No space left on device"):
            checkpoint.save({"epoch": 2})
    assert os.listdir(tmp_path) == ["c"]
    assert checkpoint.load() == {"epoch": 1}
    checkpoint.save({"epoch": 2})
    assert checkpoint.load() == {"epoch": 2}


def test_when_a_checkpoint_is_due(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "c", every_seconds=30)
    assert not checkpoint.due()
    now[0] = 129.9
    assert not checkpoint.due()
    now[0] = 130.0
    assert checkpoint.due()
    checkpoint.save({})
    assert not checkpoint.due()
    now[0] = 160.0
    assert checkpoint.due()


def test_nothing_is_written_before_it_is_due_nor_at_the_end(tmp_path, monkeypatch):
    fit(
        mlps(), *samples((6,)), seeds=SEEDS, epochs=3,
        checkpoint=Checkpoint(tmp_path / "c", every_seconds=1e9),
    )  # fmt: skip
    assert not (tmp_path / "c").exists()
    train(mlps, Watch(), tmp_path / "c")
    assert Checkpoint(tmp_path / "c").load()["epoch"] == EPOCHS - 1


def test_remove(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save({})
    checkpoint.remove()
    checkpoint.remove()
    assert checkpoint.load() is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("saved", "taken"), [(SEEDS, (1,)), ((1,), SEEDS)])
def test_the_checkpoint_of_another_number_of_seeds_is_not_taken(tmp_path, saved, taken):
    """Also where the stacked weights of one seed would fit those of three by broadcasting."""

    def start(seeds, stop=None):
        checkpoint = Checkpoint(tmp_path / "c", every_seconds=0)
        watch = Watch(stop)
        options = {"epochs": EPOCHS, "callbacks": [watch], "checkpoint": checkpoint}
        fit(mlps(seeds), *samples((6,)), seeds=seeds, **options)

    with pytest.raises(KeyboardInterrupt):
        start(saved, stop=2)
    with pytest.raises((ValueError, RuntimeError), match=r"the broadcast shape|is shorter"):
        start(taken)


# ---------------------------------------------------------------- annealing


@pytest.mark.parametrize("kind", KINDS)
def test_annealing_is_torchs_cosine(kind):
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    options = {"optimiser": "sgd", "learning_rate": 0.05, "momentum": 0.9, "epochs": 5}
    replicas = fit(build(), inputs, labels, seeds=SEEDS, annealing="cosine", **options)
    (expected,) = build(SEEDS[:1])
    steps = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, T_max=5)
    for _ in range(5):
        steps.zero_grad()
        functional.cross_entropy(expected(inputs), labels).backward()
        steps.step()
        schedule.step()
    torch.testing.assert_close(vector(replicas.network(0)), vector(expected))


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": torch.zeros(0, 6)}, "the training data are empty"),
        ({"labels": torch.zeros(N - 1).long()}, "37 inputs but 36 labels"),
        ({"inputs": torch.full((N, 6), math.nan)}, "the inputs hold NaN or infinite values"),
        ({"inputs": torch.full((N, 6), -math.inf)}, "the inputs hold NaN or infinite values"),
        ({"seeds": (1, 2)}, "3 models, 2 seeds and 3 sets of rows"),
        ({"rows": torch.zeros(2, 5).long()}, "3 models, 3 seeds and 2 sets of rows"),
        ({"models": mlps((1,))}, "1 models, 3 seeds and 1 sets of rows"),
        ({"models": [], "seeds": ()}, "at least one model is needed, got none"),
        ({"rows": torch.zeros(3, 0).long()}, "no training rows"),
        ({"epochs": -1}, "epochs must not be negative, got -1"),
        ({"batch_size": 0}, r"batch_size must be positive or None \(full batch\), got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive, got nan"),
        ({"optimiser": "rmsprop"}, "unknown optimiser 'rmsprop'; known: adam, sgd"),
        ({"annealing": "linear"}, "unknown annealing 'linear'; known: none, cosine"),
        ({"precision": "half"}, "unknown precision 'half'; known: float32, bfloat16"),
        ({"precision": "bfloat16"}, "bfloat16 training is for CUDA devices, got cpu"),
        ({"seeds": (1, 2, -3)}, "seed must be a non-negative integer, got -3"),
        (
            {"models": [*mlps((1, 2)), *mlps((3,), activation="relu")]},
            "the models differ in architecture and cannot be stacked",
        ),
        (
            {"models": [*mlps((1, 2)), *mlps((3,), hidden=(5, 3))]},
            "the models differ in architecture",
        ),
    ],
)
def test_refused(changes, words):
    inputs, labels = samples((6,))
    given = {"models": mlps(), "inputs": inputs, "labels": labels, "seeds": SEEDS, "epochs": 1}
    with pytest.raises(ValueError, match=words):
        fit(**{**given, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_rounds_products_and_keeps_weights(monkeypatch, kind):
    """The processor's autocast in the place of a GPU's; the two differ in speed only."""
    build, shape = KINDS[kind]
    inputs, labels = samples(shape)
    inputs, labels = inputs.expand(3, *inputs.shape), labels.expand(3, -1)
    exact, rounded = Replicas(build()), Replicas(build())
    monkeypatch.setattr(rounded, "_autocast", lambda: torch.autocast("cpu", torch.bfloat16))
    losses = exact.backward(inputs, labels)
    found = rounded.backward(inputs, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, losses, rtol=0.02, atol=0.01)
    changed = False
    for one, other in zip(rounded.parameters(), exact.parameters(), strict=True):
        assert one.dtype == one.grad.dtype == torch.float32
        torch.testing.assert_close(one.grad, other.grad, rtol=0.1, atol=0.02)
        changed |= not torch.equal(one.grad, other.grad)
    assert changed


def test_bfloat16_is_asked_of_torch_for_a_gpu(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: asked.append((a, k)))
    replicas = Replicas(mlps())
    replicas._autocast()
    assert not asked
    replicas.precision, replicas.device = "bfloat16", torch.device("cuda")
    replicas._autocast()
    assert asked == [(("cuda",), {"dtype": torch.bfloat16})]


def test_loss_falls_and_labels_are_learnt():
    inputs, labels = samples((6,))
    replicas = fit(mlps(), inputs, labels, seeds=SEEDS, epochs=300, learning_rate=0.02)
    for i in range(3):
        assert (replicas.network(i)(inputs).argmax(1) == labels).float().mean() > 0.95


def narrow(name, seed=0, width=1 / 32):
    return models.build(name, num_classes=4, seed=seed, width=width)


@pytest.mark.parametrize(
    ("networks", "stacked"),
    [
        (lambda: [narrow("vgg11", 0), narrow("vgg11", 1)], True),
        (lambda: [narrow("vgg11"), narrow("vgg16")], False),
        (lambda: [narrow("vgg11_bn"), narrow("vgg11_bn")], False),
        (lambda: [narrow("vgg16", width=1 / 2)] * 2, False),
    ],
    ids=["alike", "different", "with buffers", "large"],
)
def test_a_gpu_stacks_what_is_alike_and_small(networks, stacked, monkeypatch):
    monkeypatch.setattr(nn.Module, "to", lambda self, device: self)
    assert Replicas(networks(), "cuda").stacked == stacked
    assert not Replicas(networks(), "cuda", stacked=False).stacked


def test_convolutions_stacked_are_convolutions_one_by_one():
    """What a GPU does by default, here on the processor."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 5, 1, 12, 12, generator=generator)
    labels = torch.randint(4, (3, 5), generator=generator)

    def networks():
        options = {"widths": (2, 3), "image": (1, 12, 12), "dense": (6,), "pool_after": 2}
        return [models.build("cnn", seed=seed, num_classes=4, **options) for seed in range(3)]

    alone, together = Replicas(networks()), Replicas(networks(), stacked=True)
    assert (alone.stacked, together.stacked) == (False, True)
    for _ in range(3):
        for replicas in (alone, together):
            steps = make_optimiser("sgd", replicas.parameters(), learning_rate=0.5)
            steps.zero_grad()
            losses = replicas.backward(inputs, labels)
            steps.step()
            replicas.losses = losses
        torch.testing.assert_close(alone.losses, together.losses)
    for index in range(3):
        pairs = zip(
            alone.network(index).parameters(), together.network(index).parameters(), strict=True
        )
        for one, other in pairs:
            torch.testing.assert_close(one, other)
