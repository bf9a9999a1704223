"""From image to image: the three tilings, clamping, rounding, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harness import inference
from harness.inference import How, ensembled, super_resolve, tiled, to_image, to_tensor
from methods import build_network

SCALE = 2


class Local(nn.Module):
    """Two 3x3 convolutions and a pixel shuffle: an output pixel sees 2 pixels in every direction."""

    def __init__(self, scale: int = SCALE) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3 * scale**2, 3, padding=1)
        self.layers = nn.Sequential(*layers, nn.PixelShuffle(scale)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Global(Local):
    """The same, but every output pixel also sees the whole of what the network was given, in order."""

    def forward(self, x: Tensor) -> Tensor:
        place = torch.arange(x[0, 0].numel(), dtype=x.dtype).view(x.shape[-2:]).sin()
        return super().forward(x) + (x * place).mean()


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(height * width))


class Fixed(nn.Module):
    """Returns `y` whatever it is given."""

    def __init__(self, y: Tensor) -> None:
        super().__init__()
        self.y = y

    def forward(self, _: Tensor) -> Tensor:
        return self.y


def resolve(network: nn.Module, **how: Any) -> NDArray[np.uint8]:
    lr = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return super_resolve(network.float(), lr, How(**how), scale=SCALE, device="cpu")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("tiling", ["tile:5+2", "tile:8+3", "tile:1+2", "tile:100+0", "tile:7+100"])
@pytest.mark.parametrize(("height", "width"), [(13, 17), (16, 8), (1, 3)])
def test_tiles_with_enough_overlap_equal_the_whole(tiling: str, height: int, width: int, scale: int) -> None:
    network, x = Local(scale), image(height, width)
    torch.testing.assert_close(tiled(network, x, scale, tiling), network(x))


@pytest.mark.parametrize("tiling", ["tile:7+9", "tile:16+11", "chop"])
def test_a_purely_convolutional_network_of_the_catalogue_is_the_same_in_tiles(tiling: str) -> None:
    """EDSR with one block: head, two, one after the body, upsampler and tail see 6 pixels and the tail's half."""
    torch.manual_seed(0)
    network = build_network("edsr", SCALE, n_feats=4, n_resblocks=1, res_scale=1.0).double().eval()
    x = image(37, 29)
    with torch.inference_mode():
        torch.testing.assert_close(tiled(network, x, SCALE, tiling), network(x), rtol=0, atol=1e-12)
        assert not torch.allclose(tiled(network, x, SCALE, "tile:7+2"), network(x), atol=1e-6)


@pytest.mark.parametrize("tiling", ["tile:5+1", "tile:5+0", "tile:5"])
def test_tiles_with_too_little_overlap_show_their_seams_and_nothing_else(tiling: str) -> None:
    network, x = Local(), image(12, 15)
    wrong = (tiled(network, x, SCALE, tiling) != network(x)).any(dim=1)[0]
    near_seam = torch.tensor([min(abs(i - 2 * seam) for seam in (5, 10)) <= 4 for i in range(30)])
    assert wrong.any()
    assert not wrong[~near_seam[:24]][:, ~near_seam].any()


def test_tiles_read_no_further_than_their_overlap() -> None:
    seen: list[tuple[int, ...]] = []

    def forward(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape[-2:]))
        return x.repeat_interleave(SCALE, -2).repeat_interleave(SCALE, -1)

    x = image(10, 9)
    torch.testing.assert_close(tiled(forward, x, SCALE, "tile:4+1"), forward(x))
    assert seen[:-1] == [(h, w) for h in (5, 6, 3) for w in (5, 6, 2)]


def chopped(forward: Callable[[Tensor], Tensor], x: Tensor, scale: int, limit: int) -> Tensor:
    """The released way, in its own terms: four quadrants, too large by 10 pixels and up to multiples of 4 and 8."""
    height, width = x.shape[-2:]
    h_half, w_half = height // 2, width // 2
    h_size, w_size = (h_half + 10) // 4 * 4 + 4, (w_half + 10) // 8 * 8 + 8
    corners = [(rows, columns) for rows in (0, height - h_size) for columns in (0, width - w_size)]
    parts = [x[:, :, top : top + h_size, left : left + w_size] for top, left in corners]
    if h_size * w_size >= limit:
        done = [chopped(forward, part, scale, limit) for part in parts]
    else:
        done = [forward(part) for part in parts]
    out = x.new_full((1, 3, scale * height, scale * width), torch.nan)
    top, left = scale * h_half, scale * w_half
    bottom, right = scale * (height - h_half), scale * (width - w_half)
    out[:, :, :top, :left] = done[0][:, :, :top, :left]
    out[:, :, :top, left:] = done[1][:, :, :top, -right:]
    out[:, :, top:, :left] = done[2][:, :, -bottom:, :left]
    out[:, :, top:, left:] = done[3][:, :, -bottom:, -right:]
    return out


