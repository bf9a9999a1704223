"""nlbench: from a grid of methods and settings to a page of numbers that hold.

Without an argument: run the default grid on the built-in images and write the report.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from harness.data import app as data
from harness.errors import UserError
from harness.isolate import start_server
from harness.options import (
    DEFAULT_OUT,
    FAILED,
    GRIDS,
    INTERRUPTED,
    STORE_FILE,
    USER_MISTAKE,
    Address,
    Device,
    EngineName,
    EngineOptions,
    GridFile,
    Grids,
    Out,
    StoreUrl,
    Threads,
    console,
    existing_store,
    grid_file,
)
from harness.verbs import cost, counted, done_again, load, plan, recover, verify
from reports.verbs import export, figure, report, show, table, tell_report

if TYPE_CHECKING:
    from reports.baseline import Figures
    from reports.sides import Finder

app = typer.Typer(add_completion=False, help=__doc__, invoke_without_command=True, pretty_exceptions_enable=False)
baseline = typer.Typer(help="Exact costs as a text file that belongs in version control.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(baseline, name="baseline")
for verb in (plan, load, cost, verify, recover, report, table, figure, export):
    app.command()(verb)
baseline.command()(show)


@app.callback()
def main(context: typer.Context) -> None:
    """Run the default grid when no verb is given."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(  # noqa: PLR0913 - options of a command, not arguments of a function
    grid: GridFile = GRIDS / "default.toml",
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    device: Device = "auto",
    threads: Threads = None,
    *,
    retry: Annotated[bool, typer.Option(help="Try again what failed for good: out of memory, diverged.")] = False,
    engine: EngineName = "local",
    address: Address = None,
    engine_options: EngineOptions = None,
) -> None:
    """Train, evaluate and profile every cell of a grid that is not done yet, then write the report."""
    start_server()
    from harness.engines.choice import chosen  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.launch import followed, launched  # noqa: PLC0415

    where = chosen(engine, address, engine_options or ())
    place = where.place(out, store, device, threads)
    if (all_done := followed(grid_file(grid), place)) is not None:
        raise typer.Exit(0 if all_done else INTERRUPTED)
    done = launched(grid_file(grid), where, place, console(), retry=retry)
    tell_report(done.store, done.run_id, out)
    if done.outcomes is None:
        raise typer.Exit(INTERRUPTED)
    if any(outcome.status in {"error", "timeout"} for outcome in done.outcomes):
        raise typer.Exit(FAILED)


@app.command()
def check(
    claims: Annotated[Optional[Path], typer.Option(help="TOML file; default: the claims that come along.")] = None,  # noqa: UP045
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
) -> None:
    """Decide what papers claim: count what is not counted yet, judge, and fail if a claim that stood falls."""
    from harness.store import Store  # noqa: PLC0415 - the database library is not needed by --help
    from reports import check as checking  # noqa: PLC0415
    from reports.claims import CLAIMS, read_claims  # noqa: PLC0415
    from reports.files import write_whole  # noqa: PLC0415

    asked = read_claims(claims or CLAIMS)
    run_id = counted(grids, out, store)[-1]
    opened = Store(store or str(out / STORE_FILE))
    verdicts = checking.check(opened, asked)
    fallen = checking.keep(opened, run_id, verdicts, partial=bool(grids))
    write_whole(out / "claims.json", checking.as_json(verdicts))
    write_whole(out / "claims.xml", checking.as_junit(verdicts, fallen))
    console().print(checking.table(verdicts))
    if fallen:
        console().print(f"Fallen: {', '.join(verdict.claim.id for verdict in fallen)}", highlight=False)
        raise typer.Exit(FAILED)


@baseline.command()
def save(
    file: Annotated[Path, typer.Argument(help="Text file to write; it belongs in version control.")],
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
) -> None:
    """Count what every method costs, and write it down."""
    from harness.machine import versions  # noqa: PLC0415 - torch takes seconds, which --help need not
    from reports import baseline as baselines  # noqa: PLC0415
    from reports.files import write_whole  # noqa: PLC0415

    found = _exact(grids, out, store)
    write_whole(file, baselines.written(found, f"torch {versions()['torch']}"))
    console().print(f"{len(found)} lines written to {file}", highlight=False)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A baseline file, a run's id or its beginning, a commit, a store.")],
    after: Annotated[Optional[str], typer.Argument(help="The same; default: what the present code costs.")] = None,  # noqa: UP045
    *,
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    markdown: Annotated[Optional[Path], typer.Option(help="Also write the differences as Markdown.")] = None,  # noqa: UP045
    exact: Annotated[bool, typer.Option("--exact", help="Fail on any exact difference, not only on worse.")] = False,
) -> None:
    """Compare exact costs, and of runs also scores and times; fail if anything became worse or is gone."""
    from harness.grid import read_grid  # noqa: PLC0415 - pandas is not needed by --help
    from reports import changes, sides  # noqa: PLC0415
    from reports.files import write_whole  # noqa: PLC0415

    finder = _finder(grids, out, store)
    old = finder.side(before)
    new = finder.side(after) if after else sides.Side(told="the present code", exact=_exact(grids, out, store))
    asked = [limit for grid in grids or () for limit in read_grid(grid_file(grid)).thresholds]
    found = sides.compared(old, new, asked)
    if changes.noteworthy(found.changes):
        console().print(changes.told(found.changes))
    for line in (changes.summary(found.changes, found.equal), *found.remarks):
        console().print(line, highlight=False)
    if markdown:
        write_whole(markdown, changes.markdown(found.changes, found.equal, found.remarks))
    if any(each.word in changes.BAD or (exact and each.rule == "exact") for each in found.changes):
        raise typer.Exit(FAILED)


