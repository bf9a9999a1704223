"""Runs on a disk with little room, then without permission to write.

    python -m tests.faults.small_disk GRID DISK ELSEWHERE [KILOBYTES ...]

For each number two runs begin anew on DISK, which is filled but for so many kilobytes: one with its store there, one
with a store in the folder ELSEWHERE. What the last of them left goes on with all the room, and once more where nothing
may be written. What became of each run is printed as a line of JSON; only messages for the user may come out of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.errors import UserError
from harness.place import Place
from tests.faults.runs import go


def main(grid: str, disk: str, elsewhere: str, *kilobytes: str) -> None:
    """Run with so much room, with all of it, and without being allowed to write."""
    filling, out, stores = Path(disk, "filling"), Path(disk, "out"), [None]
    for room in kilobytes:
        stores = [None, str(Path(elsewhere, f"{room}.sqlite"))]
        for store in stores:
            shutil.rmtree(out, ignore_errors=True)
            _fill(filling, int(room) * 1024)
            run(grid, out, store)
            filling.unlink()
    for store in stores:
        run(grid, out, store)
    if kilobytes:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for store in (None, str(Path(elsewhere, "fresh.sqlite"))):
            run(grid, out, store)


def run(grid: str, out: Path, store: str | None) -> None:
    """Run, and print how it ended."""
    try:
        outcomes = go(Path(grid), Place.of(out, store, device="cpu", threads=2))
        told = [f"{o.task.kind} {o.status.value}: {o.reason}" for o in outcomes]
    except UserError as mistake:
        told = [str(mistake)]
    print(json.dumps(told), flush=True)  # noqa: T201 - the test reads it


def _fill(file: Path, room: int) -> None:
    disk = os.statvfs(file.parent)
    with contextlib.suppress(OSError), file.open("wb") as stream:
        stream.write(bytes(max(0, disk.f_bavail * disk.f_frsize - room)))


if __name__ == "__main__":
    main(*sys.argv[1:])
