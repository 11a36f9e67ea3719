"""What is measured, on which layers, at which epochs: one tidy row per measurement."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ibcore.estimators import (
    Information,
    aligned_kernel_width,
    binned_entropy,
    binned_information,
    binned_information_per_filter,
    count_distinct,
    discrete_entropy,
    gram_matrix,
    kde_information_bounds,
    nearest_neighbour_entropy,
    renyi_information,
    renyi_mutual_information,
)
from ibcore.gradcam import modules_evaluating
from ibcore.training import Callback, Replicas

# ---------------------------------------------------------------- epochs


def _ibsgd(epoch: int) -> bool:
    if epoch < 20:
        return True
    if epoch < 100:
        return epoch % 5 == 0
    return epoch % 20 == 0 if epoch < 2000 else epoch % 100 == 0


def _ib_on_cnn(epoch: int) -> bool:
    if epoch < 10:
        return epoch % 2 == 0
    if epoch < 50:
        return (epoch + 1) % 5 == 0
    return (epoch + 1) % 50 == 0 if epoch < 200 else (epoch + 1) % 500 == 0


def _after(rule: Callable[[int], bool], epochs: int) -> set[int]:
    """Epochs whose end a zero-based ``rule`` selects, counted as epochs done."""
    return {epoch + 1 for epoch in range(epochs) if rule(epoch)}


def _idnns(epochs: int) -> set[int]:
    """Logarithmic snapshots taken at the start of zero-based epochs."""
    return {int(e) - 1 for e in np.logspace(0, np.log2(epochs), 400, base=2.0)} if epochs else set()


def _logarithmic(epochs: int, points: int) -> set[int]:
    return {round(float(e)) for e in np.geomspace(1, epochs, points)} if epochs else set()


SCHEDULES = ("every", "logarithmic", "ibsgd", "idnns", "ib_on_cnn")


def schedule(name: str, epochs: int, *, points: int = 50) -> list[int]:
    """Epochs at which something is recorded; 0 is the initialisation and ``epochs`` the last.

    Parameters
    ----------
    name : str
        ``"every"``; ``"logarithmic"`` with ``points`` epochs evenly spaced in log(epoch) before
        rounding; or the snapshots of a public program: ``"ibsgd"`` (211 in 10,000 epochs, at the
        end of an epoch), ``"idnns"`` (274 in 8,000, at the start of an epoch), ``"ib_on_cnn"``
        (36 in 10,000, at the end of an epoch). The programs count epochs from 0 and take no
        snapshot of the initial weights; here epoch 0 and the last epoch are always added.
    epochs : int
        Length of the training.
    points : int
        Used by ``"logarithmic"`` only.

    Returns
    -------
    list of int
        Strictly increasing numbers of finished epochs.

    Raises
    ------
    ValueError
        For an unknown name, negative ``epochs`` or fewer than one point.

    Examples
    --------
    >>> schedule("every", 3)
    [0, 1, 2, 3]
    >>> schedule("logarithmic", 100, points=3)
    [0, 1, 10, 100]
    >>> len(set(schedule("ibsgd", 10_000)) - {0, 10_000})
    211
    >>> len(set(schedule("ib_on_cnn", 10_000)) - {0})
    36
    """
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    if epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    if points < 1:
        raise ValueError(f"points must be at least 1, got {points}")
    chosen = {
        "every": lambda: set(range(epochs)),
        "logarithmic": lambda: _logarithmic(epochs, points),
        "ibsgd": lambda: _after(_ibsgd, epochs),
        "idnns": lambda: _idnns(epochs),
        "ib_on_cnn": lambda: _after(_ib_on_cnn, epochs),
    }[name]()
    return sorted(chosen | {0, epochs})


# ---------------------------------------------------------------- activations


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without gradients; every module's mode comes back after."""
    with modules_evaluating(model), torch.no_grad():
        yield


