"""What the harness does for a cell does not depend on how many others there are: calls and statements, not seconds."""

from __future__ import annotations

import cProfile
import dataclasses
import gc
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from harness import store as stores
from harness.place import Place
from harness.records import Outcome, Status, Task, canonical
from harness.run import Run, prepare
from harness.store import Store, Wanted
from harness.worker import Event, Job, Started
from reports.frames import load
from reports.page import write_report
from reports.sides import Finder, compared
from tests.benchmarks import load as loads
from tests.benchmarks.load import Figures
from tests.benchmarks.test_harness_overhead import Unheard
from tests.conftest import WriteGrid
from tests.pages import ROOT
from tests.stores import MANY, RUN, Plan, add_run, make_store

CELLS, SIZES = (60, 120, 240), (24, 48, 96)
"""Of grids that are planned, and of all else; a page says less of each of many, which begins below the least."""
LINEAR = 2.25
"""From the first size to the second there are N more, from the second to the third 2 N: twice the calls, four times
where each meets all others."""
STEEPEST = 1.2
"""Growth of a committed benchmark up to which it is about linear."""
HEAD = "settings = {{ n_feats = 8, n_resblocks = 1{0} }}\n"


def calls(work: Callable[[], Any]) -> int:
    """Of functions, Python's and built-in ones, until `work` is done.

    What earlier tests have left is collected before: its finalizers would be counted wherever the collector comes by.
    """
    profiler = cProfile.Profile()
    gc.collect()
    gc.disable()
    try:
        profiler.runcall(work)
    finally:
        gc.enable()
    return sum(entry.callcount for entry in profiler.getstats())


def steps(counts: Iterable[int]) -> float:
    """How many times as many more there are from the second size to the third as from the first to the second."""
    first, second, third = counts
    return (third - second) / (second - first)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked of any database, as it is asked."""
    asked: list[str] = []

    def note(*told: Any) -> None:
        asked.append(told[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield asked
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


class Instant:
    """An engine that does nothing: every task is done at once. It notes what each job brings along."""

    def __init__(self) -> None:
        self.brought: list[int] = []

    def run(self, jobs: Iterable[Job]) -> Generator[tuple[Job, Event]]:
        for job in jobs:
            self.brought.append(len(job.known))
            for task in job.tasks:
                yield job, Started(task)
                yield job, Outcome(task=task, status=Status.DONE, seconds=0.0)


def planned(write_grid: WriteGrid, folder: Path, cells: int) -> Run:
    """A network with attention and its twin, half of the cells each, counted as well, and all of them in one store."""
    seeds = list(range(cells // 4))
    tables = HEAD.format(", chunk_size = [8, 9, 10]") + "[[methods]]\nname = 'edsr'\n" + HEAD.format("")
    grid = write_grid("nlsn", top=f"seeds = {seeds}", tables=tables + "[count]\nsizes = ['8x8']\n", sizes='["8x8"]')
    return prepare(grid, Place.of(folder / str(cells), device="cpu", threads=1))


def test_planning_grows_with_the_cells(write_grid: WriteGrid, tmp_path: Path) -> None:
    planned(write_grid, tmp_path, CELLS[0])
    assert steps(calls(lambda n=n: planned(write_grid, tmp_path, n)) for n in CELLS) < LINEAR  # type: ignore[misc]


def test_running_and_resuming_grow_with_the_cells(
    write_grid: WriteGrid, tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.machine.commit", lambda: ("", False))  # waits for Git, in more calls or fewer
    ran, resumed, written, asked = [], [], [], []
    first = planned(write_grid, tmp_path / "first", SIZES[0])
    first.proceed(first.begin(), Unheard(), Instant())
    for size in SIZES:
        run, engine = planned(write_grid, tmp_path, size), Instant()
        statements.clear()
        ran.append(calls(lambda run=run, engine=engine: run.proceed(run.begin(), Unheard(), engine)))  # type: ignore[misc]
        written.append(len(statements))
        most = max(len({key for task in cell.tasks for key in (task.key, *task.needs)}) for cell in run.cells)
        assert max(engine.brought) <= most, "a job brings along what its own tasks need to know, not all that is known"
        statements.clear()
        again = planned(write_grid, tmp_path, size)
        resumed.append(calls(lambda again=again, engine=engine: again.proceed(again.begin(), Unheard(), engine)))  # type: ignore[misc]
        asked.append(len(statements))
        assert not again.pending()
    assert steps(ran) < LINEAR
    assert steps(written) < LINEAR
    assert steps(resumed) < LINEAR
    assert len(set(asked)) == 1, "a run that is done asks as much of the store however large it is"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    """Stores of two runs of so many labels each."""
    folder, made = tmp_path_factory.mktemp("full"), []
    for size in SIZES:
        plan = Plan(variants=loads.variants(size), sets={"pier": MANY["pier"][:6]}, sizes=("8x8", "16x16"), steps=3)
        store, _ = make_store(folder / f"{size}.sqlite", dataclasses.replace(plan, crops=0))
        add_run(store, plan, answer=False)
        made.append(store)
    yield made
    for store in made:
        store.close()


def test_a_page_grows_with_the_labels(full: list[Store], tmp_path: Path, statements: list[str]) -> None:
    page, asked = tmp_path / "page.html", []

    def written(store: Store) -> int:
        statements.clear()
        found = calls(lambda: write_report(store, None, page))
        asked.append(len(statements))
        return found

    write_report(full[0], None, page)
    assert steps(map(written, full)) < LINEAR
    assert len(set(asked)) == 1


def test_comparing_grows_with_the_labels(full: list[Store], statements: list[str]) -> None:
    asked = []

    def beside(store: Store) -> int:
        finder = Finder(store=store, commit=lambda _: None, count=lambda _: {})
        runs = [str(run) for run in store.frame("SELECT id FROM run")["id"]]
        statements.clear()
        found = calls(lambda: compared(finder.side(runs[0]), finder.side(runs[1])))
        asked.append(len(statements))
        return found

    beside(full[0])
    asked.clear()
    assert steps(map(beside, full)) < LINEAR
    assert len(set(asked)) == 1


def test_a_cell_is_written_down_once_however_many_tasks_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts all contenders of a grid names them all, and has as many tasks."""
    spelt: list[Any] = []

    def noted(content: Any) -> str:
        spelt.append(content)
        return canonical(content)

    monkeypatch.setattr(stores, "canonical", noted)
    store, spec = Store(str(tmp_path / "store.sqlite")), {"method": "count"}
    tasks = [Task(kind="count", key=f"k{n}", spec={}) for n in range(30)]
    run_id = store.begin_run(RUN, {}, [Wanted(cell="c", cell_spec=spec, label="Counted", task=task) for task in tasks])
    assert spelt.count(spec) == 1
    assert load(store, run_id).tasks["cell_spec"].tolist() == 30 * [spec]
    store.close()


