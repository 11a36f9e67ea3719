"""CIFAR-10: official archive, copies as picture files, decoding once, grey, stand-ins."""

import gzip
import io
import logging
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from ibcore.datasets import DataUnavailable, cifar10, fetch, load

PER_CLASS = {"train": 2, "test": 1}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(cifar10, "SIZES", {"train": 20, "test": 10})


@pytest.fixture
def records():
    """Records as in the official files, the classes mixed."""
    rng = np.random.default_rng(2)
    made = {}
    for split, each in PER_CLASS.items():
        made[split] = rng.integers(0, 256, (10 * each, 3073), dtype=np.uint8)
        made[split][:, 0] = rng.permutation(np.repeat(np.arange(10), each))
    return made


def pack(path, files, mode="w:xz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def official(folder, records, monkeypatch):
    """Write the official archive of ``records`` and make its sha256 the expected one."""
    inside = "cifar-10-batches-bin/"
    files = {f"{inside}readme.html": b"text", f"{inside}test_batch.bin": records["test"].tobytes()}
    for number in (5, 4, 3, 2, 1):  # in any order
        part = records["train"][4 * (number - 1) : 4 * number]
        files[f"{inside}data_batch_{number}.bin"] = part.tobytes()
    path = folder / "cifar-10-binary.tar.gz"
    pack(path, files, "w:gz")
    monkeypatch.setattr(cifar10, "CHECKSUM", cifar10._mark(path))
    return path


def pictures(records, ending="png", **options):
    """The same records as picture files."""
    files = {}
    for split, part in records.items():
        for number, record in enumerate(part):
            buffer = io.BytesIO()
            pixels = record[1:].reshape(3, 32, 32).transpose(1, 2, 0)
            Image.fromarray(pixels).save(buffer, **{"format": "PNG", **options})
            files[f"{split}/{cifar10.CLASSES[record[0]]}/{number:04}.{ending}"] = buffer.getvalue()
    return files


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def by_class(part):
    """Records ordered by class, stable: the order of picture files."""
    return part[np.argsort(part[:, 0], kind="stable")]


@pytest.mark.parametrize("below", ["cifar10", ""])
def test_official_archive_of_the_user(tmp_path, records, monkeypatch, below):
    path = official(tmp_path / "mine" / below, records, monkeypatch)
    for split in ("train", "test"):
        data = load("cifar10", split, root=tmp_path / "mine")
        assert data.Y.tolist() == records[split][:, 0].tolist()
        assert data.X.dtype == np.float32
        np.testing.assert_array_equal(
            np.rint(data.X * 255), records[split][:, 1:].reshape(-1, 3, 32, 32)
        )
        assert (data.source, data.label, data.folder) == ("local", "CIFAR-10", path.parent)
        assert data.classes[3] == "cat"
        assert "official archive" in data.note


@pytest.mark.parametrize("place", ["raw", "mine"])
@pytest.mark.parametrize("allowed", [False, True])
def test_official_archive_without_its_gzip(tmp_path, records, monkeypatch, sealed, place, allowed):
    root = {"raw": sealed, "mine": tmp_path / "mine"}[place]
    packed = official(root / "cifar10", records, monkeypatch)
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    expected = load("cifar10", "test", root=root)
    packed.unlink()
    data = load("cifar10", "test", root=root, allow_standin=allowed)
    assert data.fingerprint == expected.fingerprint
    assert (data.source, data.label, data.folder) == ("local", "CIFAR-10", packed.parent)
    assert data.note.endswith(
        "cifar-10-binary.tar without its gzip, so not compared with a checksum."
    )


def test_broken_records(tmp_path):
    files = {"cifar-10-batches-bin/test_batch.bin": b"0" * 3000}
    pack(tmp_path / "cifar10" / "cifar-10-binary.tar", files, "w")
    with pytest.raises(ValueError, match=r"binary\.tar: .*test_batch\.bin has 3000 bytes"):
        load("cifar10", "test", root=tmp_path)


@pytest.mark.parametrize("kind", ["folder", "xz", "plain"])
def test_picture_files(tmp_path, records, kind, sealed):
    files = pictures(records)
    if kind == "folder":
        write(tmp_path / "cifar10", {**files, "train/readme.txt": b"x", "train/cat/x.txt": b"x"})
    else:
        mode, ending = {"xz": ("w:xz", ".xz"), "plain": ("w", "")}[kind]
        pack(tmp_path / "cifar10" / f"cifar10-png.tar{ending}", {"top/x.txt": b"x", **files}, mode)
    data = load("cifar10", "train", root=tmp_path)
    expected = by_class(records["train"])
    assert data.Y.tolist() == expected[:, 0].tolist()
    np.testing.assert_array_equal(np.rint(data.X * 255).reshape(20, -1), expected[:, 1:])
    assert data.source == "local"
    assert data.folder == tmp_path / "cifar10"
    assert "picture files (PNG)" in data.note
    assert data.fingerprint != load("cifar10", "test", root=tmp_path).fingerprint
    assert len(list((sealed / "cifar10").glob("decoded-*.npz"))) == 1


def test_jpeg_says_so(tmp_path, records):
    pack(
        tmp_path / "cifar10" / "cifar10.tar.xz",
        pictures(records, "jpg", format="JPEG", quality=75),
    )
    for _ in range(2):  # decoded, and read back
        data = load("cifar10", "test", root=tmp_path, n=7, seed=3)
        assert "re-encoded JPEG, not the official pixels" in data.note
        assert data.label == "CIFAR-10 (JPEG copy)"
    whole = load("cifar10", "test", root=tmp_path)
    keep = np.sort(np.random.default_rng(3).permutation(10)[:7])
    assert data.fingerprint == whole.subset(keep).fingerprint


def test_decoded_once_and_anew_when_the_copy_changes(tmp_path, records, sealed, monkeypatch):
    files = pictures(records)
    write(tmp_path / "cifar10", files)
    first = load("cifar10", "train", root=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(cifar10, "_decode", lambda path: pytest.fail("decoded again"))
        assert load("cifar10", "train", root=tmp_path).fingerprint == first.fingerprint
    name = next(iter(files))
    os.utime(tmp_path / "cifar10" / name, (1, 1))
    assert load("cifar10", "train", root=tmp_path).fingerprint == first.fingerprint
    assert len(list((sealed / "cifar10").glob("decoded-*.npz"))) == 2
    assert not list((sealed / "cifar10").glob("tmp*"))


@pytest.mark.parametrize("damage", ["byte", "cut", "empty"])
def test_damaged_decoded_file_is_made_again(tmp_path, records, sealed, damage, caplog):
    write(tmp_path / "cifar10", pictures(records))
    first = load("cifar10", "train", root=tmp_path)
    kept = next((sealed / "cifar10").glob("decoded-*.npz"))
    content = bytearray(kept.read_bytes())
    if damage == "byte":
        content[5000] ^= 1
    kept.write_bytes({"byte": content, "cut": content[:4000], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert load("cifar10", "train", root=tmp_path).fingerprint == first.fingerprint
    assert "is damaged" in caplog.text
    caplog.clear()
    assert load("cifar10", "train", root=tmp_path).fingerprint == first.fingerprint
    assert not caplog.text


def changed(files, **changes):
    name = next(name for name in files if name.startswith("train/cat"))
    return {**files, name: changes["content"]}


def encoded(size):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: changed(f, content=b"no picture"), r"train/cat/.* no picture of CIFAR-10"),
        (lambda f: changed(f, content=encoded((32, 31))), "32x31 pixels, not 32x32"),
        (lambda f: {**f, "train/tiger/1.png": b""}, "'tiger' is no class of CIFAR-10"),
        (lambda f: dict(list(f.items())[1:]), r"holds {'train': 19, 'test': 10} images"),
    ],
)
def test_wrong_pictures(tmp_path, records, sealed, change, words):
    write(tmp_path / "cifar10", change(pictures(records)))
    with pytest.raises(ValueError, match=words):
        load("cifar10", "train", root=tmp_path, allow_standin=True)
    assert not list((sealed / "cifar10").glob("*.npz"))


def test_truncated_archive(tmp_path, records):
    path = tmp_path / "cifar10" / "cifar10.tar.xz"
    pack(path, pictures(records))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match=r"cifar10\.tar\.xz: truncated or damaged archive"):
        load("cifar10", "test", root=tmp_path)


