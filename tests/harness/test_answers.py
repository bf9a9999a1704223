"""Answers of networks: asked for once where several tasks of a run want them, and again whenever that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import datasets
from datasets.resize import Image
from datasets.sets import Pair
from harness import answers
from harness.answers import Answers, Shelf, asked_by, folder, shared, shelves
from harness.place import Place
from harness.plan import PlannedCell
from harness.records import Status, Task
from harness.run import prepare
from tests.conftest import WriteGrid
from tests.engines import Hearer, go

SPEC = {"tiling": "whole", "precision": "fp32", "self_ensemble": False, "hash_seed": 0}
NETWORKS = "settings = { chunk_size = 4 }\n[trunk]\nn_feats = 8\nn_resblocks = 1\n"


class _Counting(nn.Module):
    """Enlarges, by another shade at each call; it may draw a random number, and not use it."""

    def __init__(self, *, draws: bool = False) -> None:
        super().__init__()
        self.calls, self.draws = 0, draws

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.draws:
            torch.rand(1)
        return nn.functional.interpolate(x, scale_factor=2) / (1 + self.calls)


@pytest.fixture
def pair(image_folder: Path) -> Pair:
    return next(iter(datasets.load(str(image_folder), 2)))


def test_an_answer_that_is_kept_is_not_asked_for_again(pair: Pair, tmp_path: Path) -> None:
    network, shelf = _Counting(), Shelf(tmp_path / "kept", drawn=False)
    first = Answers(network, SPEC, "cpu", shelf).to(pair, 2)
    for seed in (0, 1):  # it draws nothing, so its answer serves every seed
        np.testing.assert_array_equal(Answers(network, SPEC | {"hash_seed": seed}, "cpu", shelf).to(pair, 2), first)
    assert network.calls == 1
    assert not np.array_equal(Answers(network, SPEC, "cpu").to(pair, 2), first)


def test_an_answer_with_draws_serves_its_own_seed(pair: Pair, tmp_path: Path) -> None:
    def ask(seed: int, *, drawn: bool) -> Image:
        return Answers(network, SPEC | {"hash_seed": seed}, "cpu", Shelf(tmp_path, drawn)).to(pair, 2)

    network = _Counting(draws=True)
    first = ask(0, drawn=True)
    np.testing.assert_array_equal(ask(0, drawn=True), first)
    assert network.calls == 1
    assert not np.array_equal(ask(1, drawn=False), ask(1, drawn=False)), "nobody else wants it, so it is not kept"
    assert network.calls == 3


@pytest.mark.parametrize("damage", [bytes.lower, lambda content: content[:-40], lambda content: b"x" + content])
def test_a_damaged_answer_is_asked_for_again(pair: Pair, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    network = _Counting()
    asked = Answers(network, SPEC, "cpu", Shelf(tmp_path, drawn=True))
    asked.to(pair, 2)
    (file,) = tmp_path.rglob("*.png")
    file.write_bytes(damage(file.read_bytes()))
    second = asked.to(pair, 2)
    assert network.calls == 2
    np.testing.assert_array_equal(asked.to(pair, 2), second)


def test_an_answer_that_cannot_be_kept_is_an_answer(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    asked = Answers(_Counting(), SPEC, "cpu", Shelf(tmp_path / "file", drawn=True))
    assert asked.to(pair, 2).shape == pair.hr.shape


def test_a_comparison_asks_what_two_evaluations_ask(
    write_grid: WriteGrid, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top, asked = 'tasks = ["train", "evaluate", "harm"]', 'hash_seeds = [0, 1]\ntiling = ["whole", "chop"]'
    run = prepare(write_grid("edsr", "nlsn", tables=NETWORKS, top=top, evaluate=asked), place, dry=True)
    tasks = [task for _, task in run.pending().values()]
    harm = next(task for task in tasks if task.kind == "harm")
    by_way = {(t.spec["tiling"], t.spec["hash_seed"]): asked_by(t)[0] for t in tasks if t.kind == "evaluate"}
    nlsn, edsr = asked_by(harm)
    assert by_way["whole", 0] == nlsn, "the last network in the grid"
    wanted = shared(tasks)
    assert {nlsn, edsr, nlsn.with_any_seed, edsr.with_any_seed, by_way["chop", 0].with_any_seed} <= wanted
    assert not {by_way["whole", 1], by_way["chop", 0], by_way["chop", 1]} & wanted
    expected = [Shelf(folder(tmp_path) / each.key, drawn=True) for each in (nlsn, edsr)]
    assert shelves(harm, tmp_path, wanted) == expected
    folder(tmp_path).mkdir()
    (folder(tmp_path) / "gone.png").symlink_to("nowhere")
    assert shelves(harm, tmp_path, wanted) == expected, "another driver takes answers away"
    assert shelves(harm, tmp_path, frozenset()) == [None, None]
    monkeypatch.setattr(answers, "MOST_BYTES", 0)
    assert shelves(harm, tmp_path, wanted) == [None, None], "full"


def test_answers_are_kept_as_long_as_a_run_wants_them(write_grid: WriteGrid, place: Place) -> None:
    path = write_grid("edsr", "nlsn", tables=NETWORKS, top='tasks = ["train", "evaluate", "harm"]', steps=2)
    kept, seen = folder(place.cache.folder), list[int]()

    def look(_: PlannedCell, task: Task, __: int) -> None:
        if task.kind == "harm":
            seen.append(len(list(kept.iterdir())))

    found = go(path, place, lambda run: run._on_this_machine(), Hearer(look))
    assert {outcome.status for outcome in found} == {Status.DONE}
    assert set(seen) == {2}
    assert not kept.exists()
