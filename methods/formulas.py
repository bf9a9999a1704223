"""Closed formulas: the multiply-adds of one attention from its recipe, its channels and its size, and nothing else.

A third count beside the two that watch a forward: written down, so that it can be compared with the paper, and summed
from a formula for each part, so that every ablation has one. One image; sorting, gathering and softmax count none.
Sizes: n = h*w positions, C channels, M = C // reduction, R rounds, k tokens in a chunk, s = n in whole chunks, B
buckets, m features.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, Protocol, runtime_checkable

from methods.bucketed import BucketRecipe
from methods.dense import DenseRecipe, Softmax
from methods.interface import reduced
from methods.parts import Sizes
from methods.parts.assign import (
    Assign,
    FlyHash,
    Layout,
    RandomBuckets,
    SpatialWindow,
    SphericalLSH,
    SuperBitLSH,
)
from methods.parts.deformable import SIDE, TAPS
from methods.parts.fuse import SQUEEZE, Fuse, ResidualAdd, TextureFidelity
from methods.parts.kmeans import KMeans
from methods.parts.score import Dot, DotPlusLearned, Score
from methods.parts.value import Deformable, Pointwise, Spatial, Value

PER_TAP = 3
"""Numbers that move and weigh a tap of a deformable convolution: two offsets and a mask."""
WINDOW = 3
"""Chunks that a chunk attends to: its own and two neighbours."""


class Term(NamedTuple):
    """One line of a formula: what is computed, by which children of the attention (none: by itself), and its MACs."""

    part: str
    layers: tuple[str, ...]
    macs: int


Terms = tuple[Term, ...]


@runtime_checkable
class RandomFeatured(Protocol):
    """A recipe of kernel attention: told by what it has, since only the catalogue names a method."""

    fuse: Fuse
    reduction: int
    n_features: int


def attention_macs(recipe: object, channels: int, height: int, width: int, *, place: int = 1) -> int:
    """Multiply-adds of one attention in inference; arguments and errors as those of `attention_terms`."""
    return sum(term.macs for term in attention_terms(recipe, channels, height, width, place=place))


def attention_terms(recipe: object, channels: int, height: int, width: int, *, place: int = 1) -> Terms:
    """The lines of the formula of an attention on `[1 c h w]`, the `place`-th of its network, counted from 1.

    Raises:
        NotImplementedError: nobody has written the formula of such a recipe, or of one of its parts.
        ValueError: the reduction leaves no channel for the match embedding.
    """
    match recipe:
        case BucketRecipe():
            return _bucketed(recipe, channels, Layout(height, width, recipe.chunk_size), place)
        case DenseRecipe():
            return _dense(recipe, channels, height * width)
        case RandomFeatured():
            return _kernel(recipe, channels, height * width)
    raise _unknown(recipe)


def _bucketed(recipe: BucketRecipe, channels: int, layout: Layout, place: int) -> Terms:
    """A layer that takes the affinity of an earlier one has values, weighted sums and fusion alone."""
    sizes = Sizes(channels, reduced(channels, recipe.reduction), recipe.chunk_size, recipe.k_size)
    n, pairs = layout.height * layout.width, _pairs(recipe, layout)
    own: Terms = (
        Term("match", ("conv_match",), n * sizes.k_size**2 * channels * sizes.match),
        Term("hashing", (), hashing(recipe.assign, sizes.match, layout)),
        *learned(recipe.score, sizes, n),
        Term("scores", (), pairs * sizes.match),
    )
    return (
        *(() if 0 < recipe.share_from < place else own),
        Term("values", ("conv_assembly",), values(recipe.value, sizes, n)),
        Term("weighted sums", (), pairs * channels),
        *fusion(recipe.fuse, channels, n),
    )


def _pairs(recipe: BucketRecipe, layout: Layout) -> int:
    """How often a query meets a key: `3 R s k`, since every seat, repeated ones too, attends to three chunks."""
    seats = -(-layout.height * layout.width // layout.chunk) * layout.chunk
    return WINDOW * recipe.assign.n_hashes * seats * layout.chunk


def _dense(recipe: DenseRecipe, channels: int, n: int) -> Terms:
    """`n (2 C M + C^2) + n^2 (M + C)`; the fused kernel wants queries and keys as wide as values."""
    match, weighting = reduced(channels, recipe.reduction), recipe.weighting
    width = max(match, channels) if isinstance(weighting, Softmax) and weighting.backend == "fused" else match
    return (
        *_projections(channels, match, n),
        Term("scores", (), n**2 * width),
        Term("weighted sums", (), n**2 * channels),
        *fusion(recipe.fuse, channels, n),
    )


def _kernel(recipe: RandomFeatured, channels: int, n: int) -> Terms:
    """`n (2 C M + C^2) + n (2 m M + 2 m C + m)`; training's exact scores for the loss are left out."""
    match, features = reduced(channels, recipe.reduction), recipe.n_features
    return (
        *_projections(channels, match, n),
        Term("features", ("attn_fn",), 2 * n * features * match),
        Term("sums over keys, answers", (), n * (2 * features * channels + features)),
        *fusion(recipe.fuse, channels, n),
    )


