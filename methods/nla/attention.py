"""Dense non-local attention: every position attends to every other. O(n^2) time; memory O(n^2) plain, O(n) fused."""

from __future__ import annotations

import dataclasses

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.interface import Conv2d, NonLocal, feature_map, reduced, tokens
from methods.settings import require_choice, require_positive

BACKENDS = ("plain", "fused")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseRecipe:
    """`backend` "plain" writes the softmax out; "fused" asks PyTorch's exact kernel for the same function."""

    reduction: int = 2
    res_scale: float = 1.0
    backend: str = "plain"

    def __post_init__(self) -> None:
        require_positive(self, "reduction")
        require_choice("backend", self.backend, BACKENDS)

    def build(self, channels: int) -> NonLocal:
        """The attention module for `channels` channels.

        Raises:
            ValueError: the reduction leaves no channel for queries and keys.
        """
        return DenseAttention(channels, self)


class DenseAttention(NonLocal):
    """`x + res_scale * softmax(Q K^T) V`, logits not scaled; Q, K, V by 1x1 convolutions with PReLU."""

    def __init__(self, channels: int, recipe: DenseRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        match = reduced(channels, recipe.reduction)
        self.conv_match1 = _projection(channels, match)
        self.conv_match2 = _projection(channels, match)
        self.conv_assembly = _projection(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`x [b c h w] -> y [b c h w]`."""
        query, key, value = (tokens(f(x)) for f in (self.conv_match1, self.conv_match2, self.conv_assembly))
        attention = plain_attention if self.recipe.backend == "plain" else fused_attention
        return x + self.recipe.res_scale * feature_map(attention(query, key, value), x)


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`softmax(Q K^T) V` for `[b l d]`, the score matrix held in memory."""
    return (query @ key.transpose(1, 2)).softmax(dim=-1) @ value


def fused_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same function through `scaled_dot_product_attention`, which never holds the score matrix.

    Its fused kernels ask that queries, keys and values have as many channels each: the short ones are padded with
    zeros, which changes no inner product. They also ask for a head axis, and for the channels of a token to lie side
    by side; without any of these PyTorch quietly takes the plain road.
    """
    width = max(query.shape[-1], value.shape[-1])
    q, k, v = (F.pad(t, (0, width - t.shape[-1])).contiguous().unsqueeze(1) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).squeeze(1)[..., : value.shape[-1]]


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Conv2d(inputs, outputs, 1), nn.PReLU())
