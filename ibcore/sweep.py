"""Many runs of one experiment: in this process, over processes or on a Dask cluster.

Every run goes through the run store: what is there already is read, the rest is computed, with the
number of threads its configuration asks for. So it makes no difference to the results how many
processes work, or whether the sweep was interrupted and started again.

Processes of this machine share the run store, and compute each run under its own lock. Workers of a
cluster need no common disk: the data travel to each worker once, the tables travel back, and this
process stores them. A run whose worker dies is given to another one.
"""

import dataclasses
import functools
import importlib
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch
from filelock import Timeout
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from ibcore import results

SECONDS_TO_CONNECT = 10


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Finished runs by name."""

    runs: dict[str, results.Run]

    def table(self, name: str) -> pd.DataFrame:
        """One table of all runs below each other, with the run's name in the first column ``run``.

        Raises ValueError naming the known tables when there is none of that name.
        """
        known = next(iter(self.runs.values())).tables
        if name not in known:
            raise ValueError(f"unknown table {name!r}; tables of these runs: {', '.join(known)}")
        parts = []
        for run, stored in self.runs.items():
            part = stored.tables[name].copy()
            part.insert(0, "run", run)
            parts.append(part)
        return pd.concat(parts, ignore_index=True)

    def select(self, names: Iterable[str]) -> "Sweep":
        """Some of the runs; ValueError for a name that is not there."""
        names = list(names)
        unknown = [name for name in names if name not in self.runs]
        if unknown:
            raise ValueError(f"unknown runs {', '.join(unknown)}; runs: {', '.join(self.runs)}")
        return Sweep({name: self.runs[name] for name in names})

    @property
    def labels(self) -> dict[str, str]:
        """Name of each run to the label of its data; a stand-in's label says so."""
        return {name: stored.record["data"]["label"] for name, stored in self.runs.items()}

    @property
    def sources(self) -> dict[str, dict]:
        """What ``run.json`` says about the data, by label."""
        data = [stored.record["data"] for stored in self.runs.values()]
        return {entry["label"]: entry for entry in data}

    @property
    def is_standin(self) -> bool:
        """Whether any run used stand-in data."""
        return any(entry["source"] == "stand-in" for entry in self.sources.values())

    @property
    def data_label(self) -> str:
        """The data sets of all runs in one phrase, for captions."""
        return ", ".join(self.sources)

    def provenance(self) -> pd.DataFrame:
        """One row per run: identifier, commit, data, device, seconds."""
        rows = []
        for name, stored in self.runs.items():
            record = stored.record
            rows.append(
                {
                    "run": name,
                    "identifier": record["run"],
                    "seed": record["seed"],
                    "data": record["data"]["label"],
                    "source": record["data"]["source"],
                    "commit": (record["commit"] or "unknown")[:12],
                    "dirty": record["dirty"],
                    "device": record["device"],
                    "threads": record["threads"],
                    "seconds": round(record["seconds"], 1),
                }
            )
        return pd.DataFrame(rows)


def _gpus(configs: Collection[Any]) -> tuple[str, ...]:
    """The GPUs for these runs, as ``CUDA_VISIBLE_DEVICES`` names them; none if no run wants one."""
    if all(getattr(config, "device", "cpu") == "cpu" for config in configs):
        return ()
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return tuple(named.split(",")[:count] if named else map(str, range(count)))


def _jobs(jobs: int | None, configs: Collection[Any]) -> int:
    """Processes for these runs: as told, else one per GPU if a run takes one, else one per core."""
    told, given = "jobs", os.environ.get("IBCORE_JOBS")
    if jobs is None and given:
        told = "IBCORE_JOBS"
        try:
            jobs = int(given)
        except ValueError:
            raise ValueError(f"IBCORE_JOBS must be a whole number, got {given!r}") from None
    if jobs is None:
        jobs = len(_gpus(configs)) or cpu_count()
    if jobs < 1:
        raise ValueError(f"{told} must be at least 1, got {jobs}")
    return min(jobs, len(configs))


def _short(module: str) -> str:
    return module.rsplit(".", 1)[-1]


