"""Notebooks as teaching material: goals, graded exercises with solutions, versions without them."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from ibcore import reproduce

CHECKOUT = Path(__file__).resolve().parents[1]
COURSE = CHECKOUT / "teaching" / "README.md"


@pytest.fixture(params=reproduce.notebooks())
def name(request):
    return request.param


@pytest.fixture
def told(name):
    return jupytext.read(reproduce.source(name))


def solutions(notebook):
    return [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", ())]


def exercises(notebook):
    (cell,) = [cell for cell in notebook.cells if cell.source.startswith("## Exercises")]
    return re.findall(r"^(\d+)\. \((\w+)\)", cell.source, re.MULTILINE)


def test_learning_goals_are_in_the_first_cell(told):
    assert re.search(r"^\*\*You will learn\*\* \w", told.cells[0].source, re.MULTILINE)


def test_three_to_five_exercises_from_easy_to_harder(told):
    numbers, levels = zip(*exercises(told), strict=True)
    assert 3 <= len(numbers) <= 5
    assert list(numbers) == [str(number + 1) for number in range(len(numbers))]
    assert set(levels) == {"easy", "harder"}
    assert list(levels) == sorted(levels)


def test_every_exercise_has_a_solution_and_some_code_checks_one(told):
    text, *code = solutions(told)
    answered = re.findall(r"^(\d+)\. \S", text.source, re.MULTILINE)
    assert answered == [number for number, _ in exercises(told)]
    assert code
    assert all(cell.cell_type == "code" for cell in code)


def test_students_get_everything_but_the_solutions(told, name):
    given = reproduce.without_solutions(name)
    kept = [cell.source for cell in told.cells if cell not in solutions(told)]
    place = next(i for i, text in enumerate(kept) if text.startswith("## Exercises")) + 1
    kept.insert(place, "# your answers")
    assert [cell.source for cell in given.cells] == kept
    assert not solutions(given)
    text = "\n".join(cell.source for cell in given.cells)
    assert not [cell.source for cell in solutions(told) if cell.source in text]
    assert "jupytext" not in given.metadata


def test_the_command_writes_all_of_them_anew(output, capsys, monkeypatch):
    stray = output / "build" / "student" / "stray.ipynb"
    stray.parent.mkdir(parents=True)
    stray.touch()
    monkeypatch.chdir(output)
    assert reproduce.main(["student"]) == 0
    assert capsys.readouterr().out == "in build/student\n"
    written = sorted(stray.parent.iterdir())
    assert [path.stem for path in written] == reproduce.notebooks()
    for path in written:
        nbformat.validate(nbformat.read(path, as_version=4))


def test_the_course_has_six_lectures_and_leaves_no_notebook_out():
    text = COURSE.read_text()
    assert re.findall(r"^## (\d)\. ", text, re.MULTILINE) == list("123456")
    linked = re.findall(r"\]\(\.\./notebooks/(\w+)\.ipynb\)", text)
    assert sorted(linked) == reproduce.notebooks()
