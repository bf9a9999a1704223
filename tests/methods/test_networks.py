"""Whole networks: sizes at every scale, where attention stands, and what the trunk computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods import build_network, method
from methods.catalogue import NETWORKS
from methods.interface import NonLocal
from methods.trunks import RGB_MEAN


def small(name: str, scale: int, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"n_feats": 8, "n_resblocks": 2, "n_resgroups": 2}
    known = method(name).settings()
    return build_network(name, scale, **{**{k: v for k, v in sizes.items() if k in known}, **settings})


def attention_places(network: nn.Module) -> list[int]:
    return [place for place, module in enumerate(network.body) if isinstance(module, NonLocal)]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_output_is_scale_times_the_size(name: str, scale: int) -> None:
    network = small(name, scale)
    for batch, height, width in ((1, 5, 13), (2, 17, 4)):
        out = network(torch.rand(batch, 3, height, width))
        assert out.shape == (batch, 3, scale * height, scale * width)
        assert out.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_a_batch_do_not_see_each_other(name: str) -> None:
    network, x = small(name, 2).double(), torch.rand(2, 3, 20, 17, dtype=torch.float64)
    outputs = []
    for part in (x, x[:1], x[1:]):
        torch.manual_seed(1)
        outputs.append(network(part))
    torch.testing.assert_close(outputs[0], torch.cat(outputs[1:]))


@pytest.mark.parametrize(
    ("settings", "places"),
    [
        ({"n_resblocks": 32}, [0, 9, 18, 27, 36]),
        ({"n_resblocks": 4}, [0]),
        ({"n_resblocks": 8}, [0, 9]),
        ({"n_resblocks": 4, "attention_every": 2}, [0, 3, 6]),
    ],
)
def test_attention_stands_first_and_after_every_eighth_block(settings: dict[str, int], places: list[int]) -> None:
    assert attention_places(small("nlsn", 2, **settings)) == places
    assert attention_places(small("edsr", 2, n_resblocks=settings["n_resblocks"])) == []


def test_res_scale_reaches_blocks_and_attention() -> None:
    network = small("nlsn", 2, res_scale=0.25)
    assert network.body[0].recipe.fuse.res_scale == 0.25
    assert {block.res_scale for block in network.body[1:-1]} == {0.25}
    assert small("nln", 2, res_scale=0.25).body[0].recipe.fuse.res_scale == 0.25


def trunk_by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """EDSR x2 with one block, written out."""

    def conv(key: str, y: Tensor) -> Tensor:
        return F.conv2d(y, state[f"{key}.weight"], state[f"{key}.bias"], padding=1)

    mean = torch.tensor(RGB_MEAN, dtype=x.dtype).view(3, 1, 1)
    f = conv("head.0", x - mean)
    block = f + 0.3 * conv("body.0.body.2", conv("body.0.body.0", f).relu())
    return conv("tail.1", F.pixel_shuffle(conv("tail.0.0", f + conv("body.1", block)), 2)) + mean


def test_trunk_computes_what_it_says() -> None:
    network, x = small("edsr", 2, n_resblocks=1, res_scale=0.3).double(), torch.rand(1, 3, 6, 7, dtype=torch.float64)
    expected = trunk_by_hand({key: tensor.double() for key, tensor in network.state_dict().items()}, x)
    # The mean colour is a float32 weight.
    torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (2, {"tail.0.0": (32, 8, 3, 3), "tail.1": (3, 8, 3, 3)}),
        (3, {"tail.0.0": (72, 8, 3, 3), "tail.1": (3, 8, 3, 3)}),
        (4, {"tail.0.0": (32, 8, 3, 3), "tail.0.2": (32, 8, 3, 3), "tail.1": (3, 8, 3, 3)}),
    ],
)
def test_upsamplers_have_the_released_keys(scale: int, expected: dict[str, tuple[int, ...]]) -> None:
    state = small("edsr", scale).state_dict()
    weights = {key.removesuffix(".weight"): tuple(t.shape) for key, t in state.items() if key.endswith(".weight")}
    assert {key: shape for key, shape in weights.items() if key.startswith("tail")} == expected


def test_the_mean_colour_is_frozen_and_all_else_learns() -> None:
    frozen = {name for name, p in small("nlsn", 2).named_parameters() if not p.requires_grad}
    assert frozen == {"sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"}


def test_the_forms_of_dense_attention_share_their_weights() -> None:
    plain, fused = (small("nln", 2, backend=backend) for backend in ("plain", "fused"))
    fused.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 8, 6)
    torch.testing.assert_close(plain(x), fused(x), rtol=0, atol=1e-6)
