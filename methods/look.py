"""Whom the attention of a network attends to, and how much of exact attention it keeps.

Exact attention of a query is dense: the softmax of its inner products with all keys, `scores` of a `Look`. What a
method keeps of it is its recall, by count (`recall`) or by mass (`mass_recall`); both are 1 for attention that
reaches every token (softmax, random features), whatever weights it then gives.

Axis letters: b batch, q query, l token.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from methods.interface import Carry, Look, NonLocal, attention_modules


@contextlib.contextmanager
def looking(network: nn.Module, queries: Tensor) -> Iterator[dict[str, Look]]:
    """What each attention of `network` gives to the tokens `queries [q]`, by its name, of the last forward inside.

        with looking(network, queries) as looks:
            network(image)

    Each look precedes its module's forward and shows the very draw that this forward then uses: the generators are
    put back in between, so that the output is the same as if nobody looked. An attention alone is found under "".

    Raises:
        NotImplementedError: during the forward, an attention does not tell.
        ValueError: during the forward, a query is no token of the feature map.
    """
    looks: dict[str, Look] = {}
    with contextlib.ExitStack() as hooks:
        for name, module in attention_modules(network).items():
            hook = functools.partial(_note, looks, name, queries)
            hooks.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield looks


def entropy(weights: Tensor) -> Tensor:
    """`H = -sum_j w_j log2 w_j` in bits, `[b q l]` to `[b q]` in float64, with `0 log 0 = 0`: `log2 l` if uniform."""
    nats: Tensor = torch.special.entr(weights.double()).sum(dim=-1)
    return nats / math.log(2)


def recall(look: Look, top: int) -> Tensor:
    """By count: `|T and reached| / |T|`, `[b q]` in float64, `T` the `top` tokens with the largest scores.

    All tokens where there are fewer than `top`. Of equal scores, those that come first.

    Raises:
        ValueError: `top` is less than 1.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    ranked = look.scores.sort(dim=-1, descending=True, stable=True).indices
    return look.reached.gather(-1, ranked[..., :top]).double().mean(dim=-1)


def mass_recall(look: Look) -> Tensor:
    """By mass: `sum_(j reached) softmax(scores)_j`, `[b q]` in float64: what exact attention gives to those reached."""
    return (look.scores.double().softmax(dim=-1) * look.reached).sum(dim=-1)


def _note(
    looks: dict[str, Look],
    name: str,
    queries: Tensor,
    module: NonLocal,
    args: tuple[Any, ...],
    named: dict[str, Any],
) -> None:
    x, carry = _arguments(*args, **named)
    if carry is not None:
        carry.looked_at = True
    with torch.random.fork_rng([x.device] if x.is_cuda else []):
        looks[name] = module.look(x, queries, carry)


def _arguments(x: Tensor, carry: Carry | None = None) -> tuple[Tensor, Carry | None]:
    """Of an attention's forward, however they were passed."""
    return x, carry
