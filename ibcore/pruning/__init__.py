"""Smaller networks: channels, layers and whole budgets removed by information, and physically."""

from ibcore.pruning.amc import Policy, apply_policy

__all__ = ["Policy", "apply_policy"]
