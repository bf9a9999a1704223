"""The sets of `manifest.toml`: what each consists of, where it is looked for, where it is got."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from datasets.layouts import Files, files_in
from datasets.naming import nearest

MANIFEST = Path(__file__).with_name("manifest.toml")
DATA_VARIABLE = "NLBENCH_DATA"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A set as the manifest describes it; the manifest tells what each key means."""

    name: str
    source: Literal["skimage", "folder"] = "folder"
    images: tuple[str, ...] = ()
    window: int | None = None
    count: int = 0
    numbers: tuple[int, ...] = ()
    folders: tuple[str, ...] = ()
    union: tuple[str, ...] = ()
    page: str = ""
    by_hand: str = ""
    into: str = "."
    fetch: tuple[str, ...] = ()

    @property
    def addresses(self) -> list[str]:
        """What is fetched; `kodim{01..24}.png` are written out."""
        return [address for pattern in self.fetch for address in _spelt_out(pattern)]

    @property
    def place(self) -> Path:
        """The folder where the images are put."""
        return data_folder() / self.folders[0]

    def has(self, file: Path) -> bool:
        """Whether a file belongs to the set, if that is told by its number."""
        if not self.numbers:
            return True
        first, last = self.numbers
        return file.stem.isdecimal() and first <= int(file.stem) <= last


def names() -> list[str]:
    """The sets of the manifest."""
    return sorted(manifest())


def files_of(name: str, scale: int) -> Files:
    """The files of a set of the manifest. A union brings low-resolution images if each of its parts does."""
    asked = entry(name)
    if asked.source == "skimage":
        return Files(tuple(_skimage_folder() / image for image in asked.images), {})
    folder = found(asked)
    if folder is None and asked.union:
        parts = [files_of(part, scale) for part in asked.union]
        lr = {hr: lr for part in parts for hr, lr in part.lr.items()} if all(part.lr for part in parts) else {}
        return Files(tuple(file for part in parts for file in part.hr), lr)
    if folder is None:
        raise ValueError(f"data set {name} is not in {data_folder()}: {how_to_get(asked)}")
    files = files_in(folder, scale)
    hr = tuple(filter(asked.has, files.hr))
    if len(hr) != asked.count:
        raise ValueError(
            f"{name} has {asked.count} images, {folder} holds {len(hr)}; write the path to use it as it is"
        )
    return Files(hr, files.lr)


def folders_of(name: str) -> list[Path]:
    """The folders where the images of a set are, none if they are not there."""
    asked = entry(name)
    if asked.source == "skimage":
        return [_skimage_folder()]
    if folder := found(asked):
        return [folder]
    parts = [folders_of(part) for part in asked.union]
    return [folder for part in parts for folder in part] if all(parts) else []


def found(asked: Entry) -> Path | None:
    """The first of the folders where the set may be that exists and has images of it."""
    places = (data_folder() / folder for folder in asked.folders)
    return next((place for place in places if place.is_dir() and any(map(asked.has, place.iterdir()))), None)


def data_folder() -> Path:
    """Where data sets are looked for: the folder that NLBENCH_DATA names, else `./data`."""
    return Path(os.environ.get(DATA_VARIABLE) or "data")


def how_to_get(asked: Entry) -> str:
    """What to do to have a set, as the end of an error message."""
    if asked.by_hand:
        return f"{asked.by_hand}; get it from {asked.page} and put its images in {asked.place}"
    address = ", ".join(asked.fetch[:1]) + (" and others" if len(asked.addresses) > 1 else "")
    return (
        f"`run_all.py data fetch {asked.name}` fetches it from {address}, or put its images in {asked.place}. "
        f"{DATA_VARIABLE} names another data folder."
    )


def entry(name: str) -> Entry:
    """The set `name` of the manifest.

    Raises:
        ValueError: there is none; the message names the nearest.
    """
    if name not in manifest():
        known = nearest(name, manifest())
        raise ValueError(f"unknown data set {name!r}: {known} A folder of images is written as a path.")
    return manifest()[name]


@functools.cache
def manifest() -> dict[str, Entry]:
    """Every set of the manifest by name."""
    tables = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    listed: dict[str, dict[str, Any]] = {
        name: {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
        for name, table in tables.items()
    }
    return {name: Entry(name=name, **table) for name, table in listed.items()}


def _skimage_folder() -> Path:
    """Where scikit-image keeps its bundled images; found without importing it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError("the built-in images come with scikit-image, which is not installed")
    return Path(spec.origin).parent / "data"


def _spelt_out(pattern: str) -> list[str]:
    """`a{01..03}` as `a01 a02 a03`."""
    if (span := re.search(r"\{(\d+)\.\.(\d+)\}", pattern)) is None:
        return [pattern]
    numbers = range(int(span[1]), int(span[2]) + 1)
    return [pattern.replace(span[0], f"{number:0{len(span[1])}}") for number in numbers]
