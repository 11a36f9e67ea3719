"""The book: a static site from the executed notebooks, the verdicts and the docstrings.

``python -m ibcore.book --profile laptop`` gathers the pages of ``book/``, the notebooks as this
profile has executed them and tables of verdicts in ``build/book/source``, and has Sphinx make
``build/book/html`` of it. Nothing is fetched, neither while building nor while reading: MathJax,
which draws the formulas, is part of the site.
"""

import argparse
import html
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import resources
from pathlib import Path
from types import ModuleType

import nbformat
import pandas as pd

import ibcore
from ibcore import claims, profiles, reproduce, results

PAGES = reproduce.SOURCES.parent / "book"
FOLDED = "<details class='solutions'><summary>Solutions</summary>\n\n{}\n\n</details>"
COLUMNS = ("claim", "source", "verdict", "statistic", "figure", "profile", "data")


# ---------------------------------------------------------------- verdicts


def verdicts(profile: str) -> pd.DataFrame:
    """Every claim: its verdicts in the paper profile, else those in the given one, else *not run*.

    The columns are those of ``ibcore.claims.collect`` and ``decided_by``.
    """
    decided = reproduce.best_verdicts("paper", profile)
    all_claims = claims.collect(profile)
    missing = all_claims[~all_claims["claim"].isin(decided["claim"])]
    table = pd.concat([decided, missing.assign(profile="")], ignore_index=True)
    rules = claims.published().set_index("claim")["decided_by"]
    order = rules.index.tolist()
    table = table.sort_values("claim", key=lambda names: names.map(order.index), kind="stable")
    return table.assign(decided_by=table["claim"].map(rules)).astype(object).fillna("")


def _figures() -> dict[tuple[str, str], str]:
    """Claim and notebook to the name of the figure that shows it."""
    table = results.read_csv(PAGES / "figures.csv")
    return {(row.claim, row.notebook): row.figure for row in table.itertuples()}


def _figure(row, figures) -> Path | None:
    name = figures.get((row.claim, row.notebook))
    path = results.figures_folder(row.profile or "-", row.notebook) / f"{name}.png"
    return path if path.exists() else None


def _cells(row, figures, root: str) -> dict[str, str]:
    """The cells of one verdict as HTML, by column."""
    escaped = {key: html.escape(str(value)) for key, value in row._asdict().items()}
    links = []
    if path := _figure(row, figures):
        place = path.relative_to(results.output_root())
        links.append(f"<a href='{root}{place}'>{path.stem}</a>")
    if row.notebook:
        page = f"{root}notebooks/{row.notebook}.html"
        links.append(f"<a href='{page}'>notebook {row.notebook[:2]}</a>")
    kind = row.verdict.split()[0]
    return {
        **escaped,
        "claim": f"<b>{row.claim}</b> <span class='statement'>{escaped['statement']}</span>",
        "source": f"{escaped['source']}, {escaped['where']}",
        "verdict": f"<span class='verdict {kind}'>{escaped['verdict']}</span>",
        "statistic": escaped["statistic"] + (f"; seeds: {row.seeds:.0f}" if row.seeds else ""),
        "figure": ", ".join(links),
    }


def verdict_table(table: pd.DataFrame, *, root: str = "", rules: bool = False) -> str:
    """Verdicts as HTML that becomes cards on narrow screens.

    Parameters
    ----------
    table : DataFrame
        Of ``verdicts``.
    root : str
        Way from the page to the root of the site, such as ``"../"``.
    rules : bool
        Add below how each claim is decided.
    """
    figures = _figures()
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    parts = [f"<table class='verdicts'><thead><tr>{head}</tr></thead><tbody>"]
    for row, again in zip(table.itertuples(), table.duplicated("claim"), strict=True):
        cells = _cells(row, figures, root)
        if again:
            cells |= {"claim": f"<b>{row.claim}</b>", "source": ""}
        parts.append("<tr>")
        parts += [f"<td data-label='{c}'>{cells[c]}</td>" for c in COLUMNS]
        parts.append("</tr>")
    parts.append("</tbody></table>")
    if rules:
        parts.append("<details><summary>How each claim is decided</summary><dl>")
        for row in table.drop_duplicates("claim").itertuples():
            parts.append(f"<dt>{row.claim}</dt><dd>{html.escape(row.decided_by)}</dd>")
        parts.append("</dl></details>")
    return "\n".join(parts) + "\n"


def costs() -> pd.DataFrame:
    """Number of runs and their seconds, from the committed figures of both larger profiles."""
    rows = []
    for profile in ("laptop", "paper"):
        for path in sorted(results.figures_folder(profile).glob("*/manifest.json")):
            runs = json.loads(path.read_text())["runs"]
            seconds = [run["seconds"] for run in runs]
            devices = ", ".join(sorted({run["device"] for run in runs}))
            row = (path.parent.name, profile, devices, len(runs))
            rows.append((*row, f"{sum(seconds):.0f}", f"{max(seconds, default=0):.0f}"))
    columns = ["notebook", "profile", "device", "runs", "seconds, all runs", "longest run"]
    return pd.DataFrame(rows, columns=columns)


