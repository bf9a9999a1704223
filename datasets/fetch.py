"""Fetching the sets of the manifest, and telling whether what lies in the data folder is whole.

`SHA256SUMS` in the data folder holds the checksum of each archive and image that was ever fetched, as `sha256sum -c`
reads it. Later fetches compare with it. Archives stay in `downloads`; without them, what was unpacked is not fetched
again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datasets.layouts import is_image, scales_of
from datasets.manifest import Entry, data_folder, entry, files_of, how_to_get
from datasets.sets import AS_GIVEN, ImageSet, load, places, read_image

SUMS = "SHA256SUMS"
DOWNLOADS = "downloads"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
CHUNK = 1 << 20
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
TIMEOUT_S = 30
ANY_SCALE = 2


class Member(NamedTuple):
    """One image in an archive: its path there, and how it is opened."""

    path: PurePosixPath
    open: Callable[[], Any]


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
    """The checksum of each file that was fetched, by its path in the data folder."""
    file = data_folder() / SUMS
    if not file.is_file():
        return {}
    lines = (line.split("  ", 1) for line in file.read_text(encoding="utf-8").splitlines() if "  " in line)
    return {key: digest for digest, key in lines}


def record(sums: dict[str, str]) -> None:
    """Add checksums to those recorded; the file is replaced as a whole."""
    file = data_folder() / SUMS
    lines = [f"{digest}  {key}\n" for key, digest in sorted((recorded() | sums).items())]
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text("".join(lines), encoding="utf-8")
    unfinished.replace(file)


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Unpack the images of an archive into `folder`; the SHA-256 of each, by its path in the archive.

    Files that exist are left as they are. Each appears whole or not at all. Links, and what is no image, stay behind.

    Raises:
        ValueError: a damaged archive, or one that names a place outside `folder`, of which nothing is unpacked.
    """
    try:
        with _members(archive) as members:
            if outside := [m.path for m in members if m.path.is_absolute() or ".." in m.path.parts]:
                raise ValueError(f"{archive} names {outside[0]}, which is outside of {folder}: nothing was unpacked")
            return {str(member.path): _unpacked(member, folder / member.path) for member in members}
    except DAMAGED as error:
        raise ValueError(f"{archive} is no whole archive ({error}): delete it and fetch again") from error


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


@contextlib.contextmanager
def _members(archive: Path) -> Iterator[list[Member]]:
    """The images in a zip or tar archive."""
    with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as packed:
        found: list[tuple[str, Callable[[], Any]]]
        if isinstance(packed, zipfile.ZipFile):
            found = [(i.filename, partial(packed.open, i)) for i in packed.infolist() if not i.is_dir()]
        else:
            found = [(f.name, partial(packed.extractfile, f)) for f in packed.getmembers() if f.isfile()]
        members = (Member(PurePosixPath(name), opener) for name, opener in found)
        yield [m for m in members if is_image(m.path.name) and "__MACOSX" not in m.path.parts]


def _unpacked(member: Member, target: Path) -> str:
    """Write one image unless it is there; its SHA-256."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with member.open() as source, unfinished.open("wb") as sink:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                sink.write(chunk)
        if not target.exists():
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return digest.hexdigest()


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
