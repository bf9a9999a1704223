"""The yardstick: attention cores in the plain arithmetic of the released codes, written from their description.

A core is an attention without its convolutions: it is given the maps that they make, `match`, `value` and, for a
learned score, `hidden`, all `[b c h w]`. What the released codes do and a careful writer need not: every round gathers
float copies of its tokens and then two more for the neighbours, keys are normalised copy by copy, the learned score is
evaluated for every copy, weights are written out after their log-sum-exp, twenty products are made for a bit of a
hash, and the random projection is repeated over the batch. Speed is told against this; whether a result is right is
told by the tests, against other judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.enlca.attention import FEATURE_FLOOR, KernelRecipe
from methods.interface import tokens
from methods.parts.assign import FLY_NEURONS

NORM_FLOOR, TOP = 5e-5, 128

Core = Callable[..., Tensor]


def taken(x: Tensor, index: Tensor) -> Tensor:
    """Rows `index [b s]` of `x [b l d]`, through an index as large as the result."""
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def with_neighbours(chunks: Tensor) -> Tensor:
    """Own, previous and next chunk on a ring, copied: `[b r n c d] -> [b r n 3c d]`."""
    previous = torch.cat([chunks[:, :, -1:], chunks[:, :, :-1]], dim=2)
    following = torch.cat([chunks[:, :, 1:], chunks[:, :, :1]], dim=2)
    return torch.cat([chunks, previous, following], dim=3)


def chunked(x: Tensor, order: Tensor, chunk: int) -> Tensor:
    """Tokens `[b l d]` by `order [b r l]` of each round, the tail repeated to whole chunks: `[b r n c d]`."""
    rounds = order.shape[1]
    rows = taken(x, order.flatten(1)).view(x.shape[0], rounds, -1, x.shape[-1])
    padding = -rows.shape[2] % chunk
    if padding:
        rows = torch.cat([rows, rows[:, :, -padding:]], dim=2)
    return rows.view(x.shape[0], rounds, -1, chunk, x.shape[-1])


def bucketed(
    codes: Tensor, chunk: int, match: Tensor, value: Tensor, hidden: Tensor | None = None, fc: nn.Module | None = None
) -> Tensor:
    """`[b l e]`: attention inside buckets `codes [b r l]` of tokens `match`, `value`, `hidden`, merged over rounds."""
    order = codes.sort(dim=-1, stable=True).indices
    undo = order.argsort(dim=-1)
    query, values = chunked(match, order, chunk), chunked(value, order, chunk)
    key, values = with_neighbours(F.normalize(query, dim=-1, eps=NORM_FLOOR)), with_neighbours(values)
    scores = torch.einsum("brnid,brnjd->brnij", query, key)
    if hidden is not None and fc is not None:
        scores = scores + fc(with_neighbours(chunked(hidden, order, chunk))).transpose(-1, -2)
    mass = scores.logsumexp(dim=-1, keepdim=True)
    out = torch.einsum("brnij,brnje->brnie", (scores - mass).exp(), values)
    rounds, length = codes.shape[1:]
    out, mass = (x.flatten(2, 3)[:, :, :length] for x in (out, mass))
    out = torch.stack([taken(out[:, r], undo[:, r]) for r in range(rounds)], dim=1)
    mass = torch.stack([taken(mass[:, r], undo[:, r]) for r in range(rounds)], dim=1)
    return (out * mass.softmax(dim=1)).sum(dim=1)


def kernel(recipe: KernelRecipe, projection: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[b l e]`: ENLCA's attention of tokens, features of queries and keys by a projection repeated over the batch."""
    lengths = math.sqrt(recipe.amplification)
    query, key = (lengths * F.normalize(x, dim=-1, eps=NORM_FLOOR) for x in (query, key))
    on_query, on_key = _features(projection, query), _features(projection, key)
    normaliser = 1 / torch.einsum("...nd,...d->...n", on_query, on_key.sum(dim=-2))
    context = torch.einsum("...nd,...ne->...de", on_key, value)
    return torch.einsum("...de,...nd,...n->...ne", context, on_query, normaliser)


def _features(projection: Tensor, u: Tensor) -> Tensor:
    repeated = projection.unsqueeze(0).repeat(u.shape[0], 1, 1)
    products = torch.einsum("bld,bmd->blm", u, repeated)
    norms = (u**2).sum(dim=-1, keepdim=True) / 2
    return len(projection) ** -0.5 * ((products - norms).exp() + FEATURE_FLOOR)


def token_rows(x: Tensor) -> Tensor:
    """`[b c h w] -> [b l c]`, in memory that way."""
    return tokens(x).contiguous()


def dense(weigh: Callable[[Tensor], Tensor], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[b l e]`: every token attends to every other, the whole matrix held in memory."""
    return weigh(query @ key.transpose(1, 2)) @ value


def softmax(scores: Tensor) -> Tensor:
    """Rows `[.. l]` of logits as weights."""
    return scores.softmax(dim=-1)


def sparsemax(scores: Tensor) -> Tensor:
    """HSPA's weights of rows `[.. l]`: the support is sought among the largest `k` logits, more while it fills them."""
    scores = scores - scores.amax(dim=-1, keepdim=True)
    asked, length = TOP, scores.shape[-1]
    while True:
        largest = scores.topk(min(asked, length), dim=-1).values
        summed = largest.cumsum(dim=-1) - 1
        ranks = torch.arange(1, largest.shape[-1] + 1, device=scores.device)
        size = (largest * ranks > summed).sum(dim=-1, keepdim=True)
        if asked >= length or int(size.max()) < asked:
            return (scores - summed.gather(-1, size - 1) / size).clamp_min(0)
        asked *= 2


def fly_codes(axes: Tensor, match: Tensor) -> Tensor:
    """DNLA's codes `[b r l]`: every token meets all sparse columns `axes [r d 20h]`, and twenty products make a bit."""
    products = torch.einsum("bld,rdk->brlk", match, axes.to(match))
    bits = products.unflatten(-1, (-1, FLY_NEURONS)).sum(dim=-1) > 0
    numbers: Tensor = (bits * 2 ** torch.arange(bits.shape[-1], device=bits.device)).sum(dim=-1)
    return numbers


def nearest_codes(means: Tensor, match: Tensor) -> Tensor:
    """LCoA's codes `[b r l]`: the mean of `means [r c d]` with the largest inner product, tokens at unit norm."""
    unit = F.normalize(match, dim=-1, eps=NORM_FLOOR)
    return torch.einsum("bld,rcd->brlc", unit, means.to(unit)).argmax(dim=-1)
