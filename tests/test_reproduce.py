"""Execution, overview and pairing of notebooks; the committed notebooks as they should be."""

import errno
import gc
import html
import io
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import pytest
from tqdm import tqdm

from ibcore import profiles, reproduce, results

CHECKOUT = Path(__file__).resolve().parents[1]
COMMITTED = reproduce.notebooks()

HEAD = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
"""

PARAMETERS = """\
# %% tags=["parameters"]
profile = "smoke"
seed = 0
"""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """An empty folder of notebooks; every profile has a section for each."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(reproduce, "SOURCES", folder)
    monkeypatch.setattr(profiles, "section", lambda profile, notebook: {})
    monkeypatch.setenv("IBCORE_STATIC", "1")
    return folder


# ---------------------------------------------------------------- progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(reproduce.time, "monotonic", clock)
    return clock


def test_redrawn_bars_become_few_whole_lines(clock):
    stream = io.StringIO()
    lines = reproduce.ProgressLines(stream, "01:", interval=5)
    for percent in range(100):
        clock.now = percent / 10
        lines.write(f"\rruns: {percent:3d}%|#   | ")
    lines.write("\rruns: 100%|####| \n")
    assert stream.getvalue().splitlines() == [
        "01: runs:  49%|#   |",
        "01: runs: 100%|####|",
    ]


def test_other_lines_are_shown_at_once_and_whole(clock):
    stream = io.StringIO()
    lines = reproduce.ProgressLines(stream, "01:")
    assert lines.write("UserWarn") == 8
    assert stream.getvalue() == ""
    lines.write("ing: careful\n\n  wide.warn()\nrest")
    assert stream.getvalue() == "01: UserWarning: careful\n01: wide.warn()\n"
    lines.flush()
    lines.write(" of it\n")
    assert stream.getvalue().endswith("01: rest of it\n")


def test_each_piece_of_a_split_line_counts_once(clock):
    stream = io.StringIO()
    lines = reproduce.ProgressLines(stream, "01:", interval=0)
    for character in "\r 10%|#\r 20%|##\n":
        lines.write(character)
    assert stream.getvalue() == "01: 10%|#\n01: 20%|##\n"


@pytest.mark.parametrize(("interval", "fewest", "most"), [(1e9, 1, 1), (0, 8, 40)])
def test_nested_bars_leave_no_cursor_movements(interval, fewest, most):
    stream = io.StringIO()
    lines = reproduce.ProgressLines(stream, "01:", interval=interval)
    options = {"file": lines, "disable": False, "mininterval": 0, "miniters": 1}
    for _ in tqdm(range(2), desc="runs", **options):
        for _ in tqdm(range(3), desc="epochs", leave=False, **options):
            pass
    shown = stream.getvalue().splitlines()
    assert fewest <= len(shown) <= most
    assert all(line.startswith("01: ") and "\x1b" not in line for line in shown)
    assert "runs: 100%" in shown[-1]


# ---------------------------------------------------------------- execution

FAILING = f"""\
{HEAD}
# %% [markdown]
# # A story

{PARAMETERS}
# %%
import os
import sys
print(profile, seed)
print("half way", file=sys.stderr)
os.write(2, b"chatter of a library")

# %%
values = {{"present": 1}}
values["missing"]

# %%
print("never reached")
"""


@pytest.mark.slow
def test_a_failing_cell_is_named_at_the_end(sources, output, capfd, monkeypatch):
    output.mkdir()
    monkeypatch.chdir(output)
    (sources / "00_broken.py").write_text(FAILING)
    given = ["run", "00_broken", "--profile", "smoke", "--seed", "7"]
    assert reproduce.main([*given, "--chosen", "00_broken 01_other"]) == 1
    shown = capfd.readouterr()
    assert shown.out == "[1 of 2] 00_broken: started, profile smoke\n"
    assert shown.err.splitlines() == [
        "  00_broken: half way",
        "error: 00_broken: cell 4 failed with KeyError: 'missing'",
        '    values = {"present": 1}',
        '    values["missing"]',
        "it is kept as data/runs/notebooks/smoke/00_broken.failed.ipynb",
    ]
    folder = output / "data" / "runs" / "notebooks" / "smoke"
    assert sorted(os.listdir(folder)) == ["00_broken.failed.ipynb", "00_broken.log"]
    kept = nbformat.read(folder / "00_broken.failed.ipynb", as_version=4)
    printed = [
        item for cell in kept.cells if cell.cell_type == "code" for item in cell.get("outputs")
    ]
    assert printed[0].text == "smoke 7\n"
    assert printed[-1].ename == "KeyError"
    assert "chatter of a library" in (folder / "00_broken.log").read_text()


