"""Claims of speed in README and docs are those of committed benchmarks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.benchmarks.attention import HEADS, WAYS, YARDSTICK, Figures, row
from tests.pages import ROOT

FILES = ("attention-cpu",)
MARK = "<!-- results of benchmarks/attention-cpu.json -->"


def told(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


def rows_for_readme(figures: list[Figures]) -> list[str]:
    """A row for each attention that has a fused twin: speed-up with interval, and memory, at each size."""
    sizes = list(dict.fromkeys(f.size for f in figures))
    head = ["attention", *(f"{size}: {what}" for size in sizes for what in ("times faster", "memory"))]
    lines = [head, ["---"] * len(head)]
    for kind in dict.fromkeys(f.kind for f in figures if f.way == "fused"):
        own = {f.size: f for f in figures if (f.kind, f.way) == (kind, "fused")}
        lines.append(
            [kind.upper().replace("LCOA", "LCoA"), *(cell for size in sizes for cell in _cells(own.get(size)))]
        )
    return [f"| {' | '.join(line)} |" for line in lines]


def _cells(f: Figures | None) -> tuple[str, str]:
    if f is None:
        return "", ""
    return f"{f.speedup:.1f} ({f.speedup_low:.1f} to {f.speedup_high:.1f})", f"{f.bytes_share:.0%}".replace("%", " %")


def test_the_table_of_readme_is_that_of_the_benchmark() -> None:
    figures = [Figures(**each) for each in told("attention-cpu")["figures"]]
    block = (ROOT / "README.md").read_text(encoding="utf-8").partition(MARK)[2].strip().partition("\n\n")[0]
    assert block.splitlines() == rows_for_readme(figures)


@pytest.mark.parametrize("name", FILES)
def test_the_table_for_readers_is_that_for_machines(name: str) -> None:
    figures = [Figures(**each) for each in told(name)["figures"]]
    page = (ROOT / "benchmarks" / f"{name}.md").read_text(encoding="utf-8")
    for cells in (HEADS, *map(row, figures)):
        assert f"| {' | '.join(cells)} |" in page
    assert told(name)["command"] in page


@pytest.mark.parametrize("name", FILES)
def test_benchmarks_say_where_they_ran_and_leave_nobody_out(name: str) -> None:
    found = told(name)
    assert {"machine", "versions", "commit", "command", "turns"} <= found.keys()
    assert found["uncommitted changes"] is False
    kinds = {each["kind"] for each in found["figures"]}
    assert {kind for kind, ways in WAYS.items() if "fused" in ways} <= kinds
    for kind in kinds:
        assert [f["way"] for f in found["figures"] if f["kind"] == kind][: 1 + len(WAYS[kind])] == [
            YARDSTICK,
            *WAYS[kind],
        ]
    assert all(each["error"] < 1e-5 for each in found["figures"])
