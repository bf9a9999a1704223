"""Cost: counts against numbers worked out by hand, live memory against known operations, clocks that are not asked."""

from __future__ import annotations

import functools
import itertools
import resource
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.profile import clock, cost, memory, profile, protocol
from harness.profile.memory import LiveBytes
from harness.records import Record, Status, canonical
from methods import build_attention, build_network
from methods.nla.attention import fused_attention, plain_attention
from tests.plugins import RAISES

C, REDUCED = 8, 2
SPEC = {"size": "10x12", "precision": "fp32", "warm_up_s": 0.0, "budget_s": 0.02}
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "edsr": ("edsr", {}),
    "nln-plain": ("nln", {"backend": "plain", "reduction": 4}),
    "nln-fused": ("nln", {"backend": "fused", "reduction": 4}),
    "nlsn": ("nlsn", {"chunk_size": 6, "n_hashes": 3}),
}
networks = pytest.mark.parametrize("name", NETWORKS)
# What fvcore does when it is imported.
counts_twice = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def build(name: str, **settings: Any) -> nn.Module:
    method, own = NETWORKS[name]
    return build_network(method, 2, **{"n_feats": C, "n_resblocks": 2, **own, **settings})


def counted(name: str, height: int, width: int, **settings: Any) -> dict[str, float]:
    return cost.count(lambda: build(name, **settings), height, width)


def nla_macs(n: int, width: int) -> int:
    """Three 1x1 convolutions, `Q K^T` over `width` channels, `P V`."""
    return n * (2 * C * REDUCED + C * C) + n * n * (width + C)


def nlsa_macs(n: int, chunk: int, rounds: int, buckets: int) -> int:
    """A 3x3 and a 1x1 convolution, the hash, and each token, repeated ones included, over three chunks."""
    seats = -(-n // chunk) * chunk
    return (
        n * (9 * C * REDUCED + C * C)
        + n * REDUCED * rounds * (buckets // 2)
        + rounds * seats * 3 * chunk * (REDUCED + C)
    )


def trunk_macs(n: int, blocks: int) -> int:
    """3x3 convolutions: head, two a block, the last of the body, upsampler by 2, tail; and 1x1 for the mean colour."""
    high = 4 * n
    return 9 * n * (3 * C + 2 * blocks * C * C + C * C + 4 * C * C) + 9 * high * 3 * C + 9 * (n + high)


def test_a_convolution_is_counted_by_hand() -> None:
    values = cost.count(lambda: nn.Conv2d(3, 5, 3, padding=1), 7, 9)
    assert values == {"macs": 7 * 9 * 3 * 5 * 9, "attention_macs": 0, "uncounted_elements": 0}


def test_operations_without_multiply_adds_are_counted_by_their_elements() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Flatten(2), nn.Softmax(dim=-1))
    assert cost.count(lambda: network, 4, 5) == {"macs": 0, "attention_macs": 0, "uncounted_elements": 2 * 3 * 4 * 5}


@pytest.mark.parametrize(("backend", "width"), [("plain", REDUCED), ("fused", C)])
def test_dense_attention_is_counted_by_hand(backend: str, width: int) -> None:
    """The fused form reads queries and keys that zeros have made as wide as the values."""

    def alone() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, C, 1), build_attention("nla", C, reduction=4, backend=backend))

    values = cost.count(alone, 6, 7)
    assert values["attention_macs"] == nla_macs(42, width)
    assert values["macs"] == nla_macs(42, width) + 42 * 3 * C


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("edsr", 0),
        ("nln-plain", 3 * nla_macs(80, REDUCED)),
        ("nln-fused", 3 * nla_macs(80, C)),
        ("nlsn", 3 * nlsa_macs(80, 6, 3, 14)),
    ],
)
def test_a_network_is_its_trunk_and_its_attention(name: str, attention: int) -> None:
    values = counted(name, 8, 10, n_resblocks=16)
    assert values["attention_macs"] == attention
    assert values["macs"] == trunk_macs(80, 16) + attention


