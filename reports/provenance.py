"""Where the figures come from: machine, versions, commit, command, grid, protocols and cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.store import read_json
from reports.frames import Frames
from reports.tables import TIMES, described

Pairs = tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A run that answered tasks of this one; `versions` are those that are not the page's."""

    run_id: str
    tasks: int
    commit: str
    dirty: bool
    machine: Pairs
    versions: Pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Described:
    """Something with a name and settings: a protocol or a cell."""

    name: str
    settings: Pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """A run of the page with where it ran; `name` is what the page calls it, empty where it is the only one."""

    name: str
    run: Mapping[str, Any]
    machine: Pairs
    versions: Pairs


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """Everything that a reader needs to judge and to repeat the runs of a page."""

    origins: tuple[Origin, ...]
    earlier: tuple[Source, ...]
    protocols: tuple[Described, ...]
    cells: tuple[Described, ...]


def provenance(frames: Frames) -> Provenance:
    """Read off the run, its attempts and its cells."""
    return Provenance(
        origins=tuple(_origin(run) for run in runs_of(frames)),
        earlier=tuple(_sources(frames)),
        protocols=tuple(_protocols(frames)),
        cells=tuple(_cells(frames.tasks)),
    )


def runs_of(frames: Frames) -> tuple[Mapping[str, Any], ...]:
    """The runs that a page is of: one, or all that were merged."""
    runs: tuple[Mapping[str, Any], ...] = frames.run.get("runs", (frames.run,))
    return runs


def _origin(run: Mapping[str, Any]) -> Origin:
    return Origin(
        name=str(run.get("name", "")),
        run=run,
        machine=tuple(described(run["machine"])),
        versions=tuple(described(run["versions"])),
    )


def _sources(frames: Frames) -> list[Source]:
    """The earlier runs whose attempts answer tasks of these."""
    answered = frames.tasks[frames.tasks["attempt_id"].notna()]
    others = answered[~answered["source_run"].isin([run["id"] for run in runs_of(frames)])]
    return [
        Source(
            run_id=str(run_id),
            tasks=group["task_key"].nunique(),
            commit=str(group["commit_id"].iloc[0]),
            dirty=bool(group["dirty"].iloc[0]),
            machine=tuple(described(frames.machines[str(group["machine_id"].iloc[0])])),
            versions=tuple(described(_others(frames, str(group["versions"].iloc[0])))),
        )
        for run_id, group in others.groupby("source_run", sort=False)
    ]


def _others(frames: Frames, versions: str) -> dict[str, Any]:
    """What an earlier run had in another version than all runs of the page."""
    own = [run["versions"] for run in runs_of(frames)]
    return {name: told for name, told in read_json(versions).items() if told not in [each.get(name) for each in own]}


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
