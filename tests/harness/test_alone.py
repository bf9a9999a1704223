"""Attentions alone: which run, on what, in which order, and what is recorded of those that cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import alone
from harness.alone import Alone, macs, peak_bytes
from harness.contenders import CONTROL, Contender, Runner, control, runner
from harness.errors import UserError
from harness.grid import read_grid
from harness.place import Place
from harness.plan import PlannedCell, plan
from harness.records import Record, Status
from harness.store import Store
from methods import build_attention, build_network
from tests.conftest import WriteGrid
from tests.harness.test_run import SMALL, go, statuses

TABLE = "[alone]\nmeasure = true\nsizes = ['6x8', '8x12']\npasses = 2\nwarm_up_s = 0.0\nbudget_s = 0.05\n"
SPEC: dict[str, Any] = {
    "size": "6x8",
    "mode": "inference",
    "precision": "fp32",
    "batch": 1,
    "warm_up_s": 0.0,
    "budget_s": 0.02,
}


def contender(name: str = "nlsn", **settings: Any) -> Contender:
    small = {"n_feats": 8, "n_resblocks": 1, **settings}
    return Contender(key=name, label=name, address=f"{name}", scale=2, settings=small)


def measured(*found: Contender, device: Alone | None = None, **changes: Any) -> list[Record]:
    race = device or Alone({each.key: each for each in found}, "cpu")
    return list(race.measure(SPEC | changes | {"contenders": [each.key for each in found]}, lambda *_: None))


def planned(path: Path) -> list[PlannedCell]:
    return [cell for cell in plan(read_grid(path), path.name, {}) if cell.spec["method"] == "alone"]


def test_every_attention_of_a_grid_runs_once_in_every_pass(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", "nlsn", "nln", top="scale = [2, 3]\nseeds = [0, 1]", tables=SMALL + TABLE)
    cells = planned(path)
    assert [cell.spec["seed"] for cell in cells] == [0, 1]
    assert [[task.spec["size"] for task in cell.tasks] for cell in cells] == [["6x8", "8x12"]] * 2
    (first, second) = (set(cell.contenders) for cell in cells)
    assert first == second
    assert [each.label for each in cells[0].contenders.values()] == ["NLSN", "NLN"]
    assert len({task.key for cell in cells for task in cell.tasks}) == 4


def test_nothing_runs_alone_unless_it_is_asked_for(write_grid: WriteGrid) -> None:
    assert planned(write_grid("nlsn", tables=SMALL)) == []
    assert planned(write_grid("edsr", tables=SMALL + TABLE)) == []


def test_ways_and_sizes_multiply(write_grid: WriteGrid) -> None:
    ways = TABLE.replace("passes = 2", "passes = 1\nmode = ['inference', 'training']\nbatch = [1, 2]")
    (cell,) = planned(write_grid("nlsn", tables=SMALL + ways))
    points = [(t.spec["mode"], t.spec["batch"], t.spec["size"]) for t in cell.tasks]
    assert points == [(m, b, s) for m in ("inference", "training") for b in (1, 2) for s in ("6x8", "8x12")]


def test_a_grid_may_ask_for_some_tasks_only(write_grid: WriteGrid, place: Place, store: Store) -> None:
    outcomes = go(write_grid("nlsn", "nln", top='tasks = "alone"', tables=SMALL + TABLE), place)
    assert statuses(outcomes) == [("alone", "done")] * 4
    frame = store.measurements()
    assert set(frame["metric"]) - {"cpu_mhz"} == {
        *("alone_s", "alone_first_s", "alone_converged", "alone_macs", "alone_peak_bytes", "alone_parameters"),
        *("clock_s", "load_average", "ceiling_macs_per_s", "ceiling_bytes_per_s"),
    }
    timed = frame[frame["metric"] == "alone_s"].groupby("module")["value"].count()
    assert len(timed) == 3
    assert CONTROL in timed.index
    assert (timed >= 4 * 3).all()


@pytest.mark.parametrize("kind", ["evaluate", "harm", "attention"])
def test_what_needs_trained_weights_needs_training(write_grid: WriteGrid, kind: str) -> None:
    with pytest.raises(UserError, match=f"tasks: {kind} needs trained weights"):
        planned(write_grid("nlsn", top=f'tasks = ["{kind}", "profile"]', tables=SMALL))


def test_a_kind_of_task_that_does_not_exist_is_told(write_grid: WriteGrid) -> None:
    with pytest.raises(UserError, match=r"tasks\.0: Input should be 'train', 'evaluate'"):
        planned(write_grid("nlsn", top='tasks = "profiles"', tables=SMALL))


def test_features_are_those_that_reach_the_first_attention() -> None:
    torch.manual_seed(0)
    network = build_network("dlsn", 2, n_feats=8, n_resblocks=1, n_resgroups=1).eval()
    seen: list[torch.Tensor] = []
    made = runner(contender("dlsn", n_resgroups=1), "6x8", 1, "cpu")
    network.body[0].body[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert made.x.shape == (1, 8, 6, 8)
    image = torch.zeros(1, 3, 6, 8)
    network(image)
    assert not torch.equal(made.x, seen[0]), "an image, not zeros"
    assert made.x.std() > 0


def test_larger_sizes_mirror_the_image_and_a_batch_holds_different_images() -> None:
    made = runner(contender(n_resblocks=1), "200x210", 2, "cpu")
    assert made.x.shape == (2, 8, 200, 210)
    assert not torch.equal(made.x[0], made.x[1])


def test_counts_are_those_of_the_module_and_leave_it_as_it_was() -> None:
    module = build_attention("lcoa", 8, n_clusters=3, chunk_size=4).eval()
    made = Runner(module=module, x=torch.rand(1, 8, 6, 8))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    counted = macs(made, SPEC), peak_bytes(made, SPEC)
    assert not module.kmeans.started
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert counted[0] > 48 * 9 * 8 * 8
    assert counted[1] > 4 * 48 * 8
    assert macs(made, SPEC | {"mode": "training"}) > 2 * counted[0]


def test_macs_of_a_convolution_by_hand() -> None:
    made = control(Runner(module=nn.Identity(), x=torch.rand(2, 5, 6, 8)))
    assert macs(made, SPEC) == 2 * 48 * 5 * 5
    assert peak_bytes(made, SPEC) == 4 * 2 * 48 * 5


def test_a_contender_that_would_not_fit_is_a_row_and_is_not_tried_above(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = contender("nlsn"), contender("nln")
    race = Alone({each.key: each for each in (small, large)}, "cpu")
    needed = peak_bytes(runner(large, "8x12", 1, "cpu"), SPEC)
    monkeypatch.setattr(alone, "available_bytes", lambda _: needed)
    first = measured(small, large, device=race, size="8x12")
    (row,) = [r for r in first if r.module == "nln"]
    assert (row.status, row.metric) == (Status.OUT_OF_MEMORY, "alone_s")
    assert row.reason is not None
    assert "GB are free" in row.reason
    assert [r for r in first if r.module == "nlsn" and r.metric == "alone_s"]
    (above,) = [r for r in measured(small, large, device=race, size="10x12") if r.module == "nln"]
    assert (above.status, above.reason) == (Status.SKIPPED, "implied: out of memory at 8x12")
    trained = measured(small, large, device=race, size="6x8", mode="training")
    assert {r.status for r in trained if r.module == "nln"} != {Status.SKIPPED}, "another way is another question"


def test_training_counts_what_attention_adds_to_the_loss() -> None:
    made = runner(contender("enlcn"), "9x9", 1, "cpu")
    with_loss = macs(made, SPEC | {"mode": "training"})
    made.module.contrastive = False
    assert with_loss - macs(made, SPEC | {"mode": "training"}) >= 81 * 81 * 2


def test_memory_at_hand_is_told_in_bytes() -> None:
    assert 1e8 < alone.available_bytes("cpu") < 1e14


def test_the_backward_of_fused_attention_is_counted() -> None:
    """Forward two products, backward five, of which plain attention, that keeps its scores, needs four."""
    n, channels, width = 48, 8, 4
    plain, fused = (runner(contender("nln", backend=b), "6x8", 1, "cpu") for b in ("plain", "fused"))
    spec = SPEC | {"mode": "training"}
    extra = n * n * ((2 + 5) * channels - (3 * width + 3 * channels))
    assert macs(fused, spec) - macs(plain, spec) == extra
