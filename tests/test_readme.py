"""The README tells the truth: its commands, links, example and table."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ibcore import reproduce

CHECKOUT = Path(__file__).resolve().parents[1]
README = (CHECKOUT / "README.md").read_text()


def test_every_make_command_is_a_target():
    targets = re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"`make ([a-z]+)", README)
    assert {"reproduce", "test"} <= set(named) <= set(targets)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(link):
    assert (CHECKOUT / link).exists()


@pytest.mark.slow
def test_the_example_runs_as_it_stands():
    example = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL).group(1)
    assert len(example.splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert len(re.findall(r"I\(X;T\) \d+\.\d\d", done.stdout)) == 2


@pytest.mark.parametrize(
    ("profile", "words"), [("paper", "agree in {agree} of {both}"), ("laptop", "{apart} of {both}")]
)
def test_the_caption_says_how_often_estimators_agree(profile, words):
    folder = CHECKOUT / "figures" / profile / "17_estimators_disagree"
    pairs = pd.read_csv(folder / "agreement.csv")
    both, agree = int(pairs["both decide"].sum()), int(pairs["agree"].sum())
    expected = words.format(both=both, agree=agree, apart=both - agree)
    assert expected in " ".join(README.split())


def statistic(profile, notebook, claim):
    found = pd.read_csv(CHECKOUT / "figures" / profile / notebook / "claims.csv")
    return found.set_index("claim").loc[claim, "statistic"]


def test_how_far_supported_claims_hold():
    told = " ".join(README.split())
    pooling = statistic("paper", "07_audio_resnet_pooling", "PD-3")
    (bits,) = re.findall(r"I\(X;T\) (\d\.\d+) ", pooling)
    assert f"PD-3: {float(bits):.1f} bit on average" in told
    times = statistic("laptop", "16_filter_pruning", "MT-10")
    ratios = [float(ratio) for ratio in re.findall(r": (\d\.\d+) \[", times)]
    assert sorted({round(ratio) for ratio in ratios}) == [2, 3]
    assert "MT-10: two to three times per image" in told


def test_the_table_of_verdicts_is_that_of_the_committed_figures(monkeypatch):
    monkeypatch.setenv("IBCORE_OUTPUT", str(CHECKOUT))
    assert reproduce.readme_with_verdicts(README) == README
    assert len(reproduce.best_verdicts()) > 0


def test_a_claim_has_one_row_with_all_its_verdicts(tmp_path, monkeypatch):
    monkeypatch.setenv("IBCORE_OUTPUT", str(tmp_path))
    rows = {
        "02_a": "LL-1,inconclusive,text,3,Fashion-MNIST\nLL-1,supported,text,3,MNIST",
        "03_b": "LL-1,inconclusive,text,3,Fashion-MNIST",
    }
    for notebook, text in rows.items():
        folder = tmp_path / "figures" / "laptop" / notebook
        folder.mkdir(parents=True)
        (folder / "claims.csv").write_text(f"claim,verdict,statistic,seeds,data\n{text}\n")
    written = reproduce.readme_with_verdicts("\n".join(reproduce.MARKS))
    (row,) = [line for line in written.splitlines() if line.startswith("| LL-1 ")]
    assert (
        "**inconclusive**: Fashion-MNIST ([02](notebooks/02_a.ipynb), [03](notebooks/03_b.ipynb))"
        "<br>**supported**: MNIST ([02](notebooks/02_a.ipynb))"
    ) in row
    assert row.rstrip(" |").endswith("laptop")


def test_verdicts_on_the_same_data_say_how_they_differ(tmp_path, monkeypatch):
    monkeypatch.setenv("IBCORE_OUTPUT", str(tmp_path))
    folder = tmp_path / "figures" / "laptop" / "10_a"
    folder.mkdir(parents=True)
    rows = (
        "MA-1,contradicted,raw: drop 2: 3 bits,3,CIFAR-10\nMA-1,supported,literal: 4,3,CIFAR-10\n"
        "MA-1,supported,raw: 5,3,digits\n"
    )
    (folder / "claims.csv").write_text(f"claim,verdict,statistic,seeds,data\n{rows}")
    table = reproduce.told_apart(reproduce.best_verdicts())
    assert table["data"].tolist() == ["CIFAR-10, raw", "CIFAR-10, literal", "digits"]
    written = reproduce.readme_with_verdicts("\n".join(reproduce.MARKS))
    link = "([10](notebooks/10_a.ipynb))"
    assert f"**contradicted**: CIFAR-10, raw {link}<br>" in written
    assert f"**supported**: CIFAR-10, literal {link}; digits {link}" in written


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match=r"README.md lacks the marks"):
        reproduce.readme_with_verdicts("nothing")


def test_the_table_prefers_the_documents_own_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("IBCORE_OUTPUT", str(tmp_path))
    rows = {
        "paper": "SZT-1,supported,text,10,data",
        "laptop": "SZT-1,inconclusive,text,5,data\nLL-1,contradicted,text,3,data",
    }
    for profile, text in rows.items():
        folder = tmp_path / "figures" / profile / "01_some"
        folder.mkdir(parents=True)
        (folder / "claims.csv").write_text(f"claim,verdict,statistic,seeds,data\n{text}\n")
    table = reproduce.best_verdicts()
    assert table["claim"].tolist() == ["SZT-1", "LL-1"]
    assert table["verdict"].tolist() == ["supported", "contradicted"]
    marks = "\n".join(reproduce.MARKS)
    written = reproduce.readme_with_verdicts(f"before\n{marks}\nafter")
    assert written.count("| not run yet") == 36
    assert "**supported**: data ([01](notebooks/01_some.ipynb))" in written
    assert reproduce.readme_with_verdicts(written) == written
