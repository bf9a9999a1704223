"""Live memory against known operations, and the memory columns of a forward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.profile import memory, profile
from harness.profile.memory import LiveBytes
from harness.records import EXECUTIONS
from methods import build_network, method
from methods.catalogue import NETWORKS as CATALOGUE
from methods.dense import fused_attention, plain_attention

C = 8
NETWORKS = {
    "edsr": ("edsr", {}),
    "nln-plain": ("nln", {"backend": "plain"}),
    "nln-fused": ("nln", {"backend": "fused"}),
    "nlsn": ("nlsn", {"chunk_size": 6}),
}
networks = pytest.mark.parametrize("name", NETWORKS)


def build(name: str) -> nn.Module:
    method, settings = NETWORKS[name]
    return build_network(method, 2, n_feats=C, n_resblocks=2, **settings)


def live(forward: Callable[[], object], network: nn.Module | None = None) -> LiveBytes:
    with LiveBytes(network or nn.Identity()) as bytes_:
        forward()
    return bytes_


def test_live_bytes_of_known_operations() -> None:
    x, size, seen = torch.ones(1000), 4000, []

    def chain(bytes_: LiveBytes) -> None:
        a = x * 2
        view = a.view(10, 100)[3:].t()
        a.add_(1)
        seen.append(bytes_.current)
        b = view + 1
        seen.append(bytes_.current)
        del a
        seen.append(bytes_.current)
        del view
        seen.append(bytes_.current)
        c = torch.cat([b, b])
        seen.append(bytes_.current)
        del b, c

    with LiveBytes(nn.Identity()) as bytes_:
        chain(bytes_)
    part = size * 7 // 10
    assert seen == [size, size + part, size + part, part, 3 * part]
    assert (bytes_.peak, bytes_.current) == (3 * part, 0)


def test_what_the_graph_keeps_is_live() -> None:
    x = torch.ones(1000, requires_grad=True)
    with LiveBytes(nn.Identity()) as bytes_:
        total = x.exp().sum()
        assert bytes_.current == 4000 + 4
        del total
        assert bytes_.current == 0


def test_input_and_weights_are_not_counted() -> None:
    network, x = nn.Linear(50, 50), torch.rand(10, 50)
    with torch.inference_mode():
        bytes_ = live(lambda: (network.weight.t(), network.bias.detach(), x.view(-1), network(x), x.add_(1)), network)
    assert bytes_.peak == 10 * 50 * 4


@networks
def test_live_bytes_return_to_zero_and_are_the_same_every_time(name: str) -> None:
    network, x = build(name).eval(), torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        runs = [live(lambda: network(x), network) for _ in range(3)]
    assert {run.current for run in runs} == {0}
    assert len({run.peak for run in runs}) == 1
    assert runs[0].peak > 2 * C * 12 * 12 * 4


@networks
def test_live_bytes_are_the_same_under_fake_tensors(name: str) -> None:
    network, x = build(name).eval(), torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        real = live(lambda: network(x), network)
        with FakeTensorMode() as mode:
            fake_network, fake_x = build(name).eval(), mode.from_tensor(x)
            fake = live(lambda: fake_network(fake_x), fake_network)
    assert fake.peak == real.peak


TINY = {"n_feats": 16, "n_resblocks": 2, "n_resgroups": 2, "attention_every": 1, "chunk_size": 12, "n_clusters": 8}
AGREE = 0.05


def peaks(name: str, size: tuple[int, int], precision: str, **chosen: str) -> tuple[float, float]:
    """Of a small network: counted under fake tensors, and measured as a profile measures it."""
    known = method(name).settings()
    settings = {key: value for key, value in TINY.items() if key in known} | chosen
    made = functools.partial(build_network, name, 2, **settings)
    torch.manual_seed(0)
    plainly = dict.fromkeys(EXECUTIONS, False)
    spec = {
        "size": f"{size[0]}x{size[1]}",
        "scale": 2,
        "precision": precision,
        "warm_up_s": 0.0,
        "budget_s": 0.01,
        **plainly,
    }
    values = {record.metric: record.value for record in profile(made, spec, "cpu")}
    fake, real = values["peak_bytes_fake"], values["peak_bytes"]
    assert fake is not None
    assert real is not None
    return fake, real


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("size", [(10, 12), (23, 31)], ids=str)
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_counted_peak_is_the_measured_one(name: str, size: tuple[int, int], precision: str) -> None:
    fake, real = peaks(name, size, precision)
    assert real > 16 * size[0] * size[1] * 2
    assert fake == pytest.approx(real, rel=AGREE)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if "backend" in method(name).settings()])
def test_the_counted_peak_of_a_fused_twin_is_the_measured_one(name: str) -> None:
    fake, real = peaks(name, (23, 31), "fp32", backend="fused")
    assert fake == pytest.approx(real, rel=AGREE)


def test_only_the_fused_form_spares_the_score_matrix() -> None:
    tokens, scores = torch.rand(1, 1024, C), 1024**2 * 4
    plain, fused = (live(lambda f=f: f(tokens, tokens, tokens)).peak for f in (plain_attention, fused_attention))
    assert 2 * scores <= plain < 3 * scores
    assert fused < scores // 10


def test_the_network_with_fused_attention_needs_far_less_memory() -> None:
    x = torch.rand(1, 3, 32, 32)
    peaks = []
    for name in ("nln-plain", "nln-fused"):
        with torch.inference_mode():
            peaks.append(live(functools.partial(build(name), x)).peak)
    assert peaks[1] < peaks[0] // 10


def test_peak_on_a_cpu_is_that_of_one_forward() -> None:
    x = torch.ones(500)
    values = memory.peak(nn.Identity(), lambda: x * 2, "cpu")
    assert values["peak_bytes"] == 2000
    assert values.keys() <= {"peak_bytes", "rss_bytes"}


def test_resident_memory_is_reset_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, reset = tmp_path / "status", tmp_path / "clear_refs"
    status.write_text("Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", encoding="ascii")
    monkeypatch.setattr(memory, "HIGH_WATER", status)
    monkeypatch.setattr(memory, "RESET_HIGH_WATER", reset)
    assert memory.peak(nn.Identity(), lambda: None, "cpu") == {"peak_bytes": 0, "rss_bytes": 2048 * 1024}
    assert reset.read_text(encoding="ascii") == "5"


def test_resident_memory_is_left_out_where_it_cannot_be_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RESET_HIGH_WATER", tmp_path / "absent" / "clear_refs")
    assert memory.peak(nn.Identity(), lambda: None, "cpu") == {"peak_bytes": 0}
