"""Names that are markup, formulas, commands, SQL or paths: they stand as they are in pages, tables and stores."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import tests.stores
from harness.place import Place
from harness.records import Status
from harness.run import prepare
from harness.store import Store
from harness.verbs import print_plan
from reports import table_files, terminal
from reports.export import export
from reports.frames import load
from reports.latex import comment, latex
from reports.markup import csv as tables_csv
from reports.page import write_report
from reports.tables import Column, Entry, Row, make_table
from tests.conftest import WriteGrid
from tests.harness.test_run import go
from tests.stores import BICUBIC, EDSR, Plan, Variant, make_store

SCRIPT = "<script>alert(1)</script>"
SQL = "'; DROP TABLE record; --"
FORMULA = "=cmd|' /C calc'!A0"
TEMPLATE = "{{ 7*7 }}{% raw %} %s%n ${x}"
TEX = "\\input{/etc/passwd} $x_1$"
RICH = "[red]x[/green]"
PATH = "../../evil"
LINES = "a\n\\input{x}\x1b[31m"
LABELS = (f"{SCRIPT} {SQL}", f"{FORMULA} {TEMPLATE}", f"{TEX} {RICH}", PATH, LINES)


class Kept(NamedTuple):
    """A store in which everything that can have a name has a hostile one."""

    store: Store
    run_id: str
    folder: Path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("names")
    variants = [
        Variant(label=label, method=label, psnr=29.0 + i, exponent=1.5, factor=1e-6, settings={label: label})
        for i, label in enumerate(LABELS)
    ]
    plan = Plan(
        variants=[BICUBIC, EDSR, *variants],
        sets={LABELS[0]: (FORMULA, PATH), LINES: (LINES,)},
        sizes=("24x24", "48x48"),
        fails={(LABELS[0], "train"): (Status.ERROR, LABELS[0])},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests.stores, "RUN", {**tests.stores.RUN, "grid_name": SCRIPT + LINES, "grid": SCRIPT})
        store, run_id = make_store(folder / "store.sqlite", plan)
    yield Kept(store, run_id, folder)
    store.close()


@pytest.mark.fault(
    area="Hostile input",
    what="names that are SQL, in methods, labels, settings, data sets, images and reasons",
    how="a store in which everything is called `'; DROP TABLE record; --` and the like, asked for runs by such names",
    kept="every record and every table; the names stand in the store as they were given",
)
def test_sql_in_names_is_text(kept: Kept) -> None:
    before = len(kept.store.measurements())
    assert before > 100
    assert set(kept.store.measurements(kept.run_id)["label"]) >= {EDSR.label, *LABELS}
    assert kept.store.settled([SQL, f"{SQL}%"], {}) == {}
    assert len(kept.store.measurements()) == before


@pytest.mark.fault(
    area="Hostile input",
    what="names that are HTML, templates or paths, on the page of a run",
    how="labels, settings, data sets, images, reasons and a grid called `<script>…`, `{{ 7*7 }}`, `../../evil`",
    kept="the page has the one script that is its own, nothing of a name is computed, no other file is written",
)
def test_a_page_shows_names_as_they_are(kept: Kept) -> None:
    place = kept.folder / "page"
    write_report(kept.store, kept.run_id, place / "report.html")
    page = (place / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r"<script", page)) == 1
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert [file.name for file in place.rglob("*")] == ["report.html"]


@pytest.mark.fault(
    area="Hostile input",
    what="names that are formulas of spreadsheets, in CSV",
    how="labels and images that begin with = + - @, in tables and in raw records",
    kept="an apostrophe makes text of them; numbers with a sign stay numbers",
)
def test_formulas_in_csv_are_text(kept: Kept) -> None:
    heads = (FORMULA, "+1+cmd|x", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "-0.5", "+inf", "−0.10 to 0.30")  # noqa: RUF001
    rows = [Row(head=head, entries={"why": Entry(text=head)}) for head in heads]
    text = tables_csv([make_table("@caption", [Column(key="why", title="=why", words=True)], rows)])
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["Method"] for row in found] == [*(f"'{head}" for head in heads[:4]), "-0.5", "+inf", heads[6]]
    assert {row["Table"] for row in found} == {"'@caption"}
    export(kept.store, kept.folder / "raw.csv", "csv")
    raw = (kept.folder / "raw.csv").read_text(encoding="utf-8")
    cells = {cell for row in csv.reader(io.StringIO(raw)) for cell in row}
    assert f"'{FORMULA}" in cells
    assert not [cell for cell in cells if re.match(r"[=+@]|-(?!\d)", cell)]


@pytest.mark.fault(
    area="Hostile input",
    what="names that are LaTeX or Markdown",
    how=r"captions, heads, units, notes and protocols of `\input{/etc/passwd}`, `$x_1$`, lines that end a comment",
    kept="every sign is set as itself; a comment stays on its line",
)
def test_commands_in_latex_are_text(kept: Kept) -> None:
    rows = [Row(head=label, note=label, entries={"why": Entry(text=label, doubt=label)}) for label in LABELS]
    columns = [Column(key="why", title=TEX, unit=TEX, words=True)]
    text = latex(make_table(LINES, columns, rows, notes=LABELS, protocol=f"x\n{TEX}", head=TEX))
    assert comment(f"x\n{TEX}\r\\y") == f"% x {TEX} \\y"
    lines = [line for line in text.splitlines() if not line.startswith("% ")]
    assert not [line for line in lines if "\\input" in line or "\x1b" in line or not line.isascii()]
    frames = load(kept.store, kept.run_id, pictures=False)
    markdown = table_files.written(table_files.choose(frames), "md")
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)`", markdown)


@pytest.mark.fault(
    area="Hostile input",
    what="names that are escape sequences of terminals or Rich's markup",
    how="tables of a run whose labels are `[red]x[/green]` and `\\x1b[31m`, printed on a terminal",
    kept="markup is printed as it is; a grid, a folder, an archive and a weights file with control signs are refused",
)
def test_a_terminal_shows_names_as_they_are(kept: Kept) -> None:
    console = Console(file=io.StringIO(), width=240, force_terminal=True)
    chosen = table_files.choose(load(kept.store, kept.run_id, pictures=False))
    console.print(terminal.tables_shown(chosen, console))
    assert isinstance(console.file, io.StringIO)
    assert RICH in console.file.getvalue()


@pytest.mark.parametrize("form", ["bencher", "smaller-is-better", "bigger-is-better"])
def test_figures_of_hostile_names_are_json(kept: Kept, form: str) -> None:
    export(kept.store, kept.folder / f"{form}.json", form)
    assert json.loads((kept.folder / f"{form}.json").read_text(encoding="utf-8"))


@pytest.mark.fault(
    area="Hostile input",
    what="names that are paths, markup, SQL or formulas, in a whole run",
    how="a label that is a path out of the folder, images called `<img src=x onerror=…>`, `=cmd…`, `'; DROP …`",
    kept="all is scored and shown under these names; files are called by keys, none is outside of the output folder",
)
def test_a_run_of_hostile_names_stays_in_its_folder(
    write_grid: WriteGrid, tmp_path: Path, place: Place, store: Store
) -> None:
    names = ("<img src=x onerror=alert(1)>", SQL, FORMULA.replace("/", "|"), TEMPLATE.replace("%n", "%n%x"), "..a")
    folder = tmp_path / "in" / "$(touch y); [red] & 'x'"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for name in names:
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (tmp_path / "other").mkdir()
    before = {*tmp_path.rglob("*"), tmp_path / "grid.toml"}
    tables = f"label = '''{PATH} {SCRIPT}'''\n"
    grid = write_grid("bicubic", top='tasks = ["train", "evaluate"]', test=str(folder), tables=tables)
    outcomes = go(grid, place)
    assert [outcome.status for outcome in outcomes] == [Status.DONE]
    found = store.measurements()
    assert set(found["image"].dropna()) >= set(names)
    write_report(store, None, place.out / "report.html")
    assert "<img src=x" not in (place.out / "report.html").read_text(encoding="utf-8")
    made = set(tmp_path.rglob("*")) - before
    assert made
    assert all(file == place.out or place.out in file.parents for file in made), made
    assert all(re.fullmatch(r"[\w.-]+", file.name) for file in made), made


@pytest.mark.fault(
    area="Hostile input",
    what="names that are markup of the terminal",
    how="a label that closes what it never opened, in a plan",
    kept="printed as it is",
)
def test_a_plan_prints_labels_as_they_are(
    place: Place, write_grid: WriteGrid, capsys: pytest.CaptureFixture[str]
) -> None:
    print_plan(prepare(write_grid("bicubic", tables='label = "x[/red]"'), place, dry=True))
    assert "x[/red]" in capsys.readouterr().out