def test_synthetic_stores_hold_about_what_was_asked_for(tmp_path: Path) -> None:
    count = loads.synthetic_store(tmp_path / "store.sqlite", 3000)
    assert 0.5 < count / 3000 < 1.5
    store = Store(str(tmp_path / "store.sqlite"))
    assert len(store.frame("SELECT id FROM run")) == 2
    assert len(load(store).records) == count
    store.close()


def test_growth_is_an_exponent_beyond_what_the_command_itself_takes() -> None:
    def figures(spent: Callable[[int], float]) -> list[Figures]:
        return [
            Figures(kind="cells", verb="plan", size=n, processor_s=3.0 + spent(n), wall_s=1.0, peak_bytes=10**6)
            for n in (0, 100, 200, 500)
        ]

    for power, told in ((1, "1.00"), (2, "2.00")):
        *_, last = loads.rows(figures(lambda n, power=power: (n / 100) ** power))  # type: ignore[misc]
        assert last == ("plan", "500 cells", f"{3 + 5**power:.1f}", "1.0", "1", "", told)
    assert loads.rows(figures(lambda n: n / 1e6))[-1][-1] == "little beside the command itself"


def test_a_trivial_grid_has_the_cells_that_were_asked_for(tmp_path: Path) -> None:
    grid = loads.trivial_grid(tmp_path, 2)
    assert len(prepare(grid, Place.of(tmp_path / "out", device="cpu"), dry=True).cells) == 2


def committed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "load.json").read_text(encoding="utf-8"))
    return found | {"figures": [Figures(**each) for each in found["figures"]]}


def test_the_tables_for_readers_are_those_for_machines() -> None:
    """All sizes beside the figures, the largest of each verb among the documentation."""
    found = committed()
    rows = loads.rows(found["figures"])
    largest = [loads.HEADS, ("---",) * len(loads.HEADS), *(row for row in rows if row[-1])]
    assert block("docs/speed.md", "<!-- results of benchmarks/load.json -->") == lines(largest)
    page = (ROOT / "benchmarks" / "load.md").read_text(encoding="utf-8")
    assert "\n".join(lines([loads.HEADS, ("---",) * len(loads.HEADS), *rows])) in page
    assert found["command"] in page


def test_what_is_claimed_of_load_was_measured() -> None:
    found = committed()
    assert {"machine", "versions", "commit", "command"} <= found.keys()
    for row in loads.rows(found["figures"]):
        if row[-1].replace(".", "").isdigit():
            assert float(row[-1]) < STEEPEST, row


def block(page: str, mark: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.partition(mark)[2].strip().partition("\n\n")[0].splitlines()


def lines(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]
