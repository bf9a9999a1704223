"""Scores: the logits of a query over its window, the inner product and what may be added to it."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import Conv2d, tokens
from methods.parts import Layers, Part, Sizes

NORM_FLOOR = 5e-5
"""A shorter embedding makes a key of less than unit norm."""


def keys(match: Tensor) -> Tensor:
    """Embeddings `[.. d]` at unit norm."""
    return F.normalize(match, dim=-1, eps=NORM_FLOOR)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score(Part):
    """`q_i . k_j + bias[j, slot(i)]`, not scaled; keys come with unit norm."""

    def bias(self, layers: Layers, x: Tensor) -> Tensor | None:
        """What the tokens of the stream `x [b c h w]` add, `[b l s]` for the `s` slots of a chunk; None: nothing."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dot(Score):
    """The plain inner product `q . k`."""

    def bias(self, layers: Layers, x: Tensor) -> None:  # noqa: ARG002 - depends on nothing else
        """Nothing."""
        return


@dataclasses.dataclass(frozen=True, kw_only=True)
class DotPlusLearned(Score):
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

    def bias(self, layers: Layers, x: Tensor) -> Tensor:
        """`b [b l s]`."""
        learned: Tensor = layers["fc"](tokens(layers["conv_assembly_fc"](x)))
        return learned
