"""The one training loop.

It always trains *replicas*: several networks of one architecture that differ in their seed. Small
fully connected networks are stacked and trained as one batched computation, because one of them
leaves a processor idle; other networks are taken one after the other inside each step. Either way
the loop, its callbacks and its checkpoints are the same, and no step waits for a value from the
device.
"""

import copy
import hashlib
import io
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ibcore.seeds import derived_seed


def _leave_a_gpu_idle(models: Sequence[nn.Module]) -> bool:
    """Whether networks are so small that a GPU had better train them in one computation."""
    weights = sum(parameter.numel() for parameter in models[0].parameters())
    alike = len({str(model) for model in models}) == 1
    return alike and weights < 1_000_000 and not list(models[0].buffers())


class Replicas:
    """Networks of one architecture, trained together.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        One network per seed.
    device : str or torch.device
    precision : {"float32", "bfloat16"}
        Of products and convolutions, see ``fit``.
    stacked : bool, optional
        Stack the weights along a new first dimension, or keep the networks as they are. By default
        networks whose class says ``stackable = True`` are stacked, and on a GPU, which they leave
        idle, all of one architecture without buffers and with fewer than a million weights.

    Attributes
    ----------
    around : callable
        Takes the number of a replica and returns the context in which its loss and gradients are
        computed: a stopwatch, for instance. Stacked replicas do not use it.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        device="cpu",
        *,
        precision: str = "float32",
        stacked: bool | None = None,
    ):
        if not models:
            raise ValueError("at least one model is needed, got none")
        self.device = torch.device(device)
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"unknown precision {precision!r}; known: float32, bfloat16")
        if precision == "bfloat16" and self.device.type != "cuda":
            raise ValueError(f"bfloat16 training is for CUDA devices, got {self.device}")
        self.precision = precision
        self.around: Callable[[int], AbstractContextManager] = lambda index: nullcontext()
        self._batched = all(getattr(model, "stackable", False) for model in models)
        if stacked is None:
            stacked = self._batched or (self.device.type == "cuda" and _leave_a_gpu_idle(models))
        self.stacked = stacked
        self._models = [model.to(self.device) for model in models]
        if self.stacked:
            if len({str(model) for model in self._models}) > 1:
                raise ValueError("the models differ in architecture and cannot be stacked")
            self._skeleton = copy.deepcopy(self._models[0])
            per_model = [dict(model.named_parameters()) for model in self._models]
            self._parameters = {
                name: torch.stack([named[name].detach() for named in per_model]).requires_grad_()
                for name in per_model[0]
            }

    def __len__(self) -> int:
        return len(self._models)

    def parameters(self) -> list[nn.Parameter]:
        """All trainable tensors, for an optimiser."""
        if self.stacked:
            return list(self._parameters.values())
        return [parameter for model in self._models for parameter in model.parameters()]

    def backward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Add the gradients of every replica's mean cross-entropy on its own batch.

        ``inputs`` (replicas, batch, ...), ``labels`` (replicas, batch); returns the losses
        (replicas,) in nats, on the device.
        """
        if self.stacked:
            with self._autocast():
                logits = self._logits(inputs)
                losses = functional.cross_entropy(
                    logits.flatten(0, 1), labels.flatten(), reduction="none"
                )
            losses = losses.view(labels.shape).mean(1)
            losses.sum().backward()
            return losses.detach()
        losses = []
        for index, (batch, targets) in enumerate(zip(inputs, labels, strict=True)):
            with self.around(index):
                with self._autocast():
                    loss = functional.cross_entropy(self._models[index](batch), targets)
                loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses)

    def _autocast(self) -> AbstractContextManager:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits (replicas, batch, classes) of stacked networks."""

        def call(parameters, batch):
            return torch.func.functional_call(self._skeleton, parameters, (batch,))

        if self._batched:
            return call(self._parameters, inputs)
        return torch.vmap(call, randomness="different")(self._parameters, inputs)

    def penalise(self, factors: torch.Tensor) -> None:
        """Add the gradients of the L2 penalty, factor times the sum of all squared weights.

        Weights are the parameters with two or more axes in one network, so biases and the scales
        of normalisation layers are left out, as with Keras's ``kernel_regularizer``. The gradient
        of f w^2 is 2 f w. Weights that ``backward`` gave no gradient, as frozen ones, get none
        here.

        Parameters
        ----------
        factors : tensor (replicas,)
            On the device; call it after ``backward``.
        """
        if self.stacked:
            for parameter in self._parameters.values():
                if parameter.dim() > 2 and parameter.grad is not None:
                    shape = (-1, *[1] * (parameter.dim() - 1))
                    parameter.grad.addcmul_(parameter.detach(), 2 * factors.view(shape))
            return
        for model, factor in zip(self._models, factors, strict=True):
            for parameter in model.parameters():
                if parameter.dim() > 1 and parameter.grad is not None:
                    parameter.grad.addcmul_(parameter.detach(), 2 * factor)

    def network(self, index: int) -> nn.Module:
        """Replica ``index`` as an ordinary network with its present weights."""
        model = self._models[index]
        if self.stacked:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(self._parameters[name][index])
        return model

    def train(self) -> None:
        """Put what computes the losses into training mode."""
        for model in [self._skeleton] if self.stacked else self._models:
            model.train()

    def state_dict(self) -> dict:
        """Everything that training changes."""
        if self.stacked:
            return {name: value.detach() for name, value in self._parameters.items()}
        return {str(i): model.state_dict() for i, model in enumerate(self._models)}

    def load_state_dict(self, state: dict) -> None:
        """Take back what ``state_dict`` gave."""
        if self.stacked:
            with torch.no_grad():
                for name, value in self._parameters.items():
                    value.copy_(state[name])
        else:
            for i, model in enumerate(self._models):
                model.load_state_dict(state[str(i)])


class Callback:
    """Something that looks at (or acts on) the replicas after an epoch.

    ``on_start`` is called once, before training begins or goes on; ``on_epoch`` at epoch 0
    (initialisation) and after every epoch. Parameters that no longer require a gradient afterwards
    leave the optimiser, with what it remembers of them, for good. What it remembers goes
    into checkpoints through ``state_dict``, which may hold only tensors, numbers, strings, lists
    and dictionaries.
    """

    def on_start(self, replicas: Replicas) -> None:
        """Prepare the replicas; in a resumed run after ``load_state_dict``."""

    def on_epoch(self, epoch: int, replicas: Replicas) -> None:
        """Look at the replicas after ``epoch`` epochs."""

    def state_dict(self) -> dict:
        """What a resumed run needs to go on."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Take back what ``state_dict`` gave."""