@app.command()
def replay(
    asked: Annotated[str, typer.Argument(metavar="ID", help="Of an attempt, or of a run for all it did.")],
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, …; default: as recorded.")] = None,  # noqa: UP045
    threads: Annotated[Optional[int], typer.Option(min=1, help="CPU threads; default: as recorded.")] = None,  # noqa: UP045
    *,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as JSON.")] = False,
) -> None:
    """Do again what the store tells of, in a fresh folder, and set each figure beside what it was."""
    from rich.console import Console  # noqa: PLC0415 - not needed by --help

    from reports import replay_told as told  # noqa: PLC0415 - pandas takes a second
    from reports.replay import replayed  # noqa: PLC0415

    screen = Console(stderr=as_json)
    say = functools.partial(screen.print, markup=False, highlight=False, soft_wrap=True)
    done = done_again(asked, out, store, device, threads, screen=screen, tell=lambda a: say(*told.before(a), sep="\n"))
    found = replayed(done.again, done.old, done.fresh, done.attempts)
    if as_json:
        typer.echo(json.dumps(told.as_json(found, done.folder), indent=2))
    else:
        say(*told.after(found, done.folder), sep="\n")
    if any(each.verdict == "different" for each in found):
        raise typer.Exit(FAILED)
    if any(each.refusal for each in found):
        raise typer.Exit(USER_MISTAKE)


@app.command()
def track(
    since: Annotated[str, typer.Option(help="Commit to begin with: an id, a branch, a tag.")],
    until: Annotated[str, typer.Option(help="Commit to end with.")] = "HEAD",
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    bisect: Annotated[bool, typer.Option("--bisect", help="Between two commits, look only where they differ.")] = False,
) -> None:
    """Find the commits at which exact costs changed; each is counted by its own code, in a worktree of its own."""
    from harness import history, machine  # noqa: PLC0415 - not needed by --help
    from reports import track as tracks  # noqa: PLC0415 - drawing libraries take a second
    from reports.track_page import write_track  # noqa: PLC0415

    def count(commit: history.Commit) -> Figures | str:
        say(f"{commit.short} {commit.subject}")
        try:
            return tracks.figures_of(history.baseline_of(commit, out / "track", [*map(grid_file, grids or ())]))
        except history.UncountedError as reason:
            return str(reason)

    say = functools.partial(console().print, markup=False, highlight=False, soft_wrap=True)
    found = tracks.track(history.commits(since, until), count, bisect=bisect)
    page = write_track(found, f"torch {machine.versions()['torch']}", out)
    if found.steps:
        console().print(tracks.table(found))
    for line in (*tracks.remarks(found), found.summary, f"Report: {page}"):
        say(line)


@app.command("import")
def import_benchmarks(
    file: Annotated[Path, typer.Argument(help="What `pytest --benchmark-json` wrote.")],
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
) -> None:
    """Take the times of pytest-benchmark into the store as a run, with every sample, and write its page."""
    from harness.benchmarks import keep, read  # noqa: PLC0415 - the database library is not needed by --help
    from harness.store import Store  # noqa: PLC0415

    found = read(file)
    opened = Store(store or str(out / STORE_FILE))
    tell_report(opened, keep(opened, found, f"python run_all.py import {file.name}"), out, out / "benchmarks.html")


def _exact(grids: list[Path] | None, out: Path, store: str | None) -> Figures:
    """What the present code costs, counted where it is not in the store yet; half of it would pass for less."""
    from harness.store import Store  # noqa: PLC0415 - the database library is not needed by --help
    from reports.baseline import figures  # noqa: PLC0415
    from reports.failures import failure_lines  # noqa: PLC0415
    from reports.frames import load as load_run  # noqa: PLC0415

    runs, opened = counted(grids, out, store), Store(store or str(out / STORE_FILE))
    loaded = [load_run(opened, run_id) for run_id in runs]
    if failed := [line for frames in loaded for line in failure_lines(frames)]:
        for line in ("Not everything could be counted:", *failed):
            console().print(line, markup=False, highlight=False)
        raise typer.Exit(FAILED)
    return figures(loaded)


def _finder(grids: list[Path] | None, out: Path, store: str | None) -> Finder:
    """Finds the sides of comparisons in the store, if there is one, and among commits."""
    from harness import history  # noqa: PLC0415 - not needed by --help
    from reports.baseline import read  # noqa: PLC0415
    from reports.sides import Finder  # noqa: PLC0415

    def commit(revision: str) -> str | None:
        try:
            return history.commit(revision).id
        except UserError:
            return None

    def count(commit_id: str) -> Figures:
        try:
            return read(history.baseline_of(history.commit(commit_id), out / "track", [*map(grid_file, grids or ())]))
        except history.UncountedError as error:
            raise UserError(f"commit {commit_id} cannot be counted: {error}") from error

    opened = existing_store(out, store) if store or (out / STORE_FILE).is_file() else None
    return Finder(store=opened, commit=commit, count=count)


if __name__ == "__main__":
    try:
        app()
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(USER_MISTAKE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
