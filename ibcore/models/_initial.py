"""Initial weights, drawn from an explicit generator."""

import math

import torch
from torch import nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def activation(name: str) -> nn.Module:
    """The activation function called ``name``; ValueError for an unknown one."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def glorot_uniform(layer: nn.Module, generator: torch.Generator) -> None:
    """Glorot-uniform weights and zero biases, the default of Keras."""
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)


def truncated_normal(
    layer: nn.Module, standard_deviation: float, generator: torch.Generator
) -> None:
    """Normal weights cut at two standard deviations, zero biases, as TensorFlow draws them."""
    limit = 2 * standard_deviation
    nn.init.trunc_normal_(
        layer.weight, std=standard_deviation, a=-limit, b=limit, generator=generator
    )
    nn.init.zeros_(layer.bias)


def initialise(
    hidden: list[nn.Module], output: nn.Module, scheme: str, generator: torch.Generator
) -> None:
    """Draw the weights of linear layers by a named scheme.

    ``"glorot"``: Glorot-uniform everywhere. ``"ibsgd"``: hidden layers truncated normal with
    standard deviation 1/sqrt(units of the layer), output Glorot-uniform. ``"idnns"``: truncated
    normal with 1/sqrt(inputs of the layer) everywhere.
    """
    if scheme not in ("glorot", "ibsgd", "idnns"):
        raise ValueError(f"unknown initialisation {scheme!r}; known: glorot, ibsgd, idnns")
    for layer in (*hidden, output):
        if scheme == "glorot" or (scheme == "ibsgd" and layer is output):
            glorot_uniform(layer, generator)
        else:
            fan = layer.in_features if scheme == "idnns" else layer.out_features
            truncated_normal(layer, 1 / math.sqrt(fan), generator)


def he(model: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of a network with ReLU (He et al. 2015), zero biases.

    Convolutions and linear layers are normal with variance 2 / fan, where fan counts the outputs
    of a convolution (as in torchvision) and the inputs of a linear layer; batch normalisation
    starts as the identity.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            mode = "fan_out" if isinstance(layer, nn.Conv2d) else "fan_in"
            nn.init.kaiming_normal_(
                layer.weight, mode=mode, nonlinearity="relu", generator=generator
            )
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