@pytest.mark.slow
def test_a_kernel_runs_where_temporary_files_have_long_names(sources, tmp_path, monkeypatch):
    (sources / "00_told.py").write_text(TOLD)
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(reproduce.tempfile, "tempdir", str(long))
    kept = nbformat.read(reproduce.execute("00_told", "smoke"), as_version=4)
    assert kept.cells[-1].outputs[0].data == {"text/plain": "{'six': 6}"}
    assert list(long.iterdir()) == []


@pytest.mark.slow
def test_a_dying_kernel_is_named_with_its_cell(sources, output):
    (sources / "00_dies.py").write_text(f"{HEAD}# %%\nimport os\nos._exit(3)\n\n{PARAMETERS}")
    stream = io.StringIO()
    message = r"^00_dies: cell 1 stopped: Kernel died\n    import os\n    os\._exit\(3\)\nit is"
    with pytest.raises(RuntimeError, match=message):
        reproduce.execute("00_dies", "smoke", stream=stream)
    folder = output / "data" / "runs" / "notebooks" / "smoke"
    assert sorted(os.listdir(folder)) == ["00_dies.failed.ipynb", "00_dies.log"]


@pytest.mark.slow
def test_a_failure_leaves_the_good_notebook_and_goes_when_it_succeeds(sources, tmp_path):
    source = sources / "00_some.py"

    def executed(text):
        source.write_text(f"{HEAD}{PARAMETERS}\n# %%\n{text}\n")
        return reproduce.execute("00_some", "smoke")

    place = executed("1")
    good, failed = place.read_bytes(), place.with_suffix(".failed.ipynb")
    assert reproduce.is_complete(nbformat.read(place, as_version=4))
    for wrong in ("1 / 0", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n\n# %%\n2"):
        with pytest.raises(RuntimeError, match=f"it is kept as .*{failed.name}"):
            executed(wrong)
        assert place.read_bytes() == good
        kept = nbformat.read(failed, as_version=4)
        assert wrong.split("\n\n")[0] in [cell.source for cell in kept.cells]
        assert not reproduce.is_complete(kept)
    executed("2")
    assert sorted(os.listdir(place.parent)) == ["00_some.ipynb", "00_some.log"]
    assert place.read_bytes() != good


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def _fill_the_disk(_, path):
    path.write_text('{"cells": [')
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("module", "function", "does", "status", "words"),
    [
        ("papermill", "execute_notebook", _interrupt, 130, "interrupted: "),
        ("nbformat", "write", _fill_the_disk, 1, "error: [Errno 28] No space left on device\n"),
    ],
)
def test_what_ends_before_the_first_cell_leaves_the_good_notebook(
    sources, monkeypatch, capfd, module, function, does, status, words
):
    (sources / "00_told.py").write_text(TOLD)
    place = results.executed_notebook("smoke", "00_told")
    results.write_atomically(place, "a good one")
    monkeypatch.setattr(getattr(reproduce, module), function, does)
    assert reproduce.main(["run", "00_told", "--profile", "smoke"]) == status
    assert capfd.readouterr().err.startswith(words)
    assert place.read_text() == "a good one"
    assert not list(place.parent.glob(".*.ipynb"))


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(
    sources, monkeypatch, capfd
):
    (sources / "00_told.py").write_text(TOLD)
    folder = results.executed_notebook("smoke", "00_told").parent
    folder.mkdir(parents=True)
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left, living = (folder / f".00_told.{pid}.ipynb" for pid in (killed.pid, os.getppid()))
    left.write_text("{")
    living.write_text("{")
    monkeypatch.setattr(reproduce.papermill, "execute_notebook", _interrupt)
    assert reproduce.main(["run", "00_told", "--profile", "smoke"]) == 130
    assert list(folder.glob(".*.ipynb")) == [living]


