"""Residual networks for 32x32 images (He et al. 2016, section 4.2)."""

from collections import OrderedDict

import torch
from torch import nn

from ibcore.models._initial import he
from ibcore.models._width import scaled


class Shortcut(nn.Module):
    """Every other pixel, with channels of zeros on both sides (option A, without parameters).

    Which input channel goes where is kept explicitly, so that channels can be removed on either
    side: output ``placed[i]`` is input ``taken[i]``, all other outputs are zero.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.in_channels, self.out_channels, self.stride = before, after, stride
        start = (after - before) // 2
        self.register_buffer("taken", torch.arange(before), persistent=False)
        self.register_buffer("placed", torch.arange(start, start + before), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, out_channels, h / stride, w / stride)."""
        short = inputs[:, self.taken, :: self.stride, :: self.stride]
        n, _, h, w = short.shape
        return short.new_zeros(n, self.out_channels, h, w).index_copy(1, self.placed, short)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: the input itself, or ``Shortcut`` between stages."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu2 = nn.ReLU()
        plain = before == after and stride == 1
        self.shortcut = nn.Identity() if plain else Shortcut(before, after, stride)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, after, h / stride, w / stride)."""
        outputs = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(inputs)))))
        return self.relu2(outputs + self.shortcut(inputs))


class ResNet(nn.Module):
    """One convolution, three stages of blocks with 16, 32 and 64 channels, mean, classifier.

    Parameters
    ----------
    depth : int
        Number of layers with weights, 6 n + 2 for n blocks in each stage.
    width : float
        Factor of all channels.
    channels : int
        Of the images.
    num_classes, generator
        Set by ``ibcore.models.build``.

    References
    ----------
    He, Zhang, Ren & Sun, Deep residual learning for image recognition, 2016, section 4.2.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_classes: int,
        generator: torch.Generator,
        width: float = 1.0,
        channels: int = 3,
    ):
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"depth must be 8, 14, 20, ... (6 n + 2), got {depth}")
        before = scaled(16, width)
        self.conv1 = nn.Conv2d(channels, before, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self.measured_layers = ["conv1", "bn1", "relu"]
        for stage, wanted in enumerate((16, 32, 64), start=1):
            blocks = OrderedDict()
            for number in range((depth - 2) // 6):
                after = scaled(wanted, width)
                stride = 2 if stage > 1 and number == 0 else 1
                blocks[str(number)] = Block(before, after, stride)
                self.measured_layers.append(f"layer{stage}.{number}")
                before = after
            self.add_module(f"layer{stage}", nn.Sequential(blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(before, num_classes)
        he(self, generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, channels, height, width)."""
        outputs = self.relu(self.bn1(self.conv1(images)))
        outputs = self.layer3(self.layer2(self.layer1(outputs)))
        return self.fc(self.avgpool(outputs).flatten(1))
