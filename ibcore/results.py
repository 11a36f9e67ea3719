"""Where results live: the run store, and the figures and tables of the notebooks.

This is the only module that knows output paths. Everything lies below one folder, the checkout or
whatever ``IBCORE_OUTPUT`` names::

    data/runs/<experiment>/<run_id>/        tables (CSV) and run.json, written last
    figures/<profile>/<notebook>/           figures, tables (CSV, Markdown), manifest.json
    build/<name>/                           notebooks for students, the site

A run id is a hash of configuration, seed, data and numerical source, so a finished run is found
again and a changed one is computed anew. A run folder appears in one step and complete, or not at
all; its tables are checked against the hashes in ``run.json`` whenever they are read.
"""

import ast
import dataclasses
import glob
import hashlib
import importlib.util
import io
import json
import os
import platform
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import psutil
from filelock import FileLock
from PIL import Image

# ---------------------------------------------------------------- folders


def output_root() -> Path:
    """The folder that holds ``data/runs`` and ``figures``."""
    if os.environ.get("IBCORE_OUTPUT"):
        return Path(os.environ["IBCORE_OUTPUT"]).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def runs_folder() -> Path:
    """``data/runs`` below the output folder."""
    return output_root() / "data" / "runs"


def figures_folder(profile: str, notebook: str | None = None) -> Path:
    """``figures/<profile>`` or the folder of one notebook in it."""
    folder = output_root() / "figures" / profile
    return folder / notebook if notebook else folder


def executed_notebook(profile: str, notebook: str) -> Path:
    """Where a notebook lies as a profile has executed it last."""
    return runs_folder() / "notebooks" / profile / f"{notebook}.ipynb"


def build_folder(name: str) -> Path:
    """``build/<name>`` below the output folder: what can be made again at any time."""
    return output_root() / "build" / name


def published_folder() -> Path:
    """``data/published`` of the checkout: numbers and claims of the documents."""
    return Path(__file__).resolve().parents[1] / "data" / "published"


# ---------------------------------------------------------------- writing


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace ``path`` in one step; on any failure the old file stays and nothing else remains.

    What a process leaves that is killed meanwhile goes when the same file is written again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    remove_drafts(path)
    prefix = f".{path.name}.{os.getpid()}."
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def remove_drafts(path: Path) -> None:
    """Delete what killed processes left of ``path``: ``.<its name>.<their number>.<anything>``."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.*"):
        writer = left.name.split(".")[-2]
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            left.unlink(missing_ok=True)


def to_json(value) -> str:
    """Stable, readable JSON; dataclasses and tuples are allowed, NaN is not."""

    def default(item):
        if dataclasses.is_dataclass(item):
            return dataclasses.asdict(item)
        if isinstance(item, Path):
            return str(item)
        raise TypeError(f"cannot store a {type(item).__name__} as JSON: {item!r}")

    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, default=default) + "\n"


def table_to_csv(table: pd.DataFrame) -> str:
    """CSV text that gives back the very same floats."""
    return table.to_csv(index=False, lineterminator="\n")


def read_csv(path: Path) -> pd.DataFrame:
    """A table as ``table_to_csv`` wrote it; only an empty field counts as missing.

    A single line break is the table without rows and columns. Raises ValueError naming the file if
    it is no table.
    """
    content = Path(path).read_bytes()
    if content == b"\n":
        return pd.DataFrame()
    try:
        return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise ValueError(f"{path}: not a readable table ({error})") from error


def with_palette(png: bytes) -> bytes:
    """A PNG picture in 256 colours: about a third of the size, the same to the eye."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    buffer = io.BytesIO()
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    """SHA-256 as hexadecimal text."""
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------- provenance


