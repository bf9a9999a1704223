"""What is counted and not run: which tasks, and figures that are those of what runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.calls import counted, counted_blank
from harness.contenders import runner
from harness.grid import read_grid
from harness.place import Place
from harness.plan import PlannedCell, plan
from harness.store import Store
from methods.catalogue import NETWORKS
from tests.conftest import WriteGrid
from tests.harness.test_race import SPEC, contender
from tests.harness.test_run import SMALL, go, statuses

TABLE = "[count]\nmeasure = true\nsizes = ['6x8', '8x12']\n"


def planned(path: Path) -> list[PlannedCell]:
    return [cell for cell in plan(read_grid(path), path.name, {}) if cell.spec["method"] == "count"]


def test_every_contender_is_counted_every_way_at_every_size(write_grid: WriteGrid) -> None:
    ways = TABLE + "scope = ['attention', 'network']\nmode = ['inference', 'training']\n"
    (cell,) = planned(write_grid("edsr", "nlsn", top="scale = [2, 3]\nseeds = [0, 1]", tables=SMALL + ways))
    told = [(t.spec["scope"], t.spec["scale"], t.spec["mode"]) for t in cell.tasks]
    assert told.count(("attention", 0, "training")) == 2, "one attention, two sizes"
    assert told.count(("network", 3, "inference")) == 2 * 2, "two networks, two sizes"
    assert len({task.key for task in cell.tasks}) == len(told) == 4 + 16


def test_the_key_holds_the_code_and_no_machine(write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import count

    path = write_grid("nlsn", tables=SMALL + TABLE)
    (here,) = planned(path)
    (there,) = [c for c in plan(read_grid(path), "g.toml", {"cpu": "another"}) if c.spec["method"] == "count"]
    assert [task.key for task in here.tasks] == [task.key for task in there.tasks]
    monkeypatch.setattr(count, "code_version", lambda _: "changed")
    (changed,) = planned(path)
    assert {task.key for task in here.tasks}.isdisjoint(task.key for task in changed.tasks)


def test_counting_runs_nothing_and_needs_no_other_task(write_grid: WriteGrid, place: Place, store: Store) -> None:
    outcomes = go(write_grid("nlsn", "nln", top='tasks = "count"', tables=SMALL + TABLE), place)
    assert statuses(outcomes) == [("count", "done")] * 4
    frame = store.measurements()
    assert set(frame["metric"]) == {f"counted_{name}" for name in ("macs", "moved_bytes", "peak_bytes", "parameters")}
    assert len(frame) == 4 * 4


def test_a_size_that_nothing_could_run_at_is_counted_all_the_same(
    write_grid: WriteGrid, place: Place, store: Store
) -> None:
    table = "[count]\nmeasure = true\nsizes = ['4320x7680']\n"
    go(write_grid("nln", top='tasks = "count"', tables=SMALL + table), place)
    frame = store.measurements().set_index("metric")["value"]
    assert frame["counted_peak_bytes"] > 4 * (4320 * 7680) ** 2


def test_tf32_is_counted_without_a_gpu_as_fp32() -> None:
    assert counted_blank(contender(), SPEC | {"precision": "tf32"}) == counted_blank(contender(), SPEC)


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("scope", ["attention", "network"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_counted_of_nothing_is_what_is_counted_of_an_image(name: str, scope: Any, mode: str) -> None:
    if (name, scope) == ("edsr", "attention"):
        return
    one = contender(name, n_resblocks=1) if name in {"edsr", "nln", "nlsn", "enlcn"} else contender(name, n_resgroups=2)
    spec: dict[str, Any] = SPEC | {"scope": scope, "mode": mode, "size": "14x15", "batch": 2}
    spec["scale"] = 2 if scope == "network" else 0
    blank, seen = counted_blank(one, spec), counted(runner(one, scope, "14x15", 2, "cpu"), spec)
    assert blank.keys() == seen.keys()
    for metric in blank.keys() - {"counted_moved_bytes", "counted_peak_bytes"}:
        assert blank[metric] == seen[metric]
    assert blank["counted_peak_bytes"] == pytest.approx(seen["counted_peak_bytes"], rel=0.01)
    assert blank["counted_moved_bytes"] == pytest.approx(seen["counted_moved_bytes"], rel=0.05)


def untouched(method: str, **settings: Any) -> tuple[float, float]:
    """How many parameters of a network get no gradient, and the size of buffers that a training step writes."""
    one = contender(method, n_feats=16, n_resblocks=2, **settings)
    found = counted_blank(one, SPEC | {"scope": "network", "scale": 2, "mode": "training", "size": "12x12"})
    return found["counted_idle_parameters"], found["counted_moved_buffers"]


def test_every_parameter_of_a_plain_network_is_trained_and_no_buffer_moves() -> None:
    assert untouched("edsr") == (0, 0)


def test_what_no_gradient_reaches_is_counted_layer_by_layer() -> None:
    """Only the first group of LCoAN matches; its other groups hold a 3x3 convolution that nothing uses."""
    match = 16 * 16 * 9 + 16
    first, second = (untouched("lcoan", n_resgroups=groups)[0] for groups in (2, 4))
    assert second - first == 2 * match
    assert first - match <= 1, "but for the weight of a skip that this trunk does not use"


def test_means_that_training_moves_are_seen() -> None:
    frozen, moving = (untouched("lcoan", n_resgroups=2, update_means=how)[1] for how in ("frozen", "ema"))
    assert frozen == 0
    assert moving > 0


def test_what_runs_is_watched_as_what_is_only_counted() -> None:
    spec = SPEC | {"mode": "training", "size": "8x12"}
    for method in ("lcoan", "enlcn"):
        one = contender(method, n_feats=16)
        real, blank = counted(runner(one, "attention", "8x12", 1, "cpu"), spec), counted_blank(one, spec)
        assert {name: real[name] for name in real if "idle" in name or "moved_buffers" in name} == {
            "counted_idle_parameters": blank["counted_idle_parameters"],
            "counted_moved_buffers": blank["counted_moved_buffers"],
        }
        assert "counted_idle_parameters" not in counted_blank(one, SPEC | {"size": "8x12"}), "of training alone"
