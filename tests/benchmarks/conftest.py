"""The `record_ratio` fixture and the table it fills.

A benchmark calls ``record_ratio(name, ours_s, peer_s, note)`` with two times in seconds. The rows
are printed as one table at the end of the run and, if the environment variable IBCORE_BENCH_OUT
names a file, written to it as Markdown. Times are shown and never asserted.
"""

import os
from pathlib import Path

import pytest

_HEADER = ("benchmark", "ours [ms]", "peer [ms]", "peer / ours", "note")
_rows = pytest.StashKey()


def pytest_configure(config):
    config.stash[_rows] = []


@pytest.fixture
def record_ratio(request):
    """Return a function that adds one row to the table of this run."""

    def record(name, ours_s, peer_s, note=""):
        row = (name, f"{1e3 * ours_s:.3g}", f"{1e3 * peer_s:.3g}", f"{peer_s / ours_s:.1f}", note)
        request.config.stash[_rows].append(row)

    return record


def markdown(rows):
    """Return the rows as a Markdown table with aligned columns."""
    table = [_HEADER, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def pytest_terminal_summary(terminalreporter, config):
    rows = sorted(config.stash[_rows])
    if rows:
        terminalreporter.section("benchmarks")
        terminalreporter.write(markdown(rows))
        if os.environ.get("IBCORE_BENCH_OUT"):
            Path(os.environ["IBCORE_BENCH_OUT"]).write_text(markdown(rows), encoding="utf-8")
