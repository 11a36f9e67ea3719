"""Every test: results below its own tmp_path, one thread, and nothing written into the checkout."""

import os
import subprocess
import sys
from pathlib import Path

# Both are read when the libraries are imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["TQDM_DISABLE"] = "1"

import pytest
import torch

torch.set_num_threads(1)  # for fixtures of modules, which are made before those of tests

# They hold no doctests, and --doctest-modules stumbles over several files of one name.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

CHECKOUT = Path(__file__).resolve().parents[1]
GUARDED = tuple(
    str(CHECKOUT / name) for name in ("data", "figures", "ibcore", "notebooks", "tests")
)
PATHS_OF = {"os.mkdir": 1, "os.remove": 1, "os.rename": 2, "os.rmdir": 1, "shutil.rmtree": 1}


def _written(event, arguments):
    """The paths that an audited event creates, changes or removes.

    Only ``open`` may name a relative one: elsewhere it can be relative to another folder.
    """
    if event == "open":
        path, mode, flags = arguments
        writes = set(mode or "") & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return [path] if writes else []
    return [path for path in arguments[: PATHS_OF.get(event, 0)] if os.path.isabs(path)]


def _keep_the_checkout(event, arguments):
    for path in _written(event, arguments):
        if isinstance(path, str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(path))
            if path.startswith(GUARDED) and "__pycache__" not in path:
                raise RuntimeError(f"a test tried to change the checkout: {event} {path}")


sys.addaudithook(_keep_the_checkout)


@pytest.fixture(autouse=True)
def output(monkeypatch, tmp_path):
    """The folder that stands for the checkout's ``data/runs`` and ``figures``."""
    folder = tmp_path / "output"
    monkeypatch.setenv("IBCORE_OUTPUT", str(folder))
    monkeypatch.setenv("IBCORE_JOBS", "1")
    monkeypatch.delenv("IBCORE_DATA", raising=False)
    torch.set_num_threads(1)
    return folder


@pytest.fixture
def python(tmp_path):
    """Run a script in a fresh interpreter; returns the finished process, or starts it only."""

    def start(script, *arguments):
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(script, *arguments, returncode=0):
        process = start(script, *arguments)
        process.output, process.errors = process.communicate(timeout=300)
        assert process.returncode == returncode, process.errors
        return process

    run.start = start
    return run
