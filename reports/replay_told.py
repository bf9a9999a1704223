"""What a replay found, for people and for programs: what each attempt was, its figures side by side, the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from harness.recorded import Recorded
from harness.records import Status
from reports.replay import BAD, Figure, Replayed, Value
from reports.tables import TIMES, described, fixed, significant

if TYPE_CHECKING:
    from harness.replay import Again

SHOWN = 12
HASH = 64
DIGITS, SAMPLE_DIGITS = 10, 4
HEAD = ("quantity", "of", "then", "now", "difference", "verdict")
ASKED = (
    "dataset", "degradation", "tiling", "precision", "self_ensemble", "hash_seed", "size", "scope", "mode", "batch",
    "compile", "channels_last", "cuda_graphs", "pass",
)  # fmt: skip
"""What is told of a task's specification."""


def was(then: Recorded) -> dict[str, str]:
    """What an attempt was, and where and when, by name."""
    spec, cell = then.spec, then.cell_spec
    asked = {name: spec[name] for name in ASKED if name in spec}
    commit = then.commit_id[:SHOWN] + (" with uncommitted changes" if then.dirty else "")
    told = {
        "attempt": then.id,
        "task": f"{then.kind} {_listed(asked)}".strip(),
        "cell": f"{then.label} {TIMES}{cell['scale']}, seed {cell['seed']}" if cell["scale"] else then.label,
        "settings": _listed(cell.get("changed") or {}) or "as released" * bool(cell["settings"]),
        "training": _listed(cell["train"] or {}),
        "weights": _listed(cell["weights"] or {}),
        "images": f"SHA-256 {spec['data']}" if "data" in spec else "",
        "run": f"{then.run_id}, grid {then.grid_name}, ended {then.ended_at[:19].replace('T', ' ')} UTC",
        "command": then.command,
        "commit": commit,
        "machine": _listed(then.machine),
        "versions": _listed(then.versions),
    }
    return {name: text for name, text in told.items() if text}


def before(again: Sequence[Again]) -> Iterator[str]:
    """What is about to be done again: an attempt in full, of a run how many; what changed since then, each once."""
    first = again[0]
    if len(again) == 1:
        yield from (f"{name}: {text}" for name, text in was(first.then).items())
        yield from first.remarks
    else:
        yield f"{len(again)} attempts of run {first.then.run_id}, grid {first.then.grid_name}"
    for change in dict.fromkeys(change for each in again for change in each.changes):
        yield f"Not as then: {change}"


def after(found: Sequence[Replayed], folder: Path) -> Iterator[str | Table]:
    """Figures side by side, of a run those that are different, and the verdict."""
    if len(found) > 1:
        yield overview(found)
    for each in found:
        shown = each.figures if len(found) == 1 else [figure for figure in each.figures if figure.word in BAD]
        if shown:
            yield f"\n{each.then.id}"
            yield table(shown)
    if len(found) == 1:
        told = verdict(found[0])
        yield f"{told[0].upper()}{told[1:]}."
    else:
        count = Counter(each.verdict for each in found)
        yield ", ".join(f"{number} {word}" for word, number in count.most_common()) + "."
    if folder.exists():
        yield f"Store, weights and logs of the replay: {folder}"


def verdict(found: Replayed) -> str:
    """One attempt in a sentence."""
    if found.refusal:
        return f"cannot be replayed: {found.refusal.rstrip('.')}"
    if not found.ended_alike or found.then.status != Status.DONE:
        return f"{found.verdict}: {ended(found.then)} then, {ended(found.now)} now"
    count = Counter(figure.word for figure in found.figures)
    words = ", ".join(f"{number} {word}" for word, number in count.most_common())
    return f"{found.verdict}: {len(found.figures)} figures, {words or 'none'}"


def table(figures: Iterable[Figure]) -> Table:
    """Figures side by side."""
    shown = Table(*HEAD)
    for figure in figures:
        style = "bold" if figure.word in BAD else None
        values = (_told(figure, value) for value in (figure.then, figure.now))
        shown.add_row(figure.title, figure.where, *values, _difference(figure), _word(figure), style=style)
    return shown


def overview(found: Sequence[Replayed]) -> Table:
    """A row for each attempt of a run."""
    shown = Table("attempt", "cell", "task", "verdict")
    for each in found:
        told = was(each.then)
        shown.add_row(each.then.id[:SHOWN], told["cell"], told["task"], verdict(each))
    return shown


def as_json(found: Sequence[Replayed], folder: Path) -> dict[str, Any]:
    """Everything, for a program."""
    held = str(folder) if folder.exists() else None
    return {"same": all(each.same for each in found), "folder": held, "attempts": [_one(each) for each in found]}


def _one(found: Replayed) -> dict[str, Any]:
    return {
        "attempt": found.then.id,
        "was": was(found.then),
        "verdict": found.verdict,
        "told": verdict(found),
        "refusal": found.refusal or None,
        "changes": list(found.changes),
        "remarks": list(found.remarks),
        "again": found.now.id if found.now else None,
        "figures": [figure.as_json() for figure in found.figures],
    }


def ended(attempt: Recorded | None) -> str:
    """How an attempt ended, in words."""
    if attempt is None:
        return "not attempted"
    return attempt.status if attempt.status == Status.DONE else f"{attempt.status} ({attempt.reason})"


def _listed(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {text}" for name, text in described(table))


def _told(figure: Figure, value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:SHOWN] if len(value) == HASH else value
    if figure.rule == "measured":
        return significant(value, SAMPLE_DIGITS)
    return fixed(value, 0) if figure.rule == "exact" else f"{value:.{DIGITS}g}"


def _difference(figure: Figure) -> str:
    if figure.difference is None:
        return ""
    return f"{figure.difference:+.1%}" if figure.rule == "measured" else f"{figure.difference:.3g}"


def _word(figure: Figure) -> str:
    """With how far it might go, where that decided."""
    if not figure.tolerance or figure.word == "equal":
        return figure.word
    return f"{figure.word} ({figure.tolerance:{'.1%' if figure.rule == 'measured' else '.3g'}})"
