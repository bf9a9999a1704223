"""Pictures of a run: the same place of one image as every method rebuilds it, and maps drawn over images."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.pictures import CROP_SIDE, KEPT_SIDE, Plane
from harness.records import Status
from reports.frames import BASELINE, Frames
from reports.images import boxed, cut, decoded, difference, encoded, sides, spread, window_around, window_at
from reports.tables import TIMES, fixed

PLACE = ["scale", "dataset", "image", "comparable"]
LEAST_SPREAD = 1.0
"""Methods that nowhere differ by a level of luma differ by rounding."""
Pixels = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of a strip; `pixelated` ones are enlarged without smoothing.

    `content` is a file in base64, `source` its address once a page has a place for it.
    """

    title: str
    score: str
    alt: str
    content: str
    pixelated: bool = False
    source: str = ""

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return sides(self.content)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strip:
    """All pictures of one place; `wide` ones are whole images. `left_out` pictures had no room on the page."""

    title: str
    protocol: str
    tiles: tuple[Tile, ...]
    wide: bool = False
    left_out: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One image under every method: where it is cut, the crops, how they differ from the original, all of it.

    `overview` is the whole image with a box, or nothing if the crops are the whole image.
    """

    title: str
    protocol: str
    note: str
    overview: Strip
    crops: Strip
    errors: Strip
    views: Strip


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Held:
    """What the store holds of one image: `rebuilt` has a row per method, the baseline first."""

    place: str
    protocol: str
    scale: int
    files: dict[str, str]
    rebuilt: pd.DataFrame
    scores: dict[str, str]

    @property
    def spot(self) -> dict[str, Any]:
        """Size of the image, corner of the part that is kept, and the middle of the crop if the grid names it."""
        if "place" in self.files:
            found: dict[str, Any] = json.loads(base64.b64decode(self.files["place"]))
            return found
        return {"size": self.size, "corner": [0, 0], "at": None}

    @property
    def size(self) -> Pixels:
        """Height and width of the part that is kept, in low-resolution pixels."""
        height, width, _ = decoded(self.files["hr"]).shape
        return height // self.scale, width // self.scale


def scenes(frames: Frames) -> Iterator[Scene]:
    """One per scale, data set, image and protocol, in the order in which the run asked for them."""
    held = _held(frames, "place", "whole", "lr", "sr", "hr")
    held = held.sort_values(by="method", key=lambda methods: methods != BASELINE, kind="stable")
    held = held.merge(_originals(held), on=["attempt_id", "dataset", "image"], how="inner")
    scores = _scores(frames, held)
    return (_scene(_gathered(group, scores)) for _, group in held.groupby([*PLACE, "original"], sort=False))


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


def _originals(held: pd.DataFrame) -> pd.DataFrame:
    """What tells the original of each attempt's image from others: runs may have kept another part of it, or less."""
    originals = held[held["name"] == "hr"].drop_duplicates(["attempt_id", "dataset", "image"])
    told = originals["content"].map(lambda content: hashlib.sha256(content.encode()).hexdigest())
    return originals[["attempt_id", "dataset", "image"]].assign(original=told)


def _scores(frames: Frames, held: pd.DataFrame) -> dict[tuple[str, str], str]:
    """PSNR-Y and SSIM-Y by attempt and image, of the very images that are shown."""
    records = frames.measured("psnr_y", "ssim_y")
    records = records[records["attempt_id"].isin(set(held["attempt_id"]))]
    values = records.pivot_table(index=["attempt_id", "image"], columns="metric", values="value")
    values = values.reindex(columns=["psnr_y", "ssim_y"])
    return {(str(a), str(i)): f"{fixed(p, 2)} dB / {fixed(s, 4)}" for (a, i), p, s in values.itertuples()}


def _gathered(group: pd.DataFrame, scores: dict[tuple[str, str], str]) -> _Held:
    first, rebuilt = group.iloc[0], group[group["name"] == "sr"].drop_duplicates("label")
    others = group[group["name"] != "sr"].drop_duplicates("name")
    image = str(first["image"])
    keys = zip(rebuilt["label"], rebuilt["attempt_id"], strict=True)
    return _Held(
        place=f"{image} ({first['dataset']} {TIMES}{first['scale']})",
        protocol=str(first["comparable"]),
        scale=int(first["scale"]),
        files=dict(zip(others["name"], others["content"], strict=True)),
        rebuilt=rebuilt,
        scores={str(label): scores.get((str(attempt), image), "") for label, attempt in keys},
    )


