"""What a notebook of the compendium needs around its story: figures, tables, claims, sliders.

A ``Chapter`` writes into ``figures/<profile>/<notebook>/`` and keeps a manifest of captions there,
from which ``ibcore.reproduce index`` makes the overview. Data that stand in for others are named on
every figure, table and verdict.
"""

import dataclasses
import gc
import io
import math
import os
from collections.abc import Callable, Mapping, Sequence

import IPython.display
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ibcore import claims, plotting, profiles, results
from ibcore.sweep import Sweep

_SMALLEST_SHOWN = 1e-7


def _rounded(column: pd.Series) -> pd.Series:
    """A column as text: whole numbers as such, others with three decimals.

    Numbers that three decimals would hide have three significant digits, down to
    ``_SMALLEST_SHOWN``.
    """
    known = [float(value) for value in column if pd.api.types.is_float(value)]
    whole = all(math.isnan(value) or value.is_integer() for value in known)

    def text(value):
        if not pd.api.types.is_float(value) or math.isnan(value):
            return str(value)
        if whole:
            return f"{value:.0f}"
        return f"{value:.3g}" if _SMALLEST_SHOWN <= abs(value) < 1e-3 else f"{value:.3f}"

    return column.map(text)


class Chapter:
    """The outputs of one notebook in one profile.

    Parameters
    ----------
    notebook : str
        Name of the notebook without ending, such as ``"01_szt_saxe"``.
    profile : str
    seed : int
        First seed, written into the manifest.

    Raises
    ------
    ValueError
        For an unknown profile or a notebook without section in it.
    """

    def __init__(self, notebook: str, profile: str, seed: int = 0):
        self.values = profiles.section(profile, notebook)
        self.notebook, self.profile, self.seed = notebook, profile, seed
        self.folder = results.figures_folder(profile, notebook)
        self._entries: dict[tuple[str, str], dict] = {}
        self._standin = ""
        self._data = ""
        plotting.use_style()

    def configs(self, kind: type) -> dict:
        """The runs of this notebook, see ``ibcore.profiles.configs``."""
        return profiles.configs(self.profile, self.notebook, kind)

    def data_from(self, sweep: Sweep) -> None:
        """Remember the data behind the runs: captions and verdicts name them from here on."""
        self._data = sweep.data_label
        self._standin = sweep.data_label if sweep.is_standin else ""

    def _caption(self, caption: str) -> str:
        parts = [caption.rstrip(".") + "."]
        if self._data:
            parts.append(f"Data: {self._data}.")
        parts.append(f"Profile {self.profile}.")
        return " ".join(parts)

    def figure(self, name: str, figure: Figure, caption: str) -> IPython.display.Image:
        """Save a figure as PNG and PDF; returns the picture, so that the notebook shows it.

        Neither file holds a date, so equal results give equal files. The smoke profile, whose
        figures nobody prints, goes without PDF.
        """
        if self._standin or " in place of " in self._data:
            plotting.mark_standin(figure, self._data)
        content = results.with_palette(_saved(figure, "png", {"Software": None}))
        results.write_atomically(self.folder / f"{name}.png", content)
        if self.profile != "smoke":
            figure.set_layout_engine("none")  # the places are known from the first drawing
            pdf = _saved(figure, "pdf", {"CreationDate": None})
            results.write_atomically(self.folder / f"{name}.pdf", pdf)
        plt.close(figure)
        self._note("figure", name, self._caption(caption))
        return IPython.display.Image(content)

    def table(self, name: str, table: pd.DataFrame, caption: str) -> pd.DataFrame:
        """Save a table as CSV (full precision) and Markdown (rounded); returns it."""
        results.write_atomically(self.folder / f"{name}.csv", results.table_to_csv(table))
        sides = [
            "right" if pd.api.types.is_numeric_dtype(table[column]) else "left" for column in table
        ]
        rounded = pd.DataFrame({column: _rounded(table[column]) for column in table})
        text = rounded.to_markdown(index=False, disable_numparse=True, colalign=sides)
        caption = self._caption(caption)
        results.write_atomically(self.folder / f"{name}.md", f"{caption}\n\n{text}\n")
        self._note("table", name, caption)
        return table

    def _note(self, kind: str, name: str, caption: str) -> None:
        """Keep a caption for the manifest, in place of that of an earlier run of the same cell."""
        self._entries[kind, name] = {"kind": kind, "name": name, "caption": caption}

    def named(
        self, verdicts: Sequence[claims.Verdict], sweep: Sweep, *, of: str = ""
    ) -> list[claims.Verdict]:
        """The verdicts with the data of the runs they rest on, and what else sets them apart."""
        label = ", ".join(filter(None, (of, sweep.data_label)))
        return [
            dataclasses.replace(verdict, data=label, standin=sweep.is_standin)
            for verdict in verdicts
        ]

    def claims(self, verdicts: Sequence[claims.Verdict]) -> pd.DataFrame:
        """Save the verdicts; returns them as a table.

        A verdict that does not name its data (see ``named``) rests on those of ``data_from``.
        """
        complete = [
            verdict
            if verdict.data
            else dataclasses.replace(verdict, data=self._data, standin=bool(self._standin))
            for verdict in verdicts
        ]
        return self.table("claims", claims.verdict_table(complete), "Verdicts")

    def provenance(self, sweeps: Mapping[str, Sweep] | Sweep | None = None) -> pd.DataFrame:
        """Write the manifest, remove outputs of earlier versions, and list the runs.

        It has to be the last call: files in the folder that this notebook did not write are
        deleted, apart from hidden ones, which another process may be writing.
        """
        if isinstance(sweeps, Sweep):
            sweeps = {"": sweeps}
        runs = [sweep.provenance() for sweep in (sweeps or {}).values()]
        table = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame()
        manifest = {
            "notebook": self.notebook,
            "profile": self.profile,
            "seed": self.seed,
            "outputs": list(self._entries.values()),
            "runs": table.to_dict("records"),
            "versions": results.versions(),
        }
        results.write_atomically(self.folder / "manifest.json", results.to_json(manifest))
        endings = {"figure": (".png", ".pdf"), "table": (".csv", ".md")}
        kept = {f"{name}{end}" for kind, name in self._entries for end in endings[kind]}
        for path in self.folder.iterdir():
            hidden = path.name.startswith(".")
            if path.is_file() and not hidden and path.name not in kept | {"manifest.json"}:
                path.unlink(missing_ok=True)
        return table


