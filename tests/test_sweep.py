"""Sweeps: the same bits however they are run, interrupted, killed or run twice at once."""

import dataclasses
import importlib
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
import types
from pathlib import Path

import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from ibcore import results, sweep
from ibcore.experiments import information_plane, saliency_evolution
from ibcore.recording import InformationRecorder

TOY = '''
"""An experiment that says what it does."""

import dataclasses
import os
import time

import pandas as pd
import torch


@dataclasses.dataclass(frozen=True)
class Config:
    value: float
    standin: bool = False
    fail: bool = False
    seconds: float = 0.0
    threads: int = 1


@dataclasses.dataclass(frozen=True)
class Data:
    label: str
    source: str
    note: str
    fingerprint: str


def load(config):
    if config.standin:
        return Data("stand-in (digits) for MNIST", "stand-in", "stand-in: digits.", "abc")
    return Data("12-bit task", "official", "Generated.", "def")


def device_name(config):
    return "toy device"


def run(config, seed, dataset, *, checkpoint, name):
    with open(os.environ["TOY_LOG"], "a") as log:
        log.write(f"{name} {os.getpid()}\\n")
    checkpoint.write_text(name)
    time.sleep(config.seconds)
    if config.fail:
        raise RuntimeError(f"{name} failed")
    numbers = pd.DataFrame({"seed": [seed, seed + 1], "value": [config.value / 3, 0.1 + seed]})
    threads = pd.DataFrame({"threads": [torch.get_num_threads()]})
    return {"numbers": numbers, "threads": threads}
'''


@pytest.fixture(scope="module")
def module_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "toy.py").write_text(TOY)
    return folder


@pytest.fixture
def toy(module_folder, tmp_path, monkeypatch):
    """The experiment above, as an importable module here and in other processes."""
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(module_folder))
    monkeypatch.syspath_prepend(module_folder)
    yield importlib.import_module("toy")
    (module_folder / "toy.py").write_text(TOY)
    del sys.modules["toy"]


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    """Workers know the environment of their start: one folder for all of them, then their end."""
    yield tmp_path_factory.mktemp("pool")
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def pool(toy, pool_folder, monkeypatch):
    monkeypatch.setenv("IBCORE_OUTPUT", str(pool_folder))
    monkeypatch.setenv("TOY_LOG", str(pool_folder / "log"))
    return pool_folder


@pytest.fixture
def computed(tmp_path):
    """Names of the runs that were really computed, in order."""

    def names():
        log = tmp_path / "log"
        return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

    return names


def files(output):
    folder = output / "data" / "runs" / "toy"
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def identifiers(found):
    return sorted(run.record["run"] for run in found.runs.values())


# ---------------------------------------------------------------- run or read


def test_tables_by_name(toy, computed):
    configs = {"b": toy.Config(1.0), "a": toy.Config(2.0)}
    found = sweep.run(toy, configs, seed=7)
    table = found.table("numbers")
    expected = pd.DataFrame(
        {"run": ["b", "b", "a", "a"], "seed": [7, 8] * 2, "value": [1 / 3, 7.1, 2 / 3, 7.1]}
    )
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert list(found.runs["a"].tables["numbers"]) == ["seed", "value"]
    assert computed() == ["b", "a"]
    with pytest.raises(
        ValueError, match="unknown table 'number'; tables of these runs: numbers, t"
    ):
        found.table("number")


