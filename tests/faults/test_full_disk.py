"""A disk that fills up at any moment: an error, nothing half-written, and then the same result."""

import builtins
import errno
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ibcore import results
from ibcore.datasets import cifar10, fetch, weights
from ibcore.datasets.audio.spectrograms import cached
from ibcore.training import Checkpoint


class Disk:
    """Every opening for writing, write, rename, new folder counts; one of them fails."""

    def __init__(self, patch):
        self.left = float("inf")
        opened = io.open

        class Raw(io.FileIO):
            def write(raw, data):
                self.count()
                return super().write(data)

        def opening(file, mode="r", *rest, **options):
            if not set(mode) & set("wax+"):
                return opened(file, mode, *rest, **options)
            self.count()
            buffered = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")), 512)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8")

        patch.setattr(io, "open", opening)
        patch.setattr(builtins, "open", opening)
        for owner, name in ((os, "replace"), (os, "rename"), (os, "mkdir"), (tempfile, "mkstemp")):
            patch.setattr(owner, name, self.counted(getattr(owner, name)))

    def count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def counted(self, call):
        def counting(*arguments, **options):
            self.count()
            return call(*arguments, **options)

        return counting


TABLE = pd.DataFrame({"epoch": range(200), "value": np.arange(200) / 3})
ARRAYS = {"mel": np.arange(3000).reshape(3, 1000)}


def save_run(folder, turn):
    results.save_run("toy", "a" * 16, {"one": TABLE, "two": TABLE + turn}, {"turn": turn})


def load_run(folder):
    stored = results.load_run("toy", "a" * 16)
    return stored and stored.record["turn"]


def save_text(folder, turn):
    results.write_atomically(folder / "new" / "table.csv", f"{turn}" * 5000)


def load_text(folder):
    path = folder / "new" / "table.csv"
    return path.read_text() if path.exists() else None


def save_checkpoint(folder, turn):
    Checkpoint(folder / "new" / "c").save({"turn": turn, "weights": torch.zeros(1000)})


def load_checkpoint(folder):
    state = Checkpoint(folder / "new" / "c").load()
    return state and state["turn"]


def save_spectrograms(folder, turn):
    cached(folder / "spectrograms.npz", lambda: {**ARRAYS, "turn": np.array(turn)})


def load_spectrograms(folder):
    path = folder / "spectrograms.npz"
    return cached(path, lambda: pytest.fail("not whole"))["mel"].sum() if path.exists() else None


def save_decoded(folder, turn):
    (folder / "cifar10.tar").write_bytes(b"packed")
    cifar10._decoded(folder / "cifar10.tar", "train", folder / "decoded")


def load_decoded(folder):
    for path in (folder / "decoded").glob("decoded*"):
        with np.load(path) as arrays:
            return arrays["train"].sum()
    return None


def accept(path, file):
    if path.read_bytes() != file.encode() * 3000:
        raise ValueError(f"{path}: wrong content")


def deliver(files, folder):
    for file in files:
        (folder / f"{file}.gz").write_bytes(file.encode() * 3000)


def save_fetched(folder, turn):
    fetch.obtain(folder / "set", ["one", "two"], [fetch.Source("official", "a", deliver)], accept)


def load_fetched(folder):
    for path in (folder / "set").glob("*.gz"):
        accept(path, path.stem)
    return fetch.missing(folder / "set", ["one", "two"]) == [] or None


def packed():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3):
            archive.writestr(f"clips/{number}.mp3", b"sound" * 1000)
    return buffer.getvalue()


def save_archive(folder, turn):
    content = packed()
    if not (folder / "clips").exists():
        Path(folder / "clips.zip.part").write_bytes(content)
        sha1 = hashlib.sha1(content).hexdigest()
        fetch._unpack(folder / "clips.zip.part", folder, "clips", sha1)


def load_archive(folder):
    return {path.name: path.read_bytes() for path in (folder / "clips").glob("*")} or None


