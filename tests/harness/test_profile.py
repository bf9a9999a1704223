"""Counts against numbers worked out by hand, and the records of a whole profile."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.profile import cost, profile, protocol
from harness.records import Record, Status, canonical
from methods import build_attention, build_network
from tests.plugins import RAISES, Tiny

C, REDUCED = 8, 2
AS_WRITTEN = {"compile": False, "channels_last": False, "cuda_graphs": False}
SPEC = {"size": "10x12", "scale": 2, "precision": "fp32", "warm_up_s": 0.0, "budget_s": 0.02, **AS_WRITTEN}
NETWORKS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "edsr": ("edsr", {}),
    "nln-plain": ("nln", {"backend": "plain", "reduction": 4}),
    "nln-fused": ("nln", {"backend": "fused", "reduction": 4}),
    "nlsn": ("nlsn", {"chunk_size": 6, "n_hashes": 3}),
}
networks = pytest.mark.parametrize("name", NETWORKS)
# What fvcore does when it is imported.


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
    assert values == {
        "macs": 7 * 9 * 3 * 5 * 9,
        "attention_macs": 0,
        "uncounted_elements": 0,
        "uncounted_bytes": 0,
        "uncounted_products": 0,
        "peak_bytes_fake": 7 * 9 * 5 * 4,
    }


def test_operations_without_multiply_adds_are_counted_by_their_elements() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Flatten(2), nn.Softmax(dim=-1))
    values = cost.count(lambda: network, 4, 5)
    assert (values["macs"], values["attention_macs"], values["uncounted_elements"]) == (0, 0, 2 * 3 * 4 * 5)
    assert values["uncounted_bytes"] == 2 * values["uncounted_elements"] * 4


@pytest.mark.parametrize(("backend", "width"), [("plain", REDUCED), ("fused", C)])
def test_dense_attention_is_counted_by_hand(backend: str, width: int) -> None:
    """The fused form reads queries and keys that zeros have made as wide as the values."""

    def alone() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, C, 1), build_attention("nla", C, reduction=4, backend=backend))

    values = cost.count(alone, 6, 7)
    assert values["attention_macs"] == nla_macs(42, width)
    assert values["macs"] == nla_macs(42, width) + 42 * 3 * C


def test_fused_attention_is_counted_by_its_own_widths() -> None:
    query, key, value = (1, 2, 5, 4), (1, 2, 7, 4), (1, 2, 7, 6)
    assert cost._sdpa_flops(query, key, value) == 2 * 2 * 5 * 7 * (4 + 6)


def test_only_the_plain_form_has_the_elements_of_a_score_matrix() -> None:
    plain, fused = (counted(name, 32, 32)["uncounted_elements"] for name in ("nln-plain", "nln-fused"))
    assert fused < 1024**2 // 4 < 1024**2 <= plain


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


@networks
def test_the_second_count_agrees(name: str) -> None:
    first = counted(name, 12, 16, n_resblocks=8)["macs"]
    second = cost.second_count(build(name, n_resblocks=8).eval(), torch.rand(1, 3, 12, 16), "12x16")
    assert (second.metric, second.size, second.status) == ("macs_fvcore", "12x16", Status.DONE)
    assert second.value == pytest.approx(first, rel=0.01)


def test_a_failing_second_count_is_a_record_with_a_reason() -> None:
    record = cost.second_count(RAISES.build(2, {}), torch.rand(1, 3, 4, 4), "4x4")
    assert record == Record(
        metric="macs_fvcore",
        status=Status.ERROR,
        reason="fvcore cannot count this network: as it was told to",
        size="4x4",
    )


def test_a_large_input_is_not_traced_and_that_is_a_record_too() -> None:
    record = cost.second_count(RAISES.build(2, {}), torch.rand(1, 3, 4, 4), "4320x7680")
    assert record.status is Status.SKIPPED
    assert record.reason == f"fvcore counts by computing: not above {cost.MAX_TRACED_POSITIONS:,} positions"


def test_sizes_count_frozen_parameters_and_buffers() -> None:
    network = nn.BatchNorm2d(4).requires_grad_(requires_grad=False)
    assert cost.sizes_of(network) == {"parameters": 8, "weight_bytes": 4 * (4 * 4) + 8}


def test_attention_inside_attention_is_found_once() -> None:
    outer = build_attention("nla", C)
    outer.inner = build_attention("nlsa", C)
    assert list(cost.attention_modules(nn.Sequential(outer, nn.ReLU(), build_attention("nla", C)))) == ["0", "2"]
    assert list(cost.attention_modules(outer)) == [""]


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
        "uncounted_bytes",
        "uncounted_products",
        "peak_bytes_fake",
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


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_time_and_memory_are_those_of_the_precision(precision: str, dtype: torch.dtype) -> None:
    dtypes: list[torch.dtype] = []

    def note(y: Tensor) -> Tensor:
        if torch.is_inference_mode_enabled():
            dtypes.append(y.dtype)
        return y

    profile(lambda: Tiny(2, note), SPEC | {"precision": precision}, "cpu")
    assert set(dtypes) == {dtype}


def test_a_profile_holds_the_figures_of_its_parts() -> None:
    values = {record.metric: record.value for record in profile(lambda: build("nlsn"), SPEC, "cpu")}
    assert values["macs"] == trunk_macs(120, 2) + nlsa_macs(120, 6, 3, 20)
    assert values["parameters"] == sum(p.numel() for p in build("nlsn").parameters())
    assert values["weight_bytes"] == 4 * values["parameters"]
    assert values["peak_bytes_fake"] == values["peak_bytes"]
    assert values["uncounted_products"] == 0


def test_the_protocol_says_how_and_can_be_stored() -> None:
    how = protocol(SPEC, "cpu", 2)
    assert how["precision"] == "fp32"
    assert how["device"] == "cpu"
    assert canonical(how)
