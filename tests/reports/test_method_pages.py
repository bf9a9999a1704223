from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness.benchmarks import keep as keep_benchmarks
from harness.benchmarks import read as read_benchmarks
from harness.records import Status
from harness.store import Store
from reports.check import keep
from reports.claims import read_claims
from reports.frames import Frames, load
from reports.merged import merged
from reports.method_names import Method, methods_of
from reports.method_pages import method_pages
from reports.method_tables import mentions
from reports.page import write_page
from reports.race import races
from reports.verdicts import Verdict
from tests.harness.test_benchmarks import benchmark
from tests.harness.test_benchmarks import written as benchmarked
from tests.reports import twins
from tests.reports.races import frames_of
from tests.reports.test_page import HOSTILE, outline
from tests.stores import BICUBIC, EDSR, MACHINE, NLN, NLSN, Plan, add_run, make_store

SECOND = dataclasses.replace(NLSN, label="NLSN, 2 hashes", psnr=29.2, settings={"n_hashes": 2})
FAILS = {("NLSN, 2 hashes", "profile", "96x96"): (Status.OUT_OF_MEMORY, "needs <9> GB")}
PAGE, LINK = "the page.html", "../the%20page.html"
VARIANTS = (BICUBIC, EDSR, NLN, NLSN, SECOND)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages of one run by their names."""
    folder = tmp_path_factory.mktemp("methods")
    store, run_id = make_store(folder / "s.db", Plan(variants=VARIANTS, fails=FAILS))
    frames = load(store, run_id)
    written = method_pages(frames, folder / "out", write_page(frames, folder / PAGE).path)
    store.close()
    assert [path.parent for path in written] == [folder / "out"] * 4
    return {path.name: path.read_text(encoding="utf-8") for path in written}


def heads(text: str, caption: str) -> list[str]:
    """The names of the rows of the table whose caption begins so."""
    table = text[text.index(f'aria-label="{caption}') :]
    found = re.findall(r'<th scope="row">(.*?)(?:<span|</th>)', table[: table.index("</table>")])
    return [html.unescape(each) for each in found]


def test_each_method_has_a_page_and_the_index_links_them(pages: dict[str, str]) -> None:
    assert list(pages) == ["method-edsr.html", "method-nln.html", "method-nlsn.html", "index.html"]
    links = [link for link in outline(pages["index.html"]).links if not link.startswith("#")]
    assert links == [LINK, *list(pages)[:-1]]
    assert all("index.html" in outline(text).links for name, text in pages.items() if name != "index.html")


def test_pages_are_well_formed_and_their_links_lead_somewhere(pages: dict[str, str]) -> None:
    for text in pages.values():
        parsed = outline(text)
        assert parsed.levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(parsed.levels, parsed.levels[1:], strict=False))
        assert len(parsed.ids) == len(set(parsed.ids))
        assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
        assert {link.partition("#")[0] for link in parsed.links if not link.startswith("#")} <= {*pages, LINK}


def test_sections_lead_to_the_like_on_the_page_of_the_run(frames: Callable[..., Frames], tmp_path: Path) -> None:
    shown = frames(variants=(BICUBIC, NLN, NLSN))
    page = write_page(shown, tmp_path / "out" / "report.html").path
    whole = set(outline(page.read_text(encoding="utf-8")).ids)
    written = method_pages(shown, tmp_path / "out" / "methods", page)
    links = outline(written[0].read_text(encoding="utf-8")).links
    led = [link.partition("#")[2] for link in links if link.startswith("../report.html#")]
    assert led == ["quality", "cost", "cost", "training"]
    assert set(led) <= whole


def test_rows_of_the_method_stand_beside_the_best_and_the_baseline(pages: dict[str, str]) -> None:
    caption = "pier ×2: tiling"  # noqa: RUF001 - the sign that is printed
    assert heads(pages["method-nlsn.html"], caption) == ["Bicubic", "EDSR", "NLN", "NLSN", "NLSN, 2 hashes"]
    assert heads(pages["method-nln.html"], caption) == ["Bicubic", "EDSR", "NLN"]


def test_pairs_ablations_and_growth_are_those_of_the_method(pages: dict[str, str]) -> None:
    pairs = heads(pages["method-edsr.html"], "pier ×2: networks in pairs")  # noqa: RUF001
    assert len(pairs) == 3
    assert all("EDSR" in pair for pair in pairs)
    assert heads(pages["method-nlsn.html"], "pier ×2: ablation") == ["NLSN", "NLSN, 2 hashes"]  # noqa: RUF001
    assert "ablation" not in pages["method-nln.html"]
    growth = re.search(r'aria-label="Time in attention[^"]*"', pages["method-nlsn.html"])
    assert growth is not None
    assert all(label in growth[0] for label in ("NLN: ", "NLSN: ", "NLSN, 2 hashes: "))
    assert "Time in attention" not in pages["method-edsr.html"]


def test_crops_show_the_method_the_best_and_the_original(pages: dict[str, str]) -> None:
    shown = re.findall(r"<figcaption><b>(.*?)</b>", pages["method-nln.html"])
    assert set(shown) == {"Original", "Low resolution", "Bicubic", "NLN"}


def test_failures_are_those_of_the_method(pages: dict[str, str]) -> None:
    assert "needs &lt;9&gt; GB" in pages["method-nlsn.html"]
    assert "needs" not in pages["method-edsr.html"]


def test_what_papers_print_is_told_under_name_and_title(tmp_path: Path) -> None:
    written = method_pages(twins.frames_of(tmp_path), tmp_path / "out", tmp_path / PAGE)
    text = next(path for path in written if path.name == "method-nlsn.html").read_text(encoding="utf-8")
    assert "Set5 ×2, self-ensemble" in heads(text, "NLSN plain: published scores")  # noqa: RUF001
    assert "table &lt;A&gt;" in text
    assert "Where attention helps and where it harms" in text


def test_a_run_that_only_raced_has_pages(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    assert [method.labels for method in methods_of(frames, races(frames))] == [("NLN plain",), ("NLSN",)]
    written = method_pages(frames, tmp_path / "out", tmp_path / PAGE)
    assert [path.name for path in written] == ["method-nln.html", "method-nlsn.html", "index.html"]
    assert "it has no cell of its own" in written[0].read_text(encoding="utf-8")


def test_points_under_the_roof_are_those_of_the_method_and_of_dense_attention(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    moved = frames.records[frames.records["metric"] == "counted_macs"].assign(metric="counted_moved_bytes")
    counted = dataclasses.replace(frames, records=pd.concat([frames.records, moved], ignore_index=True))
    nln, nlsn, _ = (path.read_text(encoding="utf-8") for path in method_pages(counted, tmp_path, tmp_path / PAGE))
    assert re.findall(r"(NLN plain|NLSN) [\d.]+ GMAC/s at", nln) == ["NLN plain"]
    assert re.findall(r"(NLN plain|NLSN) [\d.]+ GMAC/s at", nlsn) == ["NLN plain", "NLSN"]
    assert heads(nlsn, "Attention alone, inference, batch 1, precision fp32: share of the roof") == ["NLSN"]
    assert nlsn.count("share of the roof</span>") == 1
    (alone, *_) = method_pages(frames, tmp_path, tmp_path / PAGE)
    assert "Roofline" not in alone.read_text(encoding="utf-8")


def test_claims_are_those_that_name_the_method(tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC, EDSR, NLN, NLSN), crops=0))
    asked = [claim for claim in read_claims() if claim.id in {"nlsa-linear", "nlsa-crossover", "enlca-linear"}]
    assert len(asked) == 3
    keep(store, run_id, [Verdict(claim=claim, word="supported", found="n^1.00") for claim in asked])
    frames = load(store, run_id)
    texts = {path.name: path.read_text(encoding="utf-8") for path in method_pages(frames, tmp_path, tmp_path / PAGE)}
    assert heads(texts["method-nlsn.html"], "2 claims: 2 supported") == ["nlsa-linear", "nlsa-crossover"]
    assert heads(texts["method-nln.html"], "1 claims: 1 supported") == ["nlsa-crossover"]
    assert "#claims" not in texts["method-edsr.html"]


def test_what_is_of_several_machines_says_whose_it_is(tmp_path: Path) -> None:
    parts = []
    for name in ("Test CPU", "Other CPU"):
        store = Store(str(tmp_path / f"{name}.db"))
        plan = Plan(variants=(NLN, NLSN), sizes=("24x24", "48x48"), crops=0)
        parts.append(load(store, add_run(store, plan, {**MACHINE, "cpu": name})))
        store.close()
    (page, *_) = method_pages(merged(parts), tmp_path / "out", tmp_path / PAGE)
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<h3>Scale .*, on (.*)</h3>", text) == ["Test CPU", "Other CPU"]
    assert re.findall(r"<figcaption>On (.*?): Time", text) == ["Test CPU", "Other CPU"]
    (alone, *_) = method_pages(parts[0], tmp_path / "out", tmp_path / PAGE)
    assert "Test CPU" not in alone.read_text(encoding="utf-8")


def test_imported_benchmarks_are_those_whose_name_has_that_of_the_method(tmp_path: Path) -> None:
    file = benchmarked(
        tmp_path / "b.json", benchmark("test_forward[nlsn-24x24]", 0.5, 0.25), benchmark("test_forward[nln]", 1.0)
    )
    store, run_id = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC, EDSR, NLSN), crops=0))
    imported = keep_benchmarks(store, read_benchmarks(file), "import")
    both = merged([load(store, run_id), load(store, imported)])
    texts = {path.name: path.read_text(encoding="utf-8") for path in method_pages(both, tmp_path, tmp_path / PAGE)}
    assert heads(texts["method-nlsn.html"], "Benchmarks") == ["test_forward[nlsn-24x24]"]
    assert "#benchmarks" not in texts["method-edsr.html"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("test_nln_forward", True),
        ("bench[NLN-24]", True),
        ("my net x2", True),
        ("nlnet", False),
        ("test_my", False),
        ("", False),
    ],
)
def test_a_method_is_named_by_a_whole_word(text: str, named: bool) -> None:
    assert mentions(text, ("nln", "My Net", "")) == named


def test_names_of_files_are_safe_and_distinct() -> None:
    names = ("nlsn", "a.b:C", "a.b:c", "../../etc/passwd", "A", "a", "x" * 300, "", "日本", "con\x00")
    files = [Method(name=name, title=name, labels=()).file for name in names]
    assert files[0] == "method-nlsn.html"
    assert len({file.lower() for file in files}) == len(names)
    assert all(re.fullmatch(r"method-[a-z0-9_-]{1,70}\.html", file) for file in files)


def test_hostile_names_do_no_harm(frames: Callable[..., Frames], tmp_path: Path) -> None:
    bad = [dataclasses.replace(NLSN, label=label, method=label) for label in HOSTILE]
    written = method_pages(frames(variants=(BICUBIC, NLN, *bad)), tmp_path / "out", tmp_path / PAGE)
    assert {path.parent for path in written} == {tmp_path / "out"}
    assert len(written) == 1 + len(bad) + 1
    for path in written:
        parsed = outline(path.read_text(encoding="utf-8"))
        assert [tag for tag, _ in parsed.tags].count("script") == 1
        assert not any(name.startswith("on") for _, held in parsed.tags for name in held)


def test_a_run_of_the_baseline_alone_has_an_index(frames: Callable[..., Frames], tmp_path: Path) -> None:
    (index,) = method_pages(frames(variants=(BICUBIC,)), tmp_path, tmp_path / PAGE)
    assert "no method but the baseline" in index.read_text(encoding="utf-8")


def test_the_command_writes_them(tmp_path: Path) -> None:
    make_store(tmp_path / "store.sqlite", Plan(variants=(BICUBIC, NLSN), crops=0))[0].close()
    done = CliRunner().invoke(run_all.app, ["report", "--out", str(tmp_path), "--methods"])
    assert done.exit_code == 0, done.output
    assert "index.html" in done.output
    assert (tmp_path / "methods" / "method-nlsn.html").is_file()
