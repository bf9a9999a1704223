"""Closed formulas against the count of a forward, exactly; and against the numbers that the method cards print."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from torch import nn

from harness.cost_report import Asked, cost_report
from harness.profile.cost import counted
from methods import build_attention, method
from methods.bucketed import ASSIGNS, SCORES, VALUES, BucketRecipe
from methods.catalogue import ATTENTIONS, NETWORKS
from methods.dense import DenseRecipe, Softmax
from methods.formulas import attention_macs, attention_terms
from methods.papers import paper
from methods.parts.fuse import FUSES
from methods.published import Method

C, CHUNK = 16, 4
SIZES = [(1, 1), (1, 7), (2, 4), (5, 7), (16, 16), (29, 31)]
"""One position, under two chunks, two chunks, not aligned, some buckets, more chunks than buckets can be."""
CHOSEN = {"chunk_size": CHUNK, "n_clusters": 5, "n_features": 24}
TINY = {"n_feats": C, "n_resblocks": 1, "n_resgroups": 3, "attention_every": 1, **CHOSEN}
RELEASED = [name for name in NETWORKS if name != "edsr"]
SQUARE = 48
"""Side of an image that is whole chunks of each released size, and beyond 128 of them."""


def released(attention: str) -> Mapping[str, Any]:
    """The settings of the network that carries it."""
    owner = next(name for name in RELEASED if NETWORKS[name].split(":")[0] == ATTENTIONS[attention].split(":")[0])
    return method(owner).settings()


def agrees(build: Any, size: tuple[int, int]) -> None:
    module = build()
    found = counted(build, C, *size)
    assert attention_macs(module.recipe, C, *size) == found.macs > 0
    assert found.uncounted_products == 0


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ATTENTIONS)
def test_the_formula_of_every_attention_is_its_count(name: str, size: tuple[int, int]) -> None:
    settings = method_settings(name, CHOSEN)
    agrees(lambda: build_attention(name, C, **settings), size)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [name for name in ATTENTIONS if "backend" in released(name)])
def test_a_fused_twin_multiplies_no_more_and_no_less(name: str, size: tuple[int, int]) -> None:
    """Dense attention's has a formula of its own, since its kernel wants queries and keys as wide as values."""
    settings = method_settings(name, CHOSEN) | {"backend": "fused"}
    agrees(lambda: build_attention(name, C, **settings), size)


def method_settings(attention: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `chosen` that the attention has."""
    return {name: value for name, value in chosen.items() if name in released(attention)}


@pytest.mark.parametrize(("score", "value", "fuse"), list(itertools.product(SCORES, VALUES, FUSES)))
@pytest.mark.parametrize("assign", ASSIGNS)
def test_the_formula_of_every_ablation_is_its_count(assign: str, score: str, value: str, fuse: str) -> None:
    parts = {"assign": ASSIGNS[assign], "score": SCORES[score], "value": VALUES[value], "fuse": FUSES[fuse]}
    recipe = BucketRecipe(**parts, chunk_size=6, reduction=2, k_size=5, match_relu=True)
    for size in ((5, 7), (28, 29)):
        agrees(lambda: recipe.build(C), size)


@pytest.mark.parametrize("hash_length", [0, 1, 5])
@pytest.mark.parametrize("draw", ["redraw", "frozen"])
def test_the_formula_knows_the_bits_of_a_hash(hash_length: int, draw: str) -> None:
    settings = {"chunk_size": CHUNK, "hash_length": hash_length, "draw": draw, "n_hashes": 2}
    for size in SIZES:
        agrees(lambda: build_attention("dnla", C, **settings), size)


@pytest.mark.parametrize("reduction", [1, 2, 4])
@pytest.mark.parametrize("fuse", FUSES)
@pytest.mark.parametrize("backend", ["plain", "fused"])
def test_the_formula_of_dense_attention_is_its_count(backend: str, fuse: str, reduction: int) -> None:
    recipe = DenseRecipe(weighting=Softmax(backend=backend), fuse=FUSES[fuse], reduction=reduction)
    for size in SIZES:
        agrees(lambda: recipe.build(C), size)


@pytest.mark.parametrize("name", RELEASED)
def test_the_formula_of_every_network_is_its_count(name: str) -> None:
    network_agrees(name, {})


@pytest.mark.parametrize("share_from", [0, 1, 2])
@pytest.mark.parametrize("name", ["nlsn", "lcoan", "dtfn"])
def test_the_formula_knows_who_takes_the_affinity_of_another(name: str, share_from: int) -> None:
    network_agrees(name, {"share_from": share_from})


def network_agrees(name: str, settings: Mapping[str, Any]) -> None:
    known = method(name).settings()
    settings = {key: value for key, value in TINY.items() if key in known} | settings
    found = cost_report(Asked(method=name, size="29x31", settings=settings))
    assert found.formula is not None
    assert len(found.formula) in {2, 3}
    assert found.formula_macs == found.counted.attention_macs
    assert not any("formula" in mark for mark in found.marks)


def per_position(name: str, place: int = 1) -> dict[str, int]:
    """The lines of a released formula at 144 x 48^2 positions, divided by them."""
    released = method(name)
    assert isinstance(released, Method)
    n = (SQUARE * 144) * SQUARE
    terms = attention_terms(released.recipe, released.trunk.n_feats, SQUARE * 144, SQUARE, place=place)
    return {term.part: term.macs // n for term in terms}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("nlsn", [("match", "values"), ("hashing",), ("scores", "weighted sums")]),
        ("dnlan", [("match", "values"), ("hashing",), ("scores", "weighted sums")]),
        ("enlcn", [("queries, keys", "values"), ("features", "sums over keys, answers")]),
        ("dlsn", [("hashing",), ("scores", "weighted sums")]),
        ("dtfn", [("values",), ("hashing",), ("scores", "weighted sums"), ("fusion",)]),
        ("nln", [("queries, keys", "values")]),
        ("hspan", [("queries, keys", "values")]),
        ("lcoan", [("match", "hashing", "scores", "values", "weighted sums")]),
    ],
)
def test_cards_print_what_the_formula_gives(name: str, lines: list[tuple[str, ...]]) -> None:
    text, found = paper(name).cost, per_position(name)
    for parts in lines:
        assert f"{sum(found[part] for part in parts):,}" in text, parts


def test_the_card_prints_what_a_shared_affinity_leaves() -> None:
    found = per_position("lcoan", place=2)
    assert set(found) == {"values", "weighted sums"}
    assert f"{sum(found.values()):,} in each later one" in paper("lcoan").cost


def test_a_recipe_from_elsewhere_has_no_formula_until_somebody_writes_it() -> None:
    @dataclasses.dataclass(frozen=True)
    class Elsewhere:
        reduction: int = 2

    with pytest.raises(NotImplementedError, match="nobody has written the closed formula of Elsewhere"):
        attention_terms(Elsewhere(), C, 3, 4)
    with pytest.raises(NotImplementedError, match="closed formula of Linear"):
        attention_terms(nn.Linear(1, 1), C, 3, 4)
