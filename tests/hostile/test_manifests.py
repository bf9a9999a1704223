"""Manifests and lists of checksums that lead out of the data folder, or to more than anybody has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datasets.fetch import recorded
from datasets.manifest import Entry, read_manifest

SET = 'count = 1\nfolders = ["Own"]\n'


@pytest.mark.fault(
    area="Hostile input",
    what="a manifest that leads out of the data folder, or asks for more than there is",
    how="folders and images of `../..` and `/etc`, addresses that are files, commands or a billion files, sets that "
    "are parts of themselves, unknown keys, values of other types",
    kept="one line with the file, the set and the key; nothing is looked for, fetched or written",
)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[A]\ncount = 1\nfolders = ["../../etc"]',
            "'folders'.0: '../../etc' is outside of the data",
        ),
        ('[A]\ncount = 1\nfolders = ["/etc"]', "'/etc' is outside of the data folder"),
        (f'[A]\n{SET}into = "a/../../b"', "'into': 'a/../../b' is outside of the data folder"),
        ('[A]\nsource = "skimage"\nimages = ["../../secret.png"]', "'images'.0: '../../secret.png'"),
        ('[A]\nsource = "skimage"\nimages = ["in/a.png"]', "'in/a.png' is no name of a file"),
        ('[A]\nsource = "skimage"\nimages = ["."]', "'.' is no name of a file"),
        (f'[A]\n{SET}fetch = ["file:///etc/passwd"]', "'file:///etc/passwd' is no address of the web"),
        (f'[A]\n{SET}fetch = ["https://example.org/a/.."]', "'..' is outside of the data folder"),
        (f'[A]\n{SET}fetch = ["https://example.org/a/"]', "'' is no name of a file"),
        (f'[A]\n{SET}fetch = ["https://example.org"]', "'https://example.org' names no file"),
        (f'[A]\n{SET}fetch = ["https://example.org/{{1..999999}}.png"]', "means more than 10,000 files"),
        (f'[A]\n{SET}page = "\\u001b[31m"', r"'page': '\x1b[31m' holds a sign that cannot be printed"),
        (f'["a\\nb"]\n{SET}', r"'a\nb': 'name': 'a\nb' holds a sign that cannot be printed"),
        (f"[A]\n{SET}window = 0", "'window': Input should be greater than or equal to 1"),
        (f"[A]\n{SET}numbers = [1]", "'A': 'numbers'"),
        (f"[A]\n{SET}run = 'rm'", "'run': Unexpected keyword argument"),
        (f"[A]\n{SET}name = 'B'", "'A' is no table that describes a set"),
        ("A = 3", "'A' is no table that describes a set"),
        ('[A]\nunion = ["A"]', "A.union: 'A' is no set of images of its own"),
        ('[A]\nunion = ["B"]', "A.union: 'B' is no set of images of its own"),
        ("[A]\ncount = 3", "A has no images, folders or parts"),
        ("a = " + "[" * 100_000, "recursion"),
        ("[A", "Expected"),
    ],
    ids=lambda text: re.sub(r"\W+", "-", text)[:40],
)
def test_a_manifest_stays_in_its_folder(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "manifest.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(told)) as mistake:
        read_manifest(file)
    assert str(mistake.value).startswith(f"{file}: ")
    assert len(str(mistake.value)) < 1000


def test_an_entry_checks_itself() -> None:
    with pytest.raises(ValueError, match="is outside of the data folder"):
        Entry(name="Own", folders=("..",))


def test_checksums_that_are_no_text_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLBENCH_DATA", str(tmp_path))
    (tmp_path / "SHA256SUMS").write_bytes(b"\xff\xfe  ../../etc/passwd\n")
    with pytest.raises(ValueError, match=r"SHA256SUMS is no list of checksums: delete it and fetch again"):
        recorded()
