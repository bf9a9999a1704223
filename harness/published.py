"""What is published about the methods of a grid, to stand beside what is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from harness.plan import PlannedCell
from methods.papers import scores_of


def published(cells: Iterable[PlannedCell]) -> dict[str, list[dict[str, Any]]]:
    """The published numbers of each method by its name in `cells`, and of its self-ensemble by that name with a "+".

    A method of the catalogue is known by its name, a network from a file by its label.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    named = {(cell.spec["method"], cell.spec["title"]) for cell in cells}
    for name in sorted({method if scores_of(method) else title for method, title in named}):
        for variant in (name, f"{name}+"):
            if scores := scores_of(variant):
                found[variant] = [dataclasses.asdict(score) for score in scores]
    return found
