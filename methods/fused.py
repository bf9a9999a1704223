"""Bucketed attention that never holds its weights: the fused twin of `methods.bucketed`, in blocks of chunks.

Rounds merged by their log mass are one softmax over all windows of a token, so with any `a_i`

    y_i = sum_s exp(l_is - a_i) v_s / sum_s exp(l_is - a_i)        s: every seat of every window of token i

and nothing need be normalised, nor a round weighed, before the end: a block of logits is forgotten as soon as it has
weighed its values. A backward pass makes the blocks again from `log sum_s exp(l_is)` (as Dao et al. do for dense
attention, NeurIPS 2022). Three facts save more. Three neighbouring chunks of a ring lie side by side in memory, so a
window is a view. Without a learned score, `l_is = m_i . m_s / |m_s|`: embeddings are multiplied with themselves, no key
is written out, and the division joins the subtraction of `a_i`. Then the largest logit of a token is also its own,
`|m_i|`, since it always sits in its own window, so `a_i` is known beforehand.

The rings of a batch stand in one row, `m = b (n + 2)` chunks: each image's last chunk, its `n` chunks, its first. Chunk
`j` of the row attends to `j - 1, j, j + 1`; what those at the ends of an image find there, nobody asks for.

Axis letters: t token of any image, n chunk, m chunk of the row, c seat in a chunk, d and e channels of match and value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import full_precision, has_data
from methods.kernels import available, supported, windowed_attention_on_gpu
from methods.parts.routing import Routing, seated
from methods.parts.score import NORM_FLOOR, keys

SCRATCH = 2**19
"""About how many logits are made at once: what is exponentiated and multiplied next should still be in a cache."""
FEWEST = 2
"""Chunks of a block, at least."""
ACROSS = 2**17
"""About how many numbers are turned to channels at a time: a whole map's would meet in the same lines of a cache."""


class Tokens(NamedTuple):
    """What attends to what: embeddings `match [.. d]`, `value [.. e]`, learned `bias [.. c]`.

    The logit of the query in seat `i` of its chunk against key `j` is `m . m_j / |m_j| + bias[j, i]`; without bias,
    `m . m_j / |m_j|`.
    """

    match: Tensor
    value: Tensor
    bias: Tensor | None = None


class Keyed(NamedTuple):
    """Tokens with keys written out, or gradients of such: `query` and `key [.. d]`, `value [.. e]`, `bias [.. c]`."""

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None = None


class Row(NamedTuple):
    """One round: `seats [m c]` the token of each seat, `seat [t]` of each token among those with a window."""

    seats: Tensor
    seat: Tensor