ACTIONS = {
    "run": (save_run, load_run),
    "figure or table": (save_text, load_text),
    "checkpoint": (save_checkpoint, load_checkpoint),
    "decoded pictures": (save_decoded, load_decoded),
    "spectrograms": (save_spectrograms, load_spectrograms),
    "fetched files": (save_fetched, load_fetched),
    "archive": (save_archive, load_archive),
}
REPLACING = ("run", "figure or table", "checkpoint")


@pytest.mark.parametrize(
    ("name", "older"), [*((name, False) for name in ACTIONS), *((name, True) for name in REPLACING)]
)
def test_full_at_every_moment(tmp_path, monkeypatch, name, older):
    save, load = ACTIONS[name]
    decoded = {"train": np.arange(2000), "lossy": True}
    monkeypatch.setattr(cifar10, "_decode", lambda path: decoded)
    monkeypatch.setattr(fetch, "_failed", {})
    full, moment, found = True, 0, []
    while full:
        folder = tmp_path / str(moment)
        folder.mkdir()
        monkeypatch.setenv("IBCORE_OUTPUT", str(folder))
        if older:
            save(folder, 1)
        before = load(folder)
        assert (before is not None) == older
        with monkeypatch.context() as patch:
            disk = Disk(patch)
            disk.left = moment
            try:
                save(folder, 2)
                full = False
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017
        left_over = {path.name for path in folder.rglob("*") if path.name[0] == "."} - {".lock"}
        assert not left_over, moment
        if full:
            assert load(folder) in (before, None), moment
        save(folder, 2)
        found.append(load(folder))
        assert found[-1] not in (before, None), moment
        moment += 1
    assert moment > 3
    assert all(one == found[-1] for one in found)


def test_weights(tmp_path, monkeypatch):
    """What has been fetched of a file of weights is removed, and not taken for the whole."""

    def download(self, url, output, pooch):
        Path(output).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", download)
    monkeypatch.setattr(weights, "_failed", {})
    with pytest.raises(OSError, match="No space left on device"):
        weights._download("alexnet-owt-7be5be79.pth", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


SMALL = """
import subprocess, sys
from pathlib import Path
folder = Path(sys.argv[1])
mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
if subprocess.run(mount, capture_output=True).returncode:
    sys.exit(77)

import dataclasses
from ibcore import sweep
from ibcore.experiments import information_plane

config = information_plane.Config(
    dataset="szt", allow_standin="only", train_fraction=0.75, n_train=120, model="mlp",
    model_options={"n_inputs": 12, "hidden": (4, 3)}, epochs=9, batch_size=32, replicas=2,
    schedule="every", estimators=({"estimator": "binning", "bin_width": 0.5},), learning_rate=0.01,
)
rates = (0.01, 0.02, 0.03)
configs = {str(rate): dataclasses.replace(config, learning_rate=rate) for rate in rates}
(folder / "filling").write_bytes(bytes(40_000))
try:
    sweep.run(information_plane, configs)
except OSError as error:
    print(error)
print(sum(1 for _ in folder.rglob("run.json")), sum(1 for _ in folder.rglob(".*")))
(folder / "filling").unlink()
subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)
found = sweep.run(information_plane, configs)
for name, table in sorted(found.runs["0.03"].tables.items()):
    same = information_plane.run(configs["0.03"], 0)[name].equals(table)
    print(name, same, len(list(folder.rglob(".*"))))
"""


@pytest.mark.faults
def test_a_small_disk(tmp_path):
    """A real one of 64 kB in memory, in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", sys.executable, "-c", SMALL, disk],
        env={**os.environ, "IBCORE_OUTPUT": str(disk)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 0, done.stderr
    error, state, *tables = done.stdout.splitlines()
    assert "No space left on device" in error
    assert state.split()[0] in "012"
    assert state.split()[1] == "0"
    assert tables == [f"{name} True 0" for name in ("bounds", "history", "measurements")]
