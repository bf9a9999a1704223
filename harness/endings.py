"""How an attempt ends that raised something: its status, and its reason in one line."""

from __future__ import annotations

import torch

from harness.records import Status
from harness.train import DivergedError
from methods.interface import UnavailableError

MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def status_of(error: Exception) -> Status:
    """Which status an exception means."""
    if isinstance(error, UnavailableError):
        return Status.SKIPPED
    if isinstance(error, DivergedError | FloatingPointError):
        return Status.DIVERGED
    words = str(error).lower()
    short_of_memory = isinstance(error, RuntimeError) and any(phrase in words for phrase in MEMORY_WORDS)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or short_of_memory:
        return Status.OUT_OF_MEMORY
    return Status.ERROR


def told(error: Exception) -> str:
    """The first line of an exception, with its kind unless we raised it for the user."""
    line = next(iter(str(error).splitlines()), "")
    return (
        line
        if isinstance(error, ValueError | DivergedError | UnavailableError) and line
        else f"{type(error).__name__}: {line}"
    )
