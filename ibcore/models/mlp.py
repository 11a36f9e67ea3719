"""Multilayer perceptrons, also several of one shape computed at once."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ibcore.models._initial import activation as make_activation
from ibcore.models._initial import initialise


class StackableLinear(nn.Linear):
    """A linear layer that also takes stacked weights (replicas, out, in).

    With stacked weights the input is (replicas, batch, in) and every replica meets its own weights
    in one batched product; with ordinary weights it is ``torch.nn.Linear``.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, out), or (replicas, batch, out) with stacked weights."""
        if self.weight.dim() == 2:
            return super().forward(inputs)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight.mT)


class MLP(nn.Module):
    """Fully connected network with one activation function, returning logits.

    Parameters
    ----------
    n_inputs : int
        Number of values in an input.
    hidden : sequence of int
        Widths of the hidden layers, called ``hidden1``, ``hidden2``, ...; the last layer is
        ``output``.
    activation : {"tanh", "relu"}
    init : {"ibsgd", "idnns", "glorot"}
        Initial weights; the first two are those of the public programs of Saxe et al. and of
        Shwartz-Ziv & Tishby.
    num_classes, generator
        Set by ``ibcore.models.build``.
    """

    stackable = True

    def __init__(
        self,
        *,
        n_inputs: int,
        hidden: Sequence[int],
        num_classes: int,
        generator: torch.Generator,
        activation: str = "tanh",
        init: str = "glorot",
    ):
        super().__init__()
        if n_inputs < 1 or any(width < 1 for width in hidden):
            raise ValueError(f"layer widths must be positive, got {n_inputs} and {tuple(hidden)}")
        widths = [n_inputs, *hidden]
        for number, (before, after) in enumerate(pairwise(widths), start=1):
            block = OrderedDict(
                linear=StackableLinear(before, after), activation=make_activation(activation)
            )
            self.add_module(f"hidden{number}", nn.Sequential(block))
        self.output = StackableLinear(widths[-1], num_classes)
        self.measured_layers = [f"hidden{i}" for i in range(1, len(widths))] + ["output"]
        linear = [getattr(self, name).linear for name in self.measured_layers[:-1]]
        initialise(linear, self.output, init, generator)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (batch, num_classes), or (replicas, batch, num_classes) with stacked weights.

        Each input, such as an image, is flattened.
        """
        inputs = inputs.flatten(self.output.weight.dim() - 1)
        for name in self.measured_layers:
            inputs = getattr(self, name)(inputs)
        return inputs
