"""Pages that are kept in the repository and made by ``make report``.

``notebooks/start.ipynb``, on which JupyterLab opens, lists the notebooks with what their first
cells say of themselves. ``figures/paper/STATUS.md`` says which notebooks have been run with the
documents' own settings, and what the others need. ``python -m ibcore.pages`` writes both.
"""

import argparse
import os
import re
import sys
from fnmatch import fnmatch

import jupytext
import nbformat
import pandas as pd

from ibcore import datasets, profiles, reproduce, results

BOOK = reproduce.SOURCES.parent / "book"
START = reproduce.SOURCES / "start.ipynb"

# ---------------------------------------------------------------- what notebooks say


def chapters() -> dict[str, list[str]]:
    """Title of every chapter of the book, in their order, to its notebooks."""
    found = {}
    for name in re.findall(r"^(chapters/\w+)$", (BOOK / "index.md").read_text(), re.MULTILINE):
        text = (BOOK / f"{name}.md").read_text()
        wanted = re.findall(r"^\.\./notebooks/(\S+)$", text, re.MULTILINE)
        title = text.partition("\n")[0].removeprefix("# ")
        found[title] = [
            notebook
            for notebook in reproduce.notebooks()
            if any(fnmatch(notebook, pattern) for pattern in wanted)
        ]
    return found


def told(notebook: str) -> dict[str, str]:
    """What the first cell of a notebook says of it.

    Returns
    -------
    dict
        ``title``, what one will ``learn``, and the runtimes ``smoke``, ``laptop`` and ``paper``
        without what stands in brackets.

    Raises
    ------
    ValueError
        For an unknown notebook, or one whose first cell leaves one of them out.
    """
    text = jupytext.read(reproduce.source(notebook)).cells[0].source
    paragraphs = " ".join(text.replace("\n\n", "\r").split("\n")).replace("\r", "\n")
    patterns = (
        r"^# \d+ (?P<title>.+)$",
        r"^\*\*You will learn\*\* (?P<learn>.+)\.$",
        r"smoke (?P<smoke>.+?), laptop (?P<laptop>.+?)[,;] paper (?P<paper>.+)\.$",
    )
    found = {}
    for pattern in patterns:
        match = re.search(pattern, paragraphs, re.MULTILINE)
        if match is None:
            raise ValueError(f"the first cell of {notebook} has no line like {pattern!r}")
        found |= match.groupdict()
    for profile in profiles.NAMES:
        found[profile] = re.sub(r"\([^)]*\)", "", found[profile]).strip()
    return found


def _markdown(rows: list[dict]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


# ---------------------------------------------------------------- start page

WELCOME = """\
# The information bottleneck in deep networks

Do neural networks compress what they know about their input while they learn? Each notebook is one
experiment: question, run, figures, verdicts, exercises with solutions. Open one by its number and
run it from top to bottom (*Run*, *Run All Cells*).

**Other settings.** A notebook starts in the profile `smoke`, which needs seconds and no data. For
results worth reading write `profile = "laptop"` into its second code cell; `paper` stands for the
documents' own settings. Runs are stored and never computed twice, so `make reproduce
PROFILE=laptop ONLY=01`, given once in a terminal, lets notebook 01 open at once. Any value of a run
can be changed too: `dataclasses.replace(config, epochs=300)` makes another configuration.

**Sliders.** The last section before the exercises, *Try it*, draws one picture from the stored runs
and has a slider for every choice: estimator, bin width, noise variance, layer, epoch. Drag them, or
click one and use the arrow keys. Cells above it have to be run first. (In 00 the sliders are under
*Why a deterministic network has infinite I(X;T)*.)

**Where to begin.** Estimators: 00. The dispute: 01. All estimators on the same networks: 17. A
course of six lectures is in `teaching/README.md`."""


def start_page() -> nbformat.NotebookNode:
    """The notebook on which JupyterLab opens: how to begin, and a table per chapter of the book."""
    parts = [WELCOME]
    for title, names in chapters().items():
        rows = []
        for name in names:
            said = told(name)
            rows.append(
                {
                    "notebook": f"[{name[:2]}]({name}.ipynb)",
                    "you will learn": f"**{said['title']}**<br>{said['learn']}",
                    **{profile: said[profile] for profile in profiles.NAMES},
                }
            )
        parts.append(f"## {title}\n\n{_markdown(rows)}")
    parts.append("*Times are those on two cores. Written by `make report`.*")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text) for text in parts])
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number:02d}"
    made.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return made


# ---------------------------------------------------------------- paper profile

