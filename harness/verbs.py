"""Verbs of the command line that need the harness alone; `run_all.py` holds those that need reports as well.

Heavy libraries are imported when a verb runs: `--help` needs none of them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, Optional

import typer

from harness.isolate import start_server
from harness.options import (
    DEFAULT_OUT,
    EXACT,
    FAILED,
    GRIDS,
    INTERRUPTED,
    Device,
    GridFile,
    Out,
    StoreUrl,
    Threads,
    console,
    existing_store,
    grid_file,
)

if TYPE_CHECKING:
    from rich.console import Console

    from harness.recorded import Recorded
    from harness.replay import Again
    from harness.run import Run
    from harness.store import Store

REFERENCES = Path(__file__).parents[1] / "tests" / "golden"


def load(
    file: Annotated[Path, typer.Argument(help="Weights: .safetensors, .pt or .pth; nothing in it is run.")],
) -> None:
    """Find out which network and settings a weights file fits, load it, and print its row for a grid."""
    from harness.load import load as load_file  # noqa: PLC0415 - torch takes seconds, which --help need not

    loaded = load_file(file)
    say = console().print
    say(f"{loaded.fit}", style="bold", highlight=False)
    trained = f"trained on values up to {loaded.provenance.rgb_range}"
    say(f"{loaded.parameters:,} parameters, {loaded.provenance.tensors} tensors, {trained}", highlight=False)
    say(f"SHA-256 {loaded.provenance.sha256}", highlight=False, soft_wrap=True)
    told = (f"{name} {value}" for name, value in loaded.settings.items() if name not in loaded.fit.settings)
    say(f"taken as released, or told by the file to be so: {', '.join(told)}", highlight=False)
    say(f"\n{loaded.entry}", markup=False, highlight=False, soft_wrap=True)


def cost(  # noqa: PLR0913 - options of a command, not arguments of a function
    method: Annotated[str, typer.Argument(help="Name of a method, or package.module:METHOD.")],
    size: Annotated[str, typer.Option(help="Input, height x width, such as 4320x7680.")],
    *,
    scale: Annotated[int, typer.Option(help="How much larger the output is.")] = 2,
    settings: Annotated[Optional[list[str]], typer.Option("--set", help="name=value; may be repeated.")] = None,  # noqa: UP045
    precision: Annotated[str, typer.Option(help="fp32, tf32, bf16 or fp16.")] = "fp32",
    within: Annotated[Optional[list[float]], typer.Option(help="GB: how large a square fits; repeatable.")] = None,  # noqa: UP045
    attention: Annotated[
        bool, typer.Option("--attention", help="One attention alone, on features of that size.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Count multiply-adds, memory and data moved of one forward at any size. Computes and allocates nothing."""
    from harness.cost_report import Asked, cost_report, setting  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.cost_tables import tables  # noqa: PLC0415

    chosen = dict(map(setting, settings or ()))
    asked = Asked(method=method, size=size, scale=scale, settings=chosen, precision=precision, alone=attention)
    found = cost_report(dataclasses.replace(asked, within_gb=tuple(within or ())))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))  # noqa: T201 - for a program to read
    else:
        console().print(tables(found))


def verify(
    references: Annotated[Path, typer.Option(help="Folder of reference tensors with its index.json.")] = REFERENCES,
) -> None:
    """Compare every method with reference tensors of the released code, and print the parity table."""
    from rich.table import Table  # noqa: PLC0415 - not needed by --help

    from harness.verify import TOLERANCE, verify  # noqa: PLC0415 - torch takes seconds, which --help need not

    table = Table("reference", "output", "gradient", "further", "", title=f"Differences; {TOLERANCE:g} is allowed")
    found = list(verify(references))
    for parity in found:
        told = {what: f"{difference:.1e}" for what, difference in parity.differences.items()}
        main = [told.pop(what, "") for what in ("output", "gradient")]
        further = ", ".join(f"{what} {difference}" for what, difference in told.items())
        table.add_row(parity.reference, *main, further, "equal" if parity.passed else "DIFFERENT")
    console().print(table)
    failed = sum(not parity.passed for parity in found)
    console().print(f"{len(found) - failed} of {len(found)} agree.", highlight=False)
    if failed:
        raise typer.Exit(FAILED)


