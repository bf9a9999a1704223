from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

import methods
from harness import progress
from harness.estimate import CELL_OVERHEAD_S, COMPARE_S, _tile, _work, estimates
from harness.place import Place
from harness.progress import Bars, Ledger, Lines, clock, listener, told
from harness.records import Outcome, Status, Task
from harness.run import Run, prepare
from tests.conftest import WriteGrid

SMALL = "[trunk]\nn_feats = 8\nn_resblocks = 1\n"


@pytest.fixture
def run(write_grid: WriteGrid, place: Place) -> Run:
    return prepare(write_grid("edsr", tables=SMALL), place)


def test_every_task_has_an_estimate_and_longer_work_a_longer_one(write_grid: WriteGrid, place: Place) -> None:
    short, long = (
        prepare(write_grid("nln", tables=SMALL, steps=steps, sizes=f'["{size}"]'), place)
        for steps, size in ((100, "8x8"), (10_000, "64x64"))
    )
    first, second = estimates(short), estimates(long)
    assert first.keys() == short.pending().keys()
    by_kind = [
        {long_or_short.pending()[key][1].kind: e for key, e in found.items()}
        for long_or_short, found in ((short, first), (long, second))
    ]
    beyond_the_start = [found["train"].seconds - CELL_OVERHEAD_S for found in by_kind]
    assert beyond_the_start[1] > 10 * beyond_the_start[0] > 0
    assert by_kind[1]["profile"].seconds > by_kind[0]["profile"].seconds
    assert by_kind[0]["train"].disk_bytes == pytest.approx(by_kind[1]["train"].disk_bytes)
    assert all(e.seconds > 0 and e.disk_bytes > 0 for e in first.values())


def test_a_method_that_hangs_or_raises_does_not_keep_a_run_from_beginning(
    write_grid: WriteGrid, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import harness.estimate

    monkeypatch.setattr(harness.estimate, "PATIENCE_S", 0.5)
    for method in ("SLOW_TO_START", "RAISES"):
        run = prepare(write_grid(f"tests.plugins:{method}"), place)
        assert estimates(run).keys() == run.pending().keys()


@pytest.mark.parametrize(
    ("tiling", "expected"),
    [
        ("whole", ("100x60", 1)),
        ("chop", ("64x48", 4)),
        ("tile:50", ("50x50", 4)),
        ("tile:48+6", ("60x60", 6)),
        ("tile:400+8", ("100x60", 1)),
    ],
)
def test_tiles_are_estimated_by_their_number_and_size(tiling: str, expected: tuple[str, int]) -> None:
    assert _tile(100, 60, tiling) == expected


def test_the_remaining_time_follows_the_real_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    tasks = [Task(kind="train", key=f"k{i}", spec={}) for i in range(4)]
    ledger = Ledger({task.key: 10.0 for task in tasks})
    assert ledger.remaining_s == 40.0
    now[0] = 20.0
    ledger.advance(tasks[0], 0.5)
    assert ledger.remaining_s == pytest.approx(35 * 4.0), "an eighth took 20 s instead of 5 s"
    ledger.finish(tasks[0])
    assert ledger.remaining_s == pytest.approx(30 * 2.0)
    for task in tasks[1:]:
        ledger.finish(task)
    assert ledger.remaining_s == 0.0


def ended(run: Run, status: Status = Status.DONE) -> tuple[Any, Outcome]:
    cell = run.cells[0]
    reason = None if status is Status.DONE else "[red]because[/red]"
    return cell, Outcome(task=cell.tasks[0], status=status, seconds=2.5, reason=reason)


def test_a_log_has_a_line_for_each_task_with_how_it_ended(run: Run) -> None:
    stream = io.StringIO()
    lines = listener(Console(file=stream, width=40))
    assert type(lines) is Lines
    lines.begin(run)
    lines.started(run.cells[0], run.cells[0].tasks[0])
    lines.progress(run.cells[0], run.cells[0].tasks[0], 1, 2)
    lines.ended(*ended(run))
    lines.ended(*ended(run, Status.ERROR))
    lines.close()
    first, second, third = stream.getvalue().splitlines()
    assert first == "test: 0 of 4 tasks are in the store, 4 to do"
    assert second.startswith("[1/4] EDSR x2 train 4 steps, seed 0, 2.5 s, about ")
    assert "error ([red]because[/red])" in third


def test_a_terminal_shows_bars_with_the_remaining_time(run: Run) -> None:
    stream = io.StringIO()
    bars = listener(Console(file=stream, width=120, force_terminal=True))
    assert type(bars) is Bars
    bars.begin(run)
    bars.started(run.cells[0], run.cells[0].tasks[0])
    bars.progress(run.cells[0], run.cells[0].tasks[0], 1, 2)
    bars.bars.refresh()
    bars.ended(*ended(run))
    bars.close()
    shown = stream.getvalue()
    assert "EDSR x2 train 4 steps, seed 0" in shown
    assert "1/2" in shown
    assert "left" in shown


def test_each_task_under_way_has_a_row_and_a_share_of_the_whole(run: Run) -> None:
    bars = Bars(Console(file=io.StringIO(), width=120, force_terminal=True))
    bars.begin(run)
    cell, (one, other, *_) = run.cells[0], run.cells[0].tasks
    bars.started(cell, one)
    bars.started(cell, other)
    bars.progress(cell, one, 1, 2)
    bars.progress(cell, other, 1, 4)
    halves = bars.ledger.estimates[one.key] / 2 + bars.ledger.estimates[other.key] / 4
    assert bars.ledger.completed == pytest.approx(halves)
    assert [row.percentage for row in bars.bars.tasks[1:]] == [50.0, 25.0]
    bars.started(cell, one)
    assert len(bars.bars.tasks) == 3, "one that begins anew has no second row"
    bars.ended(cell, Outcome(task=one, status=Status.DONE, seconds=1.0))
    assert len(bars.bars.tasks) == 2
    bars.close()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (7 * 3600 + 125, "7 h 02 min")],
)
def test_a_time_is_told_as_people_say_it(seconds: float, told: str) -> None:
    assert clock(seconds) == told


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("train", {"train": {"steps": 30}, "seed": 2}, "train 30 steps, seed 2"),
        ("profile", {"size": "8x8", "precision": "fp32"}, "profile 8x8 fp32"),
        ("harm", {"dataset": "Set5", "tiling": "chop", "precision": "fp32"}, "harm Set5 chop fp32"),
        ("attention", {"dataset": "Set5", "size": "8x8", "precision": "fp32"}, "attention Set5 8x8 fp32"),
        (
            "evaluate",
            {
                "dataset": "Set5",
                "tiling": "whole",
                "precision": "bf16",
                "degradation": "blur_down",
                "self_ensemble": True,
            },
            "evaluate Set5 whole bf16 blur_down self-ensemble",
        ),
    ],
)
def test_a_task_is_told_in_a_few_words(kind: Any, spec: dict[str, Any], words: str) -> None:
    assert told(Task(kind=kind, key="k", spec=spec)) == words