class Checkpoint:
    """One file that holds a training in progress, replaced atomically at most every few seconds.

    The file starts with the SHA-256 of its name and the rest; a truncated or altered file, and one
    of another run, is removed with a warning and the training starts from the beginning. Only
    tensors and plain values are read back (``weights_only``), never code; a file that asks for more
    counts as altered.
    """

    def __init__(self, path: Path, *, every_seconds: float = 30.0):
        self.path = Path(path)
        self.every_seconds = every_seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether enough time has passed since the last one."""
        return time.monotonic() - self._last >= self.every_seconds

    def save(self, state: dict) -> None:
        """Write ``state``."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        payload = buffer.getvalue()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(self._seal(payload) + payload)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._last = time.monotonic()

    def load(self) -> dict | None:
        """The saved state, or None when there is none that can be trusted."""
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        if self._seal(content[32:]) == content[:32]:
            with suppress(Exception):  # on other content the unpickler raises almost anything
                return torch.load(io.BytesIO(content[32:]), weights_only=True)
        warnings.warn(f"checkpoint {self.path.name} is damaged; training starts anew", stacklevel=2)
        self.remove()
        return None

    def _seal(self, payload: bytes) -> bytes:
        return hashlib.sha256(self.path.name.encode() + payload).digest()

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)


def make_optimiser(
    name: str,
    parameters,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """``"adam"`` (with the 1e-7 that Keras adds to the root) or ``"sgd"``.

    Both work element by element, so that stacked replicas take the same steps as separate ones.
    ``weight_decay`` shrinks every parameter, biases too. With Adam it is decoupled from the
    gradient (``torch.optim.AdamW``): each step first multiplies by 1 - learning rate * decay, so it
    is not the L2 penalty of ``fit``, whose gradient Adam rescales. With SGD, decay * parameter is
    added to the gradient, which is the gradient of the penalty decay / 2 * sum of squares.
    """
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay must not be negative, got {weight_decay}")
    options = {"lr": learning_rate, "weight_decay": weight_decay, "fused": True}
    if name == "adam":
        return torch.optim.AdamW(parameters, eps=1e-7, **options)
    if name == "sgd":
        return torch.optim.SGD(parameters, momentum=momentum, nesterov=nesterov, **options)
    raise ValueError(f"unknown optimiser {name!r}; known: adam, sgd")


def _release_frozen(steps: torch.optim.Optimizer) -> None:
    """Take the parameters that need no gradient out of an optimiser, and their state."""
    for group in steps.param_groups:
        for parameter in group["params"]:
            if not parameter.requires_grad:
                steps.state.pop(parameter, None)
        group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]


