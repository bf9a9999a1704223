"""What a run writes down of what is published about its methods."""

from __future__ import annotations

from pathlib import Path

from harness.grid import read_grid
from harness.place import Place
from harness.plan import plan
from harness.published import published
from harness.run import prepare
from harness.store import Store, read_json
from methods.papers import scores_of
from tests.conftest import WriteGrid
from tests.harness.test_run import SMALL


def of(path: Path) -> dict[str, list[dict[str, object]]]:
    return published(plan(read_grid(path), path.name, {}))


def test_methods_of_the_catalogue_and_bicubic_bring_what_is_printed_of_them(write_grid: WriteGrid) -> None:
    found = of(write_grid("bicubic", "edsr", "dlsn", tables=SMALL))
    assert set(found) == {"bicubic", "edsr"}
    assert len(found["edsr"]) == len(scores_of("edsr"))
    assert {"scale": 2, "dataset": "Set5", "psnr": 38.11, "ssim": 0.9602}.items() <= found["edsr"][0].items()


def test_a_label_names_a_peer_and_its_self_ensemble(write_grid: WriteGrid) -> None:
    found = of(write_grid("tests.plugins:TINY", tables='label = "RCAN"'))
    assert {name: len(scores) for name, scores in found.items()} == {
        "RCAN": len(scores_of("RCAN")),
        "RCAN+": len(scores_of("RCAN+")),
    }


def test_it_stands_in_the_store_beside_the_run(write_grid: WriteGrid, place: Place, store: Store) -> None:
    prepared = prepare(write_grid("bicubic"), place)
    prepared.begin()
    text = store.frame("SELECT published FROM run")["published"][0]
    assert read_json(text)["bicubic"][0]["dataset"] in {"Set5", "Set14", "B100", "Urban100", "Manga109"}
    prepared.store.close()
