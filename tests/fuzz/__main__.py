"""Coverage-guided fuzzing of everything that reads files from elsewhere; needs `pip install atheris`.

    python -m tests.fuzz grid -max_total_time=600

The first argument is a reader of `tests.hostile.readers`; the others are those of libFuzzer. It stops at the first
input that ends otherwise than documented, or that writes outside of its folder or starts a program, and keeps it as
`crash-…` in the working folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["datasets", "harness", "methods", "tomllib", "tarfile", "zipfile", "PIL"]):
    from tests.hostile import readers
    from tests.hostile.watch import nothing_outside


def main(kind: str, arguments: list[str]) -> None:
    """Fuzz one reader, beginning with files that it takes."""
    with tempfile.TemporaryDirectory() as begun, tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(readers.sound()[kind]):
            (Path(begun) / str(number)).write_bytes(content)

        def once(content: bytes) -> None:
            with nothing_outside(Path(folder)):
                readers.READERS[kind](content, Path(folder))

        atheris.Setup([sys.argv[0], begun, *arguments], once)
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in readers.READERS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(readers.READERS)}}} [options of libFuzzer]")
    main(sys.argv[1], sys.argv[2:])
