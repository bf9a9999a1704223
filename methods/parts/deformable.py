"""Modulated deformable convolution (DCN v2, Zhu et al., CVPR 2019), on `grid_sample`, or torchvision's operator.

`y(p) = sum_t w_t m_t(p) x(p + p_t + o_t(p))` over the nine taps `p_t` of a 3x3 kernel in row-major order, with learnt
offsets `o_t` in (dy, dx) order and masks `m_t`; `x` is sampled bilinearly and is zero outside.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import Conv2d

SIDE = 3
TAPS = SIDE**2


def _torchvision_operator() -> Callable[..., Tensor] | None:
    """None where torchvision is not installed, or refuses, in one of several ways, beside a torch not made for it."""
    try:
        from torchvision.ops import deform_conv2d  # noqa: PLC0415 - not everybody has it
    except (ImportError, RuntimeError, AttributeError):
        return None
    operator: Callable[..., Tensor] = deform_conv2d
    return operator


fast_deformable_conv = _torchvision_operator()


class ModulatedDeformableConv(nn.Module):
    """`channels` to `channels`; offsets start at 0 and masks (2 sigmoid) at 1, so it starts as a plain one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset_conv = Conv2d(channels, 2 * TAPS, SIDE)
        self.modulator_conv = Conv2d(channels, TAPS, SIDE)
        self.regular_conv = Conv2d(channels, channels, SIDE)
        for start in (self.offset_conv, self.modulator_conv):
            nn.init.zeros_(start.weight)
            nn.init.zeros_(start.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """`[b c h w] -> [b c h w]`."""
        offset, mask = self.offset_conv(x), 2 * self.modulator_conv(x).sigmoid()
        weight, bias = self.regular_conv.weight, self.regular_conv.bias
        if fast_deformable_conv is not None:
            return fast_deformable_conv(x, offset, weight, bias, padding=SIDE // 2, mask=mask)
        return deformable_conv(x, offset, weight, bias, mask)


def deformable_conv(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor) -> Tensor:
    """The equation above: `x [b c h w]`, `offset [b 18 h w]`, `weight [o c 3 3]`, `mask [b 9 h w]` to `[b o h w]`.

    Sampled in float32 at least: half precision cannot number the pixels of an image.
    """
    batch, channels, height, width = x.shape
    wide = torch.promote_types(x.dtype, torch.float32)
    grid = _positions(offset.to(wide)).flatten(1, 2)
    samples = F.grid_sample(x.to(wide), grid, mode="bilinear", padding_mode="zeros", align_corners=False).to(x.dtype)
    samples = samples.view(batch, channels, TAPS, height, width) * mask.unsqueeze(1)
    out = torch.einsum("bcthw,oct->bohw", samples, weight.flatten(2))
    return out if bias is None else out + bias.view(-1, 1, 1)


def _positions(offset: Tensor) -> Tensor:
    """Where each tap of each pixel reads, `[b 9 h w 2]` as (x, y) in the units of `grid_sample`.

    With corners not aligned, pixel `i` of `n` lies at `(2 i + 1) / n - 1`.
    """
    height, width = offset.shape[-2:]
    dy, dx = offset.unflatten(1, (TAPS, 2)).unbind(2)
    tap, row, column = (torch.arange(n, dtype=offset.dtype, device=offset.device) for n in (TAPS, height, width))
    reach, tap = SIDE // 2, tap.view(-1, 1, 1)
    y = row.view(-1, 1) + tap.div(SIDE, rounding_mode="floor") - reach + dy
    x = column + tap.remainder(SIDE) - reach + dx
    return torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
