"""Time of a forward and of the attention inside it: samples, never a mean that hides the first call."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from methods.interface import attention_modules

TOLERANCE = 0.02
RESAMPLES = 500
BATCH, LEAST_JUDGED, MAX_SAMPLES = 3, 6, 200
LEAST_OF_RACE, CLOCK_SAMPLES = 3, 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timing:
    """The first call, the samples that followed, and whether they settled; `attention_s` sums over all modules."""

    first_s: float
    forward_s: tuple[float, ...]
    attention_s: tuple[float, ...]
    converged: bool


def time_forward(
    network: nn.Module, forward: Callable[[], None], device: str, *, warm_up_s: float, budget_s: float
) -> Timing:
    """Time `forward` in batches of three until the median is known to 2 % or `budget_s` seconds are spent.

    Warm-up lasts at least `warm_up_s` and two calls. On a GPU the stopwatches are events on the current stream, read
    after one synchronization for each batch of samples, so that measuring does not stall what is measured.
    """
    stopwatch = _stopwatch(device)
    first = _first_call(forward, stopwatch)
    _warm_up(forward, stopwatch, warm_up_s)
    forwards: list[float] = []
    attentions: list[float] = []
    deadline = time.perf_counter() + budget_s
    with _hooked(network, stopwatch):
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Race:
    """One of several that ran in turn: its first call, its samples by round, whether their median settled."""

    first_s: float
    samples: dict[int, float]
    converged: bool


def race(
    calls: Mapping[str, Callable[[], None]],
    device: str,
    *,
    warm_up_s: float,
    budget_s: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Race]:
    """Time `calls` in turn, round after round, each round beginning with another, until all medians are known to 2 %.

    One that has used up its share of `budget_s` sits out from then on, after `LEAST_OF_RACE` samples at the least; one
    whose first call took longer than that share is its own warm-up and has a single sample. On a GPU the second-level
    cache is overwritten before each sample, and each round is waited for once.
    """
    stopwatch, flush = _stopwatch(device), _flush(device)
    firsts = {key: _first_call(call, stopwatch) for key, call in calls.items()}
    share = budget_s / len(calls)
    least = {key: LEAST_OF_RACE if firsts[key] <= share else 1 for key in calls}
    for key, call in calls.items():
        if firsts[key] <= share:
            _warm_up(call, stopwatch, warm_up_s)
    samples: dict[str, dict[int, float]] = {key: {} for key in calls}
    settled: set[str] = set()
    started = time.perf_counter()
    for turn in range(MAX_SAMPLES):
        running = [key for key in calls if len(samples[key]) < least[key] or sum(samples[key].values()) < share]
        if not running or settled.issuperset(calls):
            break
        for key in _rotated(running, turn):
            flush()
            stopwatch.start(key)
            calls[key]()
            stopwatch.stop(key)
        stopwatch.lap()
        for key, seconds in stopwatch.read()[0].items():
            samples[key][turn] = seconds
        settled = {key for key in calls if converged(list(samples[key].values()))}
        progress(min(99, int(100 * (time.perf_counter() - started) / budget_s)), 100)
    return {key: Race(first_s=firsts[key], samples=samples[key], converged=key in settled) for key in calls}


def clock_s(device: str) -> float:
    """The median of what the stopwatch reads of nothing: the time that it takes for itself."""
    stopwatch = _stopwatch(device)
    for _ in range(CLOCK_SAMPLES):
        stopwatch.start("nothing")
        stopwatch.stop("nothing")
        stopwatch.lap()
    return float(np.median([lap["nothing"] for lap in stopwatch.read()]))


def _rotated(keys: list[str], turn: int) -> list[str]:
    """Each round begins one further on, so that none always follows the same other."""
    start = turn % len(keys)
    return keys[start:] + keys[:start]


def _flush(device: str) -> Callable[[], object]:
    """What empties a GPU's second-level cache; on a CPU the others of the round do."""
    if torch.device(device).type != "cuda":
        return lambda: None
    size = torch.cuda.get_device_properties(device).L2_cache_size
    return torch.empty(2 * size, dtype=torch.uint8, device=device).zero_


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


_Stopwatch = _CpuStopwatch | _CudaStopwatch


def _stopwatch(device: str) -> _Stopwatch:
    return _CudaStopwatch(device) if torch.device(device).type == "cuda" else _CpuStopwatch()


@contextlib.contextmanager
def _hooked(network: nn.Module, stopwatch: _Stopwatch) -> Iterator[None]:
    """Start and stop "attention" around every attention module of the network."""
    handles = []
    for module in attention_modules(network).values():
        handles.append(module.register_forward_pre_hook(lambda *_: stopwatch.start("attention")))
        handles.append(module.register_forward_hook(lambda *_: stopwatch.stop("attention")))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first_call(forward: Callable[[], None], stopwatch: _Stopwatch) -> float:
    stopwatch.start("first")
    forward()
    stopwatch.stop("first")
    stopwatch.lap()
    return stopwatch.read()[0]["first"]


def _warm_up(forward: Callable[[], None], stopwatch: _Stopwatch, floor_s: float) -> None:
    """At least two calls and `floor_s` seconds; the queue of a GPU is emptied after each."""
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < floor_s:  # noqa: PLR2004 - caches fill on the first, settle on the second
        forward()
        stopwatch.read()
        calls += 1
