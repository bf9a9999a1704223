from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness.errors import UserError
from harness.options import TableForm
from harness.store import Store
from reports.export import FORMS as EXPORTED
from reports.frames import load
from reports.markup import full, plain
from reports.page import page_content, write_report
from reports.table_files import FORMS, Form, choose, form_of, placed_tables, written
from reports.tables import make_table
from tests.reports.races import frames_of
from tests.reports.test_markup import assert_sound, compiled
from tests.stores import Plan, make_store

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "exports.md"
PLACED = make_table("Caption", [], [])
SEVERAL = Plan(seeds=(0, 1), sizes=("24x24", "48x48", "96x96"), tilings=("whole", "chop"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("tables") / "out"
    folder.mkdir()
    opened, _ = make_store(folder / "store.sqlite", SEVERAL)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("raced")
    frames_of(folder, scale=2, failing="z-dense")
    opened = Store(str(folder / "store-0.db"))
    yield opened
    opened.close()


def text_of(store: Store, form: Form, *names: str) -> str:
    return written(choose(load(store), names), form)


@pytest.fixture(scope="module")
def everything(store: Store) -> list[str]:
    """The lines of a whole run as Markdown."""
    return text_of(store, "md").splitlines()


def captions_of_page(store: Store, folder: Path) -> list[str]:
    """Those of tables of figures: the provenance, which comes last, lists attempts."""
    page = write_report(store, None, folder / "page.html").path.read_text(encoding="utf-8")
    found = re.findall(r'role="region" aria-label="(.*?)"', page[: page.index('id="provenance"')])
    return [html.unescape(each) for each in found]


def captions(lines: list[str]) -> list[str]:
    return re.findall(r"^\*\*(.*)\*\*$", "\n".join(lines), re.MULTILINE)


def test_markdown_has_every_table_of_the_page_in_its_order(
    store: Store, everything: list[str], raced: Store, tmp_path: Path
) -> None:
    assert captions(everything) == captions_of_page(store, tmp_path)
    assert captions(text_of(raced, "md").splitlines()) == captions_of_page(raced, tmp_path)


def test_headings_are_those_of_the_page_and_stand_once(everything: list[str]) -> None:
    lines = everything
    assert lines[0].startswith("# nlbench: synthetic, run ")
    assert "commit 0123456789ab with uncommitted changes" in lines[0]
    assert [line for line in lines if line.startswith("## ")] == ["## Quality", "## Cost"]
    parts = [line for line in lines if line.startswith("### ")]
    assert parts.count("### Ways of asking") == 1
    assert "### Scale ×2, precision fp32, on Test CPU" in parts  # noqa: RUF001 - the sign that is printed


@pytest.mark.parametrize("name", ["store", "raced"])
def test_latex_has_the_same_tables_with_labels_of_their_own(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    text = text_of(request.getfixturevalue(name), "tex")
    assert_sound(text)
    assert text.splitlines()[1] == "% needs \\usepackage{booktabs}"
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels) == text.count("\\caption{") > 8
    log = compiled(text, tmp_path)
    assert "Missing character" not in log
    assert "multiply defined" not in log


def test_tables_that_are_named_are_written_without_headings(store: Store) -> None:
    text = text_of(store, "tex", "quality")
    assert text.count("\\caption{pier $\\times$") == 2
    assert "% Quality" not in text
    assert "30.05 $\\pm$ 0.07" in text


def test_several_tables_come_in_the_order_of_the_page(store: Store) -> None:
    lines = text_of(store, "md", "scaling", "quality").splitlines()
    assert [caption.split()[0] for caption in captions(lines)] == ["pier"] * 2 + ["Growth"]


def test_a_table_as_csv_has_its_values(store: Store, tmp_path: Path) -> None:
    (tmp_path / "quality.csv").write_text(text_of(store, "csv", "quality"), encoding="utf-8")
    found = pd.read_csv(tmp_path / "quality.csv")
    assert len(found) == 2 * 5
    assert found["PSNR-Y [dB]"].iloc[0] == pytest.approx(28.55)
    assert found["Notes"].iloc[0].startswith("Parameters, MACs, Forward: not a network; ")


def test_a_printed_number_of_every_table_is_its_value_rounded(store: Store, raced: Store) -> None:
    for held in (store, raced):
        entries = [
            row.entries[column.key]
            for placed in placed_tables(page_content(load(held)))
            for row in placed.table.rows
            for column in placed.table.columns
        ]
        assert len(entries) > 50
        for entry in entries:
            number, text = full(entry), plain(entry.text)
            if number is not None:
                digits = len(re.split(r"[^\d.]", text.lstrip("+-"))[0].partition(".")[2])
                assert text.lstrip("+").startswith(f"{number:.{digits}f}")


def test_names_that_do_not_exist_are_told_with_the_nearest(store: Store) -> None:
    with pytest.raises(UserError, match=r"no table 'qualty' in run [0-9a-f]{8}: did you mean 'quality'\?"):
        choose(load(store), ["qualty"])


def test_a_run_without_figures_has_no_tables(tmp_path: Path) -> None:
    held, _ = make_store(tmp_path / "store.db", Plan(variants=()))
    with pytest.raises(UserError, match=r"no tables in run [0-9a-f]{8} yet"):
        choose(load(held))
    held.close()


@pytest.mark.parametrize(
    ("file", "form", "told"),
    [("a.md", None, "md"), ("a.tex", None, "tex"), ("a", "csv", "csv"), (None, "tex", "tex"), (None, None, None)],
)
def test_the_form_is_that_asked_for_or_that_of_the_name(file: str | None, form: str | None, told: str | None) -> None:
    assert form_of(Path(file) if file else None, form) == told


@pytest.mark.parametrize(
    ("file", "told"), [("a.txt", "cannot tell the format of a.txt"), ("a.latex", "did you mean '.tex'"), ("a", ".md,")]
)
def test_a_name_that_tells_no_form_is_told(file: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        form_of(Path(file))


def commands() -> list[list[str]]:
    verbs = ("table", "figure", "export")
    lines = DOCUMENT.read_text(encoding="utf-8").replace("'", "").splitlines()
    return [line.split()[2:] for line in lines if line.startswith(tuple(f"python run_all.py {verb}" for verb in verbs))]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_what_the_documentation_shows_works(words: list[str], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(store.engine.url.database)).parents[1]
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(run_all.app, words)
    assert done.exit_code == 0, done.output
    if "--to" in words or words[0] == "export":
        file = words[words.index("--to") + 1] if "--to" in words else words[1]
        (written_file, *_) = folder.glob(file.replace("{name}", "*"))
        assert f"written to {written_file.relative_to(folder)}" in done.output.replace("\n", " ").replace("  ", " ")
        assert written_file.stat().st_size > 0
    else:
        assert ("Caption" if len(words) == 1 else "PSNR-Y") in done.output


def test_the_documentation_names_every_table_and_every_form() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    names = set(re.findall(r"`([a-z]+)`", text[text.index("Names: ") : text.index("A name stands for")]))
    lists = (
        "table",
        "twins",
        "ablations",
        "published",
        "pairs",
        "tables",
        "scaling",
        "local",
        "crossover",
        "amdahl",
        "further",
    )
    part = {key: [PLACED] for key in lists} | {"title": "", "roofline": {"tables": [PLACED]}}
    content = {key: [part] for key in ("quality", "cost", "race")} | {"harm": {"parts": [part]}}
    content |= {"attention": {"tables": [PLACED]}, "claims": PLACED}
    content |= {key: [PLACED] for key in ("overview", "ways", "benchmarks")}
    assert names == {placed.name for placed in placed_tables(content)}
    assert all(f"`{form}`" in text or f"`.{form}`" in text for form in (*FORMS, *EXPORTED))


def test_the_command_line_offers_every_form() -> None:
    assert tuple(TableForm) == FORMS
