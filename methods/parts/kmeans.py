"""Assignment by k-means, the learnable sparse pattern of LCoA.

Means are those of a whole batch: where several processes share one, what each has is added up.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F  # noqa: N812 - the usual name

from methods.parts import Layers, Sizes
from methods.parts.assign import Assign, Layout
from methods.parts.score import keys
from methods.settings import require_choice, require_positive

FIRST_ITERATIONS = 10
UPDATES = ("frozen", "ema")


@dataclasses.dataclass(frozen=True, kw_only=True)
class KMeans(Assign):
    """The nearest of `n_clusters` means: `code = argmax_c m/|m| . means_c = argmax_c m . means_c`; LCoAN, 2024.

    The first forward ever finds the means (`Means.start`). With `update_means` "frozen" they stay as they are, as
    released; with "ema" each training forward moves them, `means = ema_decay * means + (1 - ema_decay) * step`, as
    the paper describes, `step` being one iteration of spherical k-means on the batch.
    """

    n_hashes: int = 1
    n_clusters: int = 128
    update_means: str = "frozen"
    ema_decay: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "n_clusters")
        require_choice("update_means", self.update_means, UPDATES)
        if not 0 <= self.ema_decay <= 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, not {self.ema_decay}")

    def layers(self, sizes: Sizes) -> dict[str, nn.Module]:
        """The means, under `kmeans`."""
        return {"kmeans": Means(self.n_hashes, self.n_clusters, sizes.match)}

    def codes(self, layers: Layers, match: Tensor, layout: Layout) -> Tensor:  # noqa: ARG002 - clusters, not hashes
        """The nearest mean of each token; the means are found or moved first where that is due."""
        kmeans = layers["kmeans"]
        assert isinstance(kmeans, Means)
        if not kmeans.started:
            kmeans.start(match.flatten(0, 1))
        if kmeans.training and self.update_means == "ema":
            kmeans.move(keys(match).flatten(0, 1), self.ema_decay)
        return kmeans.nearest(match)


class Means(nn.Module):
    """Buffers `means [r c d]` and `initted`, with spherical k-means on tokens `[t d]` of a whole batch."""

    means: Tensor
    initted: Tensor

    def __init__(self, rounds: int, clusters: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(rounds, clusters, channels))
        self.register_buffer("initted", torch.tensor(False))
        self.started = False
        """What `initted` says, known without reading a tensor, which would stall a GPU at every forward."""

    def nearest(self, tokens: Tensor) -> Tensor:
        """Codes `[b r l]` of tokens `[b l d]` of any norm: the mean with the largest inner product."""
        return torch.einsum("bld,rcd->brlc", tokens, self.means.to(tokens)).argmax(dim=-1)

    @torch.no_grad()
    def start(self, tokens: Tensor) -> None:
        """Ten iterations from tokens picked at random, the same for every round, norms left as they are."""
        count, clusters = len(tokens) * _ranks(), self.means.shape[1]
        if count >= clusters:
            picked = torch.randperm(count, device=tokens.device)[:clusters]
        else:
            picked = torch.randint(0, count, (clusters,), device=tokens.device)
        self.means.copy_(_rows(tokens.to(self.means), picked).expand_as(self.means))
        for _ in range(FIRST_ITERATIONS):
            self.means.copy_(self.step(tokens))
        self.initted.fill_(True)
        self.started = True

    @torch.no_grad()
    def move(self, tokens: Tensor, decay: float) -> None:
        """An exponential average with one iteration on `tokens`."""
        self.means.lerp_(self.step(tokens), 1 - decay)

    def step(self, tokens: Tensor) -> Tensor:
        """New means `[r c d]`: the unit-norm sums of the tokens nearest to each; an empty cluster keeps its mean."""
        tokens = tokens.to(self.means)
        codes = self.nearest(tokens[None])[0]
        rounds = torch.arange(len(codes), device=codes.device)[:, None]
        copies = tokens.expand(len(codes), -1, -1)
        sums = torch.zeros_like(self.means).index_put_((rounds, codes), copies, accumulate=True)
        members = torch.zeros_like(self.means[..., 0]).scatter_add_(1, codes, torch.ones_like(codes, dtype=sums.dtype))
        sums, members = _summed(sums), _summed(members)
        return torch.where(members[..., None] > 0, F.normalize(sums, dim=-1), self.means)

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self.started = not self.initted.is_meta and bool(self.initted)


def _ranks() -> int:
    """How many processes share the batch: those of PyTorch's default process group, if this one has joined it."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _summed(each: Tensor) -> Tensor:
    """The sum of `each` over the processes that share the batch."""
    if _ranks() > 1:
        distributed.all_reduce(each)
    return each


def _rows(tokens: Tensor, picked: Tensor) -> Tensor:
    """Rows `picked` of the tokens of the whole batch, of which each process holds one stretch, all as long."""
    if _ranks() == 1:
        return tokens[picked]
    here = picked - distributed.get_rank() * len(tokens)
    inside = (here >= 0) & (here < len(tokens))
    return _summed(tokens[here.clamp(0, len(tokens) - 1)].masked_fill(~inside[:, None], 0.0))
