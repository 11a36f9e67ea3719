"""tools/environment.py: one build however often it is asked for, and pins that hold everything."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[1]
TOOL = CHECKOUT / "tools" / "environment.py"


class Project:
    """A checkout whose installations only leave a line in a file."""

    def __init__(self, folder, monkeypatch):
        spec = importlib.util.spec_from_file_location("environment", TOOL)
        self.tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tool)
        self.root, self.venv, self.calls = folder, folder / ".venv", folder / "calls.txt"
        self.lock, self.pyproject = folder / "requirements.lock", folder / "pyproject.toml"
        self.fails_on = None
        for path in (self.lock, self.pyproject):
            path.write_text("")
            os.utime(path, (1e9, 1e9))
        self.calls.write_text("")
        monkeypatch.setattr(self.tool, "ROOT", self.root)
        monkeypatch.setattr(self.tool, "LOCK", self.lock)
        monkeypatch.setattr(self.tool.venv, "create", self._create)
        monkeypatch.setattr(self.tool.subprocess, "run", self._run)

    def _create(self, folder, *, clear, with_pip):
        assert with_pip
        folder.mkdir(exist_ok=True)
        self._note("venv, clear" if clear else "venv")

    def _run(self, command, *, check):
        assert check
        assert command[:4] == [self.venv / "bin" / "python", "-m", "pip", "install"]
        what = "lock" if "--requirement" in command else "package"
        assert command[-1] == (self.lock if what == "lock" else self.root)
        self._note(what)
        if what == self.fails_on:
            raise subprocess.CalledProcessError(1, "pip")

    def _note(self, what):
        with open(self.calls, "a") as calls:
            calls.write(f"{what}\n")

    def build(self):
        """The steps of one call."""
        self.calls.write_text("")
        self.tool.create(self.venv)
        return self.calls.read_text().splitlines()


@pytest.fixture
def project(tmp_path, monkeypatch):
    return Project(tmp_path, monkeypatch)


def test_the_environment_is_built_once(project, capsys):
    assert project.build() == ["venv, clear", "lock", "package"]
    assert "installing into .venv" in capsys.readouterr().out
    assert project.build() == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("step", ["lock", "package"])
def test_an_interrupted_installation_starts_anew(project, step):
    project.fails_on = step
    with pytest.raises(subprocess.CalledProcessError):
        project.build()
    assert not (project.venv / ".complete").exists()
    project.fails_on = None
    assert project.build() == ["venv, clear", "lock", "package"]


@pytest.mark.parametrize("source", ["lock", "pyproject"])
def test_changed_pins_are_installed_into_the_same_environment(project, source):
    project.build()
    complete = project.venv / ".complete"
    os.utime(complete, (2e9, 2e9))
    os.utime(getattr(project, source), (2e9 + 1, 2e9 + 1))
    project.fails_on = "lock"
    with pytest.raises(subprocess.CalledProcessError):
        project.build()
    project.fails_on = None
    assert project.build() == ["lock", "package"]
    os.utime(getattr(project, source), (1e9, 1e9))
    assert project.build() == []


def test_completion_is_newer_than_changed_sources(project):
    project.build()
    complete = project.venv / ".complete"
    os.utime(complete, (1.1e9, 1.1e9))
    os.utime(project.lock, (1.2e9, 1.2e9))
    project.build()
    assert complete.stat().st_mtime > 1.2e9


BUILD_SLOWLY = """
import runpy, subprocess, sys, time, venv
from pathlib import Path

tool, root = sys.argv[1], Path(sys.argv[2])
create = runpy.run_path(tool)["create"]
create.__globals__.update(ROOT=root, LOCK=root / "requirements.lock")

def note(folder, **options):
    time.sleep(0.5)
    folder.mkdir()
    with open(root / "calls.txt", "a") as calls:
        calls.write("venv\\n")

