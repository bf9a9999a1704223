"""The harness under load: grids of thousands of cells of trivial work, stores of up to a million records.

    python -m tests.benchmarks.load [--cells 500 1000 2000 5000] [--records 10000 100000 1000000] [--to benchmarks/load]

Each verb is the command that a user gives, in a process of its own, alone. Processor time is that of the command and
all its workers, so a busy machine changes it little; memory is the peak of its largest process. Growth is the slope of
processor time over size on logarithms between the two largest sizes, the time that the command takes at the smallest
size (`LEAST`) taken off both: 1 is linear.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import itertools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from harness.store import Store
from tests.benchmarks.files import where, written
from tests.stores import BICUBIC, EDSR, MANY, NLN, Plan, Variant, add_run, make_store

ROOT = Path(__file__).parents[2]
CELLS, RECORDS = (500, 1000, 2000, 5000), (10_000, 100_000, 1_000_000)
LEAST = {"cells": 1, "records": 1000}
"""What is taken off as the cost of the command itself is measured on so few."""
SEEDS, BESIDE = 5, 20
"""Training seeds of each label of a store; and the cells of the grid that is run into a store full of other records."""
RECORDS_OF_A_CELL = 212
"""A curve of 60 steps, three scores of twelve images, profiles at four sizes with nine samples each."""
BECOMES_CHILDREN_OF_US = 36
"""PR_SET_CHILD_SUBREAPER of Linux: workers whose parent has ended are ours to count."""
GRID = """
name = "load"
tasks = ["train", "evaluate"]
[evaluate]
data = "{images}"
crops = 0
[[methods]]
name = "tests.benchmarks.trivial:METHOD"
settings = {{ number = {numbers} }}
"""
"""Nothing is trained: the method cannot be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """What one verb took at one size; `kind` says what is counted, `file_bytes` what it wrote."""

    kind: str
    verb: str
    size: int
    processor_s: float
    wall_s: float
    peak_bytes: int
    file_bytes: int = 0


def grids(sizes: Iterable[int], folder: Path) -> Iterator[Figures]:
    """All verbs on a grid of so many cells: planned, run, run again when all is done, and told."""
    for size in sizes:
        out, file = folder / f"cells-{size}", trivial_grid(folder, size)
        here = ["--out", str(out)]
        for verb in ("plan", "run", "resume"):
            yield _measured("cells", verb, size, ["plan" if verb == "plan" else "run", str(file), *here])
        yield from _told("cells", size, out / "store.sqlite", out)


def stores(sizes: Iterable[int], folder: Path) -> Iterator[Figures]:
    """All verbs on a store of so many records; a small grid is planned and resumed in it as well."""
    file = trivial_grid(folder, BESIDE)
    for size in sizes:
        out = folder / f"records-{size}"
        yield dataclasses.replace(_written(size, out), kind="records", verb="write")
        yield from _told("records", size, out / "store.sqlite", out)
        here = [str(file), "--out", str(out)]
        _command(["run", *here])
        yield _measured("records", f"plan of {BESIDE} cells", size, ["plan", *here])
        yield _measured("records", f"resume of {BESIDE} cells", size, ["run", *here])


def _told(kind: str, size: int, store: Path, out: Path) -> Iterator[Figures]:
    """The two newest runs compared, the newest told in every form."""
    opened = Store(str(store))
    runs = list(opened.frame("SELECT id FROM run ORDER BY started_at")["id"])
    opened.close()
    here = ["--out", str(out)]
    yield _measured(kind, "compare", size, ["compare", *runs[-2:], *here])
    for verb, name in (
        ("report", "report.html"),
        ("table", "tables.csv"),
        ("export", "all.csv"),
        ("export", "all.parquet"),
    ):
        wanted = {"report": [], "table": ["--to", str(out / name)], "export": [str(out / name)]}[verb]
        told = f"{verb}, {Path(name).suffix[1:]}" if verb == "export" else verb
        yield _measured(kind, told, size, [verb, *wanted, *here], out / name)


def _measured(kind: str, verb: str, size: int, words: Sequence[str], file: Path | None = None) -> Figures:
    found = dataclasses.replace(_command(words), kind=kind, verb=verb, size=size)
    return dataclasses.replace(found, file_bytes=file.stat().st_size) if file else found


def _command(words: Sequence[str]) -> Figures:
    """`run_all.py` with `words`, and what it took, all its processes together.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    return _alone([sys.executable, str(ROOT / "run_all.py"), *words])


def _alone(command: Sequence[str]) -> Figures:
    started = time.monotonic()
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    processor_s, peak, status = 0.0, 0, 0
    while True:
        try:
            pid, ended, used = os.wait4(-1, 0)
        except ChildProcessError:
            break
        processor_s += used.ru_utime + used.ru_stime
        peak = max(peak, 1024 * used.ru_maxrss)
        status = ended if pid == child.pid else status
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    wall_s = time.monotonic() - started
    return Figures(kind="", verb="", size=0, processor_s=processor_s, wall_s=wall_s, peak_bytes=peak)


def trivial_grid(folder: Path, cells: int) -> Path:
    """A grid of so many cells, with an image beside it."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(images / "noise.png")
    file = folder / f"cells-{cells}.toml"
    file.write_text(GRID.format(images=images, numbers=list(range(cells))), encoding="utf-8")
    return file


