"""Grad-CAM saliency maps of all chosen layers from one forward and one backward pass."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ibcore.estimators._validation import to_tensor


@contextmanager
def modules_evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; every module's own mode comes back after."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def grad_cam(
    model: nn.Module,
    images: torch.Tensor,
    layers: Sequence[str],
    *,
    targets=None,
    size: int | tuple[int, int] | None = None,
    relu: bool = True,
) -> dict[str, torch.Tensor]:
    r"""Grad-CAM maps of several layers, each scaled to [0, 1] by its own minimum and maximum.

    .. math::
        M = \mathrm{ReLU}\Big(\sum_c w_c A_c\Big), \qquad
        w_c = \frac1{hw} \sum_{ij} \frac{\partial z_t}{\partial A_{cij}}

    with A the layer's output and z_t the logit of the target class: `class_activations`, then
    `scaled`.

    Parameters
    ----------
    model, images, layers, targets
        See `class_activations`.
    size : int or (int, int), optional
        Resize the scaled maps bilinearly (their maximum may fall below 1). By default each has
        the size of its layer.
    relu : bool
        See `scaled`.

    Returns
    -------
    dict
        Layer to tensor (n, h, w) on the device of the images, in the order of ``layers``. A map
        that is constant (all zero, for instance, after the ReLU) becomes all zero: `degenerate`
        tells which.

    Raises
    ------
    ValueError
        As `class_activations`, and for a size that is no positive integer.

    References
    ----------
    Selvaraju et al. (2017), equations 1 and 2.

    Examples
    --------
    The logit is the mean of channel 0 minus that of channel 1, so the map is channel 0 minus
    channel 1:

    >>> class Difference(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Identity()
    ...     def forward(self, x):
    ...         a = self.layer(x).mean((2, 3))
    ...         return torch.stack([a[:, 0] - a[:, 1], a[:, 1] - a[:, 0]], 1)
    >>> image = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]], [[0.0, 1.0], [2.0, 3.0]]]])
    >>> grad_cam(Difference(), image, ["layer"])["layer"].tolist()
    [[[1.0, 0.5], [0.0, 0.0]]]
    """
    size = None if size is None else _size(size)
    maps = class_activations(model, images, layers, targets=targets)
    maps = {layer: scaled(one, relu=relu) for layer, one in maps.items()}
    if size is None:
        return maps
    return {
        layer: functional.interpolate(one[:, None], size, mode="bilinear", align_corners=False)
        .squeeze(1)
        .clamp(max=1)  # weights of float32 may add up to a little more
        for layer, one in maps.items()
    }


def class_activations(
    model: nn.Module, images: torch.Tensor, layers: Sequence[str], *, targets=None
) -> dict[str, torch.Tensor]:
    r"""Grad-CAM maps of several layers before the ReLU and the scaling.

    .. math::
        \sum_c w_c A_c, \qquad
        w_c = \frac1{hw} \sum_{ij} \frac{\partial z_t}{\partial A_{cij}}

    One forward pass and one call of ``torch.autograd.grad`` for all layers; parameters get no
    gradient.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits (n, classes). Used in evaluation mode and left as it was found: modes,
        hooks, ``requires_grad``, ``.grad``.
    images : tensor (n, ...)
        On the model's device.
    layers : sequence of str
        Names as in ``model.named_modules()``, with outputs (n, channels, h, w). A module that is
        used several times counts with its last output.
    targets : integer array or tensor (n,), optional
        Class whose logit is explained; the class with the largest logit by default.

    Returns
    -------
    dict
        Layer to tensor (n, h, w), in the order of ``layers``.

    Raises
    ------
    ValueError
        For a layer that the model does not have (its layers are listed), that was not used, that
        does not give maps or has no influence on the logits; no layers or images; outputs that are
        no logits; targets that are not n class numbers; maps that hold NaN or infinity, because
        the images or the weights do.

    Notes
    -----
    The images and every recorded output are copied before they are passed on, so that a following
    in-place operation changes the copy. The graph begins at the first recorded layer if nothing
    before it needs a gradient, so frozen parameters do no harm.

    References
    ----------
    Selvaraju et al. (2017), equations 1 and 2.
    """
    modules = {name: module for name, module in model.named_modules() if name}
    for layer in layers:
        if layer not in modules:
            raise ValueError(f"unknown layer {layer!r}; layers of the model: {', '.join(modules)}")
    if not layers or len(images) == 0:
        raise ValueError(f"{len(layers)} layers and {len(images)} images: nothing to explain")
    outputs: dict[str, torch.Tensor] = {}

    def keep(layer):
        def hook(module, args, output):
            if not isinstance(output, torch.Tensor) or output.dim() != 4:
                shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
                raise ValueError(
                    f"layer {layer!r} gives {shape}; Grad-CAM needs maps (n, channels, h, w)"
                )
            outputs[layer] = output if output.requires_grad else output.detach().requires_grad_()
            return outputs[layer].clone()

        return hook

    handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
    try:
        with torch.inference_mode(False), torch.enable_grad(), modules_evaluating(model):
            logits = model(images.detach().clone())
            unused = [layer for layer in layers if layer not in outputs]
            if unused:
                raise ValueError(f"layers not used in the forward pass: {', '.join(unused)}")
            gradients = _gradients(logits, _targets(targets, logits, len(images)), outputs)
    finally:
        for handle in handles:
            handle.remove()
    maps = {
        layer: torch.einsum("nc,nchw->nhw", gradients[layer].mean((2, 3)), outputs[layer].detach())
        for layer in layers
    }
    broken = [layer for layer, one in maps.items() if not one.isfinite().all()]
    if broken:
        raise ValueError(f"maps that are not finite (images, weights?): {', '.join(broken)}")
    return maps


def _targets(targets, logits, n):
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != n:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits)
        raise ValueError(f"the model must return logits ({n}, classes), got {shape}")
    if targets is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(targets)
    if chosen.is_floating_point() or chosen.dtype == torch.bool or chosen.shape != (n,):
        raise ValueError(
            f"targets must be {n} class numbers, got {chosen.dtype} {tuple(chosen.shape)}"
        )
    low, high = int(chosen.min()), int(chosen.max())
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(f"targets run from {low} to {high}, the classes to {logits.shape[1] - 1}")
    return chosen.to(logits.device, torch.int64)


def _gradients(logits, targets, outputs):
    score = logits.gather(1, targets[:, None]).sum()
    if score.requires_grad:
        found = torch.autograd.grad(score, list(outputs.values()), allow_unused=True)
    else:
        found = [None] * len(outputs)
    gradients = dict(zip(outputs, found, strict=True))
    without = [layer for layer, gradient in gradients.items() if gradient is None]
    if without:
        raise ValueError(f"layers without influence on the logits: {', '.join(without)}")
    return gradients


def scaled(maps: torch.Tensor, *, relu: bool = True) -> torch.Tensor:
    """Maps (n, h, w) with minimum 0 and maximum 1 each; all zero where a map is constant.

    With ``relu`` only the positive part counts; without it the minimum is the most negative value.

    Examples
    --------
    >>> scaled(torch.tensor([[[-1.0, 1.0, 2.0]]])).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    if relu:
        maps = maps.relu()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1)


