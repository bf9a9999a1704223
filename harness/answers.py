"""What networks answer to images, and what is kept of it for whoever asks the same again.

Attention's harm compares two answers that evaluations have asked for already. So an evaluation keeps its answers beside
the store, as PNG, until the run that wants them for a comparison has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from datasets.resize import Image
from datasets.sets import Pair, read_image
from harness.cache import whole
from harness.inference import How, super_resolve
from harness.records import Task, fingerprint
from harness.sources import code_version

NETWORK = ("method", "settings", "scale", "code", "file", "weights")
"""What a task's specification says of its network."""
WAY = ("dataset", "data", "degradation", "noise_seed", "border", "tiling", "precision", "self_ensemble")
"""What it says of the images, and of how the network is asked, but for the seed of random hashes."""
MOST_BYTES = 4 * 2**30
"""A folder of answers larger than this takes no more of them: they can be asked for again."""


class Asked(NamedTuple):
    """A network asked in a way about a set, by the hash of all this; and the seed of its hashes, None for any."""

    key: str
    seed: int | None

    @property
    def with_any_seed(self) -> Asked:
        """The same whatever the seed."""
        return self._replace(seed=None)


class Shelf(NamedTuple):
    """A folder for the answers of one network asked in one way; what it drew hashes for is kept too if `drawn`."""

    folder: Path
    drawn: bool


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers of `network` on `device`, asked as `spec` says; what `shelf` holds is not asked for again.

    An answer for which the network drew no random number is kept for every seed of its hashes.
    """

    network: nn.Module
    spec: Mapping[str, Any]
    device: str
    shelf: Shelf | None = None

    def to(self, pair: Pair, scale: int) -> Image:
        """What the network makes of one image.

        Raises:
            FloatingPointError: the network returned a value that is not finite; the message names the image.
            ValueError: the network returned another size.
        """
        if self.shelf is None:
            return answer(self.network, pair, scale, self.spec, self.device)
        files = [self.shelf.folder / seed / f"{pair.name}.png" for seed in ("any", str(self.spec["hash_seed"]))]
        for file in files:
            with contextlib.suppress(ValueError):  # none there yet, or damaged
                if (kept := read_image(file)).shape == pair.hr.shape:
                    return kept
        torch.manual_seed(self.spec["hash_seed"])
        seeded = _generators(self.device)
        sr = answer(self.network, pair, scale, self.spec, self.device)
        drew = not torch.equal(seeded, _generators(self.device))
        if self.shelf.drawn or not drew:
            with contextlib.suppress(OSError):  # a full disk, say: it can be asked for again
                _keep(sr, files[drew])
        return sr


def folder(cache: Path) -> Path:
    """Where answers are kept in the folder of a cache."""
    return cache / "answers"


def shelves(task: Task, cache: Path, wanted: frozenset[Asked]) -> list[Shelf | None]:
    """A shelf for what `task` asks of each network; None where nobody else wants it, or all shelves are full."""
    full = _bytes_in(folder(cache)) >= MOST_BYTES
    return [
        None if full or asked.with_any_seed not in wanted else Shelf(folder(cache) / asked.key, asked in wanted)
        for asked in asked_by(task)
    ]


def shared(tasks: Iterable[Task]) -> frozenset[Asked]:
    """What more than one of `tasks` asks for: with its seed if several ask with that, without if with any."""
    counts = Counter(asked for task in tasks for exact in asked_by(task) for asked in (exact, exact.with_any_seed))
    return frozenset(asked for asked, count in counts.items() if count > 1)


def asked_by(task: Task) -> tuple[Asked, ...]:
    """What `task` asks of its network, and of its twin; nothing if it scores nothing."""
    if task.kind == "harm":
        return _asked(task.spec, task.spec), _asked(task.spec, task.spec["twin"])
    return (_asked(task.spec, task.spec),) if task.kind == "evaluate" else ()


def answer(network: nn.Module, pair: Pair, scale: int, spec: Mapping[str, Any], device: str) -> Image:
    """What `network` makes of one image, asked as `spec` says.

    The generator is seeded by `spec["hash_seed"]` before each image, so that an image's score depends neither on
    its neighbours nor on their order.

    Raises:
        FloatingPointError: the network returned a value that is not finite; the message names the image.
        ValueError: the network returned another size.
    """
    torch.manual_seed(spec["hash_seed"])
    how = How(**{name: spec[name] for name in ("tiling", "precision", "self_ensemble")})
    try:
        sr = super_resolve(network.eval(), pair.lr, how, scale=scale, device=device)
    except (FloatingPointError, ValueError) as error:
        kind = FloatingPointError if isinstance(error, FloatingPointError) else ValueError
        raise kind(f"{pair.name}: {error}") from error
    if sr.shape != pair.hr.shape:
        raise ValueError(f"{pair.name}: the network returned {sr.shape}, expected {pair.hr.shape}")
    return sr


def _asked(spec: Mapping[str, Any], network: Mapping[str, Any]) -> Asked:
    """What a task of this `spec` asks of `network`, which is described in a specification."""
    told = {name: network[name] for name in NETWORK if name in network} | {name: spec[name] for name in WAY}
    return Asked(fingerprint({**told, "answers_code": code_version(__name__)}), spec["hash_seed"])


def _bytes_in(shelves: Path) -> int:
    """What is kept; nothing if another driver that shares the folder takes it away meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return sum(file.stat().st_size for file in shelves.rglob("*.png"))
    return 0


def _generators(device: str) -> Tensor:
    """The state of all that a network on `device` may draw from."""
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _keep(sr: Image, file: Path) -> None:
    from PIL import Image as Pillow  # noqa: PLC0415 - encoding is needed by few runs

    with whole(file) as partial:
        Pillow.fromarray(sr).save(partial, format="PNG", compress_level=1)
