"""Agreement of estimators: counts by hand, and correlations that are known."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims


def test_agreement_counts_what_both_decide():
    answers = {
        "binning": ["yes", "yes", "no", "open"],
        "KDE upper": ["yes", "no", "no", "yes"],
        "Rényi": ["cannot tell (at the ceiling)", "yes", None, "open"],
    }
    rows = [
        (estimator, "net", f"layer{i}", answer)
        for estimator, given in answers.items()
        for i, answer in enumerate(given)
        if answer
    ]
    table = pd.DataFrame(rows, columns=["estimator", "network", "layer", "falls"])
    found = claims.agreement(table, ["network", "layer"]).set_index(["first", "second"])
    assert found.loc[("binning", "KDE upper")].tolist() == [4, 3, 2]
    assert found.loc[("binning", "Rényi")].tolist() == [3, 1, 1]
    assert found.loc[("KDE upper", "Rényi")].tolist() == [3, 1, 0]


def curves(**of_estimator):
    epochs = np.arange(6)
    parts = []
    for estimator, curve in of_estimator.items():
        for seed in range(3):
            part = pd.DataFrame({"epoch": epochs, "I_XT": curve(epochs, seed), "seed": seed})
            parts.append(part.assign(network="net", layer="a", estimator=estimator))
    return pd.concat(parts)


def test_curves_correlate_by_rank():
    table = curves(
        first=lambda e, seed: e**3.0,
        second=lambda e, seed: np.sqrt(e) + seed,
        third=lambda e, seed: -e - 0.1 * seed,
        flat=lambda e, seed: np.full(len(e), 12.0),
    )
    found = claims.curve_correlations(table, "network", ["layer"])
    assert found["network"].tolist() == ["net"] * 3
    found = found.set_index(["first", "second"])
    assert found["correlation"].to_dict() == pytest.approx(
        {("first", "second"): 1, ("first", "third"): -1, ("second", "third"): -1}
    )
    assert found["layers"].tolist() == [1, 1, 1]


def test_correlations_are_averaged_over_layers_within_a_seed():
    one = curves(a=lambda e, seed: e * 1.0, b=lambda e, seed: e * 1.0)
    other = curves(a=lambda e, seed: e * 1.0, b=lambda e, seed: -e * 1.0).assign(layer="b")
    table = pd.concat([one, other])
    (row,) = claims.curve_correlations(table, "network", ["layer"]).to_dict("records")
    assert row["correlation"] == pytest.approx(0.0)
    assert row["layers"] == 2


def test_networks_with_other_numbers_of_seeds_are_not_mixed():
    one = curves(a=lambda e, seed: e * 1.0, b=lambda e, seed: e * 1.0)
    other = curves(a=lambda e, seed: e * 1.0, b=lambda e, seed: -e * 1.0).assign(network="other")
    table = pd.concat([one, other[other["seed"] < 2]])
    found = claims.curve_correlations(table, "network", ["layer"])
    assert found["network"].tolist() == ["net", "other"]
    for column in ("correlation", "low", "high"):
        assert found[column].tolist() == pytest.approx([1.0, -1.0])
