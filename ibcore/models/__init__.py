"""Networks of the five documents, by name.

``build`` is the one entrance: it knows every name, draws the weights from its own seeded generator
and leaves the global random state alone. A layer is called what ``model.named_modules()`` calls it;
``model.measured_layers`` lists, in network order, the layers that the documents look at.
"""

from functools import partial

import torch

from ibcore.models import imagenet, zoo
from ibcore.models.audio import MiniResNet, SimpleCNN
from ibcore.models.cnn import CNN
from ibcore.models.mlp import MLP
from ibcore.models.resnet import ResNet
from ibcore.models.vgg import CONFIGURATIONS, VGG

_MODELS = {
    "mlp": MLP,
    "cnn": CNN,
    "simple_cnn": SimpleCNN,
    "mini_resnet": MiniResNet,
    "lenet": imagenet.LeNet,
}
for _name in imagenet.NAMES:
    _MODELS[f"imagenet_{_name}"] = partial(imagenet.imagenet_network, _name)
for _name, _layers in CONFIGURATIONS.items():
    _MODELS[_name] = partial(VGG, configuration=_layers)
    _MODELS[f"{_name}_bn"] = partial(VGG, configuration=_layers, batch_norm=True, hidden=())
for _depth in (8, 14, 20, 32, 44, 56, 110):
    _MODELS[f"resnet{_depth}"] = partial(ResNet, depth=_depth)
for _name in zoo.NAMES:
    _MODELS[_name] = partial(zoo.torchvision_network, _name)


def names() -> list[str]:
    """The names that ``build`` knows."""
    return sorted(_MODELS)


def build(name: str, *, num_classes: int = 10, seed: int = 0, **options) -> torch.nn.Module:
    """A freshly initialised network.

    Parameters
    ----------
    name : str
        One of ``names()``.
    num_classes : int
        Number of outputs (logits).
    seed : int
        Seed of the initial weights; the global random state is neither used nor changed.
    **options
        Passed to the network's class, see ``MLP``, ``CNN``, ``SimpleCNN``, ``VGG``, ``ResNet`` and
        ``torchvision_network``. The VGG networks follow the documents: without batch normalisation
        they have the classifier 512-512-512-10, with it (``vgg16_bn``) a single layer 512-10.

    Raises
    ------
    ValueError
        For a name that is not known (the message lists the known ones) or fewer than two classes.

    Examples
    --------
    >>> model = build("mlp", num_classes=2, n_inputs=12, hidden=(10, 7))
    >>> model.measured_layers
    ['hidden1', 'hidden2', 'output']
    """
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(names())}")
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        return _MODELS[name](num_classes=num_classes, generator=generator, **options)