def record_activations(
    model: nn.Module,
    inputs: torch.Tensor,
    layers: Sequence[str],
    *,
    chunk_size: int | None = None,
    softmax: str | None = None,
) -> dict[str, torch.Tensor]:
    """Outputs of chosen layers, for all inputs, in evaluation mode.

    The outputs are copied when they appear, so that a later in-place operation cannot change them.
    The model is left as it was found: mode, hooks, gradients.

    Parameters
    ----------
    model : torch.nn.Module
        Any network.
    inputs : tensor (n, ...)
        On the model's device. They pass in chunks, only the recorded layers are kept.
    layers : sequence of str
        Names as in ``model.named_modules()``.
    chunk_size : int, optional
        Inputs per forward pass; by default as many as hold 200,000 values together, which keeps
        the activations of small images in the processor's cache (50 times as many on a GPU).
    softmax : str, optional
        One of ``layers`` whose output is turned into class probabilities; the documents look at
        the output layer after its softmax, while networks here return logits.

    Returns
    -------
    dict
        Layer name to tensor (n, ...), in the order of ``layers``.

    Raises
    ------
    ValueError
        For a layer that the model does not have (its layers are listed) or that was not used in
        the forward pass, a ``softmax`` that is not among ``layers``, no inputs, or a non-positive
        chunk size.
    """
    return _forward(model, inputs, layers, chunk_size, softmax)[0]