def test_the_second_call_computes_nothing(toy, computed, monkeypatch):
    configs = {"a": toy.Config(1.0), "b": toy.Config(2.0)}
    first = sweep.run(toy, configs)

    def forbidden(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(toy, "run", forbidden)
    second = sweep.run(toy, configs)
    pd.testing.assert_frame_equal(second.table("numbers"), first.table("numbers"), check_exact=True)
    assert second.provenance().equals(first.provenance())
    assert computed() == ["a", "b"]


def test_only_what_is_missing_is_computed(toy, computed):
    a, b, c = toy.Config(1.0), toy.Config(2.0), toy.Config(3.0)
    sweep.run(toy, {"b": b})
    found = sweep.run(toy, {"a": a, "b": b, "c": c})
    assert list(found.runs) == ["a", "b", "c"]
    assert computed() == ["b", "a", "c"]
    sweep.run(toy, {"a": a}, seed=1)
    sweep.run(toy, {"another name": a})
    assert computed() == ["b", "a", "c", "a"]


def test_a_changed_experiment_runs_again(toy, computed, module_folder):
    configs = {"a": toy.Config(1.0)}
    before = sweep.run(toy, configs).table("numbers")
    source = module_folder / "toy.py"
    source.write_text(TOY + "# a comment\n")
    sweep.run(toy, configs)
    assert computed() == ["a"]
    source.write_text(TOY.replace("/ 3", "/ 4 "))
    importlib.reload(toy)
    after = sweep.run(toy, {"a": toy.Config(1.0)}).table("numbers")
    assert computed() == ["a", "a"]
    assert (before["value"][0], after["value"][0]) == (1 / 3, 0.25)


def test_changed_data_run_again(toy, computed, monkeypatch):
    sweep.run(toy, {"a": toy.Config(1.0)})
    changed = dataclasses.replace(toy.load(toy.Config(1.0)), fingerprint="other")
    monkeypatch.setattr(toy, "load", lambda config: changed)
    sweep.run(toy, {"a": toy.Config(1.0)})
    assert computed() == ["a", "a"]


@pytest.mark.parametrize("client", [None, object()], ids=["here", "on a cluster"])
def test_data_that_change_under_way_are_refused(toy, computed, output, monkeypatch, client):
    """The first look finds real data, every later one a stand-in; nothing reaches a cluster."""
    real, standin = toy.load(toy.Config(1.0)), toy.load(toy.Config(1.0, standin=True))
    looks = iter([real])
    monkeypatch.setattr(toy, "load", lambda config: next(looks, standin))
    words = (
        "the data of run 'a' changed while the sweep was under way: their fingerprint was def, now "
        r"it is abc \(stand-in \(digits\) for MNIST\); start again in a new process"
    )
    with pytest.raises(RuntimeError, match=words):
        sweep.run(toy, {"a": toy.Config(1.0)}, client=client)
    assert computed() == []
    assert not [path for path in output.rglob("toy/*") if path.suffix != ".lock"]


@pytest.mark.slow
def test_processes_that_find_other_data_are_refused(toy, pool, monkeypatch):
    """This process alone finds other data, as where a download fails here and not there."""
    log = pool / "log"
    before = log.read_text() if log.exists() else ""
    configs = {"a": toy.Config(1.25), "b": toy.Config(2.25)}
    found = dataclasses.replace(toy.load(configs["a"]), fingerprint="of this process")
    monkeypatch.setattr(toy, "load", lambda config: found)
    with pytest.raises(RuntimeError, match="was of this process, now it is def"):
        sweep.run(toy, configs, jobs=2)
    assert (log.read_text() if log.exists() else "") == before


def test_a_damaged_run_is_computed_again_alone(toy, computed):
    configs = {"a": toy.Config(1.0), "b": toy.Config(2.0)}
    first = sweep.run(toy, configs)
    path = results.run_folder("toy", first.runs["b"].record["run"]) / "numbers.csv"
    path.write_text(path.read_text().replace("0", "1"))
    with pytest.warns(UserWarning, match="is damaged and will be computed again: numbers.csv"):
        second = sweep.run(toy, configs)
    assert computed() == ["a", "b", "b"]
    pd.testing.assert_frame_equal(second.table("numbers"), first.table("numbers"), check_exact=True)


def test_a_failing_run_raises_and_the_finished_stay(toy, computed, output):
    configs = {"a": toy.Config(1.0), "bad": toy.Config(2.0, fail=True), "c": toy.Config(3.0)}
    with pytest.raises(RuntimeError, match="bad failed"):
        sweep.run(toy, configs)
    assert computed() == ["a", "bad"]
    finished = identifiers(sweep.run(toy, {"a": configs["a"]}))
    # the checkpoint of the failed run is kept, nothing of it looks finished
    unfinished = [name for name in files(output) if name not in finished]
    assert [Path(name).suffix for name in unfinished] == [".checkpoint", ".started"]
    with pytest.raises(RuntimeError, match="bad failed"):
        sweep.run(toy, configs)
    assert computed() == ["a", "bad", "bad"]


def test_nothing_but_results_and_locks_is_left(toy, output):
    found = sweep.run(toy, {"a": toy.Config(1.0)})
    assert files(output) == identifiers(found)


def test_a_run_with_a_table_without_columns(output):
    config = saliency_evolution.Config(
        dataset="cifar10",
        allow_standin="only",
        n_train=30,
        n_test=10,
        model="vgg11",
        model_options={"configuration": (4, "M", 8, "M", "M", "M", "M"), "hidden": ()},
        epochs=1,
        batch_size=15,
        images=3,
        information=(),
    )
    for _ in range(2):
        found = sweep.run(saliency_evolution, {"one": config, "two": config})
        assert found.runs["one"].tables["information"].shape == (0, 0)
        assert len(found.table("information")) == 0
        assert len(found.table("entropy")) > 0


def test_checkpoints_of_earlier_stages_are_removed_with_the_run(toy, output):
    (name,) = identifiers(sweep.run(toy, {"a": toy.Config(1.0)}))
    folder = results.run_folder("toy", name)
    folder.rename(folder.with_name(f".{name}.killed"))
    for kept in (f"{name}.checkpoint.0-trained", f"{name}.checkpoint.3", "f.checkpoint.3"):
        (folder.parent / kept).touch()
    sweep.run(toy, {"a": toy.Config(1.0)})
    assert files(output) == sorted([name, "f.checkpoint.3"])


def test_leftovers_of_a_killed_attempt_are_removed(toy, output):
    (name,) = identifiers(sweep.run(toy, {"a": toy.Config(1.0)}))
    folder = results.run_folder("toy", name)
    folder.rename(folder.with_name(f".{name}.killed"))
    (folder.parent / f"{name}.checkpoint.1.tmp").touch()
    (folder.parent / f".{name}.started.1").touch()
    sweep.run(toy, {"a": toy.Config(1.0)})
    assert files(output) == [name]


@pytest.mark.parametrize(
    ("note", "saved", "seconds"),
    [
        ("5 1000", [1007], 12),
        ("5 1000", [400, 1007], 12),
        ("5 1000", [400], 5),
        ("5 1000", [], 0),
        ("5 10", [], 0),
        ("5", [1007], 0),
        ("damaged 1000", [1007], 0),
        (None, [1007], 0),
    ],
    ids=[
        "went on for 7 s", "several files", "killed before it saved", "begins anew",
        "old and begins anew", "truncated", "damaged", "of an older version",
    ],
)  # fmt: skip
def test_seconds_of_earlier_attempts(tmp_path, note, saved, seconds):
    checkpoint = tmp_path / "abc.checkpoint"
    if note is not None:
        (tmp_path / "abc.started").write_text(note)
    for number, age in enumerate(saved):
        part = tmp_path / f"abc.checkpoint{f'.{number}' if number else ''}"
        part.touch()
        os.utime(part, (age, age))
    before = time.time()
    assert sweep._earlier_seconds(checkpoint) == seconds
    spent, started = map(float, (tmp_path / "abc.started").read_text().split())
    assert spent == seconds
    assert before <= started <= time.time()


def test_a_run_that_another_process_has_finished_meanwhile(toy, computed):
    (run,) = sweep.run(toy, {"a": toy.Config(1.0)}).runs.values()
    sweep._execute("toy", "a", toy.Config(1.0), 0, run.record["run"], "def")
    assert computed() == ["a"]


def test_a_run_that_another_process_computes_comes_last(toy, computed, monkeypatch):
    configs = {"a": toy.Config(1.0), "b": toy.Config(2.0)}
    source = results.numerical_source(toy.__name__)
    first = results.run_id("toy", configs["a"], 0, toy.load(configs["a"]).fingerprint, source)
    elsewhere = results.run_lock("toy", first)
    elsewhere.acquire()
    save_run = results.save_run

    def save_and_let_the_other_end(*arguments):
        elsewhere.release()
        return save_run(*arguments)

    monkeypatch.setattr(results, "save_run", save_and_let_the_other_end)
    found = sweep.run(toy, configs)
    assert computed() == ["b", "a"]
    assert list(found.runs) == ["a", "b"]


@pytest.mark.parametrize("fail", [False, True])
def test_threads_are_those_of_the_configuration_and_come_back(toy, fail):
    torch.set_num_threads(1)
    try:
        sweep.run(toy, {"a": toy.Config(1.0, threads=2)})
        assert torch.get_num_threads() == 1
        found = sweep.run(toy, {"a": toy.Config(1.0, threads=2)})
        assert found.table("threads")["threads"].tolist() == [2]
        if fail:
            with pytest.raises(RuntimeError, match="failed"):
                sweep.run(toy, {"a": toy.Config(1.0, threads=2, fail=True)})
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("jobs", "environment", "pending", "expected"),
    [
        (3, "1", 9, 3),
        (3, "1", 2, 2),
        (None, "4", 9, 4),
        (None, "", 9, 5),
        (None, None, 9, 5),
        (None, None, 4, 4),
    ],
)
def test_number_of_processes(monkeypatch, jobs, environment, pending, expected):
    monkeypatch.setattr(sweep, "cpu_count", lambda: 5)
    monkeypatch.delenv("IBCORE_JOBS")
    if environment is not None:
        monkeypatch.setenv("IBCORE_JOBS", environment)
    assert sweep._jobs(jobs, ["a configuration without device"] * pending) == expected