def recover(
    store: Annotated[Path, typer.Argument(help="SQLite file that is damaged; it stays as it is.")],
    new: Annotated[Path, typer.Argument(help="File of the new store; there must be none yet.")],
) -> None:
    """Copy whatever can be read of a damaged store to a new one."""
    from harness.recover import recover as copied  # noqa: PLC0415 - the database library is not needed by --help

    say = functools.partial(console().print, highlight=False, soft_wrap=True)
    found = copied(store, new)
    say(f"{new} has rows {', '.join(f'{count:,} of {table}' for table, count in found.copied.items() if count)}.")
    if found.incomplete:
        say(f"{found.incomplete} attempts lost records and are left out: the next run does them again.")
    say(f"Go on with: python run_all.py run GRID --store {new}")


def plan(
    grid: GridFile = GRIDS / "default.toml",
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Print the cells of a grid, what is done already, and an estimate of time and disk. Runs nothing."""
    start_server()
    from harness.place import Place  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.run import prepare  # noqa: PLC0415

    print_plan(prepare(grid_file(grid), Place.of(out, store, device, threads), dry=True))


class DoneAgain(NamedTuple):
    """What a replay did: the attempts it was asked for, in the `old` store; its own, in the `fresh` one in `folder`."""

    again: list[Again]
    attempts: list[Recorded]
    old: Store
    fresh: Store | None
    folder: Path


def done_again(
    asked: str,
    out: Path,
    store: str | None,
    device: str | None,
    threads: int | None,
    *,
    screen: Console,
    tell: Callable[[list[Again]], None],
) -> DoneAgain:
    """Do the attempts again that the id `asked` names; `tell` what is about to be done before it is.

    Raises:
        UserError: there is no such store, id or device.
    """
    start_server()
    from harness import replay  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.progress import Quiet, listener  # noqa: PLC0415
    from harness.recorded import trainings  # noqa: PLC0415

    old = existing_store(out, store)
    found = replay.attempts(old, asked)
    place = replay.fresh_place(out, found[0], asked, device, threads)
    again = replay.rebuilt(found, trainings(old), place)
    tell(again)
    watcher = listener(screen) if screen.is_terminal else Quiet(screen)
    try:
        fresh, attempts = replay.carry_out(again, place, watcher)
    except KeyboardInterrupt:
        screen.print("Interrupted; the same command begins anew.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        watcher.close()
    return DoneAgain(again, attempts, old, fresh, place.out)


def counted(grids: list[Path] | None, out: Path, store: str | None) -> list[str]:
    """Run grids that only count, which needs no GPU; returns the runs' ids."""
    start_server()
    from harness.place import Place  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.progress import Quiet  # noqa: PLC0415
    from harness.run import prepare  # noqa: PLC0415

    found = []
    for grid in grids or EXACT:
        prepared = prepare(grid_file(grid), Place.of(out, store, "cpu"))
        found.append(prepared.begin())
        prepared.proceed(found[-1], Quiet(console()))
        prepared.store.close()
    return found


def print_plan(run: Run) -> None:
    """The cells of `run`, what is done, and what the rest takes."""
    from rich.table import Table  # noqa: PLC0415 - not needed by --help

    from harness.estimate import Estimate, estimates  # noqa: PLC0415
    from harness.progress import clock  # noqa: PLC0415

    pending, expected = run.pending(), estimates(run)
    table = Table("cell", "method", "scale", "seed", "tasks", "done", "to do takes about")
    total, left = Estimate(), dict[str, Estimate]()
    for key, (owner, _) in pending.items():
        left[owner.key] = left.get(owner.key, Estimate()) + expected[key]
    for cell in run.cells:
        own = left.get(cell.key, Estimate())
        done = sum(task.key in run.settled for task in cell.tasks)
        row = (cell.key, cell.label, cell.scale, cell.spec["seed"], len(cell.tasks), done, clock(own.seconds))
        table.add_row(*map(str, row))
        total += own
    console().print(table)
    console().print(
        f"{len(run.cells)} cells, {len(pending)} tasks to do: about {clock(total.seconds)} and "
        f"{total.disk_bytes / 1e6:.1f} MB on {run.place.device} ({run.place.threads} threads), one cell after another, "
        "within a factor of two.",
        highlight=False,
    )
