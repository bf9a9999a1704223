from __future__ import annotations

import base64
import dataclasses
import re
import urllib.parse
from pathlib import Path

import pytest
from typer.testing import CliRunner

import run_all
from harness.errors import UserError
from reports.crops import Strip, Tile
from reports.frames import Frames, load
from reports.gallery import EMBEDDED, NAME_LENGTH, PICTURES, Beside, Embedded, file_name, pictured
from reports.page import page_content, rendered, write_page
from tests.reports.scenes import larger
from tests.stores import NLSN, SETS, VARIANTS, Plan, make_store, png, rings

HOSTILE = ("../../etc/passwd", "a/b\\c:d*e?f", "<img onerror=x>", "CON", ".", "日本", "x" * 300, "a' \"b%20&c#d")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    with larger():
        plan = Plan(sets=SETS, sizes=(), crops=2, scales=(2, 4))
        return load(make_store(tmp_path_factory.mktemp("gallery") / "s.db", plan)[0])


def strip_of(*sizes: int) -> Strip:
    content = base64.b64encode(png(rings(16))).decode()
    tiles = [
        Tile(title="t", score="", alt=f"tile {i}", content=content.ljust(size, "A")) for i, size in enumerate(sizes)
    ]
    return Strip(title="s", protocol="p", tiles=tuple(tiles))


def test_strips_have_room_as_a_whole_or_not_at_all() -> None:
    album = Embedded(room=5000)
    assert [len(album.place(strip).tiles) for strip in (strip_of(2000, 1500), strip_of(900, 900), strip_of(1500))] == [
        2,
        0,
        1,
    ]
    assert album.place(strip_of(900, 900, 900)).left_out == 3


def test_a_page_that_is_full_drops_full_size_before_crops_and_says_so(frames: Frames) -> None:
    content = page_content(frames)
    whole = pictured(frames, content, Embedded())
    needed = {
        name: sum(len(tile.content) for scene in whole["crops"] for tile in getattr(scene, name).tiles)
        for name in ("overview", "crops", "errors", "views")
    }
    assert sum(needed.values()) < EMBEDDED
    assert whole["left_out"] == 0
    assert "had no room" not in rendered("page.html", whole)
    small = pictured(frames, content, Embedded(room=needed["overview"] + needed["crops"] + needed["errors"]))
    assert all(scene.crops.tiles and scene.errors.tiles and not scene.views.tiles for scene in small["crops"])
    assert small["left_out"] == sum(len(scene.views.tiles) for scene in whole["crops"])
    text = rendered("page.html", small)
    assert f"{small['left_out']} pictures of this run had no room in one file" in text
    assert len(text) < len(rendered("page.html", whole)) - 0.9 * needed["views"]


def test_five_hundred_cells_stay_within_the_room(tmp_path: Path) -> None:
    """Their labels differ, so that each is a tile of every strip."""
    variants = [dataclasses.replace(NLSN, label=f"NLSN {i}", factor=0.0, exponent=None) for i in range(500)]
    with larger():
        frames = load(make_store(tmp_path / "s.db", Plan(variants=variants, sizes=(), steps=1))[0])
    empty = {"harm": {"maps": []}, "attention": {"maps": []}}
    content = pictured(frames, empty, Embedded())
    (scene,) = content["crops"]
    placed = [tile for part in (scene.overview, scene.crops, scene.errors, scene.views) for tile in part.tiles]
    assert len(scene.crops.tiles) == 502
    assert sum(len(tile.source) for tile in placed) < EMBEDDED + 30 * len(placed)
    assert (scene.views.left_out, content["left_out"]) == (501, 501)


def test_a_folder_holds_every_picture_that_its_page_names_and_no_other(frames: Frames, tmp_path: Path) -> None:
    text = write_page(frames, tmp_path / "a folder" / "index.html", beside=True).path.read_text(encoding="utf-8")
    named = {urllib.parse.unquote(name) for name in re.findall(r'<img src="([^"]+)"', text)}
    held = {str(file.relative_to(tmp_path / "a folder")) for file in (tmp_path / "a folder" / PICTURES).iterdir()}
    assert named == held
    assert len(held) > 50
    assert "data:image" not in text
    assert "img-src &#39;self&#39; file: data:;" in text


def test_one_file_and_folder_show_the_same_pictures(frames: Frames, tmp_path: Path) -> None:
    content = page_content(frames)
    embedded = pictured(frames, content, Embedded())["crops"]
    files: dict[Path, bytes] = {}
    beside = pictured(frames, content, Beside(tmp_path, files.__setitem__))["crops"]
    for one, other in zip(embedded, beside, strict=True):
        for a, b in zip(one.views.tiles + one.crops.tiles, other.views.tiles + other.crops.tiles, strict=True):
            assert base64.b64decode(a.source.partition(",")[2]) == files[tmp_path / b.source]


@pytest.mark.parametrize("words", HOSTILE)
def test_names_of_files_are_safe_on_every_file_system(words: str) -> None:
    name = file_name(words, b"content")
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*-[0-9a-f]{12}", name)
    assert len(name) <= NAME_LENGTH + 13
    assert file_name(words, b"other") != name


def test_hostile_labels_do_no_harm_in_a_folder(tmp_path: Path) -> None:
    variants = [dataclasses.replace(base, label=label) for base, label in zip(VARIANTS, HOSTILE[:5], strict=True)]
    sets = {"..\\": ("../../up", "<b>")}
    with larger():
        frames = load(make_store(tmp_path / "s.db", Plan(variants=variants, sets=sets, sizes=(), crops=2))[0])
    text = write_page(frames, tmp_path / "out" / "index.html", beside=True).path.read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("s.db")} == {"out"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", PICTURES}
    assert "<img onerror" not in text


def test_the_command_writes_a_file_or_a_folder_and_never_guesses_which(tmp_path: Path) -> None:
    with larger():
        make_store(tmp_path / "s.db", Plan(sizes=()))[0].close()
    report = ["report", "--store", str(tmp_path / "s.db"), "--out", str(tmp_path)]
    assert CliRunner().invoke(run_all.app, [*report, "--folder", str(tmp_path / "site")]).exit_code == 0
    assert {path.name for path in (tmp_path / "site").iterdir()} == {"index.html", PICTURES}
    assert not (tmp_path / "report.html").exists()
    both = CliRunner().invoke(run_all.app, [*report, "--folder", "a", "--page", "b"])
    assert isinstance(both.exception, UserError)
    assert "one file (--page) or a folder (--folder), not both" in str(both.exception)
