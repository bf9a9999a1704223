"""Claims and what became of them, with how long that has been so: the newest check on the run's machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import METRICS
from harness.store import read_json
from reports.claims import VERDICTS, Claim
from reports.frames import Frames
from reports.tables import TIMES, Column, Entry, Row, Table, make_table

COLUMNS = (
    Column(key="word", title="Verdict", words=True),
    Column(key="found", title="Found", words=True),
    Column(key="asked", title="Asked", words=True),
    Column(key="reason", title="Why", words=True),
    Column(key="since", title="Since", words=True),
    Column(key="source", title="Source", words=True),
)
ORDER = ("contradicted", "supported", "undecided")
"""What a reader looks for comes first."""
COMMIT = 8
"""Digits of a commit that are shown."""


def claims_table(frames: Frames) -> Table | None:
    """A row for each claim of the newest check; None where claims were never checked on this machine."""
    own = frames.verdicts[frames.verdicts["machine_id"] == frames.run["machine_id"]]
    if own.empty:
        return None
    latest = own[own["run_id"] == own.iloc[-1]["run_id"]]
    histories: dict[str, list[Mapping[Any, Any]]] = {claim_id: [] for claim_id in latest["claim_id"]}
    for verdict in own.to_dict("records"):
        histories.get(verdict["claim_id"], []).append(verdict)
    rows = [_row(history) for history in histories.values()]
    rows.sort(key=lambda row: ORDER.index(row.entries["word"].text))
    words = [row.entries["word"].text for row in rows]
    counted = ", ".join(f"{words.count(word)} {word}" for word in VERDICTS)
    return make_table(f"{len(rows)} claims: {counted}", COLUMNS, rows, notes=[NOTE], head="Claim")


NOTE = (
    "Counted figures decide the same on every machine. Times decide only where intervals, the noise between passes and "
    "the controls of the session allow it. Scores decide where the network comes from a weights file or was trained as "
    "long as the published one, and is tested as that is."
)


def _row(history: Sequence[Mapping[Any, Any]]) -> Row:
    """Of one claim, whose verdicts are `history`, the newest last."""
    last = history[-1]
    claim = Claim.model_validate(read_json(last["claim"]))
    told = {
        "word": str(last["word"]),
        "found": str(last["found"]),
        "asked": asked(claim),
        "reason": str(last["reason"]),
        "since": _since(history),
        "source": f"{claim.source} ({claim.origin})",
    }
    return Row(head=claim.id, note=claim.statement, entries={key: Entry(text=text) for key, text in told.items()})


def asked(claim: Claim) -> str:
    """Such as "PSNR-Y on Set5 ×2: 38.35 to 38.39" of quality, and "macs: exponent at most 1.1" of cost."""  # noqa: RUF002
    if claim.scoring is None:
        return f"{claim.quantity.replace('_', ' ')}: {claim.form} {claim.bounds}"
    sets, chopped = ", ".join(claim.scoring.data), ", chop" if claim.scoring.tiling == "chop" else ""
    where = f"{METRICS[claim.quantity].title} on {sets} {TIMES}{claim.way.scale}{chopped}"
    return f"{where}: gain over {claim.against} {claim.bounds} dB" if claim.against else f"{where}: {claim.bounds}"


def _since(history: Sequence[Mapping[Any, Any]]) -> str:
    """The first of the newest checks that all came to the same word, and how many they are."""
    word = history[-1]["word"]
    same = list(itertools.takewhile(lambda verdict: verdict["word"] == word, reversed(history)))
    day, commit = str(same[-1]["started_at"])[:10], str(same[-1]["commit_id"])[:COMMIT]
    return f"{day}, commit {commit}, {len(same)} of {len(history)} checks"
