"""What benchmarks leave behind."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.files import where, written


@dataclasses.dataclass
class Figures:
    way: str
    seconds: float


def test_figures_are_written_for_machines_and_for_readers(tmp_path: Path) -> None:
    found = [Figures("plain", 2.0), Figures("fused", 0.5)]
    table = [("way", "time"), *((f.way, f"{f.seconds} s") for f in found)]
    written("Ways", table, found, {"turns": 7}, tmp_path / "ways")
    assert json.loads((tmp_path / "ways.json").read_text(encoding="utf-8")) == {
        "turns": 7,
        "figures": [{"way": "plain", "seconds": 2.0}, {"way": "fused", "seconds": 0.5}],
    }
    assert (tmp_path / "ways.md").read_text(encoding="utf-8").splitlines() == [
        "# Ways",
        "",
        "- turns: 7",
        "",
        "| way | time |",
        "| --- | --- |",
        "| plain | 2.0 s |",
        "| fused | 0.5 s |",
    ]


def test_the_command_is_told_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/training.py", "edsr", "--turns", "3"])
    told = where("training")
    assert told["command"] == "python -m tests.benchmarks.training edsr --turns 3"
    assert {"machine", "versions", "commit", "uncommitted changes"} <= told.keys()
