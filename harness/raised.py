"""What was raised, as a record has it: the status that it means, and the reason in one line."""

from __future__ import annotations

import errno

import torch

from harness.records import Status
from methods.agreement import DisagreementError
from methods.interface import UnavailableError

MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "bad_alloc")


def status_of(error: BaseException) -> Status:
    """Which status an exception means."""
    if isinstance(error, UnavailableError):
        return Status.SKIPPED
    if isinstance(error, FloatingPointError):
        return Status.DIVERGED
    words = str(error).lower()
    short_of_memory = isinstance(error, RuntimeError) and any(phrase in words for phrase in MEMORY_WORDS)
    short_of_memory |= isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or short_of_memory:
        return Status.OUT_OF_MEMORY
    return Status.ERROR


def told(error: BaseException) -> str:
    """The first line of an exception, with its kind unless we raised it for the user."""
    line = next(iter(str(error).splitlines()), "")
    ours = isinstance(error, ValueError | FloatingPointError | DisagreementError | UnavailableError)
    return line if ours and line else f"{type(error).__name__}: {line}"
