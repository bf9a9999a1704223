"""How float32 is multiplied: what a precision switches, for how long, and where it is refused.

A torch without a GPU keeps the switches of one too; that is how they can be looked at here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import datasets
import methods
from datasets.cache import decoded
from datasets.patches import PatchSource
from harness import train
from harness.cost_report import Asked, cost_report
from harness.errors import UserError
from harness.grid import read_grid
from harness.grid_tables import TrainBudget
from harness.inference import autocast, float32_products
from harness.plan import plan
from harness.precisions import check_precisions
from harness.profile import protocol
from tests.conftest import WriteGrid

GPU = {"device": "cuda:1", "gpu": "Test GPU"}
CPU = {"device": "cpu"}
UNTOUCHED = (False, True)
"""PyTorch's own choice for matrix products and for convolutions."""


def switches() -> tuple[bool, bool]:
    """Whether tensor cores may compute matrix products and convolutions of float32."""
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    assert switches() == UNTOUCHED
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = UNTOUCHED


@pytest.mark.parametrize(("precision", "inside"), [("fp32", (False, False)), ("tf32", (True, True))])
def test_a_gpu_multiplies_as_the_precision_says_and_then_as_before(precision: str, inside: tuple[bool, bool]) -> None:
    with autocast("cuda:1", precision):
        assert switches() == inside
        with autocast("cuda", "tf32"):
            assert switches() == (True, True)
        assert switches() == inside
    assert switches() == UNTOUCHED


@pytest.mark.parametrize("before", [(False, False), (True, False), (True, True)])
def test_what_was_before_is_restored_after_a_failure_too(before: tuple[bool, bool]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    with pytest.raises(RuntimeError, match="as it was told to"), autocast("cuda", "tf32"):
        raise RuntimeError("as it was told to")
    assert switches() == before


def test_a_cpu_has_nothing_to_switch() -> None:
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with float32_products("cpu", precision), autocast("cpu", precision):
            assert switches() == UNTOUCHED
            assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("enter", [autocast, float32_products])
def test_a_cpu_refuses_tf32(enter: Any) -> None:
    with pytest.raises(ValueError, match=r"^precision tf32 needs an NVIDIA GPU, this is cpu$"):
        enter("cpu", "tf32")


@pytest.mark.parametrize(
    ("precision", "inside"), [("fp32", (False, False)), ("tf32", (True, True)), ("bf16", UNTOUCHED)]
)
def test_the_backward_pass_multiplies_as_the_forward_pass(
    precision: str, inside: tuple[bool, bool], image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the switches of a GPU and the arithmetic of the CPU."""
    seen: list[tuple[bool, bool]] = []

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = methods.build_network("edsr", 2, n_feats=4, n_resblocks=1)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(switches())
            y: Tensor = self.network(x)
            y.register_hook(lambda _: seen.append(switches()))
            return y

    monkeypatch.setattr(train, "float32_products", lambda _, asked: float32_products("cuda", asked))
    monkeypatch.setattr(train, "autocast", lambda _, asked: autocast("cuda" if asked == "tf32" else "cpu", asked))
    images = decoded(datasets.load(str(image_folder), 2), tmp_path)
    source = PatchSource(images=images, patch=8, batch=1, seed=0)
    training = train.Training(Watched(), TrainBudget.model_validate({"steps": 1, "precision": precision}), "cpu")
    training.advance(next(iter(source.batches(0, 1))))
    assert seen == [inside, inside]
    assert training.scaler.is_enabled() is False
    assert switches() == UNTOUCHED


ASKING = {
    "train": {"budget": 'precision = "tf32"'},
    "evaluate": {"evaluate": 'precision = ["fp32", "tf32"]'},
    "race": {"tables": '[race]\nmeasure = true\nprecision = "tf32"\n'},
}


@pytest.mark.parametrize("table", ASKING)
def test_a_grid_that_asks_for_tf32_is_planned_for_a_gpu_and_refused_for_a_cpu(
    write_grid: WriteGrid, table: str
) -> None:
    path = write_grid("edsr", **ASKING[table])
    grid = read_grid(path)
    check_precisions(grid, GPU)
    check_precisions(grid, {})
    with pytest.raises(UserError) as refused:
        plan(grid, path.name, CPU)
    assert str(refused.value) == f"grid.toml: {table}: precision tf32 needs an NVIDIA GPU, this is cpu"


def test_a_table_of_no_task_may_ask_for_anything(write_grid: WriteGrid) -> None:
    """So does a race that is not run."""
    tables = '[race]\nprecision = "tf32"\n'
    budget = 'precision = "tf32"'
    check_precisions(read_grid(write_grid("edsr", top='tasks = ["profile"]', budget=budget, tables=tables)), CPU)
    check_precisions(read_grid(write_grid("edsr", tables=tables)), CPU)


def test_a_profile_says_whether_it_was_tf32() -> None:
    spec = {"warm_up_s": 0.0, "budget_s": 1.0, "compile": False, "channels_last": False, "cuda_graphs": False}
    said = [protocol(spec | {"precision": precision}, "cuda", 2)["tf32"] for precision in ("fp32", "tf32", "bf16")]
    assert said == [False, True, False]


def test_what_is_counted_of_tf32_is_what_is_counted_of_float32() -> None:
    found = [cost_report(Asked(method="edsr", size="8x8", precision=each)) for each in ("fp32", "tf32", "bf16")]
    assert found[1].counted.figures == found[0].counted.figures
    assert found[2].counted.peak_bytes != found[0].counted.peak_bytes
    assert found[1].as_json()["precision"] == "tf32"
