"""Synthetic runs of attentions timed in turn, whose scatter within and between passes is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.records import Outcome, Record, Status, Task
from harness.store import Store, Wanted
from reports.frames import Frames, load
from tests.stores import MACHINE, RUN, make_task

SIZES = ("24x24", "48x48", "96x96")
DENSE = {"weighting": "softmax", "backend": "plain"}
KEYS = {"z-dense": ("NLN plain", DENSE), "k-hash": ("NLSN", {"chunk_size": 36})}
ROUNDS = 12


def seconds_of(key: str, size: str) -> float:
    """Dense is quadratic, the control and hashing are linear; they meet at 2,000 positions."""
    n = float(np.prod([int(side) for side in size.split("x")]))
    return {"z-dense": 1e-9 * n**2, "k-hash": 2e-6 * n, "control": 1e-8 * n}[key]


def frames_of(
    path: Path,
    *,
    passes: int = 3,
    between: float = 0.02,
    within: float = 0.01,
    slower: Mapping[str, float] | None = None,
    seed: int = 0,
    failing: str = "",
) -> Frames:
    """A run whose medians scatter by `between` from pass to pass and samples by `within`, both of logarithms.

    All attentions of a round share a drift, which pairs cancel. `slower` multiplies the time of a contender.
    """
    store = Store(str(path / f"store-{seed}.db"))
    random = np.random.default_rng(seed)
    tasks = [(number, _task(number, size)) for number in range(passes) for size in SIZES]
    wanted = [
        Wanted(cell=f"pass {number}", cell_spec=_cell(number), label="Attention alone", task=task)
        for number, task in tasks
    ]
    run = store.begin_run(RUN, MACHINE, wanted)
    for _, task in tasks:
        store.write(run, _outcome(task, random, between, within, slower or {}, failing))
    frames = load(store, run)
    store.close()
    return frames


def _task(number: int, size: str) -> Task:
    spec = {"contenders": list(KEYS), "pass": number, "mode": "inference", "size": size, "precision": "fp32"}
    return make_task("alone", spec)


def _cell(number: int) -> dict[str, Any]:
    told = {key: {"label": label, "settings": settings} for key, (label, settings) in KEYS.items()}
    return {
        "method": "alone",
        "title": "Attention alone",
        "contenders": told,
        "order": list(KEYS),
        "scale": 0,
        "seed": number,
    }


def _outcome(
    task: Task, random: Any, between: float, within: float, slower: Mapping[str, float], failing: str
) -> Outcome:
    size, records = task.spec["size"], []
    drift = np.exp(random.normal(0.0, 0.2, ROUNDS))
    for key in (*KEYS, "control"):
        if (key, size) == (failing, SIZES[-1]):
            reason = "would take 5.4 GB, 4.0 GB are free"
            records.append(Record(metric="alone_s", status=Status.OUT_OF_MEMORY, reason=reason, module=key, size=size))
            continue
        own = seconds_of(key, size) * slower.get(key, 1.0) * np.exp(random.normal(0.0, between))
        times = own * drift * np.exp(random.normal(0.0, within, ROUNDS))
        records += [
            Record(metric="alone_s", value=float(time), module=key, size=size, repeat=turn)
            for turn, time in enumerate(times)
        ]
        if key != "control":
            records.append(Record(metric="alone_macs", value=1e3 * seconds_of(key, size), module=key, size=size))
    records.append(Record(metric="clock_s", value=2e-8, size=size))
    protocol = {"mode": "inference", "precision": "fp32", "batch": 1}
    return Outcome(task=task, status=Status.DONE, seconds=1.0, records=tuple(records), protocol=protocol)
