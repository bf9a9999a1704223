"""Scores: the logits of a query over its window."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn

from methods.interface import Conv2d, tokens
from methods.parts import Layers, Part, Sizes
from methods.parts.routing import Routing, seated, windowed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(Part):
    """Queries `[b r n c d]` against keys `[b r n 3c d]`; the stream `x [b c h w]` for what else a score may need."""

    def logits(self, layers: Layers, x: Tensor, query: Tensor, key: Tensor, routing: Routing) -> Tensor:
        """Logits `[b r n c 3c]`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot(Score):
    """The plain inner product `q . k`, not scaled; keys come with unit norm."""

    def logits(self, layers: Layers, x: Tensor, query: Tensor, key: Tensor, routing: Routing) -> Tensor:  # noqa: ARG002
        """Logits `[b r n c 3c]`."""
        return query @ key.transpose(-1, -2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DotPlusLearned(Dot):
    """`q_i . k_j + b[j, slot(i)]`: what is added depends on the key token and on the query's slot in its chunk.

    `b = fc(conv_assembly_fc(x))`, a small perceptron on each token, evaluated once per token; the released code of
    DLSN evaluates it on every copy of a token, three times in every round, with the same result.
    """

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """`conv_assembly_fc.0`, `fc.0`, `fc.2`."""
        channels, _, chunk, k_size = sizes
        return {
            "conv_assembly_fc": nn.Sequential(Conv2d(channels, channels, k_size), nn.ReLU()),
            "fc": nn.Sequential(nn.Linear(channels, chunk), nn.ReLU(), nn.Linear(chunk, chunk)),
        }

    def logits(self, layers: Layers, x: Tensor, query: Tensor, key: Tensor, routing: Routing) -> Tensor:
        """Logits `[b r n c 3c]`."""
        bias = layers["fc"](tokens(layers["conv_assembly_fc"](x)))
        return super().logits(layers, x, query, key, routing) + windowed(seated(bias, routing)).transpose(-1, -2)
