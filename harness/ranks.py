"""Several processes that train one network together, as `torchrun` starts them: who they are and what they exchange.

Each process, a rank, has its share of every batch. Gradients are averaged (`DistributedDataParallel`), so that all
ranks hold the same weights, and do what one process would do with the whole batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from harness.errors import UserError
from methods.interface import UnavailableError

PATIENCE = dt.timedelta(minutes=10)
"""How long a rank waits for the others: one may compile, or read images, for minutes. After that it is an error."""
LOST = "the connection to the other ranks is lost"
HELD: list[Any] = []
"""Every process group this process has joined, never let go. What is left of a training that failed may be the last to
hold one, and its destructor then waits for gloo's threads, one of which may wait for Python: neither ever ends."""
TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class LostRankError(RuntimeError):
    """Another rank has ended, or cannot be reached: what it was is told by whoever started it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Meeting:
    """Where the ranks of one training find each other, and which of them this is: a store of keys, and a name in it."""

    host: str = ""
    port: int = 0
    name: str = ""
    rank: int = 0
    count: int = 1


ALONE = Meeting()
"""Of one process, which needs no store."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rank:
    """This process among the `count` that `torchrun` started, and among the `local_count` on this machine.

    `hosting`: the store of keys at `host` and `port` is this process's own to start; else `torchrun` has one there.
    """

    rank: int
    count: int
    local: int
    local_count: int
    host: str
    port: int
    hosting: bool

    @classmethod
    def of_environment(cls) -> Rank | None:
        """As `torchrun` says in the environment; None where there is one process.

        Raises:
            UserError: it says half of it.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return None
        if missing := [name for name in TORCHRUN if name not in os.environ]:
            raise UserError(f"WORLD_SIZE is set, but not {', '.join(missing)}: start several processes with torchrun")
        rank, count, local, local_count = (int(os.environ[name]) for name in TORCHRUN[:4])
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        hosting = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
        return cls(rank=rank, count=count, local=local, local_count=local_count, host=host, port=port, hosting=hosting)

    def device(self, kind: str) -> str:
        """The device of this rank: its own GPU for "cuda", else the CPU.

        Raises:
            UserError: there are fewer GPUs than ranks on this machine, or a GPU is named.
        """
        if kind == "cpu":
            return kind
        if kind != "cuda":
            raise UserError(f"with torchrun each rank has a GPU of its own: say --device cuda, not {kind}")
        there = torch.cuda.device_count()
        if self.local_count > there:
            raise UserError(f"torchrun started {self.local_count} ranks on this machine, which has {there} GPUs")
        return f"cuda:{self.local}"

    def meeting(self, name: str) -> Meeting:
        """The meeting `name`."""
        return Meeting(host=self.host, port=self.port, name=name, rank=self.rank, count=self.count)


@contextlib.contextmanager
def joined(meeting: Meeting, device: str) -> Iterator[None]:
    """What runs inside runs together with the other ranks of `meeting`.

    Raises:
        LostRankError: another rank has gone, or did not come.
    """
    if meeting.count == 1:
        yield
        return
    try:
        _join(meeting, device)
        yield
    except RuntimeError as error:
        if _lost(error):
            raise LostRankError(f"{LOST}: {error}") from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _join(meeting: Meeting, device: str) -> None:
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(torch.device(device).index or 0)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=store_at(meeting.host, meeting.port, meeting.name),
        rank=meeting.rank,
        world_size=meeting.count,
        timeout=PATIENCE,
    )
    HELD.append(distributed.group.WORLD)


def store_at(host: str, port: int, name: str, *, hosting: bool = False) -> Any:
    """The keys under `name` in the store that ranks share, a `torch.distributed.Store`; `hosting`: it starts here."""
    public: Any = distributed  # which does not list these classes for type checkers
    shared = public.TCPStore(host, port, is_master=hosting, wait_for_workers=False, timeout=PATIENCE)
    return public.PrefixStore(name, shared)


def _lost(error: RuntimeError) -> bool:
    """Whether it comes from the exchange between ranks; gloo's errors are told from others by their words alone."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Together:
    """The ranks that train together; every method but `learning` is to be called by all of them at the same point."""

    rank: int = 0
    count: int = 1

    @classmethod
    def present(cls) -> Together:
        """Those of the meeting that this process has joined, or this process alone."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(rank=distributed.get_rank(), count=distributed.get_world_size())

    def learning(self, module: nn.Module) -> nn.Module:
        """`module`, whose outputs hold the loss; its gradients become the mean over ranks during each backward.

        What gets no gradient on any rank keeps none, so that Adam passes it over as in one process.

        Raises:
            UnavailableError: a layer would see its share of the batch as the whole.
        """
        if self.count == 1:
            return module
        for name, layer in module.named_modules():
            if isinstance(layer, _BatchNorm | _DropoutNd) and not isinstance(layer, nn.SyncBatchNorm):
                kind = type(layer).__name__
                raise UnavailableError(
                    f"{name} is a {kind}: what it does depends on how many images a process has, so {self.count} "
                    "processes would train another network than one"
                )
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of each of `values` over ranks; equal ones stay what they are, but for rounding."""
        if self.count == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total / self.count

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether it is up on any rank."""
        if self.count == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.int32)
        distributed.all_reduce(raised, op=distributed.ReduceOp.MAX)
        return tuple(bool(flag) for flag in raised.tolist())

    def sent(self, data: bytes) -> bytes:
        """`data` of rank 0; what others give is not looked at."""
        if self.count == 1:
            return data
        length = torch.tensor([len(data)])
        distributed.broadcast(length, 0)
        whole = torch.frombuffer(bytearray(data or b" "), dtype=torch.uint8)
        held = whole if self.rank == 0 else torch.empty(max(1, int(length)), dtype=torch.uint8)
        distributed.broadcast(held, 0)
        return held.numpy().tobytes()[: int(length)]

    def require_same(self, state: Mapping[str, Tensor]) -> None:
        """Find out whether `state` is the same on all ranks, to the bit.

        Raises:
            RuntimeError: it is not.
        """
        if self.count == 1:
            return
        sums = torch.stack([_bytes(tensor).sum(dtype=torch.int64) for tensor in state.values()]).cpu()
        least, most = sums.clone(), sums
        distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
        distributed.all_reduce(most, op=distributed.ReduceOp.MAX)
        if different := [name for name, same in zip(state, (least == most).tolist(), strict=True) if not same]:
            raise RuntimeError(
                f"{different[0]} is not the same on all ranks: it depends on their shares of the batch, so this "
                "network can be trained by one process only"
            )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().reshape(-1).view(torch.uint8)
