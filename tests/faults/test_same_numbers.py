"""The same command again gives the same bytes; with more threads the same verdicts and digits."""

import io

import numpy as np
import pandas as pd
import pytest
import yaml
from reproducing import Reproducing, results_in

pytestmark = pytest.mark.faults

RTOL, ATOL = 1e-3, 1e-3
"""Agreement of tables computed by one and by two threads; information is in bits."""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    copy = Reproducing(tmp_path_factory.mktemp("once"))
    output = tmp_path_factory.mktemp("first")
    assert not copy.reproduce(output, ["00_estimators", "12_superization_continuation"])
    return copy, results_in(output)


def test_another_process_gives_the_same_bytes(once, tmp_path):
    copy, expected = once
    assert not copy.reproduce(tmp_path, ["00_estimators", "12_superization_continuation"])
    found = results_in(tmp_path)
    assert found.keys() == expected.keys()
    assert any(name.endswith(".png") for name in found)
    assert [name for name in found if found[name] != expected[name]] == []


def test_two_threads_give_the_same_verdicts_and_digits(once, tmp_path):
    _, expected = once
    copy = Reproducing(tmp_path)
    copy.environment |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    path = copy.root / "ibcore" / "profiles" / "smoke.yaml"
    profile = yaml.safe_load(path.read_text())
    for name in ("00_estimators", "12_superization_continuation"):
        profile[name].setdefault("common", {})["threads"] = 2
    path.write_text(yaml.safe_dump(profile, sort_keys=False))
    assert not copy.reproduce(
        tmp_path / "output", ["00_estimators", "12_superization_continuation"]
    )
    found = {
        name: text for name, text in results_in(tmp_path / "output").items() if name in expected
    }
    names = [name for name in found if name.startswith("figures") and name.endswith(".csv")]
    assert len(names) > 5
    for name in names:
        one, two = (pd.read_csv(io.BytesIO(content[name])) for content in (expected, found))
        assert one.columns.tolist() == two.columns.tolist()
        assert len(one) == len(two)
        for column in one:
            if column == "verdict" or one[column].dtype != np.float64:
                assert column == "statistic" or one[column].equals(two[column]), (name, column)
            else:
                np.testing.assert_allclose(
                    two[column], one[column], rtol=RTOL, atol=ATOL, err_msg=f"{name} {column}"
                )
