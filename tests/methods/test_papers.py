"""What is said about methods against what they are: settings, costs, pages; and scores that can be true."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.profile import cost
from methods import build_network
from methods.cards import FOLDER, card, choices_of, pages, published_method
from methods.catalogue import NETWORKS
from methods.interface import SCALES
from methods.papers import file_of, paper, read

Settings = Mapping[str, Any]
networks = pytest.mark.parametrize("name", NETWORKS)
BENCHMARKS = {"Set5", "Set14", "B100", "Urban100", "Manga109"}


@networks
def test_settings_are_those_of_the_method(name: str) -> None:
    told = [(key, setting.value) for key, setting in paper(name).settings.items()]
    assert told == list(published_method(name).settings().items())
    assert [type(value) for _, value in told] == [type(value) for value in published_method(name).settings().values()]
    assert all(setting.source for setting in paper(name).settings.values())


@networks
def test_every_method_tells_paper_code_and_differences(name: str) -> None:
    found = paper(name)
    assert all((found.paper, found.idea, found.equation, found.cost, found.deviations, found.differences))
    assert re.fullmatch(r"[\w-]+/[\w-]+", found.code)
    assert bool(found.attention) == (published_method(name).recipe is not None)
    assert found.scores or "No numbers were obtained" in found.notes


@networks
def test_scores_are_plausible_and_none_stands_twice(name: str) -> None:
    scores = paper(name).scores
    assert all(20 < score.psnr < 50 and 0.5 < score.ssim < 1 for score in scores)
    assert {score.scale for score in scores} <= set(SCALES)
    assert {score.dataset for score in scores} <= BENCHMARKS
    assert {score.confidence for score in scores} <= {"seen", "from-memory"}
    assert all(score.source and score.train_set for score in scores)
    assert max(Counter((score.scale, score.dataset, score.source) for score in scores).values(), default=1) == 1


def test_the_pages_on_disk_are_those_that_would_be_written() -> None:
    """If this fails, run `python -m methods.cards`."""
    assert {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()} == pages()


def test_a_page_lists_the_alternatives_of_a_choice() -> None:
    row = '| `assign` | `"spherical"` | superbit, flyhash, kmeans, random, window | the paper |'
    assert row in card("nlsn").splitlines()
    assert choices_of(published_method("hspan").recipe) == {
        "weighting": ["softmax", "sparsemax"],
        "fuse": ["add", "texture"],
    }


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("attention =", "atention =", "unknown key 'atention'. Did you mean 'attention'? Known: attention, code, "),
        ("144, source", "144, sorce", "unknown key in settings.chunk_size 'sorce'. Did you mean 'source'? Known: "),
        ("psnr = 38.34", "pnsr = 38.34", "unknown key in scores.0 'pnsr'. Did you mean 'psnr'? Known: "),
        ("code =", "# code =", "missing key 'code'"),
        ("psnr = 38.34, ", "", "missing key 'scores.0.psnr'"),
        ("psnr = 38.34", 'psnr = "38.34"', "scores.0.psnr: Input should be a valid number, not '38.34'"),
        ("deviations = [", 'deviations = "none"\nnotes2 = [', "unknown key 'notes2'. Did you mean 'notes'? Known: "),
        ("cost =", "cost = =", "Invalid value (at line "),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_told(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    content = file_of("nlsn").read_text(encoding="utf-8")
    assert right in content
    file = tmp_path / "published.toml"
    file.write_text(content.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {message}')}"):
        read(file)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nlsm", "unknown method 'nlsm'. Did you mean 'nlsn'? Known: "),
        ("tests.plugins:TINY", "method 'tests.plugins:TINY' has no published.toml beside its module"),
        ("absent.plugins:TINY", "cannot find method 'absent.plugins:TINY': No module named 'absent'"),
    ],
)
def test_a_method_of_which_nothing_is_published_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        paper(name)


def test_a_foreign_method_has_no_card() -> None:
    with pytest.raises(ValueError, match=r"is a Plugin: only a methods\.published\.Method has a card"):
        card("tests.plugins:TINY")


def widths(s: Settings) -> tuple[int, int]:
    return s["n_feats"], s["n_feats"] // s["reduction"]


def seats(n: int, s: Settings) -> int:
    return math.ceil(n / s["chunk_size"]) * s["chunk_size"]


def buckets(n: int, s: Settings) -> int:
    """Whole chunks, made even, at most 128; below two chunks nothing is hashed."""
    chunks = n // s["chunk_size"]
    return 0 if chunks < 2 else min(chunks + chunks % 2, 128)


def windows(n: int, s: Settings) -> int:
    return 3 * s["n_hashes"] * seats(n, s) * s["chunk_size"] * sum(widths(s))


def dense(n: int, s: Settings) -> int:
    c, m = widths(s)
    return n * (2 * c * m + c**2) + n**2 * (m + c)


def fused(n: int, s: Settings) -> int:
    c, m = widths(s)
    return n * (2 * c * m + c**2) + 2 * n**2 * c


def kernel(n: int, s: Settings) -> int:
    (c, m), features = widths(s), s["n_features"]
    return n * (2 * c * m + c**2) + n * (2 * features * m + 2 * features * c + features)


def spherical(n: int, s: Settings) -> int:
    c, m = widths(s)
    return n * (s["k_size"] ** 2 * c * m + c**2) + s["n_hashes"] * n * m * buckets(n, s) // 2 + windows(n, s)


def fly(n: int, s: Settings) -> int:
    c, m = widths(s)
    hashing = s["n_hashes"] * n * m * s["hash_length"] if buckets(n, s) else 0
    return n * (s["k_size"] ** 2 * c * m + c**2) + hashing + windows(n, s)


def fly_of_shortest_code(n: int, s: Settings) -> int:
    """The fewest bits that number the buckets."""
    return fly(n, {**s, "hash_length": (buckets(n, s) - 1).bit_length()})


def clusters(n: int, s: Settings) -> int:
    c, m = widths(s)
    return n * (s["k_size"] ** 2 * c * m + c**2) + s["n_hashes"] * n * m * s["n_clusters"] + windows(n, s)


def shared_twice(n: int, s: Settings) -> int:
    """A first layer and two that reuse what it found."""
    c, _ = widths(s)
    return clusters(n, s) + 2 * (n * c**2 + 3 * s["n_hashes"] * seats(n, s) * s["chunk_size"] * c)


def learned(n: int, s: Settings) -> int:
    (c, m), k = widths(s), s["chunk_size"]
    convolutions = n * s["k_size"] ** 2 * (c * m + 2 * c**2) + n * (c * k + k**2)
    return convolutions + s["n_hashes"] * n * m * buckets(n, s) + windows(n, s)


def deformable(n: int, s: Settings) -> int:
    (c, m), k = widths(s), s["chunk_size"]
    convolutions = n * s["k_size"] ** 2 * (c * m + c**2) + n * 9 * (27 * c + c**2) + n * (c * k + k**2)
    fusion = n * 10 * c**2 + 2 * 2 * c * (2 * c // 16)
    return convolutions + s["n_hashes"] * n * m * buckets(n, s) + windows(n, s) + fusion


Formula = Callable[[int, Settings], int]
ONE_LAYER = {"n_resblocks": 1, "n_resgroups": 1}
COSTS: list[tuple[str, Formula, Settings]] = [
    ("edsr", lambda _, __: 0, {}),
    ("nln", dense, {}),
    ("nln", fused, {"backend": "fused"}),
    ("nlsn", spherical, {}),
    ("enlcn", kernel, {}),
    ("dnlan", fly, {}),
    ("dnlan", fly_of_shortest_code, {"hash_length": 0}),
    ("lcoan", clusters, {}),
    ("lcoan", shared_twice, {"n_resgroups": 3}),
    ("dlsn", learned, {}),
    ("dtfn", deformable, {}),
    ("hspan", dense, {}),
]


@pytest.mark.parametrize("size", [(10, 12), (33, 47), (150, 171)], ids=["one chunk", "below the cap", "above it"])
@pytest.mark.parametrize(("name", "formula", "settings"), COSTS)
def test_the_cost_of_a_layer_is_as_the_card_says(
    name: str, formula: Formula, settings: Settings, size: tuple[int, int]
) -> None:
    known = published_method(name).settings()
    chosen = {key: value for key, value in ONE_LAYER.items() if key in known} | settings
    counted = cost.count(lambda: build_network(name, 2, **chosen), *size)
    assert counted["attention_macs"] == formula(size[0] * size[1], known | chosen)


def test_no_cost_formula_is_missing() -> None:
    assert {name for name, _, _ in COSTS} == set(NETWORKS)


def test_the_cost_of_edsr_is_as_the_card_says() -> None:
    height, width, c, blocks = 7, 9, 256, 32
    n = height * width
    expected = 9 * n * (3 * c + 2 * blocks * c**2 + c**2 + 4 * c**2) + 9 * 4 * n * 3 * c + 9 * (n + 4 * n)
    assert cost.count(lambda: build_network("edsr", 2), height, width)["macs"] == expected == n * 40_732_461
