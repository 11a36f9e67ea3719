"""The Makefile: what it says, in which order it works, what it does again, and what it survives."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from ibcore import profiles, results, sweep
from ibcore.experiments import information_plane

CHECKOUT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("00_first", "01_second", "02_third")

# This Python, apart from the list of data files.
REAL = """\
#!/bin/sh
case "$*" in *settings*) exit 0 ;; esac
exec {} "$@"
"""

# Stands for Python: notes its arguments and does the least that the Makefile needs.
DOUBLE = """\
#!/bin/sh
echo "$*" >> "$CALLS"
case "$MAKEFLAGS" in *-j2*) jobs=-j2 ;; *) jobs=-j1 ;; esac
echo "$jobs $IBCORE_JOBS" >> "$CALLS.jobs"
echo "DATA=$IBCORE_DATA OUTPUT=$IBCORE_OUTPUT PYTHONPATH=$PYTHONPATH" >> "$CALLS.environment"
sleep "${PAUSE:-0}"
case "$*" in
  *"$FAILS"*) exit 1 ;;
  *settings*) ls -R data/raw 2>/dev/null; exit 0 ;;
  *" run "*)
    figures="${IBCORE_OUTPUT:-.}/figures/$6/$4"
    mkdir -p "$figures" && touch "$figures/manifest.json" ;;
esac
"""


class Copy:
    """A copy of the checkout in which make finds another Python and other notebooks."""

    def __init__(self, folder, python):
        self.root = folder / "checkout"
        self.root.mkdir(parents=True)
        tools = folder / "bin"
        tools.mkdir()
        (tools / "python").write_text(python)
        (tools / "python").chmod(0o755)
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("IBCORE_", "MAKE", "MFLAGS", "PYTHONPATH", "VIRTUAL_ENV"))
        }
        self.environment["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment["CONDA_DEFAULT_ENV"] = "tests"
        for name in ("Makefile", "pyproject.toml", "requirements.lock", "tools", "ibcore"):
            source = CHECKOUT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self.root / name)
        (self.root / "notebooks").mkdir()

    def start(self, *arguments, **environment):
        """Start make in a process group of its own."""
        return subprocess.Popen(
            ["make", *arguments],
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def make(self, *arguments, fails=False, **environment):
        """Run make; the finished process."""
        process = self.start(*arguments, **environment)
        process.stdout, process.stderr = process.communicate(timeout=300)
        assert (process.returncode != 0) == fails, process.stderr
        return process


class Dry(Copy):
    """A copy with three empty notebooks, an hour old, and a Python that does nothing."""

    def __init__(self, folder):
        super().__init__(folder, DOUBLE)
        self.calls = folder / "calls"
        self.environment["CALLS"] = str(self.calls)
        self.environment["FAILS"] = "nothing"
        for name in NOTEBOOKS:
            (self.root / "notebooks" / f"{name}.py").write_text("")
        earlier = time.time() - 3600
        for path in self.root.rglob("*"):
            os.utime(path, (earlier, earlier))

    def called(self, *arguments, **options):
        """The commands that a call of make leads to."""
        self.calls.write_text("")
        self.make(*arguments, **options)
        return self.calls.read_text().splitlines()

    def executed(self, *arguments, **options):
        """The notebooks that a call of ``make reproduce`` executes, sorted."""
        calls = self.called("reproduce", *arguments, **options)
        return sorted(call.split()[3] for call in calls if " run " in call)


@pytest.fixture
def dry(tmp_path):
    return Dry(tmp_path / "dry")


# ---------------------------------------------------------------- what it says


def test_make_lists_every_target_with_a_text(dry):
    text = (CHECKOUT / "Makefile").read_text()
    phony = re.search(r"\.PHONY:((?:.*\\\n)*.*)", text).group(1).replace("\\\n", " ").split()
    shown = dry.make().stdout
    lines = dict(re.findall(r"^  (\w+) +(\S.*)$", shown, re.MULTILINE))
    assert set(lines) == set(phony) - {"active-environment"}
    assert dry.make("help").stdout == shown
    assert "PROFILE=smoke|laptop|paper" in shown


@pytest.mark.parametrize("profile", ["poster", "", "smoke laptop", "laptop foo", "foo paper", "%"])
def test_an_unknown_profile_names_the_known_ones(dry, profile):
    failed = dry.make("reproduce", f"PROFILE={profile}", fails=True)
    assert f"unknown PROFILE={profile}; known: smoke laptop paper" in failed.stderr


@pytest.mark.parametrize("only", ["zz", "00 zz", "first"])
def test_an_unknown_notebook_names_the_known_ones(dry, only):
    failed = dry.make("reproduce", f"ONLY={only}", fails=True)
    assert f"no notebook matches ONLY={only.split()[-1]}; notebooks: {' '.join(NOTEBOOKS)}" in (
        failed.stderr
    )


def test_a_space_in_the_folder_of_outputs_is_refused(dry):
    failed = dry.make("reproduce", IBCORE_OUTPUT="my runs", fails=True)
    assert "make cannot work in a folder with a space: IBCORE_OUTPUT=my runs" in failed.stderr


def test_profiles_are_those_of_the_package(dry):
    for profile in profiles.NAMES:
        dry.make("-n", "reproduce", f"PROFILE={profile}")


@pytest.mark.parametrize(
    ("conda", "expected"),
    [
        ("ibcore", "python tools/environment.py --active"),
        ("base", "python3 tools/environment.py .venv"),
        ("", "python3 tools/environment.py .venv"),
    ],
)
def test_an_active_conda_environment_is_used(dry, conda, expected):
    assert dry.make("-n", "env", CONDA_DEFAULT_ENV=conda).stdout.strip() == expected
    python = expected.split()[0] if conda == "ibcore" else ".venv/bin/python"
    lines = dry.make("-n", "report", CONDA_DEFAULT_ENV=conda).stdout.splitlines()
    assert f"{python} -m ibcore.reproduce index --profile laptop" in lines
    assert f"{python} -m ibcore.book --profile laptop" in lines


def test_tests_are_linted_run_and_followed_by_the_notebooks(dry):
    lines = dry.make("-n", "test").stdout
    steps = [
        "--active",
        "ruff check",
        "ruff format --check",
        "-n 2 -m",
        "reproduce check",
        "--nbval-lax",
    ]
    places = [lines.index(step) for step in steps]
    assert places == sorted(places)


# ---------------------------------------------------------------- what it does, and does again


def test_reproduce_does_every_step_in_order(dry):
    chosen = " ".join(NOTEBOOKS)
    assert dry.called("reproduce", "-j1") == [
        "tools/environment.py --active",
        "-m ibcore.datasets --standin",
        "-m ibcore.reproduce settings",
        *(
            f"-m ibcore.reproduce run {name} --profile laptop --seed 0 --chosen {chosen}"
            for name in NOTEBOOKS
        ),
        "-m ibcore.reproduce index --profile laptop",
    ]


def test_a_second_reproduce_executes_nothing(dry):
    assert dry.executed() == list(NOTEBOOKS)
    assert dry.executed() == []


def _change(path):
    """Write a file, later than anything before it by the clock of the file system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    first = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == first:
        path.write_text("changed")


