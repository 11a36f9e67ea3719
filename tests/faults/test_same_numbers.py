"""The same command again gives the same bytes; with more threads the same verdicts and digits."""

import re

import numpy as np
import pytest
import yaml
from reproducing import Reproducing, results_in

pytestmark = pytest.mark.faults

PLAIN = ["00_estimators", "01_szt_saxe"]
CONVOLUTIONS = ["12_superization_continuation"]
TOLERANCE = 1e-9
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    copy = Reproducing(tmp_path_factory.mktemp("once"))
    output = tmp_path_factory.mktemp("first")
    assert not copy.reproduce(output, PLAIN + CONVOLUTIONS)
    return copy, results_in(output)


def test_another_process_gives_the_same_bytes(once, tmp_path):
    copy, expected = once
    assert not copy.reproduce(tmp_path, PLAIN + CONVOLUTIONS)
    found = results_in(tmp_path)
    assert found.keys() == expected.keys()
    assert any(name.endswith(".png") for name in found)
    assert [name for name in found if found[name] != expected[name]] == []


def compare(found, expected, notebooks):
    """Every word of every table is the same, and every number to nine decimals."""
    for notebook in notebooks:
        names = [name for name in found if notebook in name and name.endswith(".csv")]
        assert len(names) >= 3
        for name in names:
            one, two = (content[name].decode() for content in (expected, found))
            assert NUMBER.split(one) == NUMBER.split(two), name
            digits = [np.array(NUMBER.findall(text), dtype=float) for text in (one, two)]
            np.testing.assert_allclose(*digits, rtol=0, atol=TOLERANCE, err_msg=name)


def test_threads_of_the_machine_do_not_matter(once, tmp_path):
    """Runs take the number of threads in their configuration."""
    _, expected = once
    copy = Reproducing(tmp_path / "more")
    copy.environment["OMP_NUM_THREADS"] = "2"
    assert not copy.reproduce(tmp_path / "output", PLAIN + CONVOLUTIONS)
    compare(results_in(tmp_path / "output"), expected, PLAIN + CONVOLUTIONS)


def test_threads_of_the_runs_change_no_verdict(once, tmp_path):
    """Of fully connected networks; convolutions are summed in another order, see the book."""
    _, expected = once
    copy = Reproducing(tmp_path)
    path = copy.root / "ibcore" / "profiles" / "smoke.yaml"
    profile = yaml.safe_load(path.read_text())
    for name in PLAIN:
        profile[name].setdefault("common", {})["threads"] = 2
    path.write_text(yaml.safe_dump(profile, sort_keys=False))
    assert not copy.reproduce(tmp_path / "output", PLAIN)
    compare(results_in(tmp_path / "output"), expected, PLAIN)