def test_wrong_official_archive(tmp_path, records, monkeypatch):
    path = official(tmp_path / "cifar10", records, monkeypatch)
    monkeypatch.setattr(cifar10, "CHECKSUM", "0" * 64)
    with pytest.raises(ValueError, match=r"not the official cifar-10-binary\.tar\.gz: sha256 "):
        load("cifar10", "test", root=tmp_path)
    assert path.is_file()


def test_download(tmp_path, records, monkeypatch, sealed):
    path = official(tmp_path / "site", records, monkeypatch)

    def deliver(files, folder):
        for file in files:
            (folder / f"{file}.gz").write_bytes(path.read_bytes())

    source = fetch.Source("official", "a fake site", deliver)
    monkeypatch.setattr(cifar10, "SOURCES", (source,))
    for _ in range(2):
        data = load("cifar10", "train")
        assert (data.source, data.folder) == ("official", sealed / "cifar10")
        assert data.Y.tolist() == records["train"][:, 0].tolist()


def test_an_archive_that_vanishes(monkeypatch):
    monkeypatch.setattr(fetch, "obtain", lambda *_, **__: None)
    with pytest.raises(DataUnavailable, match="the files vanished from"):
        load("cifar10", "train")
    assert load("cifar10", "train", allow_standin=True).is_standin


