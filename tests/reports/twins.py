"""A synthetic run of a twin without attention and of networks with it: harm, attention, and published figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.records import Artifact, Outcome, Record, Status, Task, canonical
from harness.store import Store, Wanted
from reports.frames import Frames, load
from tests.stores import MACHINE, RUN, make_task, png, rings

EDSR = {"n_feats": 8}
PUBLISHED = {
    "nlsn": [
        {"scale": 2, "dataset": "Set5", "psnr": 38.34, "ssim": 0.9618, "source": "table B"},
        {"scale": 2, "dataset": "Set5", "psnr": 38.34, "ssim": 0.9618, "source": "table <A>"},
        {"scale": 2, "dataset": "Set5", "psnr": 38.30, "ssim": None, "source": "figure"},
        {"scale": 4, "dataset": "Set5", "psnr": 32.59, "ssim": 0.9, "source": "table B"},
    ],
    "NLSN fidelity": [{"scale": 2, "dataset": "Set14", "psnr": 34.0, "ssim": 0.92, "source": "table B"}],
    "nlsn+": [{"scale": 2, "dataset": "Set5", "psnr": 38.50, "ssim": 0.962, "source": "table B"}],
}
LABELS = {"EDSR": "", "NLSN plain": "add", "NLSN fidelity": "texture"}
PSNR = {"EDSR": 30.0, "NLSN plain": 31.0, "NLSN fidelity": 31.3}
ORACLE = 31.5
RELEASED = {"NLSN fidelity"}


def frames_of(path: Path, **changes: Any) -> Frames:
    """The run as the page reads it; `changes` are of the protocol of its evaluations."""
    store = Store(str(path / "store.db"))
    tasks = {label: list(_tasks(label)) for label in LABELS}
    wanted = [
        Wanted(cell=label, cell_spec=_cell(label), label=label, task=task) for label in LABELS for task in tasks[label]
    ]
    run = store.begin_run(RUN | {"published": canonical(PUBLISHED)}, MACHINE, wanted)
    for label, each in tasks.items():
        for task in each:
            store.write(run, _outcome(label, task, changes))
    frames = load(store, run)
    store.close()
    return frames


def _settings(label: str) -> dict[str, Any]:
    return EDSR | ({"chunk_size": 4, "fuse": LABELS[label]} if LABELS[label] else {})


def _cell(label: str) -> dict[str, Any]:
    method = "nlsn" if LABELS[label] else "edsr"
    known = {
        "method": method,
        "title": label,
        "settings": _settings(label),
        "changed": {} if label in RELEASED else {"n_feats": 8},
    }
    return known | {"scale": 2, "seed": 0, "weights": None, "train": {"steps": 60}}


def _tasks(label: str) -> list[Task]:
    base = {"label": label, "dataset": "Set5", "degradation": "bicubic", "tiling": "whole", "precision": "fp32"}
    kinds = [make_task("evaluate", base | {"hash_seed": 0})]
    if LABELS[label]:
        twin = {"method": "edsr", "settings": EDSR, "weights": "k"}
        kinds.append(make_task("harm", base | {"hash_seed": 0, "twin": twin}))
        kinds += [make_task("attention", base | {"hash_seed": 0, "size": size}) for size in ("8x8", "16x16")]
    return kinds


def _outcome(label: str, task: Task, changes: Mapping[str, Any]) -> Outcome:
    made = {"evaluate": _evaluated, "harm": _harm, "attention": _attention}[task.kind]
    records, artifacts = made(label, task)
    asked = {name: task.spec[name] for name in ("dataset", "degradation", "tiling", "precision")}
    own = changes if task.kind == "evaluate" else {}
    size = {"size": task.spec["size"], "top": 16} if task.kind == "attention" else {}
    protocol = asked | {"kind": task.kind, "self_ensemble": False} | size | own
    return Outcome(task=task, status=Status.DONE, seconds=0.1, records=records, artifacts=artifacts, protocol=protocol)


Figures = tuple[tuple[Record, ...], tuple[Artifact, ...]]


def _evaluated(label: str, _: Task) -> Figures:
    found = []
    for i, image in enumerate(("a", "b", "c")):
        subject = {"dataset": "Set5", "image": image}
        found.append(Record(metric="psnr_y", value=PSNR[label] + i - 1, **subject))
        found.append(Record(metric="ssim_y", value=0.9 + 0.01 * i, **subject))
    return tuple(found), ()


def _harm(label: str, _: Task) -> Figures:
    """Two images, one decibel apart; in the worst region attention gains half of what it gains everywhere."""
    found = []
    for i, image in enumerate(("a", "b")):
        for region in ("all", "texture", "degraded", "degraded texture"):
            subject = {"dataset": "Set5", "image": image, "region": region}
            share = 0.5 if region == "degraded texture" else 1.0
            gain = share * (PSNR[label] - PSNR["EDSR"])
            values = {"psnr_rgb": 30.0 + gain + i, "psnr_rgb_twin": 30.0 + i, "psnr_rgb_oracle": ORACLE + i}
            values |= {"helped_share": 0.5, "harmed_share": 0.25, "helped_levels": 4.0, "harmed_levels": 2.0}
            found += [Record(metric=metric, value=value, **subject) for metric, value in values.items()]
            found.append(_undone(region, subject))
    return tuple(found), (Artifact(name="harm", dataset="Set5", image="a", content=png(rings(16))),)


def _undone(region: str, subject: dict[str, Any]) -> Record:
    if region == "texture":
        return Record(metric="undone_share", status=Status.SKIPPED, reason="no such sub-pixel in this image", **subject)
    return Record(metric="undone_share", value=0.125, **subject)


def _attention(label: str, task: Task) -> Figures:
    subject = {"dataset": "Set5", "image": "a", "size": task.spec["size"]}
    scale = 1.0 if label == "NLSN plain" else 0.5
    values = {"attention_entropy": 4.0 * scale, "recall_top": 0.8 * scale, "recall_mass": 0.6 * scale}
    records = tuple(
        Record(metric=metric, value=value + 0.02 * layer - 0.01, module=f"body.{layer}", **subject)
        for metric, value in values.items()
        for layer in range(2)
    )
    drawn = task.spec["size"] == "16x16"
    map_of = Artifact(name="attention", dataset="Set5", image="a", content=png(rings(12)))
    return records, (map_of,) if drawn else ()