@pytest.mark.parametrize(("size", "buckets"), [((2, 5), 1), ((4, 4), 2), ((16, 16), 42), ((40, 50), 128)])
def test_bucketed_attention_is_counted_by_hand_below_and_above_the_cap(size: tuple[int, int], buckets: int) -> None:
    """One bucket has no hash to multiply."""
    n = size[0] * size[1]
    assert counted("nlsn", *size)["attention_macs"] == nlsa_macs(n, 6, 3, buckets)


@networks
def test_counting_8k_allocates_nothing(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n = 4320 * 7680
    values = counted(name, 4320, 7680)
    attention = {
        "edsr": 0,
        "nln-plain": nla_macs(n, REDUCED),
        "nln-fused": nla_macs(n, C),
        "nlsn": nlsa_macs(n, 6, 3, 128),
    }[name]
    assert values["attention_macs"] == attention
    assert values["macs"] == attention + trunk_macs(n, 2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@counts_twice
@networks
def test_the_second_count_agrees(name: str) -> None:
    first = counted(name, 12, 16, n_resblocks=8)["macs"]
    second = cost.second_count(build(name, n_resblocks=8).eval(), torch.rand(1, 3, 12, 16), "12x16")
    assert (second.metric, second.size, second.status) == ("macs_fvcore", "12x16", Status.DONE)
    assert second.value == pytest.approx(first, rel=0.01)


@counts_twice
def test_a_failing_second_count_is_a_record_with_a_reason() -> None:
    record = cost.second_count(RAISES.build(2, {}), torch.rand(1, 3, 4, 4), "4x4")
    assert record == Record(
        metric="macs_fvcore",
        status=Status.ERROR,
        reason="fvcore cannot count this network: as it was told to",
        size="4x4",
    )


def test_sizes_count_frozen_parameters_and_buffers() -> None:
    network = nn.BatchNorm2d(4).requires_grad_(requires_grad=False)
    assert cost.sizes_of(network) == {"parameters": 8, "weight_bytes": 4 * (4 * 4) + 8}


def test_attention_inside_attention_is_found_once() -> None:
    outer = build_attention("nla", C)
    outer.inner = build_attention("nlsa", C)
    assert list(cost.attention_modules(nn.Sequential(outer, nn.ReLU(), build_attention("nla", C)))) == ["0", "2"]
    assert list(cost.attention_modules(outer)) == [""]


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


@pytest.mark.parametrize("name", ["edsr", "nln-plain", "nlsn"])
def test_live_bytes_are_the_same_under_fake_tensors(name: str) -> None:
    network, x = build(name).eval(), torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        real = live(lambda: network(x), network)
        with FakeTensorMode() as mode:
            fake_network, fake_x = build(name).eval(), mode.from_tensor(x)
            fake = live(lambda: fake_network(fake_x), fake_network)
    assert fake.peak == real.peak


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


@pytest.mark.parametrize(
    ("samples", "settled"),
    [
        ([], False),
        ([1.0] * 3, False),
        ([1.0] * 6, True),
        ([1.0, 1.001, 0.999, 1.002, 1.0, 0.998], True),
        ([1.0, 1.2, 0.8, 1.1, 0.9, 1.3, 0.7], False),
        ([1.0, 2.0] * 50, False),
        ([1.0] * 50 + [9.0] * 3, True),
    ],
)
def test_a_median_known_to_2_percent_is_settled(samples: list[float], settled: bool) -> None:
    assert clock.converged(samples) is settled
    assert clock.converged([1e-4 * sample for sample in samples]) is settled


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one second whenever it is read."""
    ticks = itertools.count()
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: float(next(ticks))))


def timed(network: nn.Module, forward: Callable[[], object], **how: float) -> clock.Timing:
    return clock.time_forward(network, forward, "cpu", **{"warm_up_s": 0.0, "budget_s": 1e6, **how})


@pytest.mark.usefixtures("ticking")
def test_time_inside_attention_is_the_sum_over_its_modules() -> None:
    """Two attention modules read the clock four times inside the two readings around the forward."""
    network, x = build("nlsn", n_resblocks=8), torch.rand(1, 3, 4, 4)
    timing = timed(network, lambda: network(x))
    assert (timing.first_s, set(timing.forward_s), set(timing.attention_s)) == (1.0, {5.0}, {2.0})
    assert len(timing.attention_s) == len(timing.forward_s)
    assert timing.converged


@pytest.mark.usefixtures("ticking")
def test_a_network_without_attention_has_no_time_in_it() -> None:
    network, x = build("edsr"), torch.rand(1, 3, 4, 4)
    timing = timed(network, lambda: network(x))
    assert (timing.first_s, set(timing.forward_s), timing.attention_s) == (1.0, {1.0}, ())


@pytest.mark.usefixtures("ticking")
def test_first_call_and_warm_up_are_no_samples() -> None:
    calls: list[int] = []
    timing = timed(nn.Identity(), lambda: calls.append(1))
    assert len(calls) == 1 + 2 + len(timing.forward_s)
    calls.clear()
    timing = timed(nn.Identity(), lambda: calls.append(1), warm_up_s=40.0)
    assert 1 + 40 <= len(calls) - len(timing.forward_s) <= 1 + 42


@pytest.mark.usefixtures("ticking")
def test_sampling_ends_with_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "converged", lambda _: False)
    timing = timed(nn.Identity(), lambda: None, budget_s=40.0)
    assert 5 < len(timing.forward_s) < 40
    assert not timing.converged


@pytest.mark.usefixtures("ticking")
def test_there_is_a_sample_however_small_the_budget() -> None:
    timing = timed(nn.Identity(), lambda: None, budget_s=1e-9)
    assert timing.forward_s
    assert not timing.converged


@pytest.mark.usefixtures("ticking")
def test_sampling_ends_with_the_greatest_number_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "converged", lambda _: False)
    assert 0 <= len(timed(nn.Identity(), lambda: None).forward_s) - clock.MAX_SAMPLES < 10


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_is_left_behind(fails: bool) -> None:
    network, x = build("nlsn"), torch.rand(1, 3, 4, 4)
    calls = itertools.count()

    def forward() -> None:
        network(x)
        if fails and next(calls) == 4:
            raise RuntimeError("as it was told to")

    if fails:
        with pytest.raises(RuntimeError, match="as it was told to"):
            timed(network, forward)
    else:
        timed(network, forward, budget_s=0.01)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@counts_twice
@networks
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_profile_has_every_metric_of_its_size(name: str, precision: str) -> None:
    records = profile(lambda: build(name), SPEC | {"precision": precision}, "cpu")
    assert {(record.size, record.status) for record in records} == {("10x12", Status.DONE)}
    repeated = {"forward_s"} if name == "edsr" else {"forward_s", "attention_s"}
    once = [record for record in records if record.metric not in repeated]
    assert {record.metric for record in once} - {"rss_bytes"} == {
        "macs",
        "attention_macs",
        "uncounted_elements",
        "macs_fvcore",
        "parameters",
        "weight_bytes",
        "peak_bytes",
        "first_forward_s",
        "converged",
    }
    assert len({record.metric for record in once}) == len(once)
    for metric in repeated:
        series = [record for record in records if record.metric == metric]
        assert [record.repeat for record in series] == list(range(len(series)))
        assert all(record.value is not None and record.value > 0 for record in series)


@counts_twice
def test_a_profile_holds_the_figures_of_its_parts() -> None:
    values = {record.metric: record.value for record in profile(lambda: build("nlsn"), SPEC, "cpu")}
    assert values["macs"] == trunk_macs(120, 2) + nlsa_macs(120, 6, 3, 20)
    assert values["parameters"] == sum(p.numel() for p in build("nlsn").parameters())
    assert values["weight_bytes"] == 4 * values["parameters"]


def test_the_protocol_says_how_and_can_be_stored() -> None:
    how = protocol(SPEC, "cpu", 2)
    assert how["precision"] == "fp32"
    assert how["device"] == "cpu"
    assert canonical(how)
