"""`make reproduce` killed at random moments, again and again, ends with undisturbed results.

The whole process group gets SIGKILL, as when a machine is switched off: nothing can clean up. The
copy that runs here keeps checkpoints every 0.2 s instead of 30, so that trainings are continued.
"""

import os
import random
import shutil
import signal
import subprocess
import sys

import pytest
from test_make import CHECKOUT, REAL, Copy

pytestmark = pytest.mark.faults

NOTEBOOKS = ("00_estimators", "01_szt_saxe", "12_superization_continuation")
ROUNDS, KILLS = 4, 5
LATEST = 12.0
"""Seconds after which a command is killed at the latest."""


class Killed(Copy):
    """A copy of the checkout with the notebooks, that leaves its results in another folder."""

    def __init__(self, folder):
        super().__init__(folder, REAL.format(sys.executable))
        for name in ("notebooks", "data/published"):
            shutil.copytree(CHECKOUT / name, self.root / name, dirs_exist_ok=True)
        training = self.root / "ibcore" / "training.py"
        source = training.read_text()
        training.write_text(source.replace("every_seconds: float = 30.0", "every_seconds=0.2"))
        assert training.read_text() != source
        self.environment |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}

    def reproduce(self, output, *, jobs=1, dies_after=None):
        """Run the command or kill it; whether it had been killed."""
        process = self.start(
            "reproduce",
            f"-j{jobs}",
            "PROFILE=smoke",
            f"ONLY={' '.join(NOTEBOOKS)}",
            IBCORE_OUTPUT=str(output),
            IBCORE_JOBS=str(jobs),
        )
        try:
            _, errors = process.communicate(timeout=dies_after or 600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            return True
        assert process.returncode == 0, errors
        return False


def results_in(output):
    """Every table, figure and stored table, byte by byte; stored times differ by nature."""
    figures = [path for path in output.glob("figures/**/*") if path.name != "manifest.json"]
    tables = [path for path in output.glob("data/runs/*/*/*.csv") if path.stem != "timings"]
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in figures + tables
        if path.is_file() and not path.relative_to(output).parent.name.startswith(".")
    }


def left_over(output):
    """Half-written runs, figures and checkpoints."""
    runs = output / "data" / "runs"
    found = [*runs.glob("*/.*"), *runs.glob("*/*.checkpoint*"), *output.glob("figures/**/.*")]
    return [str(path.relative_to(output)) for path in found]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Killed(tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def undisturbed(copy, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    assert not copy.reproduce(output)
    found = results_in(output)
    assert len([name for name in found if name.endswith(".csv")]) > 20
    assert len([name for name in found if name.endswith(".png")]) > 10
    return found


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_random_moments(copy, undisturbed, tmp_path, seed):
    moments, killed, output = random.Random(seed), [], tmp_path / "output 0"
    while len(killed) < KILLS:
        after = moments.uniform(0.5, LATEST)
        if copy.reproduce(output, jobs=1 + seed % 2, dies_after=after):
            killed.append(round(after, 1))
        else:  # it had finished
            check(output, undisturbed)
            output = tmp_path / f"output {len(killed)}"
    print(f"seed {seed}: killed after {killed} s")
    assert not copy.reproduce(output)
    check(output, undisturbed)


def check(output, undisturbed):
    found = results_in(output)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if found[name] != undisturbed[name]] == []
    assert left_over(output) == []
