"""Networks of torchvision fitted to images of 32x32 pixels.

The networks were made for 224x224 pixels and shrink an image 32 times. Fitted, they keep its size
at the start, so that 4x4 maps are left before the final mean: the first convolution becomes 3x3
with stride 1 and the first pooling does nothing (MobileNetV2, which has none, loses its first two
strides). Dropout is off: its random numbers would come from the global generator.
"""

import torch
from torch import nn

from ibcore.models._initial import he
from ibcore.models._width import narrow

NAMES = ("resnet18", "resnet34", "resnet50", "densenet121", "googlenet", "mobilenet_v2")
_NO_LAYER = (nn.Identity, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Linear)


def _fitted(name: str, num_classes: int) -> tuple[nn.Module, tuple[str, ...]]:
    """The network, and the names of the modules whose children are layers of their own."""
    from ibcore._torchvision import torchvision  # takes a second, which few callers need

    first = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    make = getattr(torchvision.models, name)
    if name == "googlenet":
        model = make(
            weights=None, num_classes=num_classes, aux_logits=False, init_weights=False, dropout=0.0
        )
        model.conv1.conv, model.maxpool1 = first, nn.Identity()
        return model, ()
    if name == "mobilenet_v2":
        model = make(weights=None, num_classes=num_classes)
        model.classifier = model.classifier[1]
        model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
        return model, ("features",)
    model = make(weights=None, num_classes=num_classes)
    if name == "densenet121":
        model.features.conv0, model.features.pool0 = first, nn.Identity()
        return model, ("features",)
    model.conv1, model.maxpool = first, nn.Identity()
    return model, ("layer1", "layer2", "layer3", "layer4")


def _layers(model: nn.Module, opened: tuple[str, ...], prefix: str = "") -> list[str]:
    names = []
    for name, child in model.named_children():
        if name in opened:
            names += _layers(child, (), f"{name}.")
        elif not isinstance(child, _NO_LAYER):
            names.append(f"{prefix}{name}")
    return names


def torchvision_network(
    name: str, *, num_classes: int, generator: torch.Generator, width: float = 1.0
) -> nn.Module:
    """A network of torchvision for 32x32 images in colour, with the initial weights of ``he``.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    width : float
        Factor of all channels.
    num_classes, generator
        Set by ``ibcore.models.build``.

    Returns
    -------
    torch.nn.Module
        Its ``measured_layers`` are the convolutions, poolings and whole blocks, in network order.

    Raises
    ------
    ValueError
        When a number of channels times ``width`` is not a whole number.
    """
    model, opened = _fitted(name, num_classes)
    if width != 1:
        narrow(model, width)
    he(model, generator)
    model.measured_layers = _layers(model, opened)
    return model
