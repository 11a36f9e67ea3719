"""Cut, flipped and swapped files: computed anew with a warning, or one clear error."""

import io
import json
import logging
import os
import pickle
import stat
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ibcore import reproduce, results
from ibcore.datasets import cifar10, fetch
from ibcore.datasets.audio.spectrograms import cached
from ibcore.training import Callback, Checkpoint, fit

TABLES = {"one": pd.DataFrame({"a": range(30)}), "two": pd.DataFrame({"b": [0.1, 0.2]})}


def sweep(folder, name):
    """A run from the store, computed if need be, as sweeps do."""
    identifier = name * 16
    stored = results.load_run("toy", identifier)
    if stored is None:
        tables = {kind: table * (1 + ord(name)) for kind, table in TABLES.items()}
        stored = results.save_run("toy", identifier, tables, {"seed": ord(name)})
    return {kind: table.to_numpy().tolist() for kind, table in stored.tables.items()}


class Stop(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch(self, epoch, replicas):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def training(folder, name, stop=None):
    """Weights of a training that goes on from its checkpoint; an interrupted one leaves it."""
    seed = ord(name)
    inputs = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Linear(3, 2)
    checkpoint = Checkpoint(folder / f"{name}.checkpoint", every_seconds=0)
    fit(
        [model],
        inputs,
        (inputs[:, 0] > 0).long(),
        epochs=6,
        seeds=[seed],
        batch_size=5,
        callbacks=[Stop(stop)],
        checkpoint=checkpoint,
    )
    return model.weight.tolist()


def interrupted(folder, name):
    """As `training`; it leaves the checkpoint of an interrupted one behind."""
    weights = training(folder, name)
    (folder / f"{name}.checkpoint").unlink()
    with pytest.raises(KeyboardInterrupt):
        training(folder, name, stop=4)
    return weights


def spectrograms(folder, name):
    made = {"mel": np.arange(500) + ord(name)}
    return cached(folder / f"spectrograms-{name}.npz", lambda: made)["mel"].tolist()


def decoded(folder, name):
    """The first picture of a copy of CIFAR-10, from the file with what was decoded."""
    path = folder / "copies" / name / "cifar10.tar"
    if not path.exists():
        path.parent.mkdir(parents=True)
        pixels = np.random.default_rng(ord(name)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        with tarfile.open(path, "w") as archive:
            for split in ("train", "test"):
                member = tarfile.TarInfo(f"{split}/cat/1.png")
                member.size = len(buffer.getvalue())
                archive.addfile(member, io.BytesIO(buffer.getvalue()))
    return cifar10._decoded(path, "train", folder / "cifar10")[0].tolist()


def stored(name, file):
    return lambda folder: results.run_folder("toy", name * 16) / file


def decoded_file(name):
    return lambda folder: (
        folder
        / "cifar10"
        / f"decoded-{cifar10._mark(folder / 'copies' / name / 'cifar10.tar')[:16]}.npz"
    )


KINDS = {
    "table": (sweep, sweep, [stored(name, "one.csv") for name in "ab"]),
    "run.json": (sweep, sweep, [stored(name, "run.json") for name in "ab"]),
    "checkpoint": (
        interrupted,
        training,
        [lambda folder, name=name: folder / f"{name}.checkpoint" for name in "ab"],
    ),
    "spectrograms": (
        spectrograms,
        spectrograms,
        [lambda folder, name=name: folder / f"spectrograms-{name}.npz" for name in "ab"],
    ),
    "decoded pictures": (decoded, decoded, [decoded_file(name) for name in "ab"]),
}
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def flipped(share):
    def damage(content, other):
        changed = bytearray(content)
        changed[int(share * len(content))] ^= 4
        return bytes(changed)

    return damage


DAMAGE = {
    **{f"cut at {share:.0%}": lambda content, other, share=share: content[
        : int(share * len(content))] for share in SHARES},
    **{f"flipped at {share:.0%}": flipped(share) for share in SHARES},
    "longer": lambda content, other: content + b"\0",
    "swapped": lambda content, other: other,
    "pickle": lambda content, other: pickle.dumps({"a": 1}),
}  # fmt: skip


@pytest.fixture
def warned(caplog, recwarn):
    """Whether a warning was given, in either way."""
    caplog.set_level(logging.WARNING)
    return lambda: "damaged" in caplog.text + "".join(str(w.message) for w in recwarn)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_made_anew(tmp_path, output, monkeypatch, warned, kind, damage):
    first, again, paths = KINDS[kind]
    monkeypatch.setattr(cifar10, "SIZES", {"train": 1, "test": 1})
    expected = [first(tmp_path, name) for name in "ab"]
    assert expected[0] != expected[1]
    path, other = (find(tmp_path) for find in paths)
    content = path.read_bytes()
    path.write_bytes(DAMAGE[damage](content, other.read_bytes()))
    assert not warned()
    assert again(tmp_path, "a") == expected[0]
    # What a zip archive says about itself besides its content may change without harm.
    assert warned() or (kind == "decoded pictures" and damage[:4] in ("flip", "long"))
    assert again(tmp_path, "a") == expected[0]
    assert again(tmp_path, "b") == expected[1]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", ["spectrograms", "decoded pictures"])
def test_objects_in_a_cache_are_not_unpickled(tmp_path, monkeypatch, warned, kind):
    """Forged with the right name, mark and hash."""
    first, again, paths = KINDS[kind]
    monkeypatch.setattr(cifar10, "SIZES", {"train": 1, "test": 1})
    expected = first(tmp_path, "a")
    path = paths[0](tmp_path)

    class Malicious:
        def __reduce__(self):
            return (tmp_path / "executed").mkdir, ()

    thing = np.array([Malicious()], dtype=object)
    if kind == "spectrograms":
        path.unlink()
        cached(path, lambda: {"mel": thing})
    else:
        with np.load(path) as arrays:
            mark = arrays["mark"]
        np.savez(path, mark=mark, train=thing, lossy=True)
    assert again(tmp_path, "a") == expected
    assert warned()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(("umask", "mode"), [(0o22, 0o644), (0o77, 0o600)])
def test_the_umask_says_who_may_read_a_cache(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        spectrograms(tmp_path, "a")
    finally:
        os.umask(before)
    assert (tmp_path / "spectrograms-a.npz").stat().st_mode & 0o777 == mode


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_manifest_is_named(capsys, content):
    path = results.figures_folder("smoke", reproduce.notebooks()[0]) / "manifest.json"
    results.write_atomically(path, content)
    assert reproduce.main(["index", "--profile", "smoke"]) == 1
    assert f"error: {path} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a\n"1'])
def test_a_damaged_table_is_named(content):
    path = results.figures_folder("smoke", "01") / "planes.csv"
    results.write_atomically(path, content)
    with pytest.raises(ValueError, match=r"planes.csv: not a readable table"):
        results.load_table("smoke", "01", "planes")


@pytest.mark.parametrize("content", ["", "[]", "null", '"text"', "{"])
def test_a_damaged_record_of_sources_is_no_source(tmp_path, content):
    (tmp_path / "SOURCE.json").write_text(content)
    assert fetch.recorded_source(tmp_path, ["one"]) == "local"
    fetch._record(tmp_path, tmp_path, {"one": "mirror"})
    assert json.loads((tmp_path / "SOURCE.json").read_text()) == {"one": "mirror"}


# ---------------------------------------------------------------- archives

STRANGERS = {
    "../outside.mp3": stat.S_IFREG,
    "clips/../../outside.mp3": stat.S_IFREG,
    "/outside.mp3": stat.S_IFREG,
    "clips/link.mp3": stat.S_IFLNK,
    "clips/device.mp3": stat.S_IFCHR,
    "clips/pipe.mp3": stat.S_IFIFO,
}


@pytest.mark.parametrize("name", STRANGERS)
def test_archives_that_lead_outside_are_refused(tmp_path, monkeypatch, name):
    """Even with the right hash; nothing is written anywhere."""
    folder = tmp_path / "raw"
    folder.mkdir()
    part = folder / "clips.zip.part"
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("clips/1.mp3", b"sound")
        member = zipfile.ZipInfo(name)
        member.external_attr = (STRANGERS[name] | 0o644) << 16
        archive.writestr(member, b"/etc/passwd")
    with part.open("rb") as file:
        sha1 = fetch.hashlib.file_digest(file, "sha1").hexdigest()
    monkeypatch.setattr(fetch, "_continue", lambda address, part: None)
    with pytest.raises(fetch.FetchFailed, match=r"the archive holds .*, which is not unpacked"):
        fetch.obtain_archive("http://a.site/clips.zip", folder, "clips", sha1=sha1)
    assert {path.name for path in tmp_path.rglob("*")} == {"raw", ".lock", "clips.zip.part"}
