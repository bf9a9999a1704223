"""The exchangeable pieces of attention: who sits together, how they score, what they pass on, how it joins the stream.

A part is a frozen spec. What it needs of weights it asks for in `layers`; the attention registers those layers on
itself under the names that the released state dicts have, and hands them back to the part's functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

Layers = Mapping[str, nn.Module]


class Sizes(NamedTuple):
    """Of one attention: channels of the stream, channels of the match embedding, chunk size, kernel size."""

    channels: int
    match: int
    chunk: int
    k_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """What every part is: a spec that may ask for layers."""

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:  # noqa: ARG002 - most parts have no weights
        """The layers this part needs, by the first component of their state-dict keys."""
        return {}