FOLDERS = f"""\
{HEAD}
{PARAMETERS}
# %%
import os
from ibcore import results
print(results.output_root(), os.environ["IBCORE_DATA"])
"""


@pytest.mark.slow
def test_folders_mean_the_same_in_the_kernel(sources, tmp_path, monkeypatch):
    (sources / "00_folders.py").write_text(FOLDERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IBCORE_OUTPUT", "out")
    monkeypatch.setenv("IBCORE_DATA", "~/own")
    place = reproduce.execute("00_folders", "smoke")
    assert place.is_relative_to(tmp_path / "out")
    printed = nbformat.read(place, as_version=4).cells[-1].outputs[0].text
    assert printed == f"{tmp_path}/out {tmp_path}/own\n"


INTERRUPTED = f"""\
{HEAD}
{PARAMETERS}
# %%
import os
import signal
import time
os.kill(os.getppid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.fixture
def interruptible():
    """Python's own answer to an interrupt, which processes in the background do not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_notebook_ends_with_one_message(sources, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger("asyncio"), "disabled", False)
    (sources / "00_long.py").write_text(INTERRUPTED)
    assert reproduce.main(["run", "00_long", "--profile", "smoke"]) == 130
    gc.collect()  # where a client of the kernel would complain
    assert capfd.readouterr().err.splitlines() == [
        "interrupted: finished runs and checkpoints are kept, the same command goes on from there"
    ]


def test_standard_error_is_given_back(tmp_path, capfd):
    with reproduce._standard_error_in(tmp_path / "log") as terminal:
        os.write(2, b"into the log\n")
        print("to the terminal", file=terminal, flush=True)
    os.write(2, b"afterwards\n")
    assert (tmp_path / "log").read_text() == "into the log\n"
    assert capfd.readouterr().err == "to the terminal\nafterwards\n"


@pytest.mark.parametrize("profile", profiles.NAMES)
def test_an_unknown_notebook_lists_the_known_ones(profile, capsys, output):
    assert reproduce.main(["run", "99_nothing", "--profile", profile]) == 1
    message = capsys.readouterr().err
    assert "'99_nothing'" in message
    assert all(name in message for name in COMMITTED)
    assert not output.exists()


def test_a_notebook_without_source_lists_the_known_ones(sources):
    for name in ("00_first.py", "01_second.py", "drafts.py"):
        (sources / name).write_text("")
    with pytest.raises(ValueError, match="unknown notebook '02_x'; notebooks: 00_first, 01_second"):
        reproduce.execute("02_x", "smoke")


def test_an_unknown_profile_lists_the_known_ones(capsys):
    assert reproduce.main(["run", COMMITTED[0], "--profile", "poster"]) == 1
    assert "unknown profile 'poster'; known profiles: smoke, laptop, paper" in (
        capsys.readouterr().err
    )


def test_starting_a_notebook_does_not_wait_for_the_numerical_libraries(python):
    python(
        "import sys; import ibcore.reproduce\n"
        "slow = {'torch', 'sklearn', 'seaborn', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow"
    )


# ---------------------------------------------------------------- overview

LONG = "drop 0.41 [0.30, 0.52] bit; " * 5 + "noise band 0.05 bit"


@pytest.fixture
def written(sources):
    """What two notebooks have left in the smoke profile; a third has not been run."""
    for name in ("00_first", "01_second", "02_third"):
        (sources / f"{name}.py").write_text("")
    first = [
        ("figure", "planes", "Mean of 3 seeds & n < 10. Data: szt. Profile smoke."),
        ("figure", "i_xt", "I(X;T). Data: digits (stand-in for MNIST). Profile smoke."),
        ("table", "phases", "Rise <b>and</b> fall. Profile smoke."),
    ]
    second = [("table", "claims", "Verdicts. Profile smoke.")]
    tables = {
        ("00_first", "phases"): pd.DataFrame({"layer": ["<hidden>"] * 40, "drop": [0.12345] * 40}),
        ("01_second", "claims"): pd.DataFrame(
            {
                "claim": ["SZT-1", "LL-6"],
                "verdict": ["supported", "uninformative (estimator saturated) (stand-in data)"],
                "statistic": ["a < b", LONG],
                "seeds": [3, 2],
                "data": ["szt", "digits (stand-in for MNIST)"],
            }
        ),
    }
    for notebook, entries in (("00_first", first), ("01_second", second)):
        outputs = [dict(zip(("kind", "name", "caption"), entry, strict=True)) for entry in entries]
        folder = results.figures_folder("smoke", notebook)
        results.write_atomically(
            folder / "manifest.json", results.to_json({"notebook": notebook, "outputs": outputs})
        )
    for (notebook, name), table in tables.items():
        path = results.figures_folder("smoke", notebook) / f"{name}.csv"
        results.write_atomically(path, results.table_to_csv(table))
    return first


def test_the_markdown_index_shows_every_output_with_its_caption(written):
    text = reproduce.index_markdown("smoke")
    assert text.startswith("# Figures and tables of the smoke profile\n")
    for kind, name, caption in written:
        place = f"![{name}](00_first/{name}.png)\n\n" if kind == "figure" else f"[{name}](00_first"
        assert place in text
        assert caption in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == ["00_first", "01_second"]


def test_the_page_shows_every_output_with_its_caption(written):
    page = reproduce.index_html("smoke")
    for kind, name, caption in written:
        assert html.escape(caption) in page
        assert (f"<img src='00_first/{name}.png'" in page) == (kind == "figure")
    assert re.findall("<h2 id='(.*?)'", page) == ["00_first", "01_second"]
    assert page.count("<details>") == 2
    assert "http" not in page


def test_the_page_escapes_and_rounds(written):
    page = reproduce.index_html("smoke")
    assert "<b>and</b>" not in page
    assert "&lt;hidden&gt;" in page
    assert "0.123<" in page
    assert "0.12345" not in page
    assert "a &lt; b" in page


def test_the_page_shows_verdicts_in_full(written):
    page = reproduce.index_html("smoke")
    assert LONG in page
    assert "(stand-in data)" in page
    assert "NaN" not in page
    published = results.read_csv(CHECKOUT / "data" / "published" / "claims.csv")
    for statement in published["statement"]:
        assert html.escape(statement, quote=False) in page


def test_verdicts_name_every_claim_with_seeds_and_data(written):
    text = reproduce.claims_markdown("smoke")
    published = results.read_csv(CHECKOUT / "data" / "published" / "claims.csv")
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| ")}
    assert set(published["claim"]) <= set(rows)
    cells = [cell.strip() for cell in rows["LL-6"].split("|")]
    assert cells[2] == "uninformative (estimator saturated) (stand-in data)"
    assert cells[3:7] == [LONG, "2", "01_second", "digits (stand-in for MNIST)"]
    assert "not run (no notebook of this profile has decided it)" in rows["SZT-2"]
    assert "nan" not in text


def test_the_index_command_writes_three_files_and_a_summary(written, output, capsys, monkeypatch):
    monkeypatch.chdir(output)
    assert reproduce.main(["index", "--profile", "smoke"]) == 0
    folder = output / "figures" / "smoke"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "index.md",
        "index.html",
        "claims.md",
    }
    assert (folder / "index.html").read_text() == reproduce.index_html("smoke")
    shown = capsys.readouterr().out
    published = results.read_csv(CHECKOUT / "data" / "published" / "claims.csv")
    assert re.search(r"SZT-1 +\| supported +\| 01_second", shown)
    assert "(stand-in data)" in shown
    assert f"{len(published) - 2} claims are not run in this profile" in shown
    assert "figures/smoke/index.html, figures/smoke/index.md and figures/smoke/claims.md" in shown


