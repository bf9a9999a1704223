"""FlexAttention as a further contender: PyTorch's own way to write an attention that its compiler fuses.

Tokens lie sorted, rounds are heads, a block mask leaves to each chunk itself and its two neighbours on the ring, the
learned score changes the logits, and the log-sum-exp that comes with the answer merges the rounds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxRequest, BlockMask, create_block_mask, flex_attention

from methods.bucketed import BucketedAttention
from methods.interface import full_precision, tokens
from methods.parts.assign import Layout
from methods.parts.routing import Routing, route, seated
from methods.parts.score import keys

WINDOW = 3
"""Chunks that a chunk attends to. On a ring of fewer a key counts twice, which no mask can say."""


def core(module: BucketedAttention, x: Tensor) -> Tensor:
    """`[b l e]`: what `module` adds to `x [b c h w]`, not yet scaled, from the maps of its convolutions.

    Raises:
        ValueError: there are fewer than `WINDOW` chunks.
    """
    recipe, layers = module.recipe, module.layers
    match, value = tokens(module.conv_match(x)), tokens(layers["conv_assembly"](x))
    layout = Layout(*x.shape[-2:], recipe.chunk_size)
    with full_precision(match):
        routing = route(recipe.assign.codes(layers, match.detach(), layout), recipe.chunk_size)
    return windowed(match, value, recipe.score.bias(layers, x), routing)


def windowed(match: Tensor, value: Tensor, bias: Tensor | None, routing: Routing) -> Tensor:
    """`[b l e]`: every token attends to its windows in all rounds of `routing`; tokens are `[b l ..]`."""
    chunks, chunk = routing.seats.shape[2:]
    if chunks < WINDOW:
        raise ValueError(f"a ring of {chunks} chunks is no mask: ask for maps of more than {2 * chunk} positions")
    query, key, values = (seated(x, routing).flatten(2, 3) for x in (match, keys(match).to(match), value))
    learned = None if bias is None else seated(bias, routing).flatten(2, 3)

    def score(logit: Tensor, b: Tensor, r: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return logit if learned is None else logit + learned[b, r, j, i % chunk]

    mask = window_mask(chunks, chunk, str(match.device))
    out, aux = _flex(match.device.type)(query, key, values, score, mask, scale=1.0, return_aux=AuxRequest(lse=True))
    shares = aux.lse.gather(2, routing.seat_of).softmax(dim=1).unsqueeze(-1)
    there = routing.seat_of.unsqueeze(-1).expand(*routing.seat_of.shape, out.shape[-1])
    return (out.gather(2, there) * shares).sum(dim=1).to(value.dtype)


@functools.cache
def window_mask(chunks: int, chunk: int, device: str) -> BlockMask:
    """Which seats a seat attends to: those of its own, the previous and the next of so many chunks on a ring."""

    def inside(_b: Tensor, _r: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (j // chunk - i // chunk + 1) % chunks < WINDOW

    seats = chunks * chunk
    return create_block_mask(inside, None, None, seats, seats, device=device)


@functools.cache
def _flex(device: str) -> Callable[..., tuple[Tensor, Any]]:
    """Compiled where it is meant to be; elsewhere written out by PyTorch, which holds all logits."""
    return cast("Any", torch.compile(flex_attention, dynamic=False) if device == "cuda" else flex_attention)
