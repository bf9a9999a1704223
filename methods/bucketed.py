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

from methods.interface import Carry, Conv2d, NonLocal, feature_map, full_precision, reduced, tokens
from methods.parts import Part, Sizes
from methods.parts.assign import Assign, FlyHash, Layout, RandomBuckets, SpatialWindow, SphericalLSH, SuperBitLSH
from methods.parts.fuse import FUSES, Fuse, ResidualAdd
from methods.parts.kmeans import KMeans
from methods.parts.routing import Routing, route, seated, windowed
from methods.parts.score import Dot, DotPlusLearned, Score
from methods.parts.value import Deformable, Pointwise, Spatial, Value
from methods.settings import choice, require_positive

NORM_FLOOR = 5e-5

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
    """Attention of every seat over its window: `weights [b r n c 3c]` sum to one, `lse [b r n c]` their log mass."""

    routing: Routing
    weights: Tensor
    lse: Tensor


def attend(scores: Tensor, routing: Routing) -> Affinity:
    """Softmax over each window, with the log-sum-exp that weighs the round: scores `[b r n c 3c]`.

    In float32 at least, since half precision would spoil the difference of two large numbers.
    """
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    lse = wide.logsumexp(dim=-1)
    return Affinity(routing, (wide - lse.unsqueeze(-1)).exp().to(scores.dtype), lse)


def aggregate(affinity: Affinity, values: Tensor) -> Tensor:
    """Weighted sum of values `[b l d]`, back in token order, rounds merged by the softmax of their log mass."""
    routing, weights, lse = affinity
    out = (weights @ windowed(seated(values, routing))).flatten(2, 3)
    out = out.gather(2, routing.seat_of.unsqueeze(-1).expand(-1, -1, -1, out.shape[-1]))
    share = lse.flatten(2).gather(2, routing.seat_of).softmax(dim=1)
    return (share.unsqueeze(-1).to(out.dtype) * out).sum(dim=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BucketRecipe:
    """A bucketed attention as data.

    `reduction` and `k_size` shape the match embedding, a convolution, with a ReLU if `match_relu`. `share_from` names
    the attention of a network, counted from 1, whose affinity all later ones reuse; 0: each computes its own.
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

    def __post_init__(self) -> None:
        require_positive(self, "reduction", "chunk_size", "k_size")
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
        for part in recipe.parts:
            for name, layer in part.layers(sizes).items():
                self.add_module(name, layer)

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:
        """Route, score and attend, or take what `carry` brings; then aggregate and fuse."""
        affinity = self.affinity(x) if carry is None else self._shared(x, carry)
        merged = aggregate(affinity, tokens(self.layers["conv_assembly"](x)))
        return self.recipe.fuse.fuse(self.layers, x, feature_map(merged, x))

    def affinity(self, x: Tensor) -> Affinity:
        """Who attends to whom in `x [b c h w]`, and how much."""
        recipe = self.recipe
        match = tokens(self.conv_match(x))
        layout = Layout(x.shape[-2], x.shape[-1], recipe.chunk_size)
        with full_precision(match):
            codes = recipe.assign.codes(self.layers, match.detach(), layout)
        routing = route(codes, recipe.chunk_size)
        query = seated(match, routing)
        key = windowed(seated(F.normalize(match, dim=-1, eps=NORM_FLOOR), routing))
        return attend(recipe.score.logits(self.layers, x, query, key, routing), routing)

    def _shared(self, x: Tensor, carry: Carry) -> Affinity:
        carry.attentions += 1
        if not isinstance(carry.affinity, Affinity):
            affinity = self.affinity(x)
            if carry.attentions == self.recipe.share_from:
                carry.affinity = affinity
            return affinity
        return carry.affinity
