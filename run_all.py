"""nlbench: from a grid of methods and settings to a page of numbers that hold.

Without an argument: run the default grid on the built-in images and write the report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from harness.data import app as data
from harness.errors import UserError
from harness.verbs import (
    DEFAULT_OUT,
    GRIDS,
    STORE_FILE,
    Device,
    GridFile,
    Grids,
    Out,
    RunId,
    StoreUrl,
    Threads,
    console,
    cost,
    counted,
    existing_store,
    export,
    grid_file,
    load,
    plan,
    verify,
)

if TYPE_CHECKING:
    from harness.records import Outcome
    from harness.store import Store
    from reports.baseline import Figures

USER_MISTAKE, FAILED, INTERRUPTED = 2, 1, 130

app = typer.Typer(add_completion=False, help=__doc__, invoke_without_command=True, pretty_exceptions_enable=False)
baseline = typer.Typer(help="Exact costs as a text file that belongs in version control.", no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(baseline, name="baseline")
for verb in (plan, export, load, cost, verify):
    app.command()(verb)


@app.callback()
def main(context: typer.Context) -> None:
    """Run the default grid when no verb is given."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    grid: GridFile = GRIDS / "default.toml",
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    device: Device = "auto",
    threads: Threads = None,
    retry: Annotated[bool, typer.Option(help="Try again what failed for good: out of memory, diverged.")] = False,
) -> None:
    """Train, evaluate and profile every cell of a grid that is not done yet, then write the report."""
    from harness.place import Place  # noqa: PLC0415 - torch takes seconds, which --help need not
    from harness.progress import listener  # noqa: PLC0415
    from harness.run import prepare  # noqa: PLC0415

    prepared = prepare(grid_file(grid), Place.of(out, store, device, threads), retry=retry)
    run_id = prepared.begin()
    watcher = listener(console())
    outcomes: list[Outcome] | None = None
    try:
        outcomes = prepared.proceed(run_id, watcher)
    except KeyboardInterrupt:
        console().print("Interrupted; the same command goes on from here.")
    finally:
        watcher.close()
    _write_report(prepared.store, run_id, out)
    if outcomes is None:
        raise typer.Exit(INTERRUPTED)
    if any(outcome.status in {"error", "timeout"} for outcome in outcomes):
        raise typer.Exit(FAILED)


@app.command()
def report(
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    run_id: RunId = None,
    page: Annotated[Optional[Path], typer.Option(help="File to write; default: report.html in the out folder.")] = None,  # noqa: UP045
) -> None:
    """Write the page of a run from the store alone."""
    opened = existing_store(out, store)
    _write_report(opened, opened.run_id(run_id), out, page)


@app.command()
def check(
    claims: Annotated[Optional[Path], typer.Option(help="TOML file; default: the claims that come along.")] = None,  # noqa: UP045
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
) -> None:
    """Decide what papers claim of cost: count what is not counted yet, judge, and fail if a claim that stood falls."""
    from harness.store import Store  # noqa: PLC0415 - the database library is not needed by --help
    from reports import check as checking  # noqa: PLC0415
    from reports.claims import CLAIMS, read_claims  # noqa: PLC0415

    asked = read_claims(claims or CLAIMS)
    run_id = counted(grids, out, store)[-1]
    opened = Store(store or str(out / STORE_FILE))
    verdicts = checking.check(opened, asked)
    fallen = checking.keep(opened, run_id, verdicts)
    checking.write(out / "claims.json", checking.as_json(verdicts))
    checking.write(out / "claims.xml", checking.as_junit(verdicts, fallen))
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
    from reports.check import write  # noqa: PLC0415

    found = _exact(grids, out, store)
    write(file, baselines.written(found, f"torch {versions()['torch']}"))
    console().print(f"{len(found)} lines written to {file}", highlight=False)


@baseline.command()
def show(file: Annotated[Path, typer.Argument(help="A baseline file.")]) -> None:
    """Print a baseline as a table."""
    from reports import baseline as baselines  # noqa: PLC0415

    console().print(baselines.table(baselines.read(file)))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A baseline file, or a run: its id or the beginning of it.")],
    after: Annotated[Optional[str], typer.Argument(help="The same; default: what the present code costs.")] = None,  # noqa: UP045
    *,
    grids: Grids = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    markdown: Annotated[Optional[Path], typer.Option(help="Also write the differences as Markdown.")] = None,  # noqa: UP045
    exact: Annotated[bool, typer.Option("--exact", help="Fail on any difference, not only on worse.")] = False,
) -> None:
    """Compare exact costs, and of two runs also quality and time; fail if anything became worse or is gone."""
    from reports import compare as comparing  # noqa: PLC0415
    from reports.check import write  # noqa: PLC0415

    old = _figures(before, out, store)
    new = _exact(grids, out, store) if after is None else _figures(after, out, store)
    found, compared = comparing.differences(old, new), sum(map(len, old.values()))
    if found:
        console().print(comparing.table(found))
    console().print(comparing.summary(found, compared), highlight=False)
    if markdown:
        write(markdown, comparing.markdown(found, compared))
    fell = _measured_fell(before, after, out, store)
    if fell or any(exact or each.change in comparing.BAD for each in found):
        raise typer.Exit(FAILED)


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
    _write_report(opened, keep(opened, found, f"python run_all.py import {file.name}"), out, out / "benchmarks.html")


def _exact(grids: list[Path] | None, out: Path, store: str | None) -> Figures:
    """What the present code costs, counted where it is not in the store yet."""
    from harness.store import Store  # noqa: PLC0415 - the database library is not needed by --help
    from reports.baseline import figures  # noqa: PLC0415
    from reports.frames import load as load_run  # noqa: PLC0415

    runs, opened = counted(grids, out, store), Store(store or str(out / STORE_FILE))
    return figures(load_run(opened, run_id) for run_id in runs)


def _figures(told: str, out: Path, store: str | None) -> Figures:
    """Those of a baseline file, or of a run in the store."""
    from reports import baseline as baselines  # noqa: PLC0415
    from reports.frames import load as load_run  # noqa: PLC0415

    if Path(told).suffix or Path(told).is_file():
        return baselines.read(Path(told))
    opened = existing_store(out, store)
    return baselines.figures([load_run(opened, opened.run_id(told))])


def _measured_fell(before: str, after: str | None, out: Path, store: str | None) -> bool:
    """Say what changed in quality and time between two runs; returns whether any became worse or is gone."""
    from reports.changes import BAD, changes, told  # noqa: PLC0415 - pandas is not needed by --help
    from reports.frames import load as load_run  # noqa: PLC0415

    if after is None or Path(before).is_file() or Path(after).is_file():
        return False
    opened = existing_store(out, store)
    found = changes(*(load_run(opened, opened.run_id(run)) for run in (before, after)))
    words = [each.word for each in found]
    if set(words) - {"within noise"}:
        console().print(told(found))
    console().print(
        f"{len(words)} scores and times compared: {words.count('within noise')} within noise.", highlight=False
    )
    return not BAD.isdisjoint(words)


def _write_report(store: Store, run_id: str, out: Path, page: Path | None = None) -> None:
    """Write the page and say where it is, what it finds, and what failed."""
    from reports import write_report  # noqa: PLC0415 - drawing libraries take a second

    summary = write_report(store, run_id, page or out / "report.html")
    say = console().print
    for title, lines in (("Findings", summary.findings), ("Failed", summary.failures)):
        if lines:
            say(f"\n{title}", style="bold")
        for line in lines:
            say(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    say(f"\nReport: {summary.path}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        app()
    except UserError as mistake:
        print(f"error: {mistake}", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(USER_MISTAKE)
