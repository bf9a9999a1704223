"""Archives that expand, lie or trick: nothing outside of the folder, and little of the disk."""

from __future__ import annotations

import re
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets import unpack as unpacking
from datasets.unpack import unpack
from tests.archives import encrypted, lying_tar, packed_tar, tar, zip_with_link, zipped
from tests.hostile.watch import nothing_outside

EMPTY = bytes(1 << 22)


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def twice(file: Path) -> Path:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"one")
        archive.writestr("./a.png", b"other")
    return file


def sparse_tar(file: Path) -> Path:
    """A sparse member of a gigabyte in two kilobytes, as GNU tar writes one."""
    info = tarfile.TarInfo("a.png")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % (1 << 30)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    file.write_bytes(bytes(block) + b"\0" * 1024)
    return file


@pytest.mark.fault(
    area="Hostile input",
    what="an archive that is a bomb",
    how="4 MB of zeros in kilobytes of zip and of tar.gz, a sparse tar member of 1 GB, a tar.gz that goes on for long",
    kept="unpacking ends at 16 times the size of the archive, or 64 MiB; one line; no part of an image stays",
)
@pytest.mark.parametrize(
    "make",
    [
        lambda file: zipped(file, {"a.png": EMPTY}),
        lambda file: packed_tar(file, [("a.png", EMPTY)]),
        lambda file: packed_tar(file, [("notes.txt", EMPTY), ("a.png", b"image")]),
        sparse_tar,
    ],
    ids=["zip", "tar.gz", "long tar.gz", "sparse tar"],
)
def test_what_expands_is_refused(tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ROOM", 1 << 20)
    with nothing_outside(tmp_path), pytest.raises(ValueError, match=r"archive.* expands to|expands to .* archive"):
        unpack(make(tmp_path / "archive"), tmp_path / "inside")
    assert files(tmp_path) == {"archive"}


@pytest.mark.fault(
    area="Hostile input",
    what="an archive with names or members that trick",
    how="one name twice, escape sequences, names of 300 letters, an image below another, links, a password",
    kept="one line and nothing unpacked; links stay behind",
)
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (twice, "names a.png twice: nothing was unpacked"),
        (lambda file: zipped(file, {"\x1b[31m.png": b""}), r"names '\x1b[31m.png', which is too long or cannot be"),
        (lambda file: tar(file, {"a\nb.png": b""}), r"names 'a\nb.png', which is too long or cannot be printed"),
        (lambda file: zipped(file, {"x" * 300 + ".png": b""}), "which is too long or cannot be printed"),
        (lambda file: zipped(file, {"a.png": b"", "a.png/b.png": b""}), "cannot be both an image and a folder"),
        (encrypted, "is encrypted, password required for extraction): delete it"),
        (lambda file: lying_tar(file, "a.png", 1 << 60), "is no whole archive"),
    ],
)
def test_tricks_are_refused(tmp_path: Path, make: Callable[[Path], Path], told: str) -> None:
    with nothing_outside(tmp_path), pytest.raises(ValueError, match=re.escape(told)):
        unpack(make(tmp_path / "archive"), tmp_path / "inside")
    assert files(tmp_path) <= {"archive", "inside/a.png"}


def test_links_in_a_zip_stay_behind(tmp_path: Path) -> None:
    assert unpack(zip_with_link(tmp_path / "a.zip", "link.png", "/etc/passwd"), tmp_path / "in").keys() == {"plain.png"}
    assert files(tmp_path / "in") == {"plain.png"}