def _size(size):
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    whole = [isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in pair]
    if len(pair) != 2 or not all(whole):
        raise ValueError(f"size must be one or two positive integers, got {size!r}")
    return pair


def degenerate(maps):
    """Which maps are constant, and so show nothing.

    Parameters
    ----------
    maps : array or tensor, shape (n, h, w)
        As from ``grad_cam`` or ``quantise``.

    Returns
    -------
    bool array or tensor, shape (n,)

    Raises
    ------
    ValueError
        If the shape is another one.

    Examples
    --------
    >>> degenerate(np.array([[[0.0, 0.0]], [[0.0, 1.0]]])).tolist()
    [True, False]
    """
    maps = maps if isinstance(maps, torch.Tensor) else np.asarray(maps)
    if len(maps.shape) != 3 or 0 in maps.shape:
        raise ValueError(f"maps must have shape (n, h, w), got {tuple(maps.shape)}")
    flat = maps.reshape(len(maps), -1)
    return (flat == flat[:, :1]).all(1)


# ---------------------------------------------------------------- integer maps


def _lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


def _triangle(x):
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0.0)


_FILTERS = {"lanczos": (_lanczos, 3.0), "bilinear": (_triangle, 1.0)}
_PRECISION = 1 << 22


@functools.lru_cache(maxsize=256)
def _resampling(before: int, after: int, resample: str, fixed_point: bool) -> torch.Tensor:
    """Weights (after, before) of Pillow's resampling along one axis; each row sums to 1.

    In fixed point they are whole multiples of 2**-22, given as integers.
    """
    kernel, support = _FILTERS[resample]
    scale = before / after
    stretch = max(scale, 1.0)
    weights = np.zeros((after, before))
    for row in range(after):
        centre = (row + 0.5) * scale
        first = max(int(centre - support * stretch + 0.5), 0)
        last = min(int(centre + support * stretch + 0.5), before)
        values = kernel((np.arange(first, last) - centre + 0.5) / stretch)
        weights[row, first:last] = values / values.sum()
    if fixed_point:
        weights = np.trunc(weights * _PRECISION + np.copysign(0.5, weights))
    return torch.from_numpy(weights)


