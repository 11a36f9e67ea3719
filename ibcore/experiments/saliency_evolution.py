"""Saliency maps through training: their spatial entropy, and what they tell about each other."""

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ibcore import models
from ibcore.estimators import aura_matrix_entropy, shuffled_pixels, spatial_information
from ibcore.experiments.shared import (
    ImageConfig,
    Samples,
    check_positive,
    device_name,
    device_of,
    load,
    precision_of,
)
from ibcore.gradcam import degenerate, grad_cam, quantise
from ibcore.recording import InformationRecorder
from ibcore.seeds import derived_seed
from ibcore.training import Callback, Checkpoint, Replicas, fit

__all__ = ["Config", "SaliencyRecorder", "device_name", "load", "run"]

PROBES = ("resample", "fixed")
LEVELS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ImageConfig):
    """One network on one data set; the values come from a profile.

    The fields of ``ImageConfig``, and:

    Attributes
    ----------
    epochs, batch_size, learning_rate, momentum
        Of the stochastic gradient descent, see ``ibcore.training.fit``.
    probes : tuple of {"resample", "fixed"}
        Which training images are looked at: others after every epoch, or always the same.
    images : int
        How many, for each probe.
    information : tuple of mappings
        ``{"levels": 256, "reading": "raw"}``: what ``spatial_information`` is computed with, on the
        images of the first probe. Fewer than 256 levels put neighbouring grey levels together.
    information_layers : tuple of str or None
        Layers whose information is computed; None takes all.
    pictures : int
        Training images whose maps the first replica keeps.
    """

    epochs: int
    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 128
    probes: tuple[str, ...] = ("resample",)
    images: int = 50
    information: tuple[Mapping, ...] = ()
    information_layers: tuple[str, ...] | None = None
    pictures: int = 1

    def __post_init__(self):
        unknown = set(self.probes) - set(PROBES)
        if unknown or not self.probes:
            raise ValueError(f"probes are resample or fixed, got {self.probes}")
        super().__post_init__()
        check_positive(self, "images", "pictures")
        for options in self.information:
            if set(options) != {"levels", "reading"} or LEVELS % options["levels"]:
                raise ValueError(
                    f"information needs a reading and levels that divide {LEVELS}, got {options}"
                )


def _chosen(seed: int, purpose: str, n: int, count: int) -> torch.Tensor:
    """``count`` different rows below ``n``, ascending."""
    if count > n:
        raise ValueError(f"{count} images wanted, but there are only {n} training images")
    order = np.random.default_rng(derived_seed(seed, purpose)).permutation(n)
    return torch.from_numpy(np.sort(order[:count]))


