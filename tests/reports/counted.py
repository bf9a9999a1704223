"""Synthetic runs of counted figures, whose growth is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.records import Outcome, Record, Status, Task, fingerprint
from harness.store import Store, Wanted
from reports.frames import Frames, load, positions
from tests.stores import MACHINE, RUN, make_task

SIZES = ("24x24", "48x48", "47x50", "96x96", "144x144")
Law = Callable[[int], float]
"""A quantity from n."""


def counted_run(
    store: Store,
    laws: Mapping[str, Law],
    *,
    quantity: str = "macs",
    changed: Mapping[str, Mapping[str, Any]] | None = None,
    way: Mapping[str, Any] | None = None,
    grid: str = "exact",
) -> str:
    """Write a run in which every method of `laws` was counted at `SIZES`; returns its id."""
    told = {
        name: {"label": name, "method": name, "settings": own, "changed": own}
        for name in laws
        for own in [dict((changed or {}).get(name, {}))]
    }
    spec = {"method": "count", "title": "Counted", "contenders": told, "order": list(laws), "scale": 0, "seed": 0}
    protocol = {
        "scope": "attention",
        "scale": 0,
        "mode": "inference",
        "precision": "fp32",
        "batch": 1,
        "tiling": "whole",
    }
    protocol |= dict(way or {})
    tasks = [
        (name, size, make_task("count", {"contender": name, "size": size, **protocol}))
        for name in laws
        for size in SIZES
    ]
    wanted = [Wanted(cell=fingerprint(spec), cell_spec=spec, label="Counted", task=task) for _, _, task in tasks]
    run = store.begin_run({**RUN, "grid_name": grid}, MACHINE, wanted)
    for name, size, task in tasks:
        store.write(run, _outcome(task, f"counted_{quantity}", laws[name](positions(size)), name, size, protocol))
    return run


def counted_frames(folder: Path, laws: Mapping[str, Law], **how: Any) -> Frames:
    """The same in a store of its own, loaded."""
    store = Store(str(folder / "counted.db"))
    frames = load(store, counted_run(store, laws, **how))
    store.close()
    return frames


def _outcome(task: Task, metric: str, value: float, name: str, size: str, protocol: Mapping[str, Any]) -> Outcome:
    record = Record(metric=metric, value=value, module=name, size=size)
    return Outcome(task=task, status=Status.DONE, seconds=0.1, records=(record,), protocol=protocol)
