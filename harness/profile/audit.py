"""The audit: every operation of a forward that no formula of multiply-adds covers, with what it touches.

Sorting, gathering, softmax and activations have no multiply-adds, and still take most of the time of hashing and
clustering methods; so their elements and bytes stand beside the MACs. And a matrix product among them would mean that
a count of MACs is wrong: those are told apart.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Container
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
FREE = frozenset(
    {
        *(aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided),
        *(aten.alias, aten.detach, aten.lift_fresh, aten._unsafe_view, aten.t_, aten.transpose_),  # noqa: SLF001 - a name
        torch.ops.prim.device,
    }
)
"""Operations that neither compute nor move anything, besides views."""
KNOWN = frozenset({"aten", "prim", "prims"})
"""Whose operations tell by their names whether they multiply matrices."""
PRODUCT = re.compile(
    r"(^|_)("
    r"\w*mm|\w*matmul|(add)?mv|addr|v?dot|inner|outer|ger|kron|einsum|tensordot|chain_matmul|multi_dot|cdist"
    r"|linear|conv|conv\dd|convolution|conv_transpose\dd|\w*attention\w*|rnn|lstm|gru|bilinear|trilinear"
    r")(_|$)"
)
"""What products of matrices are called, by the words in their names; interpolation ends in `2d` and is none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncounted:
    """All calls of one operation: elements written, bytes read and written, and whether it multiplies matrices.

    Every distinct element of an argument and of a result counts once a call, which is less than is moved: gathering
    reads some elements often.
    """

    operation: str
    calls: int
    elements: int
    moved_bytes: int
    product: bool


class Audit(TorchDispatchMode):
    """Watches operations that have no formula, views left out; to be entered before the counter, whose parts it sees.

    `counted` holds the operations with a formula.
    """

    def __init__(self, counted: Container[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counted = counted
        self._found: dict[Any, list[int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket  # noqa: SLF001 - the registry is keyed by it
        if packet not in self._counted and packet not in FREE and not _is_view(func):
            tally = self._found.setdefault(packet, [0, 0, 0])
            for place, amount in enumerate((1, _elements(out), _bytes((args, kwargs)) + _bytes(out))):
                tally[place] += amount
        return out

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """What was seen, most bytes first."""
        rows = (
            Uncounted(
                operation=str(packet), calls=calls, elements=elements, moved_bytes=moved, product=is_product(packet)
            )
            for packet, (calls, elements, moved) in self._found.items()
        )
        return tuple(sorted(rows, key=lambda row: (-row.moved_bytes, row.operation)))


def is_product(packet: Any) -> bool:
    """Whether an operation multiplies matrices by its name; of one that PyTorch does not bring along it is assumed."""
    namespace, _, name = str(packet).rpartition(".")
    return namespace not in KNOWN or bool(PRODUCT.search(name))


def _is_view(func: Any) -> bool:
    returns = func._schema.returns  # noqa: SLF001 - the only description of aliasing there is
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _elements(tree: Any) -> int:
    return sum(t.numel() for t in tree_leaves(tree) if isinstance(t, Tensor))


def _bytes(tree: Any) -> int:
    return sum(_distinct(t) * t.element_size() for t in tree_leaves(tree) if isinstance(t, Tensor))


def _distinct(tensor: Tensor) -> int:
    """Elements that exist in memory: those along an expanded axis are one and the same."""
    return math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)
