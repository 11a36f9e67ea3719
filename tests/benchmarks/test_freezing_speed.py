"""An epoch of VGG16 with the document's frozen layers and the measurement, beside a normal one."""

import pytest
import torch

from ibcore import models
from ibcore.freezing import LayerFreezing, Rule, convolutions, freeze
from ibcore.training import Callback, fit

pytestmark = pytest.mark.benchmark

FROZEN = {
    "the document's layers": [0, 7, 14, 17, 26, 28],
    "as many from the front": [0, 2, 5, 7, 10, 12],
}


class Freeze(Callback):
    def __init__(self, index, numbers):
        self._index, self._numbers = index, numbers

    def on_start(self, replicas):
        for number in self._numbers:
            freeze(replicas.network(self._index), f"features.{number}")


@pytest.mark.parametrize("kind", FROZEN)
def test_epoch(kind, record_ratio):
    """The two networks take turns within every step; 1,000 images, a quarter of the width."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1000, 3, 32, 32, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(10, (1000,), generator=generator)
    rules = {"frozen": Rule(epsilon=1e-12), "normal": Rule(choose="never")}
    freezing = LayerFreezing(images, rows=torch.arange(1000), rules=rules, seeds=[0])
    networks = [models.build("vgg16", width=1 / 4, seed=0) for _ in rules]
    assert len(convolutions(networks[0])) == 13
    fit(
        [network.to(memory_format=torch.channels_last) for network in networks],
        images,
        labels,
        seeds=[0, 0],
        epochs=3,
        batch_size=50,
        optimiser="sgd",
        callbacks=[Freeze(0, FROZEN[kind]), freezing],
    )
    warm = [row for row in freezing.times if row["epoch"] > 1]
    frozen = [row["training"] + row["measuring"] for row in warm if row["method"] == "frozen"]
    normal = [row["training"] for row in warm if row["method"] == "normal"]
    record_ratio(
        f"epoch with frozen layers: {kind}", min(frozen), min(normal), "normal; measuring included"
    )
