"""The backward kernels: the weights are made again, once by query and once by key, so that no two programs add to one.

`dS = P * (dP - dy . y)`, with `P = exp(S - log mass)` and `dP = V dy`, as `methods.fused` has it. No sum depends on who
comes first: the same inputs give the same bits. All is key by query, for the gradient of queries too: were their rows
on the left of the products, the compiler would keep them in registers in float32, which are too few.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from methods.kernels.forward import ring_seat, rows
from methods.kernels.sizes import sizes_of


@triton.jit  # type: ignore[untyped-decorator]
def add_rows(
    x: tl.tensor, row: tl.tensor, there: tl.tensor, more: tl.tensor, channels: tl.constexpr, wide: tl.constexpr
) -> None:
    """Add `more [n wide]` to rows `row [n]` of `x [l channels]`, where `there [n]`; no other program may have them."""
    channel = tl.arange(0, wide)
    inside = there[:, None] & (channel < channels)[None, :]
    place = x + row[:, None] * channels + channel[None, :]
    tl.store(place, tl.load(place, mask=inside, other=0.0) + more, mask=inside)


@triton.jit(do_not_specialize=["length", "chunks", "stride"])  # type: ignore[untyped-decorator]
def query_gradient(  # noqa: PLR0913, PLR0917 - a kernel has no structures
    query: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    bias: tl.tensor,
    seats: tl.tensor,
    gradient: tl.tensor,
    mass: tl.tensor,
    told: tl.tensor,
    into: tl.tensor,
    length: tl.tensor,
    chunks: tl.tensor,
    stride: tl.tensor,
    chunk: tl.constexpr,
    d: tl.constexpr,
    e: tl.constexpr,
    wide_d: tl.constexpr,
    wide_e: tl.constexpr,
    learned: tl.constexpr,
    queries: tl.constexpr,
    keys: tl.constexpr,
    precision: tl.constexpr,
) -> None:
    """Add to `into [b l d]` what one round gives the queries: `dq = sum_s dS_s k_s`."""
    blocks = tl.cdiv(chunk, queries)
    at, image = tl.program_id(0) // blocks, tl.program_id(1).to(tl.int64)
    slot = tl.program_id(0) % blocks * queries + tl.arange(0, queries)
    asks = (slot < chunk) & (at * chunk + slot < length)
    seats += image * stride
    asking = image * length + tl.load(seats + at * chunk + slot, mask=asks, other=0)
    q, dy = rows(query, asking, asks, d, wide_d), rows(gradient, asking, asks, e, wide_e)
    norm, own = tl.load(mass + asking, mask=asks, other=0.0), tl.load(told + asking, mask=asks, other=0.0)
    found = tl.zeros([queries, wide_d], tl.float32)
    for start in range(0, 3 * chunk, keys):
        place = start + tl.arange(0, keys)
        there = place < 3 * chunk
        token = image * length + tl.load(seats + ring_seat(at, place, chunk, chunks), mask=there, other=0)
        k = rows(key, token, there, d, wide_d)
        logits = tl.dot(k, tl.trans(q), input_precision=precision)
        if learned:
            both = there[:, None] & asks[None, :]
            logits += tl.load(bias + token[:, None] * chunk + slot[None, :], mask=both, other=0.0).to(tl.float32)
        weights = tl.where(there[:, None], tl.exp(logits - norm[None, :]), 0.0)
        v = rows(value, token, there, e, wide_e)
        slope = weights * (tl.dot(v, tl.trans(dy), input_precision=precision) - own[None, :])
        found = tl.dot(tl.trans(slope.to(k.dtype)), k, found, input_precision=precision)
    add_rows(into, asking, asks, found, d, wide_d)


@triton.jit(do_not_specialize=["length", "chunks", "stride"])  # type: ignore[untyped-decorator]
def key_gradient(  # noqa: PLR0913, PLR0917 - a kernel has no structures
    query: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    bias: tl.tensor,
    seats: tl.tensor,
    gradient: tl.tensor,
    mass: tl.tensor,
    told: tl.tensor,
    into_key: tl.tensor,
    into_value: tl.tensor,
    into_bias: tl.tensor,
    length: tl.tensor,
    chunks: tl.tensor,
    stride: tl.tensor,
    chunk: tl.constexpr,
    d: tl.constexpr,
    e: tl.constexpr,
    wide_d: tl.constexpr,
    wide_e: tl.constexpr,
    learned: tl.constexpr,
    queries: tl.constexpr,
    keys: tl.constexpr,
    precision: tl.constexpr,
) -> None:
    """Add what one round gives keys, values and their biases: `dk = sum_i dS_i q_i`, `dv = sum_i P_i dy_i`, `dS_i`.

    A token's first seat adds to the row of the token, a seat past the `length`, where it is repeated, to its own.
    The three chunks that see a key follow each other at the same slots, whose biases they share.
    """
    blocks = tl.cdiv(chunk, keys)
    at, image = tl.program_id(0) // blocks, tl.program_id(1).to(tl.int64)
    slot = tl.program_id(0) % blocks * keys + tl.arange(0, keys)
    there, seat = slot < chunk, at * chunk + slot
    seats += image * stride
    sits = tl.load(seats + seat, mask=there, other=0)
    k, v = rows(key, image * length + sits, there, d, wide_d), rows(value, image * length + sits, there, e, wide_e)
    row = image * chunks * chunk + tl.where(seat < length, sits, seat)
    found_key, found_value = tl.zeros([keys, wide_d], tl.float32), tl.zeros([keys, wide_e], tl.float32)
    found_bias = tl.zeros([keys, queries], tl.float32)
    for step in range(3 * tl.cdiv(chunk, queries)):
        asked = step // 3 * queries + tl.arange(0, queries)
        asker = ring_seat(at, step % 3 * chunk + asked, chunk, chunks)
        asks = (asked < chunk) & (asker < length)
        asking = image * length + tl.load(seats + asker, mask=asks, other=0)
        q, dy = rows(query, asking, asks, d, wide_d), rows(gradient, asking, asks, e, wide_e)
        norm, own = tl.load(mass + asking, mask=asks, other=0.0), tl.load(told + asking, mask=asks, other=0.0)
        logits = tl.dot(k, tl.trans(q), input_precision=precision)
        spot = (image * length + sits)[:, None] * chunk + asked[None, :]
        inside = there[:, None] & (asked < chunk)[None, :]
        if learned:
            logits += tl.load(bias + spot, mask=inside, other=0.0).to(tl.float32)
        weights = tl.where(asks[None, :], tl.exp(logits - norm[None, :]), 0.0)
        found_value = tl.dot(weights.to(dy.dtype), dy, found_value, input_precision=precision)
        slope = weights * (tl.dot(v, tl.trans(dy), input_precision=precision) - own[None, :])
        found_key = tl.dot(slope.to(q.dtype), q, found_key, input_precision=precision)
        if learned:
            found_bias = tl.where(step % 3 == 0, slope, found_bias + slope)
            place = into_bias + row[:, None] * chunk + asked[None, :]
            last = inside & ((step + 1) % 3 == 0)
            tl.store(place, tl.load(place, mask=last, other=0.0) + found_bias, mask=last)
    add_rows(into_key, row, there, found_key, d, wide_d)
    add_rows(into_value, row, there, found_value, e, wide_e)


def gradients(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor | None], seats: Tensor, gradient: Tensor, mass: Tensor, told: Tensor
) -> tuple[Tensor | None, ...]:
    """Float32 gradients of contiguous query, key, value and bias, for the `gradient [b l e]` of the output.

    From the log mass `[b l]` and from `told [b l]`, `dy . y` of each token.
    """
    query, *of_seats = inputs
    batch, rounds, chunks, chunk = seats.shape
    length, sizes = query.shape[1], sizes_of(query, inputs[2], inputs[3], chunk)
    by_query, by_key = sizes.constants("query_gradient"), sizes.constants("key_gradient")
    found_query = torch.zeros_like(query, dtype=torch.float32)
    found = [_zeros(x, chunks * chunk) for x in of_seats]
    for r in range(rounds):
        known = (*inputs, seats[:, r], gradient, mass, told)
        numbers = (length, chunks, seats.stride(0))
        query_gradient[chunks * triton.cdiv(chunk, by_query["queries"]), batch](
            *known, found_query, *numbers, **by_query
        )
        key_gradient[chunks * triton.cdiv(chunk, by_key["keys"]), batch](*known, *found, *numbers, **by_key)
        for one in found:
            if one is not None and chunks * chunk > length:
                _fold(one, seats[:, r].flatten(1)[:, length:], length)
    return (found_query, *(None if x is None else x[:, :length] for x in found))


def _zeros(x: Tensor | None, seats: int) -> Tensor | None:
    """Float32 zeros like `x [b l c]`, with a row for each seat."""
    return None if x is None else torch.zeros(len(x), seats, x.shape[2], dtype=torch.float32, device=x.device)


def _fold(found: Tensor, repeated: Tensor, length: int) -> None:
    """Bring the rows of `found [b s c]` past the `length` to the tokens `repeated [b s-l]` that sit there again.

    As many seats at a time as there are tokens: none of them has the same token twice, so nothing is added in two ways.
    """
    images = torch.arange(len(found), device=found.device).unsqueeze(1)
    for tokens, more in zip(repeated.split(length, 1), found[:, length:].split(length, 1), strict=True):
        found[images, tokens] += more
    found[:, length:] = 0
