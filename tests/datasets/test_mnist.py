"""MNIST and Fashion-MNIST: order of sources, checksums, stand-in."""

import errno
import gzip
import hashlib
import logging

import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from ibcore.datasets import DataUnavailable, fetch, load, mnist

IMAGES, LABELS = mnist.FILES["test"]
#: first digits of the fingerprints of the digits, train and test
PRINTS = ["465b2721a399e5b4", "7be9afc463112e90"]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", ["mnist", ""])
def test_local_files(tiny, tmp_path, packed, below):
    folder = tmp_path / "mine"
    tiny.write(folder / below, "mnist", packed=packed)
    data = load("mnist", "test", root=folder)
    assert (data.source, data.folder, data.label) == ("local", folder / below, "MNIST")
    assert data.X.shape == (10, 1, 4, 4)
    assert data.X.dtype == np.float32
    np.testing.assert_array_equal(np.rint(data.X[:, 0] * 255), tiny.arrays["mnist", IMAGES])
    assert data.Y.tolist() == list(range(10))
    assert data.classes == tuple("0123456789")
    assert not data.is_standin
    assert "(sha256)" in data.note


def test_subset_is_the_subset_of_the_whole(tiny, tmp_path):
    tiny.write(tmp_path / "mnist", "mnist")
    whole = load("mnist", "train", root=tmp_path)
    part = load("mnist", "train", root=tmp_path, n=7, seed=2)
    keep = np.sort(np.random.default_rng(2).permutation(30)[:7])
    assert part.fingerprint == whole.subset(keep).fingerprint
    with pytest.raises(ValueError, match="n = 31 samples wanted, but mnist train has 30"):
        load("mnist", "train", root=tmp_path, n=31)


def test_root_comes_before_ibcore_data_and_that_before_raw(tiny, tmp_path, monkeypatch, sealed):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two, sealed):
        tiny.write(folder / "mnist", "mnist")
    monkeypatch.setenv("IBCORE_DATA", str(two))
    assert load("mnist", "test", root=one).folder == one / "mnist"
    assert load("mnist", "test").folder == two / "mnist"
    monkeypatch.delenv("IBCORE_DATA")
    assert load("mnist", "test").folder == sealed / "mnist"


def test_raw_is_consulted_when_ibcore_data_lacks_it(tiny, tmp_path, monkeypatch, sealed, caplog):
    tiny.write(sealed / "mnist", "mnist")
    tiny.write(tmp_path / "two" / "mnist", "mnist", [IMAGES])
    monkeypatch.setenv("IBCORE_DATA", str(tmp_path / "two"))
    with caplog.at_level(logging.WARNING):
        assert load("mnist", "test").folder == sealed / "mnist"
    assert f"is passed over for MNIST: it lacks {LABELS}" in caplog.text


def test_files_in_the_root_of_the_other_data_set_are_not_wrong_but_absent(tiny, tmp_path):
    folder = tmp_path / "mine"
    tiny.write(folder, "fashion_mnist")
    assert load("fashion_mnist", "test", root=folder).source == "local"
    with pytest.raises(DataUnavailable, match="MNIST is not available"):
        load("mnist", "test", root=folder)


def test_wrong_file_of_the_user_is_left_untouched(tiny, tmp_path):
    tiny.write(tmp_path / "mnist", "mnist")
    path = tmp_path / "mnist" / f"{IMAGES}.gz"
    content = gzip.compress(b"something else")
    path.write_bytes(content)
    found = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(ValueError, match="left untouched") as caught:
        load("mnist", "test", root=tmp_path, allow_standin=True)
    for word in (str(path), found, tiny.checksums["mnist"][IMAGES]):
        assert word in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("below", ["mnist", ""])
def test_truncated_file_of_the_user(tiny, tmp_path, below):
    tiny.write(tmp_path / "mine" / below, "mnist")
    path = tmp_path / "mine" / below / f"{IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"truncated or damaged gzip .*left untouched"):
        load("mnist", "test", root=tmp_path / "mine")


