"""Small, realistic stores for the tests of the reports, made through the store's own interface.

Every figure follows a formula that a test can repeat: see `psnr_of`, `attention_macs_of`, `attention_s_of`.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from harness.records import Artifact, Outcome, Record, Status, Task, fingerprint
from harness.store import Store, Wanted

RUN = {
    "grid_name": "synthetic",
    "grid": '[grid]\nname = "synthetic"\nmethods = ["nlsn", "nln"]\n',
    "command": "run_all.py run synthetic",
    "commit_id": "0123456789abcdef0123456789abcdef01234567",
    "dirty": 1,
    "versions": '{"numpy":"2.0","python":"3.11.9","torch":"2.11.0"}',
}
MACHINE = {"cpu": "Test CPU", "cores": 2, "threads": 2, "memory_bytes": 8 * 2**30, "os": "Linux"}
SETS = {"pier": ("boat", "crane", "rope"), "tiles": ("floor", "wall")}
MANY = {"pier": tuple(f"view {i:02d}" for i in range(12))}
"""Images enough for a test to decide."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the tables: how good it is, and `seconds = base + factor * n^exponent` for its attention.

    Every second image is `wobble` dB better, so that differences between methods differ by image.
    """

    label: str
    method: str
    psnr: float
    exponent: float | None = None
    factor: float = 0.0
    wobble: float = 0.0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def trained(self) -> bool:
        return self.method != "bicubic"


BICUBIC = Variant(label="Bicubic", method="bicubic", psnr=28.0)
EDSR = Variant(label="EDSR", method="edsr", psnr=29.0, wobble=0.3)
NLN = Variant(label="NLN", method="nln", psnr=29.5, exponent=2.0, factor=4e-9, settings={"backend": "plain"})
FUSED = Variant(label="NLN fused", method="nln", psnr=29.5, exponent=2.0, factor=1e-9, settings={"backend": "fused"})
NLSN = Variant(label="NLSN", method="nlsn", psnr=29.6, wobble=-0.6, exponent=1.0, factor=6e-6, settings={"n_hashes": 4})
VARIANTS = (BICUBIC, EDSR, NLN, FUSED, NLSN)
SIZES = ("24x24", "48x48", "96x96", "192x192")
SAMPLES = 9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a synthetic run asks for; `fails` maps (label, kind) or (label, kind, size or data set) to how it ended.

    Counted peaks of memory are `counted_peak` times the measured ones, which are those of a `gpu` or of a CPU.
    """

    variants: Sequence[Variant] = VARIANTS
    scales: Sequence[int] = (2,)
    seeds: Sequence[int] = (0,)
    sets: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=lambda: {"pier": SETS["pier"]})
    sizes: Sequence[str] = SIZES
    tilings: Sequence[str] = ("whole",)
    hash_seeds: Sequence[int] = (0,)
    steps: int = 60
    crops: int = 1
    fails: Mapping[tuple[str, ...], tuple[Status, str]] = dataclasses.field(default_factory=dict)
    unfinished: int = 0
    counted_peak: float = 1.0
    gpu: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask:
    """A wanted task with the variant, scale and seed it is made of."""

    variant: Variant
    scale: int
    seed: int
    task: Task


def psnr_of(variant: Variant, image: int, seed: int = 0, scale: int = 2, hash_seed: int = 0) -> float:
    wobble = variant.wobble * (image % 2)
    return variant.psnr + wobble + 0.5 * image + 0.1 * seed - 2.0 * (scale - 2) + 0.01 * hash_seed


def positions_of(size: str) -> int:
    height, width = size.split("x")
    return int(height) * int(width)


def attention_macs_of(variant: Variant, size: str) -> float:
    assert variant.exponent is not None
    return 100.0 * float(positions_of(size) ** variant.exponent)


def attention_s_of(variant: Variant, size: str) -> float:
    """The median of the samples that the store holds."""
    assert variant.exponent is not None
    return variant.factor * float(positions_of(size) ** variant.exponent)


