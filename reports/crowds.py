"""Figures of many methods: the best stand out, the others are grey, as nobody reads a legend of sixty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.labels import MOST
from reports.svg import MUTED, PAGE, points

NAMED = 10
"""Of more than `MOST` methods, so many stand out."""


def standing_out(worse: Mapping[str, float]) -> list[str]:
    """All labels, or of a crowd the `NAMED` best, best first; what is `worse` has the greater number."""
    return list(worse) if len(worse) <= MOST else sorted(worse, key=lambda label: worse[label])[:NAMED]


def crowd_told(shown: int, count: int, which: str, verb: str = "named") -> str:
    """How many of all stand out, or are drawn at all, as a sentence; nothing where all do."""
    return f" Of {count}, {shown} are {verb}: the {which}." if shown < count else ""


def others_told(count: int) -> list[str]:
    """What a legend says of `count` others, if there are any."""
    return [f"{count} {'other' if count == 1 else 'others'}, in grey"] if count else []


def grey() -> dict[str, Any]:
    """How those look that do not stand out."""
    return {"color": MUTED, "alpha": 0.45, "linewidth": points(0.8), "markeredgecolor": PAGE, "zorder": 1.5}
