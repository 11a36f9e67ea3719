"""The command ``ibcore``: look into the store of runs, and see verdicts and data sets.

``ibcore list [WORD ...]``, ``show RUN``, ``compare RUN RUN``, ``verdicts``, ``cost`` and
``data [NAME ...]``; also as ``python -m ibcore``. A run is named by the first digits of its
identifier.
"""

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Mapping

import pandas as pd

from ibcore import profiles, reproduce, results
from ibcore.datasets import __main__ as fetching


def _uses() -> dict[str, str]:
    """Identifier of a run to the profiles and notebooks whose results rest on it."""
    uses = {}
    for profile in profiles.NAMES:
        for notebook in reproduce.notebooks():
            manifest = results.read_manifest(profile, notebook) or {"runs": []}
            for identifier in {run["identifier"] for run in manifest["runs"]}:
                uses.setdefault(identifier, []).append(f"{profile} {notebook}")
    return {identifier: ", ".join(users) for identifier, users in uses.items()}


def _table(rows: pd.DataFrame, **options) -> str:
    return rows.to_markdown(index=False, tablefmt="simple", disable_numparse=True, **options)


def _rows(records: list[dict]) -> pd.DataFrame:
    uses = _uses()
    rows = [
        {
            "run": record["run"],
            "experiment": record["experiment"],
            "name": record["name"],
            "seed": record["seed"],
            "data": record["data"]["label"],
            "seconds": f"{record['seconds']:.1f}",
            "used by": uses.get(record["run"], ""),
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def find(prefix: str) -> dict:
    """The record of the one run whose identifier begins like this.

    Raises ValueError if there is none (naming near ones: of a similar identifier or name) or if
    there are several.
    """
    records = results.records()
    found = [record for record in records if record["run"].startswith(prefix.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        more = f"\nand {len(found) - 10} more" if len(found) > 10 else ""
        raise ValueError(f"several runs begin with {prefix!r}:\n{_table(_rows(found[:10]))}{more}")
    keys = {record["run"][: len(prefix)] for record in records}
    close = difflib.get_close_matches(prefix.lower(), keys, n=5, cutoff=0.5)
    near = [
        record
        for record in records
        if record["run"][: len(prefix)] in close or prefix.lower() in record["name"].lower()
    ]
    shown = f"near it:\n{_table(_rows(near[:10]))}" if near else "`ibcore list` shows all"
    raise ValueError(f"no run begins with {prefix!r}; {shown}")


def _whole(prefix: str) -> results.Run:
    record = find(prefix)
    run = results.load_run(record["experiment"], record["run"])
    if run is None:
        raise ValueError(f"run {record['run']} is damaged; its notebook will compute it again")
    return run


def flat(values: Mapping, before: str = "") -> dict[str, object]:
    """A nested mapping with dotted keys.

    >>> flat({"epochs": 3, "model": {"width": 6, "kernel": 5}})
    {'epochs': 3, 'model.width': 6, 'model.kernel': 5}
    """
    found = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{before}{key}.") if nested else {f"{before}{key}": value}
    return found


def show(prefix: str) -> str:
    """Everything that is noted about a run, and its tables."""
    run = _whole(prefix)
    record = dict(run.record)
    for left_out in ("outputs", "config"):
        record.pop(left_out)
    record["used by"] = _uses().get(record["run"], "no notebook's present results")
    lines = [f"{key:<24} {value}" for key, value in flat(record).items()]
    lines += ["", "configuration"]
    lines += [f"  {key:<22} {value}" for key, value in flat(run.record["config"]).items()]
    lines += ["", f"tables, in {results.run_folder(record['experiment'], record['run'])}"]
    for name, table in run.tables.items():
        lines.append(f"  {name:<22} {len(table)} rows: {', '.join(table.columns)}")
    return "\n".join(lines)


def compare(first: str, second: str) -> str:
    """What two runs differ in: what is noted about them, and their tables."""
    runs = _whole(first), _whole(second)
    noted = [flat(run.record) for run in runs]
    keys = [key for key in dict.fromkeys([*noted[0], *noted[1]]) if not key.startswith("outputs.")]
    rows = [(key, *(str(values.get(key, "-")) for values in noted)) for key in keys]
    different = pd.DataFrame([row for row in rows if row[1] != row[2]])
    if different.empty:
        return "one and the same run"
    different.columns = ["noted", "first", "second"]
    lines = [_table(different, maxcolwidths=[None, 44, 44]), "", "tables"]
    for name in dict.fromkeys([*runs[0].tables, *runs[1].tables]):
        lines.append(f"  {name}: {_difference(*(run.tables.get(name) for run in runs))}")
    return "\n".join(lines)


def _difference(first: pd.DataFrame | None, second: pd.DataFrame | None) -> str:
    if first is None or second is None:
        return f"only in the {'second' if first is None else 'first'} run"
    if list(first) != list(second):
        return f"not in both: {', '.join(first.columns.symmetric_difference(second.columns))}"
    if len(first) != len(second):
        return f"{len(first)} and {len(second)} rows"
    parts = []
    for name in first:
        pair = first[name], second[name]
        if not pair[0].equals(pair[1]):
            by = f" by up to {(pair[0] - pair[1]).abs().max():.3g}" if _numbers(*pair) else ""
            parts.append(f"{name} differs{by}")
    return ", ".join(parts) or "equal"


def _numbers(*columns: pd.Series) -> bool:
    """Whether columns can be subtracted, which those of truth values cannot."""
    types = pd.api.types
    return all(types.is_numeric_dtype(c) and not types.is_bool_dtype(c) for c in columns)


def verdicts(profile: str | None) -> str:
    """The verdicts of a profile, or the best of every claim that has been run."""
    from ibcore import claims  # SciPy's statistics take a second to import

    table = claims.collect(profile) if profile else reproduce.best_verdicts()
    if table.empty:
        raise ValueError("no claim has been decided yet; `make reproduce` does it")
    table = reproduce.told_apart(table)
    return _table(
        table[["claim", "verdict", "data", "profile", "notebook"]].astype(object).fillna("")
    )


def _data(given) -> int:
    return fetching.main(given.names + ["--standin"] * given.standin, prog="ibcore data")


def _list(words: list[str]) -> str:
    records = results.records()
    if not records:
        return f"no runs in {results.runs_folder()}"
    rows = _rows(records)
    texts = rows.astype(str).agg(" ".join, axis=1).str.lower()
    for word in words:
        rows = rows[texts[rows.index].str.contains(word.lower(), regex=False)]
    return _table(rows) if len(rows) else f"none of {len(records)} runs has {' and '.join(words)}"


def _cost(given) -> str:
    from ibcore import costs  # imports every experiment

    workers = given.workers or costs.WORKERS
    return costs.text(given.profile, given.notebooks, device=given.device, workers=workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ibcore", description="Look into the store of runs, and see verdicts and data sets."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, text, function):
        made = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.set_defaults(function=function)
        return made

    all_runs = command("list", "list the stored runs", lambda given: _list(given.words))
    all_runs.add_argument("words", metavar="WORD", nargs="*", help="only runs with all of them")
    one = command("show", "show what is noted about a run", lambda given: show(given.run))
    one.add_argument("run", metavar="RUN", help="first digits of its identifier in `ibcore list`")
    two = command("compare", "say what two runs differ in", lambda given: compare(*given.runs))
    two.add_argument("runs", metavar="RUN", nargs=2, help="first digits, see `ibcore list`")
    text = "show the verdicts on the documents' claims"
    told = command("verdicts", text, lambda given: verdicts(given.profile))
    told.add_argument(
        "--profile", choices=profiles.NAMES, help="default: the best result of paper and laptop"
    )
    takes = command("cost", "say how long a profile will take on devices like this one", _cost)
    takes.add_argument("notebooks", metavar="NOTEBOOK", nargs="*", help="such as 13; default: all")
    takes.add_argument("--profile", choices=profiles.NAMES, default="paper", help="default: paper")
    takes.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    takes.add_argument("--workers", metavar="N", type=int, nargs="+", help="default: 1 8 64")
    fetching.add_arguments(
        command("data", "fetch data sets and weights and say where each comes from", _data)
    )
    return parser


def _warn(message, *_) -> None:
    print(f"warning: {message}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Command line; a failure is one message on standard error and the status 1."""
    given = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(action="always"):
            warnings.showwarning = _warn
            answer = given.function(given)
        if isinstance(answer, int):
            return answer
        print(answer, flush=True)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
