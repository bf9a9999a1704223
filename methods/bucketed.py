"""The skeleton of NLSA, DNLA, LCoA, GLA and DNLF: attention inside buckets of similar tokens, merged over rounds.

Tokens are sorted by bucket code, cut into chunks, and each chunk attends to itself and its two neighbours. The parts
(who sits together, how they score, what they pass on, how the result joins the stream) are specs of `methods.parts`.
Merging rounds by log-sum-exp makes the whole one softmax: `y = softmax(Q K^T + log N) V`, with `N[i, j]` the number of
times token `j` stands in a window of token `i` (`methods.reference` is that sentence in code, and the judge of this).

Axis letters: b batch, r round, l token, n chunk, c seat in a chunk, d channel.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from methods.fused import Tokens, window_sums, windowed_attention
from methods.interface import (
    BACKENDS,
    Carry,
    Conv2d,
    Look,
    NonLocal,
    feature_map,
    full_precision,
    reduced,
    tokens,
    tokens_asked,
)
from methods.parts import Layers, Part, Sizes
from methods.parts.assign import Assign, FlyHash, Layout, RandomBuckets, SpatialWindow, SphericalLSH, SuperBitLSH
from methods.parts.fuse import FUSES, Fuse, ResidualAdd
from methods.parts.kmeans import KMeans
from methods.parts.routing import Routing, route, seated, windowed
from methods.parts.score import Dot, DotPlusLearned, Score, keys
from methods.parts.value import Deformable, Pointwise, Spatial, Value
from methods.settings import choice, require_choice, require_positive

ASSIGNS = {
    "spherical": SphericalLSH(),
    "superbit": SuperBitLSH(),
    "flyhash": FlyHash(),
    "kmeans": KMeans(),
    "random": RandomBuckets(),
    "window": SpatialWindow(),
}
SCORES = {"dot": Dot(), "learned": DotPlusLearned()}
VALUES = {"pointwise": Pointwise(), "spatial": Spatial(), "deformable": Deformable()}


class Affinity(NamedTuple):
    """Attention of every seat over its window: `weights [b r n c 3c]` sum to one, `lse [b r n c]` their log mass.

    `match [b l d]`, the embedding behind both, stays with an affinity that is shared while somebody looks.
    """

    routing: Routing
    weights: Tensor
    lse: Tensor
    match: Tensor | None = None


def attend(scores: Tensor, routing: Routing, *, overwrite: bool = False) -> Affinity:
    """Softmax over each window, with the log-sum-exp that weighs the round: scores `[b r n c 3c]`.

    In float32 at least, since half precision would spoil the difference of two large numbers. With `overwrite` the
    weights take the place of the scores, which must then need no gradient. Where they do, sharp attention would lose
    by `exp(s - lse)`: the rounding of a large log mass would be in every weight, and in its gradient in earnest.
    """
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    lse = wide.logsumexp(dim=-1)
    weights = torch.softmax(wide, dim=-1, out=wide) if overwrite else wide.softmax(dim=-1)
    return Affinity(routing, weights.to(scores.dtype), lse)


def aggregate(affinity: Affinity, values: Tensor) -> Tensor:
    """Weighted sum of values `[b l d]`, back in token order, rounds merged by the softmax of their log mass."""
    return merge(affinity.weights @ windowed(seated(values, affinity.routing)), affinity)


def merge(sums: Tensor, affinity: Affinity) -> Tensor:
    """Weighted sums of each round at their seats, `[b r n c d]`, as one for each token, `[b l d]`."""
    routing, out = affinity.routing, sums.flatten(2, 3)
    out = out.gather(2, routing.seat_of.unsqueeze(-1).expand(-1, -1, -1, out.shape[-1]))
    return (shares(affinity).unsqueeze(-1).to(out.dtype) * out).sum(dim=1)


def logits(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """`q . k + bias` of every seat over its window, `[b r n c 3c]`: all three `[b r n c d]`, at their seats."""
    products = query @ windowed(key).transpose(-1, -2)
    return products if bias is None else products + windowed(bias).transpose(-1, -2)


def shares(affinity: Affinity) -> Tensor:
    """What each round counts for each token, `[b r l]`: the softmax of the rounds' log mass."""
    return affinity.lse.flatten(2).gather(2, affinity.routing.seat_of).softmax(dim=1)


