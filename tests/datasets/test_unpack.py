"""Unpacking: images and nothing else, inside the folder and nowhere else, whole or not at all."""

from __future__ import annotations

import hashlib
import itertools
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datasets.unpack import unpack
from tests.archives import tar, zipped

Pack = Callable[[Path, dict[str, bytes]], Path]


def noise(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(20_000)


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.fault(
    area="Hostile input",
    what="an archive that names places outside of its folder",
    how="`../evil.png`, `good/../../evil.png` and an absolute path, in tar and zip",
    kept="one line with the name; nothing is unpacked",
)
@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("evil", ["../evil.png", "good/../../evil.png", "{root}/evil.png"])
def test_nothing_is_unpacked_outside(tmp_path: Path, pack: Pack, evil: str) -> None:
    evil = evil.format(root=tmp_path)
    archive = pack(tmp_path / "archive", {"good/a.png": b"image", evil: b"image"})
    with pytest.raises(ValueError, match=r"which is outside of .*: nothing was unpacked"):
        unpack(archive, tmp_path / "in" / "side")
    assert files(tmp_path) == {"archive"}


@pytest.mark.fault(
    area="Hostile input",
    what="an archive with links and programs",
    how="symbolic and hard links to `/etc`, a shell script, what a Mac leaves",
    kept="only the images are unpacked",
)
def test_links_and_what_is_no_image_stay_behind(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    tar(archive, {"a.png": b"image", "run.sh": b"run", "._a.png": b"", "__MACOSX/a.png": b""})
    with tarfile.open(archive, "a") as opened:
        for name, kind in (("link", tarfile.SYMTYPE), ("link.png", tarfile.SYMTYPE), ("hard.png", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc" if name == "link" else "/etc/passwd"
            opened.addfile(info)
    assert unpack(archive, tmp_path / "inside").keys() == {"a.png"}
    assert files(tmp_path / "inside") == {"a.png"}


@pytest.mark.fault(
    area="Hostile input",
    what="an archive that is cut short",
    how="tar and zip, cut at 0, 40 and 70 percent",
    kept="one line with the name of the archive; images that were unpacked are whole",
)
@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.7])
def test_a_damaged_archive_is_told(tmp_path: Path, pack: Pack, share: float) -> None:
    archive = pack(tmp_path / "archive", {f"{number}.png": noise(number) for number in range(4)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=re.escape(f"{archive} is no whole archive")):
        unpack(archive, tmp_path / "inside")
    whole = {noise(number) for number in range(4)}
    assert all((tmp_path / "inside" / name).read_bytes() in whole for name in files(tmp_path / "inside"))


def test_a_zip_that_is_damaged_inside_is_told(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "archive.zip", {"a.png": noise(0)})
    content = bytearray(archive.read_bytes())
    content[5000:5100] = bytes(100)
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="is no whole archive"):
        unpack(archive, tmp_path / "inside")
    assert files(tmp_path) == {"archive.zip"}


@pytest.mark.parametrize("pack", [tar, zipped])
def test_images_are_unpacked_with_their_checksums(tmp_path: Path, pack: Pack) -> None:
    archive = pack(tmp_path / "archive", {"a/b/c.png": noise(0), "d.JPG": noise(1)})
    sums = unpack(archive, tmp_path / "inside")
    assert sums == {
        name: hashlib.sha256((tmp_path / "inside" / name).read_bytes()).hexdigest() for name in ("a/b/c.png", "d.JPG")
    }
    assert (tmp_path / "inside" / "d.JPG").read_bytes() == noise(1)


def test_an_interrupted_unpacking_leaves_whole_images_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar(tmp_path / "archive", {f"{number}.png": noise(number) for number in range(4)})
    monkeypatch.setattr("datasets.unpack.CHUNK", 3000)
    extracted, calls = tarfile.ExFileObject.read, itertools.count()

    def interrupted(file: tarfile.ExFileObject, size: int) -> bytes:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return extracted(file, size)

    monkeypatch.setattr("tarfile.ExFileObject.read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "inside")
    assert files(tmp_path / "inside") == {"0.png"}
    assert (tmp_path / "inside" / "0.png").read_bytes() == noise(0)
