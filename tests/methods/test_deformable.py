"""Modulated deformable convolution against loops over pixels and taps, and against torchvision where there is one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.parts import deformable
from methods.parts.deformable import ModulatedDeformableConv, deformable_conv, fast_deformable_conv

SIZES = [(1, 1), (1, 5), (4, 1), (2, 3), (5, 4)]
Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
without_torchvision = pytest.mark.skipif(
    fast_deformable_conv is None, reason="torchvision is not installed for this version of PyTorch"
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(batch: int, channels: int, outputs: int, height: int, width: int, reach: float = 1.5) -> Inputs:
    """Image, offsets, weight, bias, masks; no offset within a hundredth of a whole number, where sampling has kinks."""
    offset = reach * random(batch, 18, height, width, seed=1)
    fraction = offset - offset.floor()
    offset = offset.floor() + 0.01 + 0.98 * fraction
    weight, bias = random(outputs, channels, 3, 3, seed=2), random(outputs, seed=3)
    return random(batch, channels, height, width), offset, weight, bias, random(batch, 9, height, width, seed=4)


def sample(image: Tensor, y: float, x: float) -> Tensor:
    """Bilinear, zero outside: `image [c h w]` at a place between pixels, `[c]`."""
    total = torch.zeros_like(image[:, 0, 0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total = total + (1 - abs(y - row)) * (1 - abs(x - column)) * image[:, row, column]
    return total


def by_loops(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
    out = torch.zeros(x.shape[0], weight.shape[0], *x.shape[2:], dtype=x.dtype)
    for b, row, column in places(out):
        total = bias.clone()
        for tap in range(9):
            y = row + tap // 3 - 1 + float(offset[b, 2 * tap, row, column])
            at = column + tap % 3 - 1 + float(offset[b, 2 * tap + 1, row, column])
            total += mask[b, tap, row, column] * (weight[:, :, tap // 3, tap % 3] @ sample(x[b], y, at))
        out[b, :, row, column] = total
    return out


def places(image: Tensor) -> Iterator[tuple[int, int, int]]:
    for b in range(image.shape[0]):
        for row in range(image.shape[2]):
            for column in range(image.shape[3]):
                yield b, row, column


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 2),
    channels=st.integers(1, 3),
    outputs=st.integers(1, 3),
    size=st.sampled_from(SIZES),
    reach=st.sampled_from([0.3, 1.5, 6.0]),
)
def test_equals_loops_over_pixels_and_taps(
    batch: int, channels: int, outputs: int, size: tuple[int, int], reach: float
) -> None:
    given_inputs = inputs(batch, channels, outputs, *size, reach)
    torch.testing.assert_close(deformable_conv(*given_inputs), by_loops(*given_inputs))


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_finite_differences(size: tuple[int, int]) -> None:
    assert torch.autograd.gradcheck(deformable_conv, [t.requires_grad_() for t in inputs(1, 2, 2, *size)])


@pytest.mark.parametrize("size", [*SIZES, (9, 16)])
def test_without_offsets_it_is_a_plain_convolution(size: tuple[int, int]) -> None:
    x, offset, weight, bias, mask = inputs(2, 3, 2, *size)
    out = deformable_conv(x, 0 * offset, weight, bias, torch.ones_like(mask))
    torch.testing.assert_close(out, F.conv2d(x, weight, bias, padding=1))
    torch.testing.assert_close(deformable_conv(x, 0 * offset, weight, None, 0 * mask), torch.zeros_like(out))


@pytest.mark.parametrize(("dy", "dx"), [(0, 1), (1, 0), (-2, 3), (9, 0)])
def test_whole_offsets_move_the_image(dy: int, dx: int) -> None:
    """An offset of (dy, dx) for every tap reads the image from there; beyond its edge there are zeros."""
    x, offset, weight, bias, mask = inputs(1, 2, 2, 5, 6)
    shift = torch.tensor([dy, dx], dtype=x.dtype).repeat(9).view(1, 18, 1, 1).expand_as(offset)
    everywhere = F.conv2d(F.pad(x, (10, 10, 10, 10)), weight, bias)
    expected = everywhere[..., 9 + dy : 14 + dy, 9 + dx : 15 + dx]
    torch.testing.assert_close(deformable_conv(x, shift, weight, bias, torch.ones_like(mask)), expected)


def module(channels: int = 3) -> ModulatedDeformableConv:
    torch.manual_seed(0)
    return ModulatedDeformableConv(channels).double()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 4)])
def test_it_starts_as_its_plain_convolution(size: tuple[int, int]) -> None:
    x, fresh = random(2, 3, *size), module()
    torch.testing.assert_close(fresh(x), fresh.regular_conv(x))
    assert not any(p.any() for layer in (fresh.offset_conv, fresh.modulator_conv) for p in layer.parameters())


def test_every_weight_learns_from_the_start() -> None:
    fresh = module()
    fresh(random(1, 3, 5, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fresh.parameters())


def trained() -> ModulatedDeformableConv:
    """One whose offsets and masks have moved."""
    used = module()
    with torch.no_grad():
        for seed, parameter in enumerate(used.parameters()):
            parameter.copy_(0.3 * random(*parameter.shape, seed=seed))
    return used


@pytest.mark.parametrize("operator", ["own", pytest.param("torchvision", marks=without_torchvision)])
def test_the_module_predicts_offsets_and_masks_of_twice_a_sigmoid(
    operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if operator == "own":
        monkeypatch.setattr(deformable, "fast_deformable_conv", None)
    used, x = trained(), random(2, 3, 4, 5)
    with torch.no_grad():
        mask = 2 / (1 + (-used.modulator_conv(x)).exp())
        weight, bias = used.regular_conv.weight, used.regular_conv.bias
        torch.testing.assert_close(used(x), by_loops(x, used.offset_conv(x), weight, bias, mask))


@without_torchvision
@pytest.mark.parametrize("size", [*SIZES, (9, 16)])
@pytest.mark.parametrize("reach", [0.3, 1.5, 6.0])
def test_equals_torchvision_forward_and_backward(size: tuple[int, int], reach: float) -> None:
    assert fast_deformable_conv is not None
    x, offset, weight, bias, mask = (t.requires_grad_() for t in inputs(2, 3, 4, *size, reach))
    results = (
        deformable_conv(x, offset, weight, bias, mask),
        fast_deformable_conv(x, offset, weight, bias, padding=1, mask=mask),
    )
    torch.testing.assert_close(*results)
    cotangent = random(*results[0].shape, seed=5)
    ours, theirs = (torch.autograd.grad(y, (x, offset, weight, bias, mask), cotangent) for y in results)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("dtype", "width"), [(torch.bfloat16, 300), (torch.float16, 1200)])
def test_low_precision_reads_the_right_pixels(dtype: torch.dtype, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under autocast it strays from float32 no more than twice as far as a plain convolution does."""
    monkeypatch.setattr(deformable, "fast_deformable_conv", None)
    fresh, x = module().float(), random(1, 3, 2, width).float()
    plain = copy.deepcopy(fresh.regular_conv)
    with torch.autocast("cpu", dtype=dtype):
        ours, low = fresh(x), plain(x)
    exact = plain(x)
    assert (ours - exact).abs().max() <= 2 * (low - exact).abs().max()
