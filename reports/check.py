"""Checking claims: a verdict on each, kept in the store, and told as a table, as JSON and as JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from rich.table import Table

from harness.records import canonical
from harness.store import Store
from reports.claims import Claim
from reports.claims_table import asked
from reports.evidence import Evidence
from reports.frames import newest
from reports.verdicts import Verdict, decide

LATEST = """
SELECT verdict.claim_id, verdict.word FROM verdict JOIN run ON run.id = verdict.run_id
WHERE run.machine_id = (SELECT machine_id FROM run WHERE id = :run) AND verdict.word <> 'undecided'
ORDER BY run.started_at
"""


def check(store: Store, claims: Sequence[Claim]) -> list[Verdict]:
    """A verdict on each of `claims`, by the newest figures of every grid in the store."""
    evidence = Evidence.of([*newest(store, "count"), *newest(store, "race")], newest(store, "evaluate"))
    return [decide(claim, evidence) for claim in claims]


def keep(store: Store, run_id: str, verdicts: Sequence[Verdict], *, partial: bool = False) -> list[Verdict]:
    """Write `verdicts` down as of the run `run_id`; returns those that fell.

    Where the counts are `partial`, of some grids alone, what they leave undecided has not fallen.

    One fell that is not what its claim's file says, or that the same machine contradicts now and supported when it was
    last decided there.
    """
    before = {row["claim_id"]: row["word"] for row in store.frame(LATEST, run=run_id).to_dict("records")}
    store.add_verdicts(run_id, [_row(verdict) for verdict in verdicts])
    fallen = [v for v in verdicts if v.fell or (before.get(v.claim.id), v.word) == ("supported", "contradicted")]
    return [v for v in fallen if not (partial and v.word == "undecided")]


def table(verdicts: Sequence[Verdict]) -> Table:
    """For people to read."""
    shown = Table(title=_counted(verdicts))
    shown.add_column("claim", no_wrap=True)
    shown.add_column("verdict")
    shown.add_column("what was found")
    for verdict in verdicts:
        shown.add_row(verdict.claim.id, verdict.word, _sentence(verdict))
    return shown


def as_json(verdicts: Sequence[Verdict]) -> str:
    """For programs to read."""
    rows = [
        _told(verdict) | {"claim": verdict.claim.model_dump(mode="json", exclude_none=True)} for verdict in verdicts
    ]
    return json.dumps(rows, indent=2) + "\n"


def as_junit(verdicts: Sequence[Verdict], fallen: Sequence[Verdict]) -> str:
    """For build servers: a test for each claim, failed if it fell, skipped if it is undecided."""
    counts = {"tests": len(verdicts), "failures": len(fallen), "skipped": sum(v.word == "undecided" for v in verdicts)}
    suite = ET.Element("testsuite", {"name": "claims", **{name: str(count) for name, count in counts.items()}})
    for verdict in verdicts:
        case = ET.SubElement(
            suite, "testcase", {"classname": f"claims.{verdict.claim.quantity}", "name": verdict.claim.id}
        )
        if verdict in fallen:
            ET.SubElement(case, "failure", {"message": _message(verdict)}).text = verdict.claim.statement
        elif verdict.word == "undecided":
            ET.SubElement(case, "skipped", {"message": verdict.reason})
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _sentence(verdict: Verdict) -> str:
    claim = verdict.claim
    told = (verdict.found, f"asked: {asked(claim)}", verdict.reason)
    return "; ".join(part for part in told if part)


def _counted(verdicts: Sequence[Verdict]) -> str:
    words = [verdict.word for verdict in verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in ("supported", "contradicted", "undecided"))


def _message(verdict: Verdict) -> str:
    was = verdict.claim.verdict or "supported"
    return f"was {was}, is {verdict.word}: {verdict.found or verdict.reason}; asked for {verdict.claim.bounds}"


def _told(verdict: Verdict) -> dict[str, Any]:
    told: Mapping[str, Any] = {"verdict": verdict.word, "found": verdict.found, "reason": verdict.reason}
    return {**told, "attempts": list(verdict.attempts)}


def _row(verdict: Verdict) -> dict[str, str]:
    claim = canonical(verdict.claim.model_dump(mode="json", exclude_none=True))
    told = {"word": verdict.word, "found": verdict.found, "reason": verdict.reason}
    return {"claim_id": verdict.claim.id, "claim": claim, **told, "attempts": json.dumps(verdict.attempts)}
