"""The check of the notebooks' outputs can fail: a changed estimator turns the checked cell red."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
CHECK = "nbval-check-output"

# A family of estimators, a constant in its file, and another value for it.
CHANGES = {
    "KDE": ("kde.py", "2 * noise_sd", "3 * noise_sd"),
    "KSG": ("nearest_neighbour.py", "digamma(k) + digamma(n)", "digamma(k + 1) + digamma(n)"),
    "nearest": ("nearest_neighbour.py", "digamma(n) - digamma(k)", "digamma(n) - digamma(k + 1)"),
    "binned": ("binning.py", ".floor_()", ".round_()"),
    "Rényi": ("matrix_renyi.py", "alpha=1.01", "alpha=2.0"),
}


def _without_pictures(source):
    """The statements of a cell that do not draw."""
    drawing = re.compile(r"\bplotting\.|\bchapter\.figure\(|\bexplore\(")
    statements = [ast.unparse(node) for node in ast.parse(source).body]
    return "\n".join(text for text in statements if not drawing.search(text))


def _cut(notebook):
    """Keep the code up to the checked cell, without its pictures; that cell's place."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    place = [CHECK in cell.metadata.get("tags", []) for cell in code].index(True)
    for cell in code[:place]:
        cell.source = _without_pictures(cell.source)
    notebook.cells = code[: place + 1]
    return place


def _check(folder, name, changes=()):
    """Run nbval on a committed notebook beside a copy of the package with changed constants.

    Returns the places of the failing cells, the place of the checked one, and the checked lines
    that came out different.
    """
    shutil.copytree(CHECKOUT / "ibcore", folder / "ibcore")
    for family in changes:
        file, before, after = CHANGES[family]
        path = folder / "ibcore" / "estimators" / file
        source = path.read_text()
        assert before in source, f"{file} holds no {before!r} that could be changed"
        path.write_text(source.replace(before, after))
    notebook = nbformat.read(CHECKOUT / "notebooks" / f"{name}.ipynb", as_version=4)
    place = _cut(notebook)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-vv", "--color=no", "-p", "no:cacheprovider"),
            *("-p", "no:xdist", "--nbval-lax", "--nbval-current-env", f"{name}.ipynb"),
        ],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(folder),
            "IBCORE_OUTPUT": str(folder / "output"),
            "IBCORE_STATIC": "1",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == (1 if "FAILED" in process.stdout else 0), process.stdout
    assert len(re.findall(r"::Cell \d+ (?:PASSED|FAILED)", process.stdout)) == place + 1
    failed = [int(cell) for cell in re.findall(r"::Cell (\d+) FAILED", process.stdout)]
    differing = re.findall(r"^  - (.*)$", process.stdout, re.MULTILINE)
    return failed, place, differing


def test_only_the_notebooks_are_executed_and_not_their_scripts():
    process = subprocess.run(
        [*(sys.executable, "-m", "pytest", "--collect-only", "-q"), *("--nbval-lax", "notebooks/")],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = {line.partition("::")[0] for line in process.stdout.splitlines() if "::" in line}
    assert files == {f"notebooks/{path.name}" for path in CHECKOUT.glob("notebooks/[0-9]*.ipynb")}


@pytest.mark.slow
def test_the_unchanged_package_passes(tmp_path):
    assert _check(tmp_path, "00_estimators")[0] == []


@pytest.mark.slow
def test_every_changed_estimator_is_seen(tmp_path):
    failed, place, differing = _check(tmp_path, "00_estimators", CHANGES)
    assert failed == [place]
    unseen = {
        family for family in CHANGES if not any(line.startswith(family) for line in differing)
    }
    assert not unseen, f"no checked line of 00_estimators tells a change of {unseen}"


@pytest.mark.slow
def test_changed_bins_are_seen_in_the_information_plane(tmp_path):
    failed, place, differing = _check(tmp_path, "01_szt_saxe", ["binned"])
    assert failed == [place]
    assert any(line.startswith("binning") for line in differing), differing
