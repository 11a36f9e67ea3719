"""Make the virtual environment of the project; needs nothing but Python 3.11 or newer.

``python3 tools/environment.py .venv`` installs the exact pins of requirements.lock and this
package into .venv and writes .venv/.complete last, so that an interrupted installation starts anew.
Two of these at once wait for each other. ``python3 tools/environment.py --lock`` (inside the
environment) rewrites requirements.lock from what is installed; ``--active`` checks that the active
environment has everything.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
HEAD = "# Exact versions that make uses. Rewritten by: python tools/environment.py --lock\n"


def create(folder: Path) -> None:
    """Build the environment in ``folder`` unless it is complete and newer than its sources."""
    import fcntl

    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / ".complete"
        sources = [LOCK, ROOT / "pyproject.toml"]
        if complete.exists() and all(
            complete.stat().st_mtime >= source.stat().st_mtime for source in sources
        ):
            return
        print(f"installing into {folder.name} (once; several minutes)", flush=True)
        if not complete.exists():
            venv.create(folder, clear=True, with_pip=True)
        python = folder / "bin" / "python"
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", LOCK], check=True)
        subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT], check=True)
        complete.write_text("")


def _requirements() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for names in project["optional-dependencies"].values() for name in names]
    return ["pip", "setuptools", *project["dependencies"], *extras]


def _lacks(text: str) -> list[str]:
    """What is missing or has another version, of a requirement and of the extras it asks for."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    try:
        found = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return [text]
    if not requirement.specifier.contains(found, prereleases=True):
        return [f"{text} (found {found})"]
    lacking = []
    for needed in map(Requirement, importlib.metadata.requires(requirement.name) or ()):
        marker, needed.marker = needed.marker, None
        if marker and any(marker.evaluate({"extra": extra}) for extra in requirement.extras):
            lacking += _lacks(str(needed))
    return lacking


def check_active() -> None:
    """Leave with a message if the active environment lacks a requirement, else install ibcore."""
    missing = ["packaging"]
    if importlib.util.find_spec("packaging"):
        missing = [lack for requirement in _requirements() for lack in _lacks(requirement)]
    if missing:
        sys.exit(
            f"the active environment lacks {', '.join(missing)}; run\n"
            "  mamba env update --file environment.yml\n"
            "or deactivate it, then make builds .venv by itself"
        )
    try:
        importlib.metadata.version("ibcore")
    except importlib.metadata.PackageNotFoundError:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-build-isolation", "--editable", ROOT], check=True)


def write_lock() -> None:
    """Write the versions of everything installed, apart from this package."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    pins = sorted(
        re.sub(r"\+.*", "", pin) for pin in listed if not pin.startswith(("ibcore==", "pip=="))
    )
    LOCK.write_text(HEAD + "\n".join(pins) + "\n")


def main(arguments: list[str]) -> None:
    """Entry of the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file meets any Python
        sys.exit(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
    if arguments == ["--active"]:
        check_active()
    elif arguments == ["--lock"]:
        write_lock()
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        create(Path(arguments[0]).absolute())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    os.chdir(ROOT)
    main(sys.argv[1:])
