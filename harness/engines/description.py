"""A node as a run describes it, and where it finds the code. Nothing heavy is imported: nodes are asked before work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from harness import machine
from harness.isolate import start_server


def code_path() -> str:
    """What `PYTHONPATH` says where this process would find the same code: its paths outside of Python's own folders."""
    outside = [folder or str(Path.cwd()) for folder in sys.path if not folder.startswith((sys.prefix, sys.base_prefix))]
    return os.pathsep.join(dict.fromkeys([*outside, str(machine.ROOT)]))


def described(device: str, threads: int) -> dict[str, Any]:
    """This node as a machine, its worker processes set up as those of the local engine."""
    start_server()
    return machine.describe(device, threads)
