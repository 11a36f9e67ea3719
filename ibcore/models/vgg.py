"""VGG networks (Simonyan & Zisserman 2015) fitted to images of 32x32 pixels."""

from collections.abc import Sequence

import torch
from torch import nn

from ibcore.models._initial import he
from ibcore.models._width import scaled

POOLING = "M"
CONFIGURATIONS = {
    "vgg11": (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "vgg13": (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "vgg16": (
        *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
        *(512, 512, 512, "M", 512, 512, 512, "M"),
    ),
    "vgg19": (
        *(64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M"),
        *(512, 512, 512, 512, "M", 512, 512, 512, 512, "M"),
    ),
}


class VGG(nn.Module):
    """3x3 convolutions with ReLU, max-poolings, and a fully connected classifier.

    ``features`` is numbered as in torchvision: for VGG16 without batch normalisation 0 is the first
    convolution, 28 the last, and 4, 9, 16, 23, 30 are the poolings. No dropout: its random numbers
    would come from the global generator.

    Parameters
    ----------
    configuration : sequence of int and "M"
        Channels of the convolutions, and ``"M"`` for each 2x2 max-pooling.
    batch_norm : bool
        Batch normalisation after every convolution.
    hidden : sequence of int
        Widths of the hidden fully connected layers.
    width : float
        Factor of all channels and hidden widths.
    channels : int
        Of the images.
    num_classes, generator
        Set by ``ibcore.models.build``.

    References
    ----------
    Simonyan & Zisserman, Very deep convolutional networks for large-scale image recognition, 2015,
    table 1 (columns A, B, D, E). The initial weights are those of ``he``.
    """

    def __init__(
        self,
        *,
        configuration: Sequence[int | str],
        num_classes: int,
        generator: torch.Generator,
        batch_norm: bool = False,
        hidden: Sequence[int] = (512, 512),
        width: float = 1.0,
        channels: int = 3,
    ):
        super().__init__()
        features, before = [], channels
        for entry in configuration:
            if entry == POOLING:
                features.append(nn.MaxPool2d(2))
                continue
            if isinstance(entry, str) or entry < 1:
                raise ValueError(f"a configuration holds channels and 'M', got {entry!r}")
            after = scaled(entry, width)
            features.append(nn.Conv2d(before, after, 3, padding=1))
            if batch_norm:
                features.append(nn.BatchNorm2d(after))
            features.append(nn.ReLU())
            before = after
        if not features:
            raise ValueError("the configuration is empty")
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        classifier = []
        for units in hidden:
            classifier += [nn.Linear(before, scaled(units, width)), nn.ReLU()]
            before = scaled(units, width)
        self.classifier = nn.Sequential(*classifier, nn.Linear(before, num_classes))
        self.measured_layers = [f"features.{number}" for number in range(len(features))]
        he(self, generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, channels, height, width)."""
        return self.classifier(self.avgpool(self.features(images)).flatten(1))
