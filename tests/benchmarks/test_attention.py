"""The side-by-side table itself: what it times is the same attention, and what it tells is what it measured."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from methods.catalogue import ATTENTIONS
from tests.benchmarks import attention
from tests.benchmarks.attention import FLEX, WAYS, YARDSTICK, Cores, How, measured

HOW = How(channels=32, backward=True)
SIZE = (24, 25)
CASES = [(kind, way) for kind in WAYS for way in (YARDSTICK, *WAYS[kind])]
BUCKETED = [kind for kind in WAYS if kind not in {"enlca", "nla", "hspa"}]


@pytest.mark.parametrize(("kind", "way"), CASES)
def test_every_contender_computes_what_the_yardstick_does(benchmark: BenchmarkFixture, kind: str, way: str) -> None:
    """Result and gradients of the maps; the yardstick shares no arithmetic with ours, so it is a further judge."""
    cores = Cores(kind, SIZE, HOW)
    found = benchmark(cores.call(way))
    assert len(found) > 2
    alike(found, cores.exact())


@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", BUCKETED)
def test_flex_attention_is_the_same_attention(kind: str) -> None:
    """Written out, as without a GPU; gradients PyTorch has on a GPU only."""
    cores = Cores(kind, (40, 31), How(channels=32))
    alike(cores.call(FLEX)(), cores.exact())


def alike(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5 * float(other.abs().max()))


def test_no_attention_is_left_out() -> None:
    assert WAYS.keys() == ATTENTIONS.keys()


def test_figures_are_of_the_yardstick_first() -> None:
    found = measured("enlca", "12x12", How(channels=16), turns=2)
    assert [f.way for f in found] == [YARDSTICK, *WAYS["enlca"]]
    assert found[0].speedup == found[0].bytes_share == 1
    assert found[0].error == 0
    assert min(found[0].roof_s, found[0].median_s) > 0


@pytest.mark.parametrize("kind", WAYS)
def test_gradients_are_measured_too_and_have_a_roof_three_times_as_high(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "ceilings", lambda *_: {"ceiling_macs_per_s": 1e9, "ceiling_bytes_per_s": 1e9})
    alone, both = (measured(kind, "20x20", How(channels=32, backward=back), turns=1) for back in (False, True))
    assert [f.way for f in both] == [YARDSTICK, *WAYS[kind]]
    assert both[0].roof_s == pytest.approx(3 * alone[0].roof_s)
    assert all(f.error < 1e-4 for f in both)


def test_halves_are_judged_by_the_yardstick_in_float32() -> None:
    found = measured("nlsa", "24x25", How(channels=32, precision="bf16"), turns=1)
    assert all(0 < f.error < 0.05 for f in found)


def test_who_fails_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A ring of less than three chunks is no mask: FlexAttention, did it run here, could not say it."""
    monkeypatch.setattr(Cores, "ways", (YARDSTICK, "fused", FLEX))
    found = measured("nlsa", "12x12", How(channels=16), turns=1)
    assert [f.way for f in found] == [YARDSTICK, "fused"]
    assert "nlsa, flex: ValueError: a ring of 1 chunks" in capsys.readouterr().err


def test_a_yardstick_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(attention.released, "kernel", broken)
    with pytest.raises(MemoryError):
        measured("enlca", "12x12", How(channels=16), turns=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", BUCKETED)
def test_all_run_on_a_gpu(kind: str, precision: str) -> None:
    """FlexAttention too, unless its compiler finds no room for such channels, which the command tells."""
    found = measured(kind, "96x96", How(device="cuda", precision=precision, backward=True), turns=1)
    assert [f.way for f in found if f.way != FLEX] == [YARDSTICK, *WAYS[kind]]
    assert all(f.error < (1e-4 if precision == "fp32" else 0.1) for f in found if f.way != YARDSTICK)
