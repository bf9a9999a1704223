"""The judge: bucketed attention as one dense softmax, in a few lines, for small sizes and any precision.

Over all rounds, let `N[i, j]` be how often token `j` stands in the windows of token `i`; repeats of the tail and the
wrap-around count. For scores that do not depend on the seat, merging rounds by log-sum-exp gives exactly
`y = softmax(Q K^T + log N) V`, and every row of `N` sums to `3 * chunk * rounds`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.parts.routing import Routing


def window_counts(routing: Routing) -> Tensor:
    """`N [b l l]`: how often each token stands in the windows of each other token's seat."""
    batch, rounds, chunks, chunk = routing.seats.shape
    length = routing.seat_of.shape[-1]
    counts = torch.zeros(batch, length, length, dtype=torch.float64)
    for b in range(batch):
        for r in range(rounds):
            for token in range(length):
                own = int(routing.seat_of[b, r, token]) // chunk
                for neighbour in (own, own - 1, own + 1):
                    for seen in routing.seats[b, r, neighbour % chunks].tolist():
                        counts[b, token, seen] += 1
    return counts


def dense(query: Tensor, key: Tensor, value: Tensor, counts: Tensor) -> Tensor:
    """`softmax(Q K^T + log N) V` for queries, keys, values `[b l d]`."""
    logits = query @ key.transpose(-1, -2) + counts.log().to(query)
    return logits.softmax(dim=-1) @ value
