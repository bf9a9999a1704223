"""A PostgreSQL server of a test's own, that it may stop and start, and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

PORT_FILE = ".s.PGSQL.5432"


class Server:
    """A cluster in a folder of its own, reached by a socket there."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs = folder, programs
        self._do(
            "initdb", "-D", folder / "data", "-U", "nlbench", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"
        )

    def url(self, folder: Path | None = None) -> str:
        return f"postgresql+psycopg://nlbench@/postgres?host={folder or self.folder}"

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        self._do("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        """At once, as if it had crashed: who is connected is not asked."""
        self._do("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def _do(self, program: str, *arguments: object) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        words = [*as_user, str(self.programs / program), *map(str, arguments)]
        subprocess.run(words, cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A running server; without PostgreSQL the test is left out, but in continuous integration it fails."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.fail("no PostgreSQL") if os.environ.get("CI") else pytest.skip("no PostgreSQL")
    folder = Path(tempfile.mkdtemp())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        made = Server(folder, found[-1].parent)
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


class Line:
    """A socket in `folder` that leads to the server. Once cut, the answer to the next COMMIT is not delivered."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.cut = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / PORT_FILE))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(str(self.server.folder / PORT_FILE))
            threading.Thread(target=_answers, args=(server, client), daemon=True).start()
            while question := client.recv(2**16):
                if self.cut and b"COMMIT" in question:
                    self.cut = False
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(question)
                    return
                server.sendall(question)
            server.shutdown(socket.SHUT_WR)


def _answers(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while answer := server.recv(2**16):
            client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
