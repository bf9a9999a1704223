"""When an attempt need not begin: because of how others ended."""

from __future__ import annotations

from collections.abc import Mapping

from harness.execution import NAMES
from harness.grid_tables import positions
from harness.plan import PlannedCell
from harness.records import Status, Task


def blocked(task: Task, cell: PlannedCell, known: Mapping[str, str]) -> str | None:
    """Why `task` need not be tried, from how others ended: its training failed, or a smaller size ran out of memory."""
    own = {other.key for other in cell.tasks}
    for need in task.needs:
        if known.get(need, Status.DONE) != Status.DONE:
            whose = "its" if need in own else "its twin's"
            return f"{whose} training ended as {known[need]}"
    if task.kind in {"attention", "profile"}:
        for other in cell.tasks:
            smaller = other.kind == task.kind and positions(other.spec["size"]) < positions(task.spec["size"])
            same = smaller and all(other.spec.get(name) == task.spec.get(name) for name in ("precision", *NAMES))
            if same and known.get(other.key) == Status.OUT_OF_MEMORY:
                return f"implied: out of memory at {other.spec['size']}"
    return None
