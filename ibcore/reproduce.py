"""Execute notebooks and gather what they made; the Makefile calls this.

``python -m ibcore.reproduce run 01_szt_saxe --profile laptop`` executes one notebook with
Papermill. ``... index --profile laptop`` writes ``index.md``, ``index.html`` and ``claims.md`` and
prints the verdicts. ``... pair`` makes the committed notebooks from their sources, ``... check``
says where the two differ, ``... student`` writes notebooks without solutions.
"""

import argparse
import base64
import html
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import jupytext
import nbformat
import pandas as pd
import papermill
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from ibcore import datasets, profiles, results

SOURCES = Path(__file__).resolve().parents[1] / "notebooks"

CURSOR_MOVE = re.compile(r"\x1b\[\d*[A-HJK]")
UNFINISHED_BAR = re.compile(r"\b\d{1,2}%\|")


def notebooks() -> list[str]:
    """Names of all notebooks, in their order."""
    return sorted(path.stem for path in SOURCES.glob("[0-9]*.py"))


def source(notebook: str) -> Path:
    """The Jupytext file of a notebook; ValueError listing the known ones if there is none."""
    if notebook not in notebooks():
        raise ValueError(f"unknown notebook {notebook!r}; notebooks: {', '.join(notebooks())}")
    return SOURCES / f"{notebook}.py"


class ProgressLines:
    """A text stream that turns redrawn progress bars into occasional whole lines.

    Each line starts with ``label``. Text that is drawn over by what follows (it ends in a carriage
    return, moves the cursor, or is a bar below 100%) is progress and is shown at most every
    ``interval`` seconds; other lines are shown at once.
    """

    def __init__(self, stream, label: str, interval: float = 5.0):
        self._stream, self._label, self._interval = stream, label, interval
        self._pending = ""
        self._shown = time.monotonic()

    def write(self, text: str) -> int:
        """Take text as a stream does."""
        *complete, self._pending = re.split(r"(?<=[\r\n])", self._pending + text)
        for piece in complete:
            self._show(piece)
        return len(text)

    def _show(self, piece: str) -> None:
        line = CURSOR_MOVE.sub("", piece).strip()
        progress = piece.endswith("\r") or CURSOR_MOVE.search(piece) or UNFINISHED_BAR.search(line)
        if not line or (progress and time.monotonic() - self._shown < self._interval):
            return
        self._shown = time.monotonic()
        self._stream.write(f"{self._label} {line}\n")
        self._stream.flush()

    def flush(self) -> None:
        """Nothing is held back that a flush could show."""


def execute(notebook: str, profile: str, *, seed: int = 0, stream=None) -> Path:
    """Execute a notebook with Papermill.

    Parameters
    ----------
    notebook : str
        Name without ending.
    profile : str
        Passed to the notebook's ``parameters`` cell, with ``seed``.
    stream : text stream, optional
        Where progress goes; standard error by default.

    Returns
    -------
    Path
        The executed notebook, below ``data/runs/notebooks``, which replaces an earlier one. A
        failed one is kept beside it as ``<notebook>.failed.ipynb`` until it succeeds. The log
        there is what the kernel of the last one printed.

    Raises
    ------
    ValueError
        For an unknown notebook or profile.
    RuntimeError
        If a cell fails or the kernel dies; the message names the notebook, the cell (counted as
        in the source), the error and the file of the failed notebook.
    OSError
        The disk is full.
    """
    _make_folders_absolute()
    profiles.section(profile, notebook)
    made = jupytext.read(source(notebook))
    executed = results.executed_notebook(profile, notebook)
    folder = executed.parent
    folder.mkdir(parents=True, exist_ok=True)
    results.remove_drafts(folder / notebook)
    working = folder / f".{notebook}.{os.getpid()}.ipynb"
    failed = executed.with_suffix(".failed.ipynb")
    os.environ.setdefault("IBCORE_STATIC", "1")
    try:
        nbformat.write(made, working)
        with (
            _standard_error_in(folder / f"{notebook}.log") as terminal,
            tempfile.TemporaryDirectory() as sockets,
        ):
            papermill.execute_notebook(
                working,
                working,
                parameters={"profile": profile, "seed": seed},
                cwd=SOURCES,
                kernel_name="python3",
                progress_bar=False,
                config=_connection(sockets),
                stderr_file=ProgressLines(stream or terminal, f"  {notebook}:"),
            )
        working.replace(executed)
        failed.unlink(missing_ok=True)
    except PapermillExecutionError as error:
        working.replace(failed)
        what = f"failed with {error.ename}: {error.evalue}"
        raise RuntimeError(_failure(notebook, failed, what)) from error
    except (CellExecutionError, DeadKernelError) as error:
        working.replace(failed)
        raise RuntimeError(_failure(notebook, failed, f"stopped: {error}")) from error
    finally:
        working.unlink(missing_ok=True)
    return executed


