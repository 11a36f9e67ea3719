"""The run store: exact, complete or absent, and damage is always found."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ibcore import results

EXPERIMENT, RUN = "toy", "0123456789abcdef"
TABLES = {
    "measurements": pd.DataFrame(
        {"seed": [0, 1], "layer": ["hidden1", "NA"], "I_XT": [0.1 + 0.2, 5e-324]}
    ),
    "bounds": pd.DataFrame({"set": ["all"], "ceiling_X": [np.log2(3)]}),
}
RECORD = {"seed": 3, "config": {"widths": (1, 2)}, "seconds": 0.1}


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 3
    widths: tuple = (1, 2)


def save(record=RECORD):
    return results.save_run(EXPERIMENT, RUN, TABLES, record)


@pytest.fixture
def folder():
    return results.run_folder(EXPERIMENT, RUN)


# ---------------------------------------------------------------- folders


def test_folders_lie_below_the_output_folder(output, folder, monkeypatch):
    assert folder == output / "data" / "runs" / EXPERIMENT / RUN
    assert results.figures_folder("smoke") == output / "figures" / "smoke"
    assert results.figures_folder("smoke", "01") == output / "figures" / "smoke" / "01"
    checkpoint = results.checkpoint_path(EXPERIMENT, RUN)
    assert checkpoint == output / "data" / "runs" / EXPERIMENT / f"{RUN}.checkpoint"


def test_without_a_named_folder_it_is_the_checkout_or_the_present_folder(monkeypatch, tmp_path):
    checkout = Path(results.__file__).resolve().parents[1]
    for value in (None, ""):
        monkeypatch.delenv("IBCORE_OUTPUT") if value is None else monkeypatch.setenv(
            "IBCORE_OUTPUT", value
        )
        assert results.output_root() == checkout
    assert results.published_folder() == checkout / "data" / "published"
    installed = tmp_path / "site-packages" / "ibcore" / "results.py"
    monkeypatch.setattr(results, "__file__", str(installed))
    monkeypatch.chdir(tmp_path)
    assert results.output_root() == tmp_path


def test_a_relative_folder_is_meant_from_where_one_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IBCORE_OUTPUT", "here")
    assert results.output_root() == tmp_path / "here"


def test_the_home_folder_may_be_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IBCORE_OUTPUT", "~/here")
    assert results.output_root() == tmp_path / "here"


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(("content", "expected"), [("ä\n", "ä\n".encode()), (b"\0\r\n", b"\0\r\n")])
def test_write_atomically(tmp_path, content, expected):
    path = tmp_path / "new" / "file.txt"
    results.write_atomically(path, "old")
    results.write_atomically(path, content)
    assert path.read_bytes() == expected
    assert os.listdir(path.parent) == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_removes_what_killed_writers_of_the_same_file_left(tmp_path):
    path = tmp_path / "plane[1].png"
    (dead := subprocess.Popen(["true"])).wait()
    stale = f".plane[1].png.{dead.pid}.abc"
    others = [
        f".plane[1].png.{os.getpid()}.abc",
        f".plane[1].pdf.{dead.pid}.abc",
        ".plane[1].png.x",
    ]
    for name in (stale, *others):
        (tmp_path / name).touch()
    results.write_atomically(path, "new")
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, *others])


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [no_space, interrupt])
@pytest.mark.parametrize("name", ["replace", "chmod"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name, failure):
    path = tmp_path / "file"
    results.write_atomically(path, "old")
    monkeypatch.setattr(os, name, failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        results.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    results.write_atomically(path, "old")
    monkeypatch.setattr(results.tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY),
                                                                  str(tmp_path / "t")))  # fmt: skip
    with pytest.raises(OSError, match="No space left on device"):
        results.write_atomically(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def picture(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=None)
    return buffer.getvalue()


def test_a_palette_keeps_the_size_and_few_colours_exactly():
    few = np.zeros((20, 30, 3), np.uint8)
    few[:, 10:20] = (255, 127, 14)
    few[5:9] = (68, 1, 84)
    small = results.with_palette(picture(few))
    found = Image.open(io.BytesIO(small))
    assert (found.size, found.mode) == ((30, 20), "P")
    np.testing.assert_array_equal(np.asarray(found.convert("RGB")), few)
    assert results.with_palette(picture(few)) == small


def test_a_palette_of_many_colours_is_close_and_smaller():
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    many = np.stack([2 * x, 2 * y, x + y], axis=-1)
    small = results.with_palette(picture(many))
    found = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 256
    assert np.abs(found - many).mean() < 8
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(results.with_palette(picture(noise))) < len(picture(noise)) / 2


def test_json_is_stable_and_readable():
    value = {"b": (1, 2), "a": Config(), "path": Path("x/y"), "f": 0.1}
    text = results.to_json(value)
    assert text.endswith("\n")
    assert json.loads(text) == {
        "a": {"epochs": 3, "widths": [1, 2]},
        "b": [1, 2],
        "f": 0.1,
        "path": "x/y",
    }
    assert text == results.to_json(dict(reversed(value.items())))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, {"deep": [float("nan")]}])
def test_json_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.to_json(value)


def test_json_refuses_what_it_cannot_give_back():
    with pytest.raises(TypeError, match=r"cannot store a set as JSON: \{1\}"):
        results.to_json({"a": {1}})


def test_csv_gives_back_the_same_bits(tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [
            rng.standard_normal(2000),
            rng.standard_normal(2000) * 10.0 ** rng.integers(-300, 300, 2000),
            [0.0, -0.0, 0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308],
        ]
    )
    table = pd.DataFrame({"value": values, "count": np.arange(len(values))})
    table["name"] = ["tanh, 30%", "NA", "None", 'a "b"', "nan", "I(X;T)", "1e5x"][0]
    table.loc[:6, "name"] = ["tanh, 30%", "NA", "None", 'a "b"', "nan", "two\nlines", "ü"]
    path = tmp_path / "t.csv"
    path.write_bytes(results.table_to_csv(table).encode())
    found = results.read_csv(path)
    assert (found["value"].to_numpy().view(np.int64) == values.view(np.int64)).all()
    pd.testing.assert_frame_equal(found, table, check_exact=True)


def test_only_an_empty_field_is_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(results.table_to_csv(pd.DataFrame({"a": ["NA", None], "b": [np.nan, 1.5]})))
    found = results.read_csv(path)
    assert found["a"].isna().tolist() == [False, True]
    assert found["b"].isna().tolist() == [True, False]


def test_a_table_without_columns_is_a_table_and_an_empty_file_is_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(results.table_to_csv(pd.DataFrame([])))
    found = results.read_csv(path)
    assert found.shape == (0, 0)
    for content in ("", "\n\n", " \n"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"t\.csv: not a readable table"):
            results.read_csv(path)


# ---------------------------------------------------------------- run ids


def identify(**changes):
    given = {
        "experiment": EXPERIMENT,
        "config": Config(),
        "seed": 0,
        "data_fingerprint": "abc",
        "source": "def",
    }
    return results.run_id(**{**given, **changes})


def test_run_ids_are_stable():
    text = """{
 "config": {
  "epochs": 3,
  "widths": [
   1,
   2
  ]
 },
 "data": "abc",
 "experiment": "toy",
 "seed": 0,
 "source": "def"
}
"""
    assert identify() == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert identify(config={"widths": [1, 2], "epochs": 3}) == identify()
    nested = [{"rules": dict(rules)} for rules in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])]
    assert identify(config=nested[0]) == identify(config=nested[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"experiment": "other"},
        {"config": Config(epochs=4)},
        {"config": Config(widths=(2, 1))},
        {"seed": 1},
        {"data_fingerprint": "abd"},
        {"source": "deg"},
        {"data_fingerprint": "def", "source": "abc"},
    ],
)
def test_run_ids_depend_on_everything(changes):
    assert identify(**changes) != identify()


# ---------------------------------------------------------------- numerical source

SOURCES = {
    "ibcore.main": "from ibcore import helper\nimport ibcore.other.deep\nfrom os import path\n",
    "ibcore.helper": 'X = 1  # one\n\n\ndef f(a):\n    """Doc."""\n    return a + X\n',
    "ibcore.other": "",
    "ibcore.other.deep": "from . import beside\nfrom .below import y\nfrom ..helper import f\n",
    "ibcore.other.beside": "class C:\n    '''Doc.'''\n",
    "ibcore.other.below": "y = 2.0\n",
    "ibcore.unused": "z = 1\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package called ibcore, in files that a test can change."""
    files = {
        name: tmp_path / "package" / (name.replace(".", "/") + (
            "/__init__.py" if name == "ibcore.other" else ".py"
        ))
        for name in SOURCES
    }  # fmt: skip
    for name, path in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCES[name])
    monkeypatch.setattr(results, "_source_file", files.get)
    return files


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ibcore.main", "from ibcore import helper\nimport ibcore.other.deep\nimport os.path\n"),
        ("ibcore.helper", SOURCES["ibcore.helper"].replace("X = 1", "X = 2")),
        ("ibcore.helper", SOURCES["ibcore.helper"].replace("a + X", "a - X")),
        ("ibcore.other.beside", "class C:\n    x = 1\n"),
        ("ibcore.other.below", "y = 2.5\n"),
    ],
)
def test_a_change_of_code_at_any_depth_changes_the_hash(package, name, source):
    before = results.numerical_source("ibcore.main")
    assert results.numerical_source("ibcore.main") == before
    package[name].write_text(source)
    assert results.numerical_source("ibcore.main") != before


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "ibcore.helper",
            'X = 1\ndef f(a):\n    """Another."""\n    return (a +\n        X)  # s\n',
        ),
        ("ibcore.helper", '"""Module."""\n\nX = 1\ndef f(a):\n    return a + X\n'),
        ("ibcore.other.beside", "class C: pass\n"),
        ("ibcore.unused", "z = 2\n"),
    ],
)
def test_comments_docstrings_layout_and_strangers_do_not(package, name, source):
    before = results.numerical_source("ibcore.main")
    package[name].write_text(source)
    assert results.numerical_source("ibcore.main") == before


