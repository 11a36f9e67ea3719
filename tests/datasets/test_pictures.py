"""Photographs: from archives and folders, squeezed by Pillow; crops stand in."""

import gzip
import io
import logging
import tarfile
import zipfile

import numpy as np
import pooch
import pytest
import requests
from PIL import Image
from sklearn.datasets import load_sample_images

from ibcore.datasets import DataUnavailable, fetch, load, pictures

OFFICIAL = f"{pictures.ARCHIVE}.gz"


def picture(colour, size=(30, 20), mode="RGB", format="PNG"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format)
    return buffer.getvalue()


def archive(path, files, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return path


def folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def caltech():
    files = {
        f"101_ObjectCategories/kangaroo/image_000{i}.png": picture((40 * i, 0, 0))
        for i in (3, 1, 2)
    }
    files["101_ObjectCategories/beaver/image_0001.png"] = picture(128, mode="L")
    files["101_ObjectCategories/beaver/notes.txt"] = b"no picture"
    files["101_ObjectCategories/crab/image_0001.png"] = picture((0, 0, 9))
    return files


def imagenet():
    """One picture per class, of a colour that tells the class."""
    return {
        f"n{2_030_000 + 1_000 * i + 5:08d}_thing{i}.png": picture((i % 256, i // 256, 0), (2, 2))
        for i in range(1000)
    }


@pytest.mark.parametrize("place", ["caltech101/caltech101_two.tar", "caltech101.tar", "folder"])
def test_caltech(tmp_path, place):
    mine = tmp_path / "mine"
    if place == "folder":
        folder(mine / "caltech101", caltech())
    else:
        archive(mine / place, caltech())
    data = load("caltech101", "kangaroo", root=mine)
    assert data.X.shape == (3, 3, 224, 224)
    assert data.X.dtype == np.float32
    assert np.rint(255 * data.X[:, 0, 5, 5]).tolist() == [40, 80, 120]  # sorted by name
    assert data.Y.tolist() == [1, 1, 1]
    assert data.classes == ("beaver", "kangaroo")
    assert (data.source, data.label) == ("local", "Caltech-101")
    assert data.note == "Caltech-101, kangaroo, squeezed to 224x224, from local picture files."
    grey = load("caltech101", "beaver", root=mine)
    assert np.unique(np.rint(255 * grey.X)).tolist() == [128]
    assert grey.Y.tolist() == [0]
    part = load("caltech101", "kangaroo", root=mine, n=2, seed=1)
    keep = np.sort(np.random.default_rng(1).permutation(3)[:2])
    assert part.fingerprint == data.subset(keep).fingerprint


@pytest.mark.parametrize("place", ["imagenet/imagenet_sample.tar", "folder"])
def test_imagenet_sample(tmp_path, place):
    files = imagenet()
    if place == "folder":
        folder(tmp_path / "imagenet", files)
    else:
        archive(tmp_path / place, files)
    data = load("imagenet", "sample", root=tmp_path)
    assert data.Y.tolist() == list(range(7, 1000, 10))
    assert 337 in data.Y
    colours = np.rint(255 * data.X[:, :2, 0, 0]).astype(int)
    assert (colours[:, 0] + 256 * colours[:, 1] == data.Y).all()
    assert len(data.classes) == 1000
    assert data.classes[12].endswith("_thing12")


@pytest.mark.parametrize("name", ["n02363005_beaver.png", "n02363005/1.png"])
def test_beavers_of_imagenet(tmp_path, name):
    folder(tmp_path / "imagenet", {name: picture((9, 9, 9)), "n02364673/1.png": picture((1, 1, 1))})
    data = load("imagenet", "beaver", root=tmp_path)
    assert data.X.shape == (1, 3, 224, 224)
    assert data.X[0, 0, 0, 0] == np.float32(9 / 255)
    assert (data.Y.tolist(), data.classes) == ([0], ("beaver",))
    with pytest.raises(DataUnavailable, match=r"ImageNet \(sample\) is not available"):
        load("imagenet", "sample", root=tmp_path)


def test_pictures_are_squeezed_by_pillow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 300, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    folder(tmp_path / "caltech101", {"kangaroo/1.png": buffer.getvalue()})
    expected = Image.fromarray(pixels).resize((224, 224), Image.Resampling.BILINEAR)
    found = load("caltech101", "kangaroo", root=tmp_path).X[0]
    assert np.array_equal(np.rint(255 * found), np.asarray(expected).transpose(2, 0, 1))


def test_a_place_without_the_split_is_passed_over(tmp_path, sealed):
    archive(tmp_path / "caltech101.tar", {"kangaroo/1.png": picture((1, 1, 1))})
    archive(sealed / "caltech101.tar", caltech())
    assert len(load("caltech101", "kangaroo", root=tmp_path)) == 1
    assert len(load("caltech101", "beaver", root=tmp_path)) == 1


# ---------------------------------------------------------------- fetching


def official(path):
    return archive(path, caltech(), "w:gz")


@pytest.fixture
def checksum(tmp_path, monkeypatch):
    """The checksum of the small archive that stands for the official one, and its bytes."""
    content = official(tmp_path / "made" / OFFICIAL).read_bytes()
    monkeypatch.setattr(pictures, "CHECKSUM", pictures.hashlib.md5(content).hexdigest())
    return content


def test_official_archive_is_fetched_checked_and_kept(checksum, monkeypatch, sealed):
    calls = []

    def deliver(files, folder):
        calls.append(files)
        (folder / OFFICIAL).write_bytes(checksum)

    monkeypatch.setattr(pictures, "SOURCES", (fetch.Source("official", "there", deliver),))
    data = load("caltech101", "kangaroo")
    assert data.source == "official"
    assert data.note.endswith("(md5).")
    assert load("caltech101", "beaver").source == "official"
    assert calls == [[pictures.ARCHIVE]]
    (sealed / "caltech101" / OFFICIAL).write_bytes(checksum[:-5])
    with pytest.raises(ValueError, match=r"not the official 101_ObjectCategories\.tar\.gz"):
        load("caltech101", "kangaroo")


def test_official_archive_of_the_user_is_local(checksum, tmp_path):
    (tmp_path / "caltech101").mkdir()
    (tmp_path / "caltech101" / OFFICIAL).write_bytes(checksum)
    data = load("caltech101", "kangaroo", root=tmp_path)
    assert data.source == "local"
    assert "official archive" in data.note


@pytest.mark.parametrize("place", ["raw", "mine"])
def test_official_archive_without_its_gzip(checksum, tmp_path, sealed, place):
    root = {"raw": sealed, "mine": tmp_path / "mine"}[place]
    (root / "caltech101").mkdir(parents=True)
    (root / "caltech101" / pictures.ARCHIVE).write_bytes(gzip.decompress(checksum))
    for split, n in (("kangaroo", 3), ("beaver", 1)):
        data = load("caltech101", split, root=root, allow_standin=True)
        assert (len(data), data.source, data.label) == (n, "local", "Caltech-101")
        assert data.note.endswith("from local picture files.")


def test_what_an_archive_without_gzip_lacks_is_fetched(checksum, monkeypatch, sealed):
    archive(
        sealed / "caltech101" / pictures.ARCHIVE,
        {"101_ObjectCategories/kangaroo/1.png": picture((1, 1, 1))},
    )
    assert load("caltech101", "beaver", allow_standin=True).is_standin
    deliver = fetch.Source(
        "official", "there", lambda files, folder: (folder / OFFICIAL).write_bytes(checksum)
    )
    monkeypatch.setattr(pictures, "SOURCES", (deliver,))
    assert load("caltech101", "beaver").source == "official"


def test_an_archive_that_vanishes(monkeypatch):
    monkeypatch.setattr(fetch, "obtain", lambda *_, **__: None)
    with pytest.raises(DataUnavailable, match="the files vanished from"):
        load("caltech101", "kangaroo")
    assert load("caltech101", "kangaroo", allow_standin=True).is_standin


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def downloading(monkeypatch, answer):
    def download(self, url, output, pooch_object):
        assert url == pictures.ADDRESS
        if isinstance(answer, Exception):
            raise answer
        with open(output, "wb") as file:
            file.write(answer)

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", download)


def test_the_wanted_file_is_taken_out_of_the_zip(monkeypatch, tmp_path):
    downloading(monkeypatch, zipped({f"caltech-101/{OFFICIAL}": b"content", "other": b""}))
    pictures._from_zip([pictures.ARCHIVE], tmp_path)
    assert (tmp_path / OFFICIAL).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (requests.ConnectionError("long words"), OSError, "no connection, or it broke off"),
        (requests.Timeout("long words"), OSError, "no connection"),
        (b"<html>", ValueError, "not the archive that is expected"),
        (zipped({"other": b""}), ValueError, "not the archive that is expected"),
    ],
)
def test_bad_answers(monkeypatch, tmp_path, answer, error, message):
    downloading(monkeypatch, answer)
    with pytest.raises(error, match=message):
        pictures._from_zip([pictures.ARCHIVE], tmp_path)


# ---------------------------------------------------------------- nothing there, or broken


@pytest.mark.parametrize(
    ("name", "split", "words"),
    [
        ("caltech101", "kangaroo", [pictures.ADDRESS, OFFICIAL, "no network in tests"]),
        ("imagenet", "beaver", ["one picture of each of the 1,000 classes", "without an account"]),
    ],
)
def test_what_to_do_without_pictures(name, split, words, sealed, caplog):
    with pytest.raises(DataUnavailable) as caught:
        load(name, split)
    for word in (*words, str(sealed / name), "IBCORE_DATA"):
        assert word in str(caught.value)
    with caplog.at_level(logging.WARNING):
        assert load(name, split, n=2, allow_standin=True).is_standin
    assert "crops of scikit-learn's photographs stand in" in caplog.text


def test_damaged_archive(tmp_path):
    path = archive(tmp_path / "caltech101.tar", caltech())
    path.write_bytes(b"no archive" * 100)
    with pytest.raises(ValueError, match=r"caltech101.tar: truncated or damaged archive"):
        load("caltech101", "kangaroo", root=tmp_path)


def test_archive_whose_checksum_is_wrong(tmp_path):
    content = archive(tmp_path / "caltech101.tar", caltech()).read_bytes()
    (tmp_path / "caltech101.tar").unlink()
    packed = bytearray(gzip.compress(content.rstrip(b"\0")))  # read to its very end
    packed[-8] ^= 1
    (tmp_path / "caltech101.tar.gz").write_bytes(packed)
    with pytest.raises(ValueError, match=r"caltech101.tar.gz: truncated or damaged archive"):
        pictures._files(tmp_path / "caltech101.tar.gz")


def test_damaged_picture(tmp_path):
    archive(tmp_path / "caltech101.tar", {"kangaroo/1.jpg": b"no picture"})
    with pytest.raises(ValueError, match=r"caltech101.tar, kangaroo/1.jpg: no picture"):
        load("caltech101", "kangaroo", root=tmp_path)


def test_standin():
    data = load("caltech101", "kangaroo", allow_standin="only")
    assert data.X.shape == (64, 3, 224, 224)
    assert data.Y.tolist() == [0, 1] * 32
    assert data.label == "stand-in (crops of scikit-learn's photographs) for Caltech-101"
    assert load("imagenet", "sample", allow_standin="only").fingerprint == data.fingerprint
    assert len({image.tobytes() for image in data.X}) == 64
    for photograph, images in zip(
        load_sample_images().images, (data.X[::2], data.X[1::2]), strict=True
    ):
        assert abs(images.mean() - photograph.mean() / 255) < 0.1


def test_more_standins_than_there_are(caplog):
    with caplog.at_level(logging.WARNING):
        assert len(load("imagenet", "sample", n=100, allow_standin="only")) == 64
    assert "only 64 of the 100 pictures wanted" in caplog.text
    assert len(load("imagenet", "sample", n=5, allow_standin="only")) == 5


def test_real_pictures(real_folder):
    sizes = {("caltech101", "kangaroo"): 86, ("caltech101", "beaver"): 46}
    sizes |= {("imagenet", "beaver"): 1, ("imagenet", "sample"): 100}
    for (name, split), n in sizes.items():
        data = load(name, split, root=real_folder)
        assert data.X.shape == (n, 3, 224, 224)
        assert data.source == "local"
    assert data.classes[337] == "n02363005_beaver"