@pytest.mark.parametrize("profile", ["foo", "", "../x"])
def test_an_overview_of_an_unknown_profile_is_refused(output, capsys, profile):
    with pytest.raises(SystemExit) as left:
        reproduce.main(["index", "--profile", profile])
    assert left.value.code == 2
    assert "choose from" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize(
    ("output_folder", "changes"), [(".", True), ("notebooks/..", True), ("elsewhere", False)]
)
def test_the_readme_tells_the_verdicts_of_its_own_checkout(
    sources, monkeypatch, capsys, output_folder, changes
):
    readme = sources.parent / "README.md"
    before = "\n".join(reproduce.MARKS)
    readme.write_text(before)
    monkeypatch.setenv("IBCORE_OUTPUT", str(sources.parent / output_folder))
    assert reproduce.main(["readme"]) == 0
    assert (readme.read_text() != before) == changes
    assert ("README.md is left as it is" in capsys.readouterr().out) != changes


def test_a_profile_without_results_has_an_overview_too(sources, output):
    summary = reproduce.write_index("paper")
    published = results.read_csv(CHECKOUT / "data" / "published" / "claims.csv")
    assert f"{len(published)} claims are not run" in summary


def test_one_missing_claim_is_told_in_the_singular(sources, output, monkeypatch):
    published = results.read_csv(CHECKOUT / "data" / "published" / "claims.csv")
    monkeypatch.setattr(results, "read_csv", lambda path: published.head(1))
    assert "\n1 claim is not run in this profile\n" in reproduce.write_index("paper")
    assert "paper profile" in (output / "figures" / "paper" / "index.html").read_text()


