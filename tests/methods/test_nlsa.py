"""NLSA as a user meets it: its hash, its draws, and its behaviour on batches and on small images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from methods import build_attention
from methods.parts.assign import Layout, SphericalLSH


def attention(**settings: float) -> nn.Module:
    torch.manual_seed(0)
    return build_attention("nlsa", 8, **{"chunk_size": 6, "n_hashes": 2, **settings}).double()


def image(batch: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(batch * height * width)
    return torch.randn(batch, 8, height, width, dtype=torch.float64, generator=generator)


def embedding(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def seeded(module: nn.Module, x: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return module(x)


def test_codes_are_the_nearest_of_random_directions_and_their_opposites() -> None:
    match = embedding(2, 9, 3)
    torch.manual_seed(4)
    codes = SphericalLSH(n_hashes=2).codes({}, match, Layout(3, 3, 1))
    torch.manual_seed(4)
    directions = torch.randn(1, 3, 2, 5, dtype=torch.float64)[0]
    for b in range(2):
        for r in range(2):
            for token in range(9):
                turned = [float(match[b, token] @ directions[:, r, i]) for i in range(5)]
                both = turned + [-t for t in turned]
                assert codes[b, r, token] == both.index(max(both))


def test_codes_depend_on_direction_alone_and_opposites_are_half_a_turn_apart() -> None:
    match = embedding(1, 50, 4)
    same, longer, opposite = (seeded_codes(m) for m in (match, 3 * match, -match))
    assert torch.equal(same, longer)
    assert torch.equal(opposite, (same + 5) % 10)
    assert same.unique().numel() > 5


def seeded_codes(match: Tensor) -> Tensor:
    torch.manual_seed(1)
    return SphericalLSH().codes({}, match, Layout(match.shape[1], 1, match.shape[1] // 10))


def test_rounds_draw_apart() -> None:
    codes = seeded_codes(embedding(1, 60, 4))
    assert codes.shape == (1, 4, 60)
    assert not torch.equal(codes[:, 0], codes[:, 1])


def test_output_is_fixed_by_the_seed() -> None:
    module, x = attention(), image(1, 7, 9)
    assert torch.equal(seeded(module, x, 3), seeded(module, x, 3))
    assert not torch.equal(seeded(module, x, 3), seeded(module, x, 4))


def test_images_of_a_batch_do_not_see_each_other() -> None:
    module, x = attention(), image(3, 7, 9)
    together = seeded(module, x, 5)
    alone = torch.cat([seeded(module, x[i : i + 1], 5) for i in range(3)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (2, 3), (1, 11)])
def test_fewer_tokens_than_two_chunks_share_a_bucket_without_a_draw(height: int, width: int) -> None:
    module, x = attention(), image(2, height, width)
    first, second = (seeded(module, x, seed) for seed in (0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    state = torch.get_rng_state()
    module(x)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_chunks_of_tokens_are_hashed() -> None:
    state = torch.get_rng_state()
    attention()(image(1, 3, 4))
    assert not torch.equal(torch.get_rng_state(), state)


def test_every_parameter_learns() -> None:
    module, x = attention(), image(1, 5, 5)
    module(x).square().sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0} == {
        "conv_match.0.weight",
        "conv_match.0.bias",
        "conv_assembly.0.weight",
        "conv_assembly.0.bias",
    }


def test_res_scale_scales_what_is_added() -> None:
    x = image(1, 4, 4)
    one, tenth = (seeded(attention(res_scale=scale), x, 2) - x for scale in (1.0, 0.1))
    torch.testing.assert_close(0.1 * one, tenth)
