"""What benchmarks leave behind: figures for machines and for readers, and where they come from."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.machine import commit, describe, versions


def where(benchmark: str, device: str = "cpu") -> dict[str, Any]:
    """What was asked of the module `tests.benchmarks.{benchmark}`, and the machine, versions and commit that answer."""
    revision, dirty = commit()
    return {
        "command": " ".join([f"python -m tests.benchmarks.{benchmark}", *sys.argv[1:]]),
        "machine": describe(device, len(os.sched_getaffinity(0))),
        "versions": versions(),
        "commit": revision,
        "uncommitted changes": dirty,
    }


def written(
    title: str, table: Iterable[Sequence[str]], found: Iterable[Any], told: Mapping[str, Any], file: Path
) -> None:
    """Dataclasses `found`, and what is `told` of all, as `file`.json; the latter and a `table`, heads first, as .md."""
    each = [dataclasses.asdict(figures) for figures in found]
    file.with_suffix(".json").write_text(json.dumps({**told, "figures": each}, indent=1) + "\n", encoding="utf-8")
    heads, *rows = table
    facts = "\n".join(f"- {name}: {value}" for name, value in told.items())
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows))
    file.with_suffix(".md").write_text(f"# {title}\n\n{facts}\n\n{lines}\n", encoding="utf-8")