def _check(inputs, labels, rows, seeds, models, epochs, batch_size):
    if len(inputs) == 0:
        raise ValueError("the training data are empty")
    if len(inputs) != len(labels):
        raise ValueError(f"{len(inputs)} inputs but {len(labels)} labels")
    if not torch.isfinite(inputs).all():
        raise ValueError("the inputs hold NaN or infinite values")
    if not len(models) == len(seeds) == len(rows):
        raise ValueError(f"{len(models)} models, {len(seeds)} seeds and {len(rows)} sets of rows")
    if rows.shape[1] == 0:
        raise ValueError("no training rows")
    if epochs < 0:
        raise ValueError(f"epochs must not be negative, got {epochs}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be positive or None (full batch), got {batch_size}")


def fit(
    models: Sequence[nn.Module],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    epochs: int,
    seeds: Sequence[int],
    rows: torch.Tensor | None = None,
    batch_size: int | None = None,
    optimiser: str = "adam",
    learning_rate: float = 1e-3,
    momentum: float = 0.0,
    annealing: str = "none",
    nesterov: bool = False,
    milestones: Sequence[int] = (),
    augment: bool = False,
    l2: float | Sequence[float] = 0.0,
    weight_decay: float = 0.0,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
    description: str = "training",
    device="cpu",
    precision: str = "float32",
    stacked: bool | None = None,
) -> Replicas:
    """Train several networks of one architecture with cross-entropy.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        One per seed, already initialised; they are trained in place.
    inputs, labels : tensors (n, ...) and (n,)
        All data, moved to the device once.
    epochs : int
        Epoch 0 is the initialisation; callbacks see epochs 0 ... ``epochs``.
    seeds : sequence of int
        Seed of each network's own order of samples.
    rows : integer tensor (replicas, n_train), optional
        Rows that each network is trained on; all rows by default.
    batch_size : int or None
        None takes all training rows in every step (full batch, in fixed order). The last batch of
        an epoch may be smaller.
    optimiser, learning_rate, momentum, nesterov, weight_decay
        See ``make_optimiser``.
    annealing : {"none", "cosine"}
        "cosine" lowers the learning rate after every epoch, along half a cosine from
        ``learning_rate`` to 0.
    milestones : sequence of int
        Epochs after which the learning rate is divided by 10.
    augment : bool
        Change the images of every batch, see ``crop_and_flip``.
    l2 : float or sequence of float
        Factor of the penalty that is added to the loss, for all networks or for each its own:
        factor * sum of squared weights, not halved, biases left out (see ``Replicas.penalise``).
    callbacks : sequence of Callback
    checkpoint : Checkpoint, optional
        Written while training, read at the start: an interrupted training goes on and ends with
        the same numbers. It is removed by whoever stores the result.
    description : str
        Text of the progress bar.
    device : str or torch.device
    precision : {"float32", "bfloat16"}
        "bfloat16", on a CUDA device only, computes products and convolutions with 8 significant
        bits (``torch.autocast``). Weights, gradients of weights, losses and the optimiser's steps
        stay float32.
    stacked : bool, optional
        See ``Replicas``.

    Returns
    -------
    Replicas

    Raises
    ------
    ValueError
        For empty or non-finite inputs, lengths that differ, a negative number of epochs, a
        non-positive batch size or learning rate, a negative penalty or weight decay, an unknown
        optimiser, annealing or precision, bfloat16 on another device than CUDA, stacked models that
        differ in architecture.
    """
    if rows is None:
        rows = torch.arange(len(inputs)).expand(len(models), -1)
    _check(inputs, labels, rows, seeds, models, epochs, batch_size)
    if annealing not in ("none", "cosine"):
        raise ValueError(f"unknown annealing {annealing!r}; known: none, cosine")
    replicas = Replicas(models, device, precision=precision, stacked=stacked)
    inputs, labels = inputs.to(device), labels.to(device)
    factors = _penalties(l2, len(models)).to(device)
    steps = make_optimiser(
        optimiser,
        replicas.parameters(),
        learning_rate=learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
    )
    generators = [torch.Generator().manual_seed(derived_seed(seed, "order")) for seed in seeds]
    start = 0
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        replicas.load_state_dict(state["replicas"])
        for generator, saved in zip(generators, state["generators"], strict=True):
            generator.set_state(saved)
        torch.set_rng_state(state["global_generator"])
        for callback, saved in zip(callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(saved)
        start = state["epoch"] + 1
    for callback in callbacks:
        callback.on_start(replicas)
    _release_frozen(steps)
    if state is not None:
        steps.load_state_dict(state["optimiser"])

    with tqdm(
        total=epochs,
        initial=max(start - 1, 0),
        desc=description,
        unit="epoch",
        mininterval=1.0,
        leave=False,
    ) as bar:
        for epoch in range(start, epochs + 1):
            if epoch > 0:
                replicas.train()
                share = 0.1 ** sum(epoch > m for m in milestones)
                if annealing == "cosine":
                    share *= (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2
                for group in steps.param_groups:
                    group["lr"] = learning_rate * share
                _train_epoch(
                    replicas, steps, inputs, labels, rows, generators, batch_size, augment, factors
                )
                bar.update()
            for callback in callbacks:
                callback.on_epoch(epoch, replicas)
            _release_frozen(steps)
            if checkpoint and epoch < epochs and checkpoint.due():
                checkpoint.save(
                    {
                        "epoch": epoch,
                        "replicas": replicas.state_dict(),
                        "optimiser": steps.state_dict(),
                        "generators": [generator.get_state() for generator in generators],
                        "global_generator": torch.get_rng_state(),
                        "callbacks": [callback.state_dict() for callback in callbacks],
                    }
                )
    for index in range(len(replicas)):
        replicas.network(index)  # stacked weights go back into the models that were given
    return replicas


def crop_and_flip(
    images: torch.Tensor, generator: torch.Generator, *, margin: int = 4
) -> torch.Tensor:
    """Images shifted at random by up to ``margin`` pixels, and half of them mirrored.

    What comes in at the edges is 0. A new tensor (n, channels, h, w) on the device of the images;
    the numbers are drawn on the CPU, so that every device sees the same.
    """
    n, _, height, width = images.shape
    down, right = torch.randint(2 * margin + 1, (2, n, 1), generator=generator)
    mirrored = torch.randint(2, (n, 1), generator=generator).bool()
    rows = torch.arange(height) + down
    columns = torch.arange(width).expand(n, -1)
    columns = torch.where(mirrored, columns.flip(1), columns) + right
    image, rows, columns = (
        index.to(images.device)
        for index in (torch.arange(n).view(-1, 1, 1), rows[:, :, None], columns[:, None])
    )
    padded = functional.pad(images, (margin,) * 4)
    return padded[image, :, rows, columns].permute(0, 3, 1, 2)


def _penalties(l2, count: int) -> torch.Tensor:
    """One factor per network; empty if there is no penalty."""
    factors = torch.as_tensor(l2, dtype=torch.float32)
    if factors.dim() == 0:
        factors = factors.expand(count)
    if factors.shape != (count,) or not (factors >= 0).all() or factors.isinf().any():
        raise ValueError(f"l2 must be one factor >= 0, or one for each of {count}, got {l2}")
    return factors if factors.any() else factors[:0]


def _train_epoch(replicas, steps, inputs, labels, rows, generators, batch_size, augment, factors):
    n = rows.shape[1]
    order = rows
    if batch_size is not None and batch_size < n:
        shuffled = [torch.randperm(n, generator=generator) for generator in generators]
        order = torch.gather(rows, 1, torch.stack(shuffled))
    order = order.to(inputs.device)
    for batch in order.split(batch_size or n, dim=1):
        steps.zero_grad(set_to_none=True)
        images = inputs[batch]
        if augment:
            pairs = zip(images, generators, strict=True)
            images = torch.stack([crop_and_flip(part, generator) for part, generator in pairs])
        replicas.backward(images, labels[batch])
        if len(factors):
            replicas.penalise(factors)
        steps.step()