class SaliencyRecorder(Callback):
    """Measures the saliency maps of every layer and replica after every epoch.

    The documents' reading: Grad-CAM of the predicted class, scaled to 0...255 (truncated), resized
    to the input with Lanczos, then the aura matrix entropy. A map that is constant has no
    structure to measure: it is counted and left out of the means.

    Parameters
    ----------
    inputs : tensor (n, channels, height, width)
        All data, on the device of the replicas; the first ``n_train`` rows are training images.
    n_train : int
    layers : sequence of str
    seeds : sequence of int
    config : Config
    history : InformationRecorder
        Notes loss and accuracy; it is called from here, so that neither counts as training time.

    Attributes
    ----------
    tables : dict of list of dict
        ``entropy``, ``information``, ``maps`` and ``timings``, see ``run``.
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        *,
        n_train: int,
        layers: Sequence[str],
        seeds: Sequence[int],
        config: Config,
        history: InformationRecorder,
    ):
        self._inputs, self._n_train = inputs, n_train
        self._layers, self._seeds, self._config = list(layers), list(seeds), config
        self._numbers = {layer: number for number, layer in enumerate(self._layers)}
        self._informed = list(config.information_layers or self._layers)
        unknown = set(self._informed) - set(self._layers)
        if unknown:
            raise ValueError(f"unknown layers {sorted(unknown)}; layers: {', '.join(self._layers)}")
        self._history = history
        self._ended = None
        self.tables = {"entropy": [], "information": [], "maps": [], "timings": []}

    def _now(self) -> float:
        if self._inputs.is_cuda:
            torch.cuda.synchronize(self._inputs.device)
        return time.perf_counter()

    def on_epoch(self, epoch: int, replicas: Replicas) -> None:
        """Append the rows of this epoch."""
        seconds = Counter({"training": self._now() - self._ended} if self._ended else {})
        self._history.on_epoch(epoch, replicas)
        for index, seed in enumerate(self._seeds):
            network = replicas.network(index)
            for number, probe in enumerate(self._config.probes):
                started = self._now()
                found = self._probe(epoch, seed, probe, network)
                measured = self._now()
                seconds[f"entropy, {probe}"] += measured - started
                if number == 0:
                    self._information(epoch, seed, *found)
                    seconds["information"] += self._now() - measured
            if index == 0:
                self._keep_maps(epoch, seed, network)
        self.tables["timings"] += [
            {"epoch": epoch, "part": part, "seconds": value} for part, value in seconds.items()
        ]
        self._ended = self._now()

    def _maps(self, network, rows, rng=None) -> tuple[torch.Tensor, ...]:
        """Maps (layers, n, height, width) as bytes, and which of them are constant (layers, n).

        With ``rng`` also the maps after shuffling the pixels at the layer's own size: what has the
        same resolution and knows nothing of the image.
        """
        images = self._inputs[rows.to(self._inputs.device)]
        found = list(grad_cam(network, images, self._layers).values())
        self._sides = [map_.shape[1] for map_ in found]
        constant = torch.stack([degenerate(map_) for map_ in found])
        both = [found] if rng is None else [found, [shuffled_pixels(m, rng=rng) for m in found]]
        size = tuple(images.shape[2:])
        return *(torch.stack([quantise(m, size=size) for m in maps]) for maps in both), constant

    def _probe(self, epoch, seed, probe, network):
        """Rows of the entropies of one probe; what ``_maps`` gave."""
        config = self._config
        purpose = "probe" if probe == "fixed" else f"probe {epoch}"
        rows = _chosen(seed, purpose, self._n_train, config.images)
        rng = np.random.default_rng(derived_seed(seed, f"shuffle {epoch}"))
        maps, shuffled, constant = self._maps(network, rows, rng)
        values, baselines = (
            aura_matrix_entropy(each.flatten(0, 1))
            .view(constant.shape)
            .masked_fill(constant, torch.nan)
            for each in (maps, shuffled)
        )
        statistics = zip(
            values.nanmean(1).tolist(),
            _deviation(values).tolist(),
            baselines.nanmean(1).tolist(),
            constant.sum(1).tolist(),
            strict=True,
        )
        for (number, layer), (mean, deviation, baseline, count) in zip(
            enumerate(self._layers), statistics, strict=True
        ):
            self.tables["entropy"].append(
                {
                    "seed": seed,
                    "epoch": epoch,
                    "probe": probe,
                    "layer": layer,
                    "layer_index": number,
                    "entropy": mean,
                    "deviation": deviation,
                    "baseline": baseline,
                    "degenerate": count,
                    "n": config.images,
                }
            )
        return maps, shuffled, constant

    def _information(self, epoch, seed, maps, shuffled, constant):
        """Rows of I(first; layer) and I(layer; last); maps (layers, n, h, w)."""
        last = max(number for number, side in enumerate(self._sides) if side > 1)
        ends = {"XT": 0, "TY": last}
        numbers = [self._numbers[layer] for layer in self._informed]
        for options in self._config.information:
            step = LEVELS // options["levels"]
            inner, null = (each[numbers].flatten(0, 1) // step for each in (maps, shuffled))
            found = {}
            for name, end in ends.items():
                other = maps[end].repeat(len(numbers), 1, 1) // step
                left_out = constant[numbers] | constant[end]
                for column, compared in ((f"I_{name}", inner), (f"baseline_{name}", null)):
                    values = spatial_information(other, compared, **options).view(left_out.shape)
                    found[column] = values.masked_fill(left_out, torch.nan).nanmean(1).tolist()
                found[f"n_{name}"] = (~left_out).sum(1).tolist()
            for place, number in enumerate(numbers):
                self.tables["information"].append(
                    {
                        "seed": seed,
                        "epoch": epoch,
                        "layer": self._layers[number],
                        "layer_index": number,
                        **options,
                        "last_layer": self._layers[last],
                        **{column: values[place] for column, values in found.items()},
                    }
                )

    def _keep_maps(self, epoch, seed, network):
        rows = _chosen(seed, "pictures", self._n_train, self._config.pictures)
        maps, _ = self._maps(network, rows)
        shown = [("picture", -1, self._inputs.shape[2], self._grey(rows))] if epoch == 0 else []
        names = zip(self._layers, self._sides, maps, strict=True)
        shown += [(layer, number, side, of) for number, (layer, side, of) in enumerate(names)]
        for layer, number, side, pictures in shown:
            for row, picture in zip(rows.tolist(), pictures.cpu().numpy(), strict=True):
                self.tables["maps"].append(
                    {
                        "seed": seed,
                        "epoch": epoch,
                        "row": row,
                        "layer": layer,
                        "layer_index": number,
                        "side": side,
                        "pixels": f"x{picture.tobytes().hex()}",
                    }
                )

    def _grey(self, rows):
        """The images themselves in 256 grey levels."""
        images = self._inputs[rows.to(self._inputs.device)]
        return quantise(images.mean(1).clamp(0, 1))

    def state_dict(self) -> dict:
        """The rows recorded so far."""
        return {**self.tables, "history": self._history.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take back the rows of an interrupted training."""
        self.tables = {name: list(state[name]) for name in self.tables}
        self._history.load_state_dict(state["history"])


