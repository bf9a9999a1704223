"""Where the figures come from: machine, versions, commit, command, grid, protocols and cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.frames import Frames
from reports.tables import TIMES, described

Pairs = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A run that answered tasks of this one."""

    run_id: str
    tasks: int
    commit: str
    dirty: bool
    machine: Pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """Something with a name and settings: a protocol or a cell."""

    name: str
    settings: Pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything that a reader needs to judge and to repeat the run."""

    run: Mapping[str, Any]
    machine: Pairs
    versions: Pairs
    earlier: tuple[Source, ...]
    protocols: tuple[Described, ...]
    cells: tuple[Described, ...]


def provenance(frames: Frames) -> Provenance:
    """Read off the run, its attempts and its cells."""
    return Provenance(
        run=frames.run,
        machine=tuple(described(frames.run["machine"])),
        versions=tuple(described(frames.run["versions"])),
        earlier=tuple(_sources(frames)),
        protocols=tuple(_protocols(frames)),
        cells=tuple(_cells(frames.tasks)),
    )


def _sources(frames: Frames) -> list[Source]:
    """The earlier runs whose attempts answer tasks of this one."""
    answered = frames.tasks[frames.tasks["attempt_id"].notna()]
    others = answered[answered["source_run"] != frames.run["id"]]
    return [
        Source(
            run_id=str(run_id),
            tasks=group["task_key"].nunique(),
            commit=str(group["commit_id"].iloc[0]),
            dirty=bool(group["dirty"].iloc[0]),
            machine=tuple(described(frames.machines[str(group["machine_id"].iloc[0])])),
        )
        for run_id, group in others.groupby("source_run", sort=False)
    ]


def _protocols(frames: Frames) -> list[Described]:
    """Protocols of the attempts that answer this run's tasks; an attempt that failed early has none."""
    used = [str(key) for key in frames.tasks["comparable"].dropna().drop_duplicates()]
    pairs = {key: tuple(described(frames.protocols[key])) for key in used}
    return [Described(name=key, settings=settings) for key, settings in pairs.items() if settings]


def _cells(tasks: pd.DataFrame) -> list[Described]:
    cells = tasks.drop_duplicates("cell_id")
    rows = zip(cells["label"], cells["scale"], cells["seed"], cells["cell_spec"], strict=True)
    return [
        Described(name=f"{label} {TIMES}{scale}, seed {seed}", settings=tuple(described(spec)))
        for label, scale, seed, spec in rows
    ]