def _scene(held: _Held) -> Scene:
    spot, size = held.spot, held.size
    corner = spot["corner"]
    if spot["at"]:
        window = window_around((spot["at"][0] - corner[0], spot["at"][1] - corner[1]), size)
    else:
        window = window_at(_amount(held), held.scale)
    crops = _crops(held, window)
    return Scene(
        title=held.place,
        protocol=held.protocol,
        note=_note(spot, size, window),
        overview=_strip(held, [_overview(held, window)] if _is_part(spot, size) else []),
        crops=_strip(held, crops),
        errors=_strip(held, _errors(crops)),
        views=_strip(held, _views(held), wide=True),
    )


def _strip(held: _Held, tiles: list[Tile], *, wide: bool = False) -> Strip:
    return Strip(title=held.place, protocol=held.protocol, tiles=tuple(tiles), wide=wide)


def _amount(held: _Held) -> Plane:
    """How much methods differ at each pixel: networks, or else with bicubic, or else one method from the original.

    Bicubic is further from any network than they are from each other and would choose alone.
    """
    contents = held.rebuilt["content"]
    for chosen in (contents[held.rebuilt["method"] != BASELINE], contents):
        if len(chosen) > 1 and (amount := spread(map(decoded, chosen))).max() >= LEAST_SPREAD:
            return amount
    return spread(map(decoded, (contents.iloc[0], held.files["hr"])))


def _is_part(spot: dict[str, Any], size: Pixels) -> bool:
    """Whether a crop leaves something of the image out."""
    return max(spot["size"]) > CROP_SIDE or tuple(spot["size"]) != size


def _note(spot: dict[str, Any], size: Pixels, window: Pixels) -> str:
    if not _is_part(spot, size):
        return ""
    top, left = (corner + begin for corner, begin in zip(spot["corner"], window, strict=True))
    why = "as the grid asks" if spot["at"] else "chosen because methods differ most there"
    told = f"Cut at row {top}, column {left} of the low-resolution image, {why}."
    cut_down = f" Of this image a part of {KEPT_SIDE} pixels a side at most is kept, and looked at."
    return told + (cut_down if tuple(spot["size"]) != size else "")


def _overview(held: _Held, window: Pixels) -> Tile:
    spot = held.spot
    sides = spot["size"]
    corner = [(c + w) / side for c, w, side in zip(spot["corner"], window, sides, strict=True)]
    share = [min(CROP_SIDE, n) / side for n, side in zip(held.size, sides, strict=True)]
    image = boxed(decoded(held.files.get("whole", held.files["hr"])), (corner[0], corner[1]), (share[0], share[1]))
    alt = f"The whole image, a box where it is cut: {held.place}"
    return Tile(title="Original, whole", score="", alt=alt, content=encoded(image, exact=False))


def _crops(held: _Held, window: Pixels) -> list[Tile]:
    """The original first, as papers have it, then what the methods were given, then they."""
    alt = f"crop of {held.place}"
    original = cut(held.files["hr"], window, held.scale)
    tiles = [Tile(title="Original", score="PSNR / SSIM", alt=f"Original: {alt}", content=original)]
    if "lr" in held.files:
        low = cut(held.files["lr"], window, 1)
        tiles.append(Tile(title="Low resolution", score="", alt=f"Low resolution: {alt}", content=low, pixelated=True))
    for label, content in _rebuilt(held):
        score = held.scores[label]
        told = f"{label}: {alt}, {score}".rstrip(", ")
        tiles.append(Tile(title=label, score=score, alt=told, content=cut(content, window, held.scale)))
    return tiles


def _errors(crops: list[Tile]) -> list[Tile]:
    """How far each method's crop is from the original's, which is the first."""
    original, *others = [tile for tile in crops if not tile.pixelated]
    shown = [(tile, difference(tile.content, original.content)) for tile in others]
    return [
        dataclasses.replace(tile, alt=f"Difference from the original, {tile.alt}", content=content)
        for tile, content in shown
    ]


def _views(held: _Held) -> list[Tile]:
    """All that is kept of the image, the original first."""
    tiles = [Tile(title="Original", score="", alt=f"Original: {held.place}", content=held.files["hr"])]
    for label, content in _rebuilt(held):
        score = held.scores[label]
        tiles.append(
            Tile(title=label, score=score, alt=f"{label}: {held.place}, {score}".rstrip(", "), content=content)
        )
    return tiles


def _rebuilt(held: _Held) -> Iterator[tuple[str, str]]:
    return zip(held.rebuilt["label"].map(str), held.rebuilt["content"].map(str), strict=True)