# ---------------------------------------------------------------- notebooks


def executed(notebook: str, profile: str) -> tuple[nbformat.NotebookNode, str]:
    """A notebook with outputs, and the profile in which it was executed.

    It is that of the given profile if it is readable, came to its end and has the cells of its
    source, else the committed one, which is of the smoke profile.
    """
    path = results.executed_notebook(profile, notebook)
    with suppress(OSError, ValueError):  # nbformat's own errors are ValueErrors
        found = nbformat.read(path, as_version=4)
        if reproduce.is_complete(found) and reproduce.has_cells_of_source(notebook, found):
            return found, profile
    return nbformat.read(reproduce.SOURCES / f"{notebook}.ipynb", as_version=4), "smoke"


def chapter(notebook: str, profile: str) -> nbformat.NotebookNode:
    """A notebook as the book shows it: it names its profile, and its solutions are folded."""
    made, used = executed(notebook, profile)
    for cell in made.cells:
        if "solution" in cell.metadata.get("tags", ()):
            if cell.cell_type == "markdown":
                cell.source = FOLDED.format(cell.source)
            else:
                cell.metadata["tags"].append("hide-cell")
    made.cells.insert(1, nbformat.v4.new_markdown_cell(f"*Executed in the {used} profile.*"))
    return made


# ---------------------------------------------------------------- reference


def public_modules() -> list[str]:
    """Modules for the reference, by name.

    A package that lists its names in ``__all__`` stands for its modules too, apart from those
    that it lists as well.
    """
    found = ["ibcore"]
    for module in pkgutil.walk_packages(ibcore.__path__, "ibcore."):
        above, _, name = module.name.rpartition(".")
        package = importlib.import_module(above)
        listed = getattr(package, "__all__", [name])
        is_module = isinstance(getattr(package, name, package), ModuleType)
        if above in found and name in listed and is_module and not name.startswith("_"):
            found.append(module.name)
    return found[1:]


def _reference(folder: Path) -> None:
    """Write one page per public module, and a list of them."""
    modules = public_modules()
    listed = "\n".join(modules)
    index = f"# API reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    results.write_atomically(folder / "index.md", index)
    for name in modules:
        page = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        results.write_atomically(folder / f"{name}.md", page)


# ---------------------------------------------------------------- building


def gather(profile: str) -> Path:
    """Write the sources that Sphinx reads; returns their folder, made anew."""
    folder = results.build_folder("book") / "source"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PAGES, folder)
    for name in reproduce.notebooks():
        text = nbformat.writes(chapter(name, profile))
        results.write_atomically(folder / "notebooks" / f"{name}.ipynb", text)
    _reference(folder / "api")
    mathjax = resources.files("mathjax") / "static" / "mathjax" / "es5" / "tex-svg.js"
    results.write_atomically(folder / "static" / "mathjax.js", mathjax.read_bytes())
    root = reproduce.SOURCES.parent
    for name, file in {"readme.md": "README.md", "data.md": "data/README.md"}.items():
        results.write_atomically(folder / "generated" / name, (root / file).read_bytes())
    table = verdicts(profile)
    decided = table[table["profile"] != ""]["claim"].nunique()
    told = f"<p>{decided} of {table['claim'].nunique()} claims have been run.</p>\n"
    results.write_atomically(folder / "generated" / "all.html", told + verdict_table(table))
    for group, part in table.groupby(table["claim"].str.split("-").str[0]):
        text = verdict_table(part, root="../", rules=True)
        results.write_atomically(folder / "generated" / f"{group}.html", text)
    times = f"<div class='wide'>{costs().to_html(index=False, border=0)}</div>\n"
    results.write_atomically(folder / "generated" / "costs.html", times)
    figures = _figures()
    (folder / "extra").mkdir()
    for path in {_figure(row, figures) for row in table.itertuples()} - {None}:
        copy = folder / "extra" / path.relative_to(results.output_root())
        results.write_atomically(copy, path.read_bytes())
    return folder


def build(profile: str) -> Path:
    """Make the site of a profile; returns its first page.

    Raises ValueError for an unknown profile, and RuntimeError with what Sphinx says if it fails or
    warns.
    """
    profiles.read(profile)
    source = gather(profile)
    site = source.parent / "html"
    shutil.rmtree(site, ignore_errors=True)
    options = ["-q", "-W", "--keep-going", "-d", source.parent / "doctrees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, source, site],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"Sphinx could not make the book of {profile}:\n{done.stderr}")
    return site / "index.html"


def main(arguments: list[str] | None = None) -> int:
    """Command line; a failure is one message on standard error and the status 1."""
    parser = argparse.ArgumentParser(prog="python -m ibcore.book", description="Make the book.")
    parser.add_argument("--profile", default="laptop")
    given = parser.parse_args(arguments)
    try:
        print(f"Look at {os.path.relpath(build(given.profile))}")
    except (ValueError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
