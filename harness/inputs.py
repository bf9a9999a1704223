"""What went into an attempt then, and what goes in now: images, files of weights, code, machine, versions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness import machine
from harness.plan import PlannedCell
from harness.recorded import Recorded, Training
from harness.records import Task, canonical
from harness.store import read_json

_commit, _versions = functools.cache(machine.commit), functools.cache(machine.versions)
"""Asked for each attempt of a run, of which there may be thousands."""
PROCESSES = "processes"
"""What the protocol of a training calls the number of processes that shared it."""
SHOWN = 12
"""Digits of a hash that are told."""
Inputs = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""A kind of task, its specification then, and now."""


def old_code(then: Recorded) -> str:
    """How to have the code of then."""
    if then.dirty or then.commit_id == "unknown":
        return f"It ran on commit {then.commit}: the code of then is in no commit."
    return f"For the code of then: `git worktree add ../then {then.commit_id[:SHOWN]}`, and the same command there."


def inputs_of(
    then: Recorded, task: Task, trains: Iterable[tuple[PlannedCell, Task]], trained: Mapping[str, Training]
) -> Iterator[Inputs]:
    """The attempt's own, and those of the trainings of its weights."""
    yield then.kind, then.spec, read_json(canonical(task.spec))
    for was, (_, train) in zip(needed(then, trained), trains, strict=False):
        yield "train", was.spec, read_json(canonical(train.spec))


def needed(then: Recorded, trained: Mapping[str, Training]) -> list[Training]:
    """The trainings that the attempt took weights of: its own network's, and its twin's."""
    held = map(str, (then.spec.get("weights"), then.spec.get("twin", {}).get("weights")))
    return [trained[key] for key in held if key in trained]


def other_files(then: Recorded, cell: PlannedCell, task: Task) -> str:
    """Why the files of weights that the grid names are not those of then; nothing if they are."""
    pairs = [(then.cell_spec[name], cell.spec[name]) for name in ("weights", "start")]
    if cell.twin and cell.twin.weights and "twin" in task.spec:
        hashes = (then.spec["twin"]["weights"], task.spec["twin"]["weights"])
        pairs.append(({"file": cell.twin.weights.name, "sha256": hashes[0]}, {"sha256": hashes[1]}))
    for was, has in pairs:
        if was and has and was["sha256"] != has["sha256"]:
            return f"{was['file']} holds other weights than then: {_hashes(was['sha256'], has['sha256'])}"
    return ""


def files_of(then: Recorded) -> str:
    """The files of weights that the attempt took, to look for."""
    held = [each for each in (then.cell_spec["weights"], then.cell_spec["start"]) if each]
    return "".join(f". It took {each['file']} of SHA-256 {each['sha256']}" for each in held)


def other_images(inputs: Iterable[Inputs]) -> str:
    """Why the images are not those of then; nothing if they are."""
    for kind, was, has in inputs:
        if was.get("data") != has.get("data"):
            name = was["train"]["data"] if kind == "train" else was["dataset"]
            return f"the images of {name} are not those of then: {_hashes(was['data'], has['data'])}"
    return ""


def other_code(then: Recorded, task: Task, inputs: Iterable[Inputs]) -> list[str]:
    """What changed in the code that the attempt depends on."""
    if then.task_key == task.key:
        return []
    names = {name for _, was, has in inputs for name in was.keys() | has.keys() if was.get(name) != has.get(name)}
    code = sorted(name.removesuffix("_code") for name in names if name.endswith("code"))
    if not code:
        return [f"what the task says of {name}" for name in sorted(names - {"machine"})]
    told = ", ".join("the network" if name == "code" else name for name in code)
    commit, dirty = _commit()
    now = commit[:SHOWN] + (" with uncommitted changes" if dirty else "")
    return [f"code of {told}: commit {then.commit} then, {now} now. {old_code(then)}"]


def other_place(then: Recorded, trained: Mapping[str, Training], here: Mapping[str, Any]) -> Iterator[str]:
    """What changed in machine and versions, also since the trainings if those were made elsewhere."""
    yield from _place(then, here)
    for was in needed(then, trained):
        if (was.machine, was.versions) != (then.machine, then.versions):
            yield from (f"{each}, of its training" for each in _place(was, here))
        yield from _processes(was)
    if then.kind == "train":
        yield from _processes(then)


def _place(was: Recorded | Training, here: Mapping[str, Any]) -> Iterator[str]:
    for what, old, new in (("", was.machine, here), ("version of ", was.versions, _versions())):
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                yield f"{what}{name}: {old.get(name, 'none')} then, {new.get(name, 'none')} now"


def _processes(was: Recorded | Training) -> Iterator[str]:
    """A training is replayed by one process; several sum gradients in another order."""
    if (count := was.protocol.get(PROCESSES, 1)) != 1:
        yield f"processes of its training: {count} then, 1 now"


def remarks(then: Recorded, trained: Mapping[str, Training]) -> Iterator[str]:
    """What is worth knowing before it begins."""
    if held := needed(then, trained):
        yield f"Its training is done again, which took {sum(each.seconds for each in held):.1f} s then."


def _hashes(was: str, has: str) -> str:
    return f"SHA-256 {was[:SHOWN]} then, {has[:SHOWN]} now. Put those of then in their place"