HEAD = """\
# The paper profile, notebook by notebook

The documents' own settings. Written by `make report` from the profile, the notebooks and the
records beside the committed figures; nothing here depends on the machine.

A notebook is run by its command in the table. It need not be computed in one go: finished runs are
in the run store, a run under way keeps a checkpoint (at most every 30 seconds), and the same
command goes on where it stopped. On a machine that is lent for ten minutes at a time, give this
until it says that the notebook is done:

```sh
timeout --signal=INT 9m make reproduce PROFILE=paper ONLY=13
```

The lines that it prints meanwhile say how many runs are finished and how far the present one is.
The time of a notebook that has been run is the sum over its runs; where two were computed at once,
the clock showed about half. It is at least what the records say: what an interrupted run took
after its last checkpoint is in none of them. A commit that is "changed" had uncommitted changes.
Two ranges of seeds, such as "0-5, 0-2": some runs have fewer.
"""


def _values(notebook: str) -> list[dict]:
    """The values of every run of a notebook in the paper profile."""
    section = profiles.section("paper", notebook)
    return [section.get("common", {}) | (run or {}) for run in section["runs"].values()]


def _seeds(first: int, runs: list[dict]) -> str:
    """First and last seed of a notebook, such as "0-9"; "0-5, 0-2" if some runs have fewer seeds.

    Runs that name their first seed are the replicas of one experiment and counted together.
    """
    groups = {}
    for run in runs:
        start = first + run.get("first", 0)
        count = run.get("replicas", run.get("repeats", 1))
        group = "named" if "first" in run else count
        groups.setdefault(group, []).extend((start, start + count - 1))
    spans = ((min(seeds), max(seeds)) for seeds in groups.values())
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _row_of_run(manifest: dict, values: list[dict]) -> dict:
    runs = pd.DataFrame(manifest["runs"])
    commits = runs["commit"] + runs["dirty"].eq(True).map({True: ", changed", False: ""})
    seconds = runs["seconds"].sum()
    amount = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
    sources = (runs["data"] + " (" + runs["source"] + ")").unique()
    left_out = f", {len(runs)} of {len(values)} runs: the other weights were not at hand"
    return {
        "state": "run" + left_out * (len(runs) < len(values)),
        "device": ", ".join(runs["device"].unique()),
        "data (source)": ", ".join(sources),
        "seeds": _seeds(manifest["seed"], values),
        "commit": "; ".join(commits.unique()),
        "time": f"at least {amount} in {len(runs)} run{'s' * (len(runs) > 1)}",
    }


def _row_of_wish(notebook: str, values: list[dict]) -> dict:
    used = {run["dataset"]: None for run in values if "dataset" in run}
    titles = [datasets.title(name) for name in used]
    by_hand = [datasets.title(name) for name in used if datasets.is_by_hand(name)]
    on_gpu = any(run.get("device") == "auto" and run.get("model") != "mlp" for run in values)
    reasons = ["a GPU is wanted"] * on_gpu
    reasons += [f"files to be fetched by hand: {', '.join(by_hand)}"] * bool(by_hand)
    return {
        "state": f"not run: {'; '.join(reasons) or 'computing time only'}",
        "device": "GPU" if on_gpu else "CPU",
        "data (source)": ", ".join(titles) or "generated",
        "seeds": _seeds(0, values),
        "commit": "",
        "time": told(notebook)["paper"],
    }


def status() -> str:
    """Which notebooks have been run in the paper profile and what the others need, as Markdown."""
    rows = []
    for notebook in reproduce.notebooks():
        manifest, values = results.read_manifest("paper", notebook), _values(notebook)
        row = _row_of_run(manifest, values) if manifest else _row_of_wish(notebook, values)
        command = f"`make reproduce PROFILE=paper ONLY={notebook[:2]}`"
        rows.append({"notebook": notebook, **row, "command": command})
    done = sum(row["state"].startswith("run") for row in rows)
    return f"{HEAD}\n{done} of {len(rows)} notebooks have been run.\n\n{_markdown(rows)}\n"


def main(arguments: list[str] | None = None) -> int:
    """Write both pages and say where they are."""
    description = "Write notebooks/start.ipynb and figures/paper/STATUS.md."
    parser = argparse.ArgumentParser(prog="python -m ibcore.pages", description=description)
    parser.parse_args(arguments)
    pages = {
        START: nbformat.writes(start_page()) + "\n",
        results.figures_folder("paper") / "STATUS.md": status(),
    }
    for path, text in pages.items():
        results.write_atomically(path, text)
    print(f"Wrote {' and '.join(os.path.relpath(path) for path in pages)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