def _earlier_seconds(checkpoint: Path) -> float:
    """Seconds that interrupted attempts at a run took up to its newest checkpoint.

    Attempts may be killed, so each notes only its start (and what came before) when it begins; how
    long it went on is told by the age of what it saved.
    """
    note = checkpoint.with_suffix(".started")
    saved = [path.stat().st_mtime for path in checkpoint.parent.glob(f"{checkpoint.name}*")]
    earlier = 0.0
    if saved:
        with suppress(OSError, ValueError):
            spent, started = map(float, note.read_text().split())
            went_on = max(saved) > started
            earlier = spent + (max(saved) - started if went_on else 0.0)
    results.write_atomically(note, f"{earlier} {time.time()}\n")
    return earlier


def _compute(
    module: str, name: str, config: Any, seed: int, dataset: Any, checkpoint: Path
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Tables and record of one run."""
    experiment = importlib.import_module(module)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    earlier, started = _earlier_seconds(checkpoint), time.perf_counter()
    try:
        tables = experiment.run(config, seed, dataset, checkpoint=checkpoint, name=name)
    finally:
        torch.set_num_threads(threads)
    record = {
        "name": name,
        "config": dataclasses.asdict(config),
        "seed": seed,
        **results.commit(),
        "data": {
            "label": dataset.label,
            "source": dataset.source,
            "note": dataset.note,
            "fingerprint": dataset.fingerprint,
        },
        "device": experiment.device_name(config),
        "threads": config.threads,
        "versions": results.versions(),
        "seconds": earlier + time.perf_counter() - started,
    }
    return tables, record


def _load(module: str, name: str, config: Any, fingerprint: str) -> Any:
    """The data of a run, which must be those that its identifier was made from."""
    dataset = importlib.import_module(module).load(config)
    if dataset.fingerprint != fingerprint:
        raise RuntimeError(
            f"the data of run {name!r} changed while the sweep was under way: their fingerprint "
            f"was {fingerprint}, now it is {dataset.fingerprint} ({dataset.label}); "
            "start again in a new process"
        )
    return dataset


def _store(
    short: str, identifier: str, tables: Mapping[str, pd.DataFrame], record: Mapping
) -> None:
    """Save a run and remove all that its attempts kept; call it under the run's lock."""
    results.save_run(short, identifier, tables, record)
    checkpoint = results.checkpoint_path(short, identifier)
    stages = checkpoint.parent.glob(f"{checkpoint.name}*")
    for path in (*stages, checkpoint.with_suffix(".started")):
        path.unlink(missing_ok=True)


def _execute(
    module: str,
    name: str,
    config: Any,
    seed: int,
    identifier: str,
    fingerprint: str,
    *,
    wait: bool = True,
) -> None:
    """Compute one run and store it, unless another process has done so meanwhile.

    Without ``wait``, a run that another process is computing raises ``filelock.Timeout``.
    """
    short = _short(module)
    with results.run_lock(short, identifier).acquire(blocking=wait):
        if results.load_run(short, identifier) is not None:
            return
        results.remove_leftovers(short, identifier)
        checkpoint = results.checkpoint_path(short, identifier)
        dataset = _load(module, name, config, fingerprint)
        tables, record = _compute(module, name, config, seed, dataset, checkpoint)
        _store(short, identifier, tables, record)


def _one_after_the_other(tasks: Iterable[tuple]) -> Iterator[None]:
    """Compute runs in this process; those that another one is computing come last.

    So two notebooks that start together and need the same runs share the work.
    """
    busy = []
    for task in tasks:
        try:
            _execute(*task, wait=False)
        except Timeout:
            busy.append(task)
        else:
            yield
    for task in busy:
        _execute(*task)
        yield


def _execute_in_worker(parent: int, gpus: tuple[str, ...], *task) -> None:
    _end_with(parent)
    if gpus:
        _take_one_of(gpus)
    _execute(*task)


@functools.cache
def _take_one_of(gpus: tuple[str, ...]) -> None:
    """Let this process see one GPU: joblib's processes are numbered, and each takes the next.

    It has to be called before the first use of CUDA.
    """
    number = int(multiprocessing.current_process().name.rpartition("-")[2])
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]


@functools.cache
def _end_with(parent: int) -> None:
    """Let this process end within half a second of its parent's end.

    When a sweep is killed (as Jupyter kernels are when their notebook is interrupted), joblib's
    processes would go on with the runs they have been given.
    """

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _execute_on_cluster(
    module: str, name: str, config: Any, seed: int, dataset: Any, source: str
) -> tuple[dict[str, pd.DataFrame], dict]:
    """Compute one run in a worker that may share nothing with the process that asked for it."""
    if results.numerical_source(module) != source:
        raise RuntimeError(
            f"a worker has another version of {module}: give all of them the same checkout"
        )
    with tempfile.TemporaryDirectory() as folder:
        return _compute(module, name, config, seed, dataset, Path(folder) / "checkpoint")


