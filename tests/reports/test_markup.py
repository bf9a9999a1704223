from __future__ import annotations

import csv as csv_files
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.latex import NEEDS, escaped, label_of, latex
from reports.markup import csv, full, markdown, plain
from reports.markup import escaped as escaped_markdown
from reports.tables import MINUS, PERCENT, TIMES, Column, Entry, Row, Table, make_table, missing, number, scaled

NASTY = "50% & $5 #1 a_b {x} ~y^z \\cmd [q] <0.1> |v| 'w' \"u\" `t` --out * n^1.23 √ ² ᵖ ≈ ± ° µ λ é 中\u202f…"
COLUMNS = (
    Column(key="psnr", title="PSNR-Y", unit="dB", better="higher"),
    Column(key="time", title="Forward", unit="ms", better="lower"),
    Column(key="gap", title="Against the best", unit="dB"),
    Column(key="why", title="Why", words=True),
)


def row(head: str, psnr: float, seconds: float | None, *, note: str = "", mark: str = "", why: str = "") -> Row:
    entries = {
        "psnr": number(psnr),
        "time": scaled(seconds, 1e-3, note="out of memory" if seconds is None else ""),
        "gap": Entry(text=f"{MINUS}0.10", value=-0.1, mark=mark, doubt="not told from zero" if mark else ""),
        "why": Entry(text=why),
    }
    return Row(head=head, note=note, entries=entries)


@pytest.fixture
def table() -> Table:
    rows = [
        row("NLSN", 30.123456, 0.01234567, mark="≈"),
        row("NLN a|b", 31.0, None, note="one of two seeds", why="a word | or two"),
        row("EDSR", 29.0, 0.002, mark="?", why="faster"),
    ]
    return make_table(f"Set5 {TIMES}2: 95{PERCENT}", COLUMNS, rows, notes=["Crop 2."], protocol="0123456789abcdef")


def body(text: str) -> list[str]:
    """The rows of a tabular, heads among them."""
    inner = text[text.index("\\toprule") : text.index("\\bottomrule")]
    return [line for line in inner.splitlines() if line.endswith((" \\\\", " \\tabularnewline"))]


def assert_sound(text: str) -> None:
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert all(line.isascii() for line in text.splitlines() if not line.startswith("%"))
    for part in text.split("\\end{tabular}")[:-1]:
        counts = {re.sub(r"\\&", "", line).count("&") for line in body(part + "\\bottomrule")}
        assert len(counts) == 1


