"""Flat settings over nested frozen specs.

A setting is the name of a field somewhere in a recipe, in one of its parts, or in the trunk: `n_hashes` lives in the
assignment, `chunk_size` in the recipe, `n_feats` in the trunk. Users write one flat table of names and values, and
the specs stay small. A name that occurs in several places (`res_scale`) is set in all of them.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar, cast

Scalar = bool | int | float | str
Spec = TypeVar("Spec")


def unknown_name(kind: str, asked: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist: what was asked, the nearest match, what exists."""
    names = sorted(known)
    near = difflib.get_close_matches(asked, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"unknown {kind} {asked!r}.{hint} Known: {', '.join(names) or 'none'}.")


def settings_of(*specs: Any) -> dict[str, Scalar]:
    """Every setting of `specs` and of the specs nested in them, with its value."""
    found: dict[str, Scalar] = {}
    for spec in specs:
        for name, value in _fields(spec):
            nested = settings_of(value) if dataclasses.is_dataclass(value) else {name: value}
            found.update(nested)
    return found


def with_settings(spec: Spec, settings: Mapping[str, Scalar]) -> Spec:
    """`spec` with each field named in `settings` replaced, nested specs included; other names are left alone.

    Raises:
        ValueError: a value has another type than the field, or the spec itself refuses it.
    """
    changes: dict[str, Any] = {}
    for name, value in _fields(spec):
        if dataclasses.is_dataclass(value):
            changes[name] = with_settings(value, settings)
        elif name in settings:
            changes[name] = _typed(name, settings[name], value)
    return cast("Spec", dataclasses.replace(cast("Any", spec), **changes)) if changes else spec


def require_positive(spec: object, *names: str) -> None:
    """Raise `ValueError` unless each named field of `spec` is at least 1."""
    for name in names:
        if (value := getattr(spec, name)) < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def require_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise `ValueError` with the nearest match unless `value` is one of `choices`."""
    if value not in choices:
        raise unknown_name(name, value, choices)


def _fields(spec: Any) -> list[tuple[str, Any]]:
    return [] if spec is None else [(f.name, getattr(spec, f.name)) for f in dataclasses.fields(spec)]


def _typed(name: str, value: Scalar, current: Scalar) -> Scalar:
    """`value` as the type of the field's present value; an integer may stand for a float, nothing else is converted."""
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(current):
        raise ValueError(f"{name} must be a {type(current).__name__}, not {value!r}")
    return value