def _resized(maps: torch.Tensor, size: tuple[int, int], resample: str) -> torch.Tensor:
    """Resize float64 maps as Pillow does, columns first: bytes if they hold integers 0...255.

    Pillow's arithmetic on bytes is in fixed point and exact in float64, whatever the order of the
    sums; that on floating numbers rounds to float32 after each axis.
    """
    integers = not maps.is_floating_point()
    maps = maps.double()
    for axis, after in ((2, size[1]), (1, size[0])):
        before = maps.shape[axis]
        if before == after:
            continue
        weights = _resampling(before, after, resample, integers).to(maps.device)
        maps = maps @ weights.T if axis == 2 else weights @ maps
        if integers:
            maps = ((maps + _PRECISION // 2) / _PRECISION).floor().clamp(0, 255)
        else:
            maps = maps.float().double()
    return maps


def quantise(
    maps,
    *,
    levels: int = 256,
    size: int | tuple[int, int] | None = None,
    resample: str = "lanczos",
    order: str = "quantise-resize",
    rounding: str = "floor",
):
    r"""Integer maps of real ones, if wanted at another size.

    .. math:: q = \lfloor (L - 1)\, m \rfloor \quad\text{(floor)}, \qquad
        q = \lfloor (L - 1)\, m + \tfrac12 \rfloor \quad\text{(nearest)}

    The defaults, with the input's size as ``size``, are the documents' reading.

    Parameters
    ----------
    maps : floating array or tensor, shape (n, h, w)
        In [0, 1], as from ``grad_cam``.
    levels : int
        Number L of levels, 2 to 256.
    size : int or (int, int), optional
        Height and width of the result; that of the maps by default.
    resample : {"lanczos", "bilinear"}
        Filter of the resizing, equal to Pillow's.
    order : {"quantise-resize", "resize-quantise"}
        What comes first. Lanczos overshoots at edges; what leaves the range is cut off.
    rounding : {"floor", "nearest"}
        How reals become integers: "floor" gives the last level to the very maximum only.

    Returns
    -------
    uint8 array or tensor, shape (n, height, width)
        On the device of `maps` if that is a tensor.

    Raises
    ------
    ValueError
        For maps that are not (n, h, w) floating numbers in [0, 1], and options that are not known.

    Examples
    --------
    >>> quantise(np.array([[[0.0, 0.5], [0.999, 1.0]]])).tolist()
    [[[0, 127], [254, 255]]]
    >>> quantise(np.array([[[0.0, 0.5], [0.999, 1.0]]]), levels=3, rounding="nearest").tolist()
    [[[0, 1], [2, 2]]]
    """
    for name, value, known in (
        ("resample", resample, tuple(_FILTERS)),
        ("order", order, ("quantise-resize", "resize-quantise")),
        ("rounding", rounding, ("floor", "nearest")),
    ):
        if value not in known:
            raise ValueError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")
    integral = isinstance(levels, int | np.integer) and not isinstance(levels, bool)
    if not (integral and 2 <= levels <= 256):
        raise ValueError(f"levels must be an integer between 2 and 256, got {levels!r}")
    levels = int(levels)
    given = to_tensor(maps, "maps")
    if given.dim() != 3 or given.numel() == 0 or not given.is_floating_point():
        raise ValueError(
            f"maps must be floating numbers (n, h, w), got {given.dtype} {tuple(given.shape)}"
        )
    low, high = given.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"maps must lie in [0, 1], got values from {low:.6g} to {high:.6g}")
    size = tuple(given.shape[1:]) if size is None else _size(size)
    shift = 0.5 if rounding == "nearest" else 0.0
    if order == "resize-quantise":
        given = _resized(given, size, resample).clamp(0, 1)
    whole = (given.double() * (levels - 1) + shift).floor()
    if order == "quantise-resize":
        whole = _resized(whole.to(torch.uint8), size, resample).clamp(max=levels - 1)
    whole = whole.to(torch.uint8)
    return whole if isinstance(maps, torch.Tensor) else whole.numpy()
