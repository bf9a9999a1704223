"""The page of faults says what the tests do, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import reliability
from tests.reliability import AREAS, PAGE, Fault, faults, page, tables

WORDS = {"area": "Disk", "what": "a | b", "how": "so", "kept": "all", "test": "tests/test_it.py::test_it"}
DECORATED = """
import pytest

@pytest.mark.fault(area="Store", what="it " "breaks", how="by hand", kept="all")
@pytest.mark.fault(area="Disk", what="it fills", how="by hand", kept="all")
@pytest.mark.parametrize("x", [1])
def test_both(x):
    assert x

def test_none():
    assert True
"""


def test_the_page_is_what_its_tests_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, faults()), "write it again: python -m tests.reliability"


def test_no_fault_is_told_twice_and_own_areas_are_there() -> None:
    found = faults()
    assert len({(fault.area, fault.what) for fault in found}) == len(found)
    own = {"Processes", "Training", "Disk", "Memory", "Store", "Files that are damaged", "Methods that misbehave"}
    assert own <= {fault.area for fault in found}


def test_faults_are_read_from_the_source_of_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliability, "ROOT", tmp_path)
    (tmp_path / "test_it.py").write_text(DECORATED, encoding="utf-8")
    found = faults(tmp_path)
    assert [(fault.area, fault.what, fault.test) for fault in found] == [
        ("Store", "it breaks", "test_it.py::test_both"),
        ("Disk", "it fills", "test_it.py::test_both"),
    ]
    order = [AREAS.index(line.removeprefix("### ")) for line in tables(found).splitlines() if line.startswith("###")]
    assert order == sorted(order)


def test_a_row_stays_in_its_cells() -> None:
    assert Fault(**WORDS).row == "| A \\| b | so | all | [test_it](../tests/test_it.py) |"


@pytest.mark.parametrize("wrong", [{"area": "Discs"}, {"what": " "}])
def test_a_fault_without_a_place_or_words_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"tests/test_it.py::test_it: no"):
        Fault(**WORDS | wrong)


def test_a_page_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        page("no place", [])
