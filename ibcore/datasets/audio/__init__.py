"""Music clips as log-mel spectrograms: FMA-small, folders of one's own, GTZAN, simulated genres."""

from ibcore.datasets.audio import fma, genres, gtzan, spectrograms

__all__ = ["fma", "genres", "gtzan", "spectrograms"]