def _make_folders_absolute() -> None:
    """Let folders that the environment names mean the same to a kernel, which works elsewhere."""
    for name in ("IBCORE_OUTPUT", "IBCORE_DATA"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())


def _connection(folder: str) -> Config:
    """Let a kernel talk through sockets in a folder.

    Of several kernels that start at once, two may pick the same free TCP port. TCP is left where
    the path is too long for a socket.
    """
    place = f"{folder}/kernel"
    return Config({"KernelManager": {"transport": "ipc", "ip": place}} if len(place) < 90 else {})


def _failure(notebook: str, failed: Path, what: str) -> str:
    """What happened in the last cell that was started, with its number in the source."""
    started = [
        cell
        for cell in nbformat.read(failed, as_version=4).cells
        if cell.metadata.get("papermill", {}).get("start_time")
        and "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    lines = _first_lines(started[-1].source)
    kept = f"it is kept as {os.path.relpath(failed)}"
    return f"{notebook}: cell {len(started)} {what}\n{lines}\n{kept}"


def is_complete(made: nbformat.NotebookNode) -> bool:
    """Whether Papermill noted of every code cell of a notebook that it was run without error.

    When a kernel dies, it calls also those cells completed that were never started.
    """
    notes = [cell.metadata.get("papermill", {}) for cell in made.cells if cell.cell_type == "code"]
    return all(
        note.get("status") == "completed" and note.get("exception") is False for note in notes
    )


@contextmanager
def _standard_error_in(log: Path) -> Iterator[TextIO]:
    """Send what this process and the kernels it starts print as errors into a file.

    A kernel repeats there, unsorted, what it also sends as messages. Yields the terminal.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with open(log, "wb") as file, os.fdopen(os.dup(terminal), "w") as stream:
        os.dup2(file.fileno(), 2)
        try:
            yield stream
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _first_lines(text: str, count: int = 6) -> str:
    return "\n".join(f"    {line}" for line in text.strip().splitlines()[:count])


# ---------------------------------------------------------------- overview


def _rows(profile: str):
    for notebook in notebooks():
        manifest = results.read_manifest(profile, notebook)
        if manifest:
            yield notebook, manifest


def index_markdown(profile: str) -> str:
    """Every figure and table of a profile with its caption, as Markdown."""
    parts = [f"# Figures and tables of the {profile} profile\n"]
    parts.append("Verdicts on the documents' claims: [claims.md](claims.md).\n")
    for notebook, manifest in _rows(profile):
        parts.append(f"## {notebook}\n")
        for entry in manifest["outputs"]:
            place = f"{notebook}/{entry['name']}"
            if entry["kind"] == "figure":
                parts.append(f"![{entry['name']}]({place}.png)\n\n{entry['caption']}\n")
            else:
                parts.append(f"Table [{entry['name']}]({place}.md). {entry['caption']}\n")
    return "\n".join(parts)


def index_html(profile: str) -> str:
    """The same overview as one HTML page that needs nothing but the files beside it."""
    links = [f"<a href='#{notebook}'>{notebook}</a>" for notebook, _ in _rows(profile)]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Information bottleneck: the {html.escape(profile)} profile</title>",
        "<style>body{font:16px/1.5 sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}",
        "img{max-width:100%}table{border-collapse:collapse;font-size:.85rem;display:block;",
        "overflow-x:auto}td,th{border-bottom:1px solid #ccc;padding:.3rem .6rem;",
        "text-align:left;vertical-align:top}figure{margin:1.5rem 0}figcaption{color:#444}",
        "</style></head><body>",
        f"<h1>Figures and tables of the {html.escape(profile)} profile</h1>",
        f"<p>{' · '.join(links)}</p>",
        "<h2>Verdicts</h2>",
        _html_table(_decided(profile)),
    ]
    for notebook, manifest in _rows(profile):
        parts.append(f"<h2 id='{notebook}'>{notebook}</h2>")
        for entry in manifest["outputs"]:
            name, caption = entry["name"], html.escape(entry["caption"])
            if entry["kind"] == "figure":
                parts.append(
                    f"<figure><img src='{notebook}/{name}.png' alt='{caption}'>"
                    f"<figcaption>{caption}</figcaption></figure>"
                )
            else:
                table = results.load_table(profile, notebook, name)
                shown = _html_table(table, max_rows=30)
                parts.append(
                    f"<details><summary>Table {name}. {caption}</summary>{shown}"
                    f"<p><a href='{notebook}/{name}.csv'>CSV</a></p></details>"
                )
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _html_table(table: pd.DataFrame, **options) -> str:
    with pd.option_context("display.max_colwidth", None):
        return table.to_html(
            index=False, border=0, float_format="{:.3f}".format, na_rep="", **options
        )


def _decided(profile: str) -> pd.DataFrame:
    from ibcore import claims  # SciPy's statistics take a second to import

    table = claims.collect(profile)
    table["seeds"] = table["seeds"].map("{:.0f}".format, na_action="ignore")
    shown = ["claim", "verdict", "statistic", "seeds", "notebook", "data", "statement"]
    return table[shown].astype(object)


def claims_markdown(profile: str) -> str:
    """The verdict table of a profile as Markdown."""
    table = _decided(profile).fillna("")
    return (
        f"# Verdicts of the {profile} profile\n\n"
        "Every claim of the five documents, and of the dispute before them (SZT). The rule behind\n"
        "each verdict is described in `data/published/claims.csv` and implemented in\n"
        "`ibcore/claims/`; intervals are 95% Student intervals over seeds (over pictures where\n"
        f"the weights are given: MT-1, MT-2).\n\n{table.to_markdown(index=False)}\n"
    )


def write_index(profile: str) -> str:
    """Write the overview of a profile; returns the summary that is printed."""
    folder = results.figures_folder(profile)
    results.write_atomically(folder / "index.md", index_markdown(profile))
    results.write_atomically(folder / "index.html", index_html(profile))
    results.write_atomically(folder / "claims.md", claims_markdown(profile))
    table = _decided(profile)
    decided = table[~table["verdict"].str.startswith("not run")].fillna("")
    lines = [""]
    if len(decided):
        lines.append(decided[["claim", "verdict", "notebook"]].to_markdown(index=False))
    missing = len(table) - len(decided)
    lines.append(f"{missing} claim{' is' if missing == 1 else 's are'} not run in this profile")
    shown = os.path.relpath(folder)
    lines.append(f"Look at {shown}/index.html, {shown}/index.md and {shown}/claims.md")
    return "\n".join(lines)


MARKS = "<!-- verdicts, written by make report -->", "<!-- end of verdicts -->"


def best_verdicts(*preferred: str) -> pd.DataFrame:
    """Decided claims of the first of some profiles, and those that it lacks of the next ones.

    Without names they are the paper and the laptop profile.
    """
    from ibcore import claims

    found = []
    for profile in preferred or ("paper", "laptop"):
        table = claims.collect(profile)
        table = table[~table["verdict"].str.startswith("not run")]
        known = set().union(*(part["claim"] for part in found))
        found.append(table[~table["claim"].isin(known)])
    order = claims.published()["claim"].tolist()
    both = pd.concat(found, ignore_index=True)
    return both.sort_values("claim", key=lambda column: column.map(order.index), kind="stable")


def told_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of which no two have the same claim, notebook and ``data``.

    Where a notebook decides a claim twice on the same data, the beginning of the statistic, up to
    the first colon, says how and is added to the data.
    """
    twice = table.duplicated(["claim", "profile", "notebook", "data"], keep=False)
    data = [
        f"{row.data}, {row.statistic.partition(':')[0]}" if again else row.data
        for row, again in zip(table.itertuples(), twice, strict=True)
    ]
    return table.assign(data=data)


def _by_verdict(part: pd.DataFrame) -> str:
    """The verdicts on one claim, each with the data and the notebooks that gave it."""
    lines = []
    for verdict, same in told_apart(part).groupby("verdict", sort=False):
        places = []
        for data, names in same.groupby("data", sort=False)["notebook"]:
            links = ", ".join(f"[{name[:2]}](notebooks/{name}.ipynb)" for name in names.unique())
            places.append(f"{data} ({links})")
        lines.append(f"**{verdict}**: {'; '.join(places)}")
    return "<br>".join(lines)


def readme_with_verdicts(text: str) -> str:
    """The README with its table of verdicts made anew from the committed figures.

    Raises ValueError if the marks around the table are missing.
    """
    from ibcore import claims

    start, end = (text.find(mark) for mark in MARKS)
    if start < 0 or end < start:
        raise ValueError(f"README.md lacks the marks {MARKS[0]} and {MARKS[1]}")
    rows = []
    found = dict(list(best_verdicts().groupby("claim")))
    for claim in claims.published().itertuples():
        part = found.get(claim.claim)
        verdict = "not run yet" if part is None else _by_verdict(part)
        profile = "" if part is None else part["profile"].iloc[0]
        rows.append((claim.claim, claim.statement, verdict, profile))
    table = pd.DataFrame(rows, columns=["claim", "statement", "verdicts", "profile"])
    block = f"\n\n{table.to_markdown(index=False)}\n\n"
    return text[: start + len(MARKS[0])] + block + text[end:]


def _write_readme(arguments) -> None:
    if results.output_root() != SOURCES.parent:
        _say("README.md is left as it is: it tells the verdicts of the checkout's own figures")
        return
    path = SOURCES.parent / "README.md"
    results.write_atomically(path, readme_with_verdicts(path.read_text()))


# ---------------------------------------------------------------- pairs


def _cells(notebook) -> list[tuple]:
    return [
        (cell.cell_type, cell.source.rstrip(), tuple(cell.metadata.get("tags", ())))
        for cell in notebook.cells
        if "injected-parameters" not in cell.metadata.get("tags", ())
    ]


def has_cells_of_source(notebook: str, made: nbformat.NotebookNode) -> bool:
    """Whether a notebook has the cells of its source, apart from what Papermill adds."""
    return _cells(made) == _cells(jupytext.read(source(notebook)))


def differing_pairs() -> list[str]:
    """Notebooks whose committed ``.ipynb`` is missing or has other cells than its source."""
    different = []
    for name in notebooks():
        paired = SOURCES / f"{name}.ipynb"
        if not paired.exists():
            different.append(name)
            continue
        if not has_cells_of_source(name, nbformat.read(paired, as_version=4)):
            different.append(name)
    return different


def pair(notebook: str) -> Path:
    """Make the committed notebook: the source's cells with the outputs of a fresh smoke run.

    Execution times, machine-dependent metadata and progress bars are left out.
    """
    executed = nbformat.read(execute(notebook, "smoke"), as_version=4)
    cells = []
    for cell in executed.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            continue
        cell.metadata = {"tags": tags} if tags else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        cells.append(cell)
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    made.metadata["language_info"] = {"name": "python"}
    made.metadata["jupytext"] = {"formats": "ipynb,py:percent"}
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number:02d}"
    code = [cell for cell in made.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):  # nbval refuses outputs of cells without a count
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
            if "image/png" in output.get("data", {}):
                picture = base64.b64decode(output["data"]["image/png"])
                small = results.with_palette(picture)
                output["data"]["image/png"] = base64.b64encode(small).decode()
    path = SOURCES / f"{notebook}.ipynb"
    results.write_atomically(path, nbformat.writes(made) + "\n")
    return path


