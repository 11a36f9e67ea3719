"""Sweeps on a Dask cluster: two worker processes that share only the source with the caller."""

import importlib
import os
import signal
import sys
import threading
import time

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from ibcore import results, sweep
from ibcore.experiments import information_plane

pytestmark = pytest.mark.slow

CLUSTERED = """
import dataclasses
import os
import time

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Config:
    value: float
    seconds: float = 0.0
    threads: int = 1


def note(text):
    with open(os.environ["CLUSTERED_LOG"], "a") as log:
        log.write(f"{text} {os.getpid()}\\n")


class Data:
    label, source, note, fingerprint = "12-bit task", "official", "Generated.", "def"

    def __setstate__(self, state):
        note("unpacked")

    def __getstate__(self):
        return {"numbers": [1, 2]}


def load(config):
    return Data()


def device_name(config):
    return "some device"


def run(config, seed, dataset, *, checkpoint, name):
    note(f"started {name}")
    checkpoint.write_text(name)
    time.sleep(config.seconds)
    return {"numbers": pd.DataFrame({"seed": [seed], "value": [config.value / 3]})}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clustered")
    (folder / "clustered.py").write_text(CLUSTERED)
    return folder


@pytest.fixture(scope="module")
def cluster(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("CLUSTERED_LOG", str(folder / "log"))
        patch.setenv("IBCORE_OUTPUT", str(folder / "of the workers"))
        patch.chdir(folder)
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=folder,
        ) as cluster:
            yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


@pytest.fixture
def log(folder):
    path = folder / "log"
    path.unlink(missing_ok=True)

    def lines(start):
        text = path.read_text() if path.exists() else ""
        return [line for line in text.splitlines() if line.startswith(start)]

    return lines


@pytest.fixture
def clustered(folder, log, monkeypatch):
    monkeypatch.setenv("CLUSTERED_LOG", str(folder / "log"))
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("clustered")
    del sys.modules["clustered"]


def test_the_same_bits_as_here(client, folder, monkeypatch, tmp_path):
    config = information_plane.Config(
        dataset="szt",
        allow_standin="only",
        train_fraction=0.75,
        n_train=120,
        model="mlp",
        model_options={"n_inputs": 12, "hidden": (4, 3)},
        epochs=5,
        batch_size=32,
        replicas=2,
        schedule="every",
        estimators=({"estimator": "binning", "bin_width": 0.5},),
        learning_rate=0.01,
    )
    there = sweep.run(information_plane, {"a": config}, client=client)
    assert not (folder / "of the workers").exists()
    monkeypatch.setenv("IBCORE_OUTPUT", str(tmp_path / "here"))
    here = sweep.run(information_plane, {"a": config})
    for name, table in here.runs["a"].tables.items():
        pd.testing.assert_frame_equal(there.runs["a"].tables[name], table, check_exact=True)
    assert there.runs["a"].record["run"] == here.runs["a"].record["run"]


def test_data_travel_to_each_worker_once(client, clustered, log):
    configs = {str(value): clustered.Config(value, seconds=0.1) for value in range(6)}
    found = sweep.run(clustered, configs, seed=4, client=client)
    assert found.table("numbers")["value"].tolist() == [value / 3 for value in range(6)]
    assert found.table("numbers")["seed"].unique().tolist() == [4]
    assert len({line.split()[-1] for line in log("started")}) == 2
    unpacked = log("unpacked")
    assert len(unpacked) == len(set(unpacked)) == 2
    sweep.run(clustered, configs, seed=4, client=client)
    assert len(log("started")) == 6


def test_a_killed_worker_costs_nothing_but_its_run(client, clustered, log):
    configs = {str(value): clustered.Config(value, seconds=1.0) for value in range(3)}
    found = []
    sweeping = threading.Thread(
        target=lambda: found.append(sweep.run(clustered, configs, client=client))
    )
    sweeping.start()
    deadline = time.monotonic() + 120
    while not log("started 0"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int(log("started 0")[0].split()[-1]), signal.SIGKILL)
    sweeping.join(timeout=180)
    assert len(log("started 0")) == 2
    assert found[0].table("numbers")["value"].tolist() == [value / 3 for value in range(3)]


def test_the_scheduler_in_the_environment(cluster, clustered, log, monkeypatch):
    monkeypatch.setenv("IBCORE_SCHEDULER", cluster.scheduler_address)
    sweep.run(clustered, {"a": clustered.Config(1.0)})
    assert log("started a")[0].split()[-1] != str(os.getpid())


def test_workers_with_another_source_are_refused(client, clustered, monkeypatch):
    monkeypatch.setattr(results, "numerical_source", lambda module: "another")
    with pytest.raises(RuntimeError, match="a worker has another version of clustered"):
        sweep.run(clustered, {"a": clustered.Config(1.0)}, client=client)


def test_a_scheduler_that_does_not_answer(clustered, monkeypatch):
    monkeypatch.setattr(sweep, "SECONDS_TO_CONNECT", 0.5)
    monkeypatch.setenv("IBCORE_SCHEDULER", "tcp://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        sweep.run(clustered, {"a": clustered.Config(1.0)})
