"""Times of pytest-benchmark, from its JSON file into the store: a run of its own, with every sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from harness.errors import UserError
from harness.records import Outcome, Record, Status, Task, canonical, fingerprint
from harness.store import Store, Wanted


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)


class Stats(_Part):
    """`data` are the samples in seconds, each the mean of `iterations` calls."""

    data: Annotated[tuple[float, ...], Field(min_length=1)]
    iterations: int


class Benchmark(_Part):
    """One benchmark; `fullname` is its file, its name and what it was parametrized with."""

    name: str
    fullname: str
    group: str | None = None
    params: Mapping[str, Any] | None = None
    stats: Stats


class Commit(_Part):
    """The commit that was benchmarked."""

    id: str = "unknown"
    dirty: bool = True


class File(_Part):
    """What pytest-benchmark writes with `--benchmark-json`."""

    machine_info: Mapping[str, Any]
    commit_info: Commit
    benchmarks: Annotated[tuple[Benchmark, ...], Field(min_length=1)]
    datetime: str


def read(file: Path) -> File:
    """The content of a JSON file of pytest-benchmark.

    Raises:
        UserError: no such file, or one of another kind.
    """
    try:
        return File.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except pydantic.ValidationError as error:
        mistake = error.errors()[0]
        place = ".".join(map(str, mistake["loc"]))
        raise UserError(f"{file} is no JSON file of pytest-benchmark: {place}: {mistake['msg']}") from error
    except ValueError as error:
        raise UserError(f"{file} is no JSON file of pytest-benchmark: {error}") from error


def keep(store: Store, found: File, command: str) -> str:
    """Write `found` as a run; returns its id. The same file twice is two runs of the same tasks."""
    machine = _machine(found.machine_info)
    tasks = {each.fullname: _task(each, found, machine) for each in found.benchmarks}
    run = {
        "grid_name": "benchmarks",
        "grid": "",
        "command": command,
        "commit_id": found.commit_info.id,
        "dirty": int(found.commit_info.dirty),
        "versions": canonical({"python": found.machine_info.get("python_version", "unknown")}),
    }
    run_id = store.begin_run(run, machine, [_wanted(each, tasks[each.fullname]) for each in found.benchmarks])
    for each in found.benchmarks:
        store.write(run_id, _outcome(each, tasks[each.fullname]))
    return run_id


def _machine(told: Mapping[str, Any]) -> dict[str, Any]:
    cpu = told.get("cpu") or {}
    known = {"cpu": cpu.get("brand_raw", "unknown"), "cores": cpu.get("count")}
    return known | {"os": f"{told.get('system')} {told.get('machine')}", "device": "cpu"}


def _task(each: Benchmark, found: File, machine: Mapping[str, Any]) -> Task:
    spec = {
        "benchmark": each.fullname,
        "params": dict(each.params or {}),
        "commit": found.commit_info.id,
        "machine": fingerprint(machine),
        "measured_at": found.datetime,
    }
    return Task(kind="benchmark", key=fingerprint(_plain(spec) | {"kind": "benchmark"}), spec=_plain(spec))


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters may be anything that JSON holds, numbers that are none included."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in spec.items()}


def _wanted(each: Benchmark, task: Task) -> Wanted:
    spec = {"method": "benchmark", "title": each.name, "settings": {}, "scale": 0, "seed": 0, "group": each.group}
    return Wanted(cell=fingerprint(spec | {"fullname": each.fullname}), cell_spec=spec, label=each.name, task=task)


def _outcome(each: Benchmark, task: Task) -> Outcome:
    samples = each.stats.data
    records = tuple(Record(metric="benchmark_s", value=value, repeat=i) for i, value in enumerate(samples))
    protocol = {"time": "pytest-benchmark", "iterations": each.stats.iterations}
    return Outcome(task=task, status=Status.DONE, seconds=sum(samples), records=records, protocol=protocol)
