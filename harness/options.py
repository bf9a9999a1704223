"""Options that verbs of the command line share, and what they mean. Nothing heavy is imported here.

Exit codes: 1 when something failed or became worse, 2 for the user's mistake or what only the user can mend
(no room, no permission, a store that is away or damaged), 130 after Ctrl-C.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from harness.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.store import Store

USER_MISTAKE, FAILED, INTERRUPTED = 2, 1, 130
GRIDS = Path(__file__).with_name("grids")
EXACT = (Path("exact"), Path("exact-fused"), Path("exact-networks"), Path("exact-training"))
"""Grids that count what claims and baselines are about."""
GridFile = Annotated[Path, typer.Argument(help="Grid file (TOML); a bare name is looked up in harness/grids/.")]
Out = Annotated[Path, typer.Option(help="Folder for store, cache, logs and report.")]
StoreUrl = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this form
    typer.Option("--store", help="SQLite file, or postgresql+psycopg://…; default: store.sqlite in the out folder."),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda:1, …; cuda takes all GPUs like the first; auto does so if there is one.")
]
MOST_THREADS = 1024
"""No processor has more cores; far more threads end a process."""
Threads = Annotated[Optional[int], typer.Option(min=1, max=MOST_THREADS, help="CPU threads; default: all cores.")]  # noqa: UP045
EngineName = Annotated[str, typer.Option("--engine", help="Where cells run: local, ray or slurm.")]
Address = Annotated[Optional[str], typer.Option(help="Of a Ray cluster: auto, or host:port.")]  # noqa: UP045
EngineOptions = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--engine-option", help="name=value, such as partition=gpu for slurm; repeatable."),
]
Grids = Annotated[Optional[list[Path]], typer.Option("--grid", help="Grid that counts; repeatable; default: ours.")]  # noqa: UP045
DEFAULT_OUT, STORE_FILE = Path("out"), "store.sqlite"


class Form(enum.StrEnum):
    """Forms of an export."""

    CSV = "csv"
    PARQUET = "parquet"
    SQLITE = "sqlite"
    BENCHER = "bencher"
    SMALLER = "smaller-is-better"
    BIGGER = "bigger-is-better"


class TableForm(enum.StrEnum):
    """Forms of tables."""

    CSV = "csv"
    MARKDOWN = "md"
    LATEX = "tex"


AS_NAMED = "Default: as the file's name tells."
Format = Annotated[Optional[Form], typer.Option("--format", help=AS_NAMED)]  # noqa: UP045
TableFormat = Annotated[Optional[TableForm], typer.Option("--format", help=AS_NAMED)]  # noqa: UP045
TableNames = Annotated[Optional[list[str]], typer.Argument(help="Tables, such as quality; none: list them.")]  # noqa: UP045
FigureNames = Annotated[Optional[list[str]], typer.Argument(help="Figures of the page; none: list them.")]  # noqa: UP045
TableFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--to", help="File to write (.md, .tex, .csv) instead of printing; without names it gets all tables."),
]
FigureFile = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--to", help="File to write (.pdf, .svg, .png); several figures need {name} in it, none means all."),
]
Width = Annotated[str, typer.Option(help="Of the figure: column (3.33 in), text (6.9 in), or a number of inches.")]


SQLITE = frozenset({".sqlite", ".db"})
"""How the names of stores end."""
ADVICE = ": run a grid first, or name the store with --store or its folder with --out"


def grid_file(path: Path) -> Path:
    """The grid file at `path`, or the one of that name that comes with nlbench."""
    shipped = GRIDS / path.with_suffix(".toml").name
    return shipped if not path.is_file() and path.parent == Path() and shipped.is_file() else path


def existing_store(out: Path, store: str | None) -> Store:
    """The store that options name.

    Raises:
        UserError: there is none yet.
    """
    from harness.store import Store  # noqa: PLC0415 - the database library is not needed by --help

    if store is not None and "://" in store:
        return Store(store)
    file = Path(store) if store else out / STORE_FILE
    if not file.is_file() or not file.stat().st_size:
        raise UserError(f"no store at {file}{_advice(file) if store else ADVICE}")
    return Store(str(file))


def _advice(file: Path) -> str:
    """Which store there is in the folder of `file`, which is none."""
    from datasets.naming import nearest  # noqa: PLC0415 - loads NumPy, which --help need not

    others = [each.name for each in file.parent.glob("*") if each.suffix in SQLITE and each != file]
    return f": {nearest(file.name, others)}" if others else ""


def console() -> Console:
    """Where verbs print: names from grids and files as they are, not as markup."""
    from rich.console import Console  # noqa: PLC0415 - not needed by --help

    return Console(markup=False)