def accuracy(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the samples whose largest logit is that of their label, in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it was found.
    inputs, labels : tensors (n, ...) and (n,)
        On the model's device.

    Raises
    ------
    ValueError
        For no inputs.

    Examples
    --------
    >>> accuracy(nn.Identity(), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([1, 1]))
    0.5
    """
    logits = _forward(model, inputs, [], None, None)[1]
    return (logits.argmax(1) == labels).double().mean().item()


def _chunk_size(inputs: torch.Tensor) -> int:
    values = 10_000_000 if inputs.is_cuda else 200_000
    return max(1, values // max(1, inputs[0].numel()))


def _forward(
    model: nn.Module,
    inputs: torch.Tensor,
    layers: Sequence[str],
    chunk_size: int | None,
    softmax: str | None,
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Activations as in ``record_activations``, and the outputs of the model."""
    modules = {name: module for name, module in model.named_modules() if name}
    for layer in layers:
        if layer not in modules:
            raise ValueError(f"unknown layer {layer!r}; layers of the model: {', '.join(modules)}")
    if softmax is not None and softmax not in layers:
        raise ValueError(
            f"softmax must be one of the layers {', '.join(layers) or '(none)'}, got {softmax!r}"
        )
    if len(inputs) == 0:
        raise ValueError("no inputs to record")
    if chunk_size is None:
        chunk_size = _chunk_size(inputs)
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be positive, got {chunk_size}")

    recorded: dict[str, torch.Tensor] = {}
    outputs = []
    position = 0

    def keep(name):
        def hook(module, args, output):
            if name == softmax:
                output = functional.softmax(output, dim=1)
            if name not in recorded:
                recorded[name] = output.new_empty((len(inputs), *output.shape[1:]))
            recorded[name][position : position + len(output)] = output

        return hook

    handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        with evaluation_mode(model):
            for chunk in inputs.split(chunk_size):
                outputs.append(model(chunk))
                position += len(chunk)
    finally:
        for handle in handles:
            handle.remove()
    unused = [layer for layer in layers if layer not in recorded]
    if unused:
        raise ValueError(f"layers not used in the forward pass: {', '.join(unused)}")
    return {layer: recorded[layer] for layer in layers}, torch.cat(outputs)


# ---------------------------------------------------------------- estimators by name


def _binning(X, T, Y, *, bin_width) -> dict[str, Information]:
    return {"binning": binned_information(T, Y, bin_width=bin_width)}


def _kde(X, T, Y, *, noise_variance) -> dict[str, Information]:
    upper, lower = kde_information_bounds(T, Y, noise_variance=noise_variance)
    return {"KDE upper": upper, "KDE lower": lower}


def _renyi(X, T, Y, *, input_kernel_width, kernel_width=None, alpha=1.01):
    if X is None:
        raise ValueError("renyi needs the inputs X for I(X;T), got None")
    if kernel_width is None:
        kernel_width = aligned_kernel_width(T, Y)
    about_input = renyi_mutual_information(
        gram_matrix(X, kernel_width=input_kernel_width),
        gram_matrix(T, kernel_width=kernel_width),
        alpha=alpha,
    )
    about_label = renyi_information(T, Y, kernel_width=kernel_width, alpha=alpha)
    return {"Rényi": Information(about_input, about_label)}


def _nearest_neighbour(X, T, Y, *, k=2, noise_scale=None):
    def entropy(samples):
        rng = np.random.default_rng(0) if noise_scale else None
        return nearest_neighbour_entropy(samples, k=k, noise_scale=noise_scale, rng=rng)

    whole = entropy(T)
    labels, classes, sizes = torch.unique(
        torch.as_tensor(Y), return_inverse=True, return_counts=True
    )
    smallest = sizes.argmin()
    if sizes[smallest] <= k:
        raise ValueError(
            f"nearest_neighbour with k = {k} needs more than {k} samples of every class, got "
            f"{sizes[smallest]} of class {labels[smallest]}"
        )
    shares = (sizes / len(classes)).tolist()
    within = sum(share * entropy(T[classes == c]) for c, share in enumerate(shares))
    return {"nearest neighbour": Information(whole, whole - within)}


_ESTIMATORS = {
    "binning": (_binning, "bin_width", ("bin_width",), ()),
    "kde": (_kde, "noise_variance", ("noise_variance",), ()),
    "renyi": (_renyi, "kernel_width", ("input_kernel_width",), ("kernel_width", "alpha")),
    "nearest_neighbour": (_nearest_neighbour, "k", (), ("k", "noise_scale")),
}
"""Name to function, option noted beside the results, options it needs, options it may have."""

VIEWS = ("whole", "pooled", "filter")


def _seen(T, view: str) -> list[tuple[int, torch.Tensor]]:
    """What an estimator is given of a layer: number of the filter (-1: all of them), values."""
    if view == "whole":
        return [(-1, T)]
    if view == "filter":
        return [(f, T[:, f]) for f in range(T.shape[1])]
    return [(-1, T.reshape(*T.shape[:2], -1).mean(2))] if T.ndim > 2 else []


def _estimate(name: str, view: str, X, T, Y, options: dict) -> Iterator[tuple[int, str, object]]:
    """Number of the filter, label of the estimator, information."""
    if name == "binning" and view == "filter":
        for f, value in enumerate(binned_information_per_filter(T, Y, **options)):
            yield f, "binning", value
        return
    for f, values in _seen(T, view):
        for label, value in _ESTIMATORS[name][0](X, values, Y, **options).items():
            yield f, label, value


def measure(T, Y, estimators: Iterable[Mapping], *, X=None) -> list[dict]:
    """Information of one layer by several estimators, as rows.

    Parameters
    ----------
    T : tensor or array (n, ...)
        Activations.
    Y : tensor or array (n,)
        Labels.
    estimators : iterable of mappings
        ``{"estimator": "binning", "bin_width": 0.07}``;
        ``{"estimator": "kde", "noise_variance": 1e-3}`` (two rows, upper and lower bound);
        ``{"estimator": "renyi", "input_kernel_width": 5.66}``, optionally with ``kernel_width``
        (by alignment if left out) and ``alpha``;
        ``{"estimator": "nearest_neighbour"}``, optionally with ``k`` and ``noise_scale``. Its
        ``I_XT`` is the differential entropy H(T), which is I(X;T) up to an unknown constant.

        Each may say what it looks at: ``"view": "whole"`` (the default), ``"pooled"`` (every
        channel's mean over space; layers without space have no such view and give no row) or
        ``"filter"`` (every channel by itself). ``"samples": m`` limits it to the first m samples.
    X : tensor or array (n, ...), optional
        Inputs, needed by ``renyi``.

    Returns
    -------
    list of dict
        Columns ``estimator``, ``parameter`` (bin width, noise variance, kernel width or k; None
        where it was not given: the data choose the kernel width, k is 2), ``view``, ``filter`` (-1
        where all are seen together), ``n`` (samples), ``I_XT``, ``I_TY`` (bits).

    Raises
    ------
    ValueError
        For an unknown estimator, view or parameter, fewer than one sample, for
        ``nearest_neighbour`` a class of k or fewer samples (it is named), and whatever the
        estimators refuse.

    Examples
    --------
    >>> rows = measure(np.array([[0.1], [0.9]]), np.array([0, 1]),
    ...                [{"estimator": "binning", "bin_width": 0.5}])
    >>> [(row["estimator"], row["n"], row["I_XT"], row["I_TY"]) for row in rows]
    [('binning', 2, 1.0, 1.0)]
    """
    rows = []
    for given in estimators:
        name, view, samples, options = _read(given)
        first = slice(samples)
        inputs = None if X is None else X[first]
        n = len(T[first])
        for number, label, value in _estimate(name, view, inputs, T[first], Y[first], options):
            rows.append(
                {
                    "estimator": label,
                    "parameter": options.get(_ESTIMATORS[name][1]),
                    "view": view,
                    "filter": number,
                    "n": n,
                    "I_XT": value.I_XT,
                    "I_TY": value.I_TY,
                }
            )
    return rows


def _read(given: Mapping) -> tuple[str, str, int | None, dict]:
    """An estimator's name, view, number of samples and options, checked."""
    options = dict(given)
    name = options.pop("estimator", None)
    if name not in _ESTIMATORS:
        raise ValueError(f"unknown estimator {name!r}; known: {', '.join(_ESTIMATORS)}")
    view = options.pop("view", "whole")
    if view not in VIEWS:
        raise ValueError(f"unknown view {view!r}; known: {', '.join(VIEWS)}")
    samples = options.pop("samples", None)
    if samples is not None and samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    _, _, needed, optional = _ESTIMATORS[name]
    if not set(needed) <= set(options) <= {*needed, *optional}:
        takes = ", ".join([*needed, *(f"{option} (optional)" for option in optional)])
        raise ValueError(f"{name} takes {takes}, got {sorted(options)}")
    return name, view, samples, options


def bounds(inputs: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Limits that no estimate of a deterministic layer can honestly exceed.

    ``ceiling_X`` = H(X), log2 n unless inputs repeat, and ``ceiling_Y`` = H(Y) of the labels of
    this very set, both in bits, with ``n`` and the number of ``distinct`` inputs.
    """
    return {
        "n": len(inputs),
        "distinct": count_distinct(inputs),
        "ceiling_X": binned_entropy(inputs),
        "ceiling_Y": discrete_entropy(labels),
    }


# ---------------------------------------------------------------- during training


class InformationRecorder(Callback):
    """Measures every chosen layer of every replica at the epochs of a schedule.

    Parameters
    ----------
    inputs, labels : tensors (N, ...) and (N,)
        All data, on the device of the replicas.
    sets : mapping
        Name of an evaluated set to the integer tensor of its rows, or, where the sets differ
        between replicas, to a tensor (replicas, n).
    train_rows, test_rows : integer tensors (replicas, n)
        Rows whose loss and accuracy go into ``history``.
    seeds : sequence of int
        Written into the rows.
    columns : sequence of mappings, optional
        For each replica, more columns of its rows, beside the seed.
    epochs : sequence of int
        When to measure.
    estimators : sequence of mappings
        See ``measure``. An estimator may be limited to some epochs with ``"every": m``: then only
        each m-th scheduled epoch and the last are measured with it.
    layers : sequence of str
    softmax : str, optional
        See ``record_activations``.

    Raises
    ------
    ValueError
        For ``every`` below 1 and for estimators that ``measure`` would refuse; later, while
        training, for activations that are not finite (naming seed, epoch, set and layer) and
        whatever else ``measure`` refuses.

    Attributes
    ----------
    measurements : list of dict
        ``seed, epoch, set, layer, layer_index`` and the columns of ``measure``.
    history : list of dict
        ``seed, epoch, train_loss, train_accuracy, test_loss, test_accuracy`` (loss in nats).
    """

    def __init__(
        self,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        *,
        sets: Mapping[str, torch.Tensor],
        train_rows: torch.Tensor,
        test_rows: torch.Tensor,
        seeds: Sequence[int],
        columns: Sequence[Mapping] | None = None,
        epochs: Sequence[int],
        estimators: Sequence[Mapping],
        layers: Sequence[str],
        softmax: str | None = None,
        chunk_size: int | None = None,
    ):
        self._inputs, self._labels = inputs, labels
        self._sets = sets
        self._train_rows, self._test_rows = train_rows, test_rows
        self._replicas = [
            {"seed": seed, **more}
            for seed, more in zip(seeds, columns or [{}] * len(seeds), strict=True)
        ]
        self._order = {epoch: i for i, epoch in enumerate(epochs)}
        self._last = max(epochs)
        self._estimators = [dict(spec) for spec in estimators]
        for spec in self._estimators:
            if spec.get("every", 1) < 1:
                raise ValueError(f"every must be at least 1, got {spec['every']}")
            _read({key: value for key, value in spec.items() if key != "every"})
        self._layers, self._softmax = list(layers), softmax
        self._chunk_size = chunk_size
        self.measurements: list[dict] = []
        self.history: list[dict] = []

    def _estimators_at(self, epoch: int) -> list[dict]:
        chosen = []
        for spec in self._estimators:
            options = dict(spec)
            every = options.pop("every", 1)
            if self._order[epoch] % every == 0 or epoch == self._last:
                chosen.append(options)
        return chosen

    def on_epoch(self, epoch: int, replicas: Replicas) -> None:
        """Append the rows of this epoch, if it is one to record."""
        if epoch not in self._order:
            return
        for index, who in enumerate(self._replicas):
            self._record(epoch, index, who, replicas.network(index))

    def _record(self, epoch: int, index: int, who: dict, model: nn.Module) -> None:
        estimators = self._estimators_at(epoch)
        passed = []
        for name, rows in self._sets.items():
            rows = rows[index] if rows.dim() == 2 else rows
            inputs, labels = self._inputs[rows], self._labels[rows]
            activations, logits = _forward(
                model, inputs, self._layers, self._chunk_size, self._softmax
            )
            passed.append((rows, logits))
            for number, (layer, T) in enumerate(activations.items()):
                where = {**who, "epoch": epoch, "set": name, "layer": layer}
                try:
                    measured = measure(T, labels, estimators, X=inputs)
                except ValueError as error:
                    raise ValueError(
                        f"seed {who['seed']}, epoch {epoch}, {name} set, layer {layer}: {error}"
                    ) from error
                for row in measured:
                    self.measurements.append({**where, "layer_index": number, **row})
        self._record_history(epoch, index, who, model, passed)

    def _record_history(self, epoch, index, who, model, passed: list[tuple]) -> None:
        """Loss and accuracy; rows that were measured do not pass through the model again.

        ``passed`` holds the rows of every measured set and their logits.
        """
        row = {**who, "epoch": epoch}
        for name, rows in (("train", self._train_rows[index]), ("test", self._test_rows[index])):
            same = (known for measured, known in passed if torch.equal(measured.cpu(), rows.cpu()))
            logits = next(same, None)
            if logits is None:
                logits = _forward(model, self._inputs[rows], [], self._chunk_size, None)[1]
            labels = self._labels[rows]
            row[f"{name}_loss"] = functional.cross_entropy(logits, labels).item()
            row[f"{name}_accuracy"] = (logits.argmax(1) == labels).double().mean().item()
        self.history.append(row)

    def state_dict(self) -> dict:
        """The rows recorded so far."""
        return {"measurements": self.measurements, "history": self.history}

    def load_state_dict(self, state: dict) -> None:
        """Take back the rows of an interrupted training."""
        self.measurements = list(state["measurements"])
        self.history = list(state["history"])
