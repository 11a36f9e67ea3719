"""`make reproduce` killed at random moments, again and again, ends with undisturbed results.

The whole process group gets SIGKILL, as when a machine is switched off: nothing can clean up. The
copy that runs here keeps checkpoints every 0.2 s instead of 30, so that trainings are continued.
"""

import random

import pytest
from reproducing import Reproducing, results_in

pytestmark = pytest.mark.faults

NOTEBOOKS = ("00_estimators", "01_szt_saxe", "12_superization_continuation")
ROUNDS, KILLS = 4, 5
LATEST = 12.0
"""Seconds after which a command is killed at the latest."""


def left_over(output):
    """Half-written runs and figures, checkpoints and the notes beside them."""
    runs = output / "data" / "runs"
    found = [*runs.glob("*/.*"), *output.glob("figures/**/.*")]
    found += [*runs.glob("*/*.checkpoint*"), *runs.glob("*/*.started")]
    return [str(path.relative_to(output)) for path in found]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    copy = Reproducing(tmp_path_factory.mktemp("killed"))
    copy.change("training.py", "every_seconds: float = 30.0", "every_seconds: float = 0.2")
    return copy


@pytest.fixture(scope="module")
def undisturbed(copy, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    assert not copy.reproduce(output, NOTEBOOKS)
    found = results_in(output)
    assert len([name for name in found if name.endswith(".csv")]) > 20
    assert len([name for name in found if name.endswith(".png")]) > 10
    return found


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_random_moments(copy, undisturbed, tmp_path, seed):
    moments, killed, output = random.Random(seed), [], tmp_path / "output-0"
    while len(killed) < KILLS:
        after = moments.uniform(0.5, LATEST)
        if copy.reproduce(output, NOTEBOOKS, jobs=1 + seed % 2, dies_after=after):
            killed.append(round(after, 1))
        else:  # it had finished
            check(output, undisturbed)
            output = tmp_path / f"output-{len(killed)}"
    print(f"seed {seed}: killed after {killed} s")
    assert not copy.reproduce(output, NOTEBOOKS)
    check(output, undisturbed)


def check(output, undisturbed):
    found = results_in(output)
    assert found.keys() == undisturbed.keys()
    assert [name for name in found if found[name] != undisturbed[name]] == []
    assert left_over(output) == []