def test_changes_are_followed(dry):
    dry.executed()
    _change(dry.root / "notebooks" / "01_second.py")
    assert dry.executed() == ["01_second"]
    for changed in (
        "ibcore/estimators/kde.py",
        "ibcore/profiles/laptop.yaml",
        "data/raw/a.gz",
        "data/published/claims.csv",
        "requirements.lock",
    ):
        _change(dry.root / changed)
        assert dry.executed() == list(NOTEBOOKS), changed
        assert dry.executed() == [], changed


@pytest.mark.parametrize("folder", ["figures", "figures/laptop/01_second"])
@pytest.mark.parametrize("output", ["", "elsewhere"])
def test_deleted_figures_are_made_again(dry, folder, output):
    dry.executed(IBCORE_OUTPUT=output)
    shutil.rmtree(dry.root / output / folder)
    expected = list(NOTEBOOKS) if folder == "figures" else ["01_second"]
    assert dry.executed("ONLY=02", IBCORE_OUTPUT=output) == expected[2:]
    assert dry.executed(IBCORE_OUTPUT=output) == expected[:2]
    assert dry.executed(IBCORE_OUTPUT=output) == []


def test_figures_of_another_seed_are_made_again(dry):
    assert dry.executed("SEED=0") == list(NOTEBOOKS)
    assert dry.executed("SEED=1") == list(NOTEBOOKS)
    assert dry.executed("SEED=0") == list(NOTEBOOKS)
    assert dry.executed("SEED=0") == []


