"""Unpacking archives of images: images and nothing else, inside a folder and nowhere else, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datasets.layouts import is_image

CHUNK = 1 << 20
ROOM, EXPANSION = 1 << 26, 16
"""An archive may hold this many bytes, or this many times its own size: images hardly shrink when they are packed."""
LONGEST = 255
"""Bytes of a name on most file systems."""
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
    LookupError,
    ValueError,
)
"""What the readers of archives raise on bytes that are none."""
CROSSED = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""What a file system says of an image in the place of a folder, or the reverse."""


class UnfitError(ValueError):
    """An archive that is not unpacked; the message says why."""


class Member(NamedTuple):
    """One image in an archive: its path there, and how it is opened."""

    path: PurePosixPath
    open: Callable[[], Any]


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Unpack the images of an archive into `folder`; the SHA-256 of each, by its path in the archive.

    Files that exist are left as they are. Each appears whole or not at all. Links, and what is no image, stay behind.

    Raises:
        ValueError: a damaged archive, one that expands to far more than its size, or one that names a place outside
            `folder`, a name twice, or a name that cannot be printed, of which nothing is unpacked.
    """
    try:
        return _unpacked(archive, folder, max(ROOM, EXPANSION * archive.stat().st_size))
    except UnfitError:
        raise
    except DAMAGED as error:
        raise ValueError(f"{archive} is no whole archive ({error}): delete it and fetch again") from error
    except CROSSED as error:
        raise ValueError(f"{archive}: {error.filename} cannot be both an image and a folder") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which is what seeking a place before the beginning raises
            raise
        raise ValueError(f"{archive} is no whole archive ({error}): delete it and fetch again") from error


def _unpacked(archive: Path, folder: Path, left: int) -> dict[str, str]:
    """The same, of an archive that may expand to `left` bytes."""
    sums: dict[str, str] = {}
    with _members(archive, left) as members:
        if fault := _fault([member.path for member in members], folder):
            raise UnfitError(f"{archive} names {fault}: nothing was unpacked")
        for member in members:
            sums[str(member.path)], size = _written(member, folder / member.path, left)
            left -= size
    return sums


def _fault(paths: list[PurePosixPath], folder: Path) -> str:
    """What makes the names of an archive unfit to be written, if anything."""
    counted = Counter(paths)
    for path in paths:
        if path.is_absolute() or ".." in path.parts:
            return f"{path}, which is outside of {folder}"
        if not str(path).isprintable() or any(len(part.encode()) > LONGEST for part in path.parts):
            return f"{str(path)[:LONGEST]!r}, which is too long or cannot be printed"
        if counted[path] > 1:
            return f"{path} twice"
    return ""


@contextlib.contextmanager
def _members(archive: Path, most: int) -> Iterator[list[Member]]:
    """The images in a zip or tar archive; packed by gzip, it gives `most` bytes at the most."""
    with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else _open_tar(archive, most) as packed:
        found: list[tuple[str, Callable[[], Any]]]
        if isinstance(packed, zipfile.ZipFile):
            found = [(i.filename, partial(packed.open, i)) for i in packed.infolist() if _is_file(i)]
        else:
            found = [(f.name, partial(packed.extractfile, f)) for f in packed.getmembers() if f.isfile()]
        members = (Member(PurePosixPath(name), opener) for name, opener in found)
        yield [m for m in members if is_image(m.path.name) and "__MACOSX" not in m.path.parts]


def _is_file(member: zipfile.ZipInfo) -> bool:
    """Neither a folder nor a link: those made on Unix say so in the upper half of their attributes."""
    return not member.is_dir() and not stat.S_ISLNK(member.external_attr >> 16)


def _open_tar(archive: Path, most: int) -> tarfile.TarFile:
    """A tar archive, packed by gzip or not."""
    with archive.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return tarfile.open(fileobj=_Bounded(archive, most), mode="r:") if packed else tarfile.open(archive, "r:")


class _Bounded(gzip.GzipFile):
    """A file packed by gzip, of which `most` bytes can be read.

    Raises:
        UnfitError: more are read, or a place behind them is sought.
    """

    def __init__(self, file: Path, most: int) -> None:
        super().__init__(file, "rb")
        self.most = most

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(min(self.most + 1, self.most + 1 if size is None or size < 0 else size))
        self._check(self.tell())
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return super().seek(offset, whence)

    def _check(self, place: int) -> None:
        if place > self.most:
            raise UnfitError(f"{self.name} expands to more than {self.most:,} bytes")


def _written(member: Member, target: Path, most: int) -> tuple[str, int]:
    """Write one image of at most so many bytes unless it is there; its SHA-256 and its size."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{os.getpid()}.part")
    try:
        with member.open() as source, unfinished.open("wb") as sink:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += sink.write(chunk)
                if size > most:
                    raise UnfitError(f"{member.path} expands to far more than its archive holds: {size:,} bytes so far")
        if not target.exists():
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return digest.hexdigest(), size
