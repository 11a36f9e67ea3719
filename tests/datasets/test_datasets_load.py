"""load, Dataset, the order of folders, and the command line."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from datasets_helpers import REPOSITORY

from ibcore import datasets
from ibcore.datasets import (
    Dataset,
    __main__,
    content_fingerprint,
    load,
    names,
    raw_folder,
    registry,
    weights,
)


def small(**changes):
    fields = {
        "name": "toy",
        "split": "all",
        "X": np.arange(8, dtype=np.float32).reshape(4, 2),
        "Y": np.array([0, 1, 0, 1]),
        "classes": ("a", "b"),
        "source": "local",
        "note": "A toy.",
    }
    return Dataset(**{**fields, **changes})


def test_names_and_splits():
    assert {"mnist", "fashion_mnist", "szt"} <= set(names())
    assert datasets.splits("mnist") == ("train", "test")
    assert datasets.splits("szt") == ("all",)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (
            ("mnits", "train"),
            {},
            "unknown data set 'mnits'; known are .*mnist, fashion_mnist.*, szt",
        ),
        (("mnist", "valid"), {}, "unknown split 'valid' of mnist; known are 'train', 'test'"),
        (("szt", "train"), {}, "unknown split 'train' of szt; known are 'all'"),
        (("szt", "all"), {"n": 4097}, "n = 4097 samples wanted, but szt all has 4096"),
        (("szt", "all"), {"n": 0}, "n must be an integer of at least 1, got 0"),
        (("szt", "all"), {"n": -5}, "n must be .* got -5"),
        (("szt", "all"), {"n": 1.5}, "n must be .* got 1.5"),
        (("szt", "all"), {"n": True}, "n must be .* got True"),
        (("szt", "all"), {"seed": -1}, "seed must be an integer of at least 0, got -1"),
        (("szt", "all"), {"seed": None}, "seed must be .* got None"),
        (("szt", "all"), {"allow_standin": "yes"}, "allow_standin must be .* got 'yes'"),
        (("szt", "all"), {"root": "/no/such/folder"}, "root = '/no/such/folder' is not a folder"),
    ],
)
def test_bad_arguments(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        load(*arguments, **options)


def test_subsets_are_drawn_without_replacement_nested_and_in_file_order():
    def rows(data):
        return (data.X @ 2 ** np.arange(12)[::-1]).astype(int).tolist()

    few, many = (load("szt", "all", n=n, seed=3) for n in (50, 900))
    assert rows(few) == sorted(set(rows(few)))
    assert len(few) == 50
    assert set(rows(few)) < set(rows(many))
    assert rows(few) == rows(load("szt", "all", n=np.int64(50), seed=3))
    assert rows(few) != rows(load("szt", "all", n=50, seed=4))


def test_n_of_all_is_all():
    assert load("szt", "all", n=4096, seed=9).fingerprint == load("szt", "all").fingerprint


def test_fingerprint_depends_on_content_only():
    data = small()
    assert len(data.fingerprint) == 64
    assert data.fingerprint == small(name="other", source="official", note="x").fingerprint
    assert data.fingerprint != small(Y=np.array([0, 1, 1, 0])).fingerprint
    assert data.fingerprint != small(X=data.X.reshape(4, 1, 2)).fingerprint
    assert content_fingerprint(data.X, data.Y) == data.fingerprint
    assert content_fingerprint(data.X.astype(">f4"), data.Y.astype(">i8")) == data.fingerprint
    assert content_fingerprint(np.asfortranarray(data.X), data.Y) == data.fingerprint


def test_dataset_is_frozen_and_sized():
    data = small(title="A Toy")
    assert len(data) == 4
    assert data.label == "A Toy"
    assert small().label == "toy"
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        data.name = "x"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X": np.zeros((4, 2))}, "X must be float32 .* got float64"),
        ({"X": np.zeros(4, np.float32)}, r"at least 2 axes, got float32 \(4,\)"),
        ({"Y": np.zeros(4)}, "Y must be int64 .* got float64"),
        ({"Y": np.zeros(3, np.int64)}, "equally long and not empty, got 4 and 3"),
        ({"Y": np.array([0, 1, 2, 0])}, "labels run from 0 to 2, but there are 2 classes"),
        ({"Y": np.array([0, -1, 1, 0])}, "labels run from -1 to 1"),
        ({"source": "somewhere"}, "source must be one of .* got 'somewhere'"),
        ({"source": "stand-in"}, "a stand-in, and nothing else"),
        ({"source": "stand-in", "standin": "digits"}, "note that begins with 'stand-in: '"),
        ({"note": "stand-in: no"}, "got source 'local'"),
    ],
)
def test_odd_datasets_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes)


def test_subset():
    data = small(source="stand-in", standin="a toy", note="stand-in: a toy.", title="MNIST")
    part = data.subset([3, 0])
    assert part.Y.tolist() == [1, 0]
    assert part.X[:, 0].tolist() == [6, 0]
    assert part.label == data.label == "stand-in (a toy) for MNIST"
    assert part.is_standin
    assert part.fingerprint not in ("", data.fingerprint)
    assert data.subset(data.Y == 1).Y.tolist() == [1, 1]
    assert data.subset(range(4)).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([], "one or more integers"),
        ([0.0], "got float64"),
        ([[0]], r"got int64 \(1, 1\)"),
        ([True, False], r"or 4 booleans .* got bool \(2,\)"),
        (np.zeros(4, bool), "at least one true"),
        ([0, 4], "run from 0 to 4, but there are 4 samples"),
        ([-1], "run from -1"),
    ],
)
def test_subset_refuses(indices, words):
    with pytest.raises(ValueError, match=words):
        small().subset(indices)


def test_a_new_kind_is_one_registration(monkeypatch):
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))

    @registry.register("toy", title="A Toy", splits=["all"])
    def _load_toy(request):
        keep = request.pick(4)
        return request.dataset(
            np.eye(4, dtype=np.float32)[keep],
            keep,
            classes=tuple("abcd"),
            source="official",
            note="Made here.",
        )

    data = load("toy", "all", n=2)
    assert "toy" in names()
    assert data.label == "A Toy"
    assert len(data) == 2
    with pytest.raises(ValueError, match="'toy' is registered already"):
        registry.register("toy", title="", splits=[])(_load_toy)


def test_raw_folder(monkeypatch, tmp_path):
    assert raw_folder() == tmp_path / "project" / "data" / "raw"
    monkeypatch.setenv("IBCORE_OUTPUT", "")
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", tmp_path / "checkout" / "ibcore")
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path)
    assert raw_folder() == tmp_path / "data" / "raw"
    (tmp_path / "checkout" / "pyproject.toml").touch()
    assert raw_folder() == tmp_path / "checkout" / "data" / "raw"


def test_a_missing_ibcore_data_is_refused(monkeypatch):
    monkeypatch.setenv("IBCORE_DATA", "/no/such/folder")
    with pytest.raises(ValueError, match="IBCORE_DATA = '/no/such/folder' is not a folder"):
        load("szt", "all")
    assert load("szt", "all", allow_standin="only").source == "official"


def test_command_line(capsys, tiny, sealed):
    tiny.write(sealed / "mnist", "mnist")
    assert __main__.main(["mnist", "szt"]) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "source", "n", "folder", "note"]
    assert "train 30, test 10" in first
    assert str(sealed / "mnist") in first
    assert "generated by the icosahedron rule" in second

    assert __main__.main(["mnist", "fashion_mnist", "szt"]) == 1
    out, err = capsys.readouterr()
    found = dict(line.split()[:2] for line in out.splitlines()[1:])
    assert [found[name] for name in ("mnist", "fashion_mnist", "szt")] == [
        "local",
        "missing",
        "official",
    ]
    assert "fashion_mnist: Fashion-MNIST is not available" in err

    assert __main__.main(["fashion_mnist", "--standin"]) == 0
    assert "stand-in: scikit-learn" in capsys.readouterr().out


def test_command_line_weights(capsys, tmp_path, monkeypatch):
    (tmp_path / "squeezenet").mkdir()
    np.savez(tmp_path / "squeezenet" / "squeezenet1_1_x.npz", a=np.zeros((2, 3)))
    monkeypatch.setenv("IBCORE_DATA", str(tmp_path))
    monkeypatch.setattr(weights, "_failed", {})
    assert __main__.main(["weights/squeezenet1_1"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:4] == ["weights/squeezenet1_1", "local", "6", "values"]
    assert __main__.main(["weights/alexnet", "--standin"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:2] == ["weights/alexnet", "missing"]
    assert "weights/alexnet: weights of alexnet: no alexnet-owt-" in err


@pytest.mark.parametrize("options", [[], ["--standin"]])
def test_command_line_without_names(capsys, monkeypatch, options):
    """All data sets; weights, for which nothing stands in, only where no stand-in will do."""
    monkeypatch.setattr(__main__, "_row", lambda name, allow: (name, "x", "1", "-", str(allow)))
    assert __main__.main(options) == 0
    told = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    networks = [] if options else [f"weights/{network}" for network in weights.FILES]
    assert told == [*names(), *networks]


def test_command_line_unknown_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["mnits"])
    assert "unknown data set 'mnits'" in capsys.readouterr().err


def test_command_line_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "ibcore.datasets", "szt"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "szt" in done.stdout
    assert "Warning" not in done.stderr


def test_no_torch_is_needed():
    code = "import sys, ibcore.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
