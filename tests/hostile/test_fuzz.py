"""Every reader of files from elsewhere, with bytes that were sound once, and with bytes that never were."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.grid_tables import TABLES
from tests.hostile import readers
from tests.hostile.mutations import mutated
from tests.hostile.watch import nothing_outside

briefly = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
sound = functools.cache(readers.sound)


@pytest.mark.parametrize("kind", readers.READERS)
def test_what_is_sound_is_read(kind: str, tmp_path: Path) -> None:
    for content in sound()[kind]:
        name = {"name": "weights.safetensors"} if content[8:10] == b'{"' else {}
        reader: Callable[..., object] = readers.READERS[kind]
        assert not isinstance(found := reader(content, tmp_path, **name), str), found


@pytest.mark.fault(
    area="Hostile input",
    what="a grid, manifest, image, archive or weights file that was damaged, on purpose or not",
    how="120 times each, hypothesis flips, replaces, inserts, removes, repeats or cuts off bytes of a sound one",
    kept="a valid result or one line that names the file; nothing is run, nothing is written outside of the folder",
)
@pytest.mark.parametrize("kind", readers.READERS)
@briefly
@given(data=st.data())
def test_mutations_of_sound_files_are_read_or_refused(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    content = data.draw(st.sampled_from(sound()[kind]).flatmap(mutated))
    with nothing_outside(tmp_path):
        readers.READERS[kind](content, tmp_path)


@briefly
@given(data=st.data())
def test_mutations_of_safetensors_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = data.draw(mutated(sound()["weights"][-1]))
    with nothing_outside(tmp_path):
        readers.weights(content, tmp_path, "weights.safetensors")


@pytest.mark.parametrize("kind", readers.READERS)
@briefly
@given(content=st.binary(max_size=200))
def test_bytes_that_never_were_sound_are_refused(kind: str, tmp_path: Path, content: bytes) -> None:
    with nothing_outside(tmp_path):
        assert kind == "grid" or isinstance(readers.READERS[kind](content, tmp_path), str) or kind == "manifest"


NAMES = sorted({key for table in TABLES.values() for key in table.model_fields} | {"name", "scale", "seeds", "trunk"})
keys = st.sampled_from([*NAMES, *TABLES]) | st.text(max_size=6)
single = st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from(["nlsn", "24x24", "a:b"])
values = st.recursive(
    single, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def toml(value: Any) -> str:
    """A value as TOML writes it in line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, bool | str) else repr(value)


@briefly
@given(document=st.dictionaries(keys, values, max_size=5), methods=values)
def test_documents_of_any_shape_are_grids_or_refused(tmp_path: Path, document: dict[str, Any], methods: Any) -> None:
    whole = {"name": "any", "methods": [{"name": "nlsn", "settings": methods}], **document}
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in whole.items())
    with nothing_outside(tmp_path):
        readers.grid(text.encode("utf-8", "replace"), tmp_path)
        readers.manifest(text.encode("utf-8", "replace"), tmp_path)
