"""How the kernels are cut: everything that is known when they are compiled.

Blocks stay in the registers and the shared memory of one multiprocessor, of which a program may use at most 163 KB on
sm_80, 227 KB on sm_90, and 99 KB on smaller chips (sm_86, sm_89, sm_120). The numbers below need up to 97 KB for the
released sizes, and for the widest channels that are supported up to 132 KB on sm_80 and 165 KB on sm_90.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

WIDEST = 256
"""Channels of a match or of a value, at most: more would not fit."""
PRECISION = "ieee"
"""Of products of float32: never TF32. Products of halves are exact, and summed in float32 anyway."""
SMALLEST = 16
"""Rows and columns of a matrix product, at least."""


class Cut(NamedTuple):
    """Rows of queries and of keys that are worked on at once, by so many warps, loading so many steps ahead."""

    queries: int
    keys: int
    warps: int
    stages: int

    def options(self) -> dict[str, int]:
        """For the compiler. Multiplying and adding at once, its old default, is asked for: it warns of a change."""
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


HALF = {"attend_round": Cut(64, 64, 8, 3), "query_gradient": Cut(32, 64, 4, 3), "key_gradient": Cut(32, 32, 8, 3)}
SINGLE = {"attend_round": Cut(32, 32, 8, 1), "query_gradient": Cut(32, 32, 8, 1), "key_gradient": Cut(32, 32, 8, 1)}
"""Chosen by what the compiler says of the released sizes: registers are not spilled to memory, or hardly."""


class Sizes(NamedTuple):
    """Seats in a chunk, channels `d` of the match and `e` of the value, whether a bias is learned, whether halves."""

    chunk: int
    d: int
    e: int
    learned: bool
    half: bool

    def constants(self, kernel: str) -> dict[str, Any]:
        """What `kernel` is compiled for; sizes of blocks are powers of two."""
        cut, seats = (HALF if self.half else SINGLE)[kernel], padded(self.chunk)
        known = {"chunk": self.chunk, "d": self.d, "e": self.e, "learned": self.learned, "precision": PRECISION}
        wide = {"wide_d": padded(self.d), "wide_e": padded(self.e)}
        blocks = {"queries": min(cut.queries, seats), "keys": min(cut.keys, seats)}
        return {**known, **wide, **blocks, **cut.options()}


def sizes_of(query: Tensor, value: Tensor, bias: Tensor | None, chunk: int) -> Sizes:
    """The sizes of an attention in chunks of `chunk`."""
    return Sizes(chunk, query.shape[-1], value.shape[-1], bias is not None, value.dtype != torch.float32)


def padded(size: int) -> int:
    """The next power of two that a matrix product can have: blocks are no other size."""
    return max(SMALLEST, 1 << (size - 1).bit_length())
