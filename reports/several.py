"""Which runs stand on one page, from one store or several, and what they are called there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.options import STORE_FILE
from harness.store import Store
from reports.frames import Frames, load
from reports.provenance import runs_of

SHORTEST = 4
"""Digits of a run's id that a name has at least."""


def chosen(store: Store | None, run_ids: Sequence[str], others: Sequence[str]) -> list[Frames]:
    """The runs of `store` that `run_ids` name (none: the newest), then one of each of `others`, as `run_of` reads it.

    Raises:
        UserError: there is no such run or store.
    """
    asked: Sequence[str | None] = run_ids or [None]
    own = [load(store, store.run_id(run_id)) for run_id in asked] if store is not None else []
    return [*own, *map(run_of, others)]


def run_of(address: str) -> Frames:
    """The newest run of a store, given as a file, a folder that holds one or a URL; of `STORE#RUN`, the run so named.

    Raises:
        UserError: there is no such store, or no such run in it.
    """
    place, _, run_id = (address, "", "") if Path(address).exists() else address.partition("#")
    file = Path(place) / STORE_FILE if Path(place).is_dir() else Path(place)
    if "://" not in place and not file.is_file():
        raise UserError(f"no store at {file}: --with takes an SQLite file, its folder or a URL, and #RUN behind it")
    store = Store(place if "://" in place else str(file))
    try:
        return load(store, store.run_id(run_id or None))
    finally:
        store.close()


def origin(frames: Frames) -> str:
    """Where what is written comes from, on one line: grid, run, day and commit of each run."""
    return f"nlbench: {'; '.join(map(_origin, runs_of(frames)))}"


def called(frames: Frames) -> str:
    """The runs by the beginnings of their ids, within a sentence."""
    ids = [str(run["id"])[:8] for run in runs_of(frames)]
    return f"run{'s' if len(ids) > 1 else ''} {', '.join(ids)}"


def names_of(frames: Sequence[Frames]) -> tuple[str, ...]:
    """The plainest names that tell runs apart: grid, commit, machine or day, else the beginnings of their ids."""
    tellings: tuple[Callable[[Mapping[str, Any]], str], ...] = (
        lambda run: _one_line(str(run["grid_name"])),
        lambda run: f"commit {str(run['commit_id'])[:8]}",
        lambda run: str(run["machine"].get("gpu") or run["machine"].get("cpu") or ""),
        lambda run: str(run["started_at"])[:10],
    )
    for telling in tellings:
        told = [telling(each.run) for each in frames]
        if len(set(told)) == len(told) and all(told):
            return tuple(told)
    ids = [str(each.run["id"]) for each in frames]
    length = next(n for n in range(SHORTEST, max(map(len, ids)) + 1) if len({i[:n] for i in ids}) == len(ids))
    return tuple(f"run {run_id[:length]}" for run_id in ids)


def check_runs(frames: Sequence[Frames]) -> None:
    """Whether there are runs, and none of them twice.

    Raises:
        UserError: there are not.
    """
    ids = [str(each.run["id"]) for each in frames]
    if not ids:
        raise UserError("no run to report")
    if twice := [run_id for run_id in dict.fromkeys(ids) if ids.count(run_id) > 1]:
        raise UserError(f"run {twice[0]} is asked for twice: name other runs, or name it once")


def checked_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """The names that a user gave to `count` runs, each on one line.

    Raises:
        UserError: they are too few or too many, or do not tell the runs apart.
    """
    told = tuple(_one_line(name) for name in names)
    if len(told) != count:
        raise UserError(f"{len(told)} names for {count} runs: give one for each, in their order, or none")
    if not all(told) or len(set(told)) != count:
        raise UserError(f"names must tell the runs apart: {', '.join(map(repr, names))}")
    return told


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _origin(run: Mapping[str, Any]) -> str:
    """Of one run, behind its name where it has one."""
    commit = f"commit {str(run['commit_id'])[:12]}{' with uncommitted changes' if run['dirty'] else ''}"
    grid = " ".join(re.split(r"\s+", str(run["grid_name"])))
    told = f"{grid}, run {str(run['id'])[:12]}, started {str(run['started_at'])[:10]}, {commit}"
    return f"{run['name']}: {told}" if run.get("name") else told
