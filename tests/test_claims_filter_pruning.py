"""Claims MT-9 and MT-10 where the verdict is known, and the published tables beside ours."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ibcore import claims

SCORES = {"HRel": 0.80, "spatial entropy": 0.80, "magnitude": 0.75}


def networks(run="VGG16", accuracies=SCORES, configuration="configuration 1", seeds=4, noise=0.001):
    rng = np.random.default_rng(0)
    rows = [
        {"run": run, "configuration": "unpruned", "score": "unpruned", "round": 0, "seed": seed,
         "filters": "64-64", "accuracy": 0.9, "best_test_epoch": 0.95}
        for seed in range(seeds)
    ]  # fmt: skip
    for score, accuracy in accuracies.items():
        for seed in range(seeds):
            shared = 0.1 * seed  # between seeds the spread is large, paired by seed it is not
            for number in (1, 2):
                found = accuracy + shared + (2 - number) * 0.05 + noise * rng.standard_normal()
                rows.append(
                    {"run": run, "configuration": configuration, "score": score,
                     "round": number, "seed": seed, "filters": f"{40 - number}-{30 - number}",
                     "accuracy": found, "best_test_epoch": found + 0.01}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_only_the_last_round_counts():
    last = claims.last_round(pd.concat([networks(), networks("ResNet56")]))
    assert set(zip(last["score"], last["round"], strict=True)) == {
        ("unpruned", 0),
        *((score, 2) for score in SCORES),
    }
    assert len(last) == 2 * 4 * (1 + len(SCORES))


def test_differences_are_paired():
    found = claims.paired_accuracy(networks(noise=0.0), "HRel", "magnitude")
    assert found.columns.tolist() == ["run", "configuration", "seed", "difference"]
    assert found["seed"].tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(found["difference"], 0.05)
    turned = networks(noise=0.0).iloc[::-1]
    np.testing.assert_allclose(
        claims.paired_accuracy(turned, "magnitude", "HRel")["difference"], -0.05
    )


def test_what_cannot_be_paired():
    table = networks()
    with pytest.raises(ValueError, match="no network is pruned by 'L2'; scores: HRel, magnitude, "):
        claims.paired_accuracy(table, "HRel", "L2")
    changed = table["score"] == "HRel"
    for column, value in (("filters", "1-1"), ("seed", 9)):
        other = table.assign(**{column: table[column].mask(changed, value)})
        with pytest.raises(ValueError, match="'HRel' and 'magnitude' differ in filter counts"):
            claims.paired_accuracy(other, "HRel", "magnitude")


@pytest.mark.parametrize(
    ("spatial", "verdict"),
    [(0.85, "supported"), (0.80, "supported"), (0.795, "supported"), (0.75, "contradicted")],
)
def test_mt_9(spatial, verdict):
    found = claims.mt_9(networks(accuracies={"HRel": 0.80, "spatial entropy": spatial}))
    assert (found.claim, found.verdict, found.seeds) == ("MT-9", verdict, 4)
    assert "VGG16, configuration 1: " in found.statistic
    assert "margin -1" in found.statistic


def test_mt_9_needs_every_network_and_seeds():
    worse = networks("ResNet56", {"HRel": 0.8, "spatial entropy": 0.7})
    assert claims.mt_9(pd.concat([networks(), worse])).verdict == "contradicted"
    assert claims.mt_9(networks(noise=0.1)).verdict == "inconclusive"
    assert claims.mt_9(networks(seeds=1)).verdict == "inconclusive"


def timings(factor, images=100, run="VGG16", seeds=3):
    rows = [
        {"run": run, "seed": seed, "score": score, "images": n, "seconds": seconds + 0.001 * seed}
        for seed in range(seeds)
        for score, n, seconds in (
            ("HRel", images, 0.1 * factor * images / 100),
            ("spatial entropy", 100, 0.1),
            ("magnitude", 1, 0.0),
        )
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("factor", "images", "verdict"),
    [(5.0, 100, "supported"), (0.5, 100, "contradicted"), (0.5, 1000, "contradicted")],
)
def test_mt_10_is_decided_per_image(factor, images, verdict):
    found = claims.mt_10(timings(factor, images))
    assert (found.claim, found.verdict, found.seeds) == ("MT-10", verdict, 3)
    assert f"{images / 100:g} times as many images" in found.statistic
    assert "the document says about 7" in found.statistic


def test_mt_10_needs_every_network_and_more_than_one_time():
    both = pd.concat([timings(5.0), timings(0.5, run="ResNet56")])
    assert claims.mt_10(both).verdict == "contradicted"
    assert claims.mt_10(timings(5.0, seeds=1)).verdict == "inconclusive"


def test_agreement_is_spearmans():
    rng = np.random.default_rng(0)
    values = {"x": rng.random(9), "y": rng.random(9), "flat": np.zeros(9)}
    values["z"] = np.exp(values["x"])
    table = pd.DataFrame(
        [
            {"run": "net", "seed": seed, "layer": layer, "layer_index": i, "filter": f,
             "score": score, "value": value}
            for seed in (0, 1) for i, layer in enumerate(("a", "b"))
            for score, column in values.items() for f, value in enumerate(column)
        ]
    )  # fmt: skip
    found = claims.score_agreement(table)
    assert len(found) == 4 * 6
    by_pair = found.groupby(["first", "second"])["correlation"].unique().map(list).to_dict()
    assert by_pair["x", "z"] == [pytest.approx(1.0)]
    assert by_pair["x", "flat"] == [0.0]
    expected = stats.spearmanr(values["x"], values["y"]).statistic
    assert by_pair["x", "y"] == [pytest.approx(expected)]


def test_the_published_tables_beside_ours():
    other = networks("ResNet20", {"HRel": 0.4, "random": 0.3}, "pruned")
    both = claims.pruning_beside_published(pd.concat([networks(noise=0.0), other]))
    networks_, counts = np.unique(both["network"], return_counts=True)
    assert dict(zip(networks_, counts, strict=True)) == {
        "VGG16": 6,
        "ResNet56": 3,
        "ResNet110": 3,
        "ResNet20": 3,
    }
    rows = both.set_index(["network", "configuration", "method"])
    row = rows.loc["VGG16", "configuration 1", "spatial entropy"]
    assert row["published"] == 93.22
    assert row["filters_kept"].startswith("19-48-64")
    assert row["ours"] == pytest.approx(100 * (0.8 + 0.15))
    assert row["best test epoch (optimistic)"] == pytest.approx(row["ours"] + 1)
    assert row["spread"] == pytest.approx(100 * np.std([0, 0.1, 0.2, 0.3], ddof=1))
    assert rows.loc["VGG16", "unpruned", "unpruned"][["published", "ours"]].tolist() == [
        93.95,
        pytest.approx(90),
    ]
    alone = rows.loc["VGG16", "configuration 1", "magnitude"]
    assert np.isnan(alone["published"])
    assert alone["filters_kept"] == ""
    assert np.isnan(rows.loc["ResNet56", "pruned", "HRel"]["ours"])
    assert rows.loc["ResNet56", "pruned", "HRel"]["filters_kept"] == "8-16-32"
    assert both["network"].drop_duplicates().tolist() == list(rows.index.unique(0))
    assert both.groupby("network", sort=False)["configuration"].first().eq("unpruned").sum() == 4
