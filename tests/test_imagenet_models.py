"""torchvision's own networks behind `build`, and the LeNet-5-like one."""

import pytest
import torch
from torch import nn

from ibcore import models
from ibcore._torchvision import torchvision
from ibcore.models import imagenet


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "parameters", "layers"),
    [("alexnet", 61_100_840, 13), ("resnet50", 25_557_032, 20), ("squeezenet1_1", 1_235_496, 13)],
)
def test_torchvision_networks(name, parameters, layers):
    model = models.build(f"imagenet_{name}", num_classes=1000, seed=3)
    assert count(model) == parameters
    assert len(model.measured_layers) == layers
    assert set(model.measured_layers) <= dict(model.named_modules()).keys()
    assert all(part.p == 0 for part in model.modules() if isinstance(part, nn.Dropout))
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(3).get_state())
        theirs = getattr(torchvision.models, name)()
    ours = model.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in theirs.state_dict().items())


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    one, same, other = (models.build("lenet", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [model.features.conv1.weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("pooling", [True, False])
def test_lenet(pooling):
    model = models.build("lenet", pooling=pooling)
    side = 5 if pooling else 24
    dense = 16 * side * side * 120 + 120 + 120 * 84 + 84 + 84 * 10 + 10
    assert count(model) == 75 * 6 + 6 + 150 * 16 + 16 + dense
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    kinds = ["conv", "relu", "pool"] if pooling else ["conv", "relu"]
    assert model.measured_layers == [f"features.{k}{i}" for i in (1, 2) for k in kinds]


def test_lenet_needs_a_large_enough_image():
    with pytest.raises(ValueError, match="nothing is left of a 10x32 image"):
        models.build("lenet", image=(3, 10, 32))


def test_all_networks_are_known():
    assert {f"imagenet_{name}" for name in imagenet.NAMES} <= set(models.names())
