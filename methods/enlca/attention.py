"""Kernel attention with random features, and the contrastive loss that makes it sharp in training.

`y = phi(q) [phi(k)^T v] / (phi(q) . sum phi(k))`, where `phi(u) = m^-1/2 (exp(P u - |u|^2 / 2) + 1e-4)` has inner
products near `exp(q . k)`: O(n m c) time and O(n m) memory. Training also computes the exact scores of all
pairs for the loss, O(n^2).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.enlca.fused import FEATURE_FLOOR, NORM_FLOOR, kernel_attention_map
from methods.interface import (
    BACKENDS,
    Carry,
    Conv2d,
    Look,
    NonLocal,
    feature_map,
    full_precision,
    reduced,
    tokens,
    tokens_asked,
)
from methods.parts import Sizes
from methods.parts.fuse import FUSES, Fuse, ResidualAdd
from methods.settings import choice, require_choice, require_positive

RATIO_FLOOR = 1e-6
RELEVANT, IRRELEVANT = slice(0, 15), slice(50, 65)
"""Ranks, from the largest score, of the keys a query should be close to and far from."""
MARGIN = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class KernelRecipe:
    """`n_features` random features; queries and keys of length `sqrt(amplification)`.

    From the share `contrastive_from` of a training on, `contrastive_weight` times the contrastive loss joins the loss;
    weight 0 leaves it out. Every `redraw_every` training steps the projection is drawn anew; 0: never.
    `backend` "plain" writes every step out; "fused" gives the same in blocks (`methods.enlca.fused`).
    """

    fuse: Fuse = choice(FUSES, keep=("res_scale",), default=ResidualAdd())
    reduction: int = 4
    n_features: int = 128
    amplification: float = 6.0
    contrastive_weight: float = 1e-3
    contrastive_from: float = 0.1
    redraw_every: int = 640
    backend: str = "plain"

    def __post_init__(self) -> None:
        require_positive(self, "reduction", "n_features")
        require_choice("backend", self.backend, BACKENDS)
        for name in ("contrastive_weight", "contrastive_from", "redraw_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, not {getattr(self, name)}")
        if self.amplification <= 0:
            raise ValueError(f"amplification must be above 0, not {self.amplification}")

    def build(self, channels: int) -> NonLocal:
        """The attention module for `channels` channels.

        Raises:
            ValueError: the reduction leaves no channel for queries and keys.
        """
        return KernelAttention(channels, self)


class KernelAttention(NonLocal):
    """Keys `conv_match1.0`, `conv_match2.0`, `conv_assembly.0`, and the buffer `attn_fn.projection_matrix`."""

    def __init__(self, channels: int, recipe: KernelRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        match = reduced(channels, recipe.reduction)
        self.conv_match1 = nn.Sequential(Conv2d(channels, match, 1))
        self.conv_match2 = nn.Sequential(Conv2d(channels, match, 1))
        self.conv_assembly = nn.Sequential(Conv2d(channels, channels, 1))
        self.attn_fn = RandomFeatures(recipe.n_features, match)
        for name, layer in recipe.fuse.layers(Sizes(channels, match, 1, 1)).items():
            self.add_module(name, layer)
        self.contrastive = recipe.contrastive_weight > 0
        self.contrastive_loss: Tensor | None = None
        """Of the last training forward, not weighted."""

    def forward(self, x: Tensor, carry: Carry | None = None) -> Tensor:  # noqa: ARG002 - nothing is shared
        """`x [b c h w] -> y [b c h w]`.

        Raises:
            ValueError: in training, too few positions for the contrastive loss.
        """
        merged = self._written_out(x) if self.recipe.backend == "plain" else self._on_maps(x)
        return self.recipe.fuse.fuse(self.layers, x, merged)

    def _written_out(self, x: Tensor) -> Tensor:
        query, key = self.matches(x)
        self.contrastive_loss = contrastive_loss(query, key) if self._contrasts else None
        return feature_map(kernel_attention(self.attn_fn(query), self.attn_fn(key), tokens(self.conv_assembly(x))), x)

    def _on_maps(self, x: Tensor) -> Tensor:
        query, key, value = (f(x).flatten(2) for f in (self.conv_match1, self.conv_match2, self.conv_assembly))
        long = (self._long(each.transpose(1, 2)) for each in (query, key))
        self.contrastive_loss = contrastive_loss(*long) if self._contrasts else None
        projection, amplification = self.attn_fn.projection_matrix, self.recipe.amplification
        return kernel_attention_map(query, key, value, projection, amplification).view_as(x)

    @property
    def _contrasts(self) -> bool:
        return self.training and self.contrastive

    def matches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys `[b l d]`, all of length `sqrt(amplification)`."""
        return self._long(tokens(self.conv_match1(x))), self._long(tokens(self.conv_match2(x)))

    def _long(self, match: Tensor) -> Tensor:
        return math.sqrt(self.recipe.amplification) * F.normalize(match, dim=-1, eps=NORM_FLOOR)

    @torch.no_grad()
    def look(self, x: Tensor, queries: Tensor, carry: Carry | None = None) -> Look:  # noqa: ARG002 - nothing is shared
        """`phi(q) . phi(k)` over its sum; features are positive, so every key is reached."""
        query, key = self.matches(x)
        query = query[:, tokens_asked(queries, x)]
        weights = kernel_weights(self.attn_fn(query), self.attn_fn(key))
        return Look(weights, query @ key.transpose(1, 2), torch.ones_like(weights, dtype=torch.bool))

    def begin_step(self, step: int, steps: int) -> None:
        """Turn the contrastive loss on when it is due, and draw the projection anew when that is."""
        recipe = self.recipe
        self.contrastive = recipe.contrastive_weight > 0 and step >= recipe.contrastive_from * steps
        if recipe.redraw_every and step and step % recipe.redraw_every == 0:
            self.attn_fn.redraw()

    def training_loss(self) -> Tensor | None:
        """The weighted contrastive loss."""
        return None if self.contrastive_loss is None else self.recipe.contrastive_weight * self.contrastive_loss


