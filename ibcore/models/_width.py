"""Narrower versions of a network: every number of channels times one factor."""

from torch import nn


def scaled(channels: int, width: float) -> int:
    """``channels * width``; ValueError unless it is a positive whole number.

    Examples
    --------
    >>> scaled(64, 1 / 4)
    16
    """
    product = channels * width
    if product < 1 or product != int(product):
        raise ValueError(f"width {width} makes {product} of {channels} channels")
    return int(product)


def narrow(model: nn.Module, width: float) -> None:
    """Replace the layers of ``model`` by new ones with ``width`` times as many channels.

    Channels that carry the image (those of the first convolution's input) and the outputs of
    linear layers, the classes, stay. Because all channels shrink alike, sums and concatenations
    still fit.

    Raises
    ------
    ValueError
        When a number of channels is not a whole number afterwards.
    """
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d):
                entry = layer.in_channels if layer is first else scaled(layer.in_channels, width)
                new = nn.Conv2d(
                    entry,
                    scaled(layer.out_channels, width),
                    layer.kernel_size,
                    layer.stride,
                    layer.padding,
                    groups=1 if layer.groups == 1 else scaled(layer.groups, width),
                    bias=layer.bias is not None,
                )
            elif isinstance(layer, nn.BatchNorm2d):
                new = nn.BatchNorm2d(scaled(layer.num_features, width), layer.eps, layer.momentum)
            elif isinstance(layer, nn.Linear):
                new = nn.Linear(scaled(layer.in_features, width), layer.out_features)
            else:
                continue
            setattr(parent, name, new)