def _projections(channels: int, match: int, n: int) -> Terms:
    return (
        Term("queries, keys", ("conv_match1", "conv_match2"), 2 * n * channels * match),
        Term("values", ("conv_assembly",), n * channels**2),
    )


@functools.singledispatch
def hashing(assign: Assign, match: int, layout: Layout) -> int:  # noqa: ARG001 - of the general function
    """Multiply-adds of finding every token's code in every round."""
    raise _unknown(assign)


@hashing.register
def _(assign: SphericalLSH, match: int, layout: Layout) -> int:
    """`R n M B/2`, an axis for two opposite buckets; nothing for one bucket."""
    return assign.n_hashes * layout.height * layout.width * match * (layout.buckets // 2)


@hashing.register
def _(assign: SuperBitLSH, match: int, layout: Layout) -> int:
    """`R n M B`; nothing for one bucket."""
    axes = layout.buckets if layout.buckets > 1 else 0
    return assign.n_hashes * layout.height * layout.width * match * axes


@hashing.register
def _(assign: FlyHash, match: int, layout: Layout) -> int:
    """`R n M bits`; nothing for one bucket."""
    if layout.buckets == 1:
        return 0
    bits = assign.hash_length or max(1, math.ceil(math.log2(layout.buckets)))
    return assign.n_hashes * layout.height * layout.width * match * bits


@hashing.register
def _(assign: KMeans, match: int, layout: Layout) -> int:
    """`R n M K` for K clusters; that the first forward ever finds the means is left out, as everywhere."""
    return assign.n_hashes * layout.height * layout.width * match * assign.n_clusters


@hashing.register(RandomBuckets)
@hashing.register(SpatialWindow)
def _(assign: Assign, match: int, layout: Layout) -> int:  # noqa: ARG001 - of the general function
    """Nothing is multiplied."""
    return 0


@functools.singledispatch
def learned(score: Score, sizes: Sizes, n: int) -> Terms:  # noqa: ARG001 - of the general function
    """What a score computes for each token, beyond the inner products."""
    raise _unknown(score)


@learned.register
def _(score: Dot, sizes: Sizes, n: int) -> Terms:  # noqa: ARG001 - of the general function
    return ()


@learned.register
def _(score: DotPlusLearned, sizes: Sizes, n: int) -> Terms:  # noqa: ARG001 - of the general function
    """`n (k_size^2 C^2 + C k + k^2)`."""
    channels, _, chunk, k_size = sizes
    macs = n * (k_size**2 * channels**2 + channels * chunk + chunk**2)
    return (Term("learned score", ("conv_assembly_fc", "fc"), macs),)


@functools.singledispatch
def values(value: Value, sizes: Sizes, n: int) -> int:  # noqa: ARG001 - of the general function
    """Multiply-adds of the value map."""
    raise _unknown(value)


@values.register
def _(value: Pointwise, sizes: Sizes, n: int) -> int:  # noqa: ARG001 - of the general function
    return n * sizes.channels**2


@values.register
def _(value: Spatial, sizes: Sizes, n: int) -> int:  # noqa: ARG001 - of the general function
    return n * sizes.k_size**2 * sizes.channels**2


@values.register
def _(value: Deformable, sizes: Sizes, n: int) -> int:  # noqa: ARG001 - of the general function
    """`n 9 (27 C + C^2)`: offsets and masks, then the taps; sampling between pixels counts none."""
    return n * SIDE**2 * (PER_TAP * TAPS * sizes.channels + sizes.channels**2)


@functools.singledispatch
def fusion(fuse: Fuse, channels: int, n: int) -> Terms:  # noqa: ARG001 - of the general function
    """What joining the stream multiplies."""
    raise _unknown(fuse)


@fusion.register
def _(fuse: ResidualAdd, channels: int, n: int) -> Terms:  # noqa: ARG001 - of the general function
    return ()


@fusion.register
def _(fuse: TextureFidelity, channels: int, n: int) -> Terms:  # noqa: ARG001 - of the general function
    """`n 10 C^2 + 2 (2C) (2C // 16)`: five pointwise steps of `2 C^2` each, and the gate, once an image."""
    both = 2 * channels
    gate = 2 * both * (both // SQUEEZE)
    steps = 4 * both * (both // 2) + both * channels
    return (Term("fusion", ("fusion", "shrink"), n * steps + gate),)


def _unknown(spec: object) -> NotImplementedError:
    return NotImplementedError(f"nobody has written the closed formula of {type(spec).__name__}")