class RandomFeatures(nn.Module):
    """Tokens `[b l d]` to positive features `[b l m]`, by the buffer `projection_matrix [m d]`."""

    projection_matrix: Tensor

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("projection_matrix", orthogonal_gaussian(features, channels))

    def forward(self, u: Tensor) -> Tensor:
        """`m^-1/2 (exp(P u - |u|^2 / 2) + 1e-4)`."""
        projection = self.projection_matrix.to(u)
        exponent = u @ projection.T - u.square().sum(dim=-1, keepdim=True) / 2
        return (exponent.exp() + FEATURE_FLOOR) / math.sqrt(len(projection))

    @torch.no_grad()
    def redraw(self) -> None:
        """Another projection from the global generator."""
        features, channels = self.projection_matrix.shape
        self.projection_matrix.copy_(orthogonal_gaussian(features, channels))


def kernel_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`query [b l m]`, `key [b l m]`, both positive, `value [b l c]` to `[b l c]`, never holding a score matrix.

    In float32 at least, also under autocast: sums over all keys pass what float16 can hold.
    """
    wide = torch.promote_types(value.dtype, torch.float32)
    with full_precision(value):
        query, key, values = query.to(wide), key.to(wide), value.to(wide)
        normaliser = query @ key.sum(dim=1).unsqueeze(-1)
        out: Tensor = query @ (key.transpose(1, 2) @ values) / normaliser
    return out.to(value.dtype)


def kernel_weights(query: Tensor, key: Tensor) -> Tensor:
    """The weights `[b q l]` by which `kernel_attention` sums values: `query [b q m]`, `key [b l m]`, both positive."""
    wide = torch.promote_types(query.dtype, torch.float32)
    with full_precision(query):
        products = query.to(wide) @ key.to(wide).transpose(1, 2)
    return products / products.sum(dim=-1, keepdim=True)


def contrastive_loss(query: Tensor, key: Tensor) -> Tensor:
    """`mean(relu(1 - log(mean(relevant) / (mean(irrelevant) + 1e-6))))` over queries.

    `exp(q . k)` sorted from the largest: the first 15 are relevant, those of rank 50 to 64 irrelevant.

    Raises:
        ValueError: there are fewer than 65 positions.
    """
    if query.shape[1] < IRRELEVANT.stop:
        raise ValueError(
            f"the contrastive loss compares keys up to rank {IRRELEVANT.stop}: it needs an input of at least "
            f"{IRRELEVANT.stop} positions, not {query.shape[1]}"
        )
    scores = (query @ key.transpose(1, 2)).exp().sort(dim=-1, descending=True).values
    relevant, irrelevant = (scores[..., ranks].mean(dim=-1) for ranks in (RELEVANT, IRRELEVANT))
    return (MARGIN - (relevant / (irrelevant + RATIO_FLOOR)).log()).relu().mean()


def orthogonal_gaussian(features: int, channels: int) -> Tensor:
    """`[m d]`: stacked random orthogonal `d x d` matrices, cut to `m` rows, each as long as a Gaussian vector.

    As released, the signs are those of the decomposition, not random, so rows lean to one side and the features do not
    tend to the exact exponential as `m` grows.
    """
    blocks = [torch.linalg.qr(torch.randn(channels, channels)).Q.T for _ in range(math.ceil(features / channels))]
    lengths = torch.randn(features, channels).norm(dim=1, keepdim=True)
    rows: Tensor = lengths * torch.cat(blocks)[:features]
    return rows
