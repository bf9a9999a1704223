"""What a grid times in turn, measured: attentions alone, or whole networks with and without their attention.

Samples of one round stand side by side: ratios and differences are taken of such pairs only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from harness.calls import COUNTED, call_of, counted
from harness.ceilings import ceilings
from harness.contenders import CONTROL, IMAGE, IMAGES, Contender, Runner, control, runner
from harness.profile.bypass import bypassed
from harness.profile.clock import clock_s, hook_s
from harness.profile.kernels import kernel_s
from harness.profile.turns import Raced, Rules, race
from harness.records import Record, Status
from harness.telemetry import energy_per_call_j, watched
from methods.interface import attention_modules

HEADROOM = 0.8
"""Share of the memory at hand that a contender may be expected to take."""
BYPASSED = "bypassed "
"""Before the key of a network whose attentions do nothing."""
INPUTS = {
    "attention": f"features that the network makes of {IMAGE} of {IMAGES} before its first attention, initial weights",
    "network": f"{IMAGE} of {IMAGES}, initial weights",
}
WAY = ("scope", "scale", "mode", "precision", "batch", "tiling")
TIMED = ("warm_up_s", "budget_s")

Progress = Callable[[int, int], None]


def protocol(spec: Mapping[str, Any], device: str, threads: int) -> dict[str, Any]:
    """How the figures are measured, for the store; the size and the pass have columns of their own."""
    return {
        "time": "samples in turn with all others of the grid; first call apart",
        "input": INPUTS[spec["scope"]],
        "counted": COUNTED,
        **{name: spec[name] for name in (*WAY, *TIMED)},
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

    def measure(self, spec: Mapping[str, Any], progress: Progress) -> tuple[Record, ...]:
        """Records of every contender at `spec["size"]`; one that fails is a record with a reason."""
        with watched(self.device) as told:
            records = self._measured(spec, progress)
        told |= ceilings(self.device, spec["precision"])
        return (*records, *(Record(metric=metric, value=value, size=spec["size"]) for metric, value in told.items()))

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
        way = " ".join(str(spec[name]) for name in WAY)
        if smaller := self.exhausted.get((key, way)):
            return _failed(key, spec, Status.SKIPPED, f"implied: out of memory at {smaller}")
        made = runner(self.contenders[key], spec["scope"], spec["size"], spec["batch"], self.device)
        values = counted(made, spec)
        needed, free = values["counted_peak_bytes"], available_bytes(self.device)
        if needed <= HEADROOM * free:
            return made, values
        self.exhausted[key, way] = spec["size"]
        reason = f"would take {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
        return _failed(key, spec, Status.OUT_OF_MEMORY, reason)

    def _timed(self, ready: Mapping[str, Runner], spec: Mapping[str, Any], progress: Progress) -> list[Record]:
        entrants = dict(ready) | _beside(ready, spec)
        calls = {key: call_of(made, spec, self.device) for key, made in entrants.items()}
        rules = Rules(warm_up_s=spec["warm_up_s"], budget_s=spec["budget_s"], reference=spec["reference"])
        networks = {key: made.module for key, made in ready.items()} if spec["scope"] == "network" else {}
        raced = race(calls, self.device, rules, networks=networks, progress=progress)
        records = [record for key, found in raced.items() for record in _samples(key, found, spec)]
        records += [_clock(key, made, spec, self.device) for key, made in ready.items()]
        quick = {key: call for key, call in calls.items() if key in ready and not raced[key].endless}
        return records + (self._by_themselves(quick, spec) if spec["pass"] == 0 else [])

    def _by_themselves(self, calls: Mapping[str, Callable[[], None]], spec: Mapping[str, Any]) -> list[Record]:
        """What needs passes of its own: time in kernels, and energy where it can be read."""
        records = []
        for key, call in calls.items():
            energy = energy_per_call_j(call, self.device)
            values = {"race_energy_j": energy and energy / spec["batch"], "race_kernel_s": kernel_s(call, self.device)}
            records += _records(key, spec, {name: value for name, value in values.items() if value is not None})
        return records


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
        return {CONTROL: control(next(iter(ready.values())))}
    attending = {key: made for key, made in ready.items() if attention_modules(made.module)}
    return {BYPASSED + key: Runner(module=bypassed(made.module), x=made.x) for key, made in attending.items()}


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
    hooks = len(attention_modules(made.module)) if spec["scope"] == "network" else 0
    return _record(key, spec, "race_clock_s", clock_s(device) + (hooks * hook_s(device) if hooks else 0.0))


def _records(key: str, spec: Mapping[str, Any], values: Mapping[str, float]) -> list[Record]:
    return [_record(key, spec, metric, value) for metric, value in values.items()]


def _record(key: str, spec: Mapping[str, Any], metric: str, value: float) -> Record:
    return Record(metric=metric, value=value, module=key, size=spec["size"])


def _failed(key: str, spec: Mapping[str, Any], status: Status, reason: str) -> Record:
    return Record(metric="race_s", status=status, reason=reason, module=key, size=spec["size"])
