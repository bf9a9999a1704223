from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import machine


def test_a_machine_is_described_by_what_a_time_depends_on() -> None:
    described = machine.describe("cpu", threads=2)
    assert described["threads"] == 2
    assert described["device"] == "cpu"
    assert described["cores"] >= 1
    assert described["memory_bytes"] > 1e8
    assert machine.describe("cpu", threads=1) != described


def test_versions_name_python_and_torch() -> None:
    import torch

    versions = machine.versions()
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert versions["python"].count(".") == 2


def test_the_commit_is_marked_dirty_when_a_file_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.commit() == ("unknown", True)
    author = ["-c", "user.name=n", "-c", "user.email=e"]
    for arguments in (["init", "-q"], [*author, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    commit, dirty = machine.commit()
    assert len(commit) == 40
    assert not dirty
    (tmp_path / "new").touch()
    assert machine.commit() == (commit, True)


def test_auto_takes_a_gpu_only_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for available, picked in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert machine.pick_device("auto") == picked


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="no device 'cuda:7' here"):
        machine.pick_device("cuda:7")
