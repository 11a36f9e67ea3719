"""Rewards, game, agent and search of AMC: by hand, by the checker of gymnasium, interrupted."""

import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import nn

from ibcore import models
from ibcore.estimators import aura_matrix_entropy
from ibcore.pruning import Policy
from ibcore.pruning.amc import (
    REWARDS,
    Agent,
    AgentSettings,
    Budget,
    Evaluation,
    Pruner,
    PruningEnvironment,
    convolution_entropy,
    random_search,
    search,
)
from ibcore.pruning.amc.agent import truncated_normal
from ibcore.pruning.surgery import count_macs, count_parameters
from ibcore.recording import accuracy
from ibcore.training import Checkpoint

FAST = AgentSettings(hidden=(16, 16), warmup=4, batch_size=8, memory=3)


def images(n=30, side=32, seed=0):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def pruner():
    return Pruner(models.build("vgg11_bn", width=1 / 8), images(6), points=2)


def labels(n=30):
    return torch.arange(n) % 10


def evaluation(pruner, reward="accuracy", **options):
    options = {"entropy_images": 4, **options}
    return Evaluation(pruner, images(), labels(), reward=reward, **options)


def budget(pruner, macs_kept=0.4):
    return Budget(pruner.structure, macs_kept=macs_kept, lowest=0.1, round_to=1)


def most_channels(counts):
    """A reward that needs no network: largest with all channels in the last groups."""
    return float(np.dot(counts, range(len(counts)))) / 1000, {"accuracy": 0.5}


# ---------------------------------------------------------------- rewards


def test_entropy_map_by_map():
    model = models.build("vgg11_bn", width=1 / 8).eval()
    outputs = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, args, y, name=name: outputs.update({name: y}))
    with torch.no_grad():
        model(images(3))
    found = convolution_entropy(model, images(3), levels=64)
    assert list(found) == list(outputs)
    for name, maps in outputs.items():
        values = []
        for one in maps.flatten(0, 1).numpy():
            scaled = (one - one.min()) / (one.max() - one.min())
            whole = np.minimum(np.floor(scaled * 63), 63).astype(np.uint8)
            values.append(aura_matrix_entropy(whole[None], levels=64)[0])
        assert found[name] == pytest.approx(np.mean(values), abs=2e-3)


def test_scale_and_offset_do_not_matter_and_constant_maps_are_allowed():
    layer = nn.Sequential(nn.Conv2d(1, 2, 1))
    picture = torch.arange(64.0).view(1, 1, 8, 8) / 64
    with torch.no_grad():
        layer[0].weight[:, 0, 0, 0], layer[0].bias[:] = torch.tensor([1.0, 4.0]), torch.ones(2)
        first = convolution_entropy(layer, picture)["0"]
        layer[0].weight[0] = 2
        assert convolution_entropy(layer, picture)["0"] == pytest.approx(first)
        layer[0].weight[:] = 0
        assert convolution_entropy(layer, picture) == {"0": 0}


def test_maps_of_one_row_are_left_out():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, (3, 1)))
    assert list(convolution_entropy(model, images(2, side=6))) == ["0", "1"]
    assert list(convolution_entropy(model, images(2, side=5))) == ["0"]
    with pytest.raises(ValueError, match="no convolution of the network has maps of at least 2x2"):
        convolution_entropy(model[:1], images(2, side=3))
    with pytest.raises(ValueError, match="from nan to nan"):
        convolution_entropy(model[:1], images(2) * math.inf)


