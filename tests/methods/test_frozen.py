"""Frozen draws: a model that hashes alike at every forward, wherever and in whatever precision it runs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import build_attention
from methods.bucketed import BucketedAttention
from methods.interface import tokens
from methods.parts.assign import Layout
from methods.parts.draws import Axes

DRAWN = {
    "spherical": {"assign": "spherical"},
    "superbit": {"assign": "superbit"},
    "flyhash": {"assign": "flyhash", "hash_length": 0},
    "centred": {"assign": "flyhash", "centred": True},
    "random": {"assign": "random"},
}
every = pytest.mark.parametrize("name", DRAWN)


def attention(name: str, **settings: Any) -> BucketedAttention:
    torch.manual_seed(0)
    sizes = {"chunk_size": 4, "n_hashes": 2, "reduction": 1}
    module = build_attention("nlsa", 16, **sizes, **{"draw": "frozen", **DRAWN[name], **settings})
    assert isinstance(module, BucketedAttention)
    return module


def image(height: int = 12, width: int = 11) -> Tensor:
    return torch.randn(2, 16, height, width, generator=torch.Generator().manual_seed(height * width))


def codes_of(module: BucketedAttention, x: Tensor) -> Tensor:
    """The codes of `x` itself as the embedding, so that the precision of the weights does not matter."""
    return module.recipe.assign.codes(module.layers, tokens(x), Layout(*x.shape[-2:], 4))


@every
def test_codes_do_not_depend_on_the_global_generator_nor_touch_it(name: str) -> None:
    module, x = attention(name), image()
    torch.manual_seed(1)
    first, state = module(x), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(module(x), first)
    assert torch.equal(attention(name)(x), first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_another_draw_seed_draws_otherwise(name: str) -> None:
    x = image()
    assert not torch.equal(codes_of(attention(name), x), codes_of(attention(name, draw_seed=1), x))


@every
def test_a_network_rebuilt_from_its_weights_hashes_as_before(name: str) -> None:
    module, x = attention(name), image()
    expected = module(x)
    torch.manual_seed(5)
    rebuilt = type(module)(16, module.recipe)
    rebuilt.load_state_dict(module.state_dict())
    assert torch.equal(rebuilt(x), expected)


@every
def test_axes_have_no_keys(name: str) -> None:
    module = attention(name)
    module(image())
    assert module.state_dict().keys() == attention(name, draw="redraw").state_dict().keys()


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_axes_drawn_for_another_precision_are_the_same(name: str, dtype: torch.dtype) -> None:
    module, x = attention(name), image()
    codes_of(module, x.to(dtype))
    assert torch.equal(codes_of(module, x), codes_of(attention(name), x))


@every
@pytest.mark.parametrize("started", [False, True])
def test_a_copy_hashes_as_its_original(name: str, started: bool) -> None:
    module, x = attention(name), image()
    if started:
        module(x)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301 - our own
        assert torch.equal(copied(x), module(x))


@every
def test_a_module_turned_to_float64_hashes_as_before(name: str) -> None:
    module, x = attention(name), image()
    expected = codes_of(module, x)
    assert torch.equal(codes_of(module.to(torch.float64), x), expected)
    torch.testing.assert_close(module(x.double()).float(), attention(name)(x), rtol=1e-4, atol=1e-5)


@every
def test_a_module_once_in_bfloat16_hashes_as_before(name: str) -> None:
    module, x = attention(name), image()
    expected = codes_of(module, x)
    assert torch.equal(codes_of(module.bfloat16().float(), x), expected)


@every
def test_the_default_precision_does_not_change_the_draw(name: str) -> None:
    expected = codes_of(attention(name), image())
    module, x = attention(name), image()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(codes_of(module, x), expected)
    finally:
        torch.set_default_dtype(torch.float32)


@every
def test_each_size_has_axes_of_its_own_whatever_came_before(name: str) -> None:
    module, large = attention(name), image(14, 9)
    codes_of(module, image())
    assert torch.equal(codes_of(module, large), codes_of(attention(name), large))
    assert torch.equal(codes_of(module, image()), codes_of(attention(name), image()))


@every
def test_axes_first_drawn_in_inference_serve_training(name: str) -> None:
    module, x = attention(name), image().requires_grad_()
    with torch.inference_mode():
        expected = module(x)
    out = module(x)
    out.sum().backward()
    torch.testing.assert_close(out, expected)
    assert x.grad is not None
    assert x.grad.isfinite().all()


@every
def test_axes_are_kept_once_for_each_size_and_not_for_one_bucket(name: str) -> None:
    module = attention(name)
    keeper = module.layers["axes"]
    assert isinstance(keeper, Axes)
    for size, count in (((1, 7), 0), ((12, 11), 1), ((12, 11), 1), ((14, 9), 2), ((12, 11), 2)):
        module(image(*size))
        assert len(keeper.kept) == count


@every
def test_images_of_a_batch_do_not_see_each_other(name: str) -> None:
    module, x = attention(name), image()
    torch.testing.assert_close(module(x), torch.cat([module(x[:1]), module(x[1:])]))