def test_profiles_are_apart(dry):
    assert dry.executed("PROFILE=paper") == list(NOTEBOOKS)
    assert dry.executed("PROFILE=laptop") == list(NOTEBOOKS)
    assert dry.executed("PROFILE=paper") == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["reproduce"], "-j2 6"),
        (["reproduce", "PROFILE=smoke"], "-j2 6"),
        (["reproduce", "-j1"], "-j1 6"),
        (["reproduce", "PROFILE=paper"], "-j1 "),
        (["clean", "reproduce"], "-j1 "),
    ],
)
def test_two_notebooks_at_a_time_share_the_cores(dry, arguments, expected):
    nproc = dry.calls.parent / "bin" / "nproc"
    nproc.write_text('#!/bin/sh\necho "${OMP_NUM_THREADS:-12}"\n')
    nproc.chmod(0o755)
    dry.make(*arguments, OMP_NUM_THREADS="1")
    assert set(dry.calls.with_suffix(".jobs").read_text().splitlines()) == {expected}


def test_processes_can_be_chosen(dry):
    dry.make("reproduce", IBCORE_JOBS="7")
    assert set(dry.calls.with_suffix(".jobs").read_text().splitlines()) == {"-j2 7"}


def test_chosen_notebooks_only(dry):
    assert dry.executed("ONLY=01") == ["01_second"]
    assert dry.executed("ONLY=00 02_third") == ["00_first", "02_third"]
    assert dry.executed() == []


def test_a_failing_notebook_stops_it_and_is_tried_again(dry):
    calls = dry.called("reproduce", "-j1", fails=True, FAILS="run 01_second")
    assert not any("index" in call for call in calls)
    assert dry.executed() == ["01_second", "02_third"]


@pytest.mark.parametrize("step", ["environment.py", "ibcore.datasets", "settings", "index"])
def test_every_failing_step_stops_it(dry, step):
    calls = dry.called("reproduce", fails=True, FAILS=step)
    assert step in calls[-1]


def test_the_smoke_profile_fetches_nothing(dry):
    assert dry.called("data", "PROFILE=smoke") == ["tools/environment.py --active"]
    for profile in ("laptop", "paper"):
        assert dry.called("data", f"PROFILE={profile}")[-1] == "-m ibcore.datasets --standin"


def test_several_at_once(dry):
    started = [dry.start("reproduce", "-j2", PAUSE="0.1") for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    stamps = dry.root / "data" / "runs" / "stamps" / "laptop"
    assert {path.name for path in stamps.iterdir()} == {"settings", *NOTEBOOKS}
    assert dry.executed() == []


def test_relative_folders_are_made_absolute(dry):
    (dry.root / "mine").mkdir()
    dry.make("reproduce", IBCORE_DATA="mine", IBCORE_OUTPUT="out", PYTHONPATH="/other")
    seen = set(dry.calls.with_suffix(".environment").read_text().splitlines())
    root = dry.root
    assert seen == {f"DATA={root}/mine OUTPUT={root}/out PYTHONPATH={root}:/other"}
    assert (root / "out" / "data" / "runs" / "stamps" / "laptop" / "settings").exists()
    assert not (root / "data").exists()


def test_a_home_folder_is_recognised(dry):
    dry.make("reproduce", "IBCORE_OUTPUT=~/out", HOME=str(dry.root))
    assert (dry.root / "out" / "data" / "runs" / "stamps" / "laptop" / "settings").exists()


def test_pairs_are_made_of_chosen_or_all_notebooks(dry):
    assert dry.called("pair")[-1] == "-m ibcore.reproduce pair"
    assert dry.called("pair", "ONLY=00 01")[-1] == "-m ibcore.reproduce pair 00_first 01_second"


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("clean", {".venv", ".venv.lock", "data/raw", "data/published", "figures/laptop"}),
        ("distclean", {"data/raw", "data/published", "figures/laptop"}),
    ],
)
def test_cleaning_keeps_what_cannot_be_made_again(dry, target, kept):
    removed = {"data/runs", "figures/smoke"}
    every = removed | {".venv", ".venv.lock", "data/raw", "data/published", "figures/laptop"}
    for name in every:
        (dry.root / name / "inside").mkdir(parents=True)
    dry.make(target)
    assert {name for name in every if (dry.root / name).exists()} == kept
    assert dry.calls.exists() is False


def test_cleaning_all_says_which_data_it_leaves(dry):
    assert dry.make("distclean").stdout == ""
    for name in ("data/raw", "out/data/raw"):
        (dry.root / name).mkdir(parents=True)
    assert dry.make("distclean").stdout.startswith("./data/raw is left: ")
    told = dry.make("distclean", IBCORE_OUTPUT="out").stdout
    assert told.startswith(f"{dry.root}/out/data/raw is left: ")
    assert (dry.root / "data" / "raw").exists()
    assert (dry.root / "out" / "data" / "raw").exists()


# ---------------------------------------------------------------- with the real package

CELLS = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["parameters"]
profile = "laptop"
seed = 0