@pytest.mark.parametrize(("height", "width"), [(44, 48), (28, 37), (48, 33), (61, 72), (30, 90)])
@pytest.mark.parametrize("limit", [120_000, 1568, 1250])
def test_chop_equals_the_released_way(height: int, width: int, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "CHOP_LIMIT", limit)
    network, x = Global(), image(height, width)
    expected = chopped(network, x, SCALE, limit)
    torch.testing.assert_close(tiled(network, x, SCALE, "chop"), expected)
    assert not torch.allclose(network(x), expected)


@pytest.mark.parametrize(
    ("height", "width", "quadrants"),
    [
        (256, 192, [(140, 112)] * 4),
        (588, 776, [(168, 216)] * 16),
        (576, 768, [(164, 216)] * 16),  # quadrants of 300x400 have 120,000 pixels already
        (571, 763, [(296, 392)] * 4),
    ],
)
def test_chop_calls_the_network_as_released(height: int, width: int, quadrants: list[tuple[int, int]]) -> None:
    sizes: list[tuple[int, ...]] = []

    def forward(x: Tensor) -> Tensor:
        sizes.append(tuple(x.shape[-2:]))
        return x

    tiled(forward, torch.empty(1, 3, height, width), 1, "chop")
    assert sizes == quadrants


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (20, 20), (7, 19)])
def test_chop_of_an_image_within_the_overlap_is_the_whole(height: int, width: int) -> None:
    network, x = Global(), image(height, width)
    torch.testing.assert_close(tiled(network, x, SCALE, "chop"), network(x))


def test_output_is_clamped_and_rounded() -> None:
    levels = torch.tensor([[[-40.0, 0.49, 0.51, 254.49], [254.51, 255.0, 300.0, 100.4]]]).expand(3, 2, 4)
    out = to_image(levels / 255)
    assert out.dtype == np.uint8
    assert out[..., 1].tolist() == [[0, 0, 1, 254], [255, 255, 255, 100]]


def test_8_bit_images_survive_the_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    x = to_tensor(np.stack([levels, levels[::-1]]), "cpu")
    assert x.shape == (2, 3, 16, 16)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(to_image(x[0]), levels)
    np.testing.assert_array_equal(to_image(x[1]), levels[::-1])


def test_rows_columns_and_colours_keep_their_places() -> None:
    class Nearest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.repeat_interleave(SCALE, -2).repeat_interleave(SCALE, -1)

    lr = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    for tiling in ("whole", "chop", "tile:4+1"):
        np.testing.assert_array_equal(resolve(Nearest(), tiling=tiling), lr.repeat(SCALE, axis=0).repeat(SCALE, axis=1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    y = torch.zeros(1, 3, 14, 18)
    y[0, 1, 2, 3] = bad
    with pytest.raises(FloatingPointError, match="the network returned values that are not finite"):
        resolve(Fixed(y))


def test_no_graph_is_kept() -> None:
    flags = []

    class Asking(Fixed):
        def forward(self, _: Tensor) -> Tensor:
            flags.append((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
            return self.y

    resolve(Asking(torch.zeros(1, 3, 14, 18)))
    assert flags == [(True, False)]


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_convolutions(precision: str, dtype: torch.dtype) -> None:
    dtypes = []
    network = Local().float()
    network.layers[0].register_forward_hook(lambda _, __, out: dtypes.append(out.dtype))
    low = resolve(network, precision=precision)
    assert dtypes == [dtype]
    assert np.abs(low.astype(int) - resolve(network)).max() <= 2


def turned(x: Tensor, turn: int) -> Tensor:
    """One of the eight turns of a square, by `rot90` and a flip, which is not how the ensemble makes them."""
    return torch.rot90(x.flip(-1) if turn >= 4 else x, turn % 4, (-2, -1))


def turned_back(y: Tensor, turn: int) -> Tensor:
    upright = torch.rot90(y, -(turn % 4), (-2, -1))
    return upright.flip(-1) if turn >= 4 else upright


def test_the_self_ensemble_is_the_mean_over_the_eight_turns() -> None:
    network, x = Global(), image(11, 14)
    expected = torch.stack([turned_back(network(turned(x, turn)), turn) for turn in range(8)]).mean(dim=0)
    torch.testing.assert_close(ensembled(network, x), expected)
    assert not torch.allclose(network(x), expected)


def test_a_network_that_turns_with_its_input_answers_alike_with_and_without_ensemble() -> None:
    def big(x: Tensor) -> Tensor:
        return x.repeat_interleave(SCALE, -2).repeat_interleave(SCALE, -1)

    x = image(5, 8)
    torch.testing.assert_close(ensembled(big, x), big(x))


def test_each_turned_copy_is_tiled_and_the_mean_is_rounded_once() -> None:
    network, sizes = Local().float(), []
    network.layers[0].register_forward_hook(lambda _, args, __: sizes.append(tuple(args[0].shape[-2:])))
    both = resolve(network, tiling="tile:5+0", self_ensemble=True)
    assert sorted(set(sizes)) == [(2, 4), (2, 5), (4, 2), (4, 5), (5, 2), (5, 4), (5, 5)]
    lr = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    with torch.inference_mode():
        mean = ensembled(lambda part: tiled(network, part, SCALE, "tile:5+0"), to_tensor(lr[None], "cpu"))
    np.testing.assert_array_equal(both, to_image(mean[0]))
