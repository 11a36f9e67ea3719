"""The two small convolutional networks of the Padova project, for spectrograms."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from ibcore.models._initial import activation as make_activation
from ibcore.models._initial import glorot_uniform

POOLINGS = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


def _pooling(name: str) -> nn.Module:
    if name not in POOLINGS:
        raise ValueError(f"unknown pooling {name!r}; known: {', '.join(POOLINGS)}")
    return POOLINGS[name](1)


def _positive(name: str, values: Sequence[int]) -> None:
    if any(value < 1 for value in values):
        raise ValueError(f"{name} must be positive, got {tuple(values)}")


def _convolution(before, after, kernel_size, stride, generator, *, bias=True) -> nn.Conv2d:
    """Glorot-uniform convolution with zero bias; with stride 1 it keeps the size of the image."""
    layer = nn.Conv2d(
        before, after, kernel_size, stride=stride, padding=kernel_size // 2, bias=bias
    )
    if bias:
        glorot_uniform(layer, generator)
    else:
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    return layer


class SimpleCNN(nn.Module):
    """Four blocks of convolution, activation and batch normalisation; pooling; one linear layer.

    The blocks are called ``conv1`` ... ``conv4``, each with the modules ``convolution``,
    ``activation`` and ``normalisation`` in this order; then ``pool`` and ``output`` (logits).
    Measured are the activations, where tanh is bounded, the pooled layer and the output. In
    evaluation mode batch normalisation uses its running statistics; before the first step these
    are 0 and 1, so that it does nothing.

    Parameters
    ----------
    channels : sequence of int
        Filters of the convolutions. The slides have 4, 8, 16, 32 and "from 8 to 32".
    kernel_size, stride : int
        Of every convolution; the slides do not print them.
    activation : {"tanh", "relu"}
    pooling : {"average", "max"}
        Over the whole map.
    in_channels : int
    num_classes, generator
        Set by ``ibcore.models.build``.

    Raises
    ------
    ValueError
        Channels, kernel size or stride that are not positive, no channels, an unknown activation or
        pooling.

    References
    ----------
    Padova slides, "Case study: Convolutional Neural Networks".
    """

    def __init__(
        self,
        *,
        num_classes: int,
        generator: torch.Generator,
        channels: Sequence[int] = (4, 8, 16, 32),
        kernel_size: int = 3,
        stride: int = 2,
        activation: str = "relu",
        pooling: str = "average",
        in_channels: int = 1,
    ):
        super().__init__()
        _positive("channels, kernel_size and stride", (*(channels or [0]), kernel_size, stride))
        before = in_channels
        for number, after in enumerate(channels, start=1):
            block = OrderedDict(
                convolution=_convolution(before, after, kernel_size, stride, generator),
                activation=make_activation(activation),
                normalisation=nn.BatchNorm2d(after),
            )
            self.add_module(f"conv{number}", nn.Sequential(block))
            before = after
        self.pool = _pooling(pooling)
        self.output = nn.Linear(before, num_classes)
        glorot_uniform(self.output, generator)
        self._blocks = [f"conv{i}" for i in range(1, len(channels) + 1)]
        self.measured_layers = [f"{name}.activation" for name in self._blocks] + ["pool", "output"]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of spectrograms (n, in_channels, height, width)."""
        for name in self._blocks:
            inputs = getattr(self, name)(inputs)
        return self.output(self.pool(inputs).flatten(1))


class _Residual(nn.Module):
    """Two normalised convolutions beside a shortcut, joined before the last activation."""

    def __init__(self, before, after, stride, activation, generator):
        super().__init__()
        self.conv1 = _convolution(before, after, 3, stride, generator, bias=False)
        self.normalisation1 = nn.BatchNorm2d(after)
        self.activation1 = make_activation(activation)
        self.conv2 = _convolution(after, after, 3, 1, generator, bias=False)
        self.normalisation2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                _convolution(before, after, 1, stride, generator, bias=False),
                nn.BatchNorm2d(after),
            )
        self.activation2 = make_activation(activation)

    def forward(self, inputs):
        inner = self.activation1(self.normalisation1(self.conv1(inputs)))
        return self.activation2(self.normalisation2(self.conv2(inner)) + self.shortcut(inputs))


class MiniResNet(nn.Module):
    """One convolution, two residual layers of some blocks each, pooling, one linear layer.

    The modules are ``conv1``, ``layer1.0``, ``layer1.1``, ..., ``layer2.0``, ..., ``pool`` and
    ``output`` (logits); all of them are measured, and the last block of a layer is the layer. The
    second residual layer halves the image.

    Parameters
    ----------
    channels : (int, int, int)
        Filters of the convolution and of the two residual layers.
    blocks : int
        Residual blocks of each layer; the slides show several without their number.
    stride : int
        Of the first convolution.
    activation : {"relu", "tanh"}
    pooling : {"average", "max"}
        Over the whole map. The slides name max pooling in the text and average pooling in the
        figures.
    in_channels : int
    num_classes, generator
        Set by ``ibcore.models.build``.

    Raises
    ------
    ValueError
        Channels, blocks or stride that are not positive, other than three channels, an unknown
        activation or pooling.

    References
    ----------
    Padova slides, "ResNet"; He, Zhang, Ren and Sun (2015), arXiv:1512.03385, Fig. 2.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        generator: torch.Generator,
        channels: Sequence[int] = (16, 16, 32),
        blocks: int = 2,
        stride: int = 2,
        activation: str = "relu",
        pooling: str = "average",
        in_channels: int = 1,
    ):
        super().__init__()
        if len(channels) != 3:
            raise ValueError(f"channels must be three numbers, got {tuple(channels)}")
        _positive("channels, blocks and stride", (*channels, blocks, stride))
        first, *others = channels
        self.conv1 = nn.Sequential(
            OrderedDict(
                convolution=_convolution(in_channels, first, 3, stride, generator, bias=False),
                normalisation=nn.BatchNorm2d(first),
                activation=make_activation(activation),
            )
        )
        before = first
        for number, after in enumerate(others, start=1):
            layer = nn.Sequential()
            for block in range(blocks):
                shrink = 2 if number == 2 and block == 0 else 1
                layer.append(_Residual(before, after, shrink, activation, generator))
                before = after
            self.add_module(f"layer{number}", layer)
        self.pool = _pooling(pooling)
        self.output = nn.Linear(before, num_classes)
        glorot_uniform(self.output, generator)
        inside = [f"layer{number}.{block}" for number in (1, 2) for block in range(blocks)]
        self.measured_layers = ["conv1", *inside, "pool", "output"]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of spectrograms (n, in_channels, height, width)."""
        maps = self.layer2(self.layer1(self.conv1(inputs)))
        return self.output(self.pool(maps).flatten(1))
