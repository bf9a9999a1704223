from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import UserError
from harness.options import Form
from harness.store import Store
from reports.export import FORMS, export, form_of
from tests.stores import Plan, add_run, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened, _ = make_store(tmp_path_factory.mktemp("export") / "store.sqlite", Plan(sizes=("24x24", "48x48")))
    yield opened
    opened.close()


def test_trackers_are_told_of_figures(store: Store, tmp_path: Path) -> None:
    told = export(store, tmp_path / "figures.json", "bencher")
    content = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert told == f"{sum(map(len, content.values())):,} figures written to {tmp_path / 'figures.json'}"


def test_raw_records_are_of_all_runs_unless_one_is_named(tmp_path: Path) -> None:
    small = Plan(sizes=("24x24",))
    held, first = make_store(tmp_path / "store.db", small)
    second = add_run(held, Plan(sizes=("48x48",)))
    everything = held.measurements()
    for name, read in (("raw.csv", pd.read_csv), ("raw.parquet", pd.read_parquet)):
        told = export(held, tmp_path / name, form_of(Path(name)))
        assert told == f"{len(everything):,} records written to {tmp_path / name}"
        assert list(read(tmp_path / name)["value"]) == pytest.approx(list(everything["value"]))
        export(held, tmp_path / name, form_of(Path(name)), [first[:8]])
        assert len(read(tmp_path / name)) == len(held.measurements(first)) < len(everything)
        export(held, tmp_path / name, form_of(Path(name)), [first, second])
        assert len(read(tmp_path / name)) == len(held.measurements(first)) + len(held.measurements(second))
    held.close()


@pytest.mark.parametrize(
    ("file", "form", "told"),
    [
        ("a.csv", None, "csv"),
        ("a.parquet", None, "parquet"),
        ("a.sqlite", None, "sqlite"),
        ("a", "csv", "csv"),
        ("a.json", "bencher", "bencher"),
    ],
)
def test_the_form_is_that_asked_for_or_that_of_the_name(file: str, form: str | None, told: str) -> None:
    assert form_of(Path(file), form) == told


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("a.json", "give --format bencher, smaller-is-better or bigger-is-better"),
        ("a.txt", "cannot tell the format of a.txt"),
        ("a.parqet", "did you mean '.parquet'"),
        ("a", "Allowed: .csv, .parquet, .sqlite"),
        ("a.tex", "tables are written by another verb: run_all.py table --to a.tex"),
        ("a.md", "tables are written by another verb"),
    ],
)
def test_a_name_that_tells_no_form_is_told(file: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        form_of(Path(file))


def test_the_command_line_offers_every_form() -> None:
    assert tuple(Form) == FORMS


def test_a_store_is_of_all_runs_unless_some_are_named(tmp_path: Path) -> None:
    held, first = make_store(tmp_path / "store.db", Plan(sizes=("24x24",)))
    second = add_run(held, Plan(sizes=("48x48",), scales=(3,)))
    for name, runs, told in (("all", (), "2 runs, "), ("one", [first[:8]], "1 run, ")):
        assert export(held, tmp_path / name, "sqlite", runs).startswith(told)
    for name, held_runs in (("all", {first, second}), ("one", {first})):
        small = Store(str(tmp_path / name))
        assert set(small.frame("SELECT id FROM run")["id"]) == held_runs
        assert small.frame("SELECT * FROM artifact").empty
        small.close()
    held.close()


def test_a_store_of_nothing_and_figures_of_several_runs_are_refused(tmp_path: Path) -> None:
    empty = Store(str(tmp_path / "store.db"))
    with pytest.raises(UserError, match="holds no run yet"):
        export(empty, tmp_path / "small.sqlite", "sqlite")
    runs = [add_run(empty, Plan(sizes=("24x24",))) for _ in range(2)]
    with pytest.raises(UserError, match="figures for bencher are those of one run"):
        export(empty, tmp_path / "all.json", "bencher", runs)
    assert not list(tmp_path.glob("*.json")) + list(tmp_path.glob("small*"))
    empty.close()


def test_a_run_without_figures_has_nothing_to_export_and_leaves_the_file_alone(tmp_path: Path) -> None:
    held, _ = make_store(tmp_path / "store.db", Plan(variants=()))
    (tmp_path / "all.json").write_text("before", encoding="utf-8")
    with pytest.raises(UserError, match="has no figure for bencher"):
        export(held, tmp_path / "all.json", "bencher")
    assert (tmp_path / "all.json").read_text(encoding="utf-8") == "before"
    held.close()
