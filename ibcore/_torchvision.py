"""Import torchvision beside a torch build that its compiled library does not fit.

Package indexes offer a CPU-only torch with a torchvision that was compiled for CUDA. The compiled
library then cannot be loaded, nobody declares the operators ``torchvision::nms`` and
``torchvision::qnms``, and ``import torchvision`` fails when it registers their shapes. The models
and transforms used here need neither operator, so declaring the two signatures is enough.

Use ``from ibcore._torchvision import torchvision`` everywhere.
"""

import importlib
import importlib.util
from pathlib import Path

import torch

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def compiled_library_loads(package: Path) -> bool:
    """Whether the compiled operators found in the folder ``package`` can be loaded."""
    for library in sorted(package.glob("_C*.so")) + sorted(package.glob("_C*.pyd")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
        return True
    return False


def declare_operators() -> torch.library.Library:
    """Declare the signatures of nms and qnms; they live as long as the returned object."""
    library = torch.library.Library("torchvision", "DEF")
    for signature in _SIGNATURES:
        library.define(signature)
    return library


def import_torchvision():
    """The module ``torchvision``, and the declared operators (None if it brings its own)."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed: run `make env`")
    loads = compiled_library_loads(Path(spec.origin).parent)
    declared = None if loads else declare_operators()
    return importlib.import_module("torchvision"), declared


torchvision, _declared = import_torchvision()
