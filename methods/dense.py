"""The skeleton of NLA and HSPA: every position attends to every other. O(n^2) time.

`y = fuse(x, W(Q K^T) V)`, logits not scaled, with `W` a row-wise map of logits to weights that sum to one.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import (
    BACKENDS,
    Carry,
    Conv2d,
    Look,
    NonLocal,
    feature_map,
    has_data,
    reduced,
    tokens,
    tokens_asked,
)
from methods.parts import Sizes
from methods.parts.fuse import FUSES, Fuse, ResidualAdd
from methods.settings import choice, require_choice, require_positive

BLOCKS = (16, 32)
"""Into how many blocks of rows sparsemax cuts a matrix: what it makes beside the weights is such a part of them."""
CACHED = 2**19
"""Entries of a block that a CPU has in its cache, in which the fewest blocks are cut that are no larger."""
TRACED = 4
"""Blocks while somebody traces, who keeps every operation and pays for each."""
GROUP = 16
"""How many entries of a row send their largest ahead."""


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

    Martins and Astudillo, ICML 2016; HSPAN, Su et al., 2023, who look for the support among the largest logits.
    """

    def attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`sparsemax(Q K^T) V` for `[b l d]`, the score matrix held in memory."""
        return sparsemax(query @ key.transpose(1, 2)) @ value

    def weights(self, scores: Tensor) -> Tensor:
        """The row map, on rows `[.. l]` of logits."""
        return sparsemax(scores)

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


def sparsemax(scores: Tensor) -> Tensor:
    """`max(0, s_j - tau)`: the projection of each row of `scores [.. l]` onto the simplex.

    Its Jacobian is `diag(s) - s s^T / |s|_1` with `s` the indicator of the support. Memory does not depend on data:
    the weights, and a small part of that for the search.
    """
    return cast("Tensor", _Projection.apply(scores))  # type: ignore[no-untyped-call]


class _Projection(torch.autograd.Function):
    """Sparsemax with its own gradient: a search in place cannot be differentiated, and only its end matters."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        """Some rows at a time, each block in the place where its weights stay if they are precise enough."""
        length = int(scores.shape[-1])
        weights = torch.empty(scores.shape, dtype=scores.dtype, device=scores.device)
        rows, kept = scores.reshape(-1, length), weights.view(-1, length)
        at_once = -(-len(rows) // _blocks(len(rows) * length))
        for block, target in zip(rows.split(at_once), kept.split(at_once), strict=True):
            place = target if target.dtype == _precise(target) else torch.empty_like(block, dtype=_precise(block))
            _project(block, place)
            if place is not target:
                target.copy_(place)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """`s * (v - mean of v over the support)`."""
        support = ctx.saved_tensors[0] > 0
        kept = gradient.to(_precise(gradient)) * support
        mean = kept.sum(dim=-1, keepdim=True) / support.sum(dim=-1, keepdim=True)
        return cast("Tensor", kept.sub_(mean).mul_(support).to(gradient.dtype))


def _blocks(entries: int) -> int:
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return TRACED
    fewest, most = BLOCKS
    return min(most, max(fewest, entries // CACHED))


def _project(scores: Tensor, target: Tensor) -> None:
    """Write the projection of `scores [r l]` to `target`.

    The threshold of some entries of a row is a lower bound of the threshold of all, and a good one where they are the
    largest of groups: the search among all begins there.
    """
    few = _largest_of_groups(scores)
    best = few.amax(dim=-1, keepdim=True).to(_precise(scores))
    found = _narrow(few - best, torch.full_like(best, -1))[1]
    slack = 32 * torch.finfo(best.dtype).eps
    _narrow(torch.sub(scores, best, out=target), (found - slack).clamp_min(-1))


def _largest_of_groups(scores: Tensor) -> Tensor:
    """The largest of every `GROUP` entries of rows `[r l]`, and those left over: `[r l // GROUP + l % GROUP]`."""
    groups = int(scores.shape[-1]) // GROUP
    whole, rest = scores[:, : GROUP * groups], scores[:, GROUP * groups :]
    return torch.cat([whole.unflatten(-1, (GROUP, groups)).amax(dim=-2), rest], dim=-1)


def _narrow(shifted: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
    """`max(0, z - tau)` in the place of `shifted`, z `[r l]` with largest entry 0, and `tau [r 1]`.

    Newton's method on `sum_j max(0, z_j - tau) = 1`, which is convex and piecewise linear in `tau`: from a lower bound
    `threshold` it only rises, the support only shrinks, and once no row's does the result is exact. Michelot, JOTA
    1986. A step is clamped at 0: rounding could turn the last one back, and so bring back what is out.
    """
    kept, before = shifted.sub_(threshold).relu_(), torch.full_like(threshold, torch.inf)
    while _shrinks(count := kept.sign().sum(dim=-1, keepdim=True), before):
        step = ((kept.sum(dim=-1, keepdim=True) - 1) / count).clamp_min_(0)
        kept.sub_(step).relu_()
        threshold, before = threshold + step, count
    return kept, threshold


def _shrinks(count: Tensor, before: Tensor) -> bool:
    """Whether some row's support has become smaller; without data, which cannot tell, it has not."""
    return has_data(count) and bool((count < before).any())


def _precise(tensor: Tensor) -> torch.dtype:
    """float32 at least: half precision cannot count the entries of a row."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Conv2d(inputs, outputs, 1), nn.PReLU())