def test_strings_that_are_no_docstrings_count(package):
    package["ibcore.helper"].write_text("def f():\n    x = 1\n    'a'\n")
    before = results.numerical_source("ibcore.main")
    package["ibcore.helper"].write_text("def f():\n    x = 1\n    'b'\n")
    assert results.numerical_source("ibcore.main") != before


def test_a_string_under_a_constant_counts(package):
    package["ibcore.helper"].write_text("X = 1\n'One.'\n")
    before = results.numerical_source("ibcore.main")
    package["ibcore.helper"].write_text("X = 1\n'The one.'\n")
    assert results.numerical_source("ibcore.main") != before


def read_modules(monkeypatch, module):
    """Names of the modules that enter the hash."""
    find, seen = results._source_file, set()

    def watched(name):
        path = find(name)
        if path is not None:
            seen.add(name)
        return path

    monkeypatch.setattr(results, "_source_file", watched)
    results.numerical_source(module)
    return seen


def test_the_real_closure_holds_every_estimator(monkeypatch):
    seen = read_modules(monkeypatch, "ibcore.experiments.information_plane")
    assert seen >= {
        "ibcore.experiments.information_plane",
        "ibcore.estimators.binning",
        "ibcore.estimators.kde",
        "ibcore.estimators._validation",
        "ibcore.models.mlp",
        "ibcore.models._initial",
        "ibcore.recording",
        "ibcore.seeds",
        "ibcore.training",
    }
    assert not seen & {"ibcore.results", "ibcore.plotting", "ibcore.claims", "ibcore.sweep"}
    assert not [name for name in seen if name.startswith("ibcore.datasets")]