@pytest.mark.parametrize(
    "look", [convolution_entropy, lambda model, X: accuracy(model, X, torch.zeros(4).long())]
)
def test_rewards_do_not_move_batch_normalisation(look):
    layers = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.Flatten()
    model = nn.Sequential(*layers).train()
    look(model, torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert model[1].num_batches_tracked == 0
    assert model.training


def test_a_candidate_by_hand(pruner):
    counts = (4, 5, 6, 7, 8, 9, 10, 11)
    reward, info = evaluation(pruner, "entropy minimisation")(counts)
    model = pruner.prune(counts)
    entropies = convolution_entropy(model, images()[:4])
    assert info["accuracy"] == accuracy(model, images(), labels())
    assert info["entropy"] == pytest.approx(sum(entropies.values()) / len(entropies))
    assert info["macs_kept"] == count_macs(model, images()) / count_macs(pruner.model, images())
    assert info["parameters"] == count_parameters(model)
    assert reward == 1 - info["entropy"]
    assert evaluation(pruner)(counts)[0] == info["accuracy"]
    assert evaluation(pruner, "entropy maximisation")(counts)[0] == info["entropy"]
    assert list(REWARDS) == ["accuracy", "entropy minimisation", "entropy maximisation"]


def test_a_reward_of_ones_own(pruner):
    candidates = []

    def small(candidate):
        candidates.append(candidate)
        return -candidate.parameters

    reward, info = evaluation(pruner, small)((4,) * 8)
    assert reward == -info["parameters"]
    assert candidates[0].counts == (4,) * 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": "speed"}, "unknown reward 'speed'; known rewards: accuracy, entropy min"),
        ({"labels": labels(29)}, "30 images and 29 labels"),
        ({"images": images(0), "labels": labels(0)}, "0 images and 0 labels"),
        ({"entropy_images": 0}, r"entropy_images must lie in 1..30, got 0"),
        ({"entropy_images": 31}, "got 31"),
    ],
)
def test_refused_evaluations(pruner, changes, words):
    options = {"images": images(), "labels": labels(), "reward": "accuracy", **changes}
    with pytest.raises(ValueError, match=words):
        Evaluation(pruner, options.pop("images"), options.pop("labels"), **options)


# ---------------------------------------------------------------- the game


def test_the_checker_of_gymnasium_has_no_complaint(pruner):
    environment = PruningEnvironment(budget(pruner), most_channels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # It advises actions in [-1, 1], asks how the game is registered, and renders.
        warnings.filterwarnings("ignore", message=".*(action space|Box action|spec|render).*")
        check_env(environment, skip_render_check=True)


def test_an_episode_by_hand(pruner):
    found = budget(pruner)
    structure, total = found.structure, found.total
    environment = PruningEnvironment(found, evaluation(pruner))
    state, info = environment.reset(seed=1)
    assert info == {}
    counts, ratios = [], [0.9, 0.8, 0.2, 1.0, 0.0, 0.5, 0.7, 1.0]
    macs = [layer.macs for layer in structure.layers]
    for move, ratio in enumerate(ratios):
        reduced, rest, previous = state[-3:]
        whole = structure.macs([*counts, *structure.channels[move:]])
        assert reduced == pytest.approx(1 - whole / total, abs=1e-6)
        assert rest == pytest.approx(sum(macs[move + 2 :]) / total, abs=1e-6)
        assert previous == pytest.approx(counts[-1] / structure.channels[move - 1] if move else 1)
        expected = found.wall(counts, ratio)
        state, reward, finished, truncated, info = environment.step([ratio])
        counts.append(expected)
        assert info["kept"] == expected
        assert (finished, truncated) == (move == 7, False)
        assert (reward == 0.0) or finished
    assert info["counts"] == tuple(counts)
    assert reward == info["accuracy"] == evaluation(pruner)(counts)[0]
    with pytest.raises(ValueError, match="all 8 moves are made"):
        environment.step([0.5])
    first, _ = environment.reset()
    assert first[-1] == 1
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"a share of channels in \[0, 1\], got"):
            environment.step([bad])


def test_features_of_layers_are_scaled_to_the_unit_interval(pruner):
    environment = PruningEnvironment(budget(pruner), most_channels)
    states = [environment.reset()[0]]
    for _ in range(7):
        states.append(environment.step([1.0])[0])
    fixed = np.array(states)[:, :7]
    assert fixed.min() == 0
    assert (fixed[0, 0], fixed[-1, 0]) == (0, 1)
    assert (np.diff(fixed[:, 0]) > 0).all()
    assert fixed[:, 1].tolist() == [0] * 7 + [1]  # the last group is read by the linear layer
    assert fixed[0, 2] == 0
    assert fixed.max(0)[2] == 1


# ---------------------------------------------------------------- the agent


