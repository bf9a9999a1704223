"""Timing in turn: A B C, B C A, C A B, …, so that what slows the machine for a while slows them all.

A sample stands beside those of its own round: ratios are taken of such pairs only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from harness.profile.clock import MAX_SAMPLES, Stopwatch, converged, first_call, hooked, stopwatch_of, warm_up

LEAST = 3
"""Samples that everyone has, however long they take, unless a first call was longer than a whole share."""
INSIDE = "inside "
"""What the stopwatch calls the attention inside a network, with the network's key."""

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Raced:
    """One of several that ran in turn: its first call, its samples by round, whether their median settled.

    `inside` are the seconds inside attention of the same rounds, where it was looked for; it is `endless` when a single
    call takes more than its share.
    """

    first_s: float
    samples: dict[int, float]
    inside: dict[int, float]
    converged: bool
    endless: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rules:
    """How long a race takes: warm-up of each at least, and the budget of all together, in seconds.

    The `reference` is what others are compared with: it runs in every round in which another does.
    """

    warm_up_s: float
    budget_s: float
    reference: str | None = None


def race(
    calls: Mapping[str, Callable[[], None]],
    device: str,
    rules: Rules,
    *,
    networks: Mapping[str, nn.Module] | None = None,
    first: Mapping[str, float] | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Raced]:
    """Time `calls` in turn until all medians are known to 2 % or the budget is spent.

    One that has used up its share of the budget sits out from then on, after `LEAST` samples at the least; one whose
    first call took longer than that share is its own warm-up and has a single sample. `first` are the seconds of first
    calls that were made already. `networks` are those, by key, inside which attention is timed too. On a GPU the
    second-level cache is overwritten before each sample, and each round is waited for once.
    """
    stopwatch = stopwatch_of(device)
    share = rules.budget_s / len(calls)
    known = first or {}
    entrants = {
        key: _Entrant(known[key] if key in known else first_call(call, stopwatch), share) for key, call in calls.items()
    }
    for key, call in calls.items():
        if not entrants[key].endless:
            warm_up(call, stopwatch, rules.warm_up_s)
    with contextlib.ExitStack() as stack:
        for key, network in (networks or {}).items():
            stack.enter_context(hooked(network, stopwatch, INSIDE + key))
        _rounds(calls, entrants, stopwatch, device, rules, progress)
    return {key: entrant.raced for key, entrant in entrants.items()}


def _rounds(
    calls: Mapping[str, Callable[[], None]],
    entrants: Mapping[str, _Entrant],
    stopwatch: Stopwatch,
    device: str,
    rules: Rules,
    progress: Progress,
) -> None:
    flush, started = _flush(device), time.perf_counter()
    for turn in range(MAX_SAMPLES):
        running = _running(entrants, rules, late=time.perf_counter() - started > rules.budget_s)
        if not running:
            break
        for key in _rotated(running, turn):
            flush()
            stopwatch.start(key)
            calls[key]()
            stopwatch.stop(key)
        stopwatch.lap()
        (lap,) = stopwatch.read()
        for key in running:
            entrants[key].note(turn, lap[key], lap.get(INSIDE + key))
        progress(min(99, int(100 * (time.perf_counter() - started) / rules.budget_s)), 100)


class _Entrant:
    """How far one of them has come."""

    def __init__(self, first_s: float, share_s: float) -> None:
        self.first_s, self.share_s = first_s, share_s
        self.samples: dict[int, float] = {}
        self.inside: dict[int, float] = {}
        self.settled = False

    @property
    def endless(self) -> bool:
        """Whether a single call takes more than all that it may."""
        return self.first_s > self.share_s

    @property
    def short(self) -> bool:
        """Whether it lacks the samples that it has at the least."""
        return len(self.samples) < (1 if self.endless else LEAST)

    @property
    def spent(self) -> bool:
        """Whether its share is used up."""
        return sum(self.samples.values()) >= self.share_s

    @property
    def raced(self) -> Raced:
        """What came of it."""
        return Raced(
            first_s=self.first_s,
            samples=self.samples,
            inside=self.inside,
            converged=self.settled,
            endless=self.endless,
        )

    def note(self, turn: int, seconds: float, inside: float | None) -> None:
        """One more sample."""
        self.samples[turn] = seconds
        if inside is not None:
            self.inside[turn] = inside
        self.settled = converged(list(self.samples.values()))


def _running(entrants: Mapping[str, _Entrant], rules: Rules, *, late: bool) -> list[str]:
    """Who runs in the next round; nobody once all have settled. When it is `late`, those short of samples alone."""
    if all(entrant.settled for entrant in entrants.values()):
        return []
    short = {key for key, entrant in entrants.items() if entrant.short}
    able = short if late else short | {key for key, entrant in entrants.items() if not entrant.spent}
    others = able - {rules.reference}
    return [key for key in entrants if key in able or (others and key == rules.reference)]


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
