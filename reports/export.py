"""Exports of a store for programs: raw records, and the figures of a run for trackers of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from datasets.naming import nearest
from harness.errors import UserError
from harness.store import Store
from reports.files import write_whole
from reports.frames import load
from reports.markup import as_csv
from reports.trackers import Tracker, tracked

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
FILES = ("csv", "parquet")
"""Forms that the name of a file tells."""
FORMS = (*FILES, *TRACKERS)
OF_TABLES = ("md", "tex")
"""Forms of `reports.table_files`."""


def export(store: Store, file: Path, form: str, run_id: str | None = None) -> str:
    """Write an export to `file`, whole; returns a sentence on what it holds.

    `run_id` is the beginning of one. Without one, raw records are those of all runs, figures those of the newest.

    Raises:
        UserError: no such run, or nothing to write.
        UserError: the file cannot be written.
    """
    for tracker in TRACKERS:
        if form == tracker:
            return _figures(store, file, tracker, run_id)
    return _records(store, file, form, run_id)


def form_of(file: Path, form: str | None = None) -> str:
    """The form that is asked for, or that the name of `file` tells.

    Raises:
        UserError: it tells none.
    """
    told = form or file.suffix.removeprefix(".")
    if told in FORMS:
        return told
    if told == "json":
        raise UserError(f"{file}: several forms are JSON: give --format {', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}")
    if told in OF_TABLES:
        raise UserError(f"{file}: tables are written by another verb: run_all.py table --to {file}")
    names = nearest(f".{told}", (f".{each}" for each in FILES))
    raise UserError(f"cannot tell the format of {file} by its name, and no --format is given: {names}")


def _records(store: Store, file: Path, form: str, run_id: str | None) -> str:
    frame = store.measurements(store.run_id(run_id) if run_id else None)
    write_whole(file, as_csv(frame) if form == "csv" else frame.to_parquet(None, index=False))
    return f"{len(frame):,} records written to {file}"


def _figures(store: Store, file: Path, tracker: Tracker, run_id: str | None) -> str:
    found = tracked(load(store, store.run_id(run_id), pictures=False), tracker)
    write_whole(file, found.text)
    left_out = f"; {found.left_out} left out: infinite, or of a part of the images" if found.left_out else ""
    return f"{found.count:,} figures written to {file}{left_out}"
