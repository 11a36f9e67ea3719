"""The same command again gives the same bytes; with more threads the same verdicts and digits."""

import re

import numpy as np
import pytest
import yaml
from reproducing import Reproducing, results_in

pytestmark = pytest.mark.faults

TOLERANCES = {"00_estimators": 1e-9, "12_superization_continuation": 0.15}
"""How far tables may differ between one thread and two: estimates of given samples; entropies of
VGG16's maps after a training, which magnifies the last digits, as do intervals over two seeds."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    copy = Reproducing(tmp_path_factory.mktemp("once"))
    output = tmp_path_factory.mktemp("first")
    assert not copy.reproduce(output, TOLERANCES)
    return copy, results_in(output)


def test_another_process_gives_the_same_bytes(once, tmp_path):
    copy, expected = once
    assert not copy.reproduce(tmp_path, TOLERANCES)
    found = results_in(tmp_path)
    assert found.keys() == expected.keys()
    assert any(name.endswith(".png") for name in found)
    assert [name for name in found if found[name] != expected[name]] == []


def test_two_threads_give_the_same_verdicts_and_digits(once, tmp_path):
    """Every word of every table is the same, and every number close."""
    _, expected = once
    copy = Reproducing(tmp_path)
    copy.environment["OMP_NUM_THREADS"] = "2"
    path = copy.root / "ibcore" / "profiles" / "smoke.yaml"
    profile = yaml.safe_load(path.read_text())
    for name in TOLERANCES:
        profile[name].setdefault("common", {})["threads"] = 2
    path.write_text(yaml.safe_dump(profile, sort_keys=False))
    assert not copy.reproduce(tmp_path / "output", TOLERANCES)
    found = results_in(tmp_path / "output")
    for notebook, tolerance in TOLERANCES.items():
        names = [name for name in found if notebook in name and name.endswith(".csv")]
        assert len(names) >= 3
        for name in names:
            one, two = (content[name].decode() for content in (expected, found))
            assert NUMBER.split(one) == NUMBER.split(two), name
            digits = [np.array(NUMBER.findall(text), dtype=float) for text in (one, two)]
            np.testing.assert_allclose(*digits, rtol=0, atol=tolerance, err_msg=name)
