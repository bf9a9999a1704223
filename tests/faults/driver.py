"""A second driver: it says when it is ready, begins when it is told to, and says how its tasks ended.

python -m tests.faults.driver GRID OUT
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from harness.isolate import Report, Worker
from harness.place import Place
from tests.faults.runs import ends, go


def nothing(_: object, report: Report) -> None:
    """What the first worker does, which waits until the fork server has imported everything."""
    report("ready")


def main(grid: str, out: str) -> None:
    """Get ready, wait for a line, run."""
    with tempfile.TemporaryDirectory() as folder, Worker(nothing, None, Path(folder, "log")) as worker:
        print(*worker.messages(lambda: 300.0), flush=True)  # noqa: T201 - the test reads it
    sys.stdin.readline()
    for _, status in ends(go(Path(grid), Place.of(Path(out), device="cpu", threads=2))):
        print(status)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