def _without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            node.body = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _imported_modules(source: str, package: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            name = importlib.util.resolve_name(relative, package) if node.level else relative
            found.add(name)
            found.update(f"{name}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] == "ibcore"}


def _source_file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def numerical_source(module: str) -> str:
    """Hash of the source of ``module`` and of every ``ibcore`` module it imports, at any depth.

    Comments, docstrings and layout do not count. A docstring is the first statement of a module,
    function or class; any other string counts, also one that only describes the constant above it.
    Left out are this module, which stores numbers and does not make them, and the readers of data
    sets, whose result has a fingerprint.
    """
    pending, files = [module], {}
    while pending:
        name = pending.pop()
        if name in files or name == __name__ or name.startswith("ibcore.datasets"):
            continue
        path = _source_file(name)
        if path is None:
            continue
        source = path.read_text()
        files[name] = _without_docstrings(source)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        pending.extend(_imported_modules(source, package))
    if not files:
        raise ValueError(f"no module called {module!r}")
    return sha256("\n".join(f"# {name}\n{files[name]}" for name in sorted(files)).encode())


def commit() -> dict:
    """Commit of the checkout and whether it has been changed since; None outside a checkout.

    A repository in which a copy of the checkout was unpacked is not its own and does not count.
    Tracked files that the commands write themselves do not count: figures, notebooks, pages.
    """
    folder = Path(__file__).resolve().parents[1]
    top, head = _git(folder, "rev-parse", "--show-toplevel"), _git(folder, "rev-parse", "HEAD")
    if not head or not top or Path(top).resolve() != folder:
        return {"commit": None, "dirty": None}
    made = [f":(top,exclude){name}" for name in ("figures", "*.ipynb", "*.md")]
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":(top)", *made)
    return {"commit": head, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that make the numbers."""
    from importlib.metadata import version

    names = ("ibcore", "torch", "numpy", "scipy", "scikit-learn", "pandas", "numba", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


# ---------------------------------------------------------------- run store


def run_id(experiment: str, config, seed: int, data_fingerprint: str, source: str) -> str:
    """Sixteen hexadecimal digits that name a run.

    The order of a mapping in the configuration does not count, that of a list or tuple does.
    """
    identity = {
        "experiment": experiment,
        "config": config,
        "seed": seed,
        "data": data_fingerprint,
        "source": source,
    }
    return sha256(to_json(identity).encode())[:16]


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its record (``run.json``) and its tables."""

    record: dict
    tables: dict[str, pd.DataFrame]


def run_folder(experiment: str, identifier: str) -> Path:
    """Where a finished run lies."""
    return runs_folder() / experiment / identifier


def checkpoint_path(experiment: str, identifier: str) -> Path:
    """Where an unfinished training keeps its checkpoint."""
    return runs_folder() / experiment / f"{identifier}.checkpoint"


def run_lock(experiment: str, identifier: str) -> FileLock:
    """A lock that lets one process at a time work on a run; it falls with its process."""
    folder = runs_folder() / experiment
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{identifier}.lock")


def save_run(
    experiment: str, identifier: str, tables: Mapping[str, pd.DataFrame], record: Mapping
) -> Run:
    """Store a finished run in one step and give it back as ``load_run`` would.

    The tables are written into a hidden folder beside the final one, ``run.json`` last; the folder
    is read back and renamed. Raises ValueError if there is no table, and OSError if what was
    written cannot be read back; an older run of this identifier then stays.
    """
    if not tables:
        raise ValueError(f"run {identifier} of {experiment} has no table")
    final = run_folder(experiment, identifier)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{identifier}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir()  # as the umask says; tempfile's folders are closed to others for good
        outputs = {}
        for name, table in sorted(tables.items()):
            content = table_to_csv(table).encode()
            (temporary / f"{name}.csv").write_bytes(content)
            outputs[f"{name}.csv"] = sha256(content)
        complete = {**record, "experiment": experiment, "run": identifier, "outputs": outputs}
        complete["sha256"] = _record_hash(json.loads(to_json(complete)))
        (temporary / "run.json").write_text(to_json(complete))
        saved = _read_back(temporary, experiment, identifier)
        if final.exists():
            shutil.rmtree(final)
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return saved


def _record_hash(record: dict) -> str:
    return sha256(to_json(record).encode())


_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What ``_read`` raises for a folder that holds no sound run."""


def _read(folder: Path, experiment: str, identifier: str, *, tables: bool = True) -> Run:
    """The run in a folder, checked against its hashes."""
    record = json.loads((folder / "run.json").read_bytes())
    if record.pop("sha256") != _record_hash(record):
        raise ValueError("run.json does not have the hash noted in it")
    found = {}
    for file, expected in record["outputs"].items() if tables else ():
        if sha256((folder / file).read_bytes()) != expected:
            raise ValueError(f"{file} does not have the hash noted in run.json")
        found[file.removesuffix(".csv")] = read_csv(folder / file)
    if record["run"] != identifier or record["experiment"] != experiment:
        raise ValueError(f"run.json belongs to {record['experiment']}/{record['run']}")
    return Run(record, found)


def _read_back(folder: Path, experiment: str, identifier: str) -> Run:
    try:
        return _read(folder, experiment, identifier)
    except _UNREADABLE as error:
        raise OSError(
            f"run {identifier} of {experiment} could not be read back after writing: {error}"
        ) from error


def load_run(experiment: str, identifier: str, *, tables: bool = True) -> Run | None:
    """A finished run, or None if it has to be computed; without its tables if they are not asked.

    A folder without a readable ``run.json``, or where it or a table does not have the hash noted
    in it, is passed over with a warning; ``save_run`` replaces it. (Deleting it here could meet
    the sound folder that another process has just put in its place.)
    """
    folder = run_folder(experiment, identifier)
    if not folder.exists():
        return None
    try:
        return _read(folder, experiment, identifier, tables=tables)
    except _UNREADABLE as error:
        warnings.warn(
            f"run {experiment}/{identifier} is damaged and will be computed again: {error}",
            stacklevel=2,
        )
        return None


def records() -> list[dict]:
    """What ``run.json`` says of every finished run, by experiment and identifier.

    Damaged ones are passed over with a warning, as `load_run` does.
    """
    folders = sorted(path.parent for path in runs_folder().glob("*/[!.]*/run.json"))
    runs = (load_run(folder.parent.name, folder.name, tables=False) for folder in folders)
    return [run.record for run in runs if run]


def remove_leftovers(experiment: str, identifier: str) -> None:
    """Delete what interrupted attempts at this run left behind; call it under the run's lock."""
    folder = runs_folder() / experiment
    for leftover in folder.glob(f".{identifier}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
    for leftover in folder.glob(f"{identifier}.checkpoint.*.tmp"):
        leftover.unlink(missing_ok=True)


# ---------------------------------------------------------------- results of notebooks


def load_table(profile: str, notebook: str, name: str) -> pd.DataFrame:
    """A table that a notebook has written.

    Raises ValueError naming the tables that exist when this one does not.
    """
    folder = figures_folder(profile, notebook)
    path = folder / f"{name}.csv"
    if not path.exists():
        known = sorted(file.stem for file in folder.glob("*.csv"))
        raise ValueError(
            f"no table {name!r} of {notebook} in profile {profile!r}; "
            f"tables there: {', '.join(known) or 'none'}"
        )
    return read_csv(path)


def read_manifest(profile: str, notebook: str) -> dict | None:
    """The captions and runs that a notebook has noted beside its outputs, or None.

    Raises ValueError naming the file if it is damaged.
    """
    path = figures_folder(profile, notebook) / "manifest.json"
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); execute {notebook} again") from error
