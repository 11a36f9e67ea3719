"""The search: play episodes, learn from their rewards, keep the best policy."""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from ibcore.pruning.amc.agent import Agent, AgentSettings
from ibcore.pruning.amc.environment import PruningEnvironment
from ibcore.pruning.amc.policy import Policy
from ibcore.pruning.amc.structure import Budget
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint


@dataclasses.dataclass(frozen=True)
class Search:
    """A finished search.

    Attributes
    ----------
    episodes : list of dict
        ``episode``, ``reward``, ``counts`` and what the evaluation says about the candidate.
    policy : Policy
        Of the episode with the largest reward, the first one of equals.
    """

    episodes: list[dict]
    policy: Policy


def search(
    environment: PruningEnvironment,
    *,
    episodes: int,
    seed: int,
    settings: AgentSettings | None = None,
    checkpoint: Checkpoint | None = None,
    description: str = "search",
) -> Search:
    """Search for the numbers of channels with the largest reward.

    Parameters
    ----------
    environment : PruningEnvironment
    episodes : int
        Including the warm-up.
    seed : int
        Of the agent; equal seeds give equal searches.
    settings : AgentSettings, optional
    checkpoint : Checkpoint, optional
        Written while searching, read at the start: an interrupted search goes on and ends with
        the same numbers. It is removed by whoever stores the result.
    description : str
        Text of the progress bar, which shows the best reward and its share of
        multiply-accumulates.

    Raises
    ------
    ValueError
        For fewer than one episode.
    """
    agent = Agent(
        environment.observation_space.shape[0],
        len(environment.budget.structure.channels),
        settings=settings or AgentSettings(),
        seed=seed,
    )

    def play(episode):
        return _play(environment, agent, episode)

    return _search(environment.budget, play, agent, episodes, checkpoint, description)


def random_search(
    budget: Budget,
    evaluate: Callable[[Sequence[int]], tuple[float, dict]],
    *,
    episodes: int,
    seed: int,
    checkpoint: Checkpoint | None = None,
    description: str = "random search",
) -> Search:
    """The best of random policies that all use up the budget, see ``Budget.fit``.

    The ratios of the groups are drawn uniformly from (0, 1]. Parameters and errors are those of
    ``search``; ``evaluate`` is that of ``PruningEnvironment``.
    """

    def play(episode):
        generator = torch.Generator().manual_seed(derived_seed(seed, f"random policy {episode}"))
        ratios = 1 - torch.rand(len(budget.structure.channels), generator=generator)
        counts = budget.fit(ratios.tolist())
        reward, info = evaluate(counts)
        return {"episode": episode, "reward": reward, **info, "counts": counts}

    return _search(budget, play, None, episodes, checkpoint, description)


def _search(budget, play, agent, episodes, checkpoint, description) -> Search:
    """Play episodes; with a checkpoint their rows and the agent, if there is one, are kept."""
    if episodes < 1:
        raise ValueError(f"episodes must be positive, got {episodes}")
    rows: list[dict] = []
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        rows = state["episodes"]
        if agent:
            agent.load_state_dict(state["agent"])
    with tqdm(
        total=episodes,
        initial=len(rows),
        desc=description,
        unit="episode",
        mininterval=1.0,
        leave=False,
    ) as bar:
        for episode in range(len(rows), episodes):
            rows.append(play(episode))
            best = _best(rows)
            macs = budget.structure.macs(best["counts"]) / budget.total
            text = f"best reward {best['reward']:.3f}, FLOPs {macs:.1%}"
            bar.set_postfix_str(text, refresh=False)
            bar.update()
            if checkpoint and checkpoint.due():
                checkpoint.save({"episodes": rows, "agent": agent.state_dict() if agent else {}})
    return Search(rows, Policy.of(budget.structure, _best(rows)["counts"]))


def _best(rows: list[dict]) -> dict:
    return max(rows, key=lambda row: row["reward"])


def _play(environment: PruningEnvironment, agent: Agent, episode: int) -> dict:
    """One episode; after the warm-up the agent learns at every move."""
    state, _ = environment.reset()
    states, actions, finished = [state], [], False
    while not finished:
        actions.append(agent.act(states[-1], episode))
        state, reward, finished, _, info = environment.step([actions[-1]])
        states.append(state)
        if episode >= agent.settings.warmup:
            agent.update()
    agent.remember(states, actions, reward)
    info.pop("kept")
    return {"episode": episode, "reward": reward, **info}
