"""torchvision beside any torch: both ways in, each in an interpreter of its own."""

import importlib
import sys

import pytest
import torch

from ibcore import _torchvision
from ibcore._torchvision import compiled_library_loads, import_torchvision, torchvision


def test_an_empty_folder_has_no_library(tmp_path):
    assert not compiled_library_loads(tmp_path)


@pytest.mark.parametrize("ending", ["_C.so", "_C.cpython-311-x86_64-linux-gnu.so", "_C.pyd"])
def test_a_file_that_is_no_library(tmp_path, ending):
    (tmp_path / ending).write_bytes(b"not a library")
    assert not compiled_library_loads(tmp_path)


def test_a_library_that_loads(tmp_path, monkeypatch):
    (tmp_path / "_C.so").touch()
    (tmp_path / "other.so").touch()
    loaded = []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)
    assert compiled_library_loads(tmp_path)
    assert loaded == [str(tmp_path / "_C.so")]


def test_not_installed(monkeypatch):
    monkeypatch.setattr(_torchvision.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="torchvision is not installed: run `make env`"):
        import_torchvision()


def test_it_is_the_module_itself():
    assert torchvision is sys.modules["torchvision"]
    assert importlib.import_module("torchvision.transforms")


def test_a_small_network_classifies():
    generator = torch.Generator().manual_seed(0)
    model = torchvision.models.squeezenet1_1(weights=None, num_classes=7).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 32, 32, generator=generator))
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


def test_nothing_is_declared_where_the_compiled_library_loads(monkeypatch):
    def declare():
        raise RuntimeError("declared beside a library that brings its own")

    monkeypatch.setattr(_torchvision, "compiled_library_loads", lambda package: True)
    monkeypatch.setattr(_torchvision, "declare_operators", declare)
    assert import_torchvision() == (torchvision, None)


def test_what_is_declared_has_the_signatures_of_torchvision():
    for name in ("nms", "qnms"):
        signature = str(getattr(torch.ops.torchvision, name).default._schema)
        assert signature.endswith("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@pytest.mark.slow
@pytest.mark.skipif(_torchvision._declared is not None, reason="so it is here, without pretending")
def test_operators_are_declared_where_the_compiled_library_does_not_load(python):
    python("""
import torch

def load_library(path):
    raise OSError("undefined symbol")

torch.ops.load_library = load_library
from ibcore._torchvision import _declared, torchvision
assert isinstance(_declared, torch.library.Library)
assert torch.ops.torchvision.nms.default and torch.ops.torchvision.qnms.default
model = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=3).eval()
assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
resized = torchvision.transforms.functional.resize(torch.ones(1, 4, 4), [8, 8])
assert resized.shape == (1, 8, 8)
""")
