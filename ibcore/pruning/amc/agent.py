"""The agent of AMC: deep deterministic policy gradient with a reward at the end."""

import copy
import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from ibcore.seeds import derived_seed


@dataclasses.dataclass(frozen=True)
class AgentSettings:
    """The settings of AMC's public program.

    Attributes
    ----------
    hidden : (int, int)
        Units of the two hidden layers of actor and critic.
    actor_rate, critic_rate : float
        Learning rates (Adam).
    tau : float
        Share by which the target networks move towards the trained ones after an update.
    discount : float
        Weight of the value of the next state.
    batch_size : int
        Moves per update, drawn with replacement.
    memory : int
        Episodes that the replay memory holds.
    warmup : int
        First episodes, with uniformly random actions and no update (one more in AMC's program).
    noise, decay : float
        Standard deviation of the exploration after the warm-up, and its factor per episode.
    baseline_rate : float
        Share by which the baseline moves towards the mean reward of a batch.

    Raises
    ------
    ValueError
        For numbers that cannot be, naming the field.
    """

    hidden: tuple[int, int] = (300, 300)
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    tau: float = 0.01
    discount: float = 1.0
    batch_size: int = 64
    memory: int = 100
    warmup: int = 100
    noise: float = 0.5
    decay: float = 0.95
    baseline_rate: float = 0.5

    def __post_init__(self):
        for name in ("actor_rate", "critic_rate", "batch_size", "memory", "warmup", "noise"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("tau", "discount", "decay", "baseline_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {getattr(self, name)}")


def truncated_normal(mean: float, deviation: float, generator: torch.Generator) -> float:
    r"""One draw from a normal distribution limited to [0, 1], by inverting its distribution.

    .. math:: x = \mu + \sigma\,\Phi^{-1}(u), \qquad
        u \sim U\big(\Phi(-\mu/\sigma),\, \Phi((1-\mu)/\sigma)\big)

    Raises ValueError for a mean outside [0, 1] or a deviation that is not positive.

    Examples
    --------
    >>> 0 <= truncated_normal(1.0, 0.5, torch.Generator().manual_seed(0)) <= 1
    True
    """
    if not 0 <= mean <= 1 or not deviation > 0:
        raise ValueError(f"mean {mean} must lie in [0, 1] and deviation {deviation} be positive")
    ends = torch.tensor([-mean, 1 - mean], dtype=torch.float64) / deviation
    low, high = torch.special.ndtr(ends)
    u = low + (high - low) * torch.rand((), dtype=torch.float64, generator=generator)
    return min(max(mean + deviation * torch.special.ndtri(u).item(), 0.0), 1.0)


def _network(inputs: int, hidden: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Two hidden layers with ReLU and one output, with torch's usual initial weights."""
    layers = []
    for before, after in zip((inputs, *hidden), (*hidden, 1), strict=True):
        layer = nn.utils.skip_init(nn.Linear, before, after)
        limit = 1 / math.sqrt(before)
        nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
        nn.init.uniform_(layer.bias, -limit, limit, generator=generator)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Agent:
    r"""Learns which share of channels to keep from (state, action, reward, next state).

    The actor maps a state to a share, the critic a state and a share to a value. An update draws
    moves from the memory, subtracts the moving baseline from their rewards and fits

    .. math:: Q(s, a) \to r - b + \gamma\, Q'(s', \mu'(s')), \qquad
        \mu = \arg\max_\mu Q(s, \mu(s)),

    where Q' and mu' are slowly moving copies and the second term is 0 after a last move.

    Parameters
    ----------
    features : int
        Length of a state.
    moves : int
        Moves of an episode.
    settings : AgentSettings
    seed : int

    References
    ----------
    Lillicrap et al., Continuous control with deep reinforcement learning, 2016, algorithm 1; He et
    al., AMC, 2018, section 3.2.
    """

    def __init__(self, features: int, moves: int, *, settings: AgentSettings, seed: int):
        self.settings = settings
        self.generator = torch.Generator().manual_seed(derived_seed(seed, "agent"))
        body = _network(features, settings.hidden, self.generator)
        self.actor = nn.Sequential(*body, nn.Sigmoid())
        self.critic = _network(features + 1, settings.hidden, self.generator)
        self.targets = nn.ModuleList([copy.deepcopy(self.actor), copy.deepcopy(self.critic)])
        self._actor_steps = torch.optim.Adam(
            self.actor.parameters(), lr=settings.actor_rate, fused=True
        )
        self._critic_steps = torch.optim.Adam(
            self.critic.parameters(), lr=settings.critic_rate, fused=True
        )
        self._memory = torch.zeros(settings.memory * moves, 2 * features + 3)
        self._features, self._stored = features, 0
        self.baseline = math.nan

    @property
    def _networks(self):
        return nn.ModuleList([self.actor, self.critic])

    def noise(self, episode: int) -> float:
        """Standard deviation of the exploration in an episode after the warm-up."""
        return self.settings.noise * self.settings.decay ** (episode - self.settings.warmup)

    @torch.no_grad()
    def act(self, state, episode: int) -> float:
        """A share of channels for a state: random in the warm-up, then the actor's with noise."""
        if episode < self.settings.warmup:
            return torch.rand((), generator=self.generator).item()
        mean = self.actor(torch.as_tensor(state)).item()
        return truncated_normal(mean, self.noise(episode), self.generator)

    def remember(self, states, actions: Sequence[float], reward: float) -> None:
        """Store an episode; every move gets the reward of the last one.

        ``states`` has one more row than there are actions.
        """
        states = torch.stack([torch.as_tensor(state) for state in states])
        count = len(actions)
        rows = torch.cat(
            [
                states[:-1],
                torch.tensor(actions)[:, None],
                torch.full((count, 1), reward),
                (torch.arange(count) < count - 1).float()[:, None],
                states[1:],
            ],
            dim=1,
        )
        places = (self._stored + torch.arange(count)) % len(self._memory)
        self._memory[places] = rows
        self._stored += count

    def update(self) -> None:
        """One step of critic and actor on moves from the memory."""
        settings = self.settings
        stored = min(self._stored, len(self._memory))
        chosen = torch.randint(stored, (settings.batch_size,), generator=self.generator)
        n = self._features
        state, action, reward, goes_on, following = self._memory[chosen].split([n, 1, 1, 1, n], 1)
        mean = reward.mean().item()
        if math.isnan(self.baseline):
            self.baseline = mean
        self.baseline += settings.baseline_rate * (mean - self.baseline)
        with torch.no_grad():
            actor, critic = self.targets
            value = critic(torch.cat([following, actor(following)], 1))
            wanted = reward - self.baseline + settings.discount * goes_on * value
        loss = functional.mse_loss(self.critic(torch.cat([state, action], 1)), wanted)
        _step(self._critic_steps, loss)
        _step(self._actor_steps, -self.critic(torch.cat([state, self.actor(state)], 1)).mean())
        with torch.no_grad():
            trained = self._networks.parameters()
            for slow, fast in zip(self.targets.parameters(), trained, strict=True):
                slow.lerp_(fast, settings.tau)

    def state_dict(self) -> dict:
        """Everything that an interrupted search needs; tensors and plain values only."""
        return {
            "networks": self._networks.state_dict(),
            "targets": self.targets.state_dict(),
            "actor_steps": self._actor_steps.state_dict(),
            "critic_steps": self._critic_steps.state_dict(),
            "memory": self._memory,
            "stored": self._stored,
            "baseline": self.baseline,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Take back what ``state_dict`` gave."""
        self._networks.load_state_dict(state["networks"])
        self.targets.load_state_dict(state["targets"])
        self._actor_steps.load_state_dict(state["actor_steps"])
        self._critic_steps.load_state_dict(state["critic_steps"])
        self._memory.copy_(state["memory"])
        self._stored, self.baseline = state["stored"], state["baseline"]
        self.generator.set_state(state["generator"])


def _step(optimiser, loss):
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
