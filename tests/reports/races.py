"""Synthetic runs of attentions timed in turn, whose scatter within and between passes is known."""

from __future__ import annotations

import dataclasses
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
SHARE = 0.6
"""Of networks' time that attention takes."""
CEILINGS = {"ceiling_macs_per_s": 4e3, "ceiling_bytes_per_s": 2e3}
"""The best, found in the second pass at the second size; elsewhere a tenth less."""


def seconds_of(key: str, size: str) -> float:
    """Dense is quadratic, the control and hashing are linear; they meet at 2,000 positions."""
    n = float(np.prod([int(side) for side in size.split("x")]))
    return {"z-dense": 1e-9 * n**2, "k-hash": 2e-6 * n, "control": 1e-8 * n}[key]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Synthetic:
    """A run of attentions alone, or of networks of a `scale`, whose rounds share a drift that pairs cancel.

    Medians `scatter` by the first from pass to pass, and samples by the second, both of logarithms. `slower` multiplies
    the time of a contender; the one that is `failing` does not fit at the largest size.
    """

    passes: int = 3
    scatter: tuple[float, float] = (0.02, 0.01)
    slower: Mapping[str, float] = dataclasses.field(default_factory=dict)
    failing: str = ""
    scale: int = 0


def frames_of(path: Path, *, seed: int = 0, **how: Any) -> Frames:
    """A `Synthetic` run, stored and loaded."""
    store, made = Store(str(path / f"store-{seed}.db")), Synthetic(**how)
    random = np.random.default_rng(seed)
    tasks = [(number, _task(number, size)) for number in range(made.passes) for size in SIZES]
    wanted = [
        Wanted(cell=f"pass {number}", cell_spec=_cell(number), label="In turn", task=task) for number, task in tasks
    ]
    run = store.begin_run(RUN, MACHINE, wanted)
    for _, task in tasks:
        store.write(run, _outcome(task, random, made))
    frames = load(store, run)
    store.close()
    return frames


def _task(number: int, size: str) -> Task:
    spec = {"contenders": list(KEYS), "pass": number, "mode": "inference", "size": size, "precision": "fp32"}
    return make_task("race", spec)


def _cell(number: int) -> dict[str, Any]:
    methods = {"z-dense": "nln", "k-hash": "nlsn"}
    told = {
        key: {"label": label, "method": methods[key], "settings": settings, "changed": {}}
        for key, (label, settings) in KEYS.items()
    }
    return {
        "method": "race",
        "title": "In turn",
        "contenders": told,
        "order": list(KEYS),
        "scale": 0,
        "seed": number,
    }


def _outcome(task: Task, random: Any, made: Synthetic) -> Outcome:
    size, records = task.spec["size"], []
    drift = np.exp(random.normal(0.0, 0.2, ROUNDS))
    for key in KEYS if made.scale else (*KEYS, "control"):
        if (key, size) == (made.failing, SIZES[-1]):
            reason = "would take 5.4 GB, 4.0 GB are free"
            records.append(Record(metric="race_s", status=Status.OUT_OF_MEMORY, reason=reason, module=key, size=size))
            continue
        between, within = made.scatter
        own = seconds_of(key, size) * made.slower.get(key, 1.0) * np.exp(random.normal(0.0, between))
        times = own * drift * np.exp(random.normal(0.0, within, ROUNDS))
        parts = {"race_s": 1.0} | ({"race_inside_s": SHARE, "race_bypassed_s": 1 - SHARE} if made.scale else {})
        for metric, part in parts.items():
            records += [
                Record(metric=metric, value=float(part * time), module=key, size=size, repeat=turn)
                for turn, time in enumerate(times)
            ]
        if key != "control":
            records += _once(key, size, own, first=task.spec["pass"] == 0)
    found = 1.0 if (task.spec["pass"], size) == (1, SIZES[1]) else 0.9
    records += [Record(metric=metric, value=found * best, size=size) for metric, best in CEILINGS.items()]
    way = {"scope": "network" if made.scale else "attention", "scale": made.scale, "tiling": "whole"}
    protocol = {"mode": "inference", "precision": "fp32", "batch": 1, **way}
    return Outcome(task=task, status=Status.DONE, seconds=1.0, records=tuple(records), protocol=protocol)


def _once(key: str, size: str, seconds: float, *, first: bool) -> list[Record]:
    """What has one value in a pass, or in the first alone."""
    values = {"counted_macs": 1e3 * seconds_of(key, size), "race_clock_s": 2e-8, "race_first_s": 2 * seconds}
    values |= {"race_kernel_s": 0.75 * seconds} if first else {}
    return [Record(metric=metric, value=value, module=key, size=size) for metric, value in values.items()]