def test_a_fused_twin_counts_as_what_is_written_out() -> None:
    """Which has a fraction of its operations, and they are all that takes time in counting."""
    chosen = methods.method("nlsn").settings({"n_feats": 8, "n_resblocks": 1, "chunk_size": 8})
    works = [_work("nlsn", 2, tuple(sorted({**chosen, "backend": each}.items()))) for each in ("fused", "plain")]
    assert works[0](64**2) == works[1](64**2) > 0


def seconds_of_nlsn(run: Run) -> dict[tuple[str, bool | None], float]:
    """By kind of task and self-ensemble."""
    found = estimates(run)
    run.store.close()
    return {
        (task.kind, task.spec.get("self_ensemble")): found[key].seconds
        for key, (cell, task) in run.pending().items()
        if cell.spec["method"] == "nlsn"
    }


def test_a_self_ensemble_is_more_work_and_a_comparison_what_no_evaluation_asks(
    write_grid: WriteGrid, place: Place
) -> None:
    rest = "settings = { chunk_size = 8 }\n[trunk]\nn_feats = 8\nn_resblocks = 1\n"
    path = write_grid("edsr", "nlsn", tables=rest, evaluate="self_ensemble = [false, true]")
    seconds = seconds_of_nlsn(prepare(path, place, dry=True))
    assert seconds["evaluate", True] == pytest.approx(8 * seconds["evaluate", False])
    assert seconds["harm", False] == COMPARE_S
    assert seconds["attention", None] > 0
    path = write_grid("edsr", "nlsn", tables=rest, top='tasks = ["train", "harm"]')
    alone = seconds_of_nlsn(prepare(path, place, dry=True))
    assert alone["harm", False] > COMPARE_S