# ---------------------------------------------------------------- settings


def test_settings_change_with_the_data_files(tmp_path, monkeypatch, capsys):
    raw, own = tmp_path / "raw", tmp_path / "own"
    monkeypatch.setattr(reproduce.datasets, "raw_folder", lambda: raw)
    nothing = reproduce.settings()
    monkeypatch.setenv("IBCORE_DATA", str(own))
    seen = [nothing, reproduce.settings()]
    for path, text in ((raw / "a" / "x.gz", "1"), (own / "x.gz", "1"), (own / "y.gz", "22")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        seen.append(reproduce.settings())
    (own / "y.gz").write_text("333")
    seen.append(reproduce.settings())
    os.utime(own / "y.gz", (1, 1))
    seen.append(reproduce.settings())
    assert len(set(seen)) == len(seen)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IBCORE_DATA", "~/own")
    assert reproduce.settings() == seen[-1]
    for path in (own / "y.lock", own / ".y.gz.part", own / ".cache" / "z", raw / "sums.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not data")
    assert reproduce.settings() == seen[-1]
    assert reproduce.main(["settings"]) == 0
    assert capsys.readouterr().out == f"{seen[-1]}\n"


# ---------------------------------------------------------------- pairs

TOLD = f"""\
{HEAD}
# %% [markdown]
# # A story

{PARAMETERS}
# %%
import sys
print("progress", file=sys.stderr)
print("in", profile)

# %% tags=["nbval-check-output"]
{{"six": 6}}
"""


@pytest.mark.slow
def test_a_pair_holds_the_cells_and_their_outputs_only(sources, capsys):
    source, paired = sources / "00_told.py", sources / "00_told.ipynb"
    source.write_text(TOLD)
    assert reproduce.differing_pairs() == ["00_told"]
    assert reproduce.main(["pair", "00_told"]) == 0
    assert capsys.readouterr().out == "paired 00_told.ipynb\n"
    first = paired.read_bytes()
    reproduce.pair("00_told")
    assert paired.read_bytes() == first

    made = nbformat.read(paired, as_version=4)
    nbformat.validate(made)
    assert [cell.cell_type for cell in made.cells] == ["markdown", "code", "code", "code"]
    assert [cell.metadata for cell in made.cells] == [
        {},
        {"tags": ["parameters"]},
        {},
        {"tags": ["nbval-check-output"]},
    ]
    assert [cell.execution_count for cell in made.cells[1:]] == [1, 2, 3]
    assert made.cells[1].outputs == []
    (printed,) = made.cells[2].outputs
    assert (printed.name, printed.text) == ("stdout", "in smoke\n")
    (result,) = made.cells[3].outputs
    assert (result.execution_count, result.data) == (3, {"text/plain": "{'six': 6}"})
    assert b"papermill" not in first

    assert reproduce.differing_pairs() == []
    assert reproduce.main(["check"]) == 0


@pytest.fixture
def agreeing(sources):
    """A source and its pair, made without a kernel."""
    source = sources / "00_told.py"
    source.write_text(TOLD)
    nbformat.write(jupytext.read(source), sources / "00_told.ipynb")
    assert reproduce.differing_pairs() == []
    return source


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('print("in", profile)', 'print("at", profile)'),
        ("# # A story", "# # Another story"),
        ('{"six": 6}', '{"six": 6}\n\n# %%\n"one more"'),
        ('tags=["nbval-check-output"]', 'tags=["solution"]'),
        ("# %%\nimport", "# %% [markdown]\nimport"),
    ],
    ids=["code", "text", "added cell", "tag", "kind"],
)
def test_a_changed_source_is_noticed(agreeing, capsys, before, after):
    assert TOLD.count(before) == 1
    agreeing.write_text(TOLD.replace(before, after))
    assert reproduce.main(["check"]) == 1
    message = capsys.readouterr().err
    assert message == "error: run `make pair`: other cells than the source: 00_told\n"


