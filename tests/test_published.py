"""The published tables: complete, readable, and consistent with what they describe."""

import numpy as np
import pandas as pd
import pytest

from ibcore import claims, results

GROUPS = {"SZT": 4, "LL": 7, "PD": 6, "DH": 3, "MA": 8, "MT": 10}
COLUMNS = ["claim", "source", "where", "statement", "decided_by"]
NUMBERS = {
    "amc_pruning": ["flops_kept_percent", "accuracy_percent", "parameters"],
    "entropy_by_depth": ["spatial_entropy"],
    "filter_pruning": ["accuracy_percent"],
    "layer_freezing": [
        "epoch",
        "max_accuracy_frozen_percent",
        "max_accuracy_normal_percent",
        "minutes_frozen",
        "minutes_normal",
    ],
    "layer_removal": ["parameters", "accuracy_percent"],
}
ROWS = {
    "amc_pruning": 16,
    "entropy_by_depth": 13 * 4 + 8 * 4 + 5 * 4,
    "filter_pruning": 11,
    "layer_freezing": 4,
    "layer_removal": 4,
}
VGG16 = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
VGG11 = [64, 128, 256, 256, 512, 512, 512, 512]
AFTER_4 = [64, 64, 128, 128, 256, 512, 512, 512, 512]
AFTER_8 = [64, 64, 128, 256, 512]


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(
        results.published_folder() / f"{name}.csv", keep_default_na=False, na_values=[""]
    )


def parameters(channels: list[int], dense: list[int], *, batch_norm: bool = False) -> int:
    """Weights and biases of 3x3 convolutions on colour images, then fully connected layers."""
    pairs = list(zip([3, *channels[:-1]], channels, strict=True))
    total = sum(9 * before * after + after for before, after in pairs)
    total += 2 * sum(channels) if batch_norm else 0
    steps = zip([channels[-1], *dense[:-1]], dense, strict=True)
    return total + sum(before * after + after for before, after in steps)


def test_claims_are_complete_and_in_order():
    found = table("claims")
    assert list(found.columns) == COLUMNS
    assert found["claim"].is_unique
    expected = [f"{group}-{i}" for group, n in GROUPS.items() for i in range(1, n + 1)]
    assert len(expected) == 38
    assert found["claim"].tolist() == expected


@pytest.mark.parametrize("column", COLUMNS)
def test_every_field_of_a_claim_is_one_filled_line(column):
    values = table("claims")[column]
    assert values.notna().all()
    for value in values:
        assert value == value.strip()
        assert value
        assert "\n" not in value


def test_the_package_reads_the_same_claims():
    pd.testing.assert_frame_equal(claims.published(), table("claims"))


def test_each_group_has_one_source():
    found = table("claims")
    groups = found["claim"].str.split("-").str[0]
    assert (found.groupby(groups)["source"].nunique() == 1).all()
    assert found["source"].nunique() == len(GROUPS)


def test_every_file_is_tested():
    names = {path.stem for path in results.published_folder().glob("*.csv")}
    assert names == {"claims", *NUMBERS}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_number_tables_are_numeric_and_complete(name):
    found = table(name)
    assert len(found) == ROWS[name]
    assert not found.duplicated().any()
    for column in NUMBERS[name]:
        assert pd.api.types.is_numeric_dtype(found[column])
        values = found[column].dropna()
        assert (np.isfinite(values) & (values > 0)).all()
    for column in found.filter(like="percent"):
        assert (found[column] <= 100).all()
    # Table 3.3 prints no parameter counts; nothing else is missing.
    if name == "amc_pruning":
        np.testing.assert_array_equal(found["parameters"].isna(), found["table"] == 3.3)
        found = found.drop(columns="parameters")
    assert found.notna().all(axis=None)


def test_relative_entropies_lie_between_zero_and_one():
    found = table("entropy_by_depth")
    assert found["spatial_entropy"].between(0, 1).all()
    assert found.groupby("network", sort=False)["layer"].nunique().to_dict() == {
        "AlexNet": 13,
        "VGG16": 8,
        "ResNet50": 5,
    }


def test_best_accuracy_never_falls_and_freezing_is_slower():
    found = table("layer_freezing")
    for column in ["max_accuracy_frozen_percent", "max_accuracy_normal_percent"]:
        assert found[column].is_monotonic_increasing
    ratio = found["minutes_frozen"] / found["minutes_normal"]
    assert ratio.round(2).between(1.83, 1.85).all()
    for layers in found["layers_frozen"]:
        assert {int(layer) for layer in layers.split()} <= set(range(31))


def test_filter_lists_have_one_entry_per_layer_or_block():
    found = table("filter_pruning")
    lengths = found["filters_kept"].str.split("-").str.len()
    expected = found["network"].map({"VGG16": 13, "ResNet56": 3, "ResNet110": 3})
    np.testing.assert_array_equal(lengths, expected)


def test_parameter_counts_of_layer_removal():
    found = table("layer_removal").set_index("network")["parameters"].to_dict()
    dense = [512, 512, 10]  # on the 512 channels of the last convolution
    assert found == {
        "VGG16": 15_245_130,
        "VGG11": 9_750_922,
        "VGG16 after 4 layers removed": 9_345_354,
        "VGG16 after 8 layers removed": 2_118_346,
    }
    assert list(found.values()) == [
        parameters(channels, dense) for channels in (VGG16, VGG11, AFTER_4, AFTER_8)
    ]


def test_parameter_count_of_the_unpruned_network():
    found = table("amc_pruning")
    unpruned = found[(found["network"] == "VGG16") & (found["flops_kept_percent"] == 100)]
    assert unpruned["parameters"].tolist() == [14_728_266]
    assert parameters(VGG16, [10], batch_norm=True) == 14_728_266


def test_readme_names_every_file_and_every_count():
    text = (results.published_folder() / "README.md").read_text(encoding="utf-8")
    for name in ["claims", *NUMBERS]:
        assert f"`{name}.csv`" in text
    for count in ["15,245,130", "9,750,922", "9,345,354", "2,118,346", "14,728,266"]:
        assert count in text
