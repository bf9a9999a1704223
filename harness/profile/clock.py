"""Time of a forward and of the attention inside it: samples, never a mean that hides the first call."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from harness.profile.bypass import PassThrough
from methods.interface import attention_modules

TOLERANCE = 0.02
RESAMPLES = 500
BATCH, LEAST_JUDGED, MAX_SAMPLES = 3, 6, 200
CLOCK_SAMPLES = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """The first call, the samples that followed, and whether they settled; `attention_s` sums over all modules."""

    first_s: float
    forward_s: tuple[float, ...]
    attention_s: tuple[float, ...]
    converged: bool


def time_forward(
    network: nn.Module | None, forward: Callable[[], None], device: str, *, warm_up_s: float, budget_s: float
) -> Timing:
    """Time `forward` in batches of three until the median is known to 2 % or `budget_s` seconds are spent.

    Inside `network`, if it is given, attention is timed. Warm-up lasts at least `warm_up_s` and two calls. On a GPU the
    stopwatches are events on the current stream, read after one synchronization for each batch of samples, so that
    measuring does not stall what is measured.
    """
    stopwatch = stopwatch_of(device)
    first = first_call(forward, stopwatch)
    warm_up(forward, stopwatch, warm_up_s)
    forwards: list[float] = []
    attentions: list[float] = []
    deadline = time.perf_counter() + budget_s
    with contextlib.nullcontext() if network is None else hooked(network, stopwatch):
        while not (done := converged(forwards)) and _goes_on(len(forwards), deadline):
            for _ in range(BATCH):
                stopwatch.start("forward")
                forward()
                stopwatch.stop("forward")
                stopwatch.lap()
            laps = stopwatch.read()
            forwards += [lap["forward"] for lap in laps]
            attentions += [lap["attention"] for lap in laps if "attention" in lap]
    return Timing(first_s=first, forward_s=tuple(forwards), attention_s=tuple(attentions), converged=done)


def clock_s(device: str) -> float:
    """The median of what the stopwatch reads of nothing: the time that it takes for itself."""
    stopwatch = stopwatch_of(device)
    for _ in range(CLOCK_SAMPLES):
        stopwatch.start("nothing")
        stopwatch.stop("nothing")
        stopwatch.lap()
    return float(np.median([lap["nothing"] for lap in stopwatch.read()]))


def hook_s(device: str) -> float:
    """What the hooks around one attention add to a forward: the median of nothing with them, less that without."""
    module, x = PassThrough(), torch.zeros(1, device=device)

    def median_s() -> float:
        seconds = []
        for _ in range(CLOCK_SAMPLES):
            started = time.perf_counter()
            module(x)
            seconds.append(time.perf_counter() - started)
        return float(np.median(seconds))

    without = median_s()
    with hooked(module, stopwatch_of(device)):
        return max(0.0, median_s() - without)


def converged(samples: list[float]) -> bool:
    """Whether the 95 % bootstrap interval of the median is within 2 % of it."""
    if len(samples) < LEAST_JUDGED:
        return False
    draws = np.random.default_rng(0).choice(np.asarray(samples), size=(RESAMPLES, len(samples)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return bool(high - low <= 2 * TOLERANCE * np.median(samples))


def _goes_on(samples: int, deadline: float) -> bool:
    return not samples or (samples < MAX_SAMPLES and time.perf_counter() < deadline)


class _CpuStopwatch:
    """Wall time; what was started several times in a lap is added up."""

    def __init__(self) -> None:
        self._running: dict[str, float] = {}
        self._laps: list[dict[str, float]] = [{}]

    def start(self, what: str) -> None:
        self._running[what] = time.perf_counter()

    def stop(self, what: str) -> None:
        lap = self._laps[-1]
        lap[what] = lap.get(what, 0.0) + time.perf_counter() - self._running[what]

    def lap(self) -> None:
        self._laps.append({})

    def read(self) -> list[dict[str, float]]:
        """The finished laps, in seconds, which are forgotten here."""
        finished, self._laps = self._laps[:-1], self._laps[-1:]
        return finished


class _CudaStopwatch:
    """Events on the current stream; `read` is the only thing that waits."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._running: dict[str, torch.cuda.Event] = {}
        self._laps: list[dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]]] = [{}]

    def start(self, what: str) -> None:
        self._running[what] = self._event()

    def stop(self, what: str) -> None:
        self._laps[-1].setdefault(what, []).append((self._running[what], self._event()))

    def lap(self) -> None:
        self._laps.append({})

    def read(self) -> list[dict[str, float]]:
        """The finished laps, in seconds, which are forgotten here."""
        torch.cuda.synchronize(self._device)
        finished, self._laps = self._laps[:-1], self._laps[-1:]
        return [
            {what: sum(a.elapsed_time(b) for a, b in spans) / 1e3 for what, spans in lap.items()} for lap in finished
        ]

    def _event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


Stopwatch = _CpuStopwatch | _CudaStopwatch


def stopwatch_of(device: str) -> Stopwatch:
    """What tells the time on `device`."""
    return _CudaStopwatch(device) if torch.device(device).type == "cuda" else _CpuStopwatch()


@contextlib.contextmanager
def hooked(network: nn.Module, stopwatch: Stopwatch, what: str = "attention") -> Iterator[None]:
    """Start and stop `what` around every attention module of the network."""
    handles = []
    for module in attention_modules(network).values():
        handles.append(module.register_forward_pre_hook(lambda *_: stopwatch.start(what)))
        handles.append(module.register_forward_hook(lambda *_: stopwatch.stop(what)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first_call(forward: Callable[[], None], stopwatch: Stopwatch) -> float:
    """Seconds of a call before any other."""
    stopwatch.start("first")
    forward()
    stopwatch.stop("first")
    stopwatch.lap()
    return stopwatch.read()[0]["first"]


def warm_up(forward: Callable[[], None], stopwatch: Stopwatch, floor_s: float) -> None:
    """At least two calls and `floor_s` seconds; the queue of a GPU is emptied after each."""
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < floor_s:  # noqa: PLR2004 - caches fill on the first, settle on the second
        forward()
        stopwatch.read()
        calls += 1
