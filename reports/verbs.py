"""Verbs of the command line that need a store alone: pages, tables, figures, exports, baselines as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from harness.errors import UserError
from harness.options import (
    DEFAULT_OUT,
    STORE_FILE,
    FigureFile,
    FigureNames,
    Format,
    Out,
    StoreUrl,
    TableFile,
    TableFormat,
    TableNames,
    Width,
    console,
    existing_store,
)

if TYPE_CHECKING:
    from harness.store import Store
    from reports.frames import Frames
    from reports.page import Summary


RunIds = Annotated[
    Optional[list[str]],  # noqa: UP045 - typer reads this form
    typer.Option("--run", help="Id of a run, or its beginning; repeatable; default: the newest."),
]
ExportedRuns = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--run", help="Id of a run, or its beginning; repeatable; default: all, for trackers the newest."),
]
Others = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--with", help="Another store, whose newest run stands beside, or STORE#RUN; repeatable."),
]
Names = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--name", help="What to call each run, in their order; default: what tells them apart."),
]
Methods = Annotated[bool, typer.Option("--methods", help="Write a page per method into out/methods/ as well.")]

Folder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder for index.html with its pictures as files beside it, in place of one file."),
]


def report(  # noqa: PLR0913 - options of a command, not arguments of a function
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    run_ids: RunIds = None,
    others: Others = None,
    names: Names = None,
    page: Annotated[Optional[Path], typer.Option(help="File to write; default: report.html in the out folder.")] = None,  # noqa: UP045
    folder: Folder = None,
    *,
    methods: Methods = False,
) -> None:
    """Write the page of a run, or of several side by side, from the store alone."""
    from reports.page import write_page  # noqa: PLC0415 - drawing libraries take a second

    if page and folder:
        raise UserError("a report is one file (--page) or a folder (--folder), not both")
    frames = _asked(out, store, run_ids, others, names)
    path = folder / "index.html" if folder else page or out / "report.html"
    _tell(write_page(frames, path, beside=folder is not None))
    if methods:
        from reports.method_pages import method_pages  # noqa: PLC0415

        written = method_pages(frames, out / "methods", path)
        console().print(f"Methods: {written[-1]}", markup=False, highlight=False, soft_wrap=True)


def export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    form: Format = None,
    run_ids: ExportedRuns = None,
) -> None:
    """Write raw records (CSV, Parquet), figures for a tracker of benchmarks (JSON), or a store without pictures."""
    from reports import export as exporting  # noqa: PLC0415 - drawing libraries take a second

    chosen = exporting.form_of(file, form)
    _say(exporting.export(existing_store(out, store), file, chosen, run_ids or ()))


def table(  # noqa: PLR0913 - options of a command, not arguments of a function
    tables: TableNames = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    to: TableFile = None,
    form: TableFormat = None,
    *,
    run_ids: RunIds = None,
    others: Others = None,
    names: Names = None,
) -> None:
    """Print tables of the page, or write them as Markdown, LaTeX or CSV; without a name, list what there are."""
    from reports import table_files, terminal  # noqa: PLC0415 - drawing libraries take a second
    from reports.files import write_whole  # noqa: PLC0415

    told = table_files.form_of(to, form)
    chosen = table_files.choose(_asked(out, store, run_ids, others, names), tables or ())
    if told is None:
        own = console()
        named = [(each.name, each.table.caption) for each in chosen.tables]
        own.print(terminal.tables_shown(chosen, own) if tables else terminal.listing(named))
    elif to is None:
        typer.echo(table_files.written(chosen, told), nl=False)
    else:
        write_whole(to, table_files.written(chosen, told))
        _say(f"{len(chosen.tables)} table{'s' if len(chosen.tables) > 1 else ''} written to {to}")


def figure(  # noqa: PLR0913 - options of a command, not arguments of a function
    figures: FigureNames = None,
    out: Out = DEFAULT_OUT,
    store: StoreUrl = None,
    to: FigureFile = None,
    width: Width = "column",
    *,
    run_ids: RunIds = None,
    others: Others = None,
    names: Names = None,
) -> None:
    """Write figures of the page for a paper, as PDF, SVG or PNG; without a name, list what there are."""
    from reports import figure_files, terminal  # noqa: PLC0415 - drawing libraries take a second

    if figures and to is None:
        raise UserError(f"say where to write {', '.join(figures)}: --to FILE.pdf, .svg or .png")
    frames = _asked(out, store, run_ids, others, names)
    if to is None:
        console().print(terminal.listing(figure_files.listed(frames)))
        return
    for line in figure_files.write_figures(frames, to, figures or (), width):
        _say(line)


def show(file: Annotated[Path, typer.Argument(help="A baseline file.")]) -> None:
    """Print a baseline as a table."""
    from reports import baseline as baselines  # noqa: PLC0415

    console().print(baselines.table(baselines.read(file)))


def _asked(
    out: Path, store: str | None, run_ids: list[str] | None, others: list[str] | None, names: list[str] | None
) -> Frames:
    """The runs that options name, as one; other stores stand alone where there is none of our own.

    Raises:
        UserError: there is no such run or store, or names do not fit the runs.
    """
    from reports.merged import merged  # noqa: PLC0415 - pandas takes a second
    from reports.several import chosen  # noqa: PLC0415

    alone = others and not (run_ids or store or (out / STORE_FILE).is_file())
    opened = None if alone else existing_store(out, store)
    return merged(chosen(opened, run_ids or (), others or ()), names or ())


def _say(line: str) -> None:
    console().print(line, markup=False, highlight=False)


def tell_report(store: Store, run_id: str, out: Path, page: Path | None = None) -> None:
    """Write the page and say where it is, what it finds, and what failed."""
    from reports.page import write_report  # noqa: PLC0415 - drawing libraries take a second

    _tell(write_report(store, run_id, page or out / "report.html"))


def _tell(summary: Summary) -> None:
    say = console().print
    for title, lines in (("Findings", summary.findings), ("Failed", summary.failures)):
        if lines:
            say(f"\n{title}", style="bold")
        for line in lines:
            say(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    say(f"\nReport: {summary.path}", markup=False, highlight=False, soft_wrap=True)
