"""What a grid counts without running it: exact, the same on every machine, at any size."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from harness.calls import COUNTED, counted_blank
from harness.contenders import Contender, Session, contenders, told
from harness.grid_tables import Count, Scope
from harness.machine import versions
from harness.records import Record, Task, fingerprint
from harness.resolve import Resolved
from harness.sources import code_version

TITLE = "Counted"
"""The label of what counts all others."""
CODE = "harness.count"
WAY = ("scope", "scale", "mode", "precision", "batch", "tiling")


def counting(asked: Count, cells: list[Resolved], labels: Mapping[str, str]) -> Session | None:
    """All that `asked` wants counted of `cells`; None where there is nothing."""
    fields = {scope: contenders(cells, labels, scope) for scope in asked.scope}
    found = {key: each for field in fields.values() for key, each in field.items()}
    tasks = tuple(_tasks(asked, fields))
    return Session(spec=told("count", TITLE, found), tasks=tasks, contenders=found) if tasks else None


def counts(contender: Contender, spec: Mapping[str, Any]) -> tuple[Record, ...]:
    """The records of one contender, one way, at one size."""
    values = counted_blank(contender, spec)
    return tuple(
        Record(metric=metric, value=value, module=contender.key, size=spec["size"]) for metric, value in values.items()
    )


def protocol(spec: Mapping[str, Any]) -> dict[str, Any]:
    """How the figures are counted, for the store; the size has a column of its own."""
    return {"counted": COUNTED, **{name: spec[name] for name in WAY}}


def _tasks(asked: Count, fields: Mapping[Scope, Mapping[str, Contender]]) -> Iterator[Task]:
    """What is counted may depend on how PyTorch takes an operation apart, so its version belongs to the key."""
    made_by = {"count_code": code_version(CODE), "torch": versions()["torch"]}
    for scope, field in fields.items():
        ways = itertools.product(asked.mode, asked.precision, asked.batch, field.values(), asked.sizes)
        for mode, precision, batch, contender, size in ways:
            scale = contender.scale if scope == "network" else 0
            spec: dict[str, Any] = {"scope": scope, "scale": scale, "mode": mode, "precision": precision}
            spec |= {"batch": batch, "tiling": "whole", "size": size}
            spec |= {"contender": contender.key, **made_by}
            yield Task(kind="count", key=fingerprint(spec | {"kind": "count"}), spec=spec)
