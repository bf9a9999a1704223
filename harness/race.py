"""What a grid times in turn, measured: attentions alone, or whole networks with and without their attention.

Samples of one round stand side by side: ratios and differences are taken of such pairs only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from harness.calls import COUNTED, call_of, counted
from harness.ceilings import ceilings
from harness.contenders import CONTROL, IMAGE, IMAGES, Contender, Runner, control, runner
from harness.execution import NAMES, Call, Execution, forget_compiled, graph_breaks
from harness.inference import tiling_told
from harness.profile.bypass import bypassed
from harness.profile.clock import clock_s, first_call, hook_s, stopwatch_of
from harness.profile.kernels import kernel_s
from harness.profile.turns import Raced, Rules, race
from harness.raised import status_of, told
from harness.records import Record, Status
from harness.telemetry import energy_per_call_j, watched
from methods.agreement import check_agreement
from methods.interface import attention_modules

HEADROOM = 0.8
"""Share of the memory at hand that a contender may be expected to take."""
BYPASSED = "bypassed "
"""Before the key of a network whose attentions do nothing."""
INPUTS = {
    "attention": f"features that the network makes of {IMAGE} of {IMAGES} before its first attention, initial weights",
    "network": f"{IMAGE} of {IMAGES}, initial weights",
}
WAY = ("scope", "scale", "mode", "precision", "batch", *NAMES, "tiling")
TIMED = ("warm_up_s", "budget_s")

Progress = Callable[[int, int], None]


def protocol(spec: Mapping[str, Any], device: str, threads: int) -> dict[str, Any]:
    """How the figures are measured, for the store; the size and the pass have columns of their own."""
    return {
        "time": "samples in turn with all others of the grid; first call, which compiles and captures, apart",
        "input": INPUTS[spec["scope"]],
        "counted": COUNTED,
        **{name: spec[name] for name in (*WAY, *TIMED)},
        **tiling_told(spec["tiling"]),
        "device": torch.device(device).type,
        "threads": threads,
        "tf32": spec["precision"] == "tf32",
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


class Races:
    """Times `contenders` at the sizes it is asked for; one that is short of memory at a size is not tried above."""

    def __init__(self, contenders: Mapping[str, Contender], device: str) -> None:
        self.contenders, self.device = contenders, device
        self.exhausted: dict[tuple[str, str], str] = {}
        self.agreed: set[str] = set()

    def measure(self, spec: Mapping[str, Any], progress: Progress) -> tuple[Record, ...]:
        """Records of every contender at `spec["size"]`; one that fails is a record with a reason.

        Raises:
            UnavailableError: nothing can be executed here as `spec` says.
        """
        Execution.of(spec).require(self.device)
        with watched(self.device) as machine:
            records = self._measured(spec, progress)
        machine |= ceilings(self.device, spec["precision"])
        return (*records, *(Record(metric=metric, value=value, size=spec["size"]) for metric, value in machine.items()))

    def _measured(self, spec: Mapping[str, Any], progress: Progress) -> list[Record]:
        records: list[Record] = []
        ready: dict[str, Runner] = {}
        for key in spec["contenders"]:
            made = self._ready(key, spec)
            if isinstance(made, Record):
                records.append(made)
            else:
                ready[key], values = made
                records += _records(key, spec, values)
        return records + (self._timed(ready, spec, progress) if ready else [])

    def _ready(self, key: str, spec: Mapping[str, Any]) -> tuple[Runner, dict[str, float]] | Record:
        """The contender, ready to run, and what is counted of it; or why it does not run."""
        if smaller := self.exhausted.get((key, _way(spec))):
            return _failed(key, spec, Status.SKIPPED, f"implied: out of memory at {smaller}")
        try:
            made = runner(self.contenders[key], spec["scope"], spec["size"], spec["batch"], self.device)
            if key not in self.agreed:
                check_agreement(made.module)
                self.agreed.add(key)
            made = _laid_out(made, spec)
            values = counted(made, spec)
        except Exception as error:  # noqa: BLE001 - a method may raise anything, and the others must go on
            if status_of(error) == Status.OUT_OF_MEMORY:
                self.exhausted[key, _way(spec)] = spec["size"]
            return _failed(key, spec, status_of(error), told(error))
        needed, free = values["counted_peak_bytes"], available_bytes(self.device)
        if needed <= HEADROOM * free:
            return made, values
        self.exhausted[key, _way(spec)] = spec["size"]
        reason = f"would take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        return _failed(key, spec, Status.OUT_OF_MEMORY, reason)

    def _timed(self, ready: Mapping[str, Runner], spec: Mapping[str, Any], progress: Progress) -> list[Record]:
        starts = _starts(dict(ready) | _beside(ready, spec), spec, self.device)
        short = (key for key, start in starts.items() if start.status == Status.OUT_OF_MEMORY)
        self.exhausted |= {(key, _way(spec)): spec["size"] for key in short}
        calls = {key: each.call for key, each in starts.items() if each.call is not None}
        rules = Rules(warm_up_s=spec["warm_up_s"], budget_s=spec["budget_s"], reference=spec["reference"])
        running = {key: made for key, made in ready.items() if key in calls}
        inside = {key: made.module for key, made in running.items()} if _inside(spec) else {}
        first = {} if Execution.of(spec).opaque else {key: starts[key].first_s for key in calls}
        raced = race(calls, self.device, rules, networks=inside, first=first, progress=progress) if calls else {}
        raced = {key: dataclasses.replace(found, first_s=starts[key].first_s) for key, found in raced.items()}
        records = [record for key in ready for record in starts[key].records(key, spec)]
        records += [record for key, found in raced.items() for record in _samples(key, found, spec)]
        records += [_clock(key, made, spec, self.device) for key, made in running.items()]
        quick = {key: calls[key] for key in running if not raced[key].endless}
        return records + (self._by_themselves(quick, spec) if spec["pass"] == 0 else [])

    def _by_themselves(self, calls: Mapping[str, Call], spec: Mapping[str, Any]) -> list[Record]:
        """What needs passes of its own: time in kernels, and energy where it can be read.

        The profiler sees no operations of a CPU in compiled code.
        """
        records = []
        for key, call in calls.items():
            energy = energy_per_call_j(call, self.device)
            hidden = spec["compile"] and torch.device(self.device).type == "cpu"
            values = {"race_energy_j": energy and energy / spec["batch"]}
            values |= {} if hidden else {"race_kernel_s": kernel_s(call, self.device)}
            records += _records(key, spec, {name: value for name, value in values.items() if value is not None})
        return records


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Start:
    """How one of them starts: what is called and its first call, which compiles and captures, or how that ended."""

    call: Call | None = None
    status: Status = Status.DONE
    reason: str = ""
    first_s: float = 0.0
    graph_breaks: int = 0

    def records(self, key: str, spec: Mapping[str, Any]) -> list[Record]:
        """That it does not run, or what is known of its compiled form."""
        if self.call is None:
            return [_failed(key, spec, self.status, self.reason)]
        return _records(key, spec, {"graph_breaks": float(self.graph_breaks)}) if spec["compile"] else []


def _starts(entrants: Mapping[str, Runner], spec: Mapping[str, Any], device: str) -> dict[str, _Start]:
    """Every call, made once, outside the budget; what raises has its reason, so that the others can go on."""
    execution = Execution.of(spec)
    if execution.compile:
        forget_compiled()
    return {key: _begun(made, spec, execution, device) for key, made in entrants.items()}


def _begun(made: Runner, spec: Mapping[str, Any], execution: Execution, device: str) -> _Start:
    before = graph_breaks() if execution.compile else 0
    try:
        call = call_of(made, spec, device, execution)
        first_s = first_call(call, stopwatch_of(device))
    except Exception as error:  # noqa: BLE001 - a method may raise anything
        return _Start(status=status_of(error), reason=told(error))
    return _Start(call=call, first_s=first_s, graph_breaks=graph_breaks() - before if execution.compile else 0)


def _way(spec: Mapping[str, Any]) -> str:
    return " ".join(str(spec[name]) for name in WAY)


def _laid_out(made: Runner, spec: Mapping[str, Any]) -> Runner:
    execution = Execution.of(spec)
    return Runner(module=execution.laid_out(made.module), x=execution.laid_out(made.x))


def available_bytes(device: str) -> float:
    """Memory that can be had now."""
    if torch.device(device).type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the system's own
        line = next(line for line in lines if line.startswith("MemAvailable:"))
    return float(line.split()[1]) * 1024


def _beside(ready: Mapping[str, Runner], spec: Mapping[str, Any]) -> dict[str, Runner]:
    """What runs along: a control beside attentions, and beside each network the same with attention bypassed."""
    if spec["scope"] == "attention":
        return {CONTROL: _laid_out(control(next(iter(ready.values()))), spec)}
    attending = {key: made for key, made in ready.items() if attention_modules(made.module)}
    return {BYPASSED + key: Runner(module=bypassed(made.module), x=made.x) for key, made in attending.items()}


def _inside(spec: Mapping[str, Any]) -> bool:
    """Whether attention is timed inside what runs: inside compiled code or a CUDA graph it cannot be."""
    return spec["scope"] == "network" and not Execution.of(spec).opaque


def _samples(key: str, found: Raced, spec: Mapping[str, Any]) -> list[Record]:
    of, metric = key.removeprefix(BYPASSED), "race_bypassed_s" if key.startswith(BYPASSED) else "race_s"
    once = {"race_first_s": found.first_s, "race_converged": float(found.converged)} if metric == "race_s" else {}
    series = {metric: found.samples, "race_inside_s": found.inside}
    return _records(of, spec, once) + [
        Record(metric=name, value=seconds, module=of, size=spec["size"], repeat=turn)
        for name, samples in series.items()
        for turn, seconds in samples.items()
    ]


def _clock(key: str, made: Runner, spec: Mapping[str, Any], device: str) -> Record:
    """What the clock takes of each of its samples: one stopwatch, and hooks around each attention inside."""
    hooks = len(attention_modules(made.module)) if _inside(spec) else 0
    return _record(key, spec, "race_clock_s", clock_s(device) + (hooks * hook_s(device) if hooks else 0.0))


def _records(key: str, spec: Mapping[str, Any], values: Mapping[str, float]) -> list[Record]:
    return [_record(key, spec, metric, value) for metric, value in values.items()]


def _record(key: str, spec: Mapping[str, Any], metric: str, value: float) -> Record:
    return Record(metric=metric, value=value, module=key, size=spec["size"])


def _failed(key: str, spec: Mapping[str, Any], status: Status, reason: str) -> Record:
    return Record(metric="race_s", status=status, reason=reason, module=key, size=spec["size"])
