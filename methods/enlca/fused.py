"""Kernel attention on maps: the fused twin of `methods.enlca.attention`, in blocks of positions.

The same function with less to write. Channels stay before positions, as convolutions leave them, so nothing is turned
around. A unit vector is not stored: `P u` is `P x` times a number for each position, and `|u|^2` is known. The factor
`m^-1/2` of the features stands above and below the fraction line and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.interface import full_precision

NORM_FLOOR, FEATURE_FLOOR = 5e-5, 1e-4
BLOCK = 2048
"""Positions at a time: their features should still be in a cache when they are multiplied."""


def kernel_attention_map(query: Tensor, key: Tensor, value: Tensor, projection: Tensor, amplification: float) -> Tensor:
    """`query [b d l]`, `key [b d l]`, `value [b e l]`, not normalised, by `projection [m d]`, to `[b e l]`.

    In float32 at least, the result in the precision of the values.
    """
    wide = torch.promote_types(value.dtype, torch.float32)
    keeps = torch.is_grad_enabled() and any(x.requires_grad for x in (query, key, value))
    block = query.shape[-1] if keeps else BLOCK
    with full_precision(value):
        projection = projection.to(wide)
        context, total = _context(projection, key.split(block, -1), value.split(block, -1), amplification)
        out = torch.empty(value.shape, dtype=wide, device=value.device)
        for start in range(0, query.shape[-1], block):
            on_query = features(query[..., start : start + block].to(wide), projection, amplification)
            out[..., start : start + block] = (context @ on_query) * (total @ on_query).reciprocal()
    return out.to(value.dtype)


def features(x: Tensor, projection: Tensor, amplification: float) -> Tensor:
    """`exp(P u - |u|^2 / 2) + 1e-4` with `u = sqrt(amplification) x / |x|`: `x [b d l]` to `[b m l]`."""
    squared = x.square().sum(dim=1, keepdim=True)
    unit = squared.clamp_min(NORM_FLOOR**2).rsqrt()
    half = amplification / 2 * squared * unit.square()
    return torch.addcmul(-half, projection @ x, amplification**0.5 * unit).exp() + FEATURE_FLOOR


def _context(
    projection: Tensor, keys: tuple[Tensor, ...], values: tuple[Tensor, ...], amplification: float
) -> tuple[Tensor, Tensor]:
    """What queries ask: the sums over positions of `v phi(k)^T`, `[b e m]`, and of `phi(k)`, `[b 1 m]`."""
    context = total = projection.new_zeros(())
    for key, value in zip(keys, values, strict=True):
        on_key = features(key.to(projection), projection, amplification).transpose(1, 2)
        context = context + value.to(projection) @ on_key
        total = total + on_key.sum(dim=1, keepdim=True)
    return context, total
