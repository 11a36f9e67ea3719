"""The command `ibcore`: what it shows of stored runs, and what it says when it cannot."""

import subprocess
import sys

import pandas as pd
import pytest

from ibcore import results
from ibcore.__main__ import compare, find, main

BASE = {
    "seed": 0,
    "name": "tanh",
    "config": {"epochs": 3, "model_options": {"activation": "tanh"}},
    "data": {"label": "12-bit task", "source": "official"},
    "seconds": 1.25,
}
RELU = BASE | {"name": "ReLU", "config": {"epochs": 3, "model_options": {"activation": "relu"}}}
CURVE = pd.DataFrame({"epoch": [0, 1], "layer": ["a", "b"], "I_XT": [1.0, 2.0]})
FIRST, SECOND, OTHER = "aaaa111122223333", "aaab111122223333", "cccc111122223333"


@pytest.fixture
def store():
    """Three runs; the first belongs to the results of a notebook."""
    results.save_run("planes", FIRST, {"curve": CURVE}, BASE)
    moved = CURVE.assign(I_XT=[1.0, 2.5], layer=["a", "c"])
    results.save_run("planes", SECOND, {"curve": moved}, RELU)
    results.save_run("truth", OTHER, {"curve": CURVE[:1], "extra": CURVE}, BASE | {"seed": 7})
    path = results.figures_folder("smoke", "01_szt_saxe") / "manifest.json"
    results.write_atomically(path, results.to_json({"runs": [{"identifier": FIRST}]}))


def told(capsys, *arguments, status=0):
    """What a command prints: output, or errors if it has to fail."""
    assert main(list(arguments)) == status
    shown = capsys.readouterr()
    return shown.err if status else shown.out


def test_list_names_every_run_and_who_uses_it(store, capsys):
    lines = told(capsys, "list").splitlines()
    assert [line.split()[0] for line in lines[2:]] == [FIRST, SECOND, OTHER]
    assert lines[2].split("  ")[-1] == "smoke 01_szt_saxe"
    assert "12-bit task" in lines[3]
    assert "ReLU" in lines[3]


def test_list_names_all_users_of_a_shared_run_once(store, capsys):
    runs = [{"identifier": FIRST}, {"identifier": OTHER}, {"identifier": FIRST}]
    for profile, notebook in (("smoke", "02_cnn_width"), ("laptop", "01_szt_saxe")):
        path = results.figures_folder(profile, notebook) / "manifest.json"
        results.write_atomically(path, results.to_json({"runs": runs}))
    lines = told(capsys, "list").splitlines()
    shared = "smoke 02_cnn_width, laptop 01_szt_saxe"
    assert lines[2].endswith(f"  smoke 01_szt_saxe, {shared}")
    assert lines[4].endswith(f"  {shared}")
    assert f"used by                  smoke 01_szt_saxe, {shared}\n" in told(capsys, "show", "aaaa")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["relu"], [SECOND]),
        (["12-BIT", "planes"], [FIRST, SECOND]),
        (["smoke", "01_szt"], [FIRST]),
        (["aaa"], [FIRST, SECOND]),
    ],
)
def test_list_of_runs_with_words(store, capsys, words, found):
    lines = told(capsys, "list", *words).splitlines()
    assert [line.split()[0] for line in lines[2:]] == found


def test_list_of_no_run_with_a_word(store, capsys):
    assert told(capsys, "list", "relu", "truth") == "none of 3 runs has relu and truth\n"


def test_list_of_an_empty_store(capsys, output):
    assert told(capsys, "list") == f"no runs in {output}/data/runs\n"


def test_damaged_runs_are_passed_over_with_a_warning(store, capsys):
    (results.run_folder("planes", FIRST) / "run.json").write_text("{}")
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert FIRST not in shown.out
    assert shown.err.startswith(f"warning: run planes/{FIRST} is damaged")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("prefix", ["aaaa", "AAAA1", FIRST])
def test_a_run_is_found_by_its_first_digits(store, prefix):
    assert find(prefix)["run"] == FIRST


def test_an_ambiguous_prefix_names_the_candidates(store, capsys):
    message = told(capsys, "show", "aaa", status=1)
    assert message.startswith("error: several runs begin with 'aaa':")
    assert FIRST in message
    assert SECOND in message
    assert OTHER not in message


def test_of_many_candidates_ten_are_shown(capsys):
    for number in range(12):
        results.save_run("planes", f"aa{number:02d}", {"curve": CURVE}, BASE)
    lines = told(capsys, "show", "aa", status=1).splitlines()
    assert len(lines) == 1 + 2 + 10 + 1
    assert lines[-1] == "and 2 more"


