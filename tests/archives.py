"""Archives that tests fetch and unpack, and archives that nobody means well with."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path


def tar(file: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(file, "w") as archive:
        _add(archive, members.items())
    return file


def packed_tar(file: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        _add(archive, members)
    return file


def zipped(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def zip_with_link(file: Path, name: str, target: str) -> Path:
    """A zip archive with a symbolic link, as the program `zip` writes one."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, target)
        archive.writestr("plain.png", b"image")
    return file


def lying_tar(file: Path, name: str, claimed: int) -> Path:
    """A tar archive with the header of a member of `claimed` bytes, none of which are there."""
    info = tarfile.TarInfo(name)
    info.size = claimed
    file.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    return file


def encrypted(file: Path) -> Path:
    """A zip archive whose image is marked as encrypted."""
    content = bytearray(zipped(file, {"a.png": b"image"}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    file.write_bytes(content)
    return file


def _add(archive: tarfile.TarFile, members: Iterable[tuple[str, bytes]]) -> None:
    for name, content in members:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