def test_truncated_normal_has_the_moments_of_scipy():
    from scipy import stats

    generator = torch.Generator().manual_seed(0)
    for mean, deviation in ((0.5, 0.1), (1.0, 0.5), (0.02, 2.0)):
        draws = np.array([truncated_normal(mean, deviation, generator) for _ in range(4000)])
        ends = -mean / deviation, (1 - mean) / deviation
        expected = stats.truncnorm(*ends, loc=mean, scale=deviation)
        assert 0 <= draws.min() <= draws.max() <= 1
        assert stats.kstest(draws, expected.cdf).pvalue > 0.001
    with pytest.raises(ValueError, match=r"mean 1\.5"):
        truncated_normal(1.5, 0.1, generator)
    with pytest.raises(ValueError, match="deviation 0"):
        truncated_normal(0.5, 0, generator)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"warmup": 0}, "warmup must be positive, got 0"),
        ({"noise": -1.0}, "noise must be positive"),
        ({"actor_rate": math.nan}, "actor_rate must be positive, got nan"),
        ({"tau": 0}, r"tau must lie in \(0, 1\], got 0"),
        ({"discount": 1.1}, "discount must lie"),
    ],
)
def test_refused_settings(options, words):
    with pytest.raises(ValueError, match=words):
        AgentSettings(**options)


def test_every_move_of_an_episode_is_remembered_with_the_final_reward():
    agent = Agent(2, 3, settings=FAST, seed=0)
    states = [np.full(2, i, np.float32) for i in range(4)]
    for episode in range(5):  # the memory holds three episodes; the oldest are replaced
        agent.remember(states, [0.1, 0.2, 0.3], float(episode))
    assert agent._stored == 15
    assert agent._memory.shape == (9, 7)
    assert agent._memory[:, 3].tolist() == [3, 3, 3, 4, 4, 4, 2, 2, 2]
    expected = torch.tensor([[0, 0, 0.1], [1, 1, 0.2], [2, 2, 0.3]])
    assert torch.equal(agent._memory[:3, :3], expected)
    assert agent._memory[:3, 4].tolist() == [1, 1, 0]  # nothing follows a last move
    assert agent._memory[:3, 5].tolist() == [1, 2, 3]


