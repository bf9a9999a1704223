"""Where what is written comes from, on one line."""

from __future__ import annotations

import re

from reports.frames import Frames


def origin(frames: Frames) -> str:
    """Grid, run, day and commit."""
    run = frames.run
    commit = f"commit {str(run['commit_id'])[:12]}{' with uncommitted changes' if run['dirty'] else ''}"
    grid = " ".join(re.split(r"\s+", str(run["grid_name"])))
    return f"nlbench: {grid}, run {str(run['id'])[:12]}, started {str(run['started_at'])[:10]}, {commit}"
