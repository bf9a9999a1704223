"""Fetching the sets of the manifest, and telling whether what lies in the data folder is whole.

`SHA256SUMS` in the data folder holds the checksum of each archive and image that was ever fetched, as `sha256sum -c`
reads it. Later fetches compare with it. Archives stay in `downloads`; without them, what was unpacked is not fetched
again.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from datasets.layouts import scales_of
from datasets.manifest import Entry, data_folder, entry, files_of, how_to_get
from datasets.sets import AS_GIVEN, ImageSet, load, places, read_image
from datasets.unpack import CHUNK, unpack

SUMS = "SHA256SUMS"
DOWNLOADS = "downloads"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
TIMEOUT_S = 30
ANY_SCALE = 2


def fetch(name: str, say: Callable[[str], None]) -> None:
    """Bring the set `name` into the data folder; `say` is told of each step.

    What is there already is not fetched again. An archive that somebody put in `downloads` by hand is taken as fetched.

    Raises:
        ValueError: a set that cannot be fetched, no connection, another checksum than before, a damaged archive or one
            that would be unpacked outside its folder.
    """
    asked = entry(name)
    if asked.source == "skimage":
        raise ValueError(f"{name} comes with scikit-image: there is nothing to fetch")
    if asked.by_hand:
        raise ValueError(f"{name} cannot be fetched: {how_to_get(asked)}")
    if _whole(asked) and not any(key in recorded() for key in map(_key, _targets(asked))):
        say(f"{name} is in {', '.join(map(str, places(name)))} already")
        return
    for part in asked.union:
        fetch(part, say)
    for address, target in zip(asked.addresses, _targets(asked), strict=True):
        _fetch_one(asked, address, target, say)


def faults(name: str) -> Iterator[str]:
    """Everything that is wrong with the files of a set: unreadable, of sizes that do not fit, changed since fetched.

    Every image is decoded. At scales whose low-resolution images come with the set, those are too.

    Raises:
        ValueError: the set is not there.
    """
    folders = places(name)
    if not folders:
        load(name, ANY_SCALE)
    sums = recorded()
    for scale in sorted({scale for folder in folders for scale in scales_of(folder)}) or [1]:
        try:
            images = load(name, scale)
        except ValueError as error:
            yield str(error)
        else:
            yield from _image_faults(images)
            yield from _changed([*images.files, *images.given.values()], sums)


def recorded() -> dict[str, str]:
    """The checksum of each file that was fetched, by its path in the data folder.

    Raises:
        ValueError: the file of checksums is no text.
    """
    file = data_folder() / SUMS
    if not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no list of checksums: delete it and fetch again") from error
    lines = (line.split("  ", 1) for line in text.splitlines() if "  " in line)
    return {key: digest for digest, key in lines}


def record(sums: dict[str, str]) -> None:
    """Add checksums to those recorded; the file is replaced as a whole."""
    file = data_folder() / SUMS
    lines = [f"{digest}  {key}\n" for key, digest in sorted((recorded() | sums).items())]
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text("".join(lines), encoding="utf-8")
    unfinished.replace(file)


def _whole(asked: Entry) -> bool:
    try:
        return bool(files_of(asked.name, ANY_SCALE).hr)
    except ValueError:
        return False


def _targets(asked: Entry) -> list[Path]:
    """Where what each address gives is put: archives with all others, single images in the set's folder."""
    names = [address.rsplit("/", 1)[-1] for address in asked.addresses]
    into = data_folder() / asked.into
    return [data_folder() / DOWNLOADS / name if name.endswith(ARCHIVES) else into / name for name in names]


def _key(file: Path) -> str:
    """A file's path in the data folder, as it is recorded."""
    return file.relative_to(data_folder()).as_posix()


def _fetch_one(asked: Entry, address: str, target: Path, say: Callable[[str], None]) -> None:
    packed = target.name.endswith(ARCHIVES)
    if packed and _key(target) in recorded() and not target.is_file() and _whole(asked):
        say(f"{target.name} was fetched and unpacked before")
        return
    say(f"{address} -> {target}")
    sums = {_key(target): _retrieved(asked, address, target)}
    if packed:
        into = data_folder() / asked.into
        sums |= {_key(into / path): digest for path, digest in unpack(target, into).items()}
    record(sums)


def _retrieved(asked: Entry, address: str, target: Path) -> str:
    """The SHA-256 of what is at `address`, which pooch has brought to `target` unless it was there."""
    import pooch  # type: ignore[import-untyped]  # noqa: PLC0415 - the network is rarely needed

    pooch.get_logger().setLevel("WARNING")
    known = recorded().get(_key(target))
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=CHUNK, timeout=TIMEOUT_S)
    try:
        pooch.retrieve(address, known_hash=known, fname=target.name, path=target.parent, downloader=downloader)
    except OSError as error:
        by_hand = (
            f"Put {target.name} in {target.parent} by hand and repeat the command, or its images in {asked.place}."
        )
        raise ValueError(f"cannot fetch {asked.name} from {address} ({_reason(error)}). {by_hand}") from error
    except ValueError as error:
        raise ValueError(f"{address} gives another file than {SUMS} has the checksum of: {error}") from error
    return str(pooch.file_hash(str(target)))


def _reason(error: OSError) -> object:
    """What went wrong with the network, out of the wrappers that tell of retries."""
    return getattr(error.args[0] if error.args else None, "reason", error)


def _image_faults(images: ImageSet) -> Iterator[str]:
    for file in images.files:
        try:
            images.pair(file) if images.border == AS_GIVEN else read_image(file)
        except ValueError as error:
            yield str(error)


def _changed(files: Iterable[Path], sums: dict[str, str]) -> Iterator[str]:
    """Those files whose content is not what was fetched."""
    for file in files:
        known = sums.get(_key(file)) if file.is_relative_to(data_folder()) else None
        if known and file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != known:
            yield f"{file} is not what was fetched: delete it and fetch again"
