"""Claims of speed in README and docs are those of committed benchmarks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.benchmarks import attention, training
from tests.benchmarks.attention import WAYS, YARDSTICK, Figures
from tests.pages import ROOT

FILES: dict[str, Any] = {"attention-cpu": attention, "training-cpu": training}
"""Each with the module that measured it."""
MARK = "<!-- results of benchmarks/{}.json -->"


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


def rows_for_readers(name: str) -> list[str]:
    """The table of a benchmark as its own module writes it."""
    module = FILES[name]
    rows = [module.row(module.Figures(**each)) for each in told(name)["figures"]]
    return [f"| {' | '.join(cells)} |" for cells in (module.HEADS, ["---"] * len(module.HEADS), *rows)]


def block(page: str, name: str) -> list[str]:
    """The lines of the table that `page` shows of a benchmark."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.partition(MARK.format(name))[2].strip().partition("\n\n")[0].splitlines()


def test_the_tables_of_pages_are_those_of_the_benchmarks() -> None:
    figures = [Figures(**each) for each in told("attention-cpu")["figures"]]
    assert block("README.md", "attention-cpu") == rows_for_readme(figures)
    assert block("docs/speed.md", "training-cpu") == rows_for_readers("training-cpu")


@pytest.mark.parametrize("name", FILES)
def test_benchmarks_are_for_readers_and_machines_and_say_where_they_ran(name: str) -> None:
    found, page = told(name), (ROOT / "benchmarks" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert page[-len(rows_for_readers(name)) :] == rows_for_readers(name)
    assert f"- command: {found['command']}" in page
    assert {"machine", "versions", "commit", "command", "turns"} <= found.keys()
    assert found["uncommitted changes"] is False


def test_the_training_benchmark_leaves_nobody_out() -> None:
    found = [(f["network"], f["way"]) for f in told("training-cpu")["figures"]]
    ways = (training.PLAIN, *training.WAYS)
    assert found == [(network, way) for network in training.NETWORKS for way in ways]


def test_the_attention_benchmark_leaves_nobody_out() -> None:
    found = told("attention-cpu")
    kinds = {each["kind"] for each in found["figures"]}
    assert {kind for kind, ways in WAYS.items() if "fused" in ways} <= kinds
    for kind in kinds:
        assert [f["way"] for f in found["figures"] if f["kind"] == kind][: 1 + len(WAYS[kind])] == [
            YARDSTICK,
            *WAYS[kind],
        ]
    assert all(each["error"] < 1e-5 for each in found["figures"])
