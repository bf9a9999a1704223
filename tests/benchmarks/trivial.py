"""A method that does next to nothing, and a setting without effect: cells of it measure the harness alone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from harness.grid_tables import Scalar
from methods.interface import RELEASED


class Trivial:
    """Every pixel repeated, whatever its `number` is."""

    name, title = "trivial", "Trivial"
    trainable = False
    execution: frozenset[str] = frozenset()

    def settings(self, chosen: Mapping[str, Scalar] = RELEASED) -> dict[str, Scalar]:
        """The number that tells cells apart."""
        return {"number": 0} | {name: value for name, value in chosen.items() if name == "number"}

    def build(self, scale: int, settings: Mapping[str, Scalar]) -> nn.Module:  # noqa: ARG002 - the number has no effect
        """`[b 3 h w] -> [b 3 scale*h scale*w]`."""
        return nn.Upsample(scale_factor=scale)


METHOD = Trivial()
