"""Importing what pytest-benchmark wrote, and refusing what it did not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.benchmarks import keep, read
from harness.errors import UserError
from harness.store import Store
from reports.benchmarks import benchmark_tables
from reports.frames import load


def benchmark(name: str, *seconds: float, group: str | None = None, **params: Any) -> dict[str, Any]:
    stats = {"data": list(seconds), "iterations": 2, "median": 0.0}
    return {"name": name, "fullname": f"tests/x.py::{name}", "group": group, "params": params or None, "stats": stats}


def written(path: Path, *benchmarks: dict[str, Any], **changes: Any) -> Path:
    machine = {"cpu": {"brand_raw": "A CPU", "count": 4}, "system": "Linux", "machine": "x86_64"}
    commit = {"id": "abc", "dirty": False, "branch": "main"}
    content = {"machine_info": machine, "commit_info": commit, "datetime": "2026-01-01", "benchmarks": benchmarks}
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def test_every_sample_becomes_a_record_of_a_run(tmp_path: Path) -> None:
    file = written(tmp_path / "b.json", benchmark("a", 0.5, 0.25), benchmark("b[2]", 1.0, group="g", scale=2))
    store = Store(str(tmp_path / "store.sqlite"))
    run = keep(store, read(file), "command")
    found = store.measurements(run)
    assert found[["label", "value", "repeat"]].to_numpy().tolist() == [["a", 0.5, 0], ["a", 0.25, 1], ["b[2]", 1.0, 0]]
    assert set(found["commit_id"]) == {"abc"}
    assert set(found["dirty"]) == {0}
    frames = load(store, run)
    assert frames.run["machine"]["cpu"] == "A CPU"
    assert frames.labels == ()
    named, rest = benchmark_tables(frames)
    assert (named.caption, rest.caption) == ("g", "Benchmarks")
    assert rest.rows[0].entries["median"].text == "375"
    store.close()


def test_another_time_or_commit_is_another_task_and_the_same_file_the_same(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.sqlite"))
    for name, changes in (("a", {}), ("b", {}), ("c", {"datetime": "2027"}), ("d", {"commit_info": {"id": "d"}})):
        keep(store, read(written(tmp_path / f"{name}.json", benchmark("a", 0.5), **changes)), "command")
    assert store.frame("SELECT COUNT(DISTINCT task_key) AS n FROM attempt")["n"][0] == 3
    assert store.frame("SELECT COUNT(*) AS n FROM run")["n"][0] == 4
    store.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nothing", "is no JSON file of pytest-benchmark: Expecting value"),
        ("{}", "is no JSON file of pytest-benchmark: machine_info: Field required"),
        ("[1]", "is no JSON file of pytest-benchmark"),
        (
            json.dumps({"machine_info": {}, "commit_info": {}, "datetime": "", "benchmarks": []}),
            "benchmarks: Tuple should have at least 1 item",
        ),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "b.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        read(tmp_path / "b.json")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        read(tmp_path / "absent.json")
