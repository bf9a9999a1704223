"""Verbs of the command line that need a store alone: pages, exports, baselines as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from harness.options import DEFAULT_OUT, Format, Out, RunId, StoreUrl, TableNames, console, existing_store

if TYPE_CHECKING:
    from harness.store import Store


def report(
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    run_id: RunId = None,
    page: Annotated[Optional[Path], typer.Option(help="File to write; default: report.html in the out folder.")] = None,  # noqa: UP045
) -> None:
    """Write the page of a run from the store alone."""
    opened = existing_store(out, store)
    tell_report(opened, opened.run_id(run_id), out, page)


def export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    form: Format = None,
    table: TableNames = None,
    run_id: RunId = None,
) -> None:
    """Write raw records (CSV, Parquet), tables of the page (Markdown, LaTeX, CSV) or figures for a tracker (JSON)."""
    from reports import export as exporting  # noqa: PLC0415 - drawing libraries take a second

    chosen = exporting.form_of(file, form)
    told = exporting.export(existing_store(out, store), file, chosen, table or (), run_id)
    console().print(told, markup=False, highlight=False)


def show(file: Annotated[Path, typer.Argument(help="A baseline file.")]) -> None:
    """Print a baseline as a table."""
    from reports import baseline as baselines  # noqa: PLC0415

    console().print(baselines.table(baselines.read(file)))


def tell_report(store: Store, run_id: str, out: Path, page: Path | None = None) -> None:
    """Write the page and say where it is, what it finds, and what failed."""
    from reports.page import write_report  # noqa: PLC0415 - drawing libraries take a second

    summary = write_report(store, run_id, page or out / "report.html")
    say = console().print
    for title, lines in (("Findings", summary.findings), ("Failed", summary.failures)):
        if lines:
            say(f"\n{title}", style="bold")
        for line in lines:
            say(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    say(f"\nReport: {summary.path}", markup=False, highlight=False, soft_wrap=True)
