"""Assignments: which bucket each token belongs to, once per round. Codes are discrete and carry no gradient."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from methods.settings import require_positive


class Assign(Protocol):
    """Match embeddings `[b l d]` to bucket codes `[b r l]` in `[0, buckets)`."""

    def codes(self, match: Tensor, buckets: int) -> Tensor:
        """Bucket codes; `buckets` 1 means that all tokens share bucket 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SphericalLSH:
    """Spherical locality-sensitive hashing: `code = argmax([m A, -m A])` with a Gaussian `A` per round.

    `A [d r n/2]` is drawn from the global generator at every forward and shared by the batch, as released
    (NLSN, Mei et al., CVPR 2021; Andoni et al., NeurIPS 2015).
    """

    n_hashes: int = 4

    def __post_init__(self) -> None:
        require_positive(self, "n_hashes")

    def codes(self, match: Tensor, buckets: int) -> Tensor:
        """Codes `[b r l]`; no draw is made when there is one bucket."""
        batch, length, channels = match.shape
        if buckets == 1:
            return torch.zeros(batch, self.n_hashes, length, dtype=torch.long, device=match.device)
        shape = (1, channels, self.n_hashes, buckets // 2)
        rotation = torch.randn(shape, dtype=match.dtype, device=match.device)[0]
        turned = torch.einsum("bld,drn->brln", match, rotation)
        return torch.cat([turned, -turned], dim=-1).argmax(dim=-1)
