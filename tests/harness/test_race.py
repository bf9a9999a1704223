"""What is timed in turn: which run, on what, in which order, and what is recorded of those that cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from harness import race as race_module
from harness.calls import call_of, counted
from harness.contenders import CONTROL, Contender, Runner, control, runner
from harness.errors import UserError
from harness.grid import read_grid
from harness.place import Place
from harness.plan import PlannedCell, plan
from harness.profile.bypass import PassThrough, bypassed
from harness.profile.memory import LiveBytes
from harness.race import Races
from harness.records import Record, Status
from harness.store import Store
from methods import build_attention, build_network
from methods.catalogue import NETWORKS
from methods.interface import attention_modules
from tests.conftest import WriteGrid
from tests.harness.test_run import SMALL, go, statuses

TABLE = "[race]\nmeasure = true\nsizes = ['6x8', '8x12']\npasses = 2\nwarm_up_s = 0.0\nbudget_s = 0.05\n"
NETWORK = TABLE + "scope = 'network'\n"
SPEC: dict[str, Any] = {
    "scope": "attention",
    "scale": 0,
    "size": "6x8",
    "mode": "inference",
    "precision": "fp32",
    "batch": 1,
    "compile": False,
    "channels_last": False,
    "cuda_graphs": False,
    "tiling": "whole",
    "reference": None,
    "pass": 0,
    "warm_up_s": 0.0,
    "budget_s": 0.02,
}
ATTENTIONS = [name for name in NETWORKS if name != "edsr"]


def contender(name: str = "nlsn", **settings: Any) -> Contender:
    small = {"n_feats": 8, "n_resblocks": 1, **settings}
    return Contender(key=name, label=name, method=name, address=name, scale=2, settings=small, changed=small)


def ready(name: str = "nlsn", size: str = "6x8", batch: int = 1, **settings: Any) -> Runner:
    return runner(contender(name, **settings), "attention", size, batch, "cpu")


def macs(made: Runner, **changes: Any) -> float:
    return counted(made, SPEC | changes)["counted_macs"]


def peak_bytes(made: Runner, **changes: Any) -> float:
    return counted(made, SPEC | changes)["counted_peak_bytes"]


def measured(*found: Contender, device: Races | None = None, **changes: Any) -> list[Record]:
    race = device or Races({each.key: each for each in found}, "cpu")
    return list(race.measure(SPEC | changes | {"contenders": [each.key for each in found]}, lambda *_: None))


def planned(path: Path) -> list[PlannedCell]:
    return [cell for cell in plan(read_grid(path), path.name, {}) if cell.spec["method"] == "race"]


def test_every_attention_of_a_grid_runs_once_in_every_pass(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", "nlsn", "nln", top="scale = [2, 3]\nseeds = [0, 1]", tables=SMALL + TABLE)
    cells = planned(path)
    assert [cell.spec["seed"] for cell in cells] == [0, 1]
    assert [[task.spec["size"] for task in cell.tasks] for cell in cells] == [["6x8", "8x12"]] * 2
    (first, second) = (set(cell.contenders) for cell in cells)
    assert first == second
    assert [each.label for each in cells[0].contenders.values()] == ["NLSN", "NLN"]
    assert len({task.key for cell in cells for task in cell.tasks}) == 4


def test_networks_run_with_those_of_their_scale_and_the_untrainable_stay_out(write_grid: WriteGrid) -> None:
    path = write_grid("edsr", "bicubic", "nln", top="scale = [2, 3]", tables=SMALL + NETWORK)
    (cell, _) = planned(path)
    runs = [(t.spec["scale"], t.spec["size"]) for t in cell.tasks]
    assert runs == [(s, size) for s in (2, 3) for size in ("6x8", "8x12")]
    labels = {key: (each.label, each.scale) for key, each in cell.contenders.items()}
    assert [[labels[key] for key in t.spec["contenders"]] for t in cell.tasks[::2]] == [
        [("EDSR", scale), ("NLN", scale)] for scale in (2, 3)
    ]
    assert all(labels[t.spec["reference"]] == ("NLN", t.spec["scale"]) for t in cell.tasks)


def test_the_reference_is_plain_dense_attention_or_nobody(write_grid: WriteGrid) -> None:
    (cell, _) = planned(write_grid("nlsn", "nln", tables=SMALL + TABLE))
    assert {cell.contenders[t.spec["reference"]].label for t in cell.tasks} == {"NLN"}
    (cell, _) = planned(write_grid("nlsn", "hspan", tables=SMALL + TABLE))
    assert {t.spec["reference"] for t in cell.tasks} == {None}


def test_nothing_runs_in_turn_unless_it_is_asked_for(write_grid: WriteGrid) -> None:
    assert planned(write_grid("nlsn", tables=SMALL)) == []
    assert planned(write_grid("edsr", tables=SMALL + TABLE)) == []


def test_ways_and_sizes_multiply(write_grid: WriteGrid) -> None:
    ways = TABLE.replace("passes = 2", "passes = 1\nmode = ['inference', 'training']\nbatch = [1, 2]")
    (cell,) = planned(write_grid("nlsn", tables=SMALL + ways))
    points = [(t.spec["mode"], t.spec["batch"], t.spec["size"]) for t in cell.tasks]
    assert points == [(m, b, s) for m in ("inference", "training") for b in (1, 2) for s in ("6x8", "8x12")]


def test_tiling_is_a_matter_of_networks_in_inference(write_grid: WriteGrid) -> None:
    ways = "scope = ['attention', 'network']\nmode = ['inference', 'training']\ntiling = ['whole', 'chop']\n"
    (cell, _) = planned(write_grid("nlsn", tables=SMALL + TABLE.replace("'6x8', '8x12'", "'6x8'") + ways))
    points = [(t.spec["scope"], t.spec["mode"], t.spec["tiling"]) for t in cell.tasks]
    alone = [("attention", mode, "whole") for mode in ("inference", "training")]
    inference = [("network", "inference", tiling) for tiling in ("whole", "chop")]
    assert points == [*alone, *inference, ("network", "training", "whole")]


def test_a_tiling_that_is_none_is_refused(write_grid: WriteGrid) -> None:
    with pytest.raises(UserError, match=r"race\.tiling: tiling is 'whole', 'chop'"):
        planned(write_grid("nlsn", tables=SMALL + TABLE + "tiling = 'chops'\n"))


def test_a_grid_may_ask_for_some_tasks_only(write_grid: WriteGrid, place: Place, store: Store) -> None:
    outcomes = go(write_grid("nlsn", "nln", top='tasks = "race"', tables=SMALL + TABLE), place)
    assert statuses(outcomes) == [("race", "done")] * 4
    frame = store.measurements()
    assert set(frame["metric"]) - {"cpu_mhz"} == {
        *("race_s", "race_first_s", "race_converged", "counted_macs", "counted_peak_bytes", "counted_parameters"),
        *("counted_moved_bytes", "race_clock_s", "race_kernel_s"),
        *("load_average", "ceiling_macs_per_s", "ceiling_bytes_per_s"),
    }
    timed = frame[frame["metric"] == "race_s"].groupby("module")["value"].count()
    assert len(timed) == 3
    assert CONTROL in timed.index
    assert (timed >= 4 * 3).all()
    kernels = frame[frame["metric"] == "race_kernel_s"]
    assert not kernels.empty
    assert {json.loads(spec)["pass"] for spec in kernels["spec"]} == {0}, "in the first pass only"


def test_networks_are_timed_with_and_without_attention(write_grid: WriteGrid, place: Place, store: Store) -> None:
    ways = NETWORK + "tiling = 'tile:6+1'\n"
    outcomes = go(write_grid("nlsn", "edsr", top='tasks = "race"', tables=SMALL + ways), place)
    assert statuses(outcomes) == [("race", "done")] * 4
    (spec,) = {task.task.spec["scope"]: task.task.spec for task in outcomes}.values()
    frame = store.measurements()
    rounds = frame.pivot_table(index=["attempt_id", "repeat"], columns=["metric", "module"], values="value")
    (attending,) = rounds["race_inside_s"].columns
    assert list(rounds["race_bypassed_s"].columns) == [attending]
    assert set(rounds["race_s"].columns) == set(spec["contenders"])
    together = rounds[["race_s", "race_inside_s"]].xs(attending, axis=1, level="module").dropna()
    assert (together["race_inside_s"] < together["race_s"]).all()
    assert isinstance(together, pd.DataFrame)
    assert len(together) >= 4


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
    made = ready("dlsn", n_resgroups=1)
    network.body[0].body[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert made.x.shape == (1, 8, 6, 8)
    image = torch.zeros(1, 3, 6, 8)
    network(image)
    assert not torch.equal(made.x, seen[0]), "an image, not zeros"
    assert made.x.std() > 0


def test_larger_sizes_mirror_the_image_and_a_batch_holds_different_images() -> None:
    made = ready(size="200x210", batch=2)
    assert made.x.shape == (2, 8, 200, 210)
    assert not torch.equal(made.x[0], made.x[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_bypassed_network_is_the_same_without_attention(name: str) -> None:
    sizes = {"n_feats": 8, "n_resblocks": 1} | ({"n_resgroups": 2} if "n_resgroups" in _settings(name) else {})
    network, x = build_network(name, 2, **sizes).eval(), torch.rand(1, 3, 6, 8)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    without = bypassed(network)
    assert all(isinstance(module, PassThrough) for module in attention_modules(without).values())
    assert len(attention_modules(without)) == len(attention_modules(network))
    assert {id(p) for p in without.parameters()} <= {id(p) for p in network.parameters()}
    for module in attention_modules(network).values():
        module.register_forward_hook(lambda _, args, __: args[0])
    assert torch.equal(without(x), network(x))
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items() if "kmeans" not in key)


def _settings(name: str) -> dict[str, Any]:
    from methods import method

    return dict(method(name).settings())


def test_counts_are_those_of_the_module_and_leave_it_as_it_was() -> None:
    module = build_attention("lcoa", 8, n_clusters=3, chunk_size=4).eval()
    made = Runner(module=module, x=torch.rand(1, 8, 6, 8))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    values = counted(made, SPEC)
    assert not module.kmeans.started
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert values["counted_macs"] > 48 * 9 * 8 * 8
    assert values["counted_peak_bytes"] > 4 * 48 * 8
    assert macs(made, mode="training") > 2 * values["counted_macs"]


@pytest.mark.parametrize("mode", ["inference", "training"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_counted_peak_is_the_real_one_in_training_too(name: str, mode: str) -> None:
    made, spec = ready(name, size="14x15", batch=2), SPEC | {"mode": mode}
    count, call = peak_bytes(made, mode=mode), call_of(made, spec, "cpu")
    call()
    with LiveBytes(made.module) as live:
        call()
    assert count == pytest.approx(live.peak, rel=0.05)


def test_figures_of_a_convolution_by_hand() -> None:
    made = control(Runner(module=nn.Identity(), x=torch.rand(2, 5, 6, 8)))
    values = counted(made, SPEC)
    assert values["counted_macs"] == 2 * 48 * 5 * 5
    assert values["counted_peak_bytes"] == 4 * 2 * 48 * 5
    assert values["counted_moved_bytes"] == 4 * (2 * 2 * 48 * 5 + 5 * 5 + 5)
    assert values["counted_parameters"] == 5 * 5 + 5


def test_a_contender_that_would_not_fit_is_a_row_and_is_not_tried_above(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = contender("nlsn"), contender("nln")
    race = Races({each.key: each for each in (small, large)}, "cpu")
    needed = peak_bytes(ready("nln", size="8x12"))
    monkeypatch.setattr(race_module, "available_bytes", lambda _: needed)
    first = measured(small, large, device=race, size="8x12")
    (row,) = [r for r in first if r.module == "nln"]
    assert (row.status, row.metric) == (Status.OUT_OF_MEMORY, "race_s")
    assert row.reason is not None
    assert "GB are free" in row.reason
    assert [r for r in first if r.module == "nlsn" and r.metric == "race_s"]
    (above,) = [r for r in measured(small, large, device=race, size="10x12") if r.module == "nln"]
    assert (above.status, above.reason) == (Status.SKIPPED, "implied: out of memory at 8x12")
    trained = measured(small, large, device=race, size="6x8", mode="training")
    assert {r.status for r in trained if r.module == "nln"} != {Status.SKIPPED}, "another way is another question"


def test_where_energy_can_be_read_it_is_told_for_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "energy_per_call_j", lambda *_: 6.0)
    values = {r.metric: r.value for r in measured(contender("nlsn"), batch=2, budget_s=1.0)}
    assert values["race_energy_j"] == 3.0
    assert "race_energy_j" not in {r.metric for r in measured(contender("nlsn"), batch=2, budget_s=1.0, **{"pass": 1})}


def test_training_counts_what_attention_adds_to_the_loss() -> None:
    made = ready("enlcn", size="9x9")
    with_loss = macs(made, mode="training")
    made.module.contrastive = False
    assert with_loss - macs(made, mode="training") >= 81 * 81 * 2


def test_memory_at_hand_is_told_in_bytes() -> None:
    assert 1e8 < race_module.available_bytes("cpu") < 1e14


def test_the_backward_of_fused_attention_is_counted() -> None:
    """Forward two products, backward five, of which plain attention, that keeps its scores, needs four."""
    n, channels, width = 48, 8, 4
    plain, fused = (ready("nln", backend=backend) for backend in ("plain", "fused"))
    extra = n * n * ((2 + 5) * channels - (3 * width + 3 * channels))
    assert macs(fused, mode="training") - macs(plain, mode="training") == extra


def test_a_fused_attention_that_gives_something_else_is_not_timed() -> None:
    disagreeing = Contender(
        key="d",
        label="d",
        method="d",
        address="tests.plugins:DISAGREES",
        scale=2,
        settings={"backend": "fused"},
        changed={},
    )
    records = measured(disagreeing, contender("nlsn", backend="fused"))
    failed = [record for record in records if record.module == "d"]
    assert [record.status for record in failed] == [Status.ERROR]
    assert str(failed[0].reason).startswith("fused attention differs from the same written out by 2.0e-02")
    assert any(record.module == "nlsn" and record.metric == "race_s" and record.value for record in records)


def raising(where: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of NLN, what `where` makes raises, or its making does."""
    right = getattr(race_module, where)

    def made(first: Any, *rest: Any) -> Any:
        if where == "runner" and first.key == "nln":
            raise error
        found = right(first, *rest)
        dense = where == "call_of" and hasattr(getattr(first.module, "recipe", None), "weighting")
        return _raise(error) if dense else found

    monkeypatch.setattr(race_module, where, made)


def _raise(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize("where", ["runner", "call_of"])
def test_one_that_raises_is_a_record_and_the_others_are_timed(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(where, TypeError("no such map"), monkeypatch)
    records = measured(contender("nlsn"), contender("nln"), reference="nln")
    (row,) = (each for each in records if each.module == "nln" and each.metric == "race_s")
    assert (row.status, row.reason) == (Status.ERROR, "TypeError: no such map")
    timed = {each.module for each in records if each.metric == "race_s" and each.value}
    assert timed == {"nlsn", CONTROL}


def test_one_that_runs_out_of_memory_when_called_is_not_tried_above(monkeypatch: pytest.MonkeyPatch) -> None:
    raising("call_of", RuntimeError("DefaultCPUAllocator: can't allocate memory"), monkeypatch)
    race = Races({each.key: each for each in (contender("nlsn"), contender("nln"))}, "cpu")
    ends = []
    for size in ("6x8", "8x12"):
        records = measured(contender("nlsn"), contender("nln"), device=race, size=size)
        ends += [each for each in records if each.module == "nln" and each.metric == "race_s"]
    assert [each.status for each in ends] == [Status.OUT_OF_MEMORY, Status.SKIPPED]
    assert ends[1].reason == "implied: out of memory at 6x8"
