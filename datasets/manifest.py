"""The sets of `manifest.toml`: what each consists of, where it is looked for, where it is got."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from datasets.layouts import Files, files_in
from datasets.naming import nearest

MANIFEST = Path(__file__).with_name("manifest.toml")
DATA_VARIABLE = "NLBENCH_DATA"
SPAN = re.compile(r"\{(\d{1,6})\.\.(\d{1,6})\}", re.ASCII)
"""Numbers that an address is written out for."""
MOST_FILES = 10_000


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} holds a sign that cannot be printed")
    return text


def _inside(place: str) -> str:
    path = PurePosixPath(_text(place))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{place!r} is outside of the data folder")
    return place


def _file_name(name: str) -> str:
    if not name or PurePosixPath(_inside(name)).name != name:
        raise ValueError(f"{name!r} is no name of a file")
    return name


def _address(pattern: str) -> str:
    if not _text(pattern).startswith(("http://", "https://")):
        raise ValueError(f"{pattern!r} is no address of the web")
    if _file_name(pattern.rsplit("/", 1)[-1]) == pattern.split("/")[2]:
        raise ValueError(f"{pattern!r} names no file")
    if (span := SPAN.search(pattern)) and len(_numbers(span)) > MOST_FILES:
        raise ValueError(f"{pattern!r} means more than {MOST_FILES:,} files")
    return pattern


Text = Annotated[str, AfterValidator(_text)]
Inside = Annotated[str, AfterValidator(_inside)]
FileName = Annotated[str, AfterValidator(_file_name)]
Address = Annotated[str, AfterValidator(_address)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=pydantic.ConfigDict(extra="forbid", strict=True))
class Entry:
    """A set as the manifest describes it; the manifest tells what each key means.

    Raises:
        ValueError: a value of another type, a place outside of the data folder, an address that is none.
    """

    name: Text
    source: Literal["skimage", "folder"] = "folder"
    images: tuple[FileName, ...] = ()
    window: Annotated[int, Field(ge=1)] | None = None
    count: Count = 0
    numbers: tuple[()] | tuple[Count, Count] = ()
    folders: tuple[Inside, ...] = ()
    union: tuple[Text, ...] = ()
    page: Text = ""
    by_hand: Text = ""
    into: Inside = "."
    fetch: tuple[Address, ...] = ()

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
    return read_manifest(MANIFEST)


def read_manifest(file: Path) -> dict[str, Entry]:
    """The sets that a manifest describes, by name.

    Raises:
        ValueError: broken TOML, or an entry that is none; the message names file, set and key.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from error
    entries = {name: _entry(file, name, table) for name, table in tables.items()}
    for name, each in entries.items():
        for part in each.union:
            if part not in entries or entries[part].union:
                raise ValueError(f"{file}: {name}.union: {part!r} is no set of images of its own")
        if not (each.images or each.folders or each.union) or (each.fetch and not each.folders):
            raise ValueError(f"{file}: {name} has no images, folders or parts, or no folder for what it fetches")
    return entries


def _entry(file: Path, name: str, table: Any) -> Entry:
    if not isinstance(table, dict) or "name" in table:
        raise ValueError(f"{file}: {name!r} is no table that describes a set")
    listed: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    try:
        return Entry(name=name, **listed)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(repr, first["loc"]))
        raise ValueError(f"{file}: {name!r}: {key}: {first['msg'].removeprefix('Value error, ')}") from error


def _skimage_folder() -> Path:
    """Where scikit-image keeps its bundled images; found without importing it."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ValueError("the built-in images come with scikit-image, which is not installed")
    return Path(spec.origin).parent / "data"


def _spelt_out(pattern: str) -> list[str]:
    """`a{01..03}` as `a01 a02 a03`."""
    if (span := SPAN.search(pattern)) is None:
        return [pattern]
    return [pattern.replace(span[0], f"{number:0{len(span[1])}}") for number in _numbers(span)]


def _numbers(span: re.Match[str]) -> range:
    return range(int(span[1]), int(span[2]) + 1)
