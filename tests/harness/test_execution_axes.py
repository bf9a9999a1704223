"""Ways to execute as axes of profiles and races: named wherever they are recorded, and never mixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from harness import execution
from harness.endings import blocked
from harness.execution import NAMES
from harness.grid import read_grid
from harness.place import Place
from harness.plan import PlannedCell, plan
from harness.profile import profile
from harness.profile import protocol as profile_protocol
from harness.race import Races
from harness.race import protocol as race_protocol
from harness.records import Record, Status, Task
from methods.interface import UnavailableError, attention_modules
from tests.conftest import WriteGrid
from tests.harness.test_execution import NETWORKS, network
from tests.harness.test_profile import SPEC as PROFILED
from tests.harness.test_race import SPEC as RACED
from tests.harness.test_race import contender
from tests.harness.test_run import SMALL, go


def profiled(name: str, **way: bool) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in profile(lambda: network(name, **NETWORKS[name]), PROFILED | way, "cpu"):
        found.setdefault(record.metric, []).append(record)
    return found


@pytest.mark.usefixtures("traced")
def test_a_compiled_profile_has_its_first_call_apart_and_says_what_cannot_be_seen() -> None:
    plain, other = profiled("nlsn"), profiled("nlsn", compile=True)
    assert "graph_breaks" not in plain
    assert [record.value for record in other["graph_breaks"]] == [0.0]
    for metric in ("attention_s", "peak_bytes"):
        (record,) = other[metric]
        assert (record.status, record.reason) == (Status.SKIPPED, "not seen inside compiled code or a CUDA graph")
        assert {record.status for record in plain[metric]} == {Status.DONE}
    for metric in ("macs", "attention_macs", "peak_bytes_fake", "macs_fvcore", "parameters"):
        assert other[metric] == plain[metric], "what is counted is counted of the network as it is written"
    (first,), samples = other["first_forward_s"], [record.value or 0.0 for record in other["forward_s"]]
    assert (first.value or 0.0) > 3 * max(samples)
    assert "attention_s" not in profiled("edsr", compile=True)


def test_a_profile_runs_in_the_layout_that_it_names() -> None:
    seen: list[bool] = []

    def build() -> nn.Module:
        made = network("edsr")
        made.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous()))
        return made

    for last in (False, True):
        seen.clear()
        profile(build, PROFILED | {"channels_last": last}, "cpu")
        timed = seen[2:-1]
        assert timed, "beside two calls that count and one that is traced"
        assert set(timed) == {not last}


def raced(spec: dict[str, Any], *names: str) -> list[Record]:
    found = [contender(name) for name in names]
    races = Races({each.key: each for each in found}, "cpu")
    return list(races.measure(RACED | spec | {"contenders": list(names)}, lambda *_: None))


@pytest.mark.usefixtures("traced")
def test_compiled_networks_race_with_and_without_attention_and_are_not_looked_into() -> None:
    records = raced({"scope": "network", "scale": 2, "compile": True}, "nlsn", "edsr")
    metrics = {(record.metric, record.module) for record in records if record.module}
    assert {("race_s", "nlsn"), ("race_s", "edsr"), ("race_bypassed_s", "nlsn")} <= metrics
    assert not {"race_inside_s", "race_kernel_s"} & {metric for metric, _ in metrics}
    values = {(r.metric, r.module): r.value for r in records}
    assert (values["graph_breaks", "nlsn"], values["graph_breaks", "edsr"]) == (0.0, 0.0)
    slowest = max(r.value or 0.0 for r in records if (r.metric, r.module) == ("race_s", "nlsn"))
    assert (values["race_first_s", "nlsn"] or 0.0) > slowest, "the first call is the one that compiled"


@pytest.mark.parametrize("way", [{"channels_last": True}, {"compile": True, "mode": "training"}], ids=str)
@pytest.mark.usefixtures("traced")
def test_attentions_race_in_any_way(way: dict[str, Any]) -> None:
    records = raced(way, "nlsn", "nln")
    timed = {record.module for record in records if record.metric == "race_s" and record.status is Status.DONE}
    assert timed == {"nlsn", "nln", "control"}


def test_one_that_cannot_be_compiled_is_a_row_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(module: nn.Module) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            if attention_modules(module):
                raise UnavailableError("torch.compile cannot take this network: as it was told to")
            y: Tensor = module(x)
            return y

        return forward

    monkeypatch.setattr(execution, "compiled", refuses)
    monkeypatch.setattr(execution, "compiler_missing", lambda _: None)
    records = raced({"scope": "network", "scale": 2, "compile": True}, "edsr", "nlsn")
    (row,) = [record for record in records if record.status is not Status.DONE]
    assert (row.metric, row.module, row.status) == ("race_s", "nlsn", Status.SKIPPED)
    assert row.reason == "torch.compile cannot take this network: as it was told to"
    assert [r for r in records if (r.metric, r.module) == ("race_s", "edsr")]


@pytest.mark.parametrize("name", NAMES)
def test_every_axis_is_named_in_protocols_and_keeps_figures_apart(name: str) -> None:
    for protocol, spec in ((profile_protocol, PROFILED), (race_protocol, RACED)):
        plain, other = protocol(spec, "cpu", 2), protocol({**spec, name: True}, "cpu", 2)
        assert (plain[name], other[name]) == (False, True)
        assert {k: v for k, v in plain.items() if k != name} == {k: v for k, v in other.items() if k != name}


def planned(write_grid: WriteGrid, tables: str, kind: str, **parts: str) -> list[tuple[PlannedCell, Task]]:
    path = write_grid("nlsn", tables=SMALL + tables, **parts)
    text = path.read_text().replace("[profile]\n", "[profile]\n" + parts.get("profile", ""))
    path.write_text(text)
    cells = plan(read_grid(path), path.name, {})
    return [(cell, task) for cell in cells for task in cell.tasks if task.kind == kind]


AXES = "compile = [false, true]\nchannels_last = [false, true]\ncuda_graphs = [false, true]\n"
RACE = "[race]\nmeasure = true\npasses = 1\nsizes = '6x8'\n" + AXES


def test_axes_of_a_profile_multiply_and_have_keys_of_their_own(write_grid: WriteGrid) -> None:
    tasks = [task for _, task in planned(write_grid, "", "profile", profile=AXES)]
    assert len({task.key for task in tasks}) == len(tasks) == 2 * 8
    assert len({tuple(task.spec[name] for name in NAMES) for task in tasks}) == 8


def test_training_in_turn_knows_no_cuda_graphs(write_grid: WriteGrid) -> None:
    tasks = [task for _, task in planned(write_grid, RACE + "mode = ['inference', 'training']\n", "race")]
    assert len({task.key for task in tasks}) == len(tasks) == 8 + 4
    assert {t.spec["cuda_graphs"] for t in tasks if t.spec["mode"] == "training"} == {False}


def test_a_way_can_be_left_out(write_grid: WriteGrid) -> None:
    leave = '[[exclude]]\nmethod = "nlsn"\ncompile = true\n'
    tasks = [task for _, task in planned(write_grid, leave, "profile", profile=AXES)]
    assert {task.spec["compile"] for task in tasks} == {False}
    assert len(tasks) == 2 * 4


def test_memory_that_ran_out_one_way_says_nothing_of_another(write_grid: WriteGrid) -> None:
    found = planned(write_grid, "", "profile", profile="compile = [false, true]\n")
    cell = found[0][0]
    (small, large), (_, other) = ([t for _, t in found if t.spec["compile"] is way] for way in (False, True))
    known = {small.key: Status.OUT_OF_MEMORY}
    assert blocked(large, cell, known) == "implied: out of memory at 8x8"
    assert blocked(other, cell, known) is None


def test_rows_that_this_machine_cannot_have_are_skipped_with_the_reason(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid("edsr", top='tasks = "profile"', tables=SMALL)
    path.write_text(path.read_text().replace("[profile]\n", "[profile]\ncuda_graphs = [false, true]\n"))
    outcomes = go(path, place)
    ends = [(o.task.spec["cuda_graphs"], o.status, o.reason) for o in outcomes]
    assert sorted(ends, key=str) == [
        *[(False, "done", None)] * 2,
        *[(True, "skipped", "cuda_graphs needs an NVIDIA GPU, this is cpu")] * 2,
    ]