def test_a_changed_constant_of_an_estimator_changes_the_real_hash(monkeypatch, tmp_path):
    module = "ibcore.experiments.information_plane"
    find = results._source_file
    before = results.numerical_source(module)
    source = find("ibcore.estimators.kde").read_text()
    changed = tmp_path / "kde.py"
    monkeypatch.setattr(
        results, "_source_file", lambda name: changed if name.endswith(".kde") else find(name)
    )
    changed.write_text(source + "# a comment\n")
    assert results.numerical_source(module) == before
    changed.write_text(source.replace("-80.0", "-70.0"))
    assert changed.read_text() != source
    assert results.numerical_source(module) != before


@pytest.mark.parametrize("name", ["ibcore.nowhere", "ibcore.seeds.nowhere", "no_such_package.x"])
def test_an_unknown_module(name):
    with pytest.raises(ValueError, match=f"no module called '{name}'"):
        results.numerical_source(name)


# ---------------------------------------------------------------- provenance


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository of its own, in which this module seems to lie."""
    root = tmp_path / "repository"
    (root / "ibcore").mkdir(parents=True)
    (root / "ibcore" / "results.py").write_text("1\n")
    monkeypatch.setattr(results, "__file__", str(root / "ibcore" / "results.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return root


def git(root, *arguments):
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    done = subprocess.run(
        ["git", "-C", root, *who, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_commit(repository):
    assert results.commit() == {"commit": None, "dirty": None}
    git(repository, "init", "-q")
    assert results.commit() == {"commit": None, "dirty": None}
    made = [repository / "figures" / "a.csv", repository / "notebooks" / "a.ipynb"]
    made.append(repository / "README.md")
    for path in made:
        path.parent.mkdir(exist_ok=True)
        path.write_text("1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "m")
    head = git(repository, "rev-parse", "HEAD")
    assert results.commit() == {"commit": head, "dirty": False}
    (repository / "untracked").touch()
    for path in made:
        path.write_text("2\n")
    assert results.commit() == {"commit": head, "dirty": False}
    (repository / "ibcore" / "results.py").write_text("2\n")
    assert results.commit() == {"commit": head, "dirty": True}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_of_a_repository_around_the_checkout_is_not_its_own(repository):
    git(repository.parent, "init", "-q")
    git(repository.parent, "add", ".")
    git(repository.parent, "commit", "-qm", "m")
    assert results.commit() == {"commit": None, "dirty": None}


def test_commit_without_git(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert results.commit() == {"commit": None, "dirty": None}


def test_versions():
    found = results.versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert {"ibcore", "torch", "scipy", "scikit-learn", "pandas"} < set(found)


# ---------------------------------------------------------------- run store


def test_what_is_saved_is_loaded_bit_for_bit(folder):
    saved = save()
    loaded = results.load_run(EXPERIMENT, RUN)
    for run in (saved, loaded):
        assert set(run.tables) == set(TABLES)
        for name, table in TABLES.items():
            pd.testing.assert_frame_equal(run.tables[name], table, check_exact=True)
        assert run.record["seed"] == 3
        assert run.record["config"] == {"widths": [1, 2]}
        assert run.record["experiment"] == EXPERIMENT
        assert run.record["run"] == RUN
    assert saved.record == loaded.record
    assert sorted(os.listdir(folder)) == ["bounds.csv", "measurements.csv", "run.json"]
    assert os.listdir(folder.parent) == [RUN]


def test_a_table_without_columns_is_saved_and_loaded(folder):
    tables = {**TABLES, "nothing": pd.DataFrame([])}
    saved = results.save_run(EXPERIMENT, RUN, tables, RECORD)
    loaded = results.load_run(EXPERIMENT, RUN)
    for run in (saved, loaded):
        assert run.tables["nothing"].shape == (0, 0)
        pd.testing.assert_frame_equal(run.tables["bounds"], TABLES["bounds"], check_exact=True)
    assert (folder / "nothing.csv").read_text() == "\n"


@pytest.mark.parametrize(("umask", "of_folder", "of_file"), [(0o22, 0o755, 0o644),
                                                            (0o77, 0o700, 0o600)])  # fmt: skip
def test_the_umask_says_who_may_read_a_run(folder, umask, of_folder, of_file):
    before = os.umask(umask)
    try:
        save()
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == of_folder
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {of_file}


def test_saving_again_replaces(folder):
    save()
    again = save({**RECORD, "seed": 4})
    assert again.record["seed"] == 4
    assert results.load_run(EXPERIMENT, RUN).record == again.record
    assert os.listdir(folder.parent) == [RUN]


def test_nothing_there():
    assert results.load_run(EXPERIMENT, RUN) is None


def flip_bit(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def swap(folder):
    """Another run's finished folder under this run's name."""
    other = "f" * 16
    results.save_run(EXPERIMENT, other, TABLES, RECORD)
    shutil.rmtree(folder)
    results.run_folder(EXPERIMENT, other).rename(folder)


def other_experiment(folder):
    results.save_run("other", RUN, TABLES, RECORD)
    shutil.rmtree(folder)
    results.run_folder("other", RUN).rename(folder)


DAMAGE = {
    "flipped bit in a table": lambda f: flip_bit(f / "measurements.csv", -3),
    "flipped bit in run.json": lambda f: flip_bit(f / "run.json", 40),
    "another number in run.json": lambda f: edit(f / "run.json", seconds=0.2),
    "another source in run.json": lambda f: edit(f / "run.json", source="official"),
    "a table left out of run.json": lambda f: edit(f / "run.json", outputs={}),
    "truncated table": lambda f: (f / "bounds.csv").write_text("set,ceiling_X\n"),
    "empty table": lambda f: (f / "bounds.csv").write_text(""),
    "missing table": lambda f: (f / "bounds.csv").unlink(),
    "truncated run.json": lambda f: (f / "run.json").write_text((f / "run.json").read_text()[:-20]),
    "empty run.json": lambda f: (f / "run.json").write_text(""),
    "missing run.json": lambda f: (f / "run.json").unlink(),
    "run.json is binary": lambda f: (f / "run.json").write_bytes(b"\xff\xfe\x00\x80"),
    "run.json is a list": lambda f: (f / "run.json").write_text("[1]"),
    "run.json is a string": lambda f: (f / "run.json").write_text('"run"'),
    "run.json is null": lambda f: (f / "run.json").write_text("null"),
    "run.json holds NaN": lambda f: edit(f / "run.json", seconds=float("nan")),
    "run.json says nothing": lambda f: (f / "run.json").write_text("{}"),
    "swapped runs": swap,
    "swapped experiments": other_experiment,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_warns_and_is_replaced(folder, damage):
    save()
    assert results.load_run(EXPERIMENT, RUN) is not None
    damage(folder)
    with pytest.warns(UserWarning, match=f"run {EXPERIMENT}/{RUN} is damaged and will be computed"):
        assert results.load_run(EXPERIMENT, RUN) is None
    assert save().record["seed"] == 3
    assert results.load_run(EXPERIMENT, RUN) is not None


@pytest.mark.parametrize("file", ["run.json", "measurements.csv", "bounds.csv"])
def test_no_flipped_bit_goes_unseen(folder, file):
    save()
    content = (folder / file).read_bytes()
    for position in range(0, len(content), 7):
        flip_bit(folder / file, position)
        with pytest.warns(UserWarning, match="damaged"):
            assert results.load_run(EXPERIMENT, RUN) is None, position
        (folder / file).write_bytes(content)
        assert results.load_run(EXPERIMENT, RUN) is not None


def test_a_run_without_tables_is_refused(folder):
    with pytest.raises(ValueError, match=f"run {RUN} of {EXPERIMENT} has no table"):
        results.save_run(EXPERIMENT, RUN, {}, RECORD)
    assert not folder.exists()


@pytest.mark.parametrize("moment", ["bounds.csv", "measurements.csv", "run.json"])
def test_an_error_at_any_moment_leaves_the_old_run(folder, monkeypatch, moment):
    expected = save().record

    def fail(self, *arguments, **options):
        if self.name == moment:
            no_space()
        return write_bytes(self, *arguments, **options)

    write_bytes = Path.write_bytes
    with monkeypatch.context() as patch:
        if moment == "run.json":
            patch.setattr(Path, "write_text", lambda self, text: no_space())
        else:
            patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space left on device"):
            save({**RECORD, "seed": 4})
    assert os.listdir(folder.parent) == [RUN]
    assert results.load_run(EXPERIMENT, RUN).record == expected


def test_an_unstorable_record_leaves_nothing(folder):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save({"seconds": float("nan")})
    assert os.listdir(folder.parent) == []


def test_a_failed_rename_leaves_nothing_that_looks_finished(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", no_space)
        with pytest.raises(OSError, match="No space left on device"):
            save()
    assert os.listdir(folder.parent) == []
    assert results.load_run(EXPERIMENT, RUN) is None


@pytest.mark.parametrize("older", [False, True])
def test_what_cannot_be_read_back_is_an_error_and_leaves_the_old_run(folder, monkeypatch, older):
    expected = [save().record] if older else []

    def unreadable(path):
        raise ValueError(f"{path.name}: not a readable table")

    words = rf"run {RUN} of {EXPERIMENT} could not be read back after writing: bounds\.csv: not a"
    with monkeypatch.context() as patch:
        patch.setattr(results, "read_csv", unreadable)
        with pytest.raises(OSError, match=words):
            save({**RECORD, "seed": 4})
    assert os.listdir(folder.parent) == ([RUN] if older else [])
    assert results.records() == expected


KILLED = """
import os, signal, sys
import pandas as pd
from ibcore import results

