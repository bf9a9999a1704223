"""The methods of a run: their names, the labels of their rows, and the files of their pages."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.frames import BASELINE, Frames
from reports.race import Race

LONGEST = 60
"""Letters of a method's name in that of its file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """A method of a run: its catalogue name, what it is called, and the labels of its cells and contenders."""

    name: str
    title: str
    labels: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name of its page: letters that every file system takes, and a digest where that loses some."""
        plain = re.sub(r"[^a-z0-9_]+", "-", self.name)[:LONGEST].strip("-")
        if plain and plain == self.name:
            return f"method-{plain}.html"
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return f"method-{'-'.join(filter(None, (plain, digest)))}.html"


def methods_of(frames: Frames, raced: Sequence[Race]) -> list[Method]:
    """The methods of cells and of what ran in turn, in the order in which the run asked for them, but the baseline.

    Of what ran in turn, stores of earlier versions do not tell the method.
    """
    cells = frames.tasks[frames.tasks["label"].isin(frames.labels)].drop_duplicates("label")
    named = [(str(spec["method"]), str(spec["title"]), str(label)) for label, spec in _pairs(cells)]
    raced_methods = [(race.subjects.get(label, {}).get("method"), label) for race in raced for label in race.labels]
    named += [(str(name), str(name), label) for name, label in raced_methods if name]
    found: dict[str, tuple[str, dict[str, None]]] = {}
    for name, title, label in named:
        if name != BASELINE:
            found.setdefault(name, (title, {}))[1][label] = None
    return [Method(name=name, title=title, labels=tuple(labels)) for name, (title, labels) in found.items()]


def _pairs(cells: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return zip(cells["label"], cells["cell_spec"], strict=True)