def make_store(path: Path, plan: Plan | None = None) -> tuple[Store, str]:
    """A store with one run in it; returns it with the id of the run."""
    chosen = plan or Plan()
    store = Store(str(path))
    return store, add_run(store, chosen)


def add_run(store: Store, plan: Plan, machine: Mapping[str, Any] = MACHINE, answer: bool = True) -> str:
    """Add a run of `plan` to `store`; `answer=False` only asks, so that the tasks of earlier runs must answer."""
    asks = list(asked(plan))
    run_id = store.begin_run(RUN, machine, [wanted_of(ask, plan) for ask in asks])
    for ask in asks[: len(asks) - plan.unfinished] if answer else ():
        store.write(run_id, outcome_of(ask, plan))
    return run_id


def asked(plan: Plan) -> Iterator[Ask]:
    for scale in plan.scales:
        for seed in plan.seeds:
            for variant in plan.variants:
                for task in _tasks(plan, variant, scale, seed):
                    yield Ask(variant=variant, scale=scale, seed=seed, task=task)


def _tasks(plan: Plan, variant: Variant, scale: int, seed: int) -> Iterator[Task]:
    base = {"label": variant.label, "scale": scale, "seed": seed, "settings": dict(variant.settings)}
    if variant.trained:
        yield make_task("train", base)
    for name in plan.sets:
        for tiling in plan.tilings:
            for hash_seed in plan.hash_seeds:
                where = {"dataset": name, "tiling": tiling, "precision": "fp32", "hash_seed": hash_seed}
                yield make_task("evaluate", base | where)
    if variant.trained:
        for size in plan.sizes:
            yield make_task("profile", base | {"size": size, "precision": "fp32"})


def make_task(kind: Any, spec: Mapping[str, Any]) -> Task:
    return Task(kind=kind, key=fingerprint({"kind": kind, **spec}), spec=spec)


def cell_spec_of(ask: Ask, plan: Plan) -> dict[str, Any]:
    train = {"data": "builtin", "steps": plan.steps, "batch": 4, "patch": 32, "learning_rate": 1e-4}
    return {
        "method": ask.variant.method,
        "title": ask.variant.method.upper(),
        "settings": dict(ask.variant.settings),
        "scale": ask.scale,
        "seed": ask.seed,
        "weights": None,
        "train": train if ask.variant.trained else None,
    }


def wanted_of(ask: Ask, plan: Plan) -> Wanted:
    spec = cell_spec_of(ask, plan)
    cell = fingerprint({"label": ask.variant.label, **spec})
    return Wanted(cell=cell, cell_spec=spec, label=ask.variant.label, task=ask.task)


def outcome_of(ask: Ask, plan: Plan) -> Outcome:
    spec, kind = ask.task.spec, ask.task.kind
    place = spec.get("size", spec.get("dataset", ""))
    failure = plan.fails.get((ask.variant.label, kind, place)) or plan.fails.get((ask.variant.label, kind))
    if failure:
        return Outcome(task=ask.task, status=failure[0], seconds=0.1, reason=failure[1])
    make = {"train": _trained, "evaluate": _evaluated, "profile": _profiled}[kind]
    return make(ask, plan)


