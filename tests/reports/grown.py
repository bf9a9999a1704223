"""Growths made of arrays, without a store."""

from collections.abc import Sequence

import numpy as np

from reports.fits import Scatter, Timed, fitted, scatter_of, timed_fit
from reports.scaling import TIME, Growth
from reports.stats import Floats


def counted(n: Floats, cost: Floats, label: str = "method", quantity: str = "attention_macs") -> Growth:
    fits = fitted(n[-2:], cost[None, -2:])
    return Growth(label=label, quantity=quantity, n=n, cost=cost, exponent=1.0, interval=None, last=1.0, fits=fits)


def fit(n: Floats, samples: Sequence[Floats], scatter: Scatter | None = None, label: str = "method") -> Timed:
    medians = np.array([np.median(each) for each in samples])
    return timed_fit(n, medians, samples, scatter or scatter_of(n, medians), label)


def timed(n: Floats, samples: Sequence[Floats], label: str = "method") -> Growth:
    medians = np.array([np.median(each) for each in samples])
    return Growth(label=label, quantity=TIME, n=n, cost=medians, last=1.0, **fit(n, samples, label=label)._asdict())


def noisy(truth: Floats, seed: int, by_size: float, within: float = 0.02, count: int = 15) -> list[Floats]:
    """Samples at each size: lognormal within a process, and an effect of the whole size."""
    rng = np.random.default_rng(seed)
    medians = truth * np.exp(rng.normal(0.0, by_size, len(truth)))
    return [median * np.exp(rng.normal(0.0, within, count)) for median in medians]
