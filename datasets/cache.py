"""Decoded images in one memory-mapped file: written once per set and scale, then read without decoding or copying."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import IO

import numpy as np

from datasets.resize import Image
from datasets.sets import ImageSet, Pair


@dataclasses.dataclass(frozen=True)
class DecodedSet:
    """The pairs of a set as views into a memory-mapped file."""

    name: str
    scale: int
    pairs: tuple[Pair, ...]


def decoded(images: ImageSet, folder: Path, code: str = "") -> DecodedSet:
    """The decoded pairs of `images`, from `folder`'s cache when it holds them, else decoded into it first.

    The name of the cache file is the set's fingerprint and the version of the `code` that reads, shrinks and degrades
    images, so that nothing stale is ever read. The index is written
    last, by an atomic rename, and knows how long the data are: a cache that was cut short is made anew.
    """
    index = folder / f"{images.fingerprint}{code and f'-{code}'}.json"
    data = index.with_suffix(".u8")
    if not _complete(index, data):
        folder.mkdir(parents=True, exist_ok=True)
        _write(images, data, index)
    buffer = np.memmap(data, dtype=np.uint8, mode="r")
    entries = json.loads(index.read_text(encoding="utf-8"))["pairs"]
    pairs = tuple(Pair(e["name"], _view(buffer, e["hr"]), _view(buffer, e["lr"])) for e in entries)
    return DecodedSet(images.name, images.scale, pairs)


def _complete(index: Path, data: Path) -> bool:
    try:
        return bool(json.loads(index.read_text(encoding="utf-8"))["bytes"] == data.stat().st_size)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _write(images: ImageSet, data: Path, index: Path) -> None:
    partial = data.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            pairs = [
                {"name": pair.name, "hr": _append(stream, pair.hr), "lr": _append(stream, pair.lr)} for pair in images
            ]
            length = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(data)
        partial.write_text(json.dumps({"bytes": length, "pairs": pairs}), encoding="utf-8")
        partial.replace(index)
    finally:
        partial.unlink(missing_ok=True)


def _append(stream: IO[bytes], image: Image) -> list[int]:
    offset = stream.tell()
    stream.write(image.tobytes())
    return [offset, *image.shape]


def _view(buffer: Image, entry: list[int]) -> Image:
    offset, *shape = entry
    return buffer[offset : offset + int(np.prod(shape))].reshape(shape)
