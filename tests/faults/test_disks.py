"""A disk that is full, and folders that must not be written: rows with a reason or one message, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.isolate import Worker
from harness.place import Place
from tests.conftest import WriteGrid
from tests.faults.driver import nothing
from tests.faults.runs import TINY, go

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = [sys.executable, "-m", "tests.faults.small_disk"]
MOUNT = 'mount -t tmpfs -o size=6m none "$1" && shift && exec "$@"'
ROOM_KB = (0, 36, 44, 230)
"""With a store elsewhere, too little for the images, the checkpoint, the weights; with the store here, for it, for the
run's row, for the outcome."""
LIMIT = 'ulimit -f 300 && exec "$@"'
DONE = ["train done: None", "evaluate done: None"]


@pytest.mark.fault(
    area="Disk",
    what="The disk is full",
    how="a tmpfs of 6 MB with 0 to 230 kB to spare, so that the store, the images, the checkpoint, the weights or the "
    "records find no room (where none can be mounted: a limit on the size of files)",
    kept="each run ends with rows that have a reason, or with a message and exit code 2; with room again the next run "
    "does all of it",
)
@pytest.mark.fault(
    area="Disk",
    what="The folder for output is read-only",
    how="the tmpfs is mounted anew, read-only, with a finished run on it; once with its store there, once elsewhere",
    kept="what is there; a message that names the file that cannot be written, exit code 2",
)
def test_a_full_disk_and_a_read_only_one_lose_nothing(write_grid: WriteGrid, tmp_path: Path) -> None:
    path, disk = write_grid(TINY, top='tasks = ["train", "evaluate"]'), tmp_path / "disk"
    disk.mkdir()
    words = [*SCRIPT, str(path), str(disk), str(tmp_path)]
    mounted = _mounted(disk)
    if mounted:
        *full, here, elsewhere, locked, locked_elsewhere = _lines([*mounted, *words, *map(str, ROOM_KB)])
        assert "read-only" in locked_elsewhere[0].lower()
        assert "cannot write the store" in locked[0]
        assert "it must be possible to write the file and its folder" in locked[0]
        assert len({line for lines in full for line in lines}) > 4, "the disk was full at different places"
        assert elsewhere == [], "it was done with that store"
    else:
        full, here = _lines(["sh", "-c", LIMIT, "sh", *words]), _lines(words)[0]
    for lines in full:
        assert lines == DONE or all("disk" in line or "No space" in line or "skipped" in line for line in lines), lines
    assert here == DONE


def _mounted(folder: Path) -> list[str]:
    """The beginning of a command that sees a disk of 6 MB at `folder`; nothing where this user cannot have one."""
    for own in ("-m", "-rm"):
        words = ["unshare", own, "sh", "-c", MOUNT, "sh", str(folder)]
        if not subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
            return words
    return []


def _lines(words: list[str]) -> list[list[str]]:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.fault(
    area="Disk",
    what="The folder for output is one that not even root may write",
    how="/proc as the output folder",
    kept="a message that names the file, exit code 2",
)
def test_a_folder_that_nobody_may_write_is_told(write_grid: WriteGrid, tmp_path: Path) -> None:
    path = write_grid(TINY)
    with pytest.raises(
        UserError, match=r"cannot open the store /proc/store.sqlite: unable to open database file: it must"
    ):
        go(path, Place.of(Path("/proc"), device="cpu", threads=2))
    store = str(tmp_path / "store.sqlite")
    with pytest.raises(UserError, match="cannot write the log /proc/logs/"):
        go(path, Place.of(Path("/proc"), store, device="cpu", threads=2))


def test_what_a_worker_prints_on_a_full_disk_does_not_change_how_it_ends(tmp_path: Path) -> None:
    """A log that is always full."""
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    with Worker(_talk, None, log) as worker:
        assert list(worker.messages(lambda: 60.0)) == ["all done"]
    with Worker(nothing, None, tmp_path / "other") as worker:
        assert list(worker.messages(lambda: 60.0)) == ["ready"]


def _talk(_: object, report: object) -> None:
    assert callable(report)
    with contextlib.suppress(OSError):  # as a task is told that fails by it; else the words wait for the end
        sys.stdout.write("words that find no room")
    report("all done")
