from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import sources
from harness.sources import code_version

ONE = '"""Docs."""\nfrom plug.two import value\n\n\ndef f(x):\n    """Docs."""\n    return x + value  # why\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "plug"
    folder.mkdir()
    for name, text in {"__init__": "", "one": ONE, "two": "value = 1\n", "three": "other = 1\n"}.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "plug", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def version() -> str:
    code_version.cache_clear()
    return code_version("plug.one")


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("one", "x + value", "x - value", True),
        ("two", "value = 1", "value = 2", True),
        ("three", "other = 1", "other = 2", False),
        ("one", "# why", "# because", False),
        ("one", '"""Docs."""', '"""Other docs."""', False),
        ("one", "\n\n\ndef", "\n\n\n\ndef", False),
    ],
    ids=["own code", "imported code", "unrelated code", "comment", "docstring", "layout"],
)
def test_a_version_changes_with_the_code_that_runs_and_with_nothing_else(
    package: Path, file: str, old: str, new: str, changes: bool
) -> None:
    before = version()
    path = package / f"{file}.py"
    path.write_text(path.read_text().replace(old, new))
    assert (version() != before) == changes


def test_a_module_beside_a_plug_in_of_one_file_is_followed(package: Path) -> None:
    beside = package.parent / "plug_layers.py"
    beside.write_text("value = 1\n")
    (package.parent / "plug_method.py").write_text("import torch\nimport json\nfrom plug_layers import value\n")

    def version() -> str:
        code_version.cache_clear()
        return code_version("plug_method")

    before = version()
    beside.write_text("value = 2\n")
    assert version() != before


def test_neither_installed_packages_nor_the_standard_library_are_followed() -> None:
    assert not any(map(sources._is_written_here, ("torch", "numpy", "json", "sys", "no_such_module")))
    assert sources._is_written_here("run_all")


def test_a_method_is_followed_into_the_skeleton_and_not_into_other_methods() -> None:
    import ast

    seen: set[str] = set()
    waiting = ["methods.nlsa"]
    while waiting:
        name = waiting.pop()
        file = sources._file_of(name)
        if name in seen or file is None or not name.startswith("methods"):
            continue
        seen.add(name)
        waiting += sources._imported(ast.parse(file.read_text()), name)
    assert {"methods.bucketed", "methods.parts.assign", "methods.trunks"} <= seen
    assert not {"methods.nla", "methods.edsr", "methods.catalogue"} & seen
