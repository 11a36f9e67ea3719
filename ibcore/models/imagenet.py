"""Classifiers of large pictures as torchvision defines them, and a small LeNet-5 beside them."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

NAMES = ("alexnet", "vgg16", "resnet50", "squeezenet1_0", "squeezenet1_1")


def imagenet_network(name: str, *, num_classes: int, generator: torch.Generator) -> nn.Module:
    """A network of torchvision for pictures of 224x224, with torchvision's own initial weights.

    Dropout is off: its random numbers would come from the global generator.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    num_classes, generator
        Set by ``ibcore.models.build``, inside a fork of the global generator: torchvision draws
        from that one, which is given the state of ``generator``.

    Returns
    -------
    torch.nn.Module
        Its ``measured_layers`` are all modules of ``features``; of the ResNet, everything before
        the first block, and whole blocks.
    """
    from ibcore._torchvision import torchvision  # takes a second, which few callers need

    torch.set_rng_state(generator.get_state())
    options = {} if name == "resnet50" else {"dropout": 0.0}
    model = getattr(torchvision.models, name)(num_classes=num_classes, **options)
    if name == "resnet50":
        stages = [f"layer{i}" for i in range(1, 5)]
        blocks = [f"{s}.{number}" for s in stages for number in range(len(getattr(model, s)))]
        model.measured_layers = ["conv1", "bn1", "relu", "maxpool", *blocks]
    else:
        model.measured_layers = [f"features.{number}" for number in range(len(model.features))]
    return model


class LeNet(nn.Module):
    """Two 5x5 convolutions with ReLU, with or without pooling, then three linear layers.

    Parameters
    ----------
    channels : (int, int)
    pooling : bool
        A 2x2 maximum after each ReLU. Without it nothing but the edges is lost.
    image : (channels, height, width)
        Shape of one input.
    num_classes, generator
        Set by ``ibcore.models.build``; torch's own initial weights are drawn from ``generator``.

    References
    ----------
    Muşat's thesis, section 2.1.4, tells of "a custom LeNet-5-like network" without details.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        generator: torch.Generator,
        channels: Sequence[int] = (6, 16),
        pooling: bool = True,
        image: Sequence[int] = (3, 32, 32),
    ):
        super().__init__()
        torch.set_rng_state(generator.get_state())
        before, height, width = image
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, after in enumerate(channels, start=1):
            layers[f"conv{number}"] = nn.Conv2d(before, after, 5)
            layers[f"relu{number}"] = nn.ReLU()
            height, width, before = height - 4, width - 4, after
            if pooling:
                layers[f"pool{number}"] = nn.MaxPool2d(2)
                height, width = height // 2, width // 2
        if min(height, width) < 1:
            raise ValueError(f"nothing is left of a {image[1]}x{image[2]} image")
        self.features = nn.Sequential(layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(before * height * width, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
        self.measured_layers = [f"features.{name}" for name in layers]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, channels, height, width)."""
        return self.classifier(self.features(inputs))
