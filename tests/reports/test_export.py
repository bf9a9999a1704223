from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness.errors import UserError
from harness.options import Form
from harness.store import Store
from reports.export import FORMS, export, form_of, placed_tables
from reports.frames import load
from reports.page import page_content, write_report
from reports.tables import make_table
from tests.reports.races import frames_of
from tests.reports.test_markup import assert_sound, compiled
from tests.stores import Plan, add_run, make_store

ROOT = Path(__file__).resolve().parents[2]
PLACED = make_table("Caption", [], [])
SEVERAL = Plan(seeds=(0, 1), sizes=("24x24", "48x48", "96x96"), tilings=("whole", "chop"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("export") / "out"
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


@pytest.fixture(scope="module")
def everything(store: Store, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a whole run as Markdown."""
    path = tmp_path_factory.mktemp("everything") / "all.md"
    export(store, path, "md")
    return path.read_text(encoding="utf-8").splitlines()


def captions_of_page(store: Store, folder: Path) -> list[str]:
    path = write_report(store, None, folder / "page.html").path
    found = re.findall(r'role="region" aria-label="(.*?)"', path.read_text(encoding="utf-8"))
    return [html.unescape(each) for each in found]


def captions(lines: list[str]) -> list[str]:
    return re.findall(r"^\*\*(.*)\*\*$", "\n".join(lines), re.MULTILINE)


def test_markdown_has_every_table_of_the_page_in_its_order(
    store: Store, everything: list[str], raced: Store, tmp_path: Path
) -> None:
    assert captions(everything) == captions_of_page(store, tmp_path)
    told = export(raced, tmp_path / "raced.md", "md")
    found = captions((tmp_path / "raced.md").read_text(encoding="utf-8").splitlines())
    assert found == captions_of_page(raced, tmp_path)
    assert told == f"{len(found)} tables written to {tmp_path / 'raced.md'}"


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
    held: Store = request.getfixturevalue(name)
    export(held, tmp_path / "all.tex", "tex")
    text = (tmp_path / "all.tex").read_text(encoding="utf-8")
    assert_sound(text)
    assert text.splitlines()[1] == "% needs \\usepackage{booktabs}"
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(labels) == text.count("\\caption{") > 8
    log = compiled(text, tmp_path)
    assert "Missing character" not in log
    assert "multiply defined" not in log


def test_one_table_is_written_without_headings(store: Store, tmp_path: Path) -> None:
    told = export(store, tmp_path / "quality.tex", "tex", ["quality"])
    text = (tmp_path / "quality.tex").read_text(encoding="utf-8")
    assert told.startswith("2 tables written")
    assert text.count("\\caption{pier $\\times$") == 2
    assert "% Quality" not in text
    assert "30.05 $\\pm$ 0.07" in text


def test_several_tables_come_in_the_order_of_the_page(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "some.md", "md", ["scaling", "quality"])
    lines = (tmp_path / "some.md").read_text(encoding="utf-8").splitlines()
    assert [caption.split()[0] for caption in captions(lines)] == ["pier"] * 2 + ["Growth"]


def test_a_table_as_csv_has_its_values(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "quality.csv", "csv", ["quality"])
    found = pd.read_csv(tmp_path / "quality.csv")
    assert len(found) == 2 * 5
    assert found["PSNR-Y [dB]"].iloc[0] == pytest.approx(28.55)
    assert found["Notes"].iloc[0].startswith("Parameters, MACs, Forward: not a network; ")


def test_a_printed_number_of_every_table_is_its_value_rounded(store: Store, raced: Store) -> None:
    from reports.markup import full, plain

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


def test_names_that_do_not_exist_are_told_with_the_nearest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no table 'qualty': did you mean 'quality'\?"):
        export(store, tmp_path / "x.tex", "tex", ["qualty"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["parquet", "bencher", "smaller-is-better", "bigger-is-better"])
def test_forms_without_tables_say_so(store: Store, tmp_path: Path, form: str) -> None:
    with pytest.raises(UserError, match=f"{form} has no tables: leave out --table"):
        export(store, tmp_path / "x", form, ["quality"])


def test_trackers_are_told_of_figures(store: Store, tmp_path: Path) -> None:
    told = export(store, tmp_path / "figures.json", "bencher")
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert told == f"{sum(map(len, content.values())):,} figures written to {tmp_path / 'figures.json'}"


def test_raw_records_are_of_all_runs_unless_one_is_named(tmp_path: Path) -> None:
    small = Plan(sizes=("24x24",))
    held, first = make_store(tmp_path / "store.db", small)
    add_run(held, Plan(sizes=("48x48",)))
    everything = held.measurements()
    for name, read in (("raw.csv", pd.read_csv), ("raw.parquet", pd.read_parquet)):
        told = export(held, tmp_path / name, form_of(Path(name)))
        assert told == f"{len(everything):,} records written to {tmp_path / name}"
        assert list(read(tmp_path / name)["value"]) == pytest.approx(list(everything["value"]))
        export(held, tmp_path / name, form_of(Path(name)), run_id=first[:8])
        assert len(read(tmp_path / name)) == len(held.measurements(first)) < len(everything)
    held.close()


def test_a_run_without_figures_has_nothing_to_export(tmp_path: Path) -> None:
    held, _ = make_store(tmp_path / "store.db", Plan(variants=()))
    with pytest.raises(UserError, match="has no tables yet"):
        export(held, tmp_path / "all.md", "md")
    with pytest.raises(UserError, match="has no figure for bencher"):
        export(held, tmp_path / "all.json", "bencher")
    held.close()


def test_a_file_is_replaced_whole_or_not_at_all(raced: Store, tmp_path: Path) -> None:
    (tmp_path / "all.md").write_text("before", encoding="utf-8")
    with pytest.raises(UserError):
        export(raced, tmp_path / "all.md", "md", ["nothing"])
    assert (tmp_path / "all.md").read_text(encoding="utf-8") == "before"
    export(raced, tmp_path / "all.md", "md", ["race"])
    assert (tmp_path / "all.md").read_text(encoding="utf-8").startswith("nlbench: synthetic")
    assert [path.name for path in tmp_path.iterdir()] == ["all.md"]


@pytest.mark.parametrize(
    ("file", "form", "told"),
    [("a.md", None, "md"), ("a.tex", None, "tex"), ("a", "csv", "csv"), ("a.json", "bencher", "bencher")],
)
def test_the_form_is_that_asked_for_or_that_of_the_name(file: str, form: str | None, told: str) -> None:
    assert form_of(Path(file), form) == told


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("a.json", "give --format bencher, smaller-is-better or bigger-is-better"),
        ("a.txt", "cannot tell the format of a.txt"),
        ("a.parqet", "did you mean '.parquet'"),
        ("a", "Allowed: .csv, .md, .parquet, .tex"),
    ],
)
def test_a_name_that_tells_no_form_is_told(file: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        form_of(Path(file))


def commands() -> list[list[str]]:
    text = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    return [line.split()[2:] for line in text.splitlines() if line.startswith("python run_all.py export")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_what_the_documentation_shows_works(words: list[str], store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(store.engine.url.database)).parents[1]
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(run_all.app, words)
    assert done.exit_code == 0, done.output
    assert f"written to {words[1]}" in done.output
    assert (folder / words[1]).stat().st_size > 0


def test_the_documentation_names_every_table_and_every_form() -> None:
    text = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([a-z]+)`", text[text.index("Names: ") : text.index("A name stands for")]))
    lists = ("table", "published", "pairs", "tables", "scaling", "local", "crossover", "amdahl", "further")
    part = {key: [PLACED] for key in lists} | {"title": "", "roofline": {"tables": [PLACED]}}
    content = {key: [part] for key in ("quality", "cost", "race")} | {"harm": {"parts": [part]}}
    content |= {"attention": {"tables": [PLACED]}, "ways": [PLACED], "benchmarks": [PLACED], "claims": PLACED}
    assert names == {placed.name for placed in placed_tables(content)}
    assert all(f"`{form}`" in text or f"`.{form}`" in text for form in FORMS)


def test_the_command_line_offers_every_form() -> None:
    assert tuple(Form) == FORMS