def test_a_missing_pair_is_noticed(agreeing):
    agreeing.with_suffix(".ipynb").unlink()
    assert reproduce.differing_pairs() == ["00_told"]


# ---------------------------------------------------------------- the committed notebooks


def test_committed_pairs_agree():
    assert COMMITTED, "there are no notebooks"
    assert reproduce.differing_pairs() == []


@pytest.fixture(params=COMMITTED)
def told(request):
    """The source of a committed notebook."""
    return jupytext.read(reproduce.source(request.param))


@pytest.fixture(params=COMMITTED)
def executed(request):
    """A committed notebook with its outputs."""
    return nbformat.read(reproduce.SOURCES / f"{request.param}.ipynb", as_version=4)


def _tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_profile_has_a_section_for_every_notebook():
    for profile in profiles.NAMES:
        assert sorted(profiles.read(profile)) == COMMITTED


def test_parameters_come_with_the_smoke_profile(told):
    (cell,) = _tagged(told, "parameters")
    assert cell.source == 'profile = "smoke"\nseed = 0'


def test_outputs_are_checked(told):
    checked = _tagged(told, "nbval-check-output")
    assert checked
    assert all("print(" in cell.source for cell in checked)


def test_cells_are_shorter_than_a_screen(told):
    assert max(len(cell.source.splitlines()) for cell in _code(told)) <= 40


def test_solutions_are_tagged(told):
    headings = [cell.source.split("\n")[0] for cell in told.cells]
    start, end = headings.index("## Exercises"), headings.index("## Provenance")
    solutions = told.cells[start + 1 : end]
    assert solutions
    assert solutions == _tagged(told, "solution")


def test_provenance_is_last(told):
    assert told.cells[-1].source.startswith("chapter.provenance(")
    assert "nbval-ignore-output" in told.cells[-1].metadata["tags"]


def _texts(cell):
    """What a reader sees of a cell's outputs, without pictures."""
    for shown in cell.get("outputs", []):
        yield shown.get("text", "")
        yield from (text for kind, text in shown.get("data", {}).items() if "image" not in kind)


def test_no_committed_cell_failed_or_warned(executed):
    for cell in _code(executed):
        assert not [shown for shown in cell.outputs if shown.output_type == "error"]
        assert not [shown for shown in cell.outputs if shown.get("name") == "stderr"]


def test_every_committed_cell_was_run(executed):
    """Nbval does not compare the others."""
    counts = [cell.execution_count for cell in _code(executed)]
    assert counts == list(range(1, len(counts) + 1))


def test_checked_cells_have_outputs(executed):
    assert all("".join(_texts(cell)).strip() for cell in _tagged(executed, "nbval-check-output"))


def test_committed_notebooks_name_no_place_on_a_disk(executed):
    place = re.compile(r"(?<![\w.:/])/(home|tmp|work|root|usr|opt|mnt|srv|var|Users)/")
    for cell in executed.cells:
        for text in (cell.source, *_texts(cell)):
            assert not place.search(text), text