def compiled(text: str, folder: Path) -> str:
    """What pdflatex says of a document that reads `text` and loads nothing but booktabs."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex; the structure is tested without it")
    (folder / "tables.tex").write_text(text, encoding="utf-8")
    start = f"\\documentclass[twocolumn]{{article}}\n{NEEDS}\n"
    (folder / "paper.tex").write_text(f"{start}\\begin{{document}}\\input{{tables}}\\end{{document}}", encoding="utf-8")
    words = [program, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


def test_markdown_prints_marks_units_signs_and_notes(table: Table) -> None:
    lines = markdown(table).splitlines()
    assert lines[0] == f"**Set5 {TIMES}2: 95\u202f%**"
    assert lines[2] == "| Method | PSNR-Y [dB] | Forward [ms] | Against the best [dB] | Why |"
    assert lines[3] == "| :--- | ---: | ---: | ---: | :--- |"
    assert lines[4] == f"| NLSN | <u>30.12</u> | 12.3 | {MINUS}0.10<sup>a</sup> |  |"
    assert lines[5] == f"| NLN a\\|b<sup>b</sup> | **31.00** | –<sup>c</sup> | {MINUS}0.10 | a word \\| or two |"  # noqa: RUF001
    under = "\n".join(lines[7:])
    assert "Bold is best" in under
    assert "Crop 2." in under
    assert "Protocol 01234567." in under
    for told in ("<sup>a</sup> not told from zero", "<sup>b</sup> one of two seeds", "<sup>c</sup> out of memory"):
        assert told in under


def test_every_row_of_markdown_has_the_same_cells(table: Table) -> None:
    rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {6}
    assert len(rows) == 5


def test_markdown_takes_nothing_for_its_own() -> None:
    assert escaped_markdown("a|b\\c\nd *e* <f> n_hashes _g_") == "a\\|b\\\\c d \\*e\\* &lt;f> n_hashes \\_g\\_"
    assert escaped_markdown("grows as n^1.23.") == "grows as n<sup>1.23</sup>."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("50% & $5 #1 a_b {x}", r"50\% \& \$5 \#1 a\_b \{x\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("p <0.001 |x|", "p $<$0.001 $|$x$|$"),
        (f"{MINUS}0.5 ± 2 {TIMES} ∞", r"$-$0.5 $\pm$ 2 $\times$ $\infty$"),
        ("95\u202f% at 20 °C", r"95\,\% at 20 $^{\circ}$C"),
        ("n^1.23 grows", "$n^{1.23}$ grows"),
        ("b·nᵖ, 10⁻⁶ m²", r"b$\cdot$n$^{p}$, 10$^{-}$$^{6}$ m$^{2}$"),
        ("café, Ångström, naïve", r"caf\'{e}, \r{A}ngstr\"{o}m, na\"{i}ve"),
        ("α, Ω, µs", r"$\alpha$, $\Omega$, $\mu$s"),  # noqa: RUF001 - Greek is the point
        ("[x]", "{[}x{]}"),
        ("--out", "-{}-out"),
        ("a\n b\x07", "a b"),
        ("中", "{[}U+4E2D{]}"),
    ],
)
def test_latex_has_a_command_for_every_sign(text: str, told: str) -> None:
    assert escaped(text) == told


def test_latex_prints_marks_units_signs_and_notes(table: Table) -> None:
    text = latex(table)
    assert_sound(text)
    assert "\\caption{Set5 $\\times$2: 95\\,\\%}" in text
    assert "\\label{tab:set5-x2-95}" in text
    assert "\\begin{tabular}{@{}lrrrl@{}}" in text
    assert "% protocol 0123456789abcdef" in text
    first = next(line for line in body(text) if line.startswith("NLSN"))
    assert [cell.strip() for cell in first.removesuffix("\\\\").split("&")] == [
        "NLSN",
        "\\underline{30.12}",
        "12.3",
        "$-$0.10\\textsuperscript{a}",
        "",
    ]
    assert "\\textbf{31.00}" in text
    assert "\\textsuperscript{c} out of memory\\par" in text
    assert "Crop 2.\\par" in text
    units = next(line for line in body(text) if line.startswith("Method"))
    assert units.count("{[}dB{]}") == 2


def test_a_wide_table_goes_on_in_another_and_loses_no_column() -> None:
    columns = [Column(key=str(i), title=f"Column {i}", unit="ms") for i in range(40)]
    rows = [Row(head="NLSN", entries={str(i): number(i + 0.25) for i in range(40)})]
    text = latex(make_table("Wide", columns, rows, notes=["Said once."]))
    assert_sound(text)
    parts = re.split(r"\\end\{table\*?\}", text)[:-1]
    assert len(parts) > 1
    assert re.findall(r"Wide \((\d+ of \d+)\)", text) == [f"{i + 1} of {len(parts)}" for i in range(len(parts))]
    assert text.count("Said once.") == 1
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == len(parts)
    found = [cell.strip() for part in parts for cell in body(part + "\\bottomrule")[-1][:-3].split("&")[1:]]
    assert found == [f"{i}.25" for i in range(40)]


def test_a_long_table_goes_on_in_another_and_loses_no_row() -> None:
    rows = [Row(head=f"NLSN {i}", entries={"a": number(float(i))}) for i in range(100)]
    text = latex(make_table("Long", [Column(key="a", title="A")], rows))
    assert_sound(text)
    heads = re.findall(r"^(NLSN \d+) +&", text, re.MULTILINE)
    assert heads == [f"NLSN {i}" for i in range(100)]
    assert text.count("\\begin{table}") == 3


def test_sentences_are_paragraphs_and_keep_the_note_of_their_row() -> None:
    columns = [Column(key="why", title="Why", words=True)]
    rows = [Row(head="a-claim", note="Hashing is linear.", entries={"why": Entry(text="word " * 30)})]
    table = make_table("Claims", columns, rows, head="Claim")
    assert "\\raggedright a-claim: Hashing is linear." not in latex(table)
    assert "a-claim: Hashing is linear." in latex(table)
    assert "\\linewidth}@{}}" in latex(table)
    assert "\\tabularnewline" in latex(table)
    assert "| a-claim: Hashing is linear. |" in markdown(table)


def test_pdflatex_sets_every_sign(table: Table, tmp_path: Path) -> None:
    nasty = make_table(
        NASTY,
        [Column(key="why", title=NASTY, unit="%", words=True)],
        [
            Row(head=NASTY, note=NASTY, entries={"why": missing(NASTY)}),
            Row(head="[x]", entries={"why": Entry(text=NASTY * 5)}),
        ],
        notes=[NASTY],
        head=NASTY,
    )
    text = "\n".join([latex(table), latex(nasty)])
    assert_sound(text)
    log = compiled(text, tmp_path)
    assert "Missing character" not in log


def test_labels_are_made_of_captions() -> None:
    assert label_of(make_table(f"Set5 {TIMES}2: é & more", [], [])) == "tab:set5-x2-e-more"


def test_csv_has_values_as_precise_as_they_are_known_in_printed_units(table: Table) -> None:
    found = list(csv_files.DictReader(io.StringIO(csv([table]))))
    assert [row["Method"] for row in found] == ["NLSN", "NLN a|b", "EDSR"]
    assert {row["Table"] for row in found} == {table.caption}
    assert float(found[0]["PSNR-Y [dB]"]) == 30.123456
    assert float(found[0]["Forward [ms]"]) == pytest.approx(12.34567, rel=1e-12)
    assert found[1]["Forward [ms]"] == ""
    assert found[1]["Notes"] == "one of two seeds; Forward: out of memory"
    assert found[2]["Notes"] == "Against the best: not told from zero"


def test_csv_keeps_intervals_as_printed_and_titles_apart() -> None:
    columns = [Column(key="a", title="Gap"), Column(key="b", title="Gap"), Column(key="c", title=f"95{PERCENT} range")]
    entries = {
        "a": Entry(text="1.10 (1.00 to 1.20)", value=1.104),
        "b": Entry(text=f"29.50 ± {MINUS}0.02", value=29.4999),
        "c": Entry(text=f"{MINUS}0.5 to 2\u202f000", value=-0.5),
    }
    other = make_table("Other", [Column(key="x", title="X")], [Row(head="B", entries={"x": number(2.0)})])
    text = csv([make_table("One", columns, [Row(head="A", entries=entries)]), other])
    found = list(csv_files.DictReader(io.StringIO(text)))
    assert found[0]["Gap (a)"] == "1.104"
    assert found[0]["Gap (a), as printed"] == "1.10 (1.00 to 1.20)"
    assert found[0]["Gap (b)"] == "29.4999"
    assert found[0]["Gap (b), as printed"] == "29.50 ± -0.02"
    assert found[0]["95% range"] == "-0.5 to 2000"
    assert (found[1]["X"], found[1]["Gap (a)"]) == ("2.0", "")


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("12.3", 0.0123456, 12.3456),
        ("45.1", 0.45123, 45.123),
        ("0.0218", 21787.0, 0.021787),
        ("2.50×", 0.6, 2.5),  # noqa: RUF001 - the sign that is printed
        ("∞", float("inf"), float("inf")),
        ("0.0", None, 0.0),
        ("yes", 1.0, None),
        ("3/2/1", 1.0, None),
        ("from 1 200", 1234.0, None),
        ("–", None, None),  # noqa: RUF001 - the sign that is printed
    ],
)
def test_the_number_of_an_entry_is_that_which_prints_as_its_text(
    text: str, value: float | None, told: float | None
) -> None:
    found = full(Entry(text=text, value=value))
    assert found is None if told is None else found == pytest.approx(told, rel=1e-12)


def test_plain_text_has_no_printed_signs() -> None:
    assert plain(f"{MINUS}1\u202f234") == "-1234"