@pytest.mark.parametrize("damage", ["other", "truncated"])
def test_wrong_file_of_ours_is_moved_aside_and_fetched_again(tiny, monkeypatch, sealed, damage):
    source, calls = tiny.source("mnist")
    monkeypatch.setitem(mnist.SOURCES, "mnist", (source,))
    tiny.write(sealed / "mnist", "mnist")
    path = sealed / "mnist" / f"{LABELS}.gz"
    if damage == "other":
        path.write_bytes(gzip.compress(b"else"))
        mark = hashlib.sha256(b"else").hexdigest()[:8]
    else:
        path.write_bytes(path.read_bytes()[:-5])
        mark = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    wrong = path.read_bytes()
    with pytest.raises(ValueError, match=f"moved aside to {path.name}.wrong-{mark}: call again"):
        load("mnist", "test")
    assert not path.exists()
    assert path.with_name(f"{path.name}.wrong-{mark}").read_bytes() == wrong
    assert load("mnist", "test").Y.tolist() == list(range(10))
    assert calls == [[LABELS]]


def test_root_that_is_raw_counts_as_ours(tiny, sealed):
    tiny.write(sealed / "mnist", "mnist")
    (sealed / "mnist" / f"{LABELS}.gz").write_bytes(b"else")
    with pytest.raises(ValueError, match="moved aside"):
        load("mnist", "test", root=sealed)


def test_wrong_file_that_another_process_replaced(tiny, sealed, monkeypatch):
    tiny.write(sealed / "mnist", "mnist")
    path = sealed / "mnist" / f"{LABELS}.gz"
    good = path.read_bytes()
    path.write_bytes(b"else")
    locked = fetch.locked

    def replace_then_lock(folder):
        path.write_bytes(good)
        return locked(folder)

    monkeypatch.setattr(fetch, "locked", replace_then_lock)
    with pytest.raises(ValueError, match="has been replaced since: call again"):
        load("mnist", "test")
    assert path.read_bytes() == good


def test_wrong_file_that_cannot_be_moved(tiny, sealed, monkeypatch):
    tiny.write(sealed / "mnist", "mnist")
    (sealed / "mnist" / f"{LABELS}.gz").write_bytes(b"else")

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(mnist.os, "replace", refuse)
    with pytest.raises(ValueError, match=r"could not be moved aside \(read-only\): remove it"):
        load("mnist", "test")


def test_download_then_local_keeps_its_source(tiny, sealed, monkeypatch):
    source, calls = tiny.source("mnist")
    monkeypatch.setitem(mnist.SOURCES, "mnist", (source,))
    first, second = load("mnist", "train"), load("mnist", "train")
    assert calls == [list(mnist.ALL_FILES)]
    assert first.source == second.source == "official"
    assert first.note == second.note
    assert mnist.ADDRESSES["mnist"] in first.note
    assert first.folder == sealed / "mnist"


def test_failing_network_falls_through_to_the_mirror(tiny, monkeypatch, caplog):
    source, calls = tiny.source("fashion_mnist", "mirror")
    nowhere = mnist.SOURCES["fashion_mnist"]
    monkeypatch.setitem(mnist.SOURCES, "fashion_mnist", (*nowhere, source))
    with caplog.at_level(logging.WARNING):
        data = load("fashion_mnist", "test")
    assert (data.source, data.label, len(calls)) == ("mirror", "Fashion-MNIST", 1)
    assert data.classes[0] == "T-shirt/top"
    assert [r.getMessage() for r in caplog.records] == [
        "nowhere did not deliver: no network in tests"
    ]


def test_then_to_the_stand_in_and_it_says_so(tiny, caplog):
    with caplog.at_level(logging.WARNING):
        data = load("fashion_mnist", "test", allow_standin=True)
    assert data.is_standin
    assert data.note.startswith("stand-in: ")
    assert data.label == "stand-in (scikit-learn digits) for Fashion-MNIST"
    assert "Fashion-MNIST is not available: scikit-learn digits stand in" in caplog.text


def test_then_to_one_message_that_says_what_to_do(tiny, sealed):
    with pytest.raises(DataUnavailable, match="MNIST is not available") as caught:
        load("mnist", "test")
    for word in ("nowhere: no network in tests", f"{IMAGES}.gz", mnist.ADDRESSES["mnist"]):
        assert word in str(caught.value)
    assert f"put them into {sealed / 'mnist'}" in str(caught.value)