def evaluate_protocol(spec: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    held = {"channel": "y", "rounded": False, "crop": spec["scale"], "kernel": "bicubic", "border": "symmetric"}
    kept = {name: spec[name] for name in ("tiling", "precision", "hash_seed")}
    return held | kept | {"weights": fingerprint(spec)} | changes


def _trained(ask: Ask, plan: Plan) -> Outcome:
    steps = np.arange(1, plan.steps + 1)
    noise = np.random.default_rng(ask.seed).normal(1.0, 0.1, plan.steps)
    losses = (0.02 + 0.2 / np.sqrt(steps)) * noise * (30.0 / ask.variant.psnr)
    pairs = zip(steps.tolist(), losses.tolist(), strict=True)
    records = tuple(Record(metric="train_loss", value=loss, step=step) for step, loss in pairs)
    return Outcome(task=ask.task, status=Status.DONE, seconds=2.0, records=records, protocol={"precision": "fp32"})


def _evaluated(ask: Ask, plan: Plan) -> Outcome:
    spec = ask.task.spec
    images = plan.sets[spec["dataset"]]
    records, artifacts = [], []
    for i, image in enumerate(images):
        subject = {"dataset": spec["dataset"], "image": image}
        psnr = psnr_of(ask.variant, i, ask.seed, ask.scale, spec["hash_seed"])
        records.append(Record(metric="psnr_y", value=psnr, **subject))
        records.append(Record(metric="psnr_y_rounded", value=psnr - 0.05, **subject))
        records.append(Record(metric="ssim_y", value=psnr / 40.0, **subject))
        if i < plan.crops:
            artifacts.extend(crops_of(ask, **subject))
    return Outcome(
        task=ask.task,
        status=Status.DONE,
        seconds=0.5,
        records=tuple(records),
        artifacts=tuple(artifacts),
        protocol=evaluate_protocol(spec),
    )


def crops_of(ask: Ask, dataset: str, image: str) -> list[Artifact]:
    """Rings as a crop: LR pixels, the same blurred by resizing, and the truth."""
    truth = rings(48)
    small = truth.resize((48 // ask.scale,) * 2, Image.Resampling.BICUBIC)
    large = small.resize((48, 48), Image.Resampling.BICUBIC)
    share = min(1.0, max(0.0, (ask.variant.psnr - 28.0) / 2.0))
    pictures = {"lr": small, "sr": Image.blend(large, truth, share), "hr": truth}
    return [Artifact(name=n, dataset=dataset, image=image, content=png(p)) for n, p in pictures.items()]


def rings(side: int) -> Image.Image:
    y, x = np.mgrid[0:side, 0:side] / side
    wave = np.cos(60.0 * (x**2 + y**2))
    return Image.fromarray(np.stack([127 + 120 * wave, 127 + 90 * wave, 140 - 80 * wave], axis=-1).astype(np.uint8))


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _profiled(ask: Ask, plan: Plan) -> Outcome:
    variant, size = ask.variant, ask.task.spec["size"]
    n = positions_of(size)
    trunk_s, attention = 2e-3 + 2e-6 * n, variant.exponent is not None
    attention_s = attention_s_of(variant, size) if attention else 0.0
    attention_macs = attention_macs_of(variant, size) if attention else 0.0
    peak_bytes = 2048.0 * n + (4.0 * n**2 if variant.settings.get("backend") == "plain" else 0.0)
    once = {
        "parameters": 1.5e5 + (2e4 if attention else 0.0),
        "macs": 1.5e5 * n + attention_macs,
        "macs_fvcore": 1.5e5 * n + attention_macs,
        "uncounted_elements": 12.0 * n,
        "weight_bytes": 6e5,
        "peak_bytes": peak_bytes,
        "peak_bytes_fake": plan.counted_peak * peak_bytes,
        **({"reserved_bytes": 1.5 * peak_bytes} if plan.gpu else {"rss_bytes": 4e8 + 4096.0 * n}),
        "first_forward_s": 2.5 * (trunk_s + attention_s),
        "converged": float(size != "192x192"),
    } | ({"attention_macs": attention_macs} if attention else {})
    repeated = {"forward_s": trunk_s + attention_s} | ({"attention_s": attention_s} if attention else {})
    records = [Record(metric=name, value=value, size=size) for name, value in once.items()]
    records += [
        Record(metric=name, value=value * (1.0 + 0.01 * (r - SAMPLES // 2)), size=size, repeat=r)
        for name, value in repeated.items()
        for r in range(SAMPLES)
    ]
    protocol = {"device": "cpu", "precision": "fp32", "threads": 2}
    return Outcome(task=ask.task, status=Status.DONE, seconds=1.0, records=tuple(records), protocol=protocol)