# %%
{}
"""

SWEEP = """\
from ibcore import sweep
from ibcore.experiments import information_plane
from ibcore.notebook import Chapter
chapter = Chapter("00_sweep", profile, seed)

# %%
runs = sweep.run(information_plane, chapter.configs(information_plane.Config), seed=seed)
chapter.data_from(runs)
chapter.table("measurements", runs.table("measurements"), "All of them")
chapter.provenance(runs)
"""

SECTION = {
    "common": {
        "dataset": "szt",
        "train_fraction": 0.8,
        "model": "mlp",
        "model_options": {"n_inputs": 12, "hidden": [10, 7, 5], "init": "ibsgd"},
        "batch_size": 256,
        "learning_rate": 0.001,
        "epochs": 20,
        "estimators": [{"estimator": "binning", "bin_width": 0.07}],
    },
    "runs": {
        "long": {"epochs": 200},
        **{f"rate {rate}": {"learning_rate": rate} for rate in (0.002, 0.003, 0.004)},
    },
}


@pytest.fixture
def real(tmp_path):
    """A copy that uses this Python, without notebooks."""
    copy = Copy(tmp_path / "real", REAL.format(sys.executable))
    shutil.copytree(CHECKOUT / "data" / "published", copy.root / "data" / "published")
    copy.environment |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    return copy


def _write(copy, **cells):
    """Give a copy these notebooks, with a section in the smoke profile each."""
    for name, text in cells.items():
        (copy.root / "notebooks" / f"{name}.py").write_text(CELLS.format(text))
    sections = {name: SECTION for name in cells}
    (copy.root / "ibcore" / "profiles" / "smoke.yaml").write_text(yaml.safe_dump(sections))


@pytest.mark.slow
def test_a_failing_notebook_is_named_at_the_end(real):
    _write(real, **{"00_good": "print(1)", "01_bad": 'values = {}\nvalues["absent"]'})
    failed = real.make("-j2", "-k", "reproduce", "PROFILE=smoke", fails=True)
    shown = failed.stdout.splitlines()
    assert "[1 of 2] 00_good: started, profile smoke" in shown
    assert any(line.startswith("[1 of 2] 00_good: done in ") for line in shown)
    assert "[2 of 2] 01_bad: started, profile smoke" in shown
    assert failed.stderr.splitlines()[-6:-2] == [
        "error: 01_bad: cell 2 failed with KeyError: 'absent'",
        "    values = {}",
        '    values["absent"]',
        "it is kept as data/runs/notebooks/smoke/01_bad.failed.ipynb",
    ]
    stamps = real.root / "data" / "runs" / "stamps" / "smoke"
    assert {path.name for path in stamps.iterdir()} == {"settings", "00_good"}


def _finished(folder):
    """The finished runs, with what would change if one of them were computed again."""
    records = folder.glob("*/run.json") if folder.exists() else ()
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in records}


def _tables(folder):
    """The tables of all finished runs."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.glob("*/*.csv")
        if not path.parent.name.startswith(".")
    }


def _kill_after_the_first_run(process, folder):
    """Kill make's process group; every process that it had started, once all have ended."""
    while not _finished(folder):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    _, alive = psutil.wait_procs(family, timeout=15)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], family


@pytest.mark.slow
def test_killed_and_continued_by_two_at_once(real, output, monkeypatch):
    _write(real, **{"00_sweep": SWEEP})
    folder = real.root / "data" / "runs" / "information_plane"

    process = real.start("reproduce", "PROFILE=smoke", IBCORE_JOBS="2")
    alive, family = _kill_after_the_first_run(process, folder)
    assert len(family) >= 4, "make, python, the kernel and two workers were expected"
    assert not alive, [process.cmdline() for process in alive]
    before = _finished(folder)
    assert 0 < len(before) < len(SECTION["runs"]), "killed too late to prove anything"

    started = [real.start("reproduce", "PROFILE=smoke", IBCORE_JOBS="1") for _ in "ab"]
    for process in started:
        shown, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert "[1 of 1] 00_sweep: done" in shown
        assert "not run in this profile" in shown

    after = _finished(folder)
    assert len(after) == len(SECTION["runs"])
    assert {name: after[name] for name in before} == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]

    monkeypatch.setattr(profiles, "read", lambda profile: {"00_sweep": SECTION})
    configs = profiles.configs("smoke", "00_sweep", information_plane.Config)
    undisturbed = sweep.run(information_plane, configs, jobs=1)
    assert _tables(folder) == _tables(output / "data" / "runs" / "information_plane")
    shown = (real.root / "figures" / "smoke" / "00_sweep" / "measurements.csv").read_text()
    assert shown == results.table_to_csv(undisturbed.table("measurements"))
