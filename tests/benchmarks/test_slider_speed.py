"""How long a moved slider takes to show in each notebook, beside what Jupyter shows by itself."""

import time

import ipywidgets
import jupytext
import matplotlib.pyplot as plt
import numpy as np
import pytest
from IPython.core.pylabtools import print_figure

from ibcore import notebook, reproduce

pytestmark = pytest.mark.benchmark


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("name", reproduce.notebooks())
def test_a_moved_slider(name, monkeypatch, record_ratio):
    sliders, given = {}, []
    explore = notebook.explore

    class Slider(ipywidgets.SelectionSlider):
        def __init__(self, **options):
            super().__init__(**options)
            sliders[options["description"]] = self

    def noted(draw, **choices):
        given.append(draw)
        explore(draw, **choices)

    monkeypatch.setattr("IPython.display.display", lambda picture: None)
    monkeypatch.setattr(ipywidgets, "SelectionSlider", Slider)
    monkeypatch.setattr(notebook, "explore", noted)
    names = {"__name__": name}
    for cell in jupytext.read(reproduce.source(name)).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), names)
            plt.close("all")
        if "interactive" in cell.metadata.get("tags", ()):
            break
    (draw,) = given
    moves = [(one, value) for one in sliders.values() for value in one.options[::-1]]
    ours, ordinary = [], []
    for slider, value in moves:
        if value == slider.value:
            continue
        ours.append(timed(lambda slider=slider, value=value: slider.set_trait("value", value)))
        chosen = {key.replace(" ", "_"): one.value for key, one in sliders.items()}
        ordinary.append(timed(lambda chosen=chosen: print_figure(draw(**chosen), "png")))
        plt.close("all")
    note = f"Jupyter's own picture; slowest of our {len(ours)}: {1e3 * max(ours):.0f} ms"
    record_ratio(f"moved slider in {name}", np.median(ours), np.median(ordinary), note)
