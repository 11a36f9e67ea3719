"""Plain convolutional networks of Li & Liu."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from ibcore.models._initial import activation as make_activation
from ibcore.models._initial import glorot_uniform


class CNN(nn.Module):
    """A stack of convolutions and one fully connected output layer, returning logits.

    The first convolution keeps the size of the image (padding ``same``), the others shrink it
    (``valid``); stride 1, Glorot-uniform weights, zero biases.

    Parameters
    ----------
    widths : sequence of int
        Channels of the convolutions, called ``conv1``, ``conv2``, ...; the last layer is
        ``output``.
    kernel_size : int
        Side of the square kernels.
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
        activation: str = "tanh",
        image: Sequence[int] = (1, 28, 28),
    ):
        super().__init__()
        if not widths or any(width < 1 for width in widths):
            raise ValueError(f"widths must be positive and at least one, got {tuple(widths)}")
        channels, height, width = image
        shrink = (kernel_size - 1) * (len(widths) - 1)
        if kernel_size < 1 or min(height, width) <= shrink:
            raise ValueError(
                f"{len(widths)} convolutions of {kernel_size}x{kernel_size} leave nothing of a "
                f"{height}x{width} image"
            )
        for number, after in enumerate(widths, start=1):
            padding = "same" if number == 1 else "valid"
            convolution = nn.Conv2d(channels, after, kernel_size, padding=padding)
            glorot_uniform(convolution, generator)
            block = OrderedDict(convolution=convolution, activation=make_activation(activation))
            self.add_module(f"conv{number}", nn.Sequential(block))
            channels = after
        self.flatten = nn.Flatten()
        self.output = nn.Linear(channels * (height - shrink) * (width - shrink), num_classes)
        glorot_uniform(self.output, generator)
        self.measured_layers = [f"conv{i}" for i in range(1, len(widths) + 1)] + ["output"]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, channels, height, width)."""
        for name in self.measured_layers[:-1]:
            inputs = getattr(self, name)(inputs)
        return self.output(self.flatten(inputs))
