"""Figures that are drawn when somebody looks at them.

More than half of the time of a page is drawing, and the tables of a run or the sentences of its findings need none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from reports.svg import Figure, is_for_page

P = ParamSpec("P")


class Ordered(Figure):
    """A figure that is drawn when one of its attributes is asked for, and then kept."""

    def __init__(self, draw: Callable[[], Figure]) -> None:
        object.__setattr__(self, "_draw", draw)

    def __getattr__(self, name: str) -> Any:
        """Called for what is not there, so once: all fields are there afterwards."""
        if name.startswith("_"):
            raise AttributeError(name)
        vars(self).update(vars(self._draw()))
        return getattr(self, name)


def when_seen(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """`function`, which makes a figure, put off until somebody looks; at once for a medium that is no page."""

    @functools.wraps(function)
    def ordered(*args: P.args, **options: P.kwargs) -> Figure:
        draw = functools.partial(function, *args, **options)
        return Ordered(draw) if is_for_page() else draw()

    return ordered
