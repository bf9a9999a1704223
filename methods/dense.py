"""The skeleton of NLA and HSPA: every position attends to every other. O(n^2) time.

`y = fuse(x, W(Q K^T) V)`, logits not scaled, with `W` a row-wise map of logits to weights that sum to one.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import Carry, Conv2d, Look, NonLocal, feature_map, has_data, reduced, tokens, tokens_asked
from methods.parts import Sizes
from methods.parts.fuse import FUSES, Fuse, ResidualAdd
from methods.settings import choice, require_choice, require_positive

BACKENDS = ("plain", "fused")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Softmax:
    """`exp(s_j) / sum_k exp(s_k)`.

    `backend` "plain" writes it out, O(n^2) memory; "fused" asks PyTorch's exact kernel for the same, O(n) memory.
    """

    backend: str = "plain"

    def __post_init__(self) -> None:
        require_choice("backend", self.backend, BACKENDS)

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`softmax(Q K^T) V` for `[b l d]`."""
        return (plain_attention if self.backend == "plain" else fused_attention)(query, key, value)

    def weights(self, scores: Tensor) -> Tensor:
        """The row map that both backends apply, on rows `[.. l]` of logits."""
        return scores.softmax(dim=-1)

    def reached(self, weights: Tensor) -> Tensor:
        """All of them, bool `[.. l]`: where a weight is 0 it has underflowed."""
        return torch.ones_like(weights, dtype=torch.bool)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparsemax:
    """`max(0, s_j - tau)`, with `tau` so that a row sums to one: the projection onto the simplex, mostly zeros.

    The support is looked for among the `topk` largest logits, and more while it fills them: the result does not
    depend on `topk`. Martins and Astudillo, ICML 2016; HSPAN, Su et al., 2023.
    """

    topk: int = 128

    def __post_init__(self) -> None:
        require_positive(self, "topk")

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`sparsemax(Q K^T) V` for `[b l d]`, the score matrix held in memory."""
        return sparsemax(query @ key.transpose(1, 2), self.topk) @ value

    def weights(self, scores: Tensor) -> Tensor:
        """The row map, on rows `[.. l]` of logits."""
        return sparsemax(scores, self.topk)

    def reached(self, weights: Tensor) -> Tensor:
        """The support, bool `[.. l]`: here a weight of 0 is meant."""
        return weights > 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseRecipe:
    """A dense attention as data: how logits become weights, channel reduction, and how the result joins the stream."""

    weighting: Softmax | Sparsemax = choice({"softmax": Softmax(), "sparsemax": Sparsemax()}, default=Softmax())
    fuse: Fuse = choice(FUSES, keep=("res_scale",), default=ResidualAdd())
    reduction: int = 2

    def __post_init__(self) -> None:
        require_positive(self, "reduction")

    def build(self, channels: int) -> NonLocal:
        """The attention module for `channels` channels.

        Raises:
            ValueError: the reduction leaves no channel for queries and keys.
        """
        return DenseAttention(channels, self)


class DenseAttention(NonLocal):
    """Q, K, V by 1x1 convolutions with PReLU: keys `conv_match1`, `conv_match2`, `conv_assembly`."""

    def __init__(self, channels: int, recipe: DenseRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        match = reduced(channels, recipe.reduction)
        self.conv_match1 = _projection(channels, match)
        self.conv_match2 = _projection(channels, match)
        self.conv_assembly = _projection(channels, channels)
        for name, layer in recipe.fuse.layers(Sizes(channels, match, 1, 1)).items():
            self.add_module(name, layer)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002 - nothing is shared
        """`x [b c h w] -> y [b c h w]`."""
        query, key, value = (tokens(f(x)) for f in (self.conv_match1, self.conv_match2, self.conv_assembly))
        merged = self.recipe.weighting.attention(query, key, value)
        return self.recipe.fuse.fuse(self.layers, x, feature_map(merged, x))

    @torch.no_grad()
    def look(self, x: Tensor, queries: Tensor, carry: Carry | None = None) -> Look:  # noqa: ARG002 - nothing is shared
        """The rows of `queries` alone, never the whole score matrix."""
        query, key = (tokens(f(x)) for f in (self.conv_match1, self.conv_match2))
        scores = query[:, tokens_asked(queries, x)] @ key.transpose(1, 2)
        weights = self.recipe.weighting.weights(scores)
        return Look(weights, scores, self.recipe.weighting.reached(weights))


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`softmax(Q K^T) V` for `[b l d]`, the score matrix held in memory."""
    return (query @ key.transpose(1, 2)).softmax(dim=-1) @ value


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same function through `scaled_dot_product_attention`, which never holds the score matrix.

    Its fused kernels ask that queries, keys and values have as many channels each: the short ones are padded with
    zeros, which changes no inner product. They also ask for a head axis, and for the channels of a token to lie side
    by side; without any of these PyTorch quietly takes the plain road.
    """
    width = max(query.shape[-1], value.shape[-1])
    q, k, v = (F.pad(t, (0, width - t.shape[-1])).contiguous().unsqueeze(1) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).squeeze(1)[..., : value.shape[-1]]


def sparsemax(scores: Tensor, topk: int) -> Tensor:
    """The projection of each row of `scores [.. l]` onto the simplex, its support sought among `topk` entries first.

    In float32 at least: half precision cannot count the entries of a row.
    """
    scores = scores.to(torch.promote_types(precision := scores.dtype, torch.float32))
    shifted = scores - scores.amax(dim=-1, keepdim=True)
    width = min(topk, scores.shape[-1])
    while True:
        largest = shifted.topk(width, dim=-1).values
        mass = largest.cumsum(dim=-1)
        rank = torch.arange(1, width + 1, device=scores.device, dtype=scores.dtype)
        support = (1 + rank * largest > mass).sum(dim=-1, keepdim=True).clamp_min(1)
        if width == scores.shape[-1] or not has_data(support) or not bool((support == width).any()):
            break
        width = min(2 * width, scores.shape[-1])
    threshold = (mass.gather(-1, support - 1) - 1) / support
    return (shifted - threshold).relu().to(precision)


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Conv2d(inputs, outputs, 1), nn.PReLU())
