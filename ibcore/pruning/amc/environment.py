"""Pruning as a game: one share of channels per move, the reward at the end."""

from collections.abc import Callable, Sequence

import gymnasium
import numpy as np

from ibcore.pruning.amc.structure import Budget

FEATURES = (
    *("index", "linear", "inputs", "outputs", "stride", "kernel", "weights"),
    *("reduced", "rest", "previous"),
)


class PruningEnvironment(gymnasium.Env):
    """One episode decides, group by group, how many channels of a network stay.

    The observation of a move describes the first layer that reads the group: its place in the
    network, kind, inputs, outputs, stride, kernel and number of weights, each scaled to [0, 1] by
    its smallest and largest value over the moves; then the share of all multiply-accumulates that
    the earlier moves have saved, the share that belongs to layers whose inputs are decided later,
    and the share of channels kept by the previous move (1 at the start). The action is the share
    of channels to keep; ``Budget.wall`` cuts it. All rewards are 0 but the last.

    Parameters
    ----------
    budget : Budget
    evaluate : callable
        Takes the numbers of channels kept, one per group, and returns the reward and a mapping
        with more about it, as ``Evaluation`` does. The last ``info`` holds both.

    References
    ----------
    He et al., AMC: AutoML for model compression and acceleration on mobile devices, 2018,
    section 3.2. The features are those of its public program, which has no height, width and
    multiply-accumulates of the layer; there, ``rest`` mixes weights and multiply-accumulates.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, budget: Budget, evaluate: Callable[[Sequence[int]], tuple[float, dict]]):
        self.budget, self._evaluate = budget, evaluate
        structure = budget.structure
        self.action_space = gymnasium.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (len(FEATURES),), np.float32)
        layers = structure.layers
        firsts = [structure.readers(group)[0] for group in range(len(structure.channels))]
        fixed = np.array(
            [
                (layers.index(x), x.linear, x.inputs, x.outputs, x.stride, x.kernel, x.weights)
                for x in firsts
            ],
            dtype=float,
        )
        span = np.ptp(fixed, axis=0)
        self._fixed = (fixed - fixed.min(0)) / np.where(span > 0, span, 1)
        later = np.array([-1 if layer.reads is None else layer.reads for layer in layers])
        macs = np.array([layer.macs for layer in layers])
        self._rest = [int(macs[later > group].sum()) for group in range(len(firsts))]
        self._counts: list[int] = []

    def _observation(self) -> np.ndarray:
        structure, total = self.budget.structure, self.budget.total
        decided = len(self._counts)
        move = min(decided, len(self._rest) - 1)
        saved = total - structure.macs([*self._counts, *structure.channels[decided:]])
        previous = self._counts[-1] / structure.channels[decided - 1] if decided else 1.0
        changing = [saved / total, self._rest[move] / total, previous]
        return np.array([*self._fixed[move], *changing], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Start an episode; the observation of the first move and an empty mapping."""
        super().reset(seed=seed)
        self._counts = []
        return self._observation(), {}

    def step(self, action):
        """Decide one group; observation, reward, terminated, truncated (never), info.

        ``info`` holds ``kept``, the number of channels of the move, and after the last move
        ``counts``, the numbers of all, and what the evaluation says. Raises ValueError for an
        action that is not a share, and for a move after the last one.
        """
        ratio = float(np.asarray(action).item())
        if not 0 <= ratio <= 1:
            raise ValueError(f"an action is a share of channels in [0, 1], got {ratio}")
        if len(self._counts) == len(self._rest):
            raise ValueError(f"all {len(self._rest)} moves are made; reset starts a new episode")
        self._counts.append(self.budget.wall(self._counts, ratio))
        info = {"kept": self._counts[-1]}
        last = len(self._counts) == len(self._rest)
        reward = 0.0
        if last:
            reward, more = self._evaluate(self._counts)
            info |= {**more, "counts": tuple(self._counts)}
        return self._observation(), reward, last, False, info