def test_files_that_vanish(tiny, monkeypatch):
    monkeypatch.setattr(fetch, "obtain", lambda *_: None)
    with pytest.raises(DataUnavailable, match="the files vanished from"):
        load("mnist", "test")


def test_full_disk_is_not_hidden_by_a_stand_in(tiny, monkeypatch):
    def fill(files, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(mnist.SOURCES, "mnist", (fetch.Source("official", "x", fill),))
    with pytest.raises(OSError, match="no space left while fetching"):
        load("mnist", "test", allow_standin=True)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_hermetic_looks_nowhere(tiny, tmp_path, monkeypatch, sealed, name):
    tiny.write(tmp_path / name, name)
    monkeypatch.setenv("IBCORE_DATA", str(tmp_path))
    source, calls = tiny.source(name)
    monkeypatch.setitem(mnist.SOURCES, name, (source,))
    data = load(name, "train", allow_standin="only", root="/no/such/folder")
    assert data.is_standin
    assert calls == []
    assert not sealed.exists()
    assert data.folder is None


def test_stand_in_is_all_digits_once_and_stratified():
    train, test = (load("mnist", split, allow_standin="only") for split in ("train", "test"))
    digits = load_digits()
    assert len(train) + len(test) == len(digits.target) == 1797
    assert len(test) == 355
    np.testing.assert_array_equal(
        np.bincount(train.Y) + np.bincount(test.Y), np.bincount(digits.target)
    )
    np.testing.assert_array_equal(np.bincount(test.Y), np.bincount(digits.target) // 5)
    both = np.concatenate([train.X, test.X])[:, 0]
    corners = both[:, ::27, ::27].reshape(len(both), -1).sum() * 16
    assert corners == digits.images[:, ::7, ::7].sum()
    assert both.min() == 0
    assert both.max() == 1
    assert both.dtype == np.float32


def test_stand_in_content_is_fixed():
    prints = [load("mnist", s, allow_standin="only").fingerprint[:16] for s in ("train", "test")]
    assert prints == PRINTS
    assert load("fashion_mnist", "test", allow_standin="only").fingerprint[:16] == prints[1]


def test_stand_in_subset():
    whole = load("mnist", "test", allow_standin="only")
    part = load("mnist", "test", n=20, seed=1, allow_standin="only")
    keep = np.sort(np.random.default_rng(1).permutation(355)[:20])
    assert part.fingerprint == whole.subset(keep).fingerprint
    assert len(load("mnist", "test", n=356, allow_standin="only")) == 355


@pytest.mark.parametrize(("h", "size"), [(8, 28), (2, 5), (5, 3), (4, 4), (3, 2)])
def test_resize_agrees_with_scipy(h, size):
    images = np.random.default_rng(0).random((3, h, h))
    found = mnist.resize_bilinear(images, size)
    np.testing.assert_allclose(found, zoom(images, (1, size / h, size / h), order=1), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "size", "words"),
    [((2, 3, 4), 5, "got .2, 3, 4."), ((3, 3), 5, "got .3, 3."), ((2, 1, 1), 5, "h >= 2")],
)
def test_resize_refuses_images(shape, size, words):
    with pytest.raises(ValueError, match=words):
        mnist.resize_bilinear(np.zeros(shape), size)


def test_resize_refuses_size():
    with pytest.raises(ValueError, match="size must be at least 2, got 1"):
        mnist.resize_bilinear(np.zeros((1, 3, 3)), 1)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_files(real_folder, name):
    test = load(name, "test", root=real_folder)
    assert test.X.shape == (10000, 1, 28, 28)
    assert test.source == "local"
    assert test.X.min() == 0
    assert test.X.max() == 1
    ones = {"mnist": 1135, "fashion_mnist": 1000}[name]
    assert np.bincount(test.Y)[1] == ones
    train = load(name, "train", root=real_folder, n=500)
    assert len(train) == 500
    assert set(train.Y) == set(range(10))