@pytest.mark.parametrize(
    ("asked", "near", "far"),
    [("aaac", [FIRST, SECOND], [OTHER]), ("relu", [SECOND], [FIRST, OTHER]), ("ffff", [], [FIRST])],
)
def test_an_unknown_run_names_near_ones(store, capsys, asked, near, far):
    message = told(capsys, "show", asked, status=1)
    assert message.startswith(f"error: no run begins with '{asked}'; ")
    assert all(run in message for run in near)
    assert not any(run in message for run in far)
    assert ("`ibcore list` shows all" in message) == (not near)


def test_show_tells_everything(store, capsys):
    shown = told(capsys, "show", "aaaa")
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    assert {f"run {FIRST}", "data.label 12-bit task", "seconds 1.25"} <= lines
    assert {"epochs 3", "model_options.activation tanh"} <= lines
    assert "curve 2 rows: epoch, layer, I_XT" in lines
    assert "used by smoke 01_szt_saxe" in lines
    assert "used by no notebook's present results" in " ".join(told(capsys, "show", "c").split())


def test_a_damaged_table_is_an_error(store, capsys):
    (results.run_folder("planes", FIRST) / "curve.csv").write_text("")
    message = told(capsys, "show", "aaaa", status=1)
    assert f"error: run {FIRST} is damaged; its notebook will compute it again" in message


def test_compare_shows_what_differs_and_nothing_else(store, capsys):
    shown = told(capsys, "compare", "aaaa", "aaab")
    rows = [line.split() for line in shown.split("\n\n")[0].splitlines()[2:]]
    assert sorted(rows) == [
        ["config.model_options.activation", "tanh", "relu"],
        ["name", "tanh", "ReLU"],
        ["run", FIRST, SECOND],
    ]
    assert "  curve: layer differs, I_XT differs by up to 0.5\n" in shown


@pytest.mark.parametrize("other", [[True, True], [1, 1], [1.0, None]])
def test_compare_of_truth_values(store, other):
    for name, values in (("ee", [True, False]), ("ff", other)):
        results.save_run("planes", name, {"curve": CURVE.assign(pruned=values)}, BASE)
    assert compare("ee", "ff").endswith("\n  curve: pruned differs")
    assert compare("ff", "ee").endswith("\n  curve: pruned differs")


def test_compare_of_a_run_with_itself(store):
    assert compare("aaaa", "aaaa") == "one and the same run"


def test_compare_of_tables_of_other_shape(store):
    results.save_run("planes", "dd", {"curve": CURVE.drop(columns="layer"), "extra": CURVE}, BASE)
    assert compare("aaaa", "c").endswith("  curve: 2 and 1 rows\n  extra: only in the second run")
    assert compare("c", "aaaa").endswith("  extra: only in the first run")
    assert compare("aaaa", "dd").splitlines()[-2] == "  curve: not in both: layer"
    assert compare("dd", "c").endswith("  extra: equal")


def test_verdicts_of_a_profile_and_the_best(output, capsys):
    folder = output / "figures" / "laptop" / "01_some"
    folder.mkdir(parents=True)
    (folder / "claims.csv").write_text("claim,verdict,seeds,data\nSZT-1,supported,5,bits\n")
    (line,) = told(capsys, "verdicts").splitlines()[2:]
    assert line.split() == ["SZT-1", "supported", "bits", "laptop", "01_some"]
    lines = told(capsys, "verdicts", "--profile", "paper").splitlines()[2:]
    assert len(lines) == 38
    assert all("not run" in line for line in lines)


def test_without_any_verdict_it_says_what_to_do(capsys):
    message = told(capsys, "verdicts", status=1)
    assert message == "error: no claim has been decided yet; `make reproduce` does it\n"


def test_data_passes_on_names_and_the_outcome(capsys):
    shown = told(capsys, "data", "szt", "--standin")
    assert shown.splitlines()[1].split()[:2] == ["szt", "official"]
    with pytest.raises(SystemExit):
        main(["data", "nope"])
    assert "ibcore data: error: unknown data set 'nope'; known are" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    assert {"mnist,", "weights/vgg16,"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", ["list", "show", "compare", "verdicts", "data"])
def test_every_command_has_a_help_text(capsys, name):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


@pytest.mark.slow
def test_it_runs_as_a_module_and_into_a_closed_pipe(store):
    command = f"{sys.executable} -W error -m ibcore list | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
