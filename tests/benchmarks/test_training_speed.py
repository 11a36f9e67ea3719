"""Ten seeds as one batched computation against ordinary networks, one after the other."""

import time

import pytest
import torch

from ibcore import models
from ibcore.models.mlp import MLP
from ibcore.training import fit

pytestmark = pytest.mark.benchmark

SEEDS = tuple(range(10))
OPTIONS = {"num_classes": 2, "n_inputs": 12, "hidden": (10, 7, 5, 4, 3), "init": "ibsgd"}


def timed(call):
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def weights(models):
    return [torch.nn.utils.parameters_to_vector(model.parameters()).detach() for model in models]


def test_penalties_and_seeds_at_once(monkeypatch, record_ratio):
    """The 4-16-16-8-3 network on 43 samples, full batch: 10 seeds with each of 4 penalties."""
    torch.set_num_threads(1)
    inputs = torch.randn(43, 4, generator=torch.Generator().manual_seed(0))
    labels = (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()
    options = {"num_classes": 3, "n_inputs": 4, "hidden": (16, 16, 8), "activation": "tanh"}
    replicas = [(l2, seed) for l2 in (0.0, 1e-4, 1e-3, 1e-2) for seed in SEEDS]
    steps = 200

    def train(chosen):
        networks = [models.build("mlp", seed=seed, **options) for _, seed in chosen]
        fit(
            networks, inputs, labels, seeds=[seed for _, seed in chosen],
            l2=[l2 for l2, _ in chosen], epochs=steps,
        )  # fmt: skip
        return weights(networks)

    train(replicas)
    ours, together = timed(lambda: train(replicas))
    monkeypatch.setattr(MLP, "stackable", False)
    train(replicas[:1])
    theirs, alone = timed(lambda: [train([replica])[0] for replica in replicas])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    per_second = len(replicas) * steps / ours
    record_ratio(
        "training 40 small networks, 200 steps", ours, theirs,
        f"one after the other; {per_second:,.0f} network steps a second at once",
    )  # fmt: skip


@pytest.mark.parametrize("batch_size", [256, None])
def test_seeds_at_once(monkeypatch, record_ratio, batch_size):
    """The 12-10-7-5-4-3-2 network on 80% of 4,096 inputs, Adam, one thread."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(2, (4096, 12), generator=generator).float()
    labels = (inputs.sum(1) > 6).long()
    rows = torch.stack([torch.randperm(4096, generator=generator)[:3277] for _ in SEEDS])

    def train(chosen):
        networks = [models.build("mlp", seed=seed, **OPTIONS) for seed in chosen]
        fit(
            networks, inputs, labels, rows=rows[list(chosen)], seeds=chosen, epochs=epochs,
            batch_size=batch_size, learning_rate=4e-4,
        )  # fmt: skip
        return weights(networks)

    epochs = 2
    train(SEEDS)
    epochs = 20 if batch_size else 100
    ours, together = timed(lambda: train(SEEDS))
    monkeypatch.setattr(MLP, "stackable", False)
    train(SEEDS[:1])
    theirs, alone = timed(lambda: [train([seed])[0] for seed in SEEDS])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    name = f"training 10 seeds, batch {batch_size or 'full'}"
    record_ratio(name, ours, theirs, "one seed after the other")
