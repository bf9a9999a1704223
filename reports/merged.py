"""Several runs as one page: their cells side by side, told apart where two runs give one label to different networks.

A row is shared by two runs only where it is the same measurement: the same cells, every common task answered by the
same attempt. The baseline, which nobody trains, is shared where its scores agree. What ran in turn, or was counted
together, stays with its own run: two sessions never meet in one table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.records import Status, fingerprint
from reports.frames import BASELINE, Frames
from reports.pairs import ALIKE_DB
from reports.several import check_runs, checked_names, names_of

SESSIONS = ("race", "count")
"""Kinds of task that measure many contenders at once."""

Owners = Mapping[str, int]
"""The run, by its number, whose row a label is: an earlier one where both are the same."""
Renames = Mapping[str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """One of the runs, with what its labels are called on the common page."""

    frames: Frames
    number: int
    name: str
    labels: Renames
    contenders: Renames
    belonging: Mapping[str, tuple[int, str]]
    """Number and name of the run whose row each of `labels` is."""


def merged(frames: Sequence[Frames], names: Sequence[str] = ()) -> Frames:
    """The runs as one; `names`, one for each, tell labels apart that would be two things. Default: `names_of`.

    `run` of what comes back is the first run with the ids, grids and published results of all, and `runs` holds each
    with its `name`. Cells that are told apart carry the name among their settings, so that each finds its own twin.

    Raises:
        UserError: no run at all, one run twice, or names that are not a name of its own for each run.
    """
    check_runs(frames)
    if len(frames) == 1 and not names:
        return frames[0]
    called = checked_names(names, len(frames)) if names else names_of(frames)
    parts = _parts(frames, called)
    tasks = _stacked([_tasks(part) for part in parts])
    tasks = _sessions_apart(_once(tasks))
    return Frames(
        run=_run(frames, called),
        tasks=tasks.drop(columns=["part", "part_name", "held", "measured_by"]),
        records=_of_tasks([each.records for each in frames], tasks),
        artifacts=_of_tasks([each.artifacts for each in frames], tasks),
        protocols=_protocols(frames, tasks),
        machines={key: value for each in frames for key, value in each.machines.items()},
        verdicts=_verdicts(frames),
    )


def measured_on(frames: Frames, machine: str) -> Frames:
    """`frames` without the tasks that another machine answered."""
    elsewhere = frames.tasks["machine_id"].notna() & (frames.tasks["machine_id"] != machine)
    return dataclasses.replace(frames, tasks=frames.tasks[~elsewhere])


def _parts(frames: Sequence[Frames], names: Sequence[str]) -> list[_Part]:
    owners = _owners(frames)
    inside = [_contender_owners(each, own) for each, own in zip(frames, owners, strict=True)]
    labels, contenders = _renames(owners, names), _renames(inside, names)
    return [
        _Part(
            frames=each,
            number=i,
            name=names[i],
            labels=labels[i],
            contenders=contenders[i] | labels[i],
            belonging={label: (owners[i][label], names[owners[i][label]]) for label in labels[i]},
        )
        for i, each in enumerate(frames)
    ]


def _owners(frames: Sequence[Frames]) -> list[dict[str, int]]:
    """For each run, whose row each of its labels is."""
    owners: list[dict[str, int]] = []
    for i, each in enumerate(frames):
        own: dict[str, int] = {}
        for label in each.tasks["label"].unique():
            earlier = [j for j in range(i) if owners[j].get(label) == j]
            own[str(label)] = next((j for j in earlier if _same(frames[j], each, label)), i)
        owners.append(own)
    return owners


def _same(first: Frames, second: Frames, label: str) -> bool:
    """Whether `label` is one thing in both runs."""
    one, other = (each.tasks[each.tasks["label"] == label] for each in (first, second))
    if (one["method"] == BASELINE).all() and (other["method"] == BASELINE).all():
        return _scored_alike(first, second, label)
    shared = one.merge(other, on="task_key", suffixes=("", "_other"))
    answered = shared["attempt_id"].fillna("") == shared["attempt_id_other"].fillna("")
    return _same_cells(one, other) and bool(answered.all())


def _same_cells(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether scales and seeds that both have are of the same cells, and there are any."""
    cells = [set(zip(each["scale"], each["seed"], each["cell_id"], strict=True)) for each in (one, other)]
    places = {cell[:2] for cell in cells[0]} & {cell[:2] for cell in cells[1]}
    held = [{cell for cell in each if cell[:2] in places} for each in cells]
    return bool(places) and held[0] == held[1]


