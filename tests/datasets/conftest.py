"""Every test here: no network, no folder but tmp_path; the real files where they lie."""

import os
import socket
from pathlib import Path

import pytest
from datasets_helpers import REPOSITORY, Tiny

from ibcore.datasets import cifar10, fetch, mnist, pictures


def refuse(files, folder):
    raise OSError("no network in tests")


@pytest.fixture(autouse=True)
def sealed(monkeypatch, tmp_path):
    """No connection, no sources, no folder but tmp_path; returns data/raw."""

    def connect(*_):
        raise OSError("a test tried to reach the network")

    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(fetch, "_failed", {})
    monkeypatch.setattr(
        mnist,
        "SOURCES",
        {name: (fetch.Source("official", "nowhere", refuse),) for name in mnist.TITLES},
    )
    monkeypatch.setattr(cifar10, "SOURCES", (fetch.Source("official", "nowhere", refuse),))
    monkeypatch.setattr(pictures, "SOURCES", (fetch.Source("official", "nowhere", refuse),))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("IBCORE_DATA", raising=False)
    monkeypatch.setenv("IBCORE_OUTPUT", str(tmp_path / "project"))
    return tmp_path / "project" / "data" / "raw"


@pytest.fixture
def tiny(monkeypatch):
    tiny = Tiny()
    monkeypatch.setattr(mnist, "CHECKSUMS", tiny.checksums)
    return tiny


@pytest.fixture(scope="session")
def real_folder():
    """The folder with the real files, or skip."""
    named = os.environ.get("IBCORE_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data in {folder}; set IBCORE_TEST_DATA")
    return folder
