"""Readers of files: whatever the bytes, a sound result or a ValueError that names the file."""

import csv
import io
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile
import torch
from fuzzing import LONG, examples, mutations
from hypothesis import example, given
from PIL import Image
from scipy.io import savemat

from ibcore.datasets import cifar10, pictures, pokemon, read_idx, szt, weights
from ibcore.datasets.audio import fma, gtzan
from ibcore.datasets.audio.spectrograms import Mel, read_picture, read_sound

RNG = np.random.default_rng(0)
MEL = Mel(sample_rate=8000, n_fft=256, hop_length=128, bands=8, columns=8, seconds=0.25)


def written(write, *arguments, **options):
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def table(rows):
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def picture(kind, side=32):
    pixels = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    return written(Image.fromarray(pixels).save, kind)


def archive(names, mode):
    def pack(file):
        with tarfile.open(fileobj=file, mode=mode) as packed:
            for name in names:
                content = picture("PNG" if name.endswith("png") else "JPEG")
                member = tarfile.TarInfo(name)
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))

    return written(pack)


def sound(kind):
    tone = np.sin(np.arange(2000) / 3) * np.linspace(0, 1, 2000)
    return written(lambda file: soundfile.write(file, tone, 8000, format=kind))


def sightings(path):
    return [pokemon.read_sightings(path, name)[0].to_numpy() for name in pokemon.TITLES][0]


def cifar(path):
    records = cifar10._decode(path)
    return np.concatenate([records["train"], records["test"]])


def caltech(path):
    files = pictures._files(path)
    return np.array(
        [pictures._pixels(content, f"{path}, {name}") for name, content in files.items()]
    )


SIGHTINGS = [["pokemonId", "longitude", "latitude", "temperature", "pressure", pokemon.STAMP]] + [
    [species, place, 40 - place / 2, 20.5, 1013, f"2016-09-0{day}T10:11:12"]
    for day, (species, place) in enumerate([(50, 1.5), (86, -120), (128, 33), (50, 7)], start=1)
]
TRACKS = [["", "set", "track"], ["", "subset", "genre_top"], ["track_id", "", ""],
          ["2", "small", "Rock"], ["3", "large", "Pop"], ["5", "small", "Jazz"]]  # fmt: skip
KANGAROOS = [f"101/kangaroo/{i}.{ending}" for i, ending in enumerate(["jpg", "png"])]
CIFAR = [f"{split}/{kind}/1.png" for split in ("train", "test") for kind in cifar10.CLASSES]
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
IDX = bytes.fromhex("00000803 00000002 00000003 00000004") + bytes(range(24))

FILES = {
    "images.idx": (IDX, read_idx),
    "var_u.mat": (
        written(savemat, {"F": szt.patterns().astype(np.uint8), "y": np.ones((1, 4096))}),
        lambda path: szt.read_var_u(path)[0],
    ),
    "packed.mat": (
        written(savemat, {"F": szt.patterns(), "y": np.ones((1, 4096))}, do_compression=True),
        lambda path: szt.read_var_u(path)[0],
    ),
    "300k.csv": (table(SIGHTINGS), sightings),
    "tracks.csv": (table(TRACKS), lambda path: np.array(list(fma.read_tracks(path)))),
    "gtzan.npz": (
        written(
            np.savez_compressed,
            mel=RNG.integers(0, 255, (2, 128, 128), dtype=np.uint8),
            label=np.arange(2),
            genre=np.array(["a", "b"]),
        ),
        lambda path: gtzan.read(path)[0],
    ),
    "weights.npz": (
        written(np.savez, **{name: value.numpy() for name, value in STATE.items()}),
        lambda path: np.concatenate([value.ravel() for value in weights._read(path).values()]),
    ),
    "weights.pth": (
        written(lambda file: torch.save(STATE, file)),
        lambda path: np.concatenate([value.ravel() for value in weights._read(path).values()]),
    ),
    "cifar10.tar": (archive(CIFAR, "w"), cifar),
    "cifar10.tar.xz": (archive(CIFAR, "w:xz"), cifar),
    "caltech101.tar": (archive(KANGAROOS, "w"), caltech),
    "caltech101.tar.gz": (archive(KANGAROOS, "w:gz"), caltech),
    **{f"clip.{kind}": (sound(kind.upper()), lambda path: read_sound(path, MEL))
       for kind in ("wav", "flac", "ogg", "mp3")},
    "clip.png": (picture("PNG"), lambda path: read_picture(path, MEL)),
    "clip.jpg": (picture("JPEG"), lambda path: read_picture(path, MEL)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "SIZES", {"train": 10, "test": 10})


@pytest.mark.parametrize("name", FILES)
def test_valid_files_are_read(tmp_path, name):
    content, read = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert len(read(path)) > 0


@pytest.mark.parametrize("name", FILES)
@examples(8)
@given(damage=mutations())
def test_damaged_files(tmp_path, name, damage):
    content, read = FILES[name]
    path = tmp_path / name
    damaged = damage(content)
    path.write_bytes(damaged)
    try:
        found = read(path)
    except ValueError as error:
        assert name in str(error)
    else:
        assert np.isfinite(found).all()
    assert path.read_bytes() == damaged