def _deviation(values: torch.Tensor) -> torch.Tensor:
    """Standard deviation of each row, without NaN."""
    count = (~values.isnan()).sum(1)
    squares = (values - values.nanmean(1, keepdim=True)).square().nansum(1)
    return (squares / (count - 1).clamp(min=1)).sqrt()


def run(
    config: Config,
    seed: int,
    dataset: Samples | None = None,
    *,
    checkpoint: Path | None = None,
    name: str = "saliency evolution",
) -> dict[str, pd.DataFrame]:
    """Train the replicas of one network and measure their saliency maps after every epoch.

    Parameters
    ----------
    config : Config
    seed : int
        Seed of the first replica.
    dataset : Samples, optional
        What ``load(config)`` gave; loaded if not given.
    checkpoint : path, optional
        File that lets an interrupted run go on.
    name : str
        Text of the progress bar.

    Returns
    -------
    dict of DataFrame
        ``entropy``: seed, epoch, probe, layer, layer_index, entropy (mean over the maps that are
        not constant), deviation (standard deviation over them), baseline (mean after shuffling the
        pixels at the layer's own size), degenerate (number of constant maps), n.
        ``information``: seed, epoch, layer, layer_index, levels, reading, last_layer, I_XT and I_TY
        (between the layer's map and that of the first layer, and of the last one with more than
        one pixel; missing if no pair is left), baseline_XT and baseline_TY (after shuffling the
        pixels of the layer's map at its own size), n_XT and n_TY (pairs without a constant map).
        ``maps``: seed, epoch, row (of the image), layer, layer_index, side (of the layer's own
        map), pixels (of the resized map: ``x`` and two hexadecimal digits each), of the first
        replica; the image itself in grey is the layer "picture" of epoch 0.
        ``history``: seed, epoch, loss (nats) and accuracy on training and test images; the
        training images are as many as there are test images, always the same.
        ``timings``: epoch, part, seconds, of all replicas together.

    Raises
    ------
    ValueError
        For fewer training images than ``images`` or ``pictures``, layers that the network does not
        have, and whatever building and training refuse.
    """
    dataset = load(config) if dataset is None else dataset
    device = device_of(config)
    seeds = list(range(seed, seed + config.replicas))
    n_train = dataset.n_train
    # Channels last is the faster order for convolutions of few channels.
    inputs = torch.from_numpy(dataset.X).to(device, memory_format=torch.channels_last)
    labels = torch.from_numpy(dataset.Y).to(device)
    networks = [
        models.build(
            config.model,
            num_classes=len(dataset.classes),
            seed=derived_seed(s, "weights"),
            **config.model_options,
        )
        for s in seeds
    ]
    n_test = len(inputs) - n_train
    judged = [_chosen(s, "history", n_train, min(n_test, n_train)) for s in seeds]
    history = InformationRecorder(
        inputs,
        labels,
        sets={},
        train_rows=torch.stack(judged),
        test_rows=torch.arange(n_train, len(inputs)).expand(len(seeds), -1),
        seeds=seeds,
        epochs=range(config.epochs + 1),
        estimators=(),
        layers=(),
    )
    recorder = SaliencyRecorder(
        inputs,
        n_train=n_train,
        layers=networks[0].measured_layers,
        seeds=seeds,
        config=config,
        history=history,
    )
    fit(
        [network.to(memory_format=torch.channels_last) for network in networks],
        inputs,
        labels,
        rows=torch.arange(n_train).expand(len(seeds), -1),
        seeds=seeds,
        epochs=config.epochs,
        batch_size=config.batch_size,
        optimiser="sgd",
        learning_rate=config.learning_rate,
        momentum=config.momentum,
        callbacks=[recorder],
        checkpoint=Checkpoint(checkpoint) if checkpoint else None,
        description=name,
        device=device,
        precision=precision_of(config),
    )
    tables = {**recorder.tables, "history": history.history}
    return {table: pd.DataFrame(rows) for table, rows in tables.items()}
