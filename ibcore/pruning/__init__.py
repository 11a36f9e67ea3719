"""Smaller networks: channels, layers and whole budgets removed by information, and physically."""