# ---------------------------------------------------------------- teaching


def without_solutions(notebook: str) -> nbformat.NotebookNode:
    """A notebook, not executed, with an empty cell in place of the solutions."""
    made = jupytext.read(source(notebook))
    made.metadata.pop("jupytext")  # it would be paired with a new source
    solutions = [cell for cell in made.cells if "solution" in cell.metadata.get("tags", ())]
    place = made.cells.index(solutions[0])
    made.cells = [cell for cell in made.cells if cell not in solutions]
    made.cells.insert(place, nbformat.v4.new_code_cell("# your answers"))
    return made


def write_student_notebooks() -> Path:
    """Write all notebooks without their solutions; returns their folder, made anew."""
    folder = results.build_folder("student")
    shutil.rmtree(folder, ignore_errors=True)
    for name in notebooks():
        text = nbformat.writes(without_solutions(name))
        results.write_atomically(folder / f"{name}.ipynb", text + "\n")
    return folder


# ---------------------------------------------------------------- command line


def _say(line: str) -> None:
    """Print a line in one piece, so that notebooks that run side by side do not share one."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _run(arguments) -> None:
    chosen = arguments.chosen.split() if arguments.chosen else [arguments.notebook]
    position = chosen.index(arguments.notebook) + 1
    label = f"[{position} of {len(chosen)}] {arguments.notebook}"
    _say(f"{label}: started, profile {arguments.profile}")
    started = time.monotonic()
    execute(arguments.notebook, arguments.profile, seed=arguments.seed)
    _say(f"{label}: done in {time.monotonic() - started:.0f} s")


def settings() -> str:
    """The data files at hand, as text: what notebooks depend on beside their sources."""
    folders = [datasets.raw_folder()]
    if os.environ.get("IBCORE_DATA"):
        folders.insert(0, Path(os.environ["IBCORE_DATA"]).expanduser())
    lines = []
    for folder in folders:
        for path in sorted(folder.glob("**/*")) if folder.is_dir() else ():
            name = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in name.parts)
            if path.is_file() and not hidden and path.suffix not in (".lock", ".json"):
                lines.append(f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}")
        lines.append("--")
    return "\n".join(lines)


def _pair(arguments) -> None:
    for name in arguments.notebooks or notebooks():
        _say(f"paired {pair(name).name}")


def _check(arguments) -> None:
    different = differing_pairs()
    if different:
        raise RuntimeError(f"run `make pair`: other cells than the source: {', '.join(different)}")


def main(arguments: list[str] | None = None) -> int:
    """Command line; a failure names the notebook, the cell and the error, and where to look."""
    parser = argparse.ArgumentParser(prog="python -m ibcore.reproduce", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    run = commands.add_parser("run", help="execute one notebook")
    run.add_argument("notebook")
    run.add_argument("--profile", default="laptop")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--chosen", help="all notebooks of this command, to say n of N")
    run.set_defaults(function=_run)
    index = commands.add_parser("index", help="write the overview of a profile")
    index.add_argument("--profile", choices=profiles.NAMES, default="laptop")
    index.set_defaults(function=lambda given: print(write_index(given.profile)))
    paired = commands.add_parser("pair", help="make the committed notebooks")
    paired.add_argument("notebooks", nargs="*")
    paired.set_defaults(function=_pair)
    readme = commands.add_parser("readme", help="write the verdicts into README.md")
    readme.set_defaults(function=_write_readme)
    student = commands.add_parser("student", help="write notebooks without solutions")
    student.set_defaults(
        function=lambda given: print(f"in {os.path.relpath(write_student_notebooks())}")
    )
    listed = commands.add_parser("settings", help="list the data files at hand")
    listed.set_defaults(function=lambda given: print(settings()))
    commands.add_parser("check", help="compare notebooks and sources").set_defaults(function=_check)
    given = parser.parse_args(arguments)
    try:
        given.function(given)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # the kernel's client would show its tasks
        kept = "finished runs and checkpoints are kept, the same command goes on from there"
        print(f"interrupted: {kept}", file=sys.stderr, flush=True)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
