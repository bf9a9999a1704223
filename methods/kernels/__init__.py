"""Bucketed attention on a GPU: the third form of `methods.fused`, as kernels in Triton that hold no logits at all.

A program takes a block of queries (or, for the gradients of keys and values, of keys) to the registers of one
multiprocessor, walks through the three chunks of the window by the seats of their tokens, and forgets each block of
logits when it has weighed the values (Dao et al., FlashAttention, NeurIPS 2022). Rounds follow each other and are
merged where they arrive, so nothing is held by round. No two programs write to one place: results do not vary from run
to run.

This package can be imported without Triton, which comes with PyTorch for CUDA.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from methods.kernels.sizes import WIDEST, padded
from methods.parts.routing import Routing
from methods.parts.score import keys

if TYPE_CHECKING:  # methods.fused sends its tokens here
    from methods.fused import Tokens

OLDEST = (8, 0)
"""The compute capability from which on the kernels are compiled and checked to fit."""
ROOMY = frozenset({(8, 0), (9, 0), (10, 0)})
"""The compute capabilities with shared memory enough for any width that is supported; others have 99 KB."""
ANYWHERE = 320
"""Channels of match and value together, when they are padded, for which 99 KB are enough."""


def available() -> bool:
    """Whether Triton is installed."""
    return importlib.util.find_spec("triton") is not None


def supported(tokens: Tokens) -> bool:
    """Whether the kernels are made for tokens of this precision (float32, bfloat16, float16), width, and on this GPU.

    Others are for the blockwise twin: float64, more than `WIDEST` channels, a GPU older than `OLDEST` or not of NVIDIA.
    """
    known = tokens.value.dtype in {torch.float32, torch.bfloat16, torch.float16}
    narrow = max(tokens.match.shape[-1], tokens.value.shape[-1]) <= WIDEST
    return known and narrow and (not tokens.value.is_cuda or _made_for(tokens))


def windowed_attention_on_gpu(tokens: Tokens, routing: Routing) -> Tensor:
    """`y [b l e]`: every token attends to its windows in all rounds of `routing`.

    Products are of numbers in the precision of the values, and summed in float32; so is everything between them. The
    result has the precision of the values. It can be differentiated once.
    """
    kind = tokens.value.dtype
    query, key, value = (x.to(kind).contiguous() for x in (tokens.match, keys(tokens.match), tokens.value))
    bias = None if tokens.bias is None else tokens.bias.contiguous()
    seats = routing.seats.contiguous()
    return cast("Tensor", _Attention.apply(query, key, value, bias, seats))  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """With a backward pass of its own, which needs the log mass of each token and no weights."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, seats: Tensor) -> Tensor:
        """The output in the precision of the values; kept in float32, with the inputs and the log mass.

        Rounded to halves, it could double the error of the gradients of keys.
        """
        from methods.kernels.forward import attended  # noqa: PLC0415 - Triton is not everywhere

        with torch.cuda.device_of(value):
            out, mass = attended(query, key, value, bias, seats)
        ctx.save_for_backward(query, key, value, bias, seats, out, mass)
        return out.to(value.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value and bias, each in the precision of what it belongs to."""
        from methods.kernels.backward import gradients  # noqa: PLC0415 - Triton is not everywhere

        *tokens, seats, out, mass = ctx.saved_tensors
        told = (gradient * out).sum(dim=-1)
        with torch.cuda.device_of(out):
            found = gradients(tuple(tokens), seats, gradient.contiguous(), mass, told)
        return (*(x if x is None else x.to(y.dtype) for x, y in zip(found, tokens, strict=True)), None)


def _made_for(tokens: Tokens) -> bool:
    """Whether the GPU of `tokens` is one, and has the shared memory for so many channels."""
    gpu = torch.cuda.get_device_capability(tokens.value.device)
    channels = padded(tokens.match.shape[-1]) + padded(tokens.value.shape[-1])
    return torch.version.hip is None and gpu >= OLDEST and (gpu in ROOMY or channels <= ANYWHERE)
