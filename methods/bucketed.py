"""The skeleton of NLSA, DNLA, LCoA, GLA and DNLF: attention inside buckets of similar tokens, merged over rounds.

Tokens are sorted by bucket code, cut into chunks, and each chunk attends to itself and its two neighbours. The parts
(who sits together, how they score, what they pass on, how the result joins the stream) are specs of `methods.parts`.
Merging rounds by log-sum-exp makes the whole one softmax: `y = softmax(Q K^T + log N) V`, with `N[i, j]` the number of
times token `j` stands in a window of token `i` (`methods.reference` is that sentence in code, and the judge of this).

Axis letters: b batch, r round, l token, n chunk, c seat in a chunk, d channel.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import Conv2d, NonLocal, feature_map, reduced, tokens
from methods.parts.assign import Assign
from methods.parts.fuse import Fuse
from methods.parts.score import Score
from methods.parts.value import Value
from methods.settings import require_positive

NORM_FLOOR = 5e-5
MAX_BUCKETS = 128


class Routing(NamedTuple):
    """Who sits where: `seats [b r n c]` holds token indices, `seat_of [b r l]` the flat seat of each token."""

    seats: Tensor
    seat_of: Tensor


class Affinity(NamedTuple):
    """Attention of every seat over its window: `weights [b r n c 3c]` sum to one, `lse [b r n c]` their log mass."""

    routing: Routing
    weights: Tensor
    lse: Tensor


def bucket_count(positions: int, chunk: int) -> int:
    """Buckets for `positions` tokens: even, about one per chunk, at most 128; one when there are under two chunks."""
    if positions < 2 * chunk:
        return 1
    chunks = positions // chunk
    return min(chunks + chunks % 2, MAX_BUCKETS)


def route(codes: Tensor, chunk: int) -> Routing:
    """Seat tokens by bucket code `[b r l]`: stable sort, then chunks of `chunk`, the tail repeated to fill the last.

    The repeated seats take part as queries and as keys; `seat_of` names each token's first seat only.
    """
    length = codes.shape[-1]
    order = codes.argsort(dim=-1, stable=True)
    seat_of = torch.empty_like(order).scatter_(-1, order, torch.arange(length, device=codes.device).expand_as(order))
    padding = -length % chunk
    tail = torch.arange(length - padding, length, device=codes.device) % length
    seats = torch.cat([order, order[..., tail]], dim=-1)
    return Routing(seats.view(*seats.shape[:2], -1, chunk), seat_of)


def seated(x: Tensor, routing: Routing) -> Tensor:
    """Tokens `[b l d]` at their seats `[b r n c d]`."""
    batch = torch.arange(x.shape[0], device=x.device).view(-1, 1, 1, 1)
    return x[batch, routing.seats]


def windowed(x: Tensor) -> Tensor:
    """Each chunk beside its neighbours on a ring: `[b r n c d] -> [b r n 3c d]`, own, previous, next."""
    return torch.cat([x, x.roll(1, dims=2), x.roll(-1, dims=2)], dim=3)


def attend(scores: Tensor, routing: Routing) -> Affinity:
    """Softmax over each window, with the log-sum-exp that weighs the round: scores `[b r n c 3c]`."""
    lse = scores.logsumexp(dim=-1)
    return Affinity(routing, (scores - lse.unsqueeze(-1)).exp(), lse)


def aggregate(affinity: Affinity, values: Tensor) -> Tensor:
    """Weighted sum of values `[b l d]`, back in token order, rounds merged by the softmax of their log mass."""
    routing, weights, lse = affinity
    out = (weights @ windowed(seated(values, routing))).flatten(2, 3)
    out = out.gather(2, routing.seat_of.unsqueeze(-1).expand(-1, -1, -1, out.shape[-1]))
    share = lse.flatten(2).gather(2, routing.seat_of).softmax(dim=1)
    return (share.unsqueeze(-1) * out).sum(dim=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BucketRecipe:
    """A bucketed attention as data: parts, channel reduction of the match embedding, chunk size, kernel size."""

    assign: Assign
    score: Score
    value: Value
    fuse: Fuse
    reduction: int = 4
    chunk_size: int = 144
    k_size: int = 3

    def __post_init__(self) -> None:
        require_positive(self, "reduction", "chunk_size", "k_size")

    def build(self, channels: int) -> BucketedAttention:
        """The attention module for `channels` channels.

        Raises:
            ValueError: the reduction leaves no channel for the match embedding.
        """
        return BucketedAttention(channels, self)


class BucketedAttention(NonLocal):
    """Attention `x [b c h w] -> y [b c h w]` by a `BucketRecipe`; keys are `conv_match.0`, `conv_assembly.0`."""

    def __init__(self, channels: int, recipe: BucketRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.conv_match = nn.Sequential(Conv2d(channels, reduced(channels, recipe.reduction), recipe.k_size))
        self.conv_assembly = recipe.value.build(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Route, score, attend, aggregate, fuse."""
        recipe = self.recipe
        match = tokens(self.conv_match(x))
        codes = recipe.assign.codes(match.detach(), bucket_count(match.shape[1], recipe.chunk_size))
        routing = route(codes, recipe.chunk_size)
        query = seated(match, routing)
        key = windowed(seated(F.normalize(match, dim=-1, eps=NORM_FLOOR), routing))
        affinity = attend(recipe.score.scores(query, key), routing)
        merged = aggregate(affinity, tokens(self.conv_assembly(x)))
        return recipe.fuse.fuse(x, feature_map(merged, x))
