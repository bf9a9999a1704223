from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness.errors import UserError
from harness.store import Store
from reports.cost import cost_tables, costs
from reports.frames import Frames, load
from reports.harm import harms
from reports.merged import measured_on, merged
from reports.page import page_content, write_page
from reports.pairs import compared
from reports.provenance import provenance
from reports.quality import qualities
from reports.race import races
from reports.several import chosen, names_of
from reports.table_files import choose
from tests.reports import twins
from tests.reports.counted import counted_run
from tests.reports.races import frames_of
from tests.stores import BICUBIC, EDSR, MACHINE, NLN, NLSN, RUN, Plan, add_run, make_store, psnr_of

OTHER = {**MACHINE, "cpu": "Other CPU"}
BETTER = dataclasses.replace(NLSN, psnr=30.1)
Make = Callable[..., Frames]
NAMES = ("before", "after")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The frames of a plan in a store of its own."""
    made: list[Path] = []

    def make(machine: Any = MACHINE, **changes: Any) -> Frames:
        made.append(tmp_path / f"store-{len(made)}.db")
        store = Store(str(made[-1]))
        frames = load(store, add_run(store, Plan(**changes), machine))
        store.close()
        return frames

    return make


def test_labels_of_both_runs_are_told_apart_and_others_stay(make: Make) -> None:
    both = merged([make(variants=(BICUBIC, EDSR, NLSN)), make(variants=(BICUBIC, BETTER, NLN))], NAMES)
    assert both.labels == ("Bicubic", "EDSR", "NLSN (before)", "NLSN (after)", "NLN")


def test_every_score_is_that_of_its_own_run(make: Make) -> None:
    both = merged([make(variants=(BICUBIC, NLSN)), make(variants=(BICUBIC, BETTER))], NAMES)
    (quality,) = qualities(both)
    for label, variant in (("NLSN (before)", NLSN), ("NLSN (after)", BETTER)):
        truth = sum(psnr_of(variant, i) for i in range(3)) / 3
        assert quality.score(label, "psnr_y") == pytest.approx(truth)
    assert quality.ranking[0] == "NLSN (after)"
    assert quality.baseline == "Bicubic"
    assert quality.score("Bicubic", "images") == 3
    assert len(both.records[both.records["label"] == "Bicubic"]) == 9
    assert compared([quality])[0].best == "NLSN (after)"


def test_a_baseline_whose_scores_differ_is_not_shared(make: Make) -> None:
    worse = dataclasses.replace(BICUBIC, psnr=27.0)
    both = merged([make(variants=(BICUBIC, EDSR)), make(variants=(worse, NLSN))], NAMES)
    assert both.labels == ("Bicubic (before)", "EDSR", "Bicubic (after)", "NLSN")


def test_what_one_attempt_answers_for_both_runs_is_one_row(tmp_path: Path) -> None:
    store, first = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC, EDSR, NLSN)))
    second = add_run(store, Plan(variants=(BICUBIC, NLSN, NLN), sizes=("24x24", "72x72")), answer=False)
    both = merged([load(store, first), load(store, second)], NAMES)
    store.close()
    assert both.labels == ("Bicubic", "EDSR", "NLSN", "NLN")
    assert both.tasks["task_key"].is_unique
    sizes = both.tasks.loc[(both.tasks["label"] == "NLSN") & (both.tasks["kind"] == "profile"), "size"]
    assert len(sizes) == 5
    assert not both.records.duplicated(["label", "attempt_id", "metric", "image", "size", "step", "repeat"]).any()


def test_cells_tasks_and_positions_are_distinct(make: Make) -> None:
    both = merged([make(), make()], NAMES)
    assert both.tasks["position"].is_unique
    assert both.tasks["cell_id"].nunique() == 1 + 2 * 4
    assert both.tasks.groupby("task_key")["attempt_id"].nunique(dropna=False).max() == 1
    content = page_content(both)
    assert content["counts"]["done"] == len(both.tasks)
    assert "NLSN (before), " not in content["training"][0].alt
    assert {"NLSN (before)", "NLSN (after)"} <= set(both.records["label"])


def test_machines_stay_apart_and_tables_hold_their_own(make: Make) -> None:
    both = merged([make(variants=(EDSR, NLN)), make(machine=OTHER, variants=(NLSN,))], NAMES)
    here, there = costs(both)
    assert (here.labels, there.labels) == (("EDSR", "NLN"), ("NLSN",))
    rows = [[row.head for row in cost_tables(measured_on(both, c.machine), c)[0].rows] for c in (here, there)]
    assert rows == [["EDSR", "NLN"], ["NLSN"]]
    titles = [part["title"] for part in page_content(both)["cost"]]
    assert [title.rpartition(" on ")[2] for title in titles] == ["Test CPU", "Other CPU"]


def test_races_of_two_runs_never_meet(tmp_path: Path) -> None:
    alone = [frames_of(tmp_path, seed=seed) for seed in (0, 1)]
    both = merged(alone, NAMES)
    found = races(both)
    assert len(found) == 2
    for race, frames in zip(found, alone, strict=True):
        (own,) = races(frames)
        for (label, size), samples in own.samples.items():
            called = label if label not in {"NLN plain", "NLSN"} else f"{label} ({NAMES[alone.index(frames)]})"
            assert race.samples[called, size].tolist() == samples.tolist()
    titles = [part["title"] for part in page_content(both)["race"]]
    assert [title.rpartition(" on ")[2] for title in titles] == ["Test CPU (before)", "Test CPU (after)"]


def test_one_race_beside_scores_keeps_its_names(make: Make, tmp_path: Path) -> None:
    both = merged([make(variants=(BICUBIC, NLSN)), frames_of(tmp_path)], NAMES)
    (race,) = races(both)
    assert "NLSN" in race.labels
    assert "session" not in both.protocols[race.comparable]


def test_counts_of_two_runs_never_meet(tmp_path: Path) -> None:
    frames = []
    for name, factor in (("a", 1.0), ("b", 2.0)):
        store = Store(str(tmp_path / f"{name}.db"))
        frames.append(load(store, counted_run(store, {"nlsn": lambda n, factor=factor: factor * n})))
        store.close()
    found = races(merged(frames, NAMES))
    assert [race.counted["counted_macs", race.labels[0], "24x24"] for race in found] == [576.0, 1152.0]


def test_each_network_is_held_against_the_twin_of_its_own_run(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in NAMES]
    for folder in folders:
        folder.mkdir()
    both = merged([twins.frames_of(folder) for folder in folders], NAMES)
    (harm,) = harms(both)
    assert len(harm.twins) > 2
    for label, twin in harm.twins.items():
        assert label.rpartition(" (")[2] == twin.rpartition(" (")[2]


def test_provenance_shows_each_run(make: Make, tmp_path: Path) -> None:
    both = merged([make(variants=(EDSR,)), make(machine=OTHER, variants=(NLN,))], NAMES)
    told = provenance(both)
    assert [origin.name for origin in told.origins] == list(NAMES)
    assert [dict(origin.machine)["cpu"] for origin in told.origins] == ["Test CPU", "Other CPU"]
    assert told.earlier == ()
    text = write_page(both, tmp_path / "page.html").path.read_text(encoding="utf-8")
    for run in both.run["runs"]:
        assert text.count(f"Run {run['id'][:12]}") == 1
        assert f"{run['name']}: run {run['id'][:12]}" in text
    assert text.count("run_all.py run synthetic") == 2


def test_figures_of_an_earlier_run_tell_the_versions_that_are_others_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = make_store(tmp_path / "s.db", Plan(variants=(EDSR,)))
    monkeypatch.setitem(RUN, "versions", str(RUN["versions"]).replace("2.11.0", "9.9.9"))
    add_run(store, Plan(variants=(EDSR,)), answer=False)
    (source,) = provenance(load(store)).earlier
    assert dict(source.versions) == {"torch": "2.11.0"}
    text = write_page(load(store), tmp_path / "page.html").path.read_text(encoding="utf-8")
    assert "With other versions:" in text


def test_one_run_is_itself(make: Make) -> None:
    alone = make(variants=(EDSR,))
    assert merged([alone]) is alone


def test_names_are_the_plainest_that_tell_runs_apart(make: Make) -> None:
    first, second = make(variants=(EDSR,)), make(variants=(EDSR,), machine=OTHER)
    assert names_of([first, second]) == ("Test CPU", "Other CPU")
    grid = dataclasses.replace(second, run={**second.run, "grid_name": "other\n grid"})
    assert names_of([first, grid]) == ("synthetic", "other grid")
    ids = [dataclasses.replace(first, run={**first.run, "id": run_id}) for run_id in ("abcdef1", "abcdef2")]
    assert names_of(ids) == ("run abcdef1", "run abcdef2")


@pytest.mark.parametrize(
    ("names", "told"), [(("a",), "1 names for 2 runs"), (("a", "a"), "tell the runs apart"), (("a", " "), "tell")]
)
def test_names_that_do_not_fit_are_refused(make: Make, names: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        merged([make(variants=(EDSR,)), make(variants=(EDSR,))], names)


def test_a_run_given_twice_is_refused(make: Make) -> None:
    alone = make(variants=(EDSR,))
    with pytest.raises(UserError, match="asked for twice"):
        merged([alone, alone])


def test_stores_are_found_by_file_folder_and_run(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    store, first = make_store(folder / "store.sqlite", Plan(variants=(EDSR,)))
    second = add_run(store, Plan(variants=(EDSR,)))
    asked = [str(folder), str(folder / "store.sqlite"), f"{folder}#{first[:6]}"]
    assert [frames.run["id"] for frames in chosen(store, [first], asked)] == [first, second, second, first]
    store.close()
    with pytest.raises(UserError, match="no store at"):
        chosen(None, [], [str(tmp_path / "nowhere.db")])
    assert not (tmp_path / "nowhere.db").exists()


@pytest.fixture
def stores(tmp_path: Path) -> list[str]:
    """Options that name a run each of two stores, and call them before and after."""
    for name, variant in (("one", NLSN), ("two", BETTER)):
        (tmp_path / name).mkdir()
        make_store(tmp_path / name / "store.sqlite", Plan(variants=(BICUBIC, variant), crops=0))[0].close()
    return ["--out", str(tmp_path / "one"), "--with", str(tmp_path / "two"), "--name", "<b>", "--name", "after"]


def test_the_command_puts_runs_side_by_side(stores: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(run_all.app, ["report", *stores])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert "NLSN (&lt;b&gt;)" in text
    assert "<b>)" not in text


def test_tables_and_figures_of_several_runs_are_those_of_their_page(stores: list[str], tmp_path: Path) -> None:
    table, figure = tmp_path / "quality.csv", tmp_path / "growth.svg"
    for words in (["table", "quality", "--to", str(table)], ["figure", "growth-macs-x2", "--to", str(figure)]):
        done = CliRunner().invoke(run_all.app, [*words, *stores])
        assert done.exit_code == 0, done.output
    assert {"NLSN (<b>)", "NLSN (after)"} < set(pd.read_csv(table)["Method"])
    told = figure.read_text(encoding="utf-8")
    assert "NLSN (&lt;b&gt;): n" in told
    assert re.search(
        r"nlbench: &lt;b&gt;: synthetic, run \w{12}, started [\d-]+, .*; after: synthetic, run \w{12}", told
    )


def test_other_stores_need_none_of_our_own(stores: list[str], tmp_path: Path) -> None:
    asked = ["--out", str(tmp_path / "nowhere"), *stores[2:4]]
    for words, told in ((["table", "quality"], "NLSN"), (["figure"], "growth-macs-x2")):
        done = CliRunner().invoke(run_all.app, [*words, *asked])
        assert done.exit_code == 0, done.output
        assert told in done.output


@pytest.mark.parametrize("words", [["report"], ["table"], ["figure"]], ids=str)
def test_every_verb_refuses_names_that_do_not_fit(words: list[str], stores: list[str]) -> None:
    done = CliRunner().invoke(run_all.app, [*words, *stores, "--name", "third"])
    assert isinstance(done.exception, UserError)
    assert "3 names for 2 runs" in str(done.exception)


def test_a_table_that_several_runs_lack_is_told_with_all_of_them(make: Make) -> None:
    both = merged([make(variants=(EDSR,)), make(variants=(NLN,))], NAMES)
    first, second = (run["id"][:8] for run in both.run["runs"])
    with pytest.raises(UserError, match=f"no table 'harm' in runs {first}, {second}: "):
        choose(both, ["harm"])


@pytest.mark.parametrize(
    "changes", [{"variants": ()}, {"unfinished": 25}, {"sets": {}}, {"sizes": (), "crops": 0}], ids=str
)
def test_odd_runs_merge(make: Make, changes: dict[str, Any], tmp_path: Path) -> None:
    both = merged([make(**changes), make(variants=(BICUBIC, NLSN))], NAMES)
    assert write_page(both, tmp_path / "page.html").path.stat().st_size > 1000