def test_cores_that_this_process_may_not_use_are_not_counted(python):
    python(
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from ibcore import sweep\n"
        "os.environ.pop('IBCORE_JOBS', None)\n"
        "assert sweep._jobs(None, range(9)) == 1"
    )


@pytest.mark.parametrize(
    ("devices", "gpus", "expected"),
    [
        (["cpu"] * 9, 2, 5),
        (["auto"] * 9, 0, 5),
        (["auto"] * 9, 1, 1),
        (["cuda"] * 9, 2, 2),
        (["cpu", "auto", "cpu"], 2, 2),
        (["auto"], 2, 1),
    ],
)
def test_number_of_processes_with_gpus(monkeypatch, devices, gpus, expected):
    monkeypatch.setattr(sweep, "cpu_count", lambda: 5)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("IBCORE_JOBS")
    configs = [types.SimpleNamespace(device=device) for device in devices]
    assert sweep._jobs(None, configs) == expected
    assert sweep._jobs(3, configs) == min(3, len(configs))
    monkeypatch.setenv("IBCORE_JOBS", "4")
    assert sweep._jobs(None, configs) == min(4, len(configs))


@pytest.mark.parametrize(
    ("named", "count", "expected"),
    [(None, 3, "0 1 2"), ("", 0, ""), ("4,7", 2, "4 7"), ("4,7", 1, "4"), (None, 0, "")],
)
def test_gpus_are_those_that_this_process_sees(monkeypatch, named, count, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert sweep._gpus([types.SimpleNamespace(device="auto")]) == tuple(expected.split())
    assert sweep._gpus([types.SimpleNamespace(device="cpu")]) == ()


def test_processes_take_turns_at_gpus(monkeypatch):
    seen = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,8")
    monkeypatch.setattr(sweep, "_end_with", lambda parent: None)
    monkeypatch.setattr(
        sweep, "_execute", lambda task: seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    )
    for number in range(1, 5):
        process = types.SimpleNamespace(name=f"LokyProcess-{number}")
        monkeypatch.setattr(sweep.multiprocessing, "current_process", lambda found=process: found)
        sweep._take_one_of.cache_clear()
        sweep._execute_in_worker(0, ("4", "7", "8"), "task")
        sweep._execute_in_worker(0, (), "task on a CPU")
    sweep._take_one_of.cache_clear()
    assert seen == ["7", "7", "8", "8", "4", "4", "7", "7"]


def test_joblib_numbers_its_processes():
    names = Parallel(n_jobs=2)(delayed(_name_of_process)() for _ in range(4))
    get_reusable_executor().shutdown(wait=True)
    assert all(re.fullmatch(r"LokyProcess-\d+", name) for name in names)


def _name_of_process():
    return multiprocessing.current_process().name


def test_refused(toy, monkeypatch):
    with pytest.raises(ValueError, match="no configuration to run"):
        sweep.run(toy, {})
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        sweep.run(toy, {"a": toy.Config(1.0)}, jobs=0)
    monkeypatch.setenv("IBCORE_JOBS", "-2")
    with pytest.raises(ValueError, match="IBCORE_JOBS must be at least 1, got -2"):
        sweep.run(toy, {"a": toy.Config(1.0)})
    monkeypatch.setenv("IBCORE_JOBS", "two")
    with pytest.raises(ValueError, match="IBCORE_JOBS must be a whole number, got 'two'"):
        sweep.run(toy, {"a": toy.Config(1.0)})


# ---------------------------------------------------------------- what a sweep says


def test_data_of_a_sweep(toy):
    found = sweep.run(toy, {"a": toy.Config(1.0), "b": toy.Config(1.0, standin=True)})
    assert found.labels == {"a": "12-bit task", "b": "stand-in (digits) for MNIST"}
    assert found.data_label == "12-bit task, stand-in (digits) for MNIST"
    assert found.is_standin
    assert found.sources["12-bit task"]["note"] == "Generated."
    real = found.select(["a"])
    assert not real.is_standin
    assert real.data_label == "12-bit task"
    assert list(found.select(name for name in ("b", "a")).runs) == ["b", "a"]
    with pytest.raises(ValueError, match="unknown runs c, d; runs: a, b"):
        found.select(["c", "a", "d"])


def test_record_and_provenance(toy, monkeypatch):
    monkeypatch.setattr(results, "commit", lambda: {"commit": "0123456789abcdef", "dirty": True})
    found = sweep.run(toy, {"a": toy.Config(1.0)}, seed=3)
    record = found.runs["a"].record
    assert record["config"] == dataclasses.asdict(toy.Config(1.0))
    assert record["data"] == dataclasses.asdict(toy.load(toy.Config(1.0)))
    assert record["versions"] == results.versions()
    assert record["name"] == "a"
    (row,) = found.provenance().to_dict("records")
    assert row == {
        "run": "a",
        "identifier": record["run"],
        "seed": 3,
        "data": "12-bit task",
        "source": "official",
        "commit": "0123456789ab",
        "dirty": True,
        "device": "toy device",
        "threads": 1,
        "seconds": round(record["seconds"], 1),
    }
    monkeypatch.setattr(results, "commit", lambda: {"commit": None, "dirty": None})
    (row,) = sweep.run(toy, {"a": toy.Config(2.0)}).provenance().to_dict("records")
    assert row["commit"] == "unknown"


# ---------------------------------------------------------------- processes

PLANE = information_plane.Config(
    dataset="szt",
    allow_standin="only",
    train_fraction=0.75,
    n_train=120,
    model="mlp",
    model_options={"n_inputs": 12, "hidden": (4, 3)},
    epochs=9,
    batch_size=32,
    replicas=2,
    schedule="every",
    estimators=({"estimator": "binning", "bin_width": 0.5},
                {"estimator": "kde", "noise_variance": 0.01}),
    learning_rate=0.01,
)  # fmt: skip
PLANES = {"one": PLANE, "two": dataclasses.replace(PLANE, batch_size=None, measured_sets=("test",))}


def assert_undisturbed(found, seed=0):
    """Every table equals, bit for bit, what one call without store or checkpoint gives."""
    for name, config in PLANES.items():
        for kind, table in information_plane.run(config, seed).items():
            stored = found.runs[name].tables[kind]
            pd.testing.assert_frame_equal(stored, table, check_exact=True)


@pytest.mark.slow
def test_processes_give_the_same_bits(pool, output, monkeypatch):
    parallel = sweep.run(information_plane, PLANES, jobs=2)
    monkeypatch.setenv("IBCORE_OUTPUT", str(output))
    serial = sweep.run(information_plane, PLANES, jobs=1)
    assert_undisturbed(serial)
    assert identifiers(parallel) == identifiers(serial)
    for name in ("measurements", "history", "bounds"):
        pd.testing.assert_frame_equal(parallel.table(name), serial.table(name), check_exact=True)


@pytest.mark.slow
def test_a_failure_in_a_process_raises_and_the_finished_stay(toy, pool):
    configs = {name: toy.Config(value) for value, name in enumerate("abc")}
    configs["bad"] = toy.Config(9.0, fail=True, seconds=0.2)
    with pytest.raises(RuntimeError, match="bad failed"):
        sweep.run(toy, configs, jobs=2)
    stored = {path.parent.name for path in results.runs_folder().glob("toy/*/run.json")}
    log = (pool / "log").read_text()
    del configs["bad"]
    found = sweep.run(toy, configs, jobs=1)
    assert "a" in log
    assert stored <= set(identifiers(found))
    again = (pool / "log").read_text().removeprefix(log).splitlines()
    assert len(stored) + len(again) == 3


KILLED = """
import os, signal, sys
from ibcore import sweep, training
from ibcore.experiments import information_plane
from ibcore.recording import InformationRecorder

training.Checkpoint.__init__.__kwdefaults__["every_seconds"] = 0.0
record, runs = InformationRecorder.on_epoch, []

def on_epoch(self, epoch, replicas):
    runs.extend([None] * (epoch == 0))
    if len(runs) == 2 and epoch == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, epoch, replicas)

InformationRecorder.on_epoch = on_epoch
configs = {name: information_plane.Config(**fields) for name, fields in eval(sys.argv[1]).items()}
sweep.run(information_plane, configs)
"""


@pytest.mark.slow
def test_killed_in_the_middle_of_a_run_it_goes_on_with_the_same_bits(python, output, monkeypatch):
    fields = {name: dataclasses.asdict(config) for name, config in PLANES.items()}
    python(KILLED, repr(fields), returncode=-signal.SIGKILL)
    folder = output / "data" / "runs" / "information_plane"
    assert len(list(folder.glob("*/run.json"))) == 1
    (checkpoint,) = folder.glob("*.checkpoint")
    later = time.time() + 1000
    os.utime(checkpoint, (later, later))

    seen, record = [], InformationRecorder.on_epoch

    def on_epoch(self, epoch, replicas):
        seen.append(epoch)
        record(self, epoch, replicas)

    monkeypatch.setattr(InformationRecorder, "on_epoch", on_epoch)
    found = sweep.run(information_plane, PLANES)
    assert seen == [5, 6, 7, 8, 9]
    monkeypatch.undo()
    assert_undisturbed(found)
    assert checkpoint.stem in identifiers(found)
    assert sum(run.record["seconds"] > 1000 for run in found.runs.values()) == 1
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".lock") == identifiers(found)


