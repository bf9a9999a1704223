"""Exports of a store: raw records, figures of a run for trackers of benchmarks, or runs as a small store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd

from datasets.naming import nearest
from harness.copies import copy_runs
from harness.errors import UserError
from harness.store import Store
from reports.files import write_whole
from reports.frames import load
from reports.markup import as_csv
from reports.trackers import Tracker, tracked

TRACKERS: tuple[Tracker, ...] = get_args(Tracker)
STORE = "sqlite"
FILES = ("csv", "parquet", STORE)
"""Forms that the name of a file tells."""
RUNS = "SELECT id FROM run ORDER BY started_at, id"
FORMS = (*FILES, *TRACKERS)
OF_TABLES = ("md", "tex")
"""Forms of `reports.table_files`."""


def export(store: Store, file: Path, form: str, runs: Sequence[str] = ()) -> str:
    """Write an export to `file`, whole; returns a sentence on what it holds.

    `runs` are beginnings of ids. Without one, figures are those of the newest run, everything else that of all runs.

    Raises:
        UserError: no such run, or nothing to write; figures are asked of several runs.
        UserError: the file cannot be written, or is to be a store and exists.
    """
    run_ids = list(dict.fromkeys(store.run_id(each) for each in runs))
    store.run_id()  # of a store without runs there is nothing to write, least of all over a file that is there
    if form == STORE:
        return _store(store, file, run_ids)
    for tracker in TRACKERS:
        if form == tracker:
            return _figures(store, file, tracker, run_ids)
    return _records(store, file, form, run_ids)


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


def _store(store: Store, file: Path, run_ids: Sequence[str]) -> str:
    chosen = run_ids or list(store.frame(RUNS)["id"])
    copied = copy_runs(store, file, chosen)
    runs = f"{copied.runs:,} run{'s' if copied.runs > 1 else ''}"
    others = f"; attempts among them were made by other runs: {copied.others}" if copied.others else ""
    return f"{runs}, {copied.attempts:,} attempts, {copied.records:,} records written to {file}{others}"


def _records(store: Store, file: Path, form: str, run_ids: Sequence[str]) -> str:
    frame = pd.concat([store.measurements(run_id) for run_id in run_ids or (None,)], ignore_index=True)
    write_whole(file, as_csv(frame) if form == "csv" else frame.to_parquet(None, index=False))
    return f"{len(frame):,} records written to {file}"


def _figures(store: Store, file: Path, tracker: Tracker, run_ids: Sequence[str]) -> str:
    if len(run_ids) > 1:
        raise UserError(f"figures for {tracker} are those of one run: give --run once, and a file for each")
    found = tracked(load(store, run_ids[0] if run_ids else store.run_id(), pictures=False), tracker)
    write_whole(file, found.text)
    left_out = f"; {found.left_out} left out: infinite, or of a part of the images" if found.left_out else ""
    return f"{found.count:,} figures written to {file}{left_out}"