def test_an_update_by_hand():
    """Critic, actor and targets after one update, from unfused steps on the same batch."""
    settings = AgentSettings(hidden=(5, 4), batch_size=6, warmup=1, memory=2, discount=0.9, tau=0.3)
    agent, twin = (Agent(2, 3, settings=settings, seed=1) for _ in range(2))
    states = [np.array([i, -i], np.float32) for i in range(4)]
    for one in (agent, twin):
        one.remember(states, [0.1, 0.5, 0.9], 0.7)
    actor, critic = twin.actor, twin.critic
    slow_actor, slow_critic = twin.targets
    rows = twin._memory[torch.randint(3, (6,), generator=twin.generator)]
    state, action, reward, goes_on, following = rows.split([2, 1, 1, 1, 2], 1)
    with torch.no_grad():
        value = slow_critic(torch.cat([following, slow_actor(following)], 1))
        wanted = reward - reward.mean() + 0.9 * goes_on * value
    steps = torch.optim.Adam(critic.parameters(), lr=1e-3)
    (critic(torch.cat([state, action], 1)) - wanted).square().mean().backward()
    steps.step()
    before = [p.clone() for p in twin.targets.parameters()]
    steps = torch.optim.Adam(actor.parameters(), lr=1e-4)
    (-critic(torch.cat([state, actor(state)], 1)).mean()).backward()
    steps.step()
    agent.update()
    assert agent.baseline == pytest.approx(0.7)
    expected = itertools.chain(actor.parameters(), critic.parameters())
    found = itertools.chain(agent.actor.parameters(), agent.critic.parameters())
    for one, other, old, slow in zip(
        found, expected, before, agent.targets.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(slow, old + 0.3 * (other - old))


def test_the_baseline_follows_the_rewards():
    agent = Agent(2, 1, settings=AgentSettings(batch_size=4, memory=1, baseline_rate=0.25), seed=0)
    states = [np.zeros(2, np.float32)] * 2
    agent.remember(states, [0.5], 1.0)
    agent.update()
    assert agent.baseline == 1.0
    agent.remember(states, [0.5], 3.0)
    agent.update()
    assert agent.baseline == 1.5


def test_exploration():
    agent = Agent(2, 3, settings=FAST, seed=0)
    state = np.zeros(2, np.float32)
    actions = [agent.act(state, 3) for _ in range(500)]
    assert 0.45 < np.mean(actions) < 0.55
    assert np.std(actions) == pytest.approx(12**-0.5, abs=0.03)
    assert agent.noise(4) == 0.5
    assert agent.noise(6) == pytest.approx(0.5 * 0.95**2)
    mean = agent.actor(torch.zeros(2)).item()
    late = [agent.act(state, 300) for _ in range(20)]
    assert late == pytest.approx([mean] * 20, abs=1e-4)


# ---------------------------------------------------------------- the search


def rows(found):
    return [tuple(row.values()) for row in found.episodes]


def test_a_search_repeats_itself_and_keeps_the_best(pruner):
    environment = PruningEnvironment(budget(pruner), most_channels)
    found = search(environment, episodes=12, seed=3, settings=FAST)
    again = search(environment, episodes=12, seed=3, settings=FAST)
    other = search(environment, episodes=12, seed=4, settings=FAST)
    assert rows(found) == rows(again) != rows(other)
    assert [row["episode"] for row in found.episodes] == list(range(12))
    best = max(found.episodes, key=lambda row: row["reward"])
    assert found.policy == Policy.of(pruner.structure, best["counts"])
    for row in found.episodes:
        assert environment.budget.structure.macs(row["counts"]) <= environment.budget.limit


def test_a_search_learns(pruner):
    """Channels of late groups are worth more: later episodes beat the random ones before them."""
    environment = PruningEnvironment(budget(pruner), most_channels)
    settings = AgentSettings(
        hidden=(32, 32), warmup=30, decay=0.93, actor_rate=1e-3, critic_rate=1e-2, tau=0.05
    )
    gains = []
    for seed in range(3):
        rewards = [
            row["reward"]
            for row in search(environment, episodes=120, seed=seed, settings=settings).episodes
        ]
        gains.append(np.mean(rewards[-20:]) - np.mean(rewards[:30]))
    assert min(gains) > 0


class Stop(Exception):
    """In the place of a power failure."""


@pytest.mark.parametrize("stop", [1, 5, 9])
@pytest.mark.parametrize("learning", [True, False])
def test_an_interrupted_search_goes_on(pruner, tmp_path, stop, learning):
    """Stopped in the warm-up, or after it, and taken up by new objects: the same episodes."""

    def run(checkpoint=None, limit=99):
        calls = itertools.count()

        def evaluate(counts):
            if next(calls) == limit:
                raise Stop
            return most_channels(counts)

        options = {"episodes": 12, "seed": 0, "checkpoint": checkpoint}
        if learning:
            environment = PruningEnvironment(budget(pruner), evaluate)
            return search(environment, settings=FAST, **options), calls
        return random_search(budget(pruner), evaluate, **options), calls

    expected, _ = run()
    path = tmp_path / "search"
    with pytest.raises(Stop):
        run(Checkpoint(path, every_seconds=0), limit=stop)
    found, calls = run(Checkpoint(path, every_seconds=0))
    assert next(calls) == 12 - stop
    assert rows(found) == rows(expected)
    assert found.policy == expected.policy


def test_random_policies_use_up_the_budget(pruner):
    found = budget(pruner)
    policies = random_search(found, most_channels, episodes=6, seed=0).episodes
    for row in policies:
        assert 0.9 * found.limit < found.structure.macs(row["counts"]) <= found.limit
    assert len({row["counts"] for row in policies}) == 6


def test_of_equal_rewards_the_first_policy_is_kept(pruner):
    rewards = iter([0.2, 0.7, 0.7, 0.1])
    found = random_search(budget(pruner), lambda counts: (next(rewards), {}), episodes=4, seed=0)
    second, third = (found.episodes[number]["counts"] for number in (1, 2))
    assert second != third
    assert found.policy == Policy.of(budget(pruner).structure, second)


def test_refused_searches(pruner):
    with pytest.raises(ValueError, match="episodes must be positive, got 0"):
        random_search(budget(pruner), most_channels, episodes=0, seed=0)