def test_unavailable():
    with pytest.raises(DataUnavailable) as caught:
        load("cifar10", "train")
    for word in ("cifar-10-binary.tar.gz", "IBCORE_DATA", "no network in tests", "train/<class>"):
        assert word in str(caught.value)


def test_fashion_mnist_stands_in(tiny, tmp_path, caplog):
    tiny.write(tmp_path / "fashion_mnist", "fashion_mnist")
    with caplog.at_level(logging.WARNING):
        data = load("cifar10", "test", root=tmp_path, allow_standin=True)
    assert "other data stand in" in caplog.text
    assert data.label == "stand-in (Fashion-MNIST) for CIFAR-10"
    assert data.X.shape == (10, 3, 32, 32)
    assert data.classes[0] == "T-shirt/top"
    assert data.folder == tmp_path / "fashion_mnist"
    small = load("fashion_mnist", "test", root=tmp_path)
    np.testing.assert_array_equal(data.Y, small.Y)
    for colour in range(3):
        corners = data.X[:, colour, ::31, ::31]
        np.testing.assert_array_equal(corners, small.X[:, 0, ::3, ::3])


def test_digits_stand_in_and_nothing_is_touched(tmp_path, records, sealed):
    write(tmp_path / "cifar10", pictures(records))
    data = load("cifar10", "train", n=50, root=tmp_path, allow_standin="only")
    assert data.label == "stand-in (scikit-learn digits) for CIFAR-10"
    assert data.X.shape == (50, 3, 32, 32)
    assert 0 <= data.X.min() < data.X.max() <= 1
    assert not sealed.exists()
    grey = load("cifar10_grey", "train", n=50, allow_standin="only")
    np.testing.assert_array_equal(grey.X, data.X[:, :1])


def test_grey(tmp_path, records):
    write(tmp_path / "cifar10", pictures(records))
    colour = by_class(records["test"])[:, 1:].reshape(-1, 3, 32, 32).astype(int).sum(1)
    right = load("cifar10_grey", "test", root=tmp_path)
    wrapped = load("cifar10_grey_wrapped", "test", root=tmp_path)
    assert right.X.shape == wrapped.X.shape == (10, 1, 32, 32)
    np.testing.assert_allclose(right.X[:, 0], colour / 765, rtol=1e-6)
    np.testing.assert_allclose(wrapped.X[:, 0], colour % 256 / 765, rtol=1e-6)
    assert wrapped.label == "CIFAR-10 in grey, sum wrapped mod 256"


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 3, 2, 2)), "must be uint8 .* got float64"),
        (np.zeros((1, 1, 2, 2), np.uint8), r"got uint8 \(1, 1, 2, 2\)"),
        (np.zeros((3, 2, 2), np.uint8), r"got uint8 \(3, 2, 2\)"),
    ],
)
def test_grey_refuses(images, words):
    with pytest.raises(ValueError, match=words):
        cifar10.grey(images)


def test_real_copy(real_folder, monkeypatch):
    monkeypatch.setattr(cifar10, "SIZES", {"train": 50_000, "test": 10_000})
    data = load("cifar10", "test", root=real_folder)
    assert np.bincount(data.Y).tolist() == [1000] * 10
    np.testing.assert_allclose(data.X.mean((0, 2, 3)), (0.494, 0.485, 0.450), atol=0.005)
