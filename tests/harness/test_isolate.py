from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from harness import isolate
from harness.isolate import PRELOADED, Stop, Worker, WorkerDiedError, start_server

ROOT = Path(__file__).resolve().parents[2]
Report = Callable[[Any], None]


def _count(argument: int, report: Report) -> None:
    for i in range(argument):
        report(i)


def _die_after_one(argument: int, report: Report) -> None:
    report("alive")
    os.kill(os.getpid(), argument)
    time.sleep(60)


def _exit(argument: int, report: Report) -> None:  # noqa: ARG001
    os._exit(argument)


def _sleep(argument: float, report: Report) -> None:
    report("asleep")
    time.sleep(argument)


def _shout(argument: int, report: Report) -> None:
    print("x" * argument)  # noqa: T201 - what the test is about
    os.write(2, b"y" * argument)
    report("done")


def _wait_for_term(file: Path, report: Report) -> None:
    stop = Stop()
    report("ready")
    while not stop.asked():
        time.sleep(0.01)
    report("x" * 10_000_000)
    file.touch()


def ten_seconds() -> float:
    return 10.0


def test_reports_arrive_in_order(tmp_path: Path) -> None:
    with Worker(_count, 5, tmp_path / "log") as worker:
        assert list(worker.messages(ten_seconds)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_by_signal_is_told_by_name_after_what_was_reported(tmp_path: Path, by: signal.Signals) -> None:
    with Worker(_die_after_one, by, tmp_path / "log") as worker:
        messages = worker.messages(ten_seconds)
        assert next(messages) == "alive"
        with pytest.raises(WorkerDiedError, match=by.name) as death:
            next(messages)
    assert not death.value.killed_for_memory


@pytest.mark.fault(
    area="Memory",
    what="The system kills a worker for memory",
    how="SIGKILL while the system's count of such kills goes up (the count is simulated)",
    kept="a row `out_of_memory`, not an error",
)
def test_a_kill_while_the_system_counts_one_for_memory_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([7, 8])
    monkeypatch.setattr(isolate, "_memory_kills", lambda: next(counts))
    with Worker(_die_after_one, signal.SIGKILL, tmp_path / "log") as worker:
        messages = worker.messages(ten_seconds)
        next(messages)
        with pytest.raises(WorkerDiedError, match="out of memory") as death:
            next(messages)
    assert death.value.killed_for_memory


def test_an_exit_code_is_told(tmp_path: Path) -> None:
    with Worker(_exit, 3, tmp_path / "log") as worker, pytest.raises(WorkerDiedError, match="exit code 3"):
        list(worker.messages(ten_seconds))


def test_silence_past_the_limit_ends_the_process(tmp_path: Path) -> None:
    with Worker(_sleep, 600.0, tmp_path / "log") as worker:
        messages = worker.messages(lambda: 0.5)
        with pytest.raises(TimeoutError):
            list(messages)
    assert worker.pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


@pytest.mark.fault(
    area="Methods that misbehave",
    what="Megabytes on standard output and error, past Python",
    how="3 MB to each",
    kept="all of it, in the log; nothing waits for anybody to read it",
)
def test_megabytes_of_output_go_to_the_log_and_block_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Worker(_shout, 3_000_000, tmp_path / "logs" / "log") as worker:
        assert list(worker.messages(ten_seconds)) == ["done"]
    assert (tmp_path / "logs" / "log").stat().st_size >= 6_000_000
    assert capfd.readouterr().out == ""


def test_a_worker_asked_to_stop_may_finish_what_it_does(tmp_path: Path) -> None:
    with Worker(_wait_for_term, tmp_path / "saved", tmp_path / "log") as worker:
        assert next(worker.messages(ten_seconds)) == "ready"
        worker.ask_to_stop()
        assert (tmp_path / "saved").exists()


def test_a_stop_that_comes_in_the_middle_of_a_report_loses_nothing(tmp_path: Path) -> None:
    with Worker(_wait_for_term, tmp_path / "saved", tmp_path / "log") as worker:
        os.read(worker.pipe.fileno(), 4)  # as an interrupt leaves it that comes once a report's length is read
        worker.ask_to_stop()
        assert (tmp_path / "saved").exists()


@pytest.mark.fault(
    area="Processes",
    what="Several signals ask a worker to stop",
    how="SIGTERM, thousands of times within a tenth of a second",
    kept="it stops as if there had been one",
)
def test_a_stop_asked_for_many_times_at_once_is_one(tmp_path: Path) -> None:
    with Worker(_wait_for_term, tmp_path / "saved", tmp_path / "log") as worker:
        assert next(worker.messages(ten_seconds)) == "ready"
        assert worker.pid is not None
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            os.kill(worker.pid, signal.SIGTERM)
        worker.ask_to_stop()
        assert (tmp_path / "saved").exists()


def test_processes_come_from_a_server_that_has_imported_what_they_need(tmp_path: Path) -> None:
    with Worker(_lacks, None, tmp_path / "log") as worker:
        assert list(worker.messages(ten_seconds)) == [[]]


def _lacks(_: object, report: Report) -> None:
    assert multiprocessing.parent_process() is not None
    report([name for name in PRELOADED if name not in sys.modules])


def test_what_is_preloaded_asks_nothing_of_gpus() -> None:
    """A process that has asked CUDA anything cannot fork others that use it."""
    script = textwrap.dedent(
        f"""
        import importlib, torch
        def refuse(*_):
            raise AssertionError("CUDA was asked")
        for name in ("is_available", "device_count", "current_device", "get_device_properties", "_lazy_init"):
            setattr(torch.cuda, name, refuse)
        for name in {PRELOADED!r}:
            importlib.import_module(name)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_server_that_runs_is_left_alone() -> None:
    start_server()
    first = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    start_server()
    assert forkserver._forkserver._forkserver_pid == first  # type: ignore[attr-defined]


@pytest.mark.fault(
    area="Processes",
    what="The driver is gone and its worker is not",
    how="SIGKILL to the driver while a worker sleeps",
    kept="no worker goes on alone: it ends itself within seconds",
)
def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from harness.isolate import Worker
        from tests.harness.test_isolate import _sleep
        if __name__ == "__main__":
            with Worker(_sleep, 600.0, Path({str(tmp_path / "log")!r})) as worker:
                next(worker.messages(lambda: 60.0))
                print(worker.pid, flush=True)
                time.sleep(600)
        """
    )
    file = tmp_path / "driver.py"
    file.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    driver.stdout.close()
    deadline = time.monotonic() + 10
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