def _scored_alike(first: Frames, second: Frames, label: str) -> bool:
    place = ["scale", "seed", "dataset", "comparable", "image"]
    psnr = [each.measured("psnr_y") for each in (first, second)]
    means = [each[each["label"] == label].groupby(place)["value"].mean() for each in psnr]
    one, other = means[0].align(means[1], join="inner")
    return bool(np.isclose(one.to_numpy(float), other.to_numpy(float), rtol=0.0, atol=ALIKE_DB).all())


def _contender_owners(frames: Frames, owners: Owners) -> dict[str, int]:
    """The same of the labels inside sessions, which are those of their session."""
    cells = frames.tasks[frames.tasks["kind"].isin(SESSIONS)].drop_duplicates("cell_id")
    found: dict[str, int] = {}
    for label, spec in zip(cells["label"], cells["cell_spec"], strict=True):
        for told in spec["contenders"].values():
            found[str(told["label"])] = max(owners[label], found.get(str(told["label"]), 0))
    return found


def _renames(owners: Sequence[Owners], names: Sequence[str]) -> list[dict[str, str]]:
    """For each run, what those of its labels are called that belong to several runs."""
    taken = {label for own in owners for label in own}
    several = {label for label in taken if len({own[label] for own in owners if label in own}) > 1}
    called: dict[tuple[str, int], str] = {}
    for key in sorted({(label, own[label]) for own in owners for label in own if label in several}):
        called[key] = _unlike(f"{key[0]} ({names[key[1]]})", taken)
        taken.add(called[key])
    return [{label: called[label, own[label]] for label in own if label in several} for own in owners]


def _unlike(label: str, taken: set[str]) -> str:
    """`label`, marked until nothing else is called so."""
    while label in taken:
        label += "'"
    return label


def _tasks(part: _Part) -> pd.DataFrame:
    """The tasks of one run as they stand among those of the others."""
    tasks = part.frames.tasks
    marked = {_identity(spec): part.belonging[label][1] for label, spec in _cells(tasks) if label in part.labels}
    marks = {label: f"@{number}" for label, (number, _) in part.belonging.items()}
    return tasks.assign(
        label=tasks["label"].map(lambda label: part.labels.get(label, label)),
        cell_id=tasks["cell_id"] + tasks["label"].map(lambda label: marks.get(label, "")),
        cell_spec=tasks["cell_spec"].map(lambda spec: _told_apart(spec, part, marked)),
        twin=tasks["twin"].map(lambda twin: _marked(twin, marked) if isinstance(twin, Mapping) else twin),
        part=part.number,
        part_name=part.name,
    )


def _cells(tasks: pd.DataFrame) -> Iterator[tuple[str, Mapping[str, Any]]]:
    cells = tasks.drop_duplicates("cell_id")
    return zip(cells["label"], cells["cell_spec"], strict=True)


def _identity(spec: Mapping[str, Any]) -> str:
    return repr((spec["method"], sorted((spec.get("settings") or {}).items())))


def _told_apart(spec: Mapping[str, Any], part: _Part, marked: Renames) -> Mapping[str, Any]:
    """A cell's description for the common page: contenders by their new labels, benchmarks in groups of their run."""
    if "contenders" in spec:
        told = {key: {**each, "label": _called(each, part)} for key, each in spec["contenders"].items()}
        return {**spec, "contenders": told}
    if spec.get("method") == "benchmark":
        return {**spec, "group": f"{spec.get('group') or 'Benchmarks'} ({part.name})"}
    return _marked(spec, marked)


def _called(contender: Mapping[str, Any], part: _Part) -> str:
    return part.contenders.get(str(contender["label"]), str(contender["label"]))


def _marked(spec: Mapping[str, Any], marked: Renames) -> Mapping[str, Any]:
    """`spec` with its run among the settings, where its label is told apart."""
    name = marked.get(_identity(spec))
    return spec if name is None else {**spec, "settings": {**(spec.get("settings") or {}), "run": name}}