venv.create = note
subprocess.run = lambda command, check: time.sleep(0.2)
create(root / ".venv")
"""


def test_two_processes_at_once_build_once(project, python):
    started = [python.start(BUILD_SLOWLY, TOOL, project.root) for _ in "ab"]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert project.calls.read_text() == "venv\n"
    assert (project.venv / ".complete").exists()


# ---------------------------------------------------------------- the active environment


def _installed(monkeypatch, tool, versions):
    """Let the tool see these versions beside those that are really installed."""
    real = importlib.metadata.version

    def version(name):
        found = versions.get(name, real(name) if name not in versions else None)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(tool.importlib.metadata, "version", version)


@pytest.fixture
def active(project, monkeypatch):
    """A project with the real requirements; its tool must not install anything."""
    project.pyproject.write_text((CHECKOUT / "pyproject.toml").read_text())

    def refuse(*command, **_):
        raise AssertionError(f"must not be run: {command}")

    monkeypatch.setattr(project.tool.subprocess, "run", refuse)
    return project


def test_a_complete_active_environment_is_left_alone(active, monkeypatch, capsys):
    _installed(monkeypatch, active.tool, {"ibcore": "0.1.0"})
    active.tool.main(["--active"])
    assert capsys.readouterr().out == ""


def test_local_versions_of_torch_count_as_the_pinned_one(active, monkeypatch):
    _installed(monkeypatch, active.tool, {"ibcore": "0.1.0", "torch": "2.13.0+cu130"})
    active.tool.check_active()


def test_missing_and_wrong_packages_are_named(active, monkeypatch):
    _installed(monkeypatch, active.tool, {"papermill": None, "ruff": None, "torch": "2.12.1"})
    with pytest.raises(SystemExit) as left:
        active.tool.main(["--active"])
    message = str(left.value)
    assert "lacks torch==2.13.0 (found 2.12.1), papermill, ruff; run" in message
    assert "mamba env update --file environment.yml" in message


def test_versions_below_a_lower_limit_are_named(active, monkeypatch):
    _installed(monkeypatch, active.tool, {"ibcore": "0.1.0", "numpy": "1.26.4", "pandas": "3.0.2"})
    with pytest.raises(SystemExit, match=r"lacks numpy>=2 \(found 1.26.4\), pandas>=3.1 \(found"):
        active.tool.check_active()


@pytest.mark.parametrize(("version", "told"), [(None, ""), ("2020.1.0", r" \(found 2020.1.0\)")])
def test_extras_of_a_requirement_are_looked_for(active, monkeypatch, version, told):
    _installed(monkeypatch, active.tool, {"ibcore": "0.1.0", "distributed": version})
    with pytest.raises(SystemExit, match=rf"lacks distributed<[\d.]+,>=[\d.]+{told}; run"):
        active.tool.check_active()


def test_an_environment_that_cannot_compare_versions_is_incomplete(active, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging", None)
    with pytest.raises(SystemExit, match="lacks packaging; run"):
        active.tool.check_active()


def test_the_package_is_added_to_a_complete_active_environment(active, monkeypatch):
    _installed(monkeypatch, active.tool, {"ibcore": None})
    commands = []
    monkeypatch.setattr(
        active.tool.subprocess, "run", lambda command, check: commands.append(command)
    )
    active.tool.check_active()
    (command,) = commands
    assert command[0] == sys.executable
    assert command[-2:] == ["--editable", active.root]
    assert "--no-deps" in command


# ---------------------------------------------------------------- command line


def test_an_old_python_is_refused_with_its_version(project, monkeypatch):
    monkeypatch.setattr(project.tool.sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(project.tool.sys, "version", "3.10.4 (main)")
    with pytest.raises(SystemExit, match=r"Python 3.11 or newer is needed, this is 3.10.4"):
        project.tool.main([".venv"])
    assert project.calls.read_text() == ""


def test_an_old_python_can_read_the_file_as_far_as_its_message():
    tree = ast.parse(TOOL.read_text(), feature_version=(3, 7))
    at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.name for node in at_once for alias in node.names}
    assert "annotations" in imported
    assert not imported & {"tomllib", "fcntl"}


@pytest.mark.parametrize("arguments", [[], ["--other"], ["one", "two"]])
def test_other_arguments_show_the_help(project, arguments):
    with pytest.raises(SystemExit, match=r"tools/environment\.py --lock"):
        project.tool.main(arguments)


def test_the_folder_is_made_absolute(project, monkeypatch):
    monkeypatch.chdir(project.root)
    project.tool.main([".venv"])
    assert (project.venv / ".complete").exists()


def test_the_lock_holds_plain_versions_of_everything_else(project, monkeypatch):
    listed = "zict==1.0\ntorch==2.13.0+cpu\nibcore==0.1.0\npip==26.0\nattrs==26.1.0\n"
    monkeypatch.setattr(
        project.tool.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=listed),
    )
    project.tool.main(["--lock"])
    head, *pins = project.lock.read_text().splitlines()
    assert head.startswith("# ")
    assert "--lock" in head
    assert pins == ["attrs==26.1.0", "torch==2.13.0", "zict==1.0"]


# ---------------------------------------------------------------- the committed files


def _name(requirement):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement).group()).lower()


def _pins():
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_pin_is_exact_and_public():
    pins = _pins()
    assert pins["torch"] == "2.13.0"
    assert pins["torchvision"] == "0.28.0"
    assert all(re.fullmatch(r"[\d.]+(post\d+)?", version) for version in pins.values()), pins


def test_the_lock_holds_every_requirement_of_the_package():
    text = (CHECKOUT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(name for names in extras for name in names)]
    pinned = {_name(name): version for name, version in _pins().items()}
    assert {_name(requirement) for requirement in asked} <= set(pinned)
    for requirement in asked:
        if "==" in requirement:
            assert pinned[_name(requirement)] == requirement.split("==")[1]
    assert "setuptools" in pinned, "the package is installed without build isolation"


def test_the_conda_environment_takes_the_same_pins():
    described = yaml.safe_load((CHECKOUT / "environment.yml").read_text())
    assert described["name"] == "ibcore"
    assert "conda-forge" in described["channels"]
    plain = [entry for entry in described["dependencies"] if isinstance(entry, str)]
    (python,) = [entry for entry in plain if re.match(r"python\b", entry)]
    assert int(re.search(r"3\.(\d+)", python).group(1)) >= 11
    assert any(re.match(r"pip\b", entry) for entry in plain)
    (pip,) = [entry["pip"] for entry in described["dependencies"] if isinstance(entry, dict)]
    assert "-r requirements.lock" in pip or "--requirement requirements.lock" in pip
    assert "-e ." in pip or "--editable ." in pip
