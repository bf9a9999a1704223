"""One run as tidy pandas tables: a row per wanted task, a row per record, a row per artifact.

A task may have been attempted in an earlier run: it is answered by the latest attempt that is done, or else by the
latest attempt, or by none, and then its status is `NOT_RUN`.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.records import EXECUTIONS, Status
from harness.store import NOT_COMPARED, Store, read_json

NOT_RUN = "not_run"
BASELINE = "bicubic"
"""The method that gains are counted from."""

PLACES = (
    "dataset", "degradation", "tiling", "precision", "self_ensemble", "hash_seed", "size", "twin", "weights",
    *EXECUTIONS,
)  # fmt: skip
"""What an attempt's specification says about where and how it was made."""

TOLD = (
    "label", "scale", "seed", "method", "kind", "status", "reason", "machine_id", "cell_spec", "dataset", "tiling",
    "precision", "size", *EXECUTIONS,
)  # fmt: skip
"""The columns of tasks that a row of a table may ask for."""

SIZE = re.compile(r"(\d+)x(\d+)")

ATTEMPTS = """
SELECT attempt.id AS attempt_id, attempt.task_key, attempt.spec, attempt.status, attempt.reason, attempt.ended_at,
    attempt.seconds, attempt.run_id AS source_run, run.machine_id, run.commit_id, run.dirty, run.versions,
    protocol.comparable, protocol.spec AS protocol
FROM attempt
JOIN run ON run.id = attempt.run_id
JOIN protocol ON protocol.id = attempt.protocol_id
WHERE attempt.task_key IN (SELECT task_key FROM wanted WHERE run_id = :run)
ORDER BY attempt.ended_at, attempt.id
"""

RECORDS = """
SELECT record.attempt_id, record.metric, record.value, record.status, record.reason, record.dataset, record.image,
    record.region, record.size, record.module, record.step, record.repeat
FROM record
JOIN attempt ON attempt.id = record.attempt_id
WHERE attempt.task_key IN (SELECT task_key FROM wanted WHERE run_id = :run)
    AND record.metric NOT IN ('learning_rate', 'step_s', 'first_step_s')
ORDER BY record.attempt_id, record.position
"""

ARTIFACTS = """
SELECT artifact.attempt_id, artifact.name, artifact.dataset, artifact.image, blob.content
FROM artifact
JOIN attempt ON attempt.id = artifact.attempt_id
JOIN blob ON blob.id = artifact.blob_id
WHERE attempt.task_key IN (SELECT task_key FROM wanted WHERE run_id = :run)
ORDER BY artifact.attempt_id, artifact.position
"""

WANTED = """
SELECT position, cell_id, label, task_key, kind FROM wanted WHERE run_id = :run ORDER BY position
"""

CELLS = """
SELECT id, spec FROM cell WHERE id IN (SELECT cell_id FROM wanted WHERE run_id = :run)
"""

VERDICTS = """
SELECT verdict.*, run.started_at, run.commit_id, run.machine_id FROM verdict JOIN run ON run.id = verdict.run_id
ORDER BY run.started_at, verdict.position
"""

EVIDENCE = """
SELECT attempt.id AS attempt_id, attempt.kind, attempt.spec, attempt.status, attempt.ended_at,
    attempt.run_id AS source_run, run.grid_name
FROM attempt
JOIN run ON run.id = attempt.run_id
WHERE attempt.id IN (:attempts)
"""

