"""Sliders where they work, a still picture elsewhere."""

import sys

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from ibcore import notebook

WIDTHS, SIZES = [0.1, 0.5, 1.0], (100, 300)


class Shown(list):
    """The figures that were displayed, and what they were drawn with."""

    def __init__(self):
        self.drawn = []

    def draw(self, width, n):
        self.drawn.append((width, n))
        return plt.figure()


@pytest.fixture
def shown(monkeypatch):
    shown = Shown()
    monkeypatch.setattr("IPython.display.display", shown.append)
    return shown


def _only_the_middle_picture(shown):
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    (figure,) = shown
    assert isinstance(figure, Figure)
    assert shown.drawn == [(0.5, 300)]
    assert plt.get_fignums() == []


def test_an_executed_notebook_gets_a_picture(shown, monkeypatch):
    monkeypatch.setenv("IBCORE_STATIC", "1")
    _only_the_middle_picture(shown)


def test_without_ipywidgets_there_is_a_picture(shown, monkeypatch):
    monkeypatch.delenv("IBCORE_STATIC", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    _only_the_middle_picture(shown)


@pytest.fixture
def sliders(monkeypatch):
    """The sliders that ``explore`` makes, by name."""
    import ipywidgets

    made = {}

    class Slider(ipywidgets.SelectionSlider):
        def __init__(self, **options):
            super().__init__(**options)
            made[options["description"]] = self

    monkeypatch.delenv("IBCORE_STATIC", raising=False)
    monkeypatch.setattr(ipywidgets, "SelectionSlider", Slider)
    return made


def test_every_slider_draws_again(shown, sliders):
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert list(sliders) == ["width", "n"]
    assert [slider.value for slider in sliders.values()] == [0.5, 300]
    assert shown.drawn == [(0.5, 300)]
    sliders["width"].value = 1.0
    sliders["n"].value = 100
    assert shown.drawn == [(0.5, 300), (1.0, 300), (1.0, 100)]
    assert sum(isinstance(item, Figure) for item in shown) == 3
    assert plt.get_fignums() == []


def test_sliders_offer_all_values(shown, sliders):
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert list(sliders["width"].options) == WIDTHS
    assert tuple(sliders["n"].options) == SIZES


def test_an_empty_setting_of_the_variable_means_sliders(shown, sliders, monkeypatch):
    monkeypatch.setenv("IBCORE_STATIC", "")
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert set(sliders) == {"width", "n"}
