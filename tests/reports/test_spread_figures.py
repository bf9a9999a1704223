from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pytest

from reports.frames import Frames
from reports.palette import looks
from reports.quality import Quality, qualities
from reports.spread_figures import MOST_ROWS, differences_figure, draws_figure, spread_figures
from reports.svg import Figure
from tests.stores import BICUBIC, EDSR, NLN, NLSN

Make = Callable[..., Frames]
MANY = {"pier": tuple(f"view {i:03d}" for i in range(100))}


def differences(frames: Frames) -> Figure | None:
    return differences_figure(qualities(frames)[0], looks(frames.labels), "d")


def draws(frames: Frames) -> Figure | None:
    return draws_figure(frames, qualities(frames)[0], looks(frames.labels), "h")


def marks(figure: Figure, series: int) -> list[tuple[float, float]]:
    """Where the small marks of one colour stand."""
    groups = re.findall(r'<g id="d-PathCollection_\d+">(.*?)</g>\s*</g>', figure.svg, flags=re.DOTALL)
    own = next((group for group in groups if f"var(--series-{series})" in group), "")
    return [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', own)]


def test_differences_are_to_the_baseline_with_their_means(frames: Make) -> None:
    figure = differences(frames(variants=(BICUBIC, EDSR, NLSN)))
    assert figure is not None
    assert "Gain over bicubic in PSNR-Y" in figure.alt
    assert f"EDSR +{29 - 28 + 0.3 / 3:.2f} dB" in figure.alt
    assert f"NLSN +{29.6 - 28 - 0.6 / 3:.2f} dB" in figure.alt
    assert "95" in figure.caption


def test_without_a_baseline_they_are_to_the_best(frames: Make) -> None:
    figure = differences(frames(variants=(EDSR, NLN, NLSN)))
    assert figure is not None
    assert "Against NLN in PSNR-Y" in figure.alt
    assert "NLN +" not in figure.alt


def test_every_image_is_a_point_at_its_place_and_its_height(frames: Make) -> None:
    loaded = frames(variants=(BICUBIC, EDSR, NLN, NLSN), sets=MANY, crops=0)
    figure = differences(loaded)
    assert figure is not None
    edsr, nlsn = (np.array(marks(figure, looks(loaded.labels)[label].series)) for label in ("EDSR", "NLSN"))
    assert len(edsr) == len(nlsn) == 100
    rises = edsr[:, 1] - nlsn[:, 1]
    assert np.ptp(rises) < 1e-3
    assert len(np.unique(edsr[:, 1])) == 100
    assert edsr[1, 0] > edsr[0, 0]
    assert nlsn[1, 0] < nlsn[0, 0]


def test_of_many_networks_the_best_are_drawn(frames: Make) -> None:
    crowd = [dataclasses.replace(EDSR, label=f"EDSR {i}", psnr=29 + i / 100) for i in range(30)]
    figure = differences(frames(variants=(BICUBIC, *crowd)))
    assert figure is not None
    assert figure.alt.count(" dB") == MOST_ROWS
    assert "EDSR 29 +" in figure.alt
    assert "EDSR 9 +" not in figure.alt
    assert f"Of 30, {MOST_ROWS} are drawn: the best." in figure.caption


def test_one_image_or_one_network_is_no_figure(frames: Make) -> None:
    assert differences(frames(variants=(BICUBIC, EDSR), sets={"one": ("boat",)})) is None
    assert differences(frames(variants=(EDSR,))) is None
    assert differences(frames(variants=(BICUBIC,))) is None


def test_two_images_have_no_interval(frames: Make) -> None:
    figure = differences(frames(variants=(BICUBIC, EDSR), sets={"two": ("boat", "crane")}))
    assert figure is not None
    assert "interval" not in figure.caption


def test_infinite_scores_are_left_out(frames: Make) -> None:
    quality = qualities(frames(variants=(BICUBIC, EDSR, NLN)))[0]
    images = quality.images.copy()
    images.loc["boat", "EDSR"] = np.inf
    figure = differences_figure(dataclasses.replace(quality, images=images), looks(quality.labels), "d")
    assert figure is not None
    assert "EDSR infinite" in figure.alt


def test_draws_are_shown_where_there_are_several(frames: Make) -> None:
    assert draws(frames()) is None
    figure = draws(frames(hash_seeds=(0, 1, 4)))
    assert figure is not None
    assert "NLSN up to 0.040 dB between draws of one training" in figure.alt
    assert "Bicubic" not in figure.alt
    assert "training seed" not in figure.caption


def test_training_seeds_are_told_apart(frames: Make) -> None:
    loaded = frames(variants=(BICUBIC, NLSN), seeds=(3, 7), hash_seeds=(0, 1))
    figure = draws(loaded)
    assert figure is not None
    assert re.findall(r">([37])</text>", figure.svg) == ["3", "7"]
    assert "a line per training seed" in figure.caption


@pytest.mark.parametrize("count", [3, 20])
def test_both_figures_have_identifiers_of_their_own(frames: Make, count: int) -> None:
    crowd = [dataclasses.replace(NLSN, label=f"NLSN {i}", psnr=29 + i / 100) for i in range(count)]
    loaded = frames(variants=(BICUBIC, *crowd), hash_seeds=(0, 1), crops=0, sizes=())
    quality: Quality = qualities(loaded)[0]
    both = spread_figures(loaded, quality, looks(loaded.labels), "q0")
    assert len({figure.name for figure in both}) == 2
    found = re.findall(r'\sid="([^"]*)"', "".join(figure.svg for figure in both))
    assert len(found) == len(set(found)) > 10
    assert both == spread_figures(loaded, quality, looks(loaded.labels), "q0")
