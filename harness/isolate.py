"""A function in a process of its own: what it reports arrives here, and how it ended is known whatever happens.

Processes come from a fork server that has imported once what all of them need, so each starts in milliseconds and none
inherits another's memory, threads or GPU context. A worker ends itself when the process that started it is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from harness.errors import UserError

PRELOADED = ["harness.worker", "torch._dynamo", "fvcore.nn", "typer"]
"""What each worker would import for itself otherwise: optimizers and fake tensors load `torch._dynamo` when first used,
which takes over a second; the command line, which multiprocessing loads again in each worker, needs typer. None of it
may touch a GPU: processes forked after that could not use it."""
GRACE_S = 20.0
CHUNK = 2**16
"""Bytes read at a time of reports that nobody wants."""
SPIN = "2000"
"""How many turns a worker's threads spin for each other before they sleep, unless the user says otherwise. Threads that
sleep at once (`OMP_WAIT_POLICY=passive`) make training steps of small networks 1.2 to 2.3 times as long on an idle
machine; libgomp's own 300,000 turns make them up to 1.8 times as long, and once 12 times, beside one busy process on
two cores. With 2,000 the steps are as short as any when idle, and 1.1 to 1.5 times those of sleepers when not."""

Report = Callable[[Any], None]


class WorkerDiedError(Exception):
    """The process ended without finishing; `killed_for_memory` if the system says that it ran out."""

    def __init__(self, reason: str, *, killed_for_memory: bool = False) -> None:
        super().__init__(reason)
        self.killed_for_memory = killed_for_memory


def start_server() -> None:
    """Start the fork server if there is none yet. It imports while the caller goes on, and ends with it.

    A Ctrl-C of the terminal's is for the caller alone: the server is started deaf to it.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    _wait_briefly()
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be set
        forkserver.ensure_running()
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, the first of them; terminal, `torchrun` and an init may send several.

    What is saved after the first takes some seconds, in which a further one would only do harm.
    """
    asked: list[int] = []

    def interrupt(number: int, _: object) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)


def _wait_briefly() -> None:
    """Say in the environment, which the server reads before it loads torch, how its threads wait."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN)


class Worker:
    """A running process. `messages` yields what it reports; leaving the context ends it.

    Raises:
        UserError: the file `log` cannot be written.
    """

    def __init__(self, function: Callable[[Any, Report], None], argument: Any, log: Path) -> None:
        start_server()
        context = multiprocessing.get_context("forkserver")
        self._ours, theirs = context.Pipe(duplex=False)
        _require(log)
        self._process = context.Process(target=_main, args=(function, argument, theirs, log))
        self._memory_kills = _memory_kills()
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Process id, for those who want to see it die."""
        return self._process.pid

    @property
    def pipe(self) -> Connection:
        """Readable as soon as there is a report or the process has ended, for those who watch several."""
        return self._ours

    def messages(self, left_s: Callable[[], float]) -> Iterator[Any]:
        """Yield reports until the process is done; `left_s()` is how many seconds it may still take.

        Raises:
            TimeoutError: that time passed.
            WorkerDiedError: the process ended early; the message says by what.
        """
        while True:
            if not wait([self._ours], timeout=max(0.0, left_s())):
                raise TimeoutError
            try:
                message = self._ours.recv()
            except (EOFError, OSError):
                break
            yield message
        self._process.join(GRACE_S)
        if self._process.exitcode != 0:
            raise self._death()

    def ask_to_stop(self) -> None:
        """Tell the process to save what it has and end; after a grace period it is killed.

        What it still reports is read and dropped, since a process that nobody listens to cannot get on: as bytes, for
        an interrupt may have left the first half of a report read.
        """
        self._process.terminate()
        end = time.monotonic() + GRACE_S
        with contextlib.suppress(OSError):
            while wait([self._ours], timeout=max(0.0, end - time.monotonic())):
                if not os.read(self._ours.fileno(), CHUNK):
                    break
        self.kill()

    def kill(self) -> None:
        """End the process at once."""
        if self._process.is_alive():
            self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._ours.close()

    def _death(self) -> WorkerDiedError:
        code = self._process.exitcode
        if code is None or code >= 0:
            return WorkerDiedError(f"the process ended with exit code {code}")
        name = signal.Signals(-code).name
        if code == -signal.SIGKILL and _memory_kills() > self._memory_kills:
            return WorkerDiedError("the system killed the process: out of memory", killed_for_memory=True)
        return WorkerDiedError(f"the process was ended by {name}")


class Stop:
    """In the worker: whether SIGTERM has come, which asks it to stop; from here on the signal does nothing else.

    A `threading.Event` would not do: setting it takes a lock, and a second signal may come while the first, in the same
    thread, holds it. Under `torchrun` there are two, its own and that of `Worker.ask_to_stop`.
    """

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def asked(self) -> bool:
        """Whether it has come."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True


def _main(function: Callable[[Any, Report], None], argument: Any, pipe: Connection, log: Path) -> None:
    """In the new process: output to the log, no Ctrl-C of the terminal's, no life after the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
    try:
        with contextlib.suppress(BrokenPipeError):
            function(argument, pipe.send)
    finally:
        _let_go_of_output()
    pipe.close()


def _require(log: Path) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
    except OSError as error:
        raise UserError(f"cannot write the log {log}: {error.strerror}") from error


def _let_go_of_output() -> None:
    """Words that find no room on a full disk are dropped: they must not turn a good end into a bad one."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _memory_kills() -> int:
    """How many processes this system has killed for want of memory; 0 where it does not tell."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return 0
