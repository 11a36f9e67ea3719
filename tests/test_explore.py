"""Sliders where they work, a still picture elsewhere."""

import sys

import matplotlib.pyplot as plt
import pytest
from IPython.display import Image

from ibcore import notebook

WIDTHS, SIZES = [0.1, 0.5, 1.0], (100, 300)


class Shown(list):
    """The pictures that were displayed, and what they were drawn with."""

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
    (picture,) = shown
    assert isinstance(picture, Image)
    assert picture.data.startswith(b"\x89PNG")
    assert shown.drawn == [(0.5, 300)]
    assert plt.get_fignums() == []


def test_an_executed_notebook_gets_a_picture(shown, monkeypatch):
    monkeypatch.setenv("IBCORE_STATIC", "1")
    _only_the_middle_picture(shown)


def test_without_ipywidgets_there_is_a_picture(shown, monkeypatch):
    monkeypatch.delenv("IBCORE_STATIC", raising=False)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    _only_the_middle_picture(shown)


@pytest.fixture(autouse=True)
def collector(monkeypatch):
    """The garbage collector of this process stays as it is; how often it was to be frozen."""
    calls = []
    monkeypatch.setattr("gc.freeze", lambda: calls.append("freeze"))
    return calls


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


def test_every_change_draws_once(shown, sliders, collector):
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert list(sliders) == ["width", "n"]
    assert [slider.value for slider in sliders.values()] == [0.5, 300]
    assert shown.drawn == [(0.5, 300)]
    sliders["width"].value = 1.0
    sliders["n"].value = 100
    assert shown.drawn == [(0.5, 300), (1.0, 300), (1.0, 100)]
    assert sum(isinstance(item, Image) for item in shown) == 3
    sliders["n"].value = 100
    assert len(shown.drawn) == 3
    assert plt.get_fignums() == []
    assert collector == ["freeze"]


def test_sliders_offer_all_values(shown, sliders):
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert list(sliders["width"].options) == WIDTHS
    assert tuple(sliders["n"].options) == SIZES


def test_an_empty_setting_of_the_variable_means_sliders(shown, sliders, monkeypatch):
    monkeypatch.setenv("IBCORE_STATIC", "")
    notebook.explore(shown.draw, width=WIDTHS, n=SIZES)
    assert set(sliders) == {"width", "n"}


# ---------------------------------------------------------------- the layout is kept


@pytest.fixture
def layouts(monkeypatch):
    """How often a layout was made."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    calls = []
    execute = ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine,
        "execute",
        lambda self, figure: calls.append(figure) or execute(self, figure),
    )
    return calls


def drawn(*, ylabel="I(T;Y) [bits]", panels=1, last=1.0):
    figure, axes = plt.subplots(1, panels, layout="constrained", squeeze=False)
    axes[0, 0].plot([0, last])
    axes[0, 0].set_ylabel(ylabel)
    return figure


def places(figure):
    return [ax.get_position().bounds for ax in figure.axes]


def test_axes_stay_where_they_were(shown, layouts):
    pictures = notebook._Pictures()
    first, second = drawn(), drawn(last=0.9)
    pictures.show(first)
    pictures.show(second)
    assert layouts == [first]
    assert places(first) == places(second)
    assert shown[0].data != shown[1].data


def test_another_number_of_axes_is_laid_out(shown, layouts):
    pictures = notebook._Pictures()
    figures = [drawn(), drawn(panels=2), drawn(panels=2), drawn()]
    for figure in figures:
        pictures.show(figure)
    assert layouts == figures[:2]


@pytest.mark.parametrize(
    "change",
    [
        lambda ax: ax.set_ylabel("two\nlines\nof text"),
        lambda ax: ax.set_yticks([0, 1], ["0", "a long label of a tick"]),
        lambda ax: ax.annotate("at the end of a line", (1, 1), annotation_clip=False),
    ],
    ids=["label", "ticks", "text"],
)
def test_texts_are_not_cut(shown, layouts, change):
    pictures = notebook._Pictures()
    figure, alone = drawn(), drawn()
    for one in (figure, alone):
        change(one.axes[0])
    notebook._Pictures().show(alone)
    pictures.show(drawn())
    pictures.show(figure)
    assert layouts[-1] is figure
    assert places(figure)[0] == pytest.approx(places(alone)[0], abs=1e-3)


def test_figures_without_a_layout_are_shown_as_they_are(shown, layouts):
    pictures = notebook._Pictures()
    for _ in range(2):
        figure = plt.figure()
        figure.add_axes((0.1, 0.2, 0.3, 0.4)).set_ylabel("y")
        pictures.show(figure)
    assert shown[0].data == shown[1].data
    assert layouts == []
