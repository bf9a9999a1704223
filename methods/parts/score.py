"""Scores: the logits of a query over its window."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import Tensor


class Score(Protocol):
    """Queries `[b r n c d]` against keys `[b r n 3c d]`."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Logits `[b r n c 3c]`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot:
    """The plain inner product `q . k`, not scaled; keys come with unit norm."""

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Logits `[b r n c 3c]`."""
        return query @ key.transpose(-1, -2)
