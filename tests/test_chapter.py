"""A chapter's folder: figures, tables, verdicts, the manifest, and no file from earlier."""

import dataclasses
import json
import os

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ibcore import claims, plotting, profiles, results
from ibcore.claims import SUPPORTED, Verdict
from ibcore.notebook import Chapter
from ibcore.sweep import Sweep

NOTEBOOK = "01_toy"
STANDIN = "stand-in (scikit-learn digits) for MNIST"
TABLE = pd.DataFrame({"layer": ["hidden1", "output"], "drop": [0.1 + 0.2, 1 / 3]})


@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    read, sections = profiles.read, {NOTEBOOK: {"runs": {"a": {"epochs": 3}}}}
    monkeypatch.setattr(profiles, "read", lambda name: sections if name == "laptop" else read(name))
    with mpl.rc_context():
        yield
        plt.close("all")


def sweep(label="12-bit task", source="official", name="tanh"):
    record = {
        "run": "0123456789abcdef",
        "seed": 0,
        "data": {"label": label, "source": source, "note": "n", "fingerprint": "f"},
        "commit": None,
        "dirty": None,
        "device": "CPU",
        "threads": 1,
        "seconds": 1.23,
    }
    return Sweep({name: results.Run(record, {})})


def chapter(*sweeps, **options):
    made = Chapter(NOTEBOOK, "laptop", **options)
    for given in sweeps:
        made.data_from(given)
    return made


def planes():
    table = pd.DataFrame(
        [{"run": "tanh", "set": "all", "seed": s, "epoch": e, "layer": f"l{i}", "layer_index": i,
          "I_XT": 5 - i + 0.1 * s, "I_TY": 0.5 + 0.01 * e}
         for s in range(2) for e in (0, 1, 10) for i in range(3)]
    )  # fmt: skip
    bounds = pd.DataFrame([{"run": "tanh", "set": "all", "ceiling_X": 6.0, "ceiling_Y": 1.0}])
    return plotting.information_planes(table, bounds)


def draw():
    figure, axes = plt.subplots(figsize=(2, 2))
    axes.plot([0, 1], [1, 0])
    return figure


def files(folder):
    return sorted(os.listdir(folder))


def test_everything_lies_in_the_folder_of_profile_and_notebook(output):
    made = chapter(sweep())
    assert made.folder == output / "figures" / "laptop" / NOTEBOOK
    assert made.values == {"runs": {"a": {"epochs": 3}}}
    assert made.configs(Config) == {"a": Config(3)}
    picture = made.figure("planes", draw(), "Planes.")
    assert picture.data == (made.folder / "planes.png").read_bytes()
    assert made.table("drops", TABLE, "Drops") is TABLE
    made.claims([Verdict("SZT-1", SUPPORTED, "drop 1", 3)])
    made.provenance(sweep())
    assert files(made.folder) == [
        *("claims.csv", "claims.md", "drops.csv", "drops.md", "manifest.json"),
        *("planes.pdf", "planes.png"),
    ]
    assert (made.folder / "planes.png").read_bytes().startswith(b"\x89PNG")
    assert (made.folder / "planes.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("name", "profile", "words"),
    [
        ("02_other", "laptop", "profile 'laptop' has no section '02_other'; sections: 01_toy"),
        (NOTEBOOK, "laptops", "unknown profile 'laptops'; known profiles"),
    ],
)
def test_refused(name, profile, words):
    with pytest.raises(ValueError, match=words):
        Chapter(name, profile)


# ---------------------------------------------------------------- figures


def saved(name="planes", *sweeps, figure=draw):
    made = chapter(*sweeps)
    made.figure(name, figure(), "Planes")
    return {end: (made.folder / f"{name}.{end}").read_bytes() for end in ("png", "pdf")}


def test_equal_figures_give_equal_files():
    first = saved(figure=planes)
    assert saved(figure=planes) == first
    assert b"CreationDate" not in first["pdf"]
    assert b"Software" not in first["png"]


def test_the_smoke_profile_saves_pictures_only(monkeypatch):
    monkeypatch.setattr(profiles, "read", lambda name: {NOTEBOOK: {"runs": {"a": {}}}})
    made = Chapter(NOTEBOOK, "smoke")
    made.figure("planes", draw(), "Planes")
    assert files(made.folder) == ["planes.png"]


