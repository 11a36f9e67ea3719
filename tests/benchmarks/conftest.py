"""The `record_ratio` and `record_growth` fixtures and the tables they fill.

A benchmark calls ``record_ratio(name, ours_s, peer_s, note)`` with two times in seconds, or
``record_growth(name, variable, sizes, exponent, seconds, mib)``. The rows are printed as two tables
at the end of the run and, if the environment variable IBCORE_BENCH_OUT names a file, written to it
as a page of the book. Times are shown and never asserted.
"""

import os
from pathlib import Path

import pytest

from ibcore.costs import processor

_RATIOS = ("benchmark", "ours [ms]", "peer [ms]", "peer / ours", "note")
_GROWTH = ("benchmark", "sizes", "time grows as", "largest [ms]", "memory, largest [MiB]")
_rows = pytest.StashKey()

_PAGE = """\
# Speed, growth, memory

Written by `make bench` on one thread of {device}. Times depend on the machine and on what else it
does; compare the ratios.

## Beside other libraries

One run timed both. Where both compute the same numbers, the results were compared too.

{ratios}
## Growth

Exponents are fitted to the shortest times at four sizes, on logarithmic scales; Grad-CAM needs one
pass for all layers, and small networks are trained as one computation. Memory is the rise of the
peak of a fresh process during the call, without the input.

{growth}"""


def pytest_configure(config):
    config.stash[_rows] = {_RATIOS: [], _GROWTH: []}


@pytest.fixture
def record_ratio(request):
    """Return a function that adds one row to the table of this run."""

    def record(name, ours_s, peer_s, note=""):
        row = (name, f"{1e3 * ours_s:.3g}", f"{1e3 * peer_s:.3g}", f"{peer_s / ours_s:.1f}", note)
        request.config.stash[_rows][_RATIOS].append(row)

    return record


@pytest.fixture
def record_growth(request):
    """Return a function that adds one row to the table of exponents."""

    def record(name, variable, sizes, exponent, seconds, mib):
        row = (
            name,
            f"{variable} = {sizes[0]:,} to {sizes[-1]:,}",
            f"{variable}^{exponent:.2f}",
            f"{1e3 * seconds:.3g}",
            f"{mib:.0f}",
        )
        request.config.stash[_rows][_GROWTH].append(row)

    return record


def markdown(header, rows):
    """Return the rows as a Markdown table with aligned columns."""
    table = [header, *sorted(rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def pytest_terminal_summary(terminalreporter, config):
    if not any(config.stash[_rows].values()):
        return
    tables = [markdown(header, rows) for header, rows in config.stash[_rows].items() if rows]
    terminalreporter.section("benchmarks")
    terminalreporter.write("\n".join(tables))
    if os.environ.get("IBCORE_BENCH_OUT"):
        ratios, growth = (markdown(*table) for table in config.stash[_rows].items())
        page = _PAGE.format(device=processor(), ratios=ratios, growth=growth)
        Path(os.environ["IBCORE_BENCH_OUT"]).write_text(page, encoding="utf-8")
