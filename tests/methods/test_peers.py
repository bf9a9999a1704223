"""What is published of methods, by the names that papers give them."""

from __future__ import annotations

import csv

import pytest

from methods.catalogue import NETWORKS
from methods.papers import PEERS, paper, scores_of

SETS = {"Set5", "Set14", "B100", "Urban100", "Manga109"}


def test_a_method_of_the_catalogue_is_known_by_its_own_file() -> None:
    assert scores_of("nlsn") == paper("nlsn").scores
    assert scores_of("dlsn") == ()


def test_peers_are_known_by_name_whatever_its_letters() -> None:
    found = scores_of("rcan")
    assert found == scores_of("RCAN")
    assert {(s.psnr, s.ssim) for s in found if (s.scale, s.dataset) == (2, "Set5")} == {(38.27, 0.9614)}


def test_a_self_ensemble_is_another_row() -> None:
    assert {s.psnr for s in scores_of("RCAN+") if (s.scale, s.dataset) == (4, "Set5")} == {32.73}
    assert not set(scores_of("RCAN+")) & set(scores_of("RCAN"))


def test_nothing_is_known_of_a_method_that_nobody_printed() -> None:
    assert scores_of("my.package:METHOD") == scores_of("") == ()


def test_peers_are_plausible_and_none_is_of_the_catalogue() -> None:
    with PEERS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    titles = {row["method"] for row in rows}
    assert not {title.casefold() for title in titles} & set(NETWORKS)
    for title in titles:
        for score in scores_of(title):
            assert score.dataset in SETS
            assert score.scale in (2, 3, 4)
            assert 20 < score.psnr < 42
            assert score.ssim is None or 0.5 < score.ssim < 1
            assert score.source


@pytest.mark.parametrize(("scale", "psnr"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_is_a_peer(scale: int, psnr: float) -> None:
    assert psnr in {s.psnr for s in scores_of("bicubic") if (s.scale, s.dataset) == (scale, "Set5")}
