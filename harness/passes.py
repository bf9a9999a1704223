"""The passes of a grid's race: processes of their own, at times of their own, each timing everything in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from harness.contenders import Contender, Session, contenders, told
from harness.grid_tables import Mode, Race, Scope
from harness.machine import versions
from harness.records import Task, fingerprint
from harness.resolve import Resolved
from harness.sources import code_version

TITLE = "In turn"
"""The label of what times all others."""
CODE = "harness.race"


def passes(asked: Race, cells: list[Resolved], labels: Mapping[str, str], machine: str) -> Iterator[Session]:
    """All passes that `asked` wants on the `machine` of that fingerprint; none where nothing can run."""
    fields = {scope: contenders(cells, labels, scope) for scope in asked.scope}
    found = {key: each for field in fields.values() for key, each in field.items()}
    for number in range(asked.passes if found else 0):
        tasks = (_task(asked, way, number, machine) for way in _ways(asked, fields))
        yield Session(spec=told("race", TITLE, found, number), tasks=tuple(tasks), contenders=found)


def _ways(asked: Race, fields: Mapping[Scope, Mapping[str, Contender]]) -> Iterator[dict[str, Any]]:
    """Who runs how; tiling is a matter of whole networks in inference, CUDA graphs of inference."""
    for scope, field in fields.items():
        for scale, runs in _by_scale(scope, field).items():
            for mode in asked.mode:
                yield from ({"scope": scope, "scale": scale, **runs, **how} for how in _how(asked, scope, mode))


def _how(asked: Race, scope: Scope, mode: Mode) -> Iterator[dict[str, Any]]:
    axes = {
        "precision": asked.precision,
        "batch": asked.batch,
        "compile": asked.compile,
        "channels_last": asked.channels_last,
        "cuda_graphs": asked.cuda_graphs if mode == "inference" else (False,),
        "tiling": asked.tiling if (scope, mode) == ("network", "inference") else ("whole",),
        "size": asked.sizes,
    }
    for point in itertools.product(*axes.values()):
        yield {"mode": mode, **dict(zip(axes, point, strict=True))}


def _by_scale(scope: Scope, field: Mapping[str, Contender]) -> dict[int, dict[str, Any]]:
    """Networks of one scale run together; attentions, which know none, all of them, as of scale 0."""
    found: dict[int, list[Contender]] = {}
    for each in field.values():
        found.setdefault(each.scale if scope == "network" else 0, []).append(each)
    return {scale: _runs(together) for scale, together in found.items()}


def _runs(together: list[Contender]) -> dict[str, Any]:
    reference = next((each.key for each in together if each.dense), None)
    return {"contenders": [each.key for each in together], "reference": reference}


def _task(asked: Race, way: Mapping[str, Any], number: int, machine: str) -> Task:
    spec = {"pass": number, "machine": machine, "torch": versions()["torch"], "race_code": code_version(CODE), **way}
    spec |= {"warm_up_s": asked.warm_up_s, "budget_s": asked.budget_s}
    return Task(kind="race", key=fingerprint(spec | {"kind": "race"}), spec=spec)
