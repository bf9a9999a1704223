"""Assignments: which bucket each token belongs to, once per round. Codes are discrete and carry no gradient."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from methods.parts import Layers, Part, Sizes
from methods.parts.draws import Axes, draw
from methods.settings import require_choice, require_positive

MAX_BUCKETS = 128
FLY_NEURONS, FLY_THRESHOLD = 20, 0.9
DRAWS = ("redraw", "frozen")


class Layout(NamedTuple):
    """How the tokens lie: an image of `height x width` positions in row-major order, to be cut into chunks."""

    height: int
    width: int
    chunk: int

    @property
    def buckets(self) -> int:
        """Buckets for a hash: even, about one per chunk, at most 128; one when there are under two chunks."""
        return bucket_count(self.height * self.width, self.chunk)


def bucket_count(positions: int, chunk: int) -> int:
    """Buckets for `positions` tokens in chunks of `chunk`."""
    if positions < 2 * chunk:
        return 1
    chunks = positions // chunk
    return min(chunks + chunks % 2, MAX_BUCKETS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assign(Part):
    """Match embeddings `[b l d]` to bucket codes `[b r l]`, whole numbers from 0, in `r = n_hashes` rounds."""

    n_hashes: int = 4

    def __post_init__(self) -> None:
        require_positive(self, "n_hashes")

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:
        """Bucket codes of every token in every round."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawn(Assign):
    """An assignment by random axes.

    `draw` "redraw" takes them from PyTorch's global generator at every forward, as the released code does, also when
    testing; "frozen" takes them once from a generator of their own, seeded by `draw_seed`, and keeps them.
    With one bucket there is nothing to hash: all codes are 0 and nothing is drawn.
    """

    draw: str = "redraw"
    draw_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("draw", self.draw, DRAWS)

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:  # noqa: ARG002 - the axes know their size when drawn
        """A keeper of frozen axes, which has no state-dict keys."""
        return {} if self.draw == "redraw" else {"axes": Axes(self.draw_seed)}

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:
        """Codes from axes for as many buckets as `layout` asks for."""
        if layout.buckets == 1:
            return match.new_zeros((match.shape[0], self.n_hashes, match.shape[1]), dtype=torch.long)
        keeper = layers.get("axes")
        axes = keeper.drawn(self.axes, match, layout) if isinstance(keeper, Axes) else self.axes(match, layout, None)
        dtype = torch.promote_types(torch.promote_types(match.dtype, axes.dtype), torch.float32)
        return self.hashed(match.to(dtype), axes.to(dtype))

    def axes(self, match: Tensor, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """The random axes, shared by the batch."""
        raise NotImplementedError

    def hashed(self, match: Tensor, axes: Tensor) -> Tensor:
        """Codes `[b r l]` of the tokens by `axes`."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class SphericalLSH(Drawn):
    """Spherical locality-sensitive hashing: `code = argmax([m A, -m A])` with a Gaussian `A [d n/2]` per round.

    NLSN, Mei et al., CVPR 2021, after Andoni et al., NeurIPS 2015.
    """

    def axes(self, match: Tensor, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """`[d r n/2]`, standard normal."""
        shape = (1, match.shape[-1], self.n_hashes, layout.buckets // 2)
        return draw(torch.randn, shape, match, generator)[0]

    def hashed(self, match: Tensor, axes: Tensor) -> Tensor:
        """The nearest of the axes and their opposites."""
        turned = torch.einsum("bld,drn->brln", match, axes)
        return torch.cat([turned, -turned], dim=-1).argmax(dim=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperBitLSH(Drawn):
    """Super-bit hashing: `code = argmax(m A)` with an orthogonal `A [d n]` per round, and no opposites.

    Orthogonal columns while `n <= d`, orthonormal rows beyond. DLSN, Su et al., 2022, after Ji et al., NeurIPS 2012.
    The decomposition that makes them orthogonal runs on the CPU, as released.
    """

    n_hashes: int = 3

    def axes(self, match: Tensor, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """`[d r n]`: the rounds' matrices side by side."""
        rounds = [_orthogonal(match, layout.buckets, generator) for _ in range(self.n_hashes)]
        return torch.cat(rounds, dim=-1).view(match.shape[-1], self.n_hashes, layout.buckets).to(match.device)

    def hashed(self, match: Tensor, axes: Tensor) -> Tensor:
        """The nearest of the axes."""
        return torch.einsum("bld,drn->brln", match, axes).argmax(dim=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlyHash(Drawn):
    """FlyHash: `code = sum_i 2^i [m . w_i > 0]`, each `w_i` the sum of 20 sparse 0/1 columns, a tenth of them ones.

    `hash_length` bits, 0 for the fewest that can number the buckets. Columns are added before they meet a token; the
    released code adds their products with it, 20 times the work with the same result. It also computes a copy of `m`
    with its mean over channels taken off, and never uses it; `centred` does. DNLAN, after Dasgupta et al., 2017.
    """

    n_hashes: int = 3
    hash_length: int = 7
    centred: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hash_length < 0:
            raise ValueError(f"hash_length must be at least 0, not {self.hash_length}")

    def axes(self, match: Tensor, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """`[r d 20h]`, zeros and ones."""
        bits = self.hash_length or max(1, math.ceil(math.log2(layout.buckets)))
        shape = (1, self.n_hashes, match.shape[-1], FLY_NEURONS * bits)
        return draw(torch.rand, shape, match, generator)[0] > FLY_THRESHOLD

    def hashed(self, match: Tensor, axes: Tensor) -> Tensor:
        """The bits as a number, the first bit least."""
        match = match - match.mean(dim=-1, keepdim=True) if self.centred else match
        summed = axes.unflatten(-1, (-1, FLY_NEURONS)).sum(dim=-1)
        bits = torch.einsum("bld,rdk->brlk", match, summed) > 0
        place = 2 ** torch.arange(bits.shape[-1], device=bits.device)
        number: Tensor = (bits * place).sum(dim=-1)
        return number


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomBuckets(Drawn):
    """A control: buckets drawn without looking at the tokens."""

    def axes(self, match: Tensor, layout: Layout, generator: torch.Generator | None) -> Tensor:
        """`[r l]`: a bucket per position and round, each as likely as the others."""
        uniform = draw(torch.rand, (self.n_hashes, match.shape[1]), match, generator)
        return (layout.buckets * uniform).long().clamp(max=layout.buckets - 1)

    def hashed(self, match: Tensor, axes: Tensor) -> Tensor:
        """The same codes for every image of the batch."""
        return axes.long().expand(match.shape[0], -1, -1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpatialWindow(Assign):
    """A control: neighbours in space sit together. Windows of about a chunk, shifted from round to round."""

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:  # noqa: ARG002 - content does not matter
        """The window's number in row-major order; round `r` of `R` shifts the windows by `r/R` of their side."""
        side = max(1, math.isqrt(layout.chunk))
        rounds = [
            _window_codes(layout, side, shift=r * side // self.n_hashes, device=match.device)
            for r in range(self.n_hashes)
        ]
        return torch.stack(rounds).expand(match.shape[0], -1, -1)


def _window_codes(layout: Layout, side: int, *, shift: int, device: torch.device) -> Tensor:
    row = (torch.arange(layout.height, device=device) + shift) // side
    column = (torch.arange(layout.width, device=device) + shift) // side
    return (row[:, None] * (column[-1] + 1) + column).flatten()


def _orthogonal(match: Tensor, buckets: int, generator: torch.Generator | None) -> Tensor:
    wide = torch.float32 if generator else torch.promote_types(match.dtype, torch.float32)
    empty = torch.empty(match.shape[-1], buckets, dtype=wide)
    nn.init.orthogonal_(empty, generator=generator)
    return empty
