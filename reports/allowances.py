"""What grids allow: by how much a figure may become worse before it counts, by metric, method, scale and place."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Sequence

import pydantic

from harness.errors import UserError
from harness.grid_tables import Threshold
from reports.changes import Change

ROUNDING = 1e-9
"""What is worse by just so much is allowed, however the difference was rounded."""


def thresholds(text: str) -> tuple[Threshold, ...]:
    """Those of the text of a grid.

    Raises:
        UserError: what stands there is no threshold.
    """
    try:
        return tuple(Threshold.model_validate(table) for table in tomllib.loads(text).get("thresholds", ()))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"thresholds: {place}: {first['msg']}, not {first['input']!r}") from error


def allowed(found: Iterable[Change], asked: Sequence[Threshold]) -> list[Change]:
    """The same, what is worse by no more than its threshold being allowed. Of several that fit, the last counts."""
    return [_judged(change, next((t for t in reversed(asked) if _fits(t, change)), None)) for change in found]


def _judged(change: Change, threshold: Threshold | None) -> Change:
    if threshold is None or change.word != "worse":
        return change
    within = change.loss <= threshold.allow * (1.0 + ROUNDING)
    told = f"{change.floor + '; ' if change.floor else ''}{threshold.allow:g} allowed"
    return dataclasses.replace(change, floor=told, word="allowed" if within else "worse")


def _fits(threshold: Threshold, change: Change) -> bool:
    return (
        threshold.metric == change.quantity
        and threshold.method in {None, change.name, change.method}
        and threshold.scale in {None, change.scale}
        and (threshold.at is None or change.at in threshold.at)
    )