def _once(tasks: pd.DataFrame) -> pd.DataFrame:
    """A row per task, what is done before what is not; a key that two attempts answer becomes two keys."""
    position = np.arange(len(tasks))
    ranked = tasks.assign(held=tasks["position"], position=position, waiting=tasks["status"] != Status.DONE)
    ranked = ranked.sort_values(["waiting", "position"]).drop_duplicates(["label", "cell_id", "task_key"])
    kept = ranked.drop(columns="waiting").sort_values("position", ignore_index=True)
    first: dict[str, str] = {}
    told = zip(kept["task_key"], kept["attempt_id"].fillna("").astype(str), kept["part"], strict=True)
    keys = [key if first.setdefault(key, attempt) == attempt else f"{key}@{part}" for key, attempt, part in told]
    return kept.assign(task_key=keys)


def _sessions_apart(tasks: pd.DataFrame) -> pd.DataFrame:
    """Sessions under protocols of their own run, where several runs have any."""
    sessions = tasks["kind"].isin(SESSIONS) & tasks["comparable"].notna()
    if len(tasks.loc[sessions, "part"].drop_duplicates()) <= 1:
        return tasks.assign(measured_by=tasks["comparable"])
    pairs = zip(tasks["comparable"], tasks["part_name"], sessions, strict=True)
    own = [_own_protocol(key, name) if session else key for key, name, session in pairs]
    return tasks.assign(measured_by=tasks["comparable"], comparable=own)


def _own_protocol(key: str, name: str) -> str:
    return fingerprint({"comparable": key, "session": name})


def _of_tasks(rows: Sequence[pd.DataFrame], tasks: pd.DataFrame) -> pd.DataFrame:
    """Records or artifacts of the tasks that were kept, with what these are called now."""
    stacked = _stacked([each.assign(part=i) for i, each in enumerate(rows)])
    called = ["label", "cell_id", "task_key", "comparable"]
    kept = stacked.drop(columns=called).rename(columns={"position": "held"})
    joined = kept.merge(tasks[["part", "held", "position", *called]], on=["part", "held"], how="inner")
    return joined.sort_values("position", kind="stable", ignore_index=True).drop(columns=["part", "held"])


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other; a column that is empty in one of them takes the type that it has in the others."""
    held = [part for part in parts if not part.empty] or list(parts[:1])
    told = [{name: part[name].dtype for name in part if part[name].notna().any()} for part in held]
    types = {name: [each[name] for each in told if name in each] for name in held[0]}
    blank = {name: kinds[0] for name, kinds in types.items() if kinds and kinds[0].kind == "f"}
    typed = [part.astype({name: kind for name, kind in blank.items() if part[name].isna().all()}) for part in held]
    return pd.concat(typed, ignore_index=True)


def _protocols(frames: Sequence[Frames], tasks: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    found = {key: value for each in frames for key, value in each.protocols.items()}
    moved = tasks[tasks["measured_by"].notna() & (tasks["measured_by"] != tasks["comparable"])]
    moved = moved.drop_duplicates("comparable")
    rows = zip(moved["comparable"], moved["measured_by"], moved["part_name"], strict=True)
    return found | {own: {**found[key], "session": name} for own, key, name in rows}


def _verdicts(frames: Sequence[Frames]) -> pd.DataFrame:
    """Those of all stores, once each."""
    stacked = _stacked([each.verdicts for each in frames])
    once = stacked.drop_duplicates(["run_id", "claim_id"])
    return once.sort_values(["started_at", "position"], kind="stable", ignore_index=True)


def _run(frames: Sequence[Frames], names: Sequence[str]) -> dict[str, Any]:
    """The first run, with what all have together in its place."""
    runs = [{**each.run, "name": name} for each, name in zip(frames, names, strict=True)]
    published: dict[str, Any] = {}
    for run in reversed(runs):
        published |= run["published"]
    return runs[0] | {
        "id": fingerprint({"runs": [run["id"] for run in runs]}),
        "grid_name": ", ".join(dict.fromkeys(str(run["grid_name"]) for run in runs)),
        "dirty": int(any(run["dirty"] for run in runs)),
        "published": published,
        "runs": tuple(runs),
    }
