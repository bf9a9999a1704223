"""Controls of a session: what must come out linear and what must not, else no verdict on its times stands."""

from __future__ import annotations

from collections.abc import Sequence

from reports.scaling import TIME, WIDEST_INTERVAL, Growth
from reports.tables import fixed

SLACK = 0.15
"""How far from 1 the exponent of a linear control may be."""
LEAST_DENSE = 1.25
"""The least exponent by which dense attention is told from linear."""


def controls(grown: Sequence[Growth], linear: str, dense: str | None) -> str:
    """What the controls of `grown` say: the label that must grow as n, and the one that must grow faster."""
    said = " ".join(sentence for sentence, _ in _told(grown, linear, dense))
    if void := doubts(grown, linear, dense):
        return f"{said} {' '.join(void)} No verdict on the times of this session stands."
    return f"{said} The controls came out as they must."


def doubts(grown: Sequence[Growth], linear: str, dense: str | None) -> list[str]:
    """Why no verdict on these times stands; empty if one may."""
    return [doubt for _, doubt in _told(grown, linear, dense) if doubt]


def _told(grown: Sequence[Growth], linear: str, dense: str | None) -> list[tuple[str, str]]:
    times = {g.label: g for g in grown if g.quantity == TIME}
    return [_linear(times.get(linear)), _dense(times.get(dense or ""))]


def _linear(control: Growth | None) -> tuple[str, str]:
    if control is None:
        return "", "There is no negative control."
    sentence = f"Negative control, a 1x1 convolution: n^{fixed(control.exponent, 2)}."
    low, high = (control.exponent,) * 2 if control.interval is None else (control.interval.low, control.interval.high)
    if high - low > WIDEST_INTERVAL:
        return sentence, "That is not known well enough to tell."
    return sentence, "" if low - SLACK <= 1.0 <= high + SLACK else "It should be linear."


def _dense(control: Growth | None) -> tuple[str, str]:
    if control is None:
        return "", "There is no positive control: no plain dense attention ran."
    sentence = f"Positive control, plain dense attention: n^{fixed(control.exponent, 2)}."
    low = control.exponent if control.interval is None else control.interval.low
    return sentence, "" if low > LEAST_DENSE else "It is not told from linear."