def test_figures_are_closed_but_can_still_be_shown():
    made = chapter()
    picture = made.figure("planes", draw(), "Planes")
    assert plt.get_fignums() == []
    assert picture.data.startswith(b"\x89PNG")


def test_a_stand_in_is_named_on_the_figure():
    figure, plain = draw(), draw()
    chapter(sweep(STANDIN, "stand-in")).figure("planes", figure, "Planes")
    assert [text.get_text() for text in figure.texts] == [STANDIN]
    chapter(sweep()).figure("planes", plain, "Planes")
    assert not plain.texts
    assert saved("b", sweep(STANDIN, "stand-in"))["png"] != saved("b", sweep())["png"]


def test_data_in_place_of_others_are_named_on_the_figure():
    label = "GTZAN in place of FMA-small"
    made, figure = chapter(sweep(label, "local")), draw()
    made.figure("planes", figure, "Planes")
    assert [text.get_text() for text in figure.texts] == [label]
    shown = made.claims([Verdict("PD-1", SUPPORTED, "drop 1", 3)])
    assert shown["verdict"].tolist() == ["supported"]


def test_a_failed_figure_leaves_the_old_files(monkeypatch):
    before = saved()

    def fail(*_, **__):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            saved("planes", sweep(STANDIN, "stand-in"))
    folder = results.figures_folder("laptop", NOTEBOOK)
    assert {end: (folder / f"planes.{end}").read_bytes() for end in before} == before
    assert files(folder) == ["planes.pdf", "planes.png"]


# ---------------------------------------------------------------- tables and captions


def test_tables_are_exact_in_csv_and_rounded_in_markdown():
    made = chapter(sweep())
    made.table("drops", TABLE, "Fall of I(X;T) in bits.")
    found = results.load_table("laptop", NOTEBOOK, "drops")
    pd.testing.assert_frame_equal(found, TABLE, check_exact=True)
    caption, empty, *lines = (made.folder / "drops.md").read_text().splitlines()
    assert caption == "Fall of I(X;T) in bits. Data: 12-bit task. Profile laptop."
    assert empty == ""
    assert lines[0].split() == ["|", "layer", "|", "drop", "|"]
    assert lines[2].split() == ["|", "hidden1", "|", "0.300", "|"]
    assert lines[3].split() == ["|", "output", "|", "0.333", "|"]


def test_rounding_hides_no_number():
    made = chapter()
    table = pd.DataFrame(
        {
            "table": ["3.1", "3.2", "1e3"],
            "epsilon": [5e-6, 5e-5, 0.05],
            "n": [100.0, 15_245_130.0, float("nan")],
            "seed": [0, 1, 2],
            "frozen": [True, False, True],
            "left": pd.Series([1.5, None, 1e-12], dtype=object),
        }
    )
    made.table("mixed", table, "Mixed")
    lines = (made.folder / "mixed.md").read_text().splitlines()[4:]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines] == [
        ["3.1", "5e-06", "100", "0", "True", "1.500"],
        ["3.2", "5e-05", "15245130", "1", "False", "None"],
        ["1e3", "0.050", "nan", "2", "True", "0.000"],
    ]


def test_a_table_without_rows_keeps_its_columns():
    made = chapter()
    made.table("empty", TABLE.iloc[:0], "Empty")
    assert (made.folder / "empty.md").read_text().splitlines()[2].split() == [
        *("|", "layer", "|", "drop", "|"),
    ]


@pytest.mark.parametrize("caption", ["Planes", "Planes.", "Planes.."])
def test_captions_end_name_the_data_and_the_profile(caption):
    made = chapter(sweep(STANDIN, "stand-in"))
    made.figure("planes", draw(), caption)
    made.table("drops", TABLE, caption)
    made.provenance()
    found = [entry["caption"] for entry in results.read_manifest("laptop", NOTEBOOK)["outputs"]]
    assert found == [f"Planes. Data: {STANDIN}. Profile laptop."] * 2


def test_before_data_are_named_the_caption_has_none():
    made = chapter()
    made.table("drops", TABLE, "Drops")
    assert (made.folder / "drops.md").read_text().startswith("Drops. Profile laptop.\n")


# ---------------------------------------------------------------- verdicts


def test_verdicts_say_stand_in():
    made = chapter(sweep(STANDIN, "stand-in"))
    shown = made.claims([Verdict("LL-1", SUPPORTED, "distance 0", 3)])
    assert shown["verdict"].tolist() == ["supported (stand-in data)"]
    assert shown["data"].tolist() == [STANDIN]
    found = results.load_table("laptop", NOTEBOOK, "claims")
    pd.testing.assert_frame_equal(found, shown)
    assert "supported (stand-in data)" in (made.folder / "claims.md").read_text()


