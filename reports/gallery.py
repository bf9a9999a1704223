"""Where a page has its pictures: in itself, as far as there is room, or in files beside it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from reports.crops import Strip, Tile, scenes
from reports.frames import Frames
from reports.images import GAIN

EMBEDDED = 16 * 2**20
"""Most characters of pictures in a page that holds them itself: tables and figures leave it below 25 MB."""
PICTURES = "pictures"
SIGNATURES = {"iVBORw0KGgo": "png", "UklGR": "webp"}
"""How files of each format begin in base64."""
NAME_LENGTH = 60

Write = Callable[[Path, bytes], None]


class Album(Protocol):
    """Gives pictures their addresses."""

    sources: str
    """Where a page may have pictures from, as a content security policy names it."""

    def place(self, strip: Strip) -> Strip:
        """The strip with an address for each picture, or without any if it has no room."""


class Embedded:
    """Pictures inside the page, whole strips in the order in which they come until `room` characters are full."""

    sources = "data:"

    def __init__(self, room: int = EMBEDDED) -> None:
        self._room = room

    def place(self, strip: Strip) -> Strip:
        """The strip with its pictures as data URIs."""
        needed = sum(len(tile.content) for tile in strip.tiles)
        if needed > self._room:
            return dataclasses.replace(strip, tiles=(), left_out=len(strip.tiles))
        self._room -= needed
        return _addressed(strip, lambda tile: f"data:image/{_format(tile)};base64,{tile.content}")


class Beside:
    """Pictures in files in the folder `pictures` beside the page; `write` puts a file there."""

    sources = "'self' file: data:"

    def __init__(self, folder: Path, write: Write) -> None:
        self._folder, self._write = folder, write

    def place(self, strip: Strip) -> Strip:
        """The strip with its pictures written, by relative addresses."""
        return _addressed(strip, self._file)

    def _file(self, tile: Tile) -> str:
        content = base64.b64decode(tile.content)
        name = f"{file_name(tile.alt, content)}.{_format(tile)}"
        self._write(self._folder / PICTURES / name, content)
        return f"{PICTURES}/{name}"


def pictured(frames: Frames, content: dict[str, Any], album: Album) -> dict[str, Any]:
    """`content` of a page with its pictures: crops before maps before full size where there is no room for all."""
    shown = list(scenes(frames))
    overviews, crops = ([album.place(getattr(scene, name)) for scene in shown] for name in ("overview", "crops"))
    found = {name: content[name] | {"maps": _placed(content[name]["maps"], album)} for name in ("harm", "attention")}
    errors, views = ([album.place(getattr(scene, name)) for scene in shown] for name in ("errors", "views"))
    parts = zip(shown, overviews, crops, errors, views, strict=True)
    placed = [dataclasses.replace(s, overview=o, crops=c, errors=e, views=v) for s, o, c, e, v in parts]
    strips = [strip for scene in placed for strip in (scene.overview, scene.crops, scene.errors, scene.views)]
    strips += [strip for part in found.values() for strip in part["maps"]]
    left_out = sum(strip.left_out for strip in strips)
    return content | found | {"crops": placed, "left_out": left_out, "sources": album.sources, "gain": GAIN}


def file_name(words: str, content: bytes) -> str:
    """A file's name that any file system takes: small letters and digits of `words`, and what tells contents apart."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode().lower()
    slug = re.sub("[^a-z0-9]+", "-", plain)[:NAME_LENGTH].strip("-")
    return f"{slug or 'picture'}-{hashlib.sha256(content).hexdigest()[:12]}"


def _placed(strips: Iterable[Strip], album: Album) -> list[Strip]:
    return [album.place(strip) for strip in strips]


def _addressed(strip: Strip, address: Callable[[Tile], str]) -> Strip:
    return dataclasses.replace(strip, tiles=tuple(dataclasses.replace(t, source=address(t)) for t in strip.tiles))


def _format(tile: Tile) -> str:
    return next(name for begin, name in SIGNATURES.items() if tile.content.startswith(begin))
