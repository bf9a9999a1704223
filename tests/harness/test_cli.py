from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import run_all
from harness.errors import UserError
from harness.store import Store
from tests.commands import ROOT, command, here
from tests.conftest import WriteGrid

TINY = "tests.plugins:TINY"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Path:
    """The output folder of one finished run."""
    out = tmp_path_factory.mktemp("run")
    grid = out / "grid.toml"
    text = f'name = "cli"\n[train]\nsteps = 2\nbatch = 2\npatch = 8\ndata = "{image_folder}"\n'
    text += f'[evaluate]\ndata = "{image_folder}"\n[profile]\nsizes = "8x8"\nwarm_up_s = 0.0\nbudget_s = 0.01\n'
    grid.write_text(text + f'[[methods]]\nname = "bicubic"\n[[methods]]\nname = "{TINY}"\n')
    done = command("run", grid, "--out", out / "out", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Findings" in done.stdout
    assert f"Report: {out / 'out' / 'report.html'}" in done.stdout
    return out / "out"


def test_help_lists_every_verb_and_each_has_help_of_its_own() -> None:
    overview = command("--help")
    for verb in ("run", "plan", "report", "table", "figure", "export", "data", "load", "verify"):
        assert verb in overview.stdout
        own = command(verb, "--help")
        assert own.returncode == 0
        assert len(own.stdout.splitlines()) > 5


def test_help_needs_no_heavy_import() -> None:
    script = (
        "import sys; sys.argv = ['run_all.py', '--help']\nimport run_all\n"
        "try:\n    run_all.app()\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'torch', 'pandas', 'sqlalchemy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), 'too much was imported'"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_reading_a_store_needs_no_torch(finished: Path) -> None:
    script = (
        "import sys; from harness.store import Store; from reports.page import write_report; from pathlib import Path\n"
        f"write_report(Store({str(finished / 'store.sqlite')!r}), None, Path({str(finished / 'again.html')!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (finished / "again.html").stat().st_size > 1000


def test_our_datasets_is_ours() -> None:
    import datasets

    assert Path(datasets.__file__).is_relative_to(ROOT)


def test_a_plan_says_what_is_done_and_what_is_left_and_runs_nothing(finished: Path, write_grid: WriteGrid) -> None:
    before = (finished / "store.sqlite").read_bytes()
    path = write_grid("bicubic", TINY, sizes='["8x8", "16x16"]', steps=2, evaluate='tiling = ["whole", "chop"]')
    done = command("plan", path, "--out", finished)
    assert done.returncode == 0, done.stderr
    cells = [[part.strip() for part in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    assert [row[1] for row in cells] == ["Bicubic", "Tiny"]
    assert "2 cells, 6 tasks to do: about" in done.stdout.replace("\n", " ")
    assert "MB on" in done.stdout
    assert Store(str(finished / "store.sqlite")).frame("SELECT COUNT(*) AS n FROM run")["n"][0] == 1
    assert len(before) > 0


def test_a_plan_on_a_fresh_machine_leaves_no_trace(write_grid: WriteGrid, tmp_path: Path) -> None:
    done = command("plan", write_grid(TINY), "--out", tmp_path / "fresh")
    assert "1 cells, 4 tasks to do" in done.stdout
    assert not (tmp_path / "fresh").exists()


def test_a_second_run_of_the_same_grid_does_nothing(finished: Path) -> None:
    done = command("run", finished.parent / "grid.toml", "--out", finished)
    assert "5 of 5 tasks are in the store, 0 to do" in done.stdout
    assert done.returncode == 0


def test_an_export_holds_every_number_in_either_format(finished: Path, tmp_path: Path) -> None:
    records = Store(str(finished / "store.sqlite")).measurements()
    for name in ("all.csv", "all.parquet"):
        done = here("export", tmp_path / name, "--out", finished)
        assert done.returncode == 0, done.stderr
        assert f"{len(records):,} records written to" in done.stdout.replace("\n", " ")
    csv, parquet = pd.read_csv(tmp_path / "all.csv"), pd.read_parquet(tmp_path / "all.parquet")
    assert list(csv.columns) == list(parquet.columns)
    assert list(csv["value"]) == pytest.approx(list(records["value"]))
    assert list(parquet["value"]) == list(records["value"])
    of_run = here(
        "export",
        tmp_path / "run",
        "--format",
        "csv",
        "--run",
        Store(str(finished / "store.sqlite")).run_id()[:8],
        "--out",
        finished,
    )
    assert of_run.returncode == 0, of_run.stderr
    assert set(pd.read_csv(tmp_path / "run")["label"]) == {"Bicubic", "Tiny"}


def test_an_export_holds_figures_for_a_tracker(finished: Path, tmp_path: Path) -> None:
    done = here("export", tmp_path / "cost.json", "--format", "bencher", "--out", finished)
    assert done.returncode == 0, done.stderr
    assert "Tiny x2 / profile, fp32 / 8x8" in json.loads((tmp_path / "cost.json").read_text(encoding="utf-8"))


def test_tables_are_listed_printed_and_written(finished: Path, tmp_path: Path) -> None:
    listed = here("table", "--out", finished)
    assert [line.split()[0] for line in listed.stdout.splitlines() if "Cost at" in line] == ["cost"]
    shown = here("table", "cost", "--out", finished)
    assert "Tiny" in shown.stdout
    assert "Cost at ×2, input 8×8" in shown.stdout  # noqa: RUF001 - the sign that is printed
    done = here("table", "cost", "--out", finished, "--to", tmp_path / "cost.tex")
    assert done.returncode == 0, done.stderr
    assert "1 table written to" in done.stdout.replace("\n", " ")
    written = (tmp_path / "cost.tex").read_text(encoding="utf-8")
    assert "\\caption{Cost at $\\times$2, input 8$\\times$8" in written
    assert here("table", "cost", "--out", finished, "--format", "tex").stdout == written
    wrong = here("table", "costs", "--out", finished, "--to", tmp_path / "x.md")
    assert wrong.returncode == 2
    assert "did you mean 'cost'?" in wrong.stderr
    assert not (tmp_path / "x.md").exists()


def test_figures_are_listed_and_written(finished: Path, tmp_path: Path) -> None:
    listed = here("figure", "--out", finished)
    assert "training-x2" in listed.stdout
    done = here("figure", "training-x2", "--out", finished, "--to", tmp_path / "training.pdf", "--width", "text")
    assert done.returncode == 0, done.stderr
    assert "training-x2 written to" in done.stdout.replace("\n", " ")
    assert (tmp_path / "training.pdf").read_bytes().startswith(b"%PDF")
    nowhere = here("figure", "training-x2", "--out", finished)
    assert nowhere.returncode == 2
    assert "say where to write training-x2: --to FILE.pdf" in nowhere.stderr


def test_a_report_is_written_again_where_asked(finished: Path, tmp_path: Path) -> None:
    done = here("report", "--out", finished, "--page", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "nowhere.toml"], "no grid at nowhere.toml"),
        (["plan", "defualt"], "did you mean 'default'"),
        (["report", "--out", "nowhere"], "no store at nowhere/store.sqlite: run a grid first"),
        (["report", "--store", "nonsense://"], "cannot open the store nonsense://"),
        (["export", "file.xls"], "cannot tell the format of file.xls"),
        (["export", "file.json"], "give --format bencher"),
        (["export", "file.md"], "run_all.py table --to file.md"),
        (["table", "--to", "file.md"], "no store at out/store.sqlite"),
        (["table", "--to", "file.xls"], "cannot tell the format of file.xls"),
        (["figure", "--to", "{name}.pdf"], "no store at out/store.sqlite"),
        (["run", "small", "--device", "gpu0"], "gpu0"),
        (["run", "small", "--out", "/proc/nowhere"], "/proc/nowhere"),
        (["rnu"], "No such command"),
    ],
)
def test_a_mistake_ends_with_one_message_and_exit_code_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_mistake_leaves_no_traceback_and_exit_code_2(tmp_path: Path) -> None:
    done = command("run", "nowhere.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: no grid at nowhere.toml")
    assert "Traceback" not in done.stderr


def test_a_run_with_errors_says_so_and_exits_with_1(write_grid: WriteGrid, tmp_path: Path) -> None:
    done = command("run", write_grid("tests.plugins:RAISES"), "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "as it was told to" in done.stdout
    assert (tmp_path / "out" / "report.html").exists()


def test_every_dependency_of_the_project_has_a_tested_version_and_no_address_is_given() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {word.split(">")[0].split("[")[0].strip().lower() for word in wanted}
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in constraints.splitlines() if "==" in line}
    assert names - {"triton"} <= pinned, "a PyTorch for CUDA wants a Triton of its own"
    assert "://" not in constraints
    assert "@" not in constraints


@pytest.mark.parametrize("verb", [["report"], ["table"], ["figure"], ["export", "old.csv"], ["compare"]])
def test_a_store_that_is_misspelt_is_told_and_not_made(tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"x")
    (tmp_path / "old.csv").write_text("kept")
    asked = str(tmp_path / "stroe.sqlite")
    words = [word if word != "old.csv" else str(tmp_path / word) for word in verb]
    made = CliRunner().invoke(run_all.app, [*words, *(["--store", asked] if verb != ["compare"] else [asked, asked])])
    assert isinstance(made.exception, UserError)
    assert str(made.exception).startswith(f"no store at {asked}: did you mean 'store.sqlite'?")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["old.csv", "store.sqlite"]
    assert (tmp_path / "old.csv").read_text() == "kept"


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").touch()
    made = CliRunner().invoke(run_all.app, ["report", "--out", str(tmp_path)])
    assert str(made.exception).startswith(f"no store at {tmp_path / 'store.sqlite'}: run a grid first")
