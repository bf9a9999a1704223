"""What `run_all.py cost` prints: tables that add up, marks, mistakes."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from harness.cost_report import Asked, CostReport, cost_report, setting
from harness.cost_tables import short, tables
from harness.errors import UserError
from harness.profile import cost
from harness.records import Record, Status
from methods import build_network, method
from methods.catalogue import NETWORKS
from tests.commands import here

TINY = {"n_feats": 16, "n_resblocks": 1, "n_resgroups": 3, "attention_every": 1, "chunk_size": 4, "n_clusters": 5}
ELSEWHERE = "tests.harness.test_cost_report:UNCOUNTED"


def report(name: str, size: str = "12x13", **asked: Any) -> CostReport:
    settings = {key: value for key, value in TINY.items() if key in method(name).settings()}
    return cost_report(Asked(method=name, size=size, settings=settings | asked.pop("settings", {}), **asked))


def printed(found: CostReport) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(tables(found))
    return captured.get()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_lines_of_the_table_add_up(name: str) -> None:
    found = report(name)
    outer = [line for line in found.lines if not line.inside]
    assert sum(line.macs for line in outer) == found.counted.macs
    assert sum(line.parameters for line in outer) == sum(p.numel() for p in found.counted.network.parameters())
    assert all(line.macs == 0 for line in outer if line.name == "outside of these")
    kinds = [line for line in outer if " x " in line.name]
    assert bool(kinds) == (name != "edsr")
    inside = [line for line in found.lines if line.inside]
    assert sum(line.macs for line in inside) == sum(line.macs for line in kinds) == found.counted.attention_macs
    assert sum(line.parameters for line in inside) == sum(line.parameters for line in kinds)
    assert "its own products" not in {line.name for line in inside}


def test_the_body_without_attention_is_that_of_the_twin() -> None:
    twin, found = ({line.name: line for line in report(name).lines} for name in ("edsr", "nlsn"))
    assert found["body, without attention"][1:] == twin["body"][1:]
    assert found["tail"] == twin["tail"]


def test_attentions_that_share_an_affinity_are_a_kind_of_their_own() -> None:
    found = {line.name: line for line in report("lcoan").lines}
    assert {"1 x BucketedAttention", "2 x BucketedAttention"} <= set(found)
    assert found["hashing"].macs == 12 * 13 * 16 * 5
    assert found["conv_match"] == ("conv_match", 0, 2 * (9 * 16 * 16 + 16), True)


def test_figures_are_those_of_a_profile() -> None:
    settings = {key: value for key, value in TINY.items() if key in method("nlsn").settings()}
    figures = cost.count(lambda: build_network("nlsn", 2, **settings), 12, 13)
    told = report("nlsn").as_json()
    assert told["figures"].items() >= figures.items()
    assert told["macs_fvcore"] == pytest.approx(figures["macs"], rel=0.01)
    assert told["formula_macs"] == figures["attention_macs"]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "edsr"])
def test_one_attention_alone_is_that_of_the_network(name: str) -> None:
    whole, alone = report(name), report(name, alone=True)
    first = next(iter(whole.counted.inputs))
    assert alone.counted.macs == whole.counted.module_macs[first] == alone.formula_macs
    assert [line.macs for line in alone.lines if not line.inside] == [alone.counted.macs]
    assert "one attention, features 12 x 13 (height x width)" in printed(alone)


def test_a_network_that_can_be_counted_is_not_marked() -> None:
    found = report("nlsn")
    assert found.marks == ()
    assert "MARKED" not in printed(found)
    assert "nlsn x2: 12 x 13 to 24 x 26 (height x width), fp32" in printed(found)


def test_a_second_count_that_differs_is_a_mark() -> None:
    found = report("nlsn")
    for factor, marked in ((1.009, False), (1.011, True), (0.989, True)):
        second = Record(metric="macs_fvcore", value=found.counted.macs * factor, size="12x13")
        other = dataclasses.replace(found, second=second)
        assert bool(other.marks) == marked
    assert "MARKED: the two counts differ by -1.1%" in printed(other)


def test_a_product_that_nobody_counts_is_a_mark() -> None:
    found = cost_report(Asked(method=ELSEWHERE, size="4x5"))
    assert any("1 matrix products or operations from elsewhere have no formula" in mark for mark in found.marks)
    assert "aten.mv NOT COUNTED" in printed(found)
    assert "nobody has written it" not in printed(found)


def test_a_formula_that_differs_is_a_mark() -> None:
    found = report("nlsn")
    assert found.formula is not None
    wrong = {name: [t for t in terms if t.part != "hashing"] for name, terms in found.formula.items()}
    other = dataclasses.replace(found, formula=wrong)
    assert any("its formula gives" in mark for mark in other.marks)
    assert "its own products" in {line.name for line in other.lines}


@pytest.mark.parametrize("asked", [Asked(method="edsr", size="32x32"), Asked(method="bicubic", size="4320x7680")])
def test_a_large_forward_is_counted_by_fvcore_no_more(asked: Asked) -> None:
    """Neither one of many multiply-adds nor one of many positions and none."""
    found = cost_report(asked)
    assert found.second.status is Status.SKIPPED
    assert found.second.reason == "fvcore counts by computing: not above 10 G MACs or 12,288 positions"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chunk_size=36", ("chunk_size", 36)),
        ("res_scale = 0.5", ("res_scale", 0.5)),
        ("match_relu=true", ("match_relu", True)),
        ("assign=kmeans", ("assign", "kmeans")),
        ('assign="kmeans"', ("assign", "kmeans")),
    ],
)
def test_settings_are_written_as_in_a_grid(text: str, expected: tuple[str, object]) -> None:
    assert setting(text) == expected


@pytest.mark.parametrize("text", ["chunk_size", "=3", "chunk_size=", "chunk_size=[3, 4]", "chunk_size={a = 1}"])
def test_a_setting_that_is_none_is_a_mistake(text: str) -> None:
    with pytest.raises(UserError, match=r"name=value|one value"):
        setting(text)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"method": "dlns"}, "unknown method 'dlns'. Did you mean 'dlsn'?"),
        ({"settings": {"chunk_sise": 3}}, "unknown setting of dlsn 'chunk_sise'. Did you mean 'chunk_size'?"),
        ({"settings": {"chunk_size": 0}}, "chunk_size must be at least 1, not 0"),
        ({"settings": {"assign": "superbits"}}, "Did you mean 'superbit'?"),
        ({"size": "4k"}, "a size is written height x width, such as 4320x7680, not '4k'"),
        ({"scale": 5}, "scale must be one of (2, 3, 4), not 5"),
        ({"precision": "fp23"}, "Did you mean 'fp32'?"),
        ({"method": "edsr", "alone": True}, "edsr has no attention"),
        ({"method": "spandrel"}, "its network is read from a file"),
        ({"method": "nowhere.at:ALL"}, "cannot load method 'nowhere.at:ALL'"),
    ],
)
def test_a_mistake_is_told_in_one_line(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        cost_report(Asked(**{"method": "dlsn", "size": "8x8", **asked}))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bicubic_is_no_network_and_still_has_a_cost() -> None:
    found = cost_report(Asked(method="bicubic", size="24x25"))
    assert (found.counted.macs, found.lines) == (0, ())
    assert found.counted.uncounted


def test_numbers_are_short() -> None:
    assert [short(v, u) for v, u in ((0, ""), (999, "B"), (1234, ""), (2.4473e15, ""), (9.02e11, "B"), (4e21, ""))] == [
        "0", "999 B", "1.234 k", "2.447 P", "902 GB", "4000 E",
    ]  # fmt: skip


def test_8k_is_answered_as_a_table_and_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = here("cost", "dlsn", "--size", "4320x7680")
    assert told.returncode == 0, told.stderr
    for text in ("2,447,266,203,648,000", "4320 x 7680 to 8640 x 15360 (height x width)", "weighted sums", "aten.sort"):
        assert text in told.stdout
    read = here("cost", "dlsn", "--size", "4320x7680", "--json", "--set", "assign=kmeans", "--precision", "bf16")
    found = json.loads(read.stdout)
    assert found["settings"]["assign"] == "kmeans"
    assert found["figures"]["attention_macs"] == found["formula_macs"]
    assert (found["precision"], found["marks"]) == ("bf16", [])


def test_the_command_explains_itself() -> None:
    told = here("cost", "--help").stdout
    for option in ("--size", "--scale", "--set", "--precision", "--attention", "--json"):
        assert option in told


def test_a_mistake_ends_with_exit_code_2() -> None:
    told = here("cost", "dlsn", "--size", "4320")
    assert told.returncode == 2
    assert told.stderr == "error: a size is written height x width, such as 4320x7680, not '4320'\n"


class _Uncounted(torch.nn.Module):
    """Enlarges by repeating, and multiplies by a product that no table of formulas has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.mv(x.flatten(2)[0], torch.ones_like(x[0, 0]).flatten())
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2) * scale.view(-1, 1, 1)


class _Method:
    name, title, trainable = "uncounted", "Uncounted", True
    execution: frozenset[str] = frozenset()

    def settings(self, chosen: Any = ()) -> dict[str, Any]:
        return dict(chosen)

    def build(self, scale: int, settings: Any) -> torch.nn.Module:
        assert scale == 2
        assert not settings
        return _Uncounted()


UNCOUNTED = _Method()


def test_a_size_beyond_all_numbers_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="99999999x99999999 is more than can be counted"):
        cost_report(Asked(method="edsr", size="99999999x99999999"))
