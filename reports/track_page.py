"""The page of a history: how exact costs went over commits, each step, and what is known of each commit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from reports.files import write_whole
from reports.page import rendered
from reports.tables import Column, Entry, Row, Table, make_table
from reports.track import State, Step, Track, as_json
from reports.track_figures import track_figures

STEP_COLUMNS = (
    Column(key="method", title="Method", words=True),
    Column(key="how", title="How", words=True),
    Column(key="quantity", title="Quantity", words=True),
    Column(key="sizes", title="Sizes"),
    Column(key="change", title="Change"),
)
COMMIT_COLUMNS = (
    Column(key="day", title="Day", words=True),
    Column(key="subject", title="Subject", words=True),
    Column(key="state", title="Figures", words=True),
    Column(key="changed", title="What changed", words=True),
)
BETWEEN = "Between two commits: those that lie between could not be counted, so it may have been any of them."


def write_track(found: Track, made_with: str, out: Path) -> Path:
    """Write `found` to `out` as track.html and track.json; returns the page.

    `made_with` is what figures may depend on besides the code.

    Raises:
        UserError: they cannot be written.
    """
    page = out / "track.html"
    write_whole(page, rendered("track.html", _content(found, made_with)))
    write_whole(out / "track.json", as_json(found, made_with))
    return page


def _content(found: Track, made_with: str) -> dict[str, Any]:
    """All that the template shows."""
    return {
        "first": found.states[0].commit,
        "last": found.states[-1].commit,
        "made_with": made_with,
        "summary": found.summary,
        "counts": _counts(found),
        "figures_shown": track_figures(found),
        "steps": _steps(found),
        "commits": _commits(found),
    }


def _counts(found: Track) -> list[tuple[str, int]]:
    words = [state.word for state in found.states]
    changed = len(found.changed)
    of_series = [("series that changed", changed), ("series that never did", len(found.followed) - changed)]
    return [("commits", len(words)), *((word, words.count(word)) for word in dict.fromkeys(words)), *of_series]


def _steps(found: Track) -> Table | None:
    """A row for each series at each commit where it changed."""
    if not found.steps:
        return None
    notes = [BETWEEN] if any(step.between for step in found.steps) else []
    caption = "What changed, and by how much over the sizes at which it did"
    return make_table(caption, STEP_COLUMNS, [_step_row(step) for step in found.steps], notes=notes, head="Commit")


def _step_row(step: Step) -> Row:
    words = {"method": step.series.named, "how": step.series.way, "quantity": step.series.quantity.replace("_", " ")}
    entries = {key: Entry(text=text) for key, text in words.items()}
    entries["sizes"] = Entry(text=str(len(step.changed)), value=len(step.changed))
    return Row(head=step.place, entries=entries | {"change": Entry(text=step.told, value=_sorting(step))})


def _sorting(step: Step) -> float:
    """Gone below all, new above all."""
    if step.shares:
        return max(step.shares, key=abs)
    return -math.inf if step.changed[0].change == "gone" else math.inf


def _commits(found: Track) -> Table:
    rows = [_commit_row(found, state) for state in found.states]
    return make_table("Every commit, oldest first", COMMIT_COLUMNS, rows, head="Commit")


def _commit_row(found: Track, state: State) -> Row:
    told = {"day": state.commit.day, "subject": state.commit.subject}
    told |= {"state": _state_told(state), "changed": _changed(found, state)}
    return Row(head=state.commit.short, entries={key: Entry(text=text) for key, text in told.items()})


def _state_told(state: State) -> str:
    why = f": {state.reason}" if state.reason else ""
    return f"{state.word}{f' as {state.twin.short}' if state.twin else ''}{why}"


def _changed(found: Track, state: State) -> str:
    steps = [step for step in found.steps if step.commit is state.commit]
    quantities = dict.fromkeys(step.series.quantity.replace("_", " ") for step in steps)
    if not steps:
        return "" if state.figures is None or state is found.states[0] else "nothing"
    return f"{len(steps)} series: {', '.join(quantities)}"
