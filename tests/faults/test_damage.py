"""Files of the cache that are damaged: set aside and made again, and nothing wrong is ever computed with."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.cache import Cache, checkpoint_bytes, state_of, whole
from harness.place import Place
from harness.records import Task
from tests.conftest import WriteGrid
from tests.faults.runs import TINY, EveryStep, Hand, ends, go, values, weights

TASKS = 'tasks = ["train", "evaluate"]'


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    """One bit of the first weight."""
    content = bytearray(file.read_bytes())
    place = content.rindex(torch.load(file, weights_only=True)["network"]["conv.bias"].numpy().tobytes())
    content[place] ^= 1
    file.write_bytes(content)


def outdated(file: Path) -> None:
    """As another version wrote it."""
    state = torch.load(file, weights_only=True)
    torch.save({**state, "another": 1}, file)


def unchanged(_: Path) -> None:
    pass


def interrupted(path: Path, place: Place) -> None:
    """A run that Ctrl-C ends when its training has made a checkpoint."""

    def wait_and_interrupt(task: Task) -> None:
        while not place.cache.checkpoint(task.key).exists():
            time.sleep(0.001)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(path, place, Hand(at_start=wait_and_interrupt), EveryStep(place))


@pytest.mark.fault(
    area="Files that are damaged",
    what="A checkpoint is cut short, changed in one bit, or of another version of nlbench",
    how="the file is changed between an interrupted run and the next",
    kept="the checkpoint is set aside, which the log tells; the training begins anew and ends as if undisturbed",
)
def test_a_damaged_checkpoint_is_set_aside_and_the_training_begins_anew(
    write_grid: WriteGrid, place: Place, tmp_path: Path
) -> None:
    path = write_grid(TINY, top=TASKS, steps=60)
    interrupted(path, place)
    found = []
    for damage in (unchanged, cut, flip, outdated):
        there = Place.of(tmp_path / damage.__name__, device="cpu", threads=2)
        shutil.copytree(place.out, there.out)
        damage(next((there.cache.folder / "checkpoints").glob("*.pt")))
        assert ends(go(path, there)) == [("train", "done"), ("evaluate", "done")], damage.__name__
        found.append(values(there, "train_loss"))
        (log,) = there.logs.iterdir()
        assert ("cannot be used" in log.read_text(encoding="utf-8")) == (damage is not unchanged)
    assert all(each == found[0] for each in found)


def flip_last(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.fault(
    area="Files that are damaged",
    what="Trained weights are cut short, emptied, or changed in one bit",
    how="the file is changed between two runs, the second of which asks for one more score",
    kept="nothing is computed with them: a row with the reason; the run after it trains them again, equal bit for bit",
)
def test_damaged_weights_are_not_used_and_trained_again(write_grid: WriteGrid, place: Place) -> None:
    go(write_grid(TINY, top=TASKS), place)
    before = weights(place)
    for number, damage in enumerate((cut, empty, flip_last)):
        damage(next((place.cache.folder / "weights").glob("*.safetensors")))
        path = write_grid(TINY, top=TASKS, evaluate=f"hash_seeds = [{number + 1}]")
        (outcome,) = go(path, place)
        assert outcome.status == "error", damage.__name__
        assert "are set aside: the next run trains them again" in str(outcome.reason)
        assert ends(go(path, place)) == [("train", "done"), ("evaluate", "done")]
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights(place).items())


def test_a_file_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "weights" / "key.safetensors"
    (tmp_path / "weights").mkdir()
    with whole(file) as partial:
        partial.write_bytes(b"first")
    gone = partial.with_name(partial.name.replace(partial.suffixes[-2], ".999999999"))
    gone.write_bytes(b"left by a process that was killed")
    with pytest.raises(OSError, match="No space left"), whole(file) as partial, partial.open("wb") as stream:
        stream.writelines(_broken_off())
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == b"first"


def test_weights_of_an_earlier_version_are_used(tmp_path: Path) -> None:
    file = Cache(tmp_path).weights("key")
    file.parent.mkdir()
    save_file({"a": torch.arange(5.0)}, file)
    assert Cache(tmp_path).sound_weights("key") == file


@pytest.mark.parametrize("content", [print, [1, 2], {"step": 3}], ids=["code", "a list", "a state"])
def test_only_a_state_is_read_of_a_checkpoint_and_no_code_is_run(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "state.pt")
    held = checkpoint_bytes(tmp_path / "state.pt")
    assert held
    assert state_of(held) == (content if isinstance(content, dict) else {})


def test_a_checkpoint_that_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert checkpoint_bytes(tmp_path / "none.pt") == b""


def _broken_off() -> Iterator[bytes]:
    yield b"half"
    Path("/dev/full").write_bytes(b"the rest")
