import dataclasses
import html
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.records import Status
from harness.store import Store
from reports.page import Summary, write_report
from reports.tables import TIMES
from tests.stores import BICUBIC, EDSR, NLN, NLSN, SETS, VARIANTS, Plan, add_run, make_store

MakePage = Callable[..., tuple[str, Summary]]
Attributes = list[tuple[str, str | None]]

ROOT = Path(__file__).parents[2]
HOSTILE = ("<script>alert(1)</script>", "\"quoted' & $x^{2$", "_hidden", "日本語 n̈ \u202e", "a\nb\x00c", "x" * 200)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> MakePage:
    """Text and summary of the page of a plan; tests that ask for the same plan share them."""
    made: dict[str, tuple[str, Summary]] = {}

    def make(plan: Plan | None = None) -> tuple[str, Summary]:
        if repr(plan) not in made:
            folder = tmp_path_factory.mktemp("page")
            store, run_id = make_store(folder / "store.db", plan)
            summary = write_report(store, run_id, folder / "out" / "report.html")
            store.close()
            made[repr(plan)] = summary.path.read_text(encoding="utf-8"), summary
        return made[repr(plan)]

    return make


class Outline(HTMLParser):
    """Headings, identifiers, local links, open tags."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        held = {name: value or "" for name, value in attrs}
        self.tags.append((tag, held))
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if "id" in held:
            self.ids.append(held["id"])
        if tag == "a":
            self.links.append(held["href"])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_its_outline_has_no_gaps(page: MakePage) -> None:
    parsed = outline(page(Plan(sets=SETS, seeds=(0, 1)))[0])
    assert parsed.levels[0] == 1
    assert parsed.levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(parsed.levels, parsed.levels[1:], strict=False))
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link[1:] for link in parsed.links} <= set(parsed.ids)


def test_tables_have_captions_and_scopes_and_pictures_have_words(page: MakePage) -> None:
    parsed = outline(page()[0])
    tags = [tag for tag, _ in parsed.tags]
    assert tags.count("table") == tags.count("caption") > 3
    assert all("scope" in held for tag, held in parsed.tags if tag == "th")
    assert all(held.get("alt") for tag, held in parsed.tags if tag == "img")
    assert all(held.get("aria-label") for tag, held in parsed.tags if tag == "svg")


def test_the_page_names_nothing_outside_itself(page: MakePage) -> None:
    parsed = outline(page()[0])
    for tag, held in parsed.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert held.get(name, "#").startswith(("#", "data:")), (tag, held)


def test_the_script_is_the_only_one_that_the_policy_admits(page: MakePage) -> None:
    text = page()[0]
    assert text.count("<script") == 1
    assert re.search(r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-[^']+'", text)


def test_the_summary_tells_path_findings_and_failures(page: MakePage) -> None:
    fails = {("NLN", "profile", "192x192"): (Status.OUT_OF_MEMORY, "5.4 GB")}
    text, summary = page(Plan(fails=fails, unfinished=1))
    assert len(summary.findings) == 3
    assert summary.failures == (
        f"NLN {TIMES}2 seed 0: profile 192x192, fp32: out of memory: 5.4 GB",
        "1 of 25 tasks not run yet",
    )
    assert "5.4 GB" in text
    assert "Tasks not run yet" in text
    assert html.escape(summary.findings[0]) in text


def test_growth_crossovers_and_shares_stand_in_the_page(page: MakePage) -> None:
    text, _ = page()
    for said in (
        "Local exponents and regime changes",
        "Size n = h · w from which attention is cheaper than dense attention",
        "always cheaper (from 576)",
        "Attention&#39;s share of the forward time",
        "How many times as fast if attention took no time",
        "Cheaper than dense attention from here on",
        "NLSN is cheaper than plain dense attention from n = 15",
        "Samples of one process scatter less",
    ):
        assert said in text, said


def test_failures_of_every_kind_stand_in_the_page(page: MakePage) -> None:
    fails = {
        ("EDSR", "train"): (Status.DIVERGED, "loss is not finite at step 7"),
        ("NLSN", "evaluate"): (Status.ERROR, "no image boat"),
        ("NLN", "profile", "96x96"): (Status.TIMEOUT, "took 61 s"),
        ("NLN", "profile", "192x192"): (Status.SKIPPED, "a smaller size failed"),
    }
    text, summary = page(Plan(fails=fails))
    for _, reason in fails.values():
        assert reason in text
        assert any(reason in line for line in summary.failures)


def test_hostile_names_do_no_harm(page: MakePage) -> None:
    variants = [dataclasses.replace(base, label=label) for base, label in zip((*VARIANTS, NLSN), HOSTILE, strict=True)]
    sets = {'"><img src=x onerror=alert(1)>': ("{{7*7}}", "<b>boat</b>", "a' onload='x")}
    fails = {(HOSTILE[0], "profile"): (Status.ERROR, "<script>alert(2)</script>")}
    text, _ = page(Plan(variants=[*variants, dataclasses.replace(NLSN, label=HOSTILE[0])], sets=sets, fails=fails))
    parsed = outline(text)
    assert [tag for tag, _ in parsed.tags].count("script") == 1
    assert not any(name.startswith("on") for _, held in parsed.tags for name in held)
    assert all(held["src"].startswith("data:image/png;base64,") for tag, held in parsed.tags if tag == "img")
    assert "&lt;script&gt;alert(2)" in text
    assert "{{7*7}}" in text
    assert "\x00" not in text


@pytest.mark.parametrize(
    "changes",
    [
        {"variants": ()},
        {"variants": (BICUBIC,)},
        {"variants": (EDSR,)},
        {"variants": (NLN,), "sizes": ("48x48",)},
        {"unfinished": 24},
        {"unfinished": 25},
        {"sets": {}},
        {"sizes": (), "crops": 0},
        {"steps": 1},
        {"fails": {(v.label, k): (Status.ERROR, "x") for v in VARIANTS for k in ("train", "evaluate", "profile")}},
        {"scales": (2, 3), "seeds": (0, 1), "tilings": ("whole", "chop"), "hash_seeds": (0, 1)},
    ],
    ids=str,
)
def test_odd_runs_render(page: MakePage, changes: dict[str, Any]) -> None:
    assert outline(page(Plan(**changes))[0]).levels.count(1) == 1


def test_a_run_that_others_answered_names_them(tmp_path: Path) -> None:
    plan = Plan(variants=(BICUBIC, EDSR))
    store, first = make_store(tmp_path / "s.db", plan)
    add_run(store, plan, machine={"cpu": "another"}, answer=False)
    text = write_report(store, None, tmp_path / "r.html").path.read_text(encoding="utf-8")
    assert f"Run {first[:12]}: " in text
    assert "Test CPU" in text


def test_provenance_tells_how_to_get_the_figures_again(page: MakePage) -> None:
    text, _ = page()
    for said in (
        "0123456789abcdef0123456789abcdef01234567",
        "run_all.py run synthetic",
        "uncommitted changes",
        "Test CPU",
    ):
        assert said in text
    assert html.escape('methods = ["nlsn", "nln"]', quote=True).replace("&quot;", "&#34;") in text
    assert "8.59 GB" in text


def test_the_page_is_the_same_twice(tmp_path: Path) -> None:
    store, run_id = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC, NLSN)))
    pages = [write_report(store, run_id, tmp_path / name).path.read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_a_page_that_cannot_be_made_leaves_the_old_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run_id = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC,)))
    path = tmp_path / "out" / "r.html"
    write_report(store, run_id, path)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(UserError, match=r"cannot write .*: disk full"):
        write_report(store, run_id, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["r.html"]


def test_a_page_of_500_cells_stays_small(tmp_path: Path) -> None:
    variants = [dataclasses.replace(v, label=f"{v.label} {i}") for i in range(20) for v in VARIANTS]
    store = Store(str(tmp_path / "s.db"))
    run_id = add_run(store, Plan(variants=variants, seeds=range(5), sizes=("24x24", "96x96"), steps=20, crops=0))
    page = write_report(store, run_id, tmp_path / "r.html").path
    assert page.stat().st_size < 25e6
    text = page.read_text(encoding="utf-8")
    assert all(variant.label in text for variant in variants)


def test_reports_never_reach_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tests.stores import make_store; from reports.page import write_report;"
        f"d = pathlib.Path({str(tmp_path)!r}); write_report(*make_store(d / 's.db'), d / 'r.html');"
        "print([m for m in ('torch', 'methods', 'fvcore', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
    assert (tmp_path / "r.html").is_file()
