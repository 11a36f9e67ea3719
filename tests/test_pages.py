"""The start page and the status of the paper profile: what they say, and that they are current."""

import re
from pathlib import Path

import nbformat
import pytest

from ibcore import book, datasets, pages, profiles, reproduce, results

CHECKOUT = Path(__file__).resolve().parents[1]

CELL = """\
# %% [markdown]
# # 07 A title, with (brackets)
#
# A question.
#
# **You will learn** one thing and
# another.
#
# In bits. Runtime on two cores: smoke 1.5 s, laptop 2 min (as 06, 05), paper
# (10 epochs) days.
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder of notebooks with one of them in it."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "07_one.py").write_text(CELL)
    monkeypatch.setattr(reproduce, "SOURCES", folder)
    return folder


# ---------------------------------------------------------------- what notebooks say


def test_every_notebook_says_what_the_pages_show():
    for name in reproduce.notebooks():
        said = pages.told(name)
        assert set(said) == {"title", "learn", *profiles.NAMES}
        assert all(said.values())


def test_the_first_cell_is_read(sources):
    assert pages.told("07_one") == {
        "title": "A title, with (brackets)",
        "learn": "one thing and another",
        "smoke": "1.5 s",
        "laptop": "2 min",
        "paper": "days",
    }


@pytest.mark.parametrize("left_out", ["# # 07", "**You will learn**", "paper"])
def test_a_cell_that_leaves_something_out_is_named(sources, left_out):
    (sources / "07_one.py").write_text(CELL.replace(left_out, "#"))
    with pytest.raises(ValueError, match="the first cell of 07_one has no line like"):
        pages.told("07_one")


def test_chapters_are_those_of_the_book():
    found = pages.chapters()
    listed = [name for names in found.values() for name in names]
    assert sorted(listed) == reproduce.notebooks()
    assert found["Li & Liu: convolutional networks"] == [
        "02_cnn_width",
        "03_cnn_kernel_depth",
        "04_cnn_pooling_dense",
    ]
    assert len(found) == len(list((book.PAGES / "chapters").iterdir()))


# ---------------------------------------------------------------- start page


def test_the_start_page_has_a_row_and_a_link_for_every_notebook():
    page = pages.start_page()
    nbformat.validate(page)
    assert {cell.cell_type for cell in page.cells} == {"markdown"}
    text = "\n".join(cell.source for cell in page.cells)
    assert sorted(re.findall(r"\| \[\d\d\]\((\w+)\.ipynb\)", text)) == reproduce.notebooks()
    for title in pages.chapters():
        assert f"## {title}\n" in text


def test_the_start_page_says_how_to_use_sliders_and_profiles():
    text = pages.start_page().cells[0].source
    assert "slider" in text
    assert all(f"`{name}`" in text or f'"{name}"' in text for name in profiles.NAMES)


def test_the_kept_start_page_is_current():
    """If not: `make report`."""
    kept, made = nbformat.read(pages.START, as_version=4), pages.start_page()
    assert [cell.source for cell in kept.cells] == [cell.source for cell in made.cells]


# ---------------------------------------------------------------- status


def test_the_kept_status_is_current(monkeypatch):
    """If not: `make report`."""
    monkeypatch.setenv("IBCORE_OUTPUT", str(CHECKOUT))
    assert (CHECKOUT / "figures" / "paper" / "STATUS.md").read_text() == pages.status()


@pytest.fixture
def paper(monkeypatch):
    """Set the values of the notebooks in the paper profile."""
    sections = {}
    monkeypatch.setattr(profiles, "read", lambda profile: {"paper": sections}[profile])
    return sections


def rows():
    lines = [line.strip("| ").split("|") for line in pages.status().splitlines() if "|" in line]
    names, _, *cells = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(names, line, strict=True)) for line in cells]


def test_what_is_not_run_says_what_it_needs(sources, paper):
    def only(common, runs):
        paper["07_one"] = {"common": common, "runs": runs}
        (row,) = rows()
        assert row["notebook"] == "07_one"
        assert row["time"] == "days"
        assert row["commit"] == ""
        assert row["command"] == "`make reproduce PROFILE=paper ONLY=07`"
        return row["state"], row["device"], row["data (source)"], row["seeds"]

    network = {"dataset": "szt", "model": "mlp", "replicas": 4, "device": "auto"}
    assert only(network, {"one": None}) == (
        "not run: computing time only", "CPU", "12-bit task", "0-3",
    )  # fmt: skip
    assert only(network | {"model": "cnn"}, {"one": {}, "two": {"dataset": "mnist"}}) == (
        "not run: a GPU is wanted", "GPU", "12-bit task, MNIST", "0-3",
    )  # fmt: skip
    assert only({"dataset": "imagenet", "device": "auto"}, {"one": {}}) == (
        "not run: a GPU is wanted; files to be fetched by hand: ImageNet", "GPU", "ImageNet", "0",
    )  # fmt: skip
    assert only({}, {"one": {"repeats": 20}}) == (
        "not run: computing time only", "CPU", "generated", "0-19",
    )  # fmt: skip
    seeds = {f"seed {first}": {"first": first} for first in (0, 1, 2)}
    assert only({"dataset": "szt"}, seeds)[3] == "0-2"
    fewer = {"one": {"replicas": 6}, "two": {}, "three": {}, "four": {"replicas": 1}}
    assert only({"dataset": "szt", "replicas": 3}, fewer)[3] == "0-5, 0-2, 0"


def test_what_is_run_says_where_it_comes_from(sources, paper, output):
    paper["07_one"] = {"common": {"replicas": 3}, "runs": {"one": {}, "two": {}}}
    run = {
        "data": "MNIST", "source": "official", "device": "CPU", "commit": "abc", "dirty": False,
        "seconds": 90.0,
    }  # fmt: skip

    def only(*runs):
        manifest = {"seed": 5, "runs": list(runs)}
        path = results.figures_folder("paper", "07_one") / "manifest.json"
        results.write_atomically(path, results.to_json(manifest))
        (row,) = rows()
        return [row[name] for name in ("state", "device", "data (source)", "commit", "time")]

    assert only(run) == [
        "run, 1 of 2 runs: the other weights were not at hand", "CPU", "MNIST (official)", "abc",
        "at least 1.5 min in 1 run",
    ]  # fmt: skip
    assert "1 of 1 notebooks have been run." in pages.status()
    second = run | {"device": "a GPU", "source": "local", "dirty": True, "seconds": 7200.0}
    assert only(run, run, second) == [
        "run", "CPU, a GPU", "MNIST (official), MNIST (local)", "abc; abc, changed",
        "at least 2.0 h in 3 runs",
    ]  # fmt: skip
    assert only(run | {"commit": "unknown", "dirty": None}, run)[3] == "unknown; abc"
    assert only(run | {"commit": "unknown", "dirty": None})[3] == "unknown"
    assert rows()[0]["seeds"] == "5-7"
    assert "1 of 1 notebooks have been run." in pages.status()


def test_data_that_no_address_is_known_for():
    by_hand = {name for name in datasets.names() if datasets.is_by_hand(name)}
    assert by_hand == {"imagenet", "pokemon", "pokemon_time"}
    assert datasets.title("szt") == "12-bit task"
    for ask in (datasets.title, datasets.is_by_hand):
        with pytest.raises(ValueError, match="unknown data set 'mnits'"):
            ask("mnits")


# ---------------------------------------------------------------- command line


def test_the_command_writes_both(output, monkeypatch, capsys):
    monkeypatch.chdir(output.parent)
    monkeypatch.setattr(pages, "START", output / "start.ipynb")
    assert pages.main([]) == 0
    assert capsys.readouterr().out == (
        "Wrote output/start.ipynb and output/figures/paper/STATUS.md\n"
    )
    nbformat.validate(nbformat.read(output / "start.ipynb", as_version=4))
    text = (output / "figures" / "paper" / "STATUS.md").read_text()
    assert "0 of 18 notebooks have been run." in text


@pytest.mark.parametrize(("given", "status"), [("--help", 0), ("other", 2)])
def test_a_question_or_a_mistake_writes_nothing(output, monkeypatch, capsys, given, status):
    monkeypatch.setattr(pages, "START", output / "start.ipynb")
    with pytest.raises(SystemExit) as left:
        pages.main([given])
    assert left.value.code == status
    assert "usage: python -m ibcore.pages" in "".join(capsys.readouterr())
    assert not output.exists()
