"""The forward kernel: one block of queries against the window of its chunk, round after round."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from methods.kernels.sizes import sizes_of


@triton.jit  # type: ignore[untyped-decorator]
def rows(x: tl.tensor, token: tl.tensor, there: tl.tensor, channels: tl.constexpr, wide: tl.constexpr) -> tl.tensor:
    """Rows `token [n]` of `x [l channels]`, zero where not `there [n]` and in the channels up to `wide`."""
    channel = tl.arange(0, wide)
    inside = there[:, None] & (channel < channels)[None, :]
    return tl.load(x + token[:, None] * channels + channel[None, :], mask=inside, other=0.0)


@triton.jit  # type: ignore[untyped-decorator]
def ring_seat(at: tl.tensor, place: tl.tensor, chunk: tl.constexpr, chunks: tl.tensor) -> tl.tensor:
    """The flat seat of `place` in the window of chunk `at`: previous, own and next chunk lie in a row on the ring.

    One or two chunks come round again, and so count as often as they should.
    """
    return ((at + chunks - 1) * chunk + place) % (chunks * chunk)


@triton.jit(do_not_specialize=["length", "chunks", "stride"])  # type: ignore[untyped-decorator]
def attend_round(  # noqa: PLR0913, PLR0917 - a kernel has no structures
    query: tl.tensor,
    key: tl.tensor,
    value: tl.tensor,
    bias: tl.tensor,
    seats: tl.tensor,
    out: tl.tensor,
    before: tl.tensor,
    mass: tl.tensor,
    length: tl.tensor,
    chunks: tl.tensor,
    stride: tl.tensor,
    chunk: tl.constexpr,
    d: tl.constexpr,
    e: tl.constexpr,
    wide_d: tl.constexpr,
    wide_e: tl.constexpr,
    learned: tl.constexpr,
    first: tl.constexpr,
    queries: tl.constexpr,
    keys: tl.constexpr,
    precision: tl.constexpr,
) -> None:
    """One round: fill `out [b l e]` and the log mass `[b l]`, merged with earlier rounds unless it is the `first`.

    Those left their output in `out` and their log mass in `before [b l]`. A token asks from its first seat alone, so
    that a program has its rows of all three for itself.
    """
    blocks = tl.cdiv(chunk, queries)
    at, image = tl.program_id(0) // blocks, tl.program_id(1).to(tl.int64)
    slot = tl.program_id(0) % blocks * queries + tl.arange(0, queries)
    asks = (slot < chunk) & (at * chunk + slot < length)
    seats += image * stride
    asking = image * length + tl.load(seats + at * chunk + slot, mask=asks, other=0)
    q = rows(query, asking, asks, d, wide_d)
    top = tl.full([queries], float("-inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    sums = tl.zeros([queries, wide_e], tl.float32)
    for start in range(0, 3 * chunk, keys):
        place = start + tl.arange(0, keys)
        there = place < 3 * chunk
        token = image * length + tl.load(seats + ring_seat(at, place, chunk, chunks), mask=there, other=0)
        logits = tl.dot(q, tl.trans(rows(key, token, there, d, wide_d)), input_precision=precision)
        if learned:
            both = asks[:, None] & there[None, :]
            logits += tl.load(bias + token[None, :] * chunk + slot[:, None], mask=both, other=0.0).to(tl.float32)
        logits = tl.where(there[None, :], logits, float("-inf"))
        highest = tl.maximum(top, tl.max(logits, 1))
        weights = tl.exp(logits - highest[:, None])
        shrunk = tl.exp(top - highest)
        total = total * shrunk + tl.sum(weights, 1)
        v = rows(value, token, there, e, wide_e)
        sums = tl.dot(weights.to(v.dtype), v, sums * shrunk[:, None], input_precision=precision)
        top = highest
    sums /= total[:, None]
    found = top + tl.log(total)
    if not first:
        earlier = tl.load(before + asking, mask=asks, other=0.0)
        highest = tl.maximum(earlier, found)
        old, new = tl.exp(earlier - highest), tl.exp(found - highest)
        sums = (rows(out, asking, asks, e, wide_e) * old[:, None] + sums * new[:, None]) / (old + new)[:, None]
        found = highest + tl.log(old + new)
    tl.store(mass + asking, found, mask=asks)
    channel = tl.arange(0, wide_e)
    inside = asks[:, None] & (channel < e)[None, :]
    tl.store(out + asking[:, None] * e + channel[None, :], sums, mask=inside)


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, seats: Tensor) -> tuple[Tensor, Tensor]:
    """`y [b l e]` and the log mass `[b l]`, both float32, of contiguous tensors."""
    batch, rounds, chunks, chunk = seats.shape
    constants = sizes_of(query, value, bias, chunk).constants("attend_round")
    grid = (chunks * triton.cdiv(chunk, constants["queries"]), batch)
    out = torch.empty_like(value, dtype=torch.float32)
    # Two, by turns: threads of a program may read the log mass of a token after another has written it.
    mass, before = torch.empty(2, *value.shape[:2], dtype=torch.float32, device=value.device)
    for r in range(rounds):
        before, mass = mass, before
        attend_round[grid](
            *(query, key, value, bias, seats[:, r], out, before, mass, value.shape[1], chunks, seats.stride(0)),
            first=r == 0,
            **constants,
        )
    return out, mass
