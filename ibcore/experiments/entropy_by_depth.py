"""Spatial entropy of Grad-CAM maps through the depth of a network."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from ibcore import datasets, models
from ibcore.datasets.weights import Weights, load_weights
from ibcore.estimators import aura_matrix_entropy, shuffled_pixels
from ibcore.experiments.shared import check_device, device_name, device_of, joined, load_alike
from ibcore.gradcam import class_activations, degenerate, quantise, scaled
from ibcore.seeds import derived_seed
from ibcore.training import Checkpoint, fit

__all__ = [
    "COLUMNS",
    "READINGS",
    "TITLES",
    "Config",
    "describe",
    "device_name",
    "layer_kind",
    "load",
    "missing_weights",
    "run",
]

READINGS = {
    "documents": {},
    "without ReLU": {"relu": False},
    "rounded": {"rounding": "nearest"},
    "resized before quantising": {"order": "resize-quantise"},
    "bilinear": {"resample": "bilinear"},
    "bilinear before quantising": {"resample": "bilinear", "order": "resize-quantise"},
    "64 levels": {"levels": 64},
    "not resized": {"resize": False},
    "pixels shuffled, then resized": {"shuffle": "before"},
    "resized, then pixels shuffled": {"shuffle": "after"},
}
"""Ways to make an integer map and its entropy. The documents': ReLU, scaled to [0, 1], truncated to
256 levels, resized to the input with Lanczos. The others change one thing each ("bilinear before
quantising" two); the last two are baselines."""

TITLES = {
    "imagenet_alexnet": "AlexNet",
    "imagenet_vgg16": "VGG16",
    "imagenet_resnet50": "ResNet50",
    "imagenet_squeezenet1_0": "SqueezeNet 1.0",
    "imagenet_squeezenet1_1": "SqueezeNet 1.1",
    "lenet": "LeNet-5-like",
}
"""Names of the networks in the documents."""

COLUMNS = {
    ("pretrained", "imagenet"): "Pretrained ImageNet",
    ("pretrained", "caltech101"): "Pretrained Caltech101",
    ("fine-tuned", "caltech101"): "Fine-tuning Caltech101",
}
"""Columns of the thesis tables by weights and data set."""

IMAGENET_CLASSES = 1000
STRIP_SIDE = 64
_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
_VALUES_PER_PASS = 400_000


@dataclasses.dataclass(frozen=True)
class Config:
    """One column of a table: a network, its weights, and the pictures it looks at.

    Attributes
    ----------
    network : str
        Name for ``ibcore.models.build``.
    dataset, split : str
        Pictures for ``ibcore.datasets.load``.
    weights : {"random", "pretrained"}
        Where the network starts; "pretrained" needs ``ibcore.datasets.weights``.
    images : int or None
        At most so many pictures, drawn without replacement (fewer are the first of more); None
        takes all.
    crop : int or None
        Cut out the middle square of this side, which no side of the pictures may fall below.
    replicas : int
        Seeds: seed, seed + 1, ... One is enough for pretrained weights without training.
    readings : tuple of str
        Keys of ``READINGS``; the first one is kept for every picture.
    train_splits : tuple of str
        Trained on these splits of ``dataset`` before measuring, for ``epochs`` epochs of SGD.
    n_train, epochs, batch_size, learning_rate, momentum
        See ``ibcore.training.fit``.
    model_options : mapping
        Options of the network.
    threads : int
    device : {"cpu", "cuda", "auto"}
    """

    network: str
    dataset: str
    split: str
    weights: str = "random"
    images: int | None = None
    crop: int | None = None
    replicas: int = 1
    readings: tuple[str, ...] = ("documents", "without ReLU", "pixels shuffled, then resized")
    train_splits: tuple[str, ...] = ()
    n_train: int | None = None
    epochs: int = 0
    batch_size: int = 32
    learning_rate: float = 0.01
    momentum: float = 0.9
    model_options: Mapping = dataclasses.field(default_factory=dict)
    allow_standin: bool | str = False
    threads: int = 1
    device: str = "cpu"

    def __post_init__(self):
        if self.weights not in ("random", "pretrained"):
            raise ValueError(f"weights must be 'random' or 'pretrained', got {self.weights!r}")
        unknown = [reading for reading in self.readings if reading not in READINGS]
        if unknown or not self.readings:
            raise ValueError(f"readings must be of {', '.join(READINGS)}, got {self.readings}")
        if self.replicas < 1 or (self.images is not None and self.images < 1):
            raise ValueError(
                f"replicas and images must be positive, got {self.replicas} and {self.images}"
            )
        if bool(self.train_splits) != (self.epochs > 0):
            raise ValueError(
                f"training needs splits and epochs, got {self.train_splits} and {self.epochs}"
            )
        check_device(self.device)


def missing_weights(config: Config) -> str:
    """Why the weights of a configuration cannot be had; empty if they can or are not needed.

    Where only stand-ins are allowed nothing is looked for on disk or net.
    """
    if config.weights == "random":
        return ""
    if config.allow_standin == "only":
        return "weights (this profile reads no files)"
    try:
        _weights(config)
    except datasets.DataUnavailable as error:
        return str(error)
    return ""


def _weights(config: Config) -> Weights:
    return load_weights(config.network.removeprefix("imagenet_"))


def describe(config: Config) -> dict[str, str]:
    """The network's name as the documents write it, what its weights went through, the column.

    Random weights stand in the thesis beside pictures of ImageNet only; any pictures will do.
    """
    trained = {
        ("random", False): "random",
        ("random", True): "trained",
        ("pretrained", False): "pretrained",
        ("pretrained", True): "fine-tuned",
    }
    title = TITLES[config.network]
    if not config.model_options.get("pooling", True):
        title += " without pooling"
    weights = trained[config.weights, config.epochs > 0]
    column = "Random ImageNet" if weights == "random" else COLUMNS.get((weights, config.dataset))
    return {"network": title, "weights": weights, "column": column}


@dataclasses.dataclass(frozen=True)
class Material:
    """Pictures to look at, weights to start from and samples to train on (None if there are none).

    ``label``, ``source``, ``note`` and ``fingerprint`` are for the run store.
    """

    pictures: datasets.Dataset
    weights: Weights | None
    train: tuple[datasets.Dataset, ...]

    @property
    def label(self) -> str:
        """The data set, and the split that is looked at; what it is trained on if that differs."""
        shown = self.pictures.label
        others = joined(part.label for part in self.train if part.label != shown)
        return f"{shown} ({self.pictures.split})" + (f", trained on {others}" if others else "")

    @property
    def source(self) -> str:
        """Where the pictures and the training samples come from."""
        return joined(part.source for part in (self.pictures, *self.train))

    @property
    def note(self) -> str:
        """The notes of everything."""
        return " ".join(part.note for part in (self.pictures, *self.train, self.weights) if part)

    @property
    def fingerprint(self) -> str:
        """The fingerprints of everything."""
        parts = (self.pictures, *self.train, self.weights)
        return "-".join(part.fingerprint for part in parts if part)


def load(config: Config) -> Material:
    """The pictures, weights and training samples of ``config``.

    Pictures and training samples are all real or all from one stand-in. Errors as in
    ``ibcore.datasets.load`` and ``load_weights``; ``missing_weights`` tells beforehand.
    """
    parts = ((config.split, None), *((split, config.n_train) for split in config.train_splits))
    pictures, *train = load_alike(config.dataset, config.allow_standin, parts)
    if config.images is not None and config.images < len(pictures):
        order = np.random.default_rng(derived_seed(0, "pictures")).permutation(len(pictures))
        pictures = pictures.subset(order[: config.images])
    weights = _weights(config) if config.weights == "pretrained" else None
    return Material(pictures, weights, tuple(train))


def _inputs(config: Config, data: datasets.Dataset) -> torch.Tensor:
    """Pictures as the networks of torchvision want them, in three colours."""
    inputs = torch.from_numpy(data.X)
    if config.crop is not None:
        height, width = inputs.shape[2:]
        if config.crop > min(height, width):
            raise ValueError(f"crop = {config.crop}, but the pictures have {height}x{width} pixels")
        top, left = (height - config.crop) // 2, (width - config.crop) // 2
        inputs = inputs[:, :, top : top + config.crop, left : left + config.crop]
    return (inputs - _MEAN) / _DEVIATION


def _initial(config: Config, seed: int, material: Material) -> nn.Module:
    """The network before any training; a pretrained one keeps what fits its number of classes."""
    classes = len(material.train[0].classes) if material.train else IMAGENET_CLASSES
    model = models.build(
        config.network,
        num_classes=classes,
        seed=derived_seed(seed, "weights"),
        **config.model_options,
    )
    if material.weights:
        own = model.state_dict()
        fitting = {
            key: torch.from_numpy(value)
            for key, value in material.weights.state.items()
            if key in own and own[key].shape == value.shape
        }
        model.load_state_dict(own | fitting)
    return model


def _networks(config: Config, seeds: list[int], material: Material, checkpoint, name):
    """The replicas one after the other, trained if that is wanted, in evaluation mode."""
    networks = (_initial(config, seed, material) for seed in seeds)
    if material.train:
        networks = list(networks)
        fit(
            networks,
            torch.cat([_inputs(config, part) for part in material.train]),
            torch.cat([torch.from_numpy(part.Y) for part in material.train]),
            seeds=seeds,
            epochs=config.epochs,
            batch_size=config.batch_size,
            optimiser="sgd",
            learning_rate=config.learning_rate,
            momentum=config.momentum,
            checkpoint=Checkpoint(checkpoint) if checkpoint else None,
            description=name,
            device=device_of(config),
        )
    for model in networks:
        yield model.to(device_of(config)).eval()


def layer_kind(module: nn.Module, side: int, before: int) -> str:
    """What a layer does to its input: subsampling, convolution or elementwise.

    "subsampling" is whatever halves the side of the maps, by pooling or by a stride.

    Examples
    --------
    >>> layer_kind(nn.MaxPool2d(2), 16, 32), layer_kind(nn.Conv2d(3, 8, 5), 28, 32)
    ('subsampling', 'convolution')
    >>> layer_kind(nn.ReLU(), 28, 28)
    'elementwise'
    """
    if before >= 1.8 * side:
        return "subsampling"
    convolutes = any(isinstance(part, nn.Conv2d) for part in module.modules())
    return "convolution" if convolutes else "elementwise"


def _integer_maps(activations, reading: str, size, rng):
    """Integer maps of one layer in one reading, and their number of levels."""
    options = {"relu": True, "levels": 256, "resize": True, "shuffle": None, **READINGS[reading]}
    maps = scaled(activations, relu=options["relu"])
    if options["shuffle"] == "before":
        maps = shuffled_pixels(maps, rng=rng)
    how = {k: v for k, v in options.items() if k in ("levels", "resample", "order", "rounding")}
    maps = quantise(maps, size=size if options["resize"] else None, **how)
    if options["shuffle"] == "after":
        maps = shuffled_pixels(maps, rng=rng)
    return maps, options["levels"]


def _measure(config: Config, model: nn.Module, pictures: torch.Tensor, seed: int) -> pd.DataFrame:
    """One row per picture, layer and reading; the entropy of a degenerate map is missing."""
    rng = np.random.default_rng(derived_seed(seed, "shuffled pixels"))
    size = tuple(pictures.shape[2:])
    step = max(1, _VALUES_PER_PASS // pictures[0].numel())
    rows = []
    for start in range(0, len(pictures), step):
        chunk = pictures[start : start + step].to(device_of(config))
        found = class_activations(model, chunk, model.measured_layers)
        before = size[0]
        for number, (layer, activations) in enumerate(found.items()):
            side = activations.shape[1]
            kind = layer_kind(model.get_submodule(layer), side, before)
            before = side
            for reading in config.readings:
                maps, levels = _integer_maps(activations, reading, size, rng)
                shown = ~degenerate(maps)
                entropy = torch.full((len(maps),), torch.nan, dtype=torch.float64)
                if shown.any():
                    entropy[shown.cpu()] = aura_matrix_entropy(maps[shown], levels=levels).cpu()
                for image, value in enumerate(entropy.tolist(), start):
                    rows.append((seed, image, layer, number, kind, side, reading, value))
    names = ["seed", "image", "layer", "layer_index", "kind", "side", "reading", "entropy"]
    return pd.DataFrame(rows, columns=names)


def _strip(config: Config, model: nn.Module, picture: torch.Tensor) -> pd.DataFrame:
    """Small maps of one picture, as text: ``x`` and two hexadecimal digits per pixel."""
    maps = class_activations(model, picture[None].to(device_of(config)), model.measured_layers)
    rows = [
        {
            "layer": layer,
            "side": one.shape[1],
            "pixels": _text(quantise(scaled(one), size=STRIP_SIDE)),
        }
        for layer, one in maps.items()
    ]
    shown = picture * _DEVIATION + _MEAN
    grey = quantise(shown.mean(0, keepdim=True).clamp(0, 1), size=STRIP_SIDE)
    return pd.DataFrame(
        [{"layer": "picture", "side": picture.shape[1], "pixels": _text(grey)}, *rows]
    )


def _text(maps: torch.Tensor) -> str:
    return f"x{maps.cpu().numpy().tobytes().hex()}"


def run(
    config: Config,
    seed: int,
    dataset: Material | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "entropy by depth",
) -> dict[str, pd.DataFrame]:
    """Measure every layer of every replica.

    Parameters
    ----------
    config : Config
    seed : int
        Seed of the first replica.
    dataset : Material, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted training go on.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``entropies``: seed, image, layer, layer_index, kind, side, entropy (no unit; missing for a
        degenerate map), in the first reading. ``readings``: seed, layer, layer_index, kind, side,
        reading, entropy (mean over pictures), images, degenerate (how many maps). ``maps``: the
        maps of the first picture and replica, see ``ibcore.plotting.saliency_strips``.
        ``accuracy``: seed, images, accuracy (missing where the labels are not the network's
        classes).

    Raises
    ------
    ValueError
        For a crop that is larger than the pictures, and whatever training and measuring refuse.
    """
    material = load(config) if dataset is None else dataset
    pictures = _inputs(config, material.pictures)
    found, strips, accuracy = [], [], []
    seeds = list(range(seed, seed + config.replicas))
    networks = _networks(config, seeds, material, checkpoint, name)
    for replica, model in zip(tqdm(seeds, desc=name, leave=False), networks, strict=True):
        found.append(_measure(config, model, pictures, replica))
        strips.append(_strip(config, model, pictures[0]))
        accuracy.append(_accuracy(config, model, pictures, material, replica))
    table = pd.concat(found, ignore_index=True)
    first = table[table["reading"] == config.readings[0]].drop(columns="reading")
    keys = ["seed", "layer", "layer_index", "kind", "side", "reading"]
    grouped = table.groupby(keys, sort=False)
    summary = grouped.agg(
        entropy=("entropy", "mean"), images=("image", "size"), shown=("entropy", "count")
    )
    summary["degenerate"] = summary["images"] - summary.pop("shown")
    return {
        "entropies": first.reset_index(drop=True),
        "readings": summary.reset_index(),
        "maps": strips[0],
        "accuracy": pd.DataFrame(accuracy),
    }


def _accuracy(config, model, pictures, material, seed) -> dict:
    row = {"seed": seed, "images": len(pictures), "accuracy": np.nan}
    known = material.train[0].classes if material.train else None
    if len(material.pictures.classes) == IMAGENET_CLASSES or material.pictures.classes == known:
        with torch.no_grad():
            logits = torch.cat([model(part.to(device_of(config))) for part in pictures.split(16)])
        right = logits.argmax(1).cpu() == torch.from_numpy(material.pictures.Y)
        row["accuracy"] = right.double().mean().item()
    return row