AT_ONCE = """
import sys, time
from pathlib import Path
import toy
from ibcore import results, sweep

ready, go = map(Path, sys.argv[1:])
ready.touch()
while not go.exists():
    time.sleep(0.01)
found = sweep.run(toy, {"a": toy.Config(1.0, seconds=0.3)})
print(results.table_to_csv(found.table("numbers")), end="")
"""


@pytest.mark.slow
def test_two_processes_on_the_same_sweep_at_once(toy, python, computed, output, tmp_path):
    ready, go = tmp_path / "ready", tmp_path / "go"
    other = python.start(AT_ONCE, ready, go)
    while not ready.exists():
        assert other.poll() is None, other.stderr.read()
        time.sleep(0.01)
    go.touch()
    found = sweep.run(toy, {"a": toy.Config(1.0, seconds=0.3)})
    answer, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors
    assert computed() == ["a"]
    assert files(output) == identifiers(found)
    assert answer == results.table_to_csv(found.table("numbers"))


ORPHAN = """
import os, time
from ibcore import sweep

sweep._end_with(os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time

subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(60)
"""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_process_ends_with_the_one_that_started_it(python):
    parent = python.start(PARENT, ORPHAN)
    with parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(pid)


def test_the_watch_over_the_parent(monkeypatch):
    ended, parents = threading.Event(), iter([7, 7, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents, 1))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(os, "_exit", lambda code: ended.set())
    sweep._end_with.__wrapped__(7)
    assert ended.wait(10)
    assert list(parents) == []
