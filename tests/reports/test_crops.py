from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets.sets import Pair
from harness.pictures import CROP_SIDE, kept
from harness.records import Artifact
from reports.crops import Scene, scenes
from reports.frames import Frames, load
from reports.images import decoded, difference
from tests.reports.scenes import FAULTS, SIDE, larger, rebuilt, truth
from tests.stores import BICUBIC, EDSR, NLN, NLSN, VARIANTS, Ask, Plan, add_run, make_store, psnr_of

LABELS = ["Bicubic", "EDSR", "NLN", "NLN fused", "NLSN"]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    with larger():
        return load(make_store(tmp_path_factory.mktemp("crops") / "s.db", Plan(sizes=()))[0])


@pytest.fixture(scope="module")
def scene(frames: Frames) -> Scene:
    (found,) = scenes(frames)
    return found


def scenes_of(path: Path, plan: Plan, at: tuple[int, int] | None = None) -> list[Scene]:
    with larger(at):
        return list(scenes(load(make_store(path / "s.db", plan)[0])))


def cut_at(found: Scene) -> tuple[int, int]:
    place = re.match(r"Cut at row (\d+), column (\d+) ", found.note)
    assert place
    return int(place[1]), int(place[2])


def test_a_scene_has_the_original_the_input_and_every_method(scene: Scene) -> None:
    assert [tile.title for tile in scene.crops.tiles] == ["Original", "Low resolution", *LABELS]
    assert [tile.title for tile in scene.errors.tiles] == LABELS
    assert [tile.title for tile in scene.views.tiles] == ["Original", *LABELS]
    assert [tile.pixelated for tile in scene.crops.tiles] == [False, True] + [False] * 5


def test_the_crop_is_where_networks_differ_most_not_where_bicubic_is_furthest(scene: Scene) -> None:
    top, left = (2 * place for place in cut_at(scene))
    side = 2 * CROP_SIDE
    for label in ("EDSR", "NLN"):
        row, column, _ = FAULTS[label]
        assert top <= row <= top + side - 24
        assert left <= column <= left + side - 24
    np.testing.assert_array_equal(decoded(scene.crops.tiles[0].content), truth()[top : top + side, left : left + side])
    for tile in scene.crops.tiles[2:]:
        part = rebuilt(tile.title)[top : top + side, left : left + side]
        np.testing.assert_array_equal(decoded(tile.content), part)


def test_a_single_network_is_compared_with_bicubic_and_bicubic_alone_with_the_original(tmp_path: Path) -> None:
    for i, variants in enumerate(((BICUBIC, NLSN), (BICUBIC,))):
        folder = tmp_path / str(i)
        folder.mkdir()
        (found,) = scenes_of(folder, Plan(variants=variants, sizes=()))
        assert cut_at(found)[0] <= 24
        assert decoded(found.errors.tiles[0].content).max() == 255


def test_networks_that_differ_by_nothing_leave_the_choice_to_bicubic(tmp_path: Path) -> None:
    alike = [dataclasses.replace(NLSN, label=label) for label in ("one", "two")]
    (found,) = scenes_of(tmp_path, Plan(variants=(BICUBIC, *alike), sizes=()))
    assert max(cut_at(found)) <= 24


@pytest.mark.parametrize(("at", "corner"), [((50, 40), (30, 20)), ((0, 95), (0, 56))])
def test_the_grid_chooses_the_place(tmp_path: Path, at: tuple[int, int], corner: tuple[int, int]) -> None:
    (found,) = scenes_of(tmp_path, Plan(sizes=()), at)
    assert cut_at(found) == corner
    assert found.note.endswith("as the grid asks.")


def test_the_overview_is_the_whole_image_with_its_box(scene: Scene) -> None:
    (tile,) = scene.overview.tiles
    shown = decoded(tile.content).astype(int)
    assert shown.shape == (SIDE, SIDE, 3)
    marked = np.abs(shown - truth()).max(axis=-1) > 60
    rows, columns = np.nonzero(marked)
    top, left = (2 * place for place in cut_at(scene))
    assert (rows.min(), columns.min()) == pytest.approx((top, left), abs=1)
    assert (rows.max(), columns.max()) == pytest.approx((top + 79, left + 79), abs=1)


def test_a_crop_that_is_the_whole_image_has_no_overview(tmp_path: Path) -> None:
    (found,) = scenes(load(make_store(tmp_path / "s.db", Plan(sizes=()))[0]))
    assert (found.overview.tiles, found.note) == ((), "")
    assert len(found.crops.tiles) == 7


def test_differences_are_those_of_the_crops(scene: Scene) -> None:
    original, _, *crops = scene.crops.tiles
    for crop, error in zip(crops, scene.errors.tiles, strict=True):
        assert error.content == difference(crop.content, original.content)
    assert decoded(scene.errors.tiles[-1].content).max() == 0


def test_scores_are_those_of_the_network_that_is_shown(tmp_path: Path) -> None:
    (found,) = scenes_of(tmp_path, Plan(sizes=(), seeds=(1, 2), hash_seeds=(3, 4)))
    for variant, tile in zip(VARIANTS, found.views.tiles[1:], strict=True):
        psnr = psnr_of(variant, 0, seed=1, hash_seed=3)
        assert tile.score == f"{psnr:.2f} dB / {psnr / 40:.4f}"
        assert tile.score in tile.alt


def test_of_a_part_of_a_large_image_the_box_is_told_in_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hr = np.random.default_rng(0).integers(0, 200, (700, 900, 3), dtype=np.uint8)

    def crops_of(ask: Ask, dataset: str, image: str) -> list[Artifact]:
        sr = hr.copy()
        sr[520:560, 640:700] += np.uint8(10 * len(ask.variant.label))
        return kept(Pair(image, hr, hr[::2, ::2].copy()), sr, dataset, 2, (300, 380))

    monkeypatch.setattr("tests.stores.crops_of", crops_of)
    (found,) = scenes(load(make_store(tmp_path / "s.db", Plan(sizes=()))[0]))
    assert cut_at(found) == (280, 360)
    assert "a part of 512 pixels a side at most is kept" in found.note
    np.testing.assert_array_equal(decoded(found.crops.tiles[0].content), hr[560:640, 720:800])
    assert decoded(found.overview.tiles[0].content).shape == (280, 360, 3)


def test_originals_of_different_parts_are_not_mixed(tmp_path: Path) -> None:
    """Two runs of one store, the second of which keeps larger images of what is new to it."""
    store, first_id = make_store(tmp_path / "s.db", Plan(variants=(BICUBIC, EDSR), sizes=()))
    with larger():
        run_id = add_run(store, Plan(variants=(NLN, NLSN), sizes=()))
    first, second = load(store, first_id), load(store, run_id)
    both = dataclasses.replace(second, artifacts=pd.concat([first.artifacts, second.artifacts]))
    found = list(scenes(both))
    assert [len(each.views.tiles) for each in found] == [3, 3]
