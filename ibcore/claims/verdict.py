"""Verdicts as tables, and all of them beside the documents' claims."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from ibcore import results


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one claim in one notebook and profile."""

    claim: str
    verdict: str
    statistic: str
    seeds: int
    data: str = ""
    standin: bool = False

    def row(self) -> dict:
        """As one row of a table; a stand-in says so in the verdict itself."""
        row = dataclasses.asdict(self)
        if row.pop("standin"):
            row["verdict"] = f"{self.verdict} (stand-in data)"
        return row


def verdict_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Verdicts as a table."""
    return pd.DataFrame([verdict.row() for verdict in verdicts])


def published() -> pd.DataFrame:
    """The claims of the documents: claim, source, where, statement, decided_by."""
    return results.read_csv(results.published_folder() / "claims.csv")


def collect(profile: str) -> pd.DataFrame:
    """Every published claim with the verdicts that the notebooks of a profile have written.

    A claim that several notebooks decide has several rows; one that none decides is *not run*.
    Raises ValueError for a verdict on a claim that is not published.
    """
    rows = []
    folder = results.figures_folder(profile)
    written = [
        results.read_csv(path).assign(notebook=path.parent.name)
        for path in sorted(folder.glob("*/claims.csv"))
    ]
    decided = pd.concat(written, ignore_index=True) if written else pd.DataFrame({"claim": []})
    known = published()
    unknown = decided[~decided["claim"].isin(known["claim"])]
    if len(unknown):
        raise ValueError(
            f"{unknown['notebook'].iloc[0]} decides an unknown claim {unknown['claim'].iloc[0]!r}; "
            f"known: {', '.join(known['claim'])}"
        )
    for claim in known.to_dict("records"):
        found = decided[decided["claim"] == claim["claim"]].to_dict("records")
        missing = {"verdict": "not run (no notebook of this profile has decided it)"}
        for row in found or [missing]:
            rows.append({**claim, "profile": profile, **row})
    columns = [
        "claim",
        "statement",
        "verdict",
        "statistic",
        "seeds",
        "data",
        "notebook",
        "source",
        "where",
        "profile",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)
