"""A run is replayed from its store alone, and what is not as it was is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import run_all
from datasets.sets import read_image
from harness import plan, resolve
from harness.records import Outcome, Status, Task
from harness.store import Store, Wanted
from tests.stores import RUN
from tests.studies import Study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Study:
    return Study(tmp_path_factory.mktemp("study"), image_folder)


Replay = Callable[..., tuple[int, Any]]


@pytest.fixture
def replay(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """Replays in an empty folder; gives the exit code with what was found, or with the message."""
    monkeypatch.chdir(tmp_path)
    plan.image_set.cache_clear()

    def call(asked: str, store: Path = study.store, *more: str) -> tuple[int, Any]:
        done = CliRunner().invoke(run_all.app, ["replay", asked, "--store", str(store), "--json", *more])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return 2, str(done.exception)
        return done.exit_code, json.loads(done.stdout)

    yield call
    plan.image_set.cache_clear()


def words(found: Any) -> set[str]:
    return {figure["word"] for attempt in found["attempts"] for figure in attempt["figures"]}


def test_a_run_is_replayed_from_its_store_alone_bit_for_bit(study: Study, replay: Replay, tmp_path: Path) -> None:
    before = Store(str(study.store)).measurements()
    code, found = replay(study.attempts["run_id"][0])
    assert (code, found["same"]) == (0, True)
    assert [each["changes"] for each in found["attempts"]] == [[]] * len(found["attempts"])
    kinds = {"train", "evaluate", "harm", "attention", "profile", "count", "race"}
    assert {each["was"]["task"].split()[0] for each in found["attempts"]} == kinds
    figures = pd.DataFrame([figure for attempt in found["attempts"] for figure in attempt["figures"]])
    assert set(figures[figures["rule"] != "measured"]["word"]) == {"equal"}
    allowed = {"within noise", "beyond noise", "not judged", "new"}
    assert set(figures[figures["rule"] == "measured"]["word"]) <= allowed
    assert {"weights", "pictures", "psnr_y", "train_loss", "macs", "counted_macs"} <= set(figures["metric"])
    raced = figures[figures["metric"] == "race_s"]
    assert len(raced) == 6
    assert set(raced["word"]) <= {"within noise", "beyond noise"}
    assert Store(str(study.store)).measurements().equals(before)
    assert [file.name for file in study.folder.iterdir() if file.is_dir()] == ["images"]
    assert Path(found["folder"]).resolve().is_relative_to(tmp_path)


def test_an_attempt_is_told_and_set_beside_itself(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    asked = study.id("evaluate", "bicubic")
    for folder in (asked[:12], f"{asked[:12]}-2"):
        done = CliRunner().invoke(run_all.app, ["replay", asked[:16], "--store", str(study.store)])
        assert done.exit_code == 0, done.output
        assert f"attempt: {asked}" in done.stdout
        assert "machine: " in done.stdout
        assert "command: " in done.stdout
        assert "Same: 8 figures, 8 equal." in done.stdout
        assert (tmp_path / "out" / "replay" / folder / "store.sqlite").is_file()


def test_weights_that_several_share_are_trained_by_the_one_that_did_then(study: Study, replay: Replay) -> None:
    code, found = replay(study.id("evaluate", "nlsn", '"backend": "fused"'))
    assert code == 0
    (attempt,) = found["attempts"]
    assert next(f for f in attempt["figures"] if f["metric"] == "weights")["word"] == "equal"
    assert "Its training is done again, which took" in attempt["remarks"][0]


@pytest.mark.fault(
    area="Reproducibility",
    what="a figure in the store is not the one that was measured",
    how="a score is changed in the database, then its attempt is replayed",
    kept="the two stand side by side as different, exit code 1",
)
def test_a_figure_that_was_changed_is_different(study: Study, replay: Replay, tmp_path: Path) -> None:
    asked = study.id("evaluate", "bicubic")
    change = "UPDATE record SET value = value + 1e-9 WHERE metric = 'ssim_y'"
    code, found = replay(asked, study.copy(tmp_path, change))
    assert code == 1
    assert {f["metric"]: f["word"] for f in found["attempts"][0]["figures"]}["ssim_y"] == "different"


@pytest.mark.fault(
    area="Reproducibility",
    what="images changed since a run",
    how="a pixel of an image is changed, then an attempt on it is replayed",
    kept="nothing is run; both hashes of the images are told, exit code 2",
)
def test_other_images_are_no_replay(study: Study, replay: Replay) -> None:
    file = study.images / "coffee.png"
    held = file.read_bytes()
    changed = read_image(file).copy()
    changed[0, 0] ^= 1
    try:
        Image.fromarray(changed).save(file)
        for asked in (study.id("evaluate", "bicubic"), study.id("train", "edsr")):
            code, found = replay(asked)
            assert code == 2
            assert "images of images are not those of then: SHA-256" in found["attempts"][0]["refusal"]
            assert found["folder"] is None
    finally:
        file.write_bytes(held)


@pytest.mark.fault(
    area="Reproducibility",
    what="images are gone since a run",
    how="their folder is renamed, then an attempt on them is replayed",
    kept="nothing is run; the folder that is missing is told, exit code 2",
)
def test_images_that_are_gone_are_told(study: Study, replay: Replay) -> None:
    away = study.images.rename(study.folder / "away")
    try:
        code, found = replay(study.id("evaluate", "bicubic"))
    finally:
        away.rename(study.images)
    assert code == 2
    assert str(study.images) in found["attempts"][0]["refusal"]


@pytest.mark.fault(
    area="Reproducibility",
    what="a weights file was replaced or removed since a run",
    how="another network's weights are put in its place, then it is deleted, and its score is replayed each time",
    kept="nothing is run; the hash of then is told, exit code 2; attempts that do not take it are replayed",
)
def test_other_weights_are_no_replay(study: Study, replay: Replay) -> None:
    held = study.weights.read_bytes()
    other = {name: 2 * tensor for name, tensor in load_file(study.weights).items()}
    asked = study.id("evaluate", "edsr", f'"weights": "{plan_hash(study)}"')
    try:
        save_file(other, study.weights)
        code, found = replay(asked)
        assert code == 2
        assert "given.safetensors holds other weights than then: SHA-256" in found["attempts"][0]["refusal"]
        study.weights.unlink()
        code, found = replay(asked)
        assert code == 2
        assert f"no weights file at {study.weights}" in found["attempts"][0]["refusal"]
        assert plan_hash(study) in found["attempts"][0]["refusal"]
        assert replay(study.id("evaluate", "bicubic"))[0] == 0
    finally:
        study.weights.write_bytes(held)


def plan_hash(study: Study) -> str:
    """The hash of the given weights, as the store knows it."""
    specs = Store(str(study.store)).frame("SELECT spec FROM cell")["spec"].map(json.loads)
    return str(next(spec["weights"]["sha256"] for spec in specs if spec["weights"]))


@pytest.mark.fault(
    area="Reproducibility",
    what="code changed since a run",
    how="the versions of all code that a task's key holds are others when it is replayed",
    kept="it is replayed, with commits and how to get the code of then; what is still equal is told",
)
def test_other_code_is_told_and_replayed(study: Study, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (plan, resolve):
        monkeypatch.setattr(module, "code_version", lambda *_: "another")
    code, found = replay(study.id("attention", "nlsn"))
    assert code == 0
    (attempt,) = found["attempts"]
    assert len(attempt["changes"]) == 1
    assert attempt["changes"][0].startswith("code of attention, the network, train: commit ")
    assert words(found) == {"equal"}


@pytest.mark.fault(
    area="Reproducibility",
    what="a method is gone since a run",
    how="the run's grid in the store names a method that does not exist",
    kept="nothing is run; the nearest method is told, exit code 2",
)
def test_a_method_that_is_gone_is_told(study: Study, replay: Replay, tmp_path: Path) -> None:
    changed = study.copy(tmp_path, "UPDATE run SET grid = replace(grid, '\"nlsn\"', '\"nlsm\"')")
    code, found = replay(study.id("evaluate", "bicubic"), changed)
    assert code == 2
    assert "unknown method 'nlsm': did you mean 'nlsn'?" in found["attempts"][0]["refusal"]


@pytest.mark.fault(
    area="Reproducibility",
    what="an attempt that was done fails when it is replayed",
    how="the run's grid in the store gives a task no time",
    kept="done then and timeout now stand side by side, exit code 1",
)
def test_an_attempt_that_fails_now_is_different(study: Study, replay: Replay, tmp_path: Path) -> None:
    changed = study.copy(tmp_path, "UPDATE run SET grid = replace(grid, '600.0', '0.001')")
    code, found = replay(study.id("evaluate", "bicubic"), changed)
    assert code == 1
    assert found["attempts"][0]["told"] == "different: done then, timeout (not done after 0.001 s) now"


def test_what_the_present_code_knows_beyond_that_of_then_is_no_obstacle(
    study: Study, replay: Replay, tmp_path: Path
) -> None:
    changed = study.copy(
        tmp_path,
        "UPDATE cell SET id = 'old' || id, spec = json_remove(spec, '$.settings.k_size')",
        "UPDATE wanted SET cell_id = 'old' || cell_id, task_key = 'old' || task_key",
        "UPDATE attempt SET task_key = 'old' || task_key, spec = json_remove(spec, '$.channels_last')",
    )
    code, found = replay(study.id("profile", "nlsn"), changed)
    assert code == 0
    assert found["attempts"][0]["changes"] == ["what the task says of channels_last"]


def test_a_training_by_other_processes_is_told(study: Study, replay: Replay, tmp_path: Path) -> None:
    change = "UPDATE protocol SET spec = json_set(spec, '$.processes', 4) WHERE spec LIKE '%\"loss\"%'"
    code, found = replay(study.id("train", "nlsn"), study.copy(tmp_path, change))
    assert code == 0
    assert found["attempts"][0]["changes"] == ["processes of its training: 4 then, 1 now"]
    assert words(found) == {"equal", "not judged"}


def test_imported_times_are_not_replayed(replay: Replay, tmp_path: Path) -> None:
    task = Task(kind="benchmark", key="b", spec={})
    store = Store(str(tmp_path / "imported.sqlite"))
    run_id = store.begin_run(RUN, {}, [Wanted(cell="c", cell_spec={}, label="l", task=task)])
    store.write(run_id, Outcome(task=task, status=Status.DONE, seconds=1.0))
    code, found = replay(run_id, tmp_path / "imported.sqlite")
    assert (code, found) == (2, f"run {run_id} was imported from pytest-benchmark, which alone can measure it again")


def test_other_threads_are_told_and_allow_a_tolerance(study: Study, replay: Replay) -> None:
    code, found = replay(study.id("evaluate", "bicubic"), study.store, "--threads", "2")
    assert code == 0
    assert found["attempts"][0]["changes"] == ["threads: 1 then, 2 now"]
    assert {figure["tolerance"] for figure in found["attempts"][0]["figures"]} > {0.005, 5e-5}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("no-such-id", "no attempt and no run begins with 'no-such-id': did you mean "),
        ("", " ids begin with '': "),
    ],
)
def test_an_id_that_is_none_or_several_is_told(replay: Replay, asked: str, told: str) -> None:
    code, found = replay(asked)
    assert code == 2
    assert told in found


def test_an_id_with_a_slip_is_recognised(study: Study, replay: Replay) -> None:
    asked = study.id("evaluate", "bicubic")
    slip = asked[:5] + ("0" if asked[5] != "0" else "1") + asked[6:]
    assert f"did you mean attempt {asked} (evaluate)?" in replay(slip)[1]


def test_there_must_be_a_store_and_the_device_of_the_record(study: Study, replay: Replay, tmp_path: Path) -> None:
    assert replay("0", tmp_path / "none.sqlite") == (2, f"no store at {tmp_path / 'none.sqlite'}")
    assert not (tmp_path / "none.sqlite").exists()
    changed = study.copy(
        tmp_path, 'UPDATE machine SET description = replace(description, \'"device":"cpu"\', \'"device":"cuda:7"\')'
    )
    code, found = replay(study.id("evaluate", "bicubic"), changed)
    assert code == 2
    assert "--device cpu replays it here" in found
    assert not (tmp_path / "out").exists()
