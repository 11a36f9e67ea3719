"""Information-bottleneck measurements of deep networks, and the experiments that rest on them."""

__version__ = "0.1.0"
