"""Stores whose images are larger than a crop, each method wrong in a place of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from datasets.resize import Image
from datasets.sets import Pair
from harness.pictures import kept
from harness.records import Artifact
from tests.stores import Ask, rings

SIDE = 192
FAULTS = {"Bicubic": (0, 0, 100), "EDSR": (120, 16, 40), "NLN": (120, 60, 60), "NLN fused": (120, 60, 60)}
"""Where the square of a method is whose levels are off, in high-resolution rows and columns, and by how much."""


def truth() -> Image:
    return np.asarray(rings(SIDE)) // 2 + 20


def rebuilt(label: str) -> Image:
    image = truth().copy()
    top, left, off = FAULTS.get(label, (0, 0, 0))
    image[top : top + 24, left : left + 24] += np.uint8(off)
    return image


@functools.cache
def pictures(label: str, dataset: str, image: str, scale: int, at: tuple[int, int] | None) -> list[Artifact]:
    hr = truth()
    return kept(Pair(image, hr, hr[::scale, ::scale].copy()), rebuilt(label), dataset, scale, at)


@contextmanager
def larger(at: tuple[int, int] | None = None) -> Iterator[None]:
    """`tests.stores` keeps such images, as an evaluation keeps them."""

    def crops_of(ask: Ask, dataset: str, image: str) -> list[Artifact]:
        label = ask.variant.label if ask.variant.label in FAULTS else ""
        return pictures(label, dataset, image, ask.scale, at)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.stores.crops_of", crops_of)
        yield
