"""Seats: which tokens attend to which, as pure functions on tensors.

Axis letters: b batch, r round, l token, n chunk, c seat in a chunk, d channel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Routing(NamedTuple):
    """Who sits where: `seats [b r n c]` holds token indices, `seat_of [b r l]` the flat seat of each token."""

    seats: Tensor
    seat_of: Tensor


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
