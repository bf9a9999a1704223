"""Methods that leave the process, or take all memory: a row with a reason, and the rest goes on."""

from __future__ import annotations

import errno

import pytest

from harness.place import Place
from harness.raised import status_of
from harness.records import Status
from tests.conftest import WriteGrid
from tests.faults.runs import TINY, ends, go

GOOD = [("train", "done"), ("evaluate", "done"), ("profile", "done")]


@pytest.mark.fault(
    area="Methods that misbehave",
    what="A method ends the process as if all were well",
    how="`sys.exit` in a forward; and `os._exit(0)`, after which nothing of ours runs",
    kept="a row with the reason for that task; its other tasks and all other cells go on",
)
def test_a_method_that_ends_the_process_is_a_row_with_a_reason(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid("tests.faults.methods:EXITS", "tests.faults.methods:LEAVES", TINY, sizes='"8x8"'), place)
    failing = [("train", "done"), ("evaluate", "error"), ("profile", "done")]
    assert ends(outcomes) == [*failing, *failing, *GOOD]
    assert outcomes[1].reason == "SystemExit: as it was told to"
    assert "the process ended before its work was done" in str(outcomes[4].reason)


@pytest.mark.fault(
    area="Memory",
    what="The host has no more memory for a method",
    how="the process may take 8 GiB more (RLIMIT_AS, which `ulimit -v` sets), and a forward asks for 32 GiB",
    kept="a row `out_of_memory`; the tasks and cells after it go on",
)
def test_a_method_without_memory_on_the_host_is_a_row(write_grid: WriteGrid, place: Place) -> None:
    outcomes = go(write_grid("tests.faults.methods:HUNGRY", TINY, sizes='"8x8"'), place)
    # The process is short of memory for good: its later tasks may do without what it cannot have, or end like this one.
    assert ends(outcomes)[:2] == [("train", "done"), ("evaluate", "out_of_memory")]
    assert "allocate memory" in str(outcomes[1].reason)
    assert ends(outcomes)[3:] == GOOD


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("unable to mmap 8 bytes: Cannot allocate memory (12)"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=repr,
)
def test_every_way_to_say_that_memory_is_short_is_understood(error: Exception) -> None:
    assert status_of(error) is Status.OUT_OF_MEMORY


def test_other_errors_of_the_system_are_errors() -> None:
    assert status_of(OSError(errno.ENOSPC, "No space left on device")) is Status.ERROR
