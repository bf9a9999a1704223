"""What code does to the machine while hostile input is read: files it writes, programs it starts, hosts it calls."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "socket.connect"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_seen: list[tuple[str, str]] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event in STARTS:
        _seen.append((event, ""))
    elif (event == "open" and arguments[2] & WRITES) or event in CHANGES:
        places = arguments[:2] if event in {"os.rename", "os.link"} else arguments[:1]
        _seen.extend((event, os.fsdecode(place)) for place in places if isinstance(place, str | bytes | os.PathLike))


sys.addaudithook(_hook)


@contextlib.contextmanager
def nothing_outside(folder: Path) -> Iterator[None]:
    """Fails if a program is started, a host is called, or a file outside `folder` is written, moved or removed."""
    global _seen  # noqa: PLW0603 - an audit hook can neither be removed nor be given anything
    _seen = []
    try:
        yield
        found = _seen
    finally:
        _seen = None
    allowed = (str(folder), os.devnull)
    wrong = [each for each in found if not each[1].startswith(allowed) and "__pycache__" not in each[1]]
    assert not wrong, f"outside of {folder}: {wrong}"
