"""The verb `data`: which image sets are there, fetching them, and whether they are whole.

Image sets are imported when a verb runs: `--help` needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import UserError

if TYPE_CHECKING:
    from datasets.manifest import Entry

FAULTY = 1

app = typer.Typer(help="Image sets: list, fetch, verify them, or print the folder of one.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A set of `data list`, or a folder of images written as a path.")]


@app.command("list")
def list_sets() -> None:
    """Every set of the manifest: where it is, how many images it has, at which scales it brings its own small ones."""
    from rich.console import Console  # noqa: PLC0415 - not needed by --help
    from rich.table import Column, Table  # noqa: PLC0415

    from datasets.manifest import data_folder, entry, names  # noqa: PLC0415 - numpy takes a tenth of a second

    table = Table("set", "images", "low resolution", Column("where", overflow="fold"))
    for name in names():
        table.add_row(name, *_described(entry(name)))
    Console(markup=False).print(table)
    _say(f"Looked for in {data_folder()}; NLBENCH_DATA names another folder.")


@app.command("fetch")
def fetch_sets(wanted: Annotated[list[str], typer.Argument(metavar="SET...", help="Sets of `data list`.")]) -> None:
    """Download sets into the data folder, compare checksums with the first time, and unpack what is missing."""
    from datasets.fetch import fetch  # noqa: PLC0415 - numpy takes a tenth of a second

    for name in wanted:
        try:
            fetch(name, _say)
        except (OSError, ValueError) as error:
            raise UserError(str(error)) from error


@app.command()
def verify(
    wanted: Annotated[list[str] | None, typer.Argument(metavar="SET...", help="Default: every set there is.")] = None,
) -> None:
    """Decode every image, and check sizes of pairs and the checksums recorded when they were fetched."""
    from datasets.fetch import faults  # noqa: PLC0415 - numpy takes a tenth of a second
    from datasets.manifest import entry, names  # noqa: PLC0415

    wrong = 0
    for name in wanted or [name for name in names() if _is_there(entry(name))]:
        try:
            told = list(dict.fromkeys(faults(name)))
        except ValueError as error:
            raise UserError(str(error)) from error
        _say(f"{name}: {'not ' * bool(told)}whole")
        for fault in told:
            _say(f"  {fault}")
        wrong += len(told)
    if wrong:
        raise typer.Exit(FAULTY)


@app.command()
def path(name: Name) -> None:
    """Print the folder of a set; of a union of sets, that of each."""
    from datasets.sets import load, places  # noqa: PLC0415 - numpy takes a tenth of a second

    try:
        folders = places(name)
        if not folders:
            load(name, 2)
    except ValueError as error:
        raise UserError(str(error)) from error
    for folder in folders:
        typer.echo(folder.absolute())


def _is_there(asked: Entry) -> bool:
    """Whether a set has a folder; a union without its own is verified as its parts."""
    from datasets.manifest import found  # noqa: PLC0415 - as above

    return asked.source == "skimage" or found(asked) is not None


def _described(asked: Entry) -> tuple[str, str, str]:
    """How many images a set has here, at which scales it brings small ones, and where it is or can be got."""
    from datasets.layouts import scales_of  # noqa: PLC0415 - as above
    from datasets.sets import load, places  # noqa: PLC0415

    folders = places(asked.name)
    if not folders:
        return str(asked.count), "", f"not there: {asked.by_hand or 'data fetch ' + asked.name}"
    brought = sorted(set.intersection(*(set(scales_of(folder)) for folder in folders)))
    scales = " ".join(f"x{scale}" for scale in brought)
    where = "scikit-image" if asked.source == "skimage" else ", ".join(map(str, folders))
    try:
        return str(len(load(asked.name, brought[0] if brought else 1))), scales or "made", where
    except ValueError as error:
        return "?", scales, f"{where}: {error}"


def _say(line: str) -> None:
    typer.echo(line)
