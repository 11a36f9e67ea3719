"""Readers of files: whatever the bytes, a sound result or a ValueError that names the file."""

import csv
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import soundfile
import torch
from fuzzing import examples, mutations
from hypothesis import given
from PIL import Image
from scipy.io import savemat

from ibcore.datasets import cifar10, idx, pictures, pokemon, read_idx, szt, weights
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
    return [pokemon.read_sightings(path, name)[0].to_numpy() for name in pokemon.TITLES][-1]


def cifar(path):
    records = cifar10._decode(path)
    return np.concatenate([records["train"], records["test"]])


def caltech(path):
    files = pictures._files(path).items()
    return np.array([pictures._pixels(content, f"{path}, {name}") for name, content in files])


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


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def objects(thing):
    """Files that execute `thing` where they are trusted."""
    array = np.array([thing], dtype=object)
    return {
        "pickle": pickle.dumps(thing),
        "old pickle": pickle.dumps(thing, protocol=0),
        "npy": written(np.save, array),
        "npz": written(np.savez, mel=array, label=array, genre=array, weight=array),
        "torch": written(lambda file: torch.save({"weight": thing}, file)),
        "old torch": written(
            lambda file: torch.save(thing, file, _use_new_zipfile_serialization=False)
        ),
    }


@pytest.mark.parametrize("name", FILES)
def test_no_reader_executes_what_is_in_a_file(tmp_path, name):
    path = tmp_path / name
    for content in objects(Malicious(tmp_path / "executed")).values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=name):
            FILES[name][1](path)
        assert not (tmp_path / "executed").exists()
    pickle.loads(objects(Malicious(tmp_path / "executed"))["pickle"])
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", [name for name in FILES if ".tar" in name])
def test_archives_are_never_unpacked_into_folders(tmp_path, name):
    """Links and devices are passed over; pictures with roads out of the folder are only read."""
    (tmp_path / "secret.png").write_bytes(picture("PNG"))
    strangers = [tarfile.TarInfo(f"train/cat/{number}.png") for number in range(5)]
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    for member, kind in zip(strangers, kinds, strict=True):
        member.type, member.linkname = kind, str(tmp_path / "secret.png")

    def pack(file):
        with tarfile.open(fileobj=file, mode="w") as packed:
            for member in strangers:
                packed.addfile(member)
            for place in ("../train/cat/out.png", f"{tmp_path}/train/cat/out.png"):
                content = picture("PNG")
                member = tarfile.TarInfo(place)
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))

    path = tmp_path / "inside" / name
    path.parent.mkdir()
    path.write_bytes(written(pack))
    if name.startswith("cifar10"):
        with pytest.raises(ValueError, match=r"holds {'train': 2, 'test': 0} images"):
            cifar10._decode(path)
    else:
        assert len(pictures._files(path)) == 2
    found = sorted(found.name for found in tmp_path.rglob("*"))
    assert found == sorted(["inside", name, "secret.png"])


@pytest.mark.parametrize("name", ["cifar10.tar", "caltech101.tar"])
def test_a_member_that_claims_to_be_huge(tmp_path, monkeypatch, name):
    monkeypatch.setattr(idx, "MOST_BYTES", 1000)
    path = tmp_path / name
    path.write_bytes(FILES[name][0])
    with pytest.raises(ValueError, match=rf"{name}: .* claims \d+ bytes"):
        FILES[name][1](path)


@pytest.mark.parametrize("name", ["clip.png", "cifar10.tar", "caltech101.tar"])
def test_a_picture_that_claims_to_be_huge(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    path = tmp_path / name
    path.write_bytes(FILES[name][0])
    with pytest.raises(ValueError, match=rf"{name}.*decompression bomb"):
        FILES[name][1](path)


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
        assert name in str(error)  # noqa: PT017
    else:
        assert np.isfinite(found).all()
    assert path.read_bytes() == damaged