def synthetic_store(file: Path, records: int) -> int:
    """A store of about so many records as real runs leave them, asked for by two runs; returns how many."""
    seeds = min(SEEDS, max(1, records // (4 * RECORDS_OF_A_CELL)))
    store, _ = make_store(
        file,
        plan := Plan(variants=variants(records // (seeds * RECORDS_OF_A_CELL)), seeds=range(seeds), sets=MANY, crops=0),
    )
    add_run(store, plan, answer=False)
    count = int(store.frame("SELECT COUNT(*) AS records FROM record")["records"][0])
    store.close()
    return count


def variants(count: int) -> list[Variant]:
    """At least four: bicubic, a network without attention, a dense one, and settings of hashing."""
    hashed = [
        Variant(
            label=f"NLSN {number}",
            method="nlsn",
            psnr=29.3 + 0.5 * (7919 * number % count) / count,
            wobble=0.1 * (number % 7),
            exponent=1.0,
            factor=2e-6 * (1 + number % 8),
            settings={"n_hashes": 4, "number": number},
        )
        for number in range(max(1, count - 3))
    ]
    return [BICUBIC, EDSR, NLN, *hashed]


def _written(size: int, out: Path) -> Figures:
    out.mkdir(parents=True)
    file = out / "store.sqlite"
    found = _alone([sys.executable, "-m", "tests.benchmarks.load", "--write", str(size), "--to", str(file)])
    return dataclasses.replace(found, size=size, file_bytes=file.stat().st_size)


def growth(own: Sequence[Figures], least: Figures) -> float | None:
    """The exponent of processor time between the two largest sizes; None where it is too short to tell."""
    *_, before, last = sorted(own, key=lambda f: f.size) if len(own) > 1 else (least, least)
    spent = [f.processor_s - least.processor_s for f in (before, last)]
    if min(spent) < 0.2 * least.processor_s:
        return None
    return math.log(spent[1] / spent[0]) / math.log(last.size / before.size)


HEADS = ("verb", "of", "processor time [s]", "wall time [s]", "memory [MB]", "file [MB]", "growth")


def rows(found: Sequence[Figures]) -> list[tuple[str, ...]]:
    """A row for each verb and size; growth stands in that of the largest."""
    told: list[tuple[str, ...]] = []
    for (kind, verb), group in itertools.groupby(sorted(found, key=_place), key=lambda f: (f.kind, f.verb)):
        least, *own = sorted(group, key=lambda f: f.size)
        slope = growth(own, least)
        for f in own:
            last = "" if f is not own[-1] else "little beside the command itself" if slope is None else f"{slope:.2f}"
            size = f"{f.file_bytes / 1e6:.1f}" if f.file_bytes else ""
            figures = (f"{f.processor_s:.1f}", f"{f.wall_s:.1f}", f"{f.peak_bytes / 1e6:.0f}", size)
            told.append((verb, f"{f.size:,} {kind}", *figures, last))
    return told


def _place(f: Figures) -> tuple[str, str, int]:
    return f.kind, f.verb, f.size


def main() -> None:
    """Measure what the command line asks for, print it, and write it if a file is named."""
    parser = argparse.ArgumentParser(description="The harness under load.")
    parser.add_argument("--cells", type=int, nargs="*", default=CELLS)
    parser.add_argument("--records", type=int, nargs="*", default=RECORDS)
    parser.add_argument("--write", type=int, help="only write a store of so many records to the file --to")
    parser.add_argument("--to", type=Path, help="files NAME.json and NAME.md for the figures")
    asked = parser.parse_args()
    if asked.write:
        synthetic_store(asked.to, asked.write)
        return
    ctypes.CDLL(None).prctl(BECOMES_CHILDREN_OF_US, 1, 0, 0, 0)
    found, say, told = [], Console(width=120, stderr=True).print, where("load")
    with tempfile.TemporaryDirectory(prefix="nlbench-load-") as folder:
        sizes = {kind: [LEAST[kind], *getattr(asked, kind)] for kind in LEAST if getattr(asked, kind)}
        makers = {"cells": grids, "records": stores}
        for f in (f for kind, own in sizes.items() for f in makers[kind](own, Path(folder))):
            found.append(f)
            say(f"{f.verb}, {f.size:,} {f.kind}: {f.processor_s:.1f} s, {f.peak_bytes / 1e6:.0f} MB", highlight=False)
            if asked.to:
                written("The harness under load", [HEADS, *rows(found)], found, told, asked.to)
    shown = Table(*HEADS)
    for row in rows(found):
        shown.add_row(*row)
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
