"""The program as people call it: as a process of its own, or, many times faster, in this one."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = str(ROOT / "run_all.py")


def command(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`run_all.py` with `arguments` in a new process."""
    words = [sys.executable, PROGRAM, *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


def here(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The same from its first line to its exit code, in this process, which has imported everything already."""
    words = [PROGRAM, *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patched.chdir(cwd)
        patched.setattr(sys, "argv", words)
        try:
            runpy.run_path(PROGRAM, run_name="__main__")
        except SystemExit as ended:
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