def spread(affinity: Affinity, queries: Tensor) -> tuple[Tensor, Tensor]:
    """`aggregate` as a matrix, the rows of `queries [q]`: weights `[b q l]`, and which tokens the windows hold.

    `W[i, j] = sum_r share_r(i) sum_(s: window seats of i in round r where j sits) weight_r(i, s)`.
    """
    seat = affinity.routing.seat_of[..., queries]
    window = windowed(affinity.routing.seats.unsqueeze(-1)).squeeze(-1)
    there = _rows(window, seat // affinity.routing.seats.shape[-1])
    given = _rows(affinity.weights.flatten(2, 3), seat) * shares(affinity)[..., queries].unsqueeze(-1)
    place, amount = (t.transpose(1, 2).flatten(2) for t in (there, given))
    weights = amount.new_zeros(*place.shape[:2], affinity.routing.seat_of.shape[-1])
    reached = torch.zeros_like(weights, dtype=torch.bool)
    return weights.scatter_add_(2, place, amount), reached.scatter_(2, place, value=True)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    """`x [b r n s]` at `index [b r q]` of its third axis."""
    return x.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, x.shape[-1]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class BucketRecipe:
    """A bucketed attention as data.

    `reduction` and `k_size` shape the match embedding, a convolution, with a ReLU if `match_relu`. `share_from` names
    the attention of a network, counted from 1, whose affinity all later ones reuse; 0: each computes its own.
    `backend` "plain" writes every step out; "fused" gives the same in blocks (`methods.fused`).
    """

    assign: Assign = choice(ASSIGNS, keep=("n_hashes", "draw", "draw_seed"), default=SphericalLSH())
    score: Score = choice(SCORES, default=Dot())
    value: Value = choice(VALUES, default=Pointwise())
    fuse: Fuse = choice(FUSES, keep=("res_scale",), default=ResidualAdd())
    reduction: int = 4
    chunk_size: int = 144
    k_size: int = 3
    match_relu: bool = False
    share_from: int = 0
    backend: str = "plain"

    def __post_init__(self) -> None:
        require_positive(self, "reduction", "chunk_size", "k_size")
        require_choice("backend", self.backend, BACKENDS)
        if self.k_size % 2 == 0:
            raise ValueError(f"k_size must be odd to keep the size of an image, not {self.k_size}")
        if self.share_from < 0:
            raise ValueError(f"share_from must be at least 0, not {self.share_from}")

    @property
    def parts(self) -> tuple[Part, ...]:
        """Assignment, score, value, fusion."""
        return self.assign, self.score, self.value, self.fuse

    def build(self, channels: int) -> BucketedAttention:
        """The attention module for `channels` channels.

        Raises:
            ValueError: the reduction leaves no channel for the match embedding.
        """
        return BucketedAttention(channels, self)


class BucketedAttention(NonLocal):
    """Attention `x [b c h w] -> y [b c h w]` by a `BucketRecipe`; keys are `conv_match.0` and those of its parts."""

    def __init__(self, channels: int, recipe: BucketRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        match = reduced(channels, recipe.reduction)
        convolution = Conv2d(channels, match, recipe.k_size)
        self.conv_match = nn.Sequential(convolution, nn.ReLU()) if recipe.match_relu else nn.Sequential(convolution)
        sizes = Sizes(channels, match, recipe.chunk_size, recipe.k_size)
        layers = [part.layers(sizes) for part in recipe.parts]
        for name, layer in itertools.chain.from_iterable(some.items() for some in layers):
            self.add_module(name, layer)
        self.assigners = tuple(layers[0])

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Route, score and attend, or take what `carry` brings; then aggregate and fuse."""
        affinity = self._kept(x, carry)
        values = tokens(self.layers["conv_assembly"](x))
        merged = self._windowed(x, values) if affinity is None else self._aggregated(affinity, values)
        return self.recipe.fuse.fuse(self.layers, x, feature_map(merged, x))

    @torch.no_grad()
    def look(self, x: Tensor, queries: Tensor, carry: Carry | None = None) -> Look:
        """By what `carry` brings, or else by an affinity of this module's own, found without moving its means."""
        queries = tokens_asked(queries, x)
        brought = None if carry is None else carry.affinity
        affinity = brought if isinstance(brought, Affinity) else self._glimpsed(x)
        if affinity.match is None:
            raise ValueError("this affinity was shared before anybody looked: run the forward in methods.look.looking")
        scores = affinity.match[:, queries] @ keys(affinity.match).transpose(1, 2)
        weights, reached = spread(affinity, queries)
        return Look(weights, scores, reached)

    def affinity(self, x: Tensor, layers: Layers | None = None) -> Affinity:
        """Who attends to whom in `x [b c h w]`, and how much; by `layers` in the place of this module's own."""
        layers = layers or self.layers
        match = tokens(self.conv_match(x))
        routing, bias = self._routed(match, x, layers), self.recipe.score.bias(layers, x)
        learned = None if bias is None else seated(bias, routing)
        scores = logits(seated(match, routing), seated(keys(match), routing), learned)
        return attend(scores, routing, overwrite=self.recipe.backend == "fused" and not scores.requires_grad)

    def _routed(self, match: Tensor, x: Tensor, layers: Layers) -> Routing:
        recipe = self.recipe
        layout = Layout(x.shape[-2], x.shape[-1], recipe.chunk_size)
        with full_precision(match):
            codes = recipe.assign.codes(layers, match.detach(), layout)
        return route(codes, recipe.chunk_size)

    def _kept(self, x: Tensor, carry: Carry | None) -> Affinity | None:
        """What `carry` brings or shall bring, or this module's own; None where the backend holds no weights."""
        if carry is not None:
            carry.attentions += 1
            if isinstance(carry.affinity, Affinity):
                return carry.affinity
            if carry.attentions == self.recipe.share_from:
                affinity = self.affinity(x)
                carry.affinity = self._matched(affinity, x) if carry.looked_at else affinity
                return affinity
        return None if self.recipe.backend == "fused" else self.affinity(x)

    def _windowed(self, x: Tensor, values: Tensor) -> Tensor:
        match = tokens(self.conv_match(x)).contiguous()
        routing, bias = self._routed(match, x, self.layers), self.recipe.score.bias(self.layers, x)
        return windowed_attention(Tokens(match, values, bias), routing)

    def _aggregated(self, affinity: Affinity, values: Tensor) -> Tensor:
        if self.recipe.backend == "plain":
            return aggregate(affinity, values)
        return merge(window_sums(affinity.weights, values, affinity.routing), affinity)

    def _glimpsed(self, x: Tensor) -> Affinity:
        """As `affinity`, with copies of the layers that learn from what they see."""
        copies = {name: copy.deepcopy(self.layers[name]) for name in self.assigners}
        return self._matched(self.affinity(x, self.layers | copies), x)

    def _matched(self, affinity: Affinity, x: Tensor) -> Affinity:
        """With the embedding, made a second time so that a forward need not hold it until somebody looks."""
        return affinity._replace(match=tokens(self.conv_match(x)))
