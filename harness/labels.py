"""Labels: what a cell is called in tables and figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from harness.grid_tables import Scalar


def labels(cells: Sequence[tuple[str, Mapping[str, Scalar]]]) -> list[str]:
    """A label for each `(title, settings)`: the title, and those settings in which cells of that title differ.

    A setting that some of them do not have, such as the hash length of one assignment out of several, is told only
    where those that have it differ.
    """
    having: dict[tuple[str, str], Counter[Scalar]] = defaultdict(Counter)
    for title, settings in cells:
        for name, value in settings.items():
            having[title, name][value] += 1
    told = [
        [_told(name, value) for name, value in settings.items() if len(having[title, name]) > 1]
        for title, settings in cells
    ]
    return [f"{title} {', '.join(words)}".strip() for (title, _), words in zip(cells, told, strict=True)]


def _told(name: str, value: Scalar) -> str:
    """A word speaks for itself; a number or a part of the budget needs its name."""
    return value if isinstance(value, str) and " " not in name else f"{name} {value}"
