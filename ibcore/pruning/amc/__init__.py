"""AutoML for model compression (AMC): an agent decides how many channels of each layer stay.

``Pruner`` makes physically smaller networks, ``Budget`` limits their multiply-accumulates,
``Evaluation`` rewards them (accuracy, spatial entropy, or a function of your own),
``PruningEnvironment`` plays one episode and ``search`` many. The found ``Policy`` is stored as JSON
and ``apply_policy`` prunes a fresh network with it.
"""

from ibcore.pruning.amc.agent import Agent, AgentSettings
from ibcore.pruning.amc.environment import PruningEnvironment
from ibcore.pruning.amc.policy import Policy, Pruner, apply_policy
from ibcore.pruning.amc.rewards import (
    REWARDS,
    Candidate,
    Evaluation,
    convolution_entropy,
)
from ibcore.pruning.amc.search import Search, random_search, search
from ibcore.pruning.amc.structure import Budget, Structure, trace

__all__ = [
    "REWARDS",
    "Agent",
    "AgentSettings",
    "Budget",
    "Candidate",
    "Evaluation",
    "Policy",
    "Pruner",
    "PruningEnvironment",
    "Search",
    "Structure",
    "apply_policy",
    "convolution_entropy",
    "random_search",
    "search",
    "trace",
]
