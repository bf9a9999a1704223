"""Methods that leave the process, or want more memory than they are allowed."""

from __future__ import annotations

import os
import resource
import sys

import torch
from torch import Tensor

from tests.plugins import Plugin, _large

ALLOWED_BYTES, WANTED_ELEMENTS = 2**33, 2**33


def _exit(y: Tensor) -> Tensor:
    if _large(y, 40):
        sys.exit("as it was told to")
    return y


def _leave(y: Tensor) -> Tensor:
    """No Python code of ours runs after this."""
    if _large(y, 40):
        os._exit(0)
    return y


def _hungry(y: Tensor) -> Tensor:
    """What `ulimit -v` does: so much address space beyond what the process has, and no more."""
    if _large(y, 40):
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ALLOWED_BYTES, resource.RLIM_INFINITY))
        return y + torch.zeros(WANTED_ELEMENTS).sum()
    return y


EXITS = Plugin("exits", _exit)
LEAVES = Plugin("leaves", _leave)
HUNGRY = Plugin("hungry", _hungry)