def _saved(figure: Figure, ending: str, metadata: dict) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, metadata=metadata)
    return buffer.getvalue()


def explore(draw: Callable[..., Figure], **choices: Sequence) -> None:
    """Draw a figure with a slider per argument; a still picture where sliders cannot work.

    A change costs one call of ``draw`` and one rendering. While a slider is dragged, ipywidgets
    waits for the picture and skips the values passed meanwhile, so that none queue up.

    Parameters
    ----------
    draw : callable
        Takes the chosen values as keyword arguments and returns a figure.
    **choices : sequence
        Values of each slider; the middle one is shown first. In executed and exported notebooks
        (``IBCORE_STATIC`` is set, or ipywidgets is missing) only that picture appears.
    """
    first = {name: values[len(values) // 2] for name, values in choices.items()}
    widgets = None if os.environ.get("IBCORE_STATIC") else _widgets()
    pictures = _Pictures()
    if widgets is None:
        pictures.show(draw(**first))
        return
    gc.freeze()  # or the collector would search all that is loaded at every twentieth picture
    sliders = {
        name: widgets.SelectionSlider(
            options=values,
            value=first[name],
            description=name.replace("_", " "),
            style={"description_width": "8em"},
            layout={"width": "36em"},
        )
        for name, values in choices.items()
    }
    widgets.interact(lambda **chosen: pictures.show(draw(**chosen)), **sliders)


def _widgets():
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


class _Pictures:
    """Figures as pictures, one after the other, with their axes in the places of the first.

    Laying out a figure takes as long as drawing it. So the layout is kept for later figures of the
    same size and number of axes, as long as the texts beside the axes stay inside.
    """

    def __init__(self):
        self._places: dict[tuple, list] = {}

    def show(self, figure: Figure) -> None:
        """Display a figure and close it."""
        canvas = FigureCanvasAgg(figure)
        kind = (*figure.get_size_inches(), len(figure.axes))
        if kind in self._places:
            layout = figure.get_layout_engine()
            figure.set_layout_engine("none")
            for ax, place in zip(figure.axes, self._places[kind], strict=True):
                ax.set_position(place)
            canvas.draw()
            if not _texts_fit(figure):
                figure.set_layout_engine(layout)
                for ax in figure.axes:
                    ax.set_in_layout(True)
                canvas.draw()
        else:
            canvas.draw()
        self._places[kind] = [ax.get_position() for ax in figure.axes]
        buffer = io.BytesIO()
        plt.imsave(buffer, canvas.buffer_rgba(), format="png", pil_kwargs={"compress_level": 1})
        IPython.display.display(IPython.display.Image(buffer.getvalue()))
        plt.close(figure)


def _texts_fit(figure: Figure) -> bool:
    """Whether no label of a vertical axis and no text in the axes is cut at the left or right."""
    texts = [text for ax in figure.axes for text in (ax.yaxis.label, *ax.texts) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    return all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
