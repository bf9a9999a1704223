"""What happens on a node of a cluster: one cell, by the local engine there, on the machine whose times are asked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from harness.engines.description import described
from harness.engines.local import LocalEngine
from harness.records import Outcome, Status, Task
from harness.worker import Event, Job, Started

SAME_MEMORY = 0.02
"""Two nodes of one make differ in what their systems keep of the memory for themselves, by less than this share."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Errand:
    """A job for a node, with the folder for logs, the seconds that a task may take, and the run's machine."""

    job: Job
    logs: Path
    task_s: float
    machine: Mapping[str, Any]


def times(job: Job) -> bool:
    """Whether any task of `job` takes times, and must have what it runs on for itself."""
    return any(task.timed for task in job.tasks)


def carried_out(errand: Errand) -> Generator[Event]:
    """The events of the errand, as the local engine of this node yields them.

    Tasks that take times are skipped, with the reason, where this node is another machine than the run's.
    """
    job = errand.job
    here = described(job.device, job.threads) if times(job) else errand.machine
    differs = [name for name in errand.machine.keys() | here.keys() if not _same(name, errand.machine, here)]
    refused = [task for task in job.tasks if differs and task.timed]
    for task in refused:
        yield Started(task)
        yield _refusal(task, sorted(differs), errand.machine, here)
    wanted = tuple(task for task in job.tasks if task not in refused)
    if wanted:
        engine = LocalEngine(errand.logs, errand.task_s, (job.device,))
        with contextlib.closing(engine.run([dataclasses.replace(job, tasks=wanted)])) as events:
            yield from (event for _, event in events)


def _same(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if name == "memory_bytes" and name in one and name in other:
        return bool(abs(one[name] - other[name]) <= SAME_MEMORY * one[name])
    return bool(one.get(name) == other.get(name))


def _refusal(task: Task, differs: list[str], asked: Mapping[str, Any], here: Mapping[str, Any]) -> Outcome:
    told = ", ".join(f"{name} {here.get(name)}, not {asked.get(name)}" for name in differs)
    reason = f"this node is another machine than the one whose times are asked: {told}"
    return Outcome(task=task, status=Status.SKIPPED, seconds=0.0, reason=reason)
