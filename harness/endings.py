"""How an attempt ends that raised something, or that need not begin: its status, and its reason in one line."""

from __future__ import annotations

import errno
from collections.abc import Mapping

import torch

from harness.execution import NAMES
from harness.grid_tables import positions
from harness.plan import PlannedCell
from harness.records import Status, Task
from harness.train import DivergedError
from methods.interface import UnavailableError

MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")


def status_of(error: BaseException) -> Status:
    """Which status an exception means."""
    if isinstance(error, UnavailableError):
        return Status.SKIPPED
    if isinstance(error, DivergedError | FloatingPointError):
        return Status.DIVERGED
    words = str(error).lower()
    short_of_memory = isinstance(error, RuntimeError) and any(phrase in words for phrase in MEMORY_WORDS)
    short_of_memory |= isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or short_of_memory:
        return Status.OUT_OF_MEMORY
    return Status.ERROR


def told(error: BaseException) -> str:
    """The first line of an exception, with its kind unless we raised it for the user."""
    line = next(iter(str(error).splitlines()), "")
    return (
        line
        if isinstance(error, ValueError | DivergedError | UnavailableError) and line
        else f"{type(error).__name__}: {line}"
    )


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
