"""One module per family of experiment: a config dataclass and ``run(config, seed, ...)``."""
