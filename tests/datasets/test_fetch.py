"""Fetching from a server on this machine: checksums, archives that reach outside, and what is never fetched twice."""

from __future__ import annotations

import dataclasses
import functools
import gc
import http.server
import io
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import datasets
from datasets.fetch import faults, fetch, recorded
from datasets.manifest import Entry
from tests.archives import tar, zipped

HR, LR = "benchmark/Own/HR", "benchmark/Own/LR_bicubic/X2"


def png(height: int, width: int, seed: int = 0) -> bytes:
    stream = io.BytesIO()
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Pillow.fromarray(image).save(stream, format="png")
    return stream.getvalue()


IMAGES = {
    f"{HR}/a.png": png(8, 8, 1),
    f"{HR}/b.png": png(8, 8, 2),
    f"{LR}/ax2.png": png(4, 4, 3),
    f"{LR}/bx2.png": png(4, 4, 4),
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, tells nobody, and counts."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        if self.path.endswith("cut.tar"):
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
        else:
            super().do_GET()


class Server(http.server.ThreadingHTTPServer):
    """`folder` is served at `address`; `asked` are the paths that were."""

    folder: Path
    asked: list[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        server.folder, server.asked = folder, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("NLBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def own(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:  # noqa: ARG001 - the data folder is set
    """A set of two images, fetched as an archive from the server."""
    tar(server.folder / "own.tar", IMAGES)
    own = Entry(
        name="Own", count=2, folders=("benchmark/Own",), page="http://own", fetch=(f"{server.address}/own.tar",)
    )
    describe(monkeypatch, own)
    return own


def describe(monkeypatch: pytest.MonkeyPatch, *entries: Entry) -> None:
    """Make these the only sets of the manifest."""
    monkeypatch.setattr("datasets.manifest.manifest", lambda: {entry.name: entry for entry in entries})


def quiet(_: str) -> None:
    pass


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("own")
def test_a_fetched_set_loads_and_its_checksums_are_recorded(data: Path) -> None:
    fetch("Own", quiet)
    assert files(data) == {*IMAGES, "downloads/own.tar", "SHA256SUMS"}
    assert recorded().keys() == {*IMAGES, "downloads/own.tar"}
    for name, content in IMAGES.items():
        assert (data / name).read_bytes() == content
    images = datasets.load("Own", 2)
    assert ([pair.name for pair in images], images.border) == (["a", "b"], "as given")
    assert list(faults("Own")) == []


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("kept", [True, False])
def test_a_second_fetch_downloads_nothing(server: Server, data: Path, kept: bool) -> None:
    fetch("Own", quiet)
    if not kept:
        (data / "downloads" / "own.tar").unlink()
    fetch("Own", quiet)
    assert server.asked == ["/own.tar"]


@pytest.mark.usefixtures("own")
def test_what_is_missing_is_unpacked_again_without_a_download(server: Server, data: Path) -> None:
    fetch("Own", quiet)
    (data / HR / "a.png").unlink()
    (data / HR / "b.png").write_bytes(b"changed by its owner")
    fetch("Own", quiet)
    assert (data / HR / "a.png").read_bytes() == IMAGES[f"{HR}/a.png"]
    assert (data / HR / "b.png").read_bytes() == b"changed by its owner"
    assert server.asked == ["/own.tar"]


@pytest.mark.usefixtures("own")
def test_an_archive_whose_checksum_has_changed_is_refused(server: Server, data: Path) -> None:
    fetch("Own", quiet)
    before = recorded()
    (data / "downloads" / "own.tar").unlink()
    (data / HR / "a.png").unlink()
    tar(server.folder / "own.tar", {f"{HR}/a.png": png(8, 8, 7)})
    with pytest.raises(ValueError, match=r"own\.tar gives another file than SHA256SUMS has the checksum of"):
        fetch("Own", quiet)
    assert not (data / HR / "a.png").exists()
    assert not (data / "downloads" / "own.tar").exists()
    assert recorded() == before


@pytest.mark.usefixtures("own")
def test_a_damaged_archive_is_fetched_again(server: Server, data: Path) -> None:
    fetch("Own", quiet)
    (data / "downloads" / "own.tar").write_bytes(b"damaged")
    fetch("Own", quiet)
    assert server.asked == ["/own.tar"] * 2


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/own.tar", "{server}/absent.tar", "{server}/cut.tar"])
def test_without_a_connection_address_and_folder_are_told(
    own: Entry, server: Server, data: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    address = address.format(server=server.address)
    describe(monkeypatch, dataclasses.replace(own, fetch=(address,)))
    with pytest.raises(ValueError, match=r"^cannot fetch Own from ") as told:
        fetch("Own", quiet)
    for part in (address, f"in {data}/downloads by hand", f"or its images in {data}/benchmark/Own."):
        assert part in str(told.value)
    assert "\n" not in str(told.value)
    assert files(data) == set()
    del told
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # requests leaves the connection of a refused answer to the collector


def test_an_archive_put_there_by_hand_is_taken(own: Entry, server: Server, data: Path) -> None:
    (data / "downloads").mkdir(parents=True)
    tar(data / "downloads" / "own.tar", IMAGES)
    fetch(own.name, quiet)
    assert server.asked == []
    assert len(datasets.load("Own", 2)) == 2


@pytest.mark.usefixtures("own")
def test_images_put_there_by_hand_are_left_alone(server: Server, data: Path) -> None:
    for name, content in IMAGES.items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    said: list[str] = []
    fetch("Own", said.append)
    assert said == [f"Own is in {data}/benchmark/Own already"]
    assert server.asked == []
    assert files(data) == set(IMAGES)


def test_single_images_are_fetched_by_number(server: Server, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        (server.folder / f"k{number:02}.png").write_bytes(png(8, 8, number))
    describe(
        monkeypatch,
        Entry(name="K", count=2, folders=("K",), into="K", fetch=(f"{server.address}/k{{01..02}}.png",)),
    )
    fetch("K", quiet)
    fetch("K", quiet)
    assert files(data) == {"K/k01.png", "K/k02.png", "SHA256SUMS"}
    assert server.asked == ["/k01.png", "/k02.png"]
    (data / "K" / "k02.png").unlink()
    fetch("K", quiet)
    assert server.asked == ["/k01.png", "/k02.png", "/k02.png"]


def test_a_union_is_fetched_by_its_parts(own: Entry, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped(server.folder / "more.zip", {"More/c.png": png(8, 8)})
    more = Entry(name="More", count=1, folders=("More",), fetch=(f"{server.address}/more.zip",))
    describe(monkeypatch, own, more, Entry(name="Both", count=3, union=("Own", "More")))
    fetch("Both", quiet)
    images = datasets.load("Both", 2)
    assert ([pair.name for pair in images], images.border) == (["a", "b", "c"], "symmetric")
    assert sorted(server.asked) == ["/more.zip", "/own.tar"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Manga109",
            "Manga109 cannot be fetched: it is given to those who register; get it from http://www.manga109.org",
        ),
        ("builtin-test", "builtin-test comes with scikit-image: there is nothing to fetch"),
        ("Set6", "unknown data set 'Set6': did you mean 'Set5'?"),
    ],
)
def test_what_cannot_be_fetched_is_told(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fetch(name, quiet)


def test_a_page_in_place_of_an_archive_is_told_and_not_recorded(own: Entry, server: Server) -> None:
    (server.folder / "own.tar").write_text("<html>moved</html>", encoding="utf-8")
    with pytest.raises(ValueError, match="is no whole archive"):
        fetch(own.name, quiet)
    assert recorded() == {}


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"{HR}/a.png", IMAGES[f"{HR}/a.png"][:60], "cannot read image {data}/benchmark/Own/HR/a.png"),
        (f"{LR}/ax2.png", png(5, 4), "ax2.png is 5x4, which times 2 is not 8x8 of"),
        (f"{LR}/bx2.png", png(4, 4, 9), "{data}/benchmark/Own/LR_bicubic/X2/bx2.png is not what was fetched"),
        (f"{LR}/cx2.png", png(4, 4), "cx2.png has no high-resolution image beside it"),
    ],
)
def test_faults_of_a_set_are_told(data: Path, name: str, content: bytes, message: str) -> None:
    fetch("Own", quiet)
    (data / name).write_bytes(content)
    assert any(message.format(data=data) in fault for fault in faults("Own"))


def test_faults_of_a_folder_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(8, 8))
    assert list(faults(str(tmp_path))) == []
    (tmp_path / "b.png").write_bytes(b"")
    (fault,) = faults(str(tmp_path))
    assert fault.startswith(f"cannot read image {tmp_path / 'b.png'}")
