"""Plain convolutional networks of Li & Liu."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from ibcore.models._initial import activation as make_activation
from ibcore.models._initial import glorot_uniform


class CNN(nn.Module):
    """A stack of convolutions and fully connected layers, returning logits.

    The first convolution keeps the size of the image (padding ``same``), the others shrink it
    (``valid``); stride 1, Glorot-uniform weights, zero biases.

    Parameters
    ----------
    widths : sequence of int
        Channels of the convolutions, called ``conv1``, ``conv2``, ...; the last layer is
        ``output``.
    kernel_size : int
        Side of the square kernels.
    pool_after : int, optional
        Number of the convolution that a 2x2 max pooling follows, called ``pool``.
    dense : sequence of int
        Units of fully connected layers before the output, called ``dense1``, ``dense2``, ...
    activation : {"tanh", "relu"}
    image : (channels, height, width)
        Shape of one input.
    num_classes, generator
        Set by ``ibcore.models.build``.

    References
    ----------
    Li & Liu, Information Bottleneck Methods on Convolutional Neural Networks, Fig. 3.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        num_classes: int,
        generator: torch.Generator,
        kernel_size: int = 3,
        pool_after: int | None = None,
        dense: Sequence[int] = (),
        activation: str = "tanh",
        image: Sequence[int] = (1, 28, 28),
    ):
        super().__init__()
        if kernel_size < 1:
            raise ValueError(f"kernel_size must be positive, got {kernel_size}")
        if not widths or any(width < 1 for width in widths):
            raise ValueError(f"widths must be positive and at least one, got {tuple(widths)}")
        if any(units < 1 for units in dense):
            raise ValueError(f"dense layers need at least one unit, got {tuple(dense)}")
        if pool_after is not None and not 1 <= pool_after <= len(widths):
            raise ValueError(f"pool_after must lie in 1..{len(widths)}, got {pool_after}")
        channels, *sides = image
        self.measured_layers = []
        for number, after in enumerate(widths, start=1):
            padding = "same" if number == 1 else "valid"
            convolution = nn.Conv2d(channels, after, kernel_size, padding=padding)
            self._add(f"conv{number}", convolution, activation, generator)
            channels = after
            sides = [side - (kernel_size - 1) * (number > 1) for side in sides]
            if number == pool_after:
                self.pool = nn.MaxPool2d(2)
                self.measured_layers.append("pool")
                sides = [side // 2 for side in sides]
            if min(sides) < 1:
                raise ValueError(
                    f"{number} convolutions of {kernel_size}x{kernel_size} leave nothing of a "
                    f"{image[1]}x{image[2]} image"
                )
        self.flatten = nn.Flatten()
        before = channels * sides[0] * sides[1]
        for number, units in enumerate(dense, start=1):
            self._add(f"dense{number}", nn.Linear(before, units), activation, generator)
            before = units
        self.output = nn.Linear(before, num_classes)
        glorot_uniform(self.output, generator)
        self.measured_layers.append("output")

    def _add(self, name: str, layer: nn.Module, activation: str, generator) -> None:
        """Append a layer and its activation under one name."""
        glorot_uniform(layer, generator)
        kind = "convolution" if isinstance(layer, nn.Conv2d) else "linear"
        block = OrderedDict([(kind, layer), ("activation", make_activation(activation))])
        self.add_module(name, nn.Sequential(block))
        self.measured_layers.append(name)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, channels, height, width)."""
        for name in self.measured_layers:
            if inputs.ndim > 2 and name.startswith(("dense", "output")):
                inputs = self.flatten(inputs)
            inputs = getattr(self, name)(inputs)
        return inputs
