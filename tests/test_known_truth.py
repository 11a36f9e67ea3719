"""The experiment of 00_estimators: its truths are true, and its estimates come near them."""

import math

import numpy as np
import pytest

from ibcore.experiments import known_truth

CONFIG = known_truth.Config(sizes=(50, 400), dimensions=(1, 2), repeats=2, renyi_limit=60)


def test_gaussian_information_of_a_known_correlation():
    assert known_truth.gaussian_information(0.0, 3) == 0
    assert known_truth.gaussian_information(math.sqrt(0.75), 1) == pytest.approx(1.0)
    assert known_truth.gaussian_information(math.sqrt(0.75), 4) == pytest.approx(4.0)


def test_gaussian_entropy_is_that_of_scipy():
    from scipy import stats

    for d in (1, 3):
        nats = stats.multivariate_normal(np.zeros(d), np.eye(d)).entropy()
        assert known_truth.gaussian_entropy(d) == pytest.approx(nats / math.log(2))


def test_channel_information_is_one_bit_per_two_dimensions_at_equal_power():
    assert known_truth.channel_information(1.0, 2) == pytest.approx(1.0)
    assert known_truth.channel_information(1 / 3, 1) == pytest.approx(1.0)


def test_binned_entropy_approaches_the_differential_one():
    width = 0.01
    fine = known_truth.binned_gaussian_entropy(width, 1) + math.log2(width)
    assert fine == pytest.approx(known_truth.gaussian_entropy(1), abs=1e-5)
    assert known_truth.binned_gaussian_entropy(30.0, 1) == pytest.approx(1.0)  # the sign
    assert known_truth.binned_gaussian_entropy(0.5, 3) == pytest.approx(
        3 * known_truth.binned_gaussian_entropy(0.5, 1)
    )


def test_two_class_information_against_a_sum():
    t = np.linspace(-12, 15, 200_001)
    low, high = np.exp(-(t**2) / 2), np.exp(-((t - 2) ** 2) / 2)
    low, high = low / low.sum(), high / high.sum()
    mean = (low + high) / 2
    bits = sum(0.5 * (p * np.log2(p / mean)).sum() for p in (low, high))
    assert known_truth.two_class_information(2.0) == pytest.approx(bits, abs=1e-6)
    assert known_truth.two_class_information(0.0) == pytest.approx(0.0, abs=1e-9)
    assert known_truth.two_class_information(20.0) == pytest.approx(1.0, abs=1e-9)


def test_run_has_a_row_for_every_estimate_and_repeats_itself():
    found = known_truth.run(CONFIG, 0)["estimates"]
    unlabelled = 5 * 2 * 2 * 2  # estimators, sizes, dimensions, repeats
    labelled = (3 * 2 + 1) * 2  # Renyi only up to its limit
    assert len(found) == unlabelled + labelled
    assert set(found[found["estimator"] == "Rényi I(T;Y)"]["n"]) == {50}
    assert found.equals(known_truth.run(CONFIG, 0)["estimates"])
    assert not found["estimate"].equals(known_truth.run(CONFIG, 1)["estimates"]["estimate"])


def test_estimates_of_one_dimension_settle_on_the_truth():
    config = known_truth.Config(sizes=(3000,), dimensions=(1,), repeats=4, renyi_limit=100)
    found = known_truth.run(config, 0)["estimates"]
    error = (found["estimate"] - found["truth"]).groupby(found["estimator"]).mean().abs()
    tight = ["nearest-neighbour H(T)", "KSG I(A;B)", "binned H(T)"]
    assert error[tight].max() < 0.06
    noisy = found[found["estimator"] == "KDE lower I(T;Y)"]["truth"].iloc[0]
    assert noisy < known_truth.two_class_information(config.separation)


def test_nothing_is_loaded_and_the_processor_computes():
    generated = known_truth.load(CONFIG)
    assert generated.source == "official"
    assert generated.label == "generated samples"
    assert known_truth.device_name(CONFIG) == "CPU"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": (9,)}, "sizes >= 10"),
        ({"dimensions": (0,)}, r"\(0,\)"),
        ({"repeats": 0}, "and 0"),
        ({"correlation": 1.0}, r"correlation must lie in \(-1, 1\), got 1.0"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    given = {"sizes": (50,), "dimensions": (1,), "repeats": 1, **change}
    with pytest.raises(ValueError, match=message):
        known_truth.Config(**given)
