"""What a record is: one number, measured once, with everything that says what it means. No torch here.

A cell has tasks (train, evaluate, harm, attention, profile, count, race); an attempt at a task ends in an outcome: a
status, records, artifacts.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

GridKind = Literal["train", "evaluate", "harm", "attention", "profile", "count", "race"]
Kind = GridKind | Literal["benchmark"]


KINDS: tuple[GridKind, ...] = get_args(GridKind)
"""What a grid may ask for; benchmarks are imported."""


class Status(enum.StrEnum):
    """How an attempt, or one number of it, ended. A failure is a result: a row with a reason."""

    DONE = "done"
    SKIPPED = "skipped"
    OUT_OF_MEMORY = "out_of_memory"
    DIVERGED = "diverged"
    TIMEOUT = "timeout"
    ERROR = "error"


EXECUTIONS = {"compile": "compiled", "channels_last": "channels last", "cuda_graphs": "as a CUDA graph"}
"""How a network may be executed beside plainly: keys of a task's specification, and what they are called."""


def executed(told: Mapping[str, Any]) -> tuple[str, ...]:
    """What a specification or protocol says of how a network is executed, in words; nothing if plainly."""
    return tuple(word for name, word in EXECUTIONS.items() if str(told.get(name)) == "True")


SETTLED = frozenset({Status.DONE, Status.OUT_OF_MEMORY, Status.DIVERGED})
"""Statuses that a further run leaves alone: the same attempt on the same machine would end the same way."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A quantity: its unit, which direction is better (None: neither), and how tables print it."""

    title: str
    unit: str
    better: Literal["higher", "lower"] | None
    digits: int = 2


