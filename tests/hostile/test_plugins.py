"""Methods from elsewhere that pass for others, that are none, or that break when they are imported or built."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.grid import read_grid
from harness.plan import PlannedCell, plan
from tests.conftest import WriteGrid

SMALL = "[trunk]\nn_feats = 8\nn_resblocks = 1\n"
WRITTEN = {
    "ends": "import sys\nsys.exit(3)",
    "interrupts": "raise RuntimeError('as it was told to')",
    "broken": "def f(:",
    "empty": "",
    "kind": "from tests.plugins import Plugin as METHOD",
    "shadow": "from tests.plugins import Plugin\nMETHOD = Plugin('nlsn')\nMETHOD.title = 'NLSN'",
    "escape": "from tests.plugins import Plugin\nMETHOD = Plugin('x')\nMETHOD.title = 'x\\x1b[31m'",
    "untitled": "from tests.plugins import Plugin\nMETHOD = Plugin('x')\nMETHOD.title = 3",
    "unbuilt": "from tests.plugins import Plugin\nMETHOD = Plugin('x')\nMETHOD.build = lambda *_: {}['key']",
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules of plug-ins, gone again after the test."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, text in WRITTEN.items():
        (folder / f"hostile_{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    yield
    for name in WRITTEN:
        sys.modules.pop(f"hostile_{name}", None)


def planned(path: Path) -> list[PlannedCell]:
    return plan(read_grid(path), path.name, {"cpu": "one"})


@pytest.mark.fault(
    area="Hostile input",
    what="a plug-in that cannot be imported, is no method, or breaks when it is built",
    how="modules that end the program, raise, do not parse, hold nothing, a class, a title of control signs",
    kept="one line with its address and what it raised, before anything runs",
)
@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("ends", "cannot load method 'hostile_ends:METHOD': SystemExit: 3"),
        ("interrupts", "cannot load method 'hostile_interrupts:METHOD': RuntimeError: as it was told to"),
        ("broken", "cannot load method 'hostile_broken:METHOD': SyntaxError"),
        ("empty", "module 'hostile_empty' has no attribute 'METHOD'"),
        ("kind", "'hostile_kind:METHOD' is a type, not a method"),
        ("escape", r"the title of 'hostile_escape:METHOD' is no printable text: 'x\x1b[31m'"),
        ("untitled", "the title of 'hostile_untitled:METHOD' is no printable text: 3"),
        ("unbuilt", "method 'hostile_unbuilt:METHOD': KeyError: 'key'"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_what_is_no_method_is_told(write_grid: WriteGrid, module: str, told: str) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        planned(write_grid(f"hostile_{module}:METHOD"))


@pytest.mark.fault(
    area="Hostile input",
    what="a plug-in with the name and title of a built-in method",
    how="a grid of NLSN and of a plug-in that is titled NLSN; the same with a label for one of them",
    kept="refused with both addresses, as nobody could tell their figures apart; with a label both are planned",
)
@pytest.mark.usefixtures("elsewhere")
def test_a_shadow_of_a_built_in_method_is_told_apart(write_grid: WriteGrid) -> None:
    with pytest.raises(UserError) as mistake:
        planned(write_grid("nlsn", "hostile_shadow:METHOD", tables=SMALL))
    assert "'nlsn' and 'hostile_shadow:METHOD', which differ in method" in str(mistake.value)
    assert "two methods of the grid would be called 'NLSN" in str(mistake.value)
    cells = planned(write_grid("nlsn", "hostile_shadow:METHOD", tables='label = "mine"\n' + SMALL))
    assert {(cell.address, cell.label) for cell in cells} == {
        ("methods.nlsa:METHOD", "NLSN"),
        ("hostile_shadow:METHOD", "mine"),
    }


def test_a_setting_beyond_all_memory_is_told(write_grid: WriteGrid) -> None:
    with pytest.raises(UserError, match=r"method 'edsr': \w+Error: "):
        planned(write_grid("edsr", tables=f"[trunk]\nn_feats = {2**62}\nn_resblocks = 1\n"))
