"""What a job of a cluster tells the driver, through a file on a disk that both see: a line for each thing told.

A line is the checksum of what follows, then the thing pickled, in base64. Who writes begins with an end of line, so
half a line that a killed process left spoils nothing: it fails its checksum, and the next is whole.
"""

from __future__ import annotations

import base64
import pickle
import time
import zlib
from pathlib import Path
from typing import Any

CHECKSUM = 8
STALE_S = 120.0
"""A driver that has not shown itself for so long is gone; it does so every few seconds."""
ALIVE, STOP = "alive", "stop"


class Writer:
    """Adds lines to `file`, each at once where others see it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._add(b"")

    def write(self, told: Any) -> None:
        """Add a line with `told`."""
        text = base64.b64encode(pickle.dumps(told))
        self._add(f"{zlib.crc32(text):0{CHECKSUM}x}".encode() + text)

    def _add(self, line: bytes) -> None:
        # Network file systems show others what was written once the file is closed.
        with self.file.open("ab", buffering=0) as stream:
            stream.write(line + b"\n")


class Reader:
    """Reads what was added to `file` since it was read last, whole lines only."""

    def __init__(self, file: Path) -> None:
        self.file, self.position = file, 0

    def read(self) -> list[Any]:
        """What is new; nothing if there is no file yet."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self.position)
                new = stream.read()
        except FileNotFoundError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self.position += len(whole)
        return [pickle.loads(base64.b64decode(line[CHECKSUM:])) for line in whole.split(b"\n") if _sound(line)]  # noqa: S301 - written by our own job


def _sound(line: bytes) -> bool:
    return len(line) > CHECKSUM and line[:CHECKSUM] == f"{zlib.crc32(line[CHECKSUM:]):0{CHECKSUM}x}".encode()


class Watch:
    """Whether the driver of the jobs in `folder` still wants them: it says so, or is silent for too long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shown, self.since = 0.0, time.monotonic()

    def show(self) -> None:
        """Of the driver: show that it lives."""
        (self.folder / ALIVE).touch()

    def end(self) -> None:
        """Of a driver: say that the jobs shall save what they have and end."""
        (self.folder / STOP).touch()

    @property
    def over(self) -> bool:
        """Whether the jobs shall end; clocks of two machines are not compared, only whether the driver's moves."""
        if (self.folder / STOP).exists():
            return True
        try:
            shown = (self.folder / ALIVE).stat().st_mtime
        except OSError:
            return True
        if shown != self.shown:
            self.shown, self.since = shown, time.monotonic()
        return time.monotonic() - self.since > STALE_S


def end_abandoned(folders: Path, own: Watch) -> None:
    """End the jobs of drivers beside `own` that are gone: they would work on what this one is about to ask for."""
    own.show()
    now = (own.folder / ALIVE).stat().st_mtime
    for alive in folders.glob(f"*/{ALIVE}"):
        if now - alive.stat().st_mtime > STALE_S:
            Watch(alive.parent).end()