class Windows(NamedTuple):
    """A row for products by chunk: `query [m-2 d c]`; views `key [m-2 3c d]`, `value [m-2 3c e]`, `bias [m-2 3c c]`.

    Where keys are not written out, `key` are embeddings, `unit [m-2 3c 1]` is one over their norms, and `top [m-2 c]`
    the largest logit of each query.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    bias: Tensor | None = None
    unit: Tensor | None = None
    top: Tensor | None = None


class Merged(NamedTuple):
    """What rounds say of each token so far: `sums [t e]` and `mass [t]`, both times `exp(-top)`, and `top [t]`."""

    sums: Tensor
    mass: Tensor
    top: Tensor


def windowed_attention(tokens: Tokens, routing: Routing) -> Tensor:
    """`y [b l e]`: every token attends to its windows in all rounds of `routing`; `tokens` are `[b l ..]`.

    In float32 at least, the result in the precision of the values. It can be differentiated once, and lies channel by
    channel in memory, as the map does that it joins. On a GPU that they are written for, `methods.kernels` do it.
    """
    if tokens.value.is_cuda and has_data(tokens.value) and available() and supported(tokens):
        return windowed_attention_on_gpu(tokens, routing)
    wide = torch.promote_types(tokens.value.dtype, torch.float32)
    match, value, bias = (None if x is None else x.to(wide).contiguous().flatten(0, 1) for x in tokens)
    assert match is not None
    assert value is not None
    with full_precision(tokens.value):
        if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (match, value, bias)):
            out = cast("Tensor", _Attention.apply(match, keys(match), value, bias, *routing))  # type: ignore[no-untyped-call]
        else:
            out = _attended(Tokens(match, value, bias), routing)[0]
    return out.to(tokens.value.dtype)


def window_sums(weights: Tensor, values: Tensor, routing: Routing) -> Tensor:
    """`weights [b r n c 3c]` (own, previous, next) times the values `[b l e]` of each window: `[b r n c e]`.

    For weights that are kept, because other layers take them too. A window is three views, never a copy.
    """
    own, previous, following = weights.chunk(3, dim=-1)
    rings = seated(values, routing._replace(seats=ring(routing.seats)))
    out = own @ rings[:, :, 1:-1]
    return out.add_(previous @ rings[:, :, :-2]).add_(following @ rings[:, :, 2:])


def ring(seats: Tensor) -> Tensor:
    """`seats [.. n c]` with the last chunk before the first and the first after the last: `[.. n+2 c]`."""
    return torch.cat([seats[..., -1:, :], seats, seats[..., :1, :]], dim=-2)


def rows(routing: Routing) -> Iterator[Row]:
    """Each round of `routing`, its images one after the other."""
    batch, rounds, chunks, seats = routing.seats.shape
    image = torch.arange(batch, device=routing.seats.device).unsqueeze(1)
    for r in range(rounds):
        own = image.unsqueeze(2) * routing.seat_of.shape[-1] + ring(routing.seats[:, r])
        yield Row(own.flatten(0, 1), (image * (chunks + 2) * seats + routing.seat_of[:, r]).flatten())


class _Attention(torch.autograd.Function):
    """With a backward pass of its own, which needs the log mass of each token and no weights."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, seats: Tensor, seat_of: Tensor
    ) -> Tensor:
        """`_attended`, keeping its inputs, its output and the log mass."""
        out, mass = _attended(Tokens(query, value, bias), Routing(seats, seat_of))
        ctx.save_for_backward(query, key, value, bias, seats, seat_of, out, mass)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value and bias, a round at a time."""
        query, key, value, bias, seats, seat_of, out, mass = ctx.saved_tensors
        tokens = Keyed(query, key, value, bias)
        found, told = _each(torch.zeros_like, tokens), (gradient * out).sum(dim=-1).flatten()
        gradient = gradient.contiguous().flatten(0, 1)
        with full_precision(gradient):
            for row in rows(Routing(seats, seat_of)):
                given = _Backward(tokens, row, mass, told).of(row, gradient)
                for into, chunks in zip(found, given, strict=True):
                    if into is not None and chunks is not None:
                        into.add_(_by_token(chunks, row, len(into)))
        return (*found, None, None)


def _attended(tokens: Tokens, routing: Routing) -> tuple[Tensor, Tensor]:
    """`y [b l e]` and the log mass `[t]`: sums of every round by seat, brought to the tokens round by round."""
    key = None if tokens.bias is None else keys(tokens.match)
    merged: Merged | None = None
    for row in rows(routing):
        merged = _merge(merged, _round(_windows(tokens, key, row)), row.seat)
    assert merged is not None, "there is a round"
    return _by_channel(merged, len(routing.seats)), merged.top + merged.mass.log()


def _by_channel(merged: Merged, batch: int) -> Tensor:
    """The means `sums / mass` of all images as `[b l e]`, the values of each channel side by side."""
    sums = merged.sums.unflatten(0, (batch, -1))
    mass = merged.mass.view(batch, -1, 1)
    out: Tensor = sums.new_empty(batch, sums.shape[2], sums.shape[1]).transpose(1, 2)
    at_once = max(1, ACROSS // sums.shape[2])
    for few in zip(*(x.split(at_once, dim=1) for x in (sums, mass, out)), strict=True):
        torch.div(few[0], few[1], out=few[2])
    return out


def _round(windows: Windows) -> Merged:
    """Sums, mass and top of every seat of a row."""
    count, _, seats = windows.query.shape
    sums = windows.value.new_empty(count, seats, windows.value.shape[-1])
    mass = windows.value.new_empty(count, seats)
    top = torch.empty_like(mass) if windows.top is None else windows.top
    for block, logits in _blocks(windows):
        shift = top[block].unsqueeze(-2)
        if windows.unit is None:
            weights = logits.sub_(torch.amax(logits, dim=-2, keepdim=True, out=shift)).exp_()
        else:
            weights = torch.addcmul(-shift, logits, windows.unit[block], out=logits).exp_()
        torch.sum(weights, dim=-2, out=mass[block])
        torch.bmm(weights.transpose(1, 2), windows.value[block], out=sums[block])
    return Merged(sums.flatten(0, 1), mass.flatten(), top.flatten())


def _merge(before: Merged | None, seated: Merged, seat: Tensor) -> Merged:
    """`before`, by token, and one more round, by seat."""
    mass, top = seated.mass[seat], seated.top[seat]
    if before is None:
        return Merged(F.embedding(seat, seated.sums), mass, top)
    highest = torch.maximum(before.top, top)
    old, new = (before.top - highest).exp_(), (top - highest).exp_()
    weighted = F.embedding_bag(seat.unsqueeze(1), seated.sums, mode="sum", per_sample_weights=new.unsqueeze(1))
    torch.addcmul(weighted, before.sums, old.unsqueeze(1), out=before.sums)
    return Merged(before.sums, before.mass.mul_(old).addcmul_(mass, new), highest)


def _windows(tokens: Tokens, key: Tensor | None, row: Row) -> Windows:
    """The round in which the tokens of `row` sit together; without `key`, by embeddings and their norms."""
    value, bias = (None if x is None else windowed_view(F.embedding(row.seats, x)) for x in tokens[1:])
    assert value is not None
    if key is not None:
        query = F.embedding(row.seats[1:-1], tokens.match).transpose(1, 2)
        return Windows(query, windowed_view(F.embedding(row.seats, key)), value, bias)
    chunks = F.embedding(row.seats, tokens.match)
    norm = torch.linalg.vector_norm(chunks, dim=-1)
    unit = norm.clamp_min(NORM_FLOOR).reciprocal()
    query, top = chunks[1:-1].transpose(1, 2), norm.square().mul_(unit)[1:-1]
    return Windows(query, windowed_view(chunks), value, unit=windowed_view(unit.unsqueeze(-1)), top=top)


def windowed_view(chunks: Tensor) -> Tensor:
    """Every three neighbours of `chunks [m c d]` as one: a view `[m-2 3c d]`."""
    count, seats, channels = chunks.shape
    return chunks.as_strided((count - 2, 3 * seats, channels), (seats * channels, channels, 1))


def _blocks(windows: Windows) -> Iterator[tuple[slice, Tensor]]:
    """Logits `[.. 3c c]` of some chunks at a time, key by query; a block is overwritten by the next."""
    count, _, seats = windows.query.shape
    at_once = min(count, max(FEWEST, SCRATCH // (3 * seats**2)))
    scratch = windows.query.new_empty(at_once, 3 * seats, seats)
    for start in range(0, count, at_once):
        block = slice(start, min(start + at_once, count))
        logits, key, query = scratch[: block.stop - start], windows.key[block], windows.query[block]
        if windows.bias is None:
            torch.bmm(key, query, out=logits)
        else:
            torch.baddbmm(windows.bias[block], key, query, out=logits)
        yield block, logits


class _Backward:
    """The gradients of one round, from the log mass `[t]` and from `told [t]`, `dy . y` of each token."""

    def __init__(self, tokens: Keyed, row: Row, mass: Tensor, told: Tensor) -> None:
        query, key, value, bias = tokens
        self.windows, seats = _windows(Tokens(query, value, bias), key, row), row.seats[1:-1]
        self.told = told[seats]
        # Only a token's own seat has a weight: none does where its log mass is infinite.
        self.mass = mass.new_full((seats.numel(),), torch.inf).index_copy_(0, row.seat, mass).view(seats.shape)
        self.found = _each(lambda x: x.new_zeros(*row.seats.shape, x.shape[-1]), tokens)

    def of(self, row: Row, gradient: Tensor) -> Keyed:
        """Gradients `[m c ..]` by seat, for `gradient [t e]` of the output."""
        seated_there = F.embedding(row.seats[1:-1], gradient)
        for block, logits in _blocks(self.windows):
            self._block(block, logits, seated_there[block])
        return self.found

    def _block(self, block: slice, logits: Tensor, gradient: Tensor) -> None:
        """`dS = P * (dP - dy . y)`, with `P = exp(S - log mass)` and `dP = V dy`, all key by query."""
        weights = logits.sub_(self.mass[block].unsqueeze(-2)).exp_()
        into = _each(lambda x: x[block.start : block.stop + 2], self.found)
        _add_windows(into.value, weights @ gradient)
        weights *= (self.windows.value[block] @ gradient.transpose(1, 2)).sub_(self.told[block].unsqueeze(-2))
        _add_windows(into.key, weights @ self.windows.query[block].transpose(1, 2))
        torch.bmm(weights.transpose(1, 2), self.windows.key[block], out=into.query[1:-1])
        if into.bias is not None:
            _add_windows(into.bias, weights)


def _add_windows(chunks: Tensor, windows: Tensor) -> None:
    """Add `windows [m-2 3c d]` to the three of `chunks [m c d]` that each is a view of."""
    for place, part in enumerate(windows.chunk(3, dim=1)):
        chunks[place : place + len(windows)] += part


def _by_token(chunks: Tensor, row: Row, count: int) -> Tensor:
    """Sums over all seats of each token, of what the seats `[m c d]` have: `[t d]`, in the same order every time."""
    summed: Tensor = torch.ops.aten.embedding_dense_backward(chunks, row.seats, count, -1, False)
    return summed


def _each(function: Callable[[Tensor], Tensor], tokens: Keyed) -> Keyed:
    bias = None if tokens.bias is None else function(tokens.bias)
    return Keyed(function(tokens.query), function(tokens.key), function(tokens.value), bias)