def _on_cluster(client, tasks: Iterable[tuple], source: str) -> Iterator[None]:
    """Give the runs to the workers of a Dask client and store what comes back."""
    from distributed import as_completed

    scattered, futures = {}, {}
    for module, name, config, seed, identifier, fingerprint in tasks:
        dataset = _load(module, name, config, fingerprint)
        if dataset.fingerprint not in scattered:
            scattered[dataset.fingerprint] = client.scatter(dataset, broadcast=True, hash=False)
        data = scattered[dataset.fingerprint]
        task = (module, name, config, seed, data, source)
        futures[client.submit(_execute_on_cluster, *task, pure=False)] = _short(module), identifier
    for future, (tables, record) in as_completed(futures, with_results=True):
        short, identifier = futures[future]
        with results.run_lock(short, identifier):
            if results.load_run(short, identifier) is None:
                results.remove_leftovers(short, identifier)
                _store(short, identifier, tables, record)
        yield


@contextmanager
def _connected(client) -> Iterator[Any]:
    """The client that was given, one for the scheduler in ``IBCORE_SCHEDULER``, or None."""
    address = os.environ.get("IBCORE_SCHEDULER")
    if client is not None or not address:
        yield client
        return
    from distributed import Client

    try:
        connected = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {address!r}: {error}") from error
    with connected:
        yield connected


def run(
    experiment: ModuleType,
    configs: Mapping[str, Any],
    *,
    seed: int = 0,
    jobs: int | None = None,
    client: Any = None,
) -> Sweep:
    """Run an experiment for every configuration, or read what is in the run store.

    Parameters
    ----------
    experiment : module
        Of ``ibcore.experiments``: it has ``load(config) -> Dataset``,
        ``run(config, seed, dataset, *, checkpoint, name) -> tables`` and ``device_name(config)``.
    configs : mapping
        Name of a run to its configuration (a dataclass with a field ``threads``).
    seed : int
        First seed; what a configuration does with it is its own matter.
    jobs : int, optional
        Processes; by default ``IBCORE_JOBS``, else the number of GPUs if a configuration takes
        one, else the number of cores that this process may use. Processes take turns at the GPUs.
    client : distributed.Client, optional
        Compute on the workers of this Dask cluster (or of the one whose address is in
        ``IBCORE_SCHEDULER``) instead. They need the same checkout, and no common disk.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError
        For an empty mapping, fewer than one job, an ``IBCORE_JOBS`` that is no number, a scheduler
        that does not answer.
    RuntimeError
        If a worker of the cluster has another version of the numerical source, or the data of a
        run are no longer those that it was looked up with.
    Exception
        Whatever a run raises; finished runs stay in the store.
    """
    if not configs:
        raise ValueError("no configuration to run")
    module = experiment.__name__
    short = _short(module)
    source = results.numerical_source(module)
    data = {name: experiment.load(config).fingerprint for name, config in configs.items()}
    identifiers = {
        name: results.run_id(short, config, seed, data[name], source)
        for name, config in configs.items()
    }
    runs = {name: results.load_run(short, identifier) for name, identifier in identifiers.items()}
    pending = [name for name, stored in runs.items() if stored is None]
    if pending:
        wanted = {name: configs[name] for name in pending}
        tasks = [
            (module, name, wanted[name], seed, identifiers[name], data[name]) for name in pending
        ]
        with (
            _connected(client) as cluster,
            tqdm(total=len(configs), initial=len(configs) - len(pending), desc="runs") as bar,
        ):
            if cluster is not None:
                done = _on_cluster(cluster, tasks, source)
            elif (workers := _jobs(jobs, wanted.values())) == 1:
                done = _one_after_the_other(tasks)
            else:
                parallel = Parallel(n_jobs=workers, return_as="generator_unordered")
                common = os.getpid(), _gpus(wanted.values())
                done = parallel(delayed(_execute_in_worker)(*common, *task) for task in tasks)
            for _ in done:
                bar.update()
        for name in pending:
            runs[name] = results.load_run(short, identifiers[name])
    return Sweep({name: runs[name] for name in configs})