def test_verdicts_name_the_data_they_rest_on():
    real = sweep(name="a")
    both = Sweep({**real.runs, **sweep(STANDIN, "stand-in", name="b").runs})
    made = chapter(both)
    verdict = Verdict("LL-1", SUPPORTED, "distance 0", 3)
    shown = made.claims([*made.named([verdict], both.select(["a"])), verdict])
    assert shown["data"].tolist() == ["12-bit task", f"12-bit task, {STANDIN}"]
    assert shown["verdict"].tolist() == ["supported", "supported (stand-in data)"]
    (told,) = made.named([verdict], both.select(["a"]), of="tanh (random)")
    assert told.data == "tanh (random), 12-bit task"


def test_verdicts_reach_the_collection(monkeypatch, tmp_path):
    (tmp_path / "claims.csv").write_text(
        "claim,source,where,statement,decided_by\nLL-1,Li,Fig. 4,All at the bound.,A rule.\n"
    )
    monkeypatch.setattr(results, "published_folder", lambda: tmp_path)
    chapter(sweep()).claims([Verdict("LL-1", SUPPORTED, "distance 0", 3)])
    (row,) = claims.collect("laptop").to_dict("records")
    assert (row["verdict"], row["notebook"], row["data"]) == ("supported", NOTEBOOK, "12-bit task")


# ---------------------------------------------------------------- manifest


def test_manifest():
    made = chapter(sweep(), seed=5)
    made.figure("planes", draw(), "Planes")
    made.table("drops", TABLE, "Drops")
    shown = made.provenance(sweep())
    manifest = results.read_manifest("laptop", NOTEBOOK)
    assert manifest == json.loads((made.folder / "manifest.json").read_text())
    kinds = [(entry["kind"], entry["name"]) for entry in manifest["outputs"]]
    assert kinds == [("figure", "planes"), ("table", "drops")]
    assert (manifest["notebook"], manifest["profile"], manifest["seed"]) == (NOTEBOOK, "laptop", 5)
    assert manifest["runs"] == shown.to_dict("records")
    assert manifest["runs"][0]["identifier"] == "0123456789abcdef"
    assert manifest["versions"] == results.versions()


def test_several_sweeps_and_none():
    made = chapter()
    shown = made.provenance({"first": sweep(), "second": sweep(STANDIN, "stand-in", name="b")})
    assert shown["run"].tolist() == ["tanh", "b"]
    assert shown["data"].tolist() == ["12-bit task", STANDIN]
    assert chapter().provenance().empty
    assert results.read_manifest("laptop", NOTEBOOK)["runs"] == []


def test_no_manifest():
    assert results.read_manifest("laptop", NOTEBOOK) is None


def test_outputs_of_earlier_versions_go_and_what_others_write_stays():
    made = chapter()
    made.figure("old", draw(), "Old")
    made.table("planes", TABLE, "A table that became a figure")
    made.provenance()
    (made.folder / "stray.txt").touch()
    (made.folder / ".being-written").touch()
    (made.folder / ".ipynb_checkpoints").mkdir()
    neighbour = results.figures_folder("laptop", "02_other") / "kept.csv"
    results.write_atomically(neighbour, "a\n")

    again = chapter()
    again.figure("planes", draw(), "Planes")
    again.provenance()
    assert files(again.folder) == [
        *(".being-written", ".ipynb_checkpoints", "manifest.json", "planes.pdf", "planes.png")
    ]
    assert neighbour.exists()


def test_a_cell_that_is_run_again_replaces_its_entry():
    made = chapter()
    for caption in ("First", "Second"):
        made.figure("planes", draw(), caption)
        made.table("planes", TABLE, caption)
    made.provenance()
    outputs = results.read_manifest("laptop", NOTEBOOK)["outputs"]
    assert [(entry["kind"], entry["name"], entry["caption"][:7]) for entry in outputs] == [
        ("figure", "planes", "Second."),
        ("table", "planes", "Second."),
    ]


def test_a_figure_and_a_table_may_share_a_name():
    made = chapter()
    made.figure("planes", draw(), "Figure")
    made.table("planes", TABLE, "Table")
    made.provenance()
    assert len(files(made.folder)) == 5
