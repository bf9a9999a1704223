"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import UserError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to a file beside `path`, then renamed: whole or not at all. Folders are made.

    Raises:
        UserError: there is no room or no permission.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        raise