METRICS: Mapping[str, Metric] = {
    "psnr_y": Metric(title="PSNR-Y", unit="dB", better="higher"),
    "psnr_y_rounded": Metric(title="PSNR-Y, rounded", unit="dB", better="higher"),
    "ssim_y": Metric(title="SSIM-Y", unit="", better="higher", digits=4),
    "psnr_rgb_div2k": Metric(title="PSNR-RGB, crop scale + 6", unit="dB", better="higher"),
    "lpips": Metric(title="LPIPS", unit="", better="lower", digits=4),
    "dists": Metric(title="DISTS", unit="", better="lower", digits=4),
    "psnr_rgb": Metric(title="PSNR-RGB", unit="dB", better="higher"),
    "psnr_rgb_twin": Metric(title="PSNR-RGB of the twin without attention", unit="dB", better=None),
    "psnr_rgb_oracle": Metric(title="PSNR-RGB of the better of both, sub-pixel by sub-pixel", unit="dB", better=None),
    "helped_share": Metric(title="Share of sub-pixels that attention helps", unit="", better="higher", digits=3),
    "harmed_share": Metric(title="Share of sub-pixels that attention harms", unit="", better="lower", digits=3),
    "helped_levels": Metric(title="Mean help where it helps", unit="levels", better="higher"),
    "harmed_levels": Metric(title="Mean harm where it harms", unit="levels", better="lower"),
    "undone_share": Metric(title="Harm over help, in squared error", unit="", better="lower", digits=3),
    "attention_entropy": Metric(title="Entropy of attention", unit="bit", better=None),
    "recall_top": Metric(title="Relevant positions within reach", unit="", better="higher", digits=3),
    "recall_mass": Metric(title="Mass of exact attention within reach", unit="", better="higher", digits=3),
    "parameters": Metric(title="Parameters", unit="", better="lower", digits=0),
    "macs": Metric(title="MACs", unit="", better="lower", digits=0),
    "macs_fvcore": Metric(title="MACs by fvcore", unit="", better="lower", digits=0),
    "uncounted_elements": Metric(title="Elements of operations not counted", unit="", better=None, digits=0),
    "uncounted_bytes": Metric(title="Bytes moved by operations not counted", unit="B", better=None, digits=0),
    "uncounted_products": Metric(title="Matrix products not counted", unit="", better="lower", digits=0),
    "attention_macs": Metric(title="MACs in attention", unit="", better="lower", digits=0),
    "peak_bytes": Metric(title="Peak memory of activations", unit="B", better="lower", digits=0),
    "peak_bytes_fake": Metric(title="Peak memory of activations, counted", unit="B", better="lower", digits=0),
    "weight_bytes": Metric(title="Memory of weights", unit="B", better="lower", digits=0),
    "reserved_bytes": Metric(title="Reserved by the allocator", unit="B", better="lower", digits=0),
    "process_bytes": Metric(title="Memory of the process on the GPU", unit="B", better="lower", digits=0),
    "rss_bytes": Metric(title="Resident memory of the process", unit="B", better="lower", digits=0),
    "forward_s": Metric(title="Forward time", unit="s", better="lower", digits=4),
    "first_forward_s": Metric(title="First forward", unit="s", better="lower", digits=4),
    "attention_s": Metric(title="Time inside attention", unit="s", better="lower", digits=4),
    "converged": Metric(title="Timing converged", unit="", better="higher", digits=0),
    "benchmark_s": Metric(title="Time of a benchmark", unit="s", better="lower", digits=6),
    "race_s": Metric(title="Time in turn with others", unit="s", better="lower", digits=4),
    "race_inside_s": Metric(title="Time inside attention, in turn with others", unit="s", better="lower", digits=4),
    "race_bypassed_s": Metric(title="Time without attention, in turn with others", unit="s", better=None, digits=4),
    "race_first_s": Metric(title="First call", unit="s", better="lower", digits=4),
    "race_converged": Metric(title="Timing in turn converged", unit="", better="higher", digits=0),
    "race_kernel_s": Metric(title="Time in kernels of a call", unit="s", better="lower", digits=4),
    "race_clock_s": Metric(title="Time that the clock takes of a sample", unit="s", better="lower", digits=6),
    "race_energy_j": Metric(title="Energy of the GPU for an image", unit="J", better="lower", digits=3),
    "counted_macs": Metric(title="MACs of a call", unit="", better="lower", digits=0),
    "counted_attention_macs": Metric(title="MACs of a call in attention", unit="", better="lower", digits=0),
    "counted_moved_bytes": Metric(title="Bytes moved by a call's operations", unit="B", better="lower", digits=0),
    "counted_peak_bytes": Metric(title="Peak memory of a call, counted", unit="B", better="lower", digits=0),
    "counted_parameters": Metric(title="Parameters of what is called", unit="", better="lower", digits=0),
    "counted_idle_parameters": Metric(
        title="Trainable parameters that no gradient reaches", unit="", better="lower", digits=0
    ),
    "counted_moved_buffers": Metric(title="Elements of buffers that training moves", unit="", better=None, digits=0),
    "ceiling_macs_per_s": Metric(title="MACs a second of a matrix product", unit="/s", better="higher", digits=0),
    "ceiling_bytes_per_s": Metric(title="Bytes a second of a copy", unit="B/s", better="higher", digits=0),
    "load_average": Metric(title="Load average of the machine", unit="", better="lower"),
    "cpu_mhz": Metric(title="Clock of the CPU", unit="MHz", better=None, digits=0),
    "gpu_mhz": Metric(title="Clock of the GPU", unit="MHz", better=None, digits=0),
    "gpu_celsius": Metric(title="Temperature of the GPU", unit="°C", better=None, digits=0),
    "gpu_watt": Metric(title="Power of the GPU", unit="W", better=None, digits=0),
    "gpu_throttled": Metric(title="GPU throttled", unit="", better="lower", digits=0),
    "gpu_others": Metric(title="Other processes on the GPU", unit="", better="lower", digits=0),
    "energy_j": Metric(title="Energy of the GPU", unit="J", better="lower"),
    "train_loss": Metric(title="Training loss (L1)", unit="", better="lower", digits=5),
    "learning_rate": Metric(title="Learning rate", unit="", better=None, digits=6),
    "step_s": Metric(title="Time per training step", unit="s", better="lower", digits=4),
    "first_step_s": Metric(title="First training step", unit="s", better="lower", digits=4),
    "graph_breaks": Metric(title="Breaks of a compiled graph", unit="", better="lower", digits=0),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One number. `value` exists exactly when `status` is done; otherwise `reason` says why it does not.

    The subject is told by those of dataset, image, region of the image, size (`"96x128"`, height first), module and
    step that apply.
    """

    metric: str
    value: float | None = None
    status: Status = Status.DONE
    reason: str | None = None
    dataset: str | None = None
    image: str | None = None
    region: str | None = None
    size: str | None = None
    module: str | None = None
    step: int | None = None
    repeat: int = 0

    def __post_init__(self) -> None:
        assert self.metric in METRICS, self.metric
        assert (self.value is not None) == (self.status is Status.DONE), self
        assert self.value is None or not math.isnan(self.value), self
        assert (self.reason is None) == (self.status is Status.DONE), self


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A small file that belongs to an attempt, such as the crop of one image; kept once per content."""

    name: str
    dataset: str
    image: str
    content: bytes


Figures = tuple[tuple[Record, ...], tuple[Artifact, ...]]
"""What measuring something gives."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work of a cell. `key` is the hash of all that its result depends on, and of nothing else.

    `spec` is what went into the key, so that the number can be reproduced from the store alone; `needs` are the
    keys of the tasks that make the weights: the cell's own first, then the twin's.
    """

    kind: Kind
    key: str
    spec: Mapping[str, Any]
    needs: tuple[str, ...] = ()

    @property
    def timed(self) -> bool:
        """Whether its figures are times: then the machine's fingerprint is in its `spec`."""
        return "machine" in self.spec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one attempt at a task ended. `protocol` says how its figures were measured."""

    task: Task
    status: Status
    seconds: float
    reason: str | None = None
    records: tuple[Record, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    protocol: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        assert (self.reason is None) == (self.status is Status.DONE), self


def fingerprint(content: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of SHA-256 over the canonical JSON of `content`."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]


def canonical(content: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: equal contents give equal text."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
