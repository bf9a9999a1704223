"""Looking into attention on images: which part, which queries, what is recorded, what is drawn."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import Tensor, nn

import datasets
import methods
from datasets.sets import ImageSet, Pair
from harness.attend import ATTENDED, QUERY, attend, attention_map, cut
from methods.interface import Carry, NonLocal, UnavailableError

SPEC: dict[str, Any] = {
    "size": "16x20",
    "precision": "fp32",
    "hash_seed": 0,
    "images": 2,
    "queries": 10,
    "top": 4,
    "maps": 1,
    "at": {},
}


@pytest.fixture
def images(image_folder: Path) -> ImageSet:
    return datasets.load(str(image_folder), 2)


def network(name: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return methods.build_network(name, 2, n_feats=8, n_resblocks=1, **settings).eval()


def values(images: ImageSet, net: nn.Module, **changes: Any) -> dict[tuple[str, str | None], list[float]]:
    found: dict[tuple[str, str | None], list[float]] = {}
    for record in attend(net, images, SPEC | changes, "cpu", lambda *_: None)[0]:
        assert record.value is not None
        assert (record.dataset, record.size) == (images.name, "16x20")
        found.setdefault((record.metric, record.module), []).append(record.value)
    return found


def pair(height: int, width: int) -> Pair:
    """An image whose only detail is one bright square, at rows 40 to 60 and columns 100 to 120."""
    hr = np.zeros((2 * height, 2 * width, 3), dtype=np.uint8)
    hr[40:60, 100:120] = np.random.default_rng(0).integers(0, 256, (20, 20, 3))
    return Pair("a", hr, hr[::2, ::2].copy())


def test_every_attention_of_every_image_has_its_figures(images: ImageSet) -> None:
    found = values(images, network("nlsn", chunk_size=16, attention_every=1))
    modules = {module for _, module in found}
    assert len(modules) == 2
    assert {metric for metric, _ in found} == {"attention_entropy", "recall_top", "recall_mass"}
    assert all(len(each) == 2 for each in found.values())
    assert all(0 < value < 1 for (metric, _), each in found.items() for value in each if metric != "attention_entropy")
    assert all(0 < value < math.log2(320) for value in found["attention_entropy", min(modules, key=str)])


def test_dense_attention_recalls_all(images: ImageSet) -> None:
    found = values(images, network("nln"))
    assert all(v == pytest.approx(1) for (metric, _), each in found.items() for v in each if "recall" in metric)


def test_more_rounds_and_larger_chunks_reach_more(images: ImageSet) -> None:
    def recall(**settings: Any) -> float:
        found = values(images, network("nlsn", **settings), queries=300)
        return float(np.mean([v for (metric, _), each in found.items() for v in each if metric == "recall_mass"]))

    assert recall(chunk_size=8, n_hashes=1) < recall(chunk_size=8, n_hashes=4) < recall(chunk_size=64, n_hashes=4)


def test_a_seed_gives_the_same_figures_and_another_does_not(images: ImageSet) -> None:
    net = network("nlsn", chunk_size=16)
    assert values(images, net) == values(images, net)
    assert values(images, net) != values(images, net, hash_seed=1)


def test_the_part_is_cut_around_the_busiest_place_and_holds_the_query() -> None:
    part, query = cut(pair(60, 90), None, 20, 24)
    row, column = divmod(query, 24)
    assert part.shape == (20, 24, 3)
    assert part.any()
    assert (row, column) == (10, 12)


@pytest.mark.parametrize("at", [(0, 0), (59, 89), (30, 40), (0, 89)])
def test_the_part_stays_inside_the_image_and_the_query_where_it_was_asked(at: tuple[int, int]) -> None:
    subject = pair(60, 90)
    subject.lr[at] = 7
    part, query = cut(subject, at, 20, 24)
    assert part.shape == (20, 24, 3)
    assert (part.reshape(-1, 3)[query] == 7).all()
    assert cut(subject, at, 60, 90)[1] == at[0] * 90 + at[1]


def test_a_map_marks_the_query_and_colours_what_it_attends_to() -> None:
    image, weights = np.full((9, 9, 3), 120, dtype=np.uint8), np.zeros((9, 9))
    weights[0, 8], weights[8, 0] = 0.8, 0.2
    shown = attention_map(image, weights, 4 * 9 + 4)
    assert tuple(shown[0, 8]) == ATTENDED
    ring = [(r, c) for r in range(9) for c in range(9) if (shown[r, c] == QUERY).all()]
    assert ring == [(r, c) for r in range(2, 7) for c in range(2, 7) if max(abs(r - 4), abs(c - 4)) == 2]
    grey, half = shown[8, 8].astype(float), shown[8, 0].astype(float)
    np.testing.assert_allclose(half, (grey + ATTENDED) / 2, atol=1)


def test_maps_are_kept_of_the_first_images_and_of_those_named(images: ImageSet) -> None:
    def mapped(**changes: Any) -> list[str]:
        return [a.image for a in attend(network("nln"), images, SPEC | changes, "cpu", lambda *_: None)[1]]

    assert mapped() == ["chelsea"]
    assert mapped(maps=0) == []
    assert mapped(at={"coffee": (3, 4)}) == ["chelsea", "coffee"]
    assert mapped(at={"coffee": (3, 4)}, images=1) == ["chelsea", "coffee"]
    _, (picture,) = attend(network("nln"), images, SPEC, "cpu", lambda *_: None)
    assert Pillow.open(io.BytesIO(picture.content)).size == (20, 16)


def test_an_attention_that_does_not_tell_is_unavailable(images: ImageSet) -> None:
    class Silent(NonLocal):
        def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002
            return x

    with pytest.raises(UnavailableError, match="Silent does not tell"):
        attend(nn.Sequential(Silent()), images, SPEC, "cpu", lambda *_: None)