def kill(value):
    os.kill(os.getpid(), signal.SIGKILL)

results.to_json = kill
results.save_run("toy", "0123456789abcdef", {"t": pd.DataFrame({"a": [1]})}, {})
"""


@pytest.mark.slow
def test_killed_between_the_tables_and_run_json(python, folder):
    python(KILLED, returncode=-9)
    (leftover,) = folder.parent.iterdir()
    assert os.listdir(leftover) == ["t.csv"]
    assert leftover.name.startswith(f".{RUN}.")
    assert results.load_run(EXPERIMENT, RUN) is None
    results.remove_leftovers(EXPERIMENT, RUN)
    assert os.listdir(folder.parent) == []


def test_leftovers_of_other_runs_stay(folder):
    save()
    parent = folder.parent
    for name in (f".{RUN}.abc", ".fedc.abc"):
        (parent / name).mkdir()
        (parent / name / "t.csv").touch()
    for name in (f"{RUN}.checkpoint", f"{RUN}.checkpoint.77.tmp", "fedc.checkpoint.77.tmp"):
        (parent / name).touch()
    results.remove_leftovers(EXPERIMENT, RUN)
    assert sorted(os.listdir(parent)) == [
        ".fedc.abc",
        RUN,
        f"{RUN}.checkpoint",
        "fedc.checkpoint.77.tmp",
    ]


def test_one_lock_per_run():
    with results.run_lock(EXPERIMENT, RUN):
        other = results.run_lock(EXPERIMENT, RUN)
        with pytest.raises(TimeoutError), other.acquire(timeout=0):
            pass
        with results.run_lock(EXPERIMENT, "f" * 16).acquire(timeout=0):
            pass
    with results.run_lock(EXPERIMENT, RUN).acquire(timeout=0):
        pass


# ---------------------------------------------------------------- results of notebooks


def test_load_table():
    table = TABLES["measurements"]
    path = results.figures_folder("smoke", "01_toy") / "planes.csv"
    results.write_atomically(path, results.table_to_csv(table))
    results.write_atomically(path.with_name("drops.csv"), "a\n1\n")
    found = results.load_table("smoke", "01_toy", "planes")
    pd.testing.assert_frame_equal(found, table, check_exact=True)
    words = "no table 'x' of 01_toy in profile 'smoke'; tables there: drops, planes"
    with pytest.raises(ValueError, match=words):
        results.load_table("smoke", "01_toy", "x")
    words = "no table 'x' of 02 in profile 'paper'; tables there: none"
    with pytest.raises(ValueError, match=words):
        results.load_table("paper", "02", "x")