RUN = """
SELECT run.*, machine.description FROM run JOIN machine ON machine.id = run.machine_id
ORDER BY run.started_at, run.id
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frames:
    """`tasks`, `records` and `artifacts` of one run, the protocols they were measured by, all machines, all verdicts.

    `records` and `artifacts` carry the columns of their task; one that answers tasks of two cells is there twice.
    Verdicts of the newest check on each machine carry the attempts that they rest on, of whatever run, as `evidence`.
    """

    run: Mapping[str, Any]
    tasks: pd.DataFrame
    records: pd.DataFrame
    artifacts: pd.DataFrame
    protocols: Mapping[str, Mapping[str, Any]]
    machines: Mapping[str, Mapping[str, Any]]
    verdicts: pd.DataFrame

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of methods, in the order in which the run asked for them; what counts or times all is none."""
        return tuple(
            self.tasks.loc[~self.tasks["kind"].isin(["count", "race", "benchmark"]), "label"].drop_duplicates()
        )

    @functools.cached_property
    def _by_label(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        names = [name for name in self.tasks if name in TOLD]
        found: dict[str, list[Mapping[str, Any]]] = {}
        for values in zip(*(self.tasks[name].tolist() for name in names), strict=True):
            row = dict(zip(names, values, strict=True))
            found.setdefault(row["label"], []).append(row)
        return found

    def of_label(self, label: str, scale: int) -> Sequence[Mapping[str, Any]]:
        """The tasks of one label at one scale, as rows: tables ask this of every label, which pandas is slow at."""
        return [row for row in self._by_label.get(label, ()) if row["scale"] == scale]

    def asked(self, kind: str) -> pd.DataFrame:
        """The tasks of one kind."""
        return self.tasks[self.tasks["kind"] == kind]

    def done(self, kind: str) -> pd.DataFrame:
        """The tasks of one kind that have figures."""
        return self.tasks[(self.tasks["kind"] == kind) & (self.tasks["status"] == Status.DONE)]

    def measured(self, *metrics: str) -> pd.DataFrame:
        """The records of `metrics` that have a value, of tasks that are done."""
        held = self.records["metric"].isin(metrics) & self.records["value"].notna()
        return self.records[held & (self.records["task_status"] == Status.DONE)]


def load(store: Store, run_id: str | None = None, *, pictures: bool = True) -> Frames:
    """The run `run_id`, or the newest; without `pictures`, which are most of a store, where figures are enough.

    Raises:
        UserError: there is no run, or none with this id.
    """
    runs = store.frame(RUN)
    run = _told(runs[runs["id"] == store.run_id(run_id)].iloc[0])
    attempts = store.frame(ATTEMPTS, run=run["id"])
    tasks = _tasks(store.frame(WANTED, run=run["id"]), store.frame(CELLS, run=run["id"]), attempts)
    return Frames(
        run=run,
        tasks=tasks,
        records=_with_task(store.frame(RECORDS, run=run["id"]), tasks),
        artifacts=_with_task(store.frame(ARTIFACTS, run=run["id"] if pictures else ""), tasks),
        protocols=_protocols(attempts),
        machines={row["machine_id"]: read_json(row["description"]) for row in runs.to_dict("records")},
        verdicts=_verdicts(store),
    )


def _verdicts(store: Store) -> pd.DataFrame:
    verdicts = store.frame(VERDICTS)
    latest = verdicts["run_id"] == verdicts.groupby("machine_id")["run_id"].transform("last")
    named = [read_json(text) if shown else [] for text, shown in zip(verdicts["attempts"], latest, strict=True)]
    found = _attempts(store, list(dict.fromkeys(attempt for each in named for attempt in each)))
    held = [[found[attempt] for attempt in each if attempt in found] for each in named]
    return verdicts.assign(evidence=pd.Series(held, index=verdicts.index, dtype=object))


def _attempts(store: Store, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is told of some attempts, by their ids."""
    names = {f"a{number}": attempt for number, attempt in enumerate(ids)}
    query = EVIDENCE.replace(":attempts", ", ".join(f":{name}" for name in names) or "NULL")
    rows = store.frame(query, **names).to_dict("records")
    return {row["attempt_id"]: {**_place_columns(row["spec"]), **{str(k): v for k, v in row.items()}} for row in rows}


def newest(store: Store, kind: str) -> list[Frames]:
    """The newest run of every grid that asked for tasks of `kind`, oldest first."""
    runs = store.frame(
        "SELECT DISTINCT run.id, run.grid_name, run.started_at FROM run JOIN wanted ON wanted.run_id = run.id "
        "WHERE wanted.kind = :kind ORDER BY run.started_at",
        kind=kind,
    )
    return [load(store, str(run_id), pictures=False) for run_id in runs.drop_duplicates("grid_name", keep="last")["id"]]


def positions(size: str) -> int:
    """`n = h * w` of a size such as `"96x128"`; 0 for what is no size."""
    found = SIZE.fullmatch(size)
    return int(found[1]) * int(found[2]) if found else 0


def _told(run: pd.Series[Any]) -> dict[str, Any]:
    row = run.to_dict()
    texts = {"versions": read_json(row["versions"]), "machine": read_json(row.pop("description"))}
    texts["published"] = read_json(row["published"] or "{}")
    return {str(name): value for name, value in row.items()} | texts


def _protocols(attempts: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Each protocol by its `comparable` fingerprint, without the parts that may differ inside one column."""
    specs = attempts.drop_duplicates("comparable").set_index("comparable")["protocol"].map(read_json)
    return {str(key): {k: v for k, v in spec.items() if k not in NOT_COMPARED} for key, spec in specs.items()}


def _tasks(wanted: pd.DataFrame, cells: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """A cell's description is read once, however many tasks it has: that of a count names every contender."""
    told = dict(zip(cells["id"], map(_cell_columns, cells["spec"]), strict=True))
    columns = pd.DataFrame([told[cell] for cell in wanted["cell_id"]], index=wanted.index)
    for name in ("method", "scale", "seed", "cell_spec"):
        wanted[name] = columns.get(name, pd.Series(dtype=object))
    wanted["label"] = wanted["label"].map(_clean).astype(object)
    answer = _answers(attempts)
    places = pd.DataFrame([_place_columns(spec) for spec in answer.pop("spec")], index=answer.index)
    for name in PLACES:
        answer[name] = places.get(name, pd.Series(dtype=object))
    tasks = wanted.merge(answer, on="task_key", how="left").sort_values("position", ignore_index=True)
    tasks["status"] = tasks["status"].fillna(NOT_RUN)
    return tasks


def _answers(attempts: pd.DataFrame) -> pd.DataFrame:
    """One attempt per task: the latest that is done, else the latest."""
    done = (attempts["status"] == Status.DONE).rename("done")
    ordered = attempts.assign(done=done).sort_values("done", kind="stable")
    return ordered.drop_duplicates("task_key", keep="last").drop(columns=["done", "protocol"])


def _cell_columns(text: str) -> dict[str, Any]:
    spec = read_json(text)
    held = {name: spec.get(name) for name in ("method", "scale", "seed")}
    return held | {"cell_spec": spec}


def _place_columns(text: str) -> dict[str, Any]:
    spec = read_json(text)
    return {name: spec.get(name) for name in PLACES}


def _clean(label: str) -> str:
    """A label on one line without control characters, which neither HTML nor SVG can hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in label).split()) or "(no label)"


def _with_task(rows: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """`rows` of attempts with the columns of the tasks that they answer, in the order of the tasks."""
    columns = ["position", "cell_id", "label", "method", "scale", "seed", "attempt_id", "task_key", "comparable"]
    held = tasks[[*columns, "tiling", "precision", "hash_seed", "machine_id", "status"]]
    named = held.rename(columns={"status": "task_status"})
    joined = rows.merge(named, on="attempt_id", how="inner", suffixes=("", "_of_task"))
    return joined.sort_values("position", kind="stable", ignore_index=True)
