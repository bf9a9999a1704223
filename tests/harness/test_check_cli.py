"""The verbs check, baseline and compare, as a build calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import here

GRID = """
name = "small"
tasks = "count"
[trunk]
n_feats = 8
n_resblocks = 1
[count]
measure = true
sizes = ["24x24", "48x48", "96x96"]
[[methods]]
name = "nln"
[[methods]]
name = "enlcn"
"""
CLAIM = """
[[claim]]
id = "linear"
statement = "It is linear."
source = "a paper"
origin = "published"
method = "enlcn"
settings = { n_feats = 8 }
quantity = "macs"
form = "exponent"
sizes = ["24x24", "48x48", "96x96"]
high = 1.1
verdict = "supported"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid, claims, and a baseline of what they cost."""
    found = tmp_path_factory.mktemp("check")
    (found / "grid.toml").write_text(GRID)
    (found / "claims.toml").write_text(CLAIM)
    done = here("baseline", "save", found / "baseline.txt", "--grid", found / "grid.toml", "--out", found / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 lines written" in done.stdout
    return found


def compare(folder: Path, *more: object) -> tuple[int, str]:
    done = here("compare", *more, "--grid", folder / "grid.toml", "--out", folder / "out")
    return done.returncode, done.stdout + done.stderr


def check(folder: Path, claims: Path) -> tuple[int, str]:
    done = here("check", "--grid", folder / "grid.toml", "--claims", claims, "--out", folder / "out")
    return done.returncode, done.stdout + done.stderr


def test_what_stands_passes_and_is_written_for_programs(folder: Path) -> None:
    code, said = check(folder, folder / "claims.toml")
    assert code == 0, said
    assert "1 supported, 0 contradicted, 0 undecided" in said
    (row,) = json.loads((folder / "out" / "claims.json").read_text())
    assert (row["verdict"], row["claim"]["id"]) == ("supported", "linear")
    assert '<testcase classname="claims.macs" name="linear"' in (folder / "out" / "claims.xml").read_text()


def test_a_claim_that_falls_fails_the_build(folder: Path, tmp_path: Path) -> None:
    claims = tmp_path / "claims.toml"
    claims.write_text(CLAIM.replace('method = "enlcn"', 'method = "nln"'))
    code, said = check(folder, claims)
    assert (code, "Fallen: linear" in said) == (1, True), said


def test_the_page_shows_verdicts_and_since_when(folder: Path) -> None:
    check(folder, folder / "claims.toml")
    assert here("report", "--out", folder / "out").returncode == 0
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    for text in ('<h2 id="claims">Claims</h2>', "It is linear.", "macs: exponent at most 1.1", "a paper (published)"):
        assert text in page


def test_a_baseline_is_shown_as_a_table(folder: Path) -> None:
    done = here("baseline", "show", folder / "baseline.txt")
    assert done.returncode == 0
    for text in ("enlcn", "peak", "96x96"):
        assert text in done.stdout


def test_present_costs_equal_the_baseline_made_of_them(folder: Path) -> None:
    code, said = compare(folder, folder / "baseline.txt", "--exact")
    assert (code, "24 exact figures compared: all equal." in said) == (0, True), said


def test_a_baseline_that_was_cheaper_fails_the_build_and_a_dearer_one_does_not(folder: Path, tmp_path: Path) -> None:
    text = (folder / "baseline.txt").read_text()
    line = next(line for line in text.splitlines() if "macs " in line)
    macs = line.partition("macs ")[2].split()[0]
    for other, code, word in ((int(macs) - 1, 1, "worse"), (int(macs) + 1, 0, "better")):
        file, told = tmp_path / f"{other}.txt", tmp_path / f"{other}.md"
        file.write_text(text.replace(line, line.replace(f"macs {macs}", f"macs {other}")))
        assert compare(folder, file, "--markdown", told)[0] == code
        assert f"23 equal, 1 {word}" in told.read_text().splitlines()[0]


def test_a_grid_may_allow_what_became_worse(folder: Path, tmp_path: Path) -> None:
    baseline = (folder / "baseline.txt").read_text()
    file, grid = tmp_path / "cheaper.txt", tmp_path / "grid.toml"
    line = next(line for line in baseline.splitlines() if line.startswith("nln") and "96x96" in line)
    macs = line.partition("macs ")[2].split()[0]
    file.write_text(baseline.replace(line, line.replace(f"macs {macs}", f"macs {int(0.99 * int(macs))}")))
    for method, code in (("nln", 0), ("enlcn", 1)):
        grid.write_text(f'{GRID}\n[[thresholds]]\nmetric = "macs"\nallow = 0.02\nmethod = "{method}"\nat = "96x96"\n')
        done = here("compare", file, "--grid", grid, "--out", folder / "out")
        assert done.returncode == code, done.stdout + done.stderr
        assert ("1 allowed" in done.stdout) is (code == 0)
    grid.write_text(f'{GRID}\n[[thresholds]]\nmetric = "macs"\nallow = 0.02\nmethod = "nlm"\n')
    done = here("compare", file, "--grid", grid, "--out", folder / "out")
    assert done.returncode == 2
    assert "thresholds.0.method: the grid has no 'nlm': did you mean 'nln'?" in done.stderr


def test_a_build_may_ask_that_nothing_differs(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "fewer.txt"
    file.write_text("\n".join((folder / "baseline.txt").read_text().splitlines()[:-1]))
    code, said = compare(folder, file, "--exact")
    assert (code, "4 new" in said) == (1, True), said


def test_two_runs_are_compared_by_their_ids_and_a_store_with_itself(folder: Path) -> None:
    from harness.store import Store

    store = Store(str(folder / "out" / "store.sqlite"))
    runs = list(store.frame("SELECT id FROM run")["id"])
    store.close()
    stored = folder / "out" / "store.sqlite"
    for sides in ((runs[0], runs[-1]), (stored, stored), (folder / "baseline.txt", stored)):
        code, said = compare(folder, *sides)
        assert (code, "all equal" in said) == (0, True), said


def test_mistakes_are_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("nothing")
    for arguments, told in (
        ((tmp_path / "none.txt",), "is no baseline"),
        ((tmp_path / "absent.txt",), "cannot read"),
        (("feedbeef",), "no run begins with"),
        ((tmp_path / "absent.sqlite",), "no store at"),
    ):
        code, said = compare(folder, *arguments)
        assert (code, told in said) == (2, True), said
    code, said = check(folder, tmp_path / "absent.toml")
    assert (code, "absent.toml" in said) == (2, True), said
