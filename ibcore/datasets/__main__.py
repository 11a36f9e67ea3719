"""``python -m ibcore.datasets [NAME ...] [--standin]``: fetch what can be fetched, and tell.

Trained weights are fetched as ``weights/<network>``; nothing stands in for them, so that without
names ``--standin`` leaves them out.
"""

from __future__ import annotations

import argparse
import logging
import sys

from ibcore.datasets import DataUnavailable, load, names, splits
from ibcore.datasets.weights import FILES, load_weights

HEADINGS = ("name", "source", "n", "folder", "note")
WEIGHTS = {f"weights/{network}": network for network in FILES}
KNOWN = (*names(), *WEIGHTS)


def _row(name, allow_standin):
    """Return one line of the table; raise as `load` and `load_weights` do."""
    if name in WEIGHTS:
        found = load_weights(WEIGHTS[name])
        values = sum(value.size for value in found.state.values())
        return name, found.source, f"{values} values", "-", found.note
    parts = [load(name, split, allow_standin=allow_standin) for split in splits(name)]
    return (
        name,
        ", ".join(dict.fromkeys(part.source for part in parts)),
        ", ".join(f"{part.split} {len(part)}" for part in parts),
        ", ".join(dict.fromkeys(str(part.folder or "-") for part in parts)),
        parts[0].note,
    )


def add_arguments(parser):
    """Give a parser the arguments of this command."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(KNOWN)}; default: all (with --standin all but weights)",
    )
    parser.add_argument("--standin", action="store_true", help="a stand-in will do")


def main(arguments=None, *, prog="python -m ibcore.datasets"):
    """Fetch, print a table, and return 0 if everything is there or has an allowed stand-in."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("filelock").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(
        prog=prog, description="Fetch data sets and weights and say where each comes from."
    )
    add_arguments(parser)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in KNOWN]
    if unknown:
        parser.error(f"unknown data set {unknown[0]!r}; known are {', '.join(KNOWN)}")

    rows, failures = [HEADINGS], []
    for name in options.names or (names() if options.standin else KNOWN):
        try:
            rows.append(_row(name, options.standin))
        except (DataUnavailable, ValueError, OSError) as failure:
            rows.append((name, "missing", "-", "-", "see below"))
            failures.append(f"{name}: {failure}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    for failure in failures:
        print(f"\n{failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
