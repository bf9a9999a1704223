"""A run as the command line starts it: by which engine, as which of the processes that `torchrun` started."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from harness.engines import Engine
from harness.engines.choice import Chosen
from harness.engines.ranks import follow, leading
from harness.isolate import interrupted_once
from harness.place import Place
from harness.progress import listener
from harness.ranks import Rank
from harness.records import Outcome
from harness.run import Run, prepare
from harness.store import Store


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launched:
    """A run that went to its end, or that somebody stopped: `outcomes` is None then."""

    store: Store
    run_id: str
    outcomes: list[Outcome] | None


def launched(grid: Path, where: Chosen, place: Place, screen: Console, *, retry: bool) -> Launched:
    """Run `grid` in `place`, on the engine that is chosen; under `torchrun` this is rank 0, whom the others follow.

    Raises:
        UserError: the grid is wrong in any way, or the store cannot be opened.
    """
    prepared = prepare(grid, place, retry=retry)
    for name, gpu in place.left_out.items():
        screen.print(f"{name} ({gpu}) is left out: it is not like cuda:0", highlight=False)
    with _engine(prepared, where) as engine:
        run_id = prepared.begin()
        outcomes = _proceed(prepared, run_id, engine, screen)
    return Launched(store=prepared.store, run_id=run_id, outcomes=outcomes)


def followed(grid: Path, place: Place) -> bool | None:
    """Under `torchrun`, on any rank but 0: take part in rank 0's trainings; whether all went to their end.

    None on rank 0, and without `torchrun`: the run is then ours to do.
    """
    rank = Rank.of_environment()
    return follow(rank, grid, place) if rank is not None and rank.rank > 0 else None


@contextlib.contextmanager
def _engine(prepared: Run, where: Chosen) -> Iterator[Engine | None]:
    rank, limits = Rank.of_environment(), prepared.grid.limits
    if rank is None:
        with interrupted_once():
            yield where.engine(prepared.place, limits)
        return
    with leading(rank, prepared.cells, prepared.place, limits.task_s) as engine:
        yield engine


def _proceed(prepared: Run, run_id: str, engine: Engine | None, screen: Console) -> list[Outcome] | None:
    watcher = listener(screen)
    try:
        return prepared.proceed(run_id, watcher, engine)
    except KeyboardInterrupt:
        screen.print("Interrupted; the same command goes on from here.")
        return None
    finally:
        watcher.close()
