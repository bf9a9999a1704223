"""A study for the tests of replays: a store that a run filled, of which nothing else is left."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

import methods
from harness.isolate import start_server
from harness.place import Place
from harness.store import Store
from tests.harness.test_run import go

GRID = """
name = "replayed"
[limits]
task_s = 600.0
[trunk]
n_feats = 8
n_resblocks = 1
[train]
data = "{images}"
steps = 3
batch = 2
patch = 8
[evaluate]
data = "{images}"
crops = 1
[profile]
sizes = "8x8"
warm_up_s = 0.0
budget_s = 0.01
[count]
measure = true
sizes = "8x8"
[race]
measure = true
sizes = "8x8"
passes = 2
warm_up_s = 0.0
budget_s = 0.02
[[methods]]
name = "bicubic"
[[methods]]
name = "edsr"
[[methods]]
name = "edsr"
label = "Given"
weights = "{weights}"
[[methods]]
name = "nlsn"
settings = {{ chunk_size = 8, backend = ["plain", "fused"] }}
[[exclude]]
method = "nlsn"
size = "8x8"
backend = "plain"
[[exclude]]
method = "edsr"
size = "8x8"
"""
SMALL = {"n_feats": 8, "n_resblocks": 1}


class Study:
    """A store that a run filled, of which nothing else is left: neither its grid nor its cache."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        self.weights, self.store = folder / "given.safetensors", folder / "store.sqlite"
        shutil.copytree(images, self.images)
        save_file(methods.build_network("edsr", 2, **SMALL).state_dict(), self.weights)
        grid = folder / "grid.toml"
        grid.write_text(GRID.format(images=self.images, weights=self.weights), encoding="utf-8")
        start_server()
        go(grid, Place.of(folder / "out", device="cpu", threads=1))
        shutil.move(folder / "out" / "store.sqlite", self.store)
        shutil.rmtree(folder / "out")
        grid.unlink()
        self.attempts = Store(str(self.store)).frame("SELECT id, kind, run_id, spec FROM attempt")

    def id(self, kind: str, method: str, *words: str) -> str:
        own = self.attempts[self.attempts["kind"] == kind]
        (found,) = [i for i, spec in zip(own["id"], own["spec"], strict=True) if _is(json.loads(spec), method, words)]
        return str(found)

    def copy(self, to: Path, *statements: str) -> Path:
        """The store, with something changed in it."""
        file = to / "changed.sqlite"
        shutil.copy(self.store, file)
        with sqlite3.connect(file) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0
        connection.close()
        return file


def _is(spec: dict[str, Any], method: str, words: tuple[str, ...]) -> bool:
    return spec.get("method") == method and all(word in json.dumps(spec) for word in words)
