"""Strips of crops: the same place of one image as every method rebuilds it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.records import Status
from reports.frames import BASELINE, Frames
from reports.quality import Quality
from reports.tables import TIMES, fixed

PLACE = ["scale", "dataset", "image", "comparable"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of a strip; `pixelated` ones are enlarged without smoothing."""

    title: str
    score: str
    alt: str
    content: str
    pixelated: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strip:
    """All pictures of one place; `wide` ones are whole images."""

    title: str
    protocol: str
    tiles: tuple[Tile, ...]
    wide: bool = False


def strips(frames: Frames, qualities: list[Quality]) -> list[Strip]:
    """A strip per scale, data set, image and protocol: low resolution, the baseline, each method, the truth."""
    held = _held(frames, "lr", "sr", "hr")
    held = held.sort_values(by="method", key=lambda methods: methods != BASELINE, kind="stable")
    scores = {(q.scale, q.dataset, q.comparable): q for q in qualities}
    return [_strip(group, scores) for _, group in held.groupby(PLACE, sort=False)]


def maps(frames: Frames, name: str, what: str, *, pixelated: bool = False) -> list[Strip]:
    """A strip per scale, data set, image and protocol: the map called `name` of each method; `what` says what it is."""
    return [_maps(group, what, pixelated) for _, group in _held(frames, name).groupby(PLACE, sort=False)]


def _maps(group: pd.DataFrame, what: str, pixelated: bool) -> Strip:
    first = group.iloc[0]
    place = f"{first['image']} ({first['dataset']} {TIMES}{first['scale']})"
    drawn = group.drop_duplicates("label")
    tiles = [
        Tile(title=str(label), score="", alt=f"{label}: {what}, {place}", content=str(content), pixelated=pixelated)
        for label, content in zip(drawn["label"], drawn["content"], strict=True)
    ]
    return Strip(title=place, protocol=str(first["comparable"]), tiles=tuple(tiles), wide=True)


def _held(frames: Frames, *names: str) -> pd.DataFrame:
    """The pictures of these names, of tasks that are done."""
    artifacts = frames.artifacts
    return artifacts[(artifacts["task_status"] == Status.DONE) & artifacts["name"].isin(names)]


def _strip(group: pd.DataFrame, qualities: Mapping[tuple[int, str, str], Quality]) -> Strip:
    first = group.iloc[0]
    image, quality = str(first["image"]), qualities.get((first["scale"], first["dataset"], first["comparable"]))
    place = f"{image} ({first['dataset']} {TIMES}{first['scale']})"
    rebuilt = group[group["name"] == "sr"].drop_duplicates("label")
    tiles = [_plain(group, "lr", "Low resolution", place, pixelated=True)]
    contents = zip(rebuilt["label"], rebuilt["content"], strict=True)
    tiles += [_rebuilt(label, content, place, image, quality) for label, content in contents]
    tiles.append(_plain(group, "hr", "Original", place))
    return Strip(title=place, protocol=str(first["comparable"]), tiles=tuple(tile for tile in tiles if tile))


def _plain(group: pd.DataFrame, name: str, title: str, place: str, *, pixelated: bool = False) -> Tile | None:
    found = group.loc[group["name"] == name, "content"]
    if found.empty:
        return None
    alt = f"{title}: crop of {place}"
    return Tile(title=title, score="", alt=alt, content=str(found.iloc[0]), pixelated=pixelated)


def _rebuilt(label: str, content: str, place: str, image: str, quality: Quality | None) -> Tile:
    score = ""
    if quality is not None and image in quality.images.index and label in quality.images:
        value: Any = quality.images.loc[image, label]
        score = f"{fixed(float(value), 2)} dB"
    return Tile(title=label, score=score, alt=f"{label}: crop of {place}, {score}".rstrip(", "), content=content)
