"""Flat settings over nested frozen specs.

A setting is the name of a field somewhere in a recipe, in one of its parts, or in the trunk: `n_hashes` lives in the
assignment, `chunk_size` in the recipe, `n_feats` in the trunk. Users write one flat table of names and values, and
the specs stay small. A name that occurs in several places (`res_scale`) is set in all of them.

A field made by `choice` holds one spec out of a table, and its own name is a setting too: `assign = "flyhash"` puts
the table's FlyHash in the place of whatever stood there.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar, cast

Scalar = bool | int | float | str
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
"""What a setting of each type is called."""
Spec = TypeVar("Spec")

RELEASED_NAMES = {
    "n_hashlength": "hash_length",
    "n_rounds": "n_hashes",
    "window_size": "chunk_size",
}
"""Names that some of the authors' scripts use for one of our settings; accepted wherever a setting is written."""


def choice(table: Mapping[str, Any], *, keep: Collection[str] = (), **options: Any) -> Any:
    """A field whose spec is chosen by name from `table`; another choice keeps the values of the fields in `keep`."""
    return dataclasses.field(metadata={"table": table, "keep": frozenset(keep)}, **options)


def unknown_name(kind: str, asked: str, known: Iterable[str]) -> ValueError:
    """The error for a name that does not exist: what was asked, the nearest match, what exists."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(asked.casefold(), folded, n=1)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return ValueError(f"unknown {kind} {asked!r}.{hint} Known: {', '.join(names) or 'none'}.")


def our_names(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """`settings` under our names, where a released script's name was written.

    Raises:
        ValueError: a setting is given under both its names.
    """
    for theirs, ours in RELEASED_NAMES.items():
        if theirs in settings and ours in settings:
            raise ValueError(f"{theirs!r} and {ours!r} are two names of one setting; give it once")
    return {RELEASED_NAMES.get(name, name): value for name, value in settings.items()}


def settings_of(*specs: Any) -> dict[str, Scalar]:
    """Every setting of `specs` and of the specs nested in them, with its value."""
    found: dict[str, Scalar] = {}
    for spec in specs:
        for field, value in _fields(spec):
            if "table" in field.metadata:
                found[field.name] = _name_in(field.metadata["table"], value)
            found.update(settings_of(value) if dataclasses.is_dataclass(value) else {field.name: value})
    return found


def with_settings(spec: Spec, settings: Mapping[str, Scalar]) -> Spec:
    """`spec` with each field named in `settings` replaced, nested specs included; other names are left alone.

    Raises:
        ValueError: a value has another type than the field, is no name of a choice, or the spec itself refuses it.
    """
    changes: dict[str, Any] = {}
    for field, value in _fields(spec):
        if dataclasses.is_dataclass(value):
            chosen = _chosen(field, value, settings) if field.name in settings else value
            changes[field.name] = with_settings(chosen, settings)
        elif field.name in settings:
            changes[field.name] = _typed(field.name, settings[field.name], value)
    return cast("Spec", dataclasses.replace(cast("Any", spec), **changes)) if changes else spec


def require_positive(spec: object, *names: str) -> None:
    """Raise `ValueError` unless each named field of `spec` is at least 1."""
    for name in names:
        if (value := getattr(spec, name)) < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def require_at_most(spec: object, most: int, *names: str) -> None:
    """Raise `ValueError` if a named field of `spec` is above `most`."""
    for name in names:
        if (value := getattr(spec, name)) > most:
            raise ValueError(f"{name} must be at most {most}, not {value}")


def require_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise `ValueError` with the nearest match unless `value` is one of `choices`."""
    if value not in choices:
        raise unknown_name(name, value, choices)


def require_known(kind: str, asked: Iterable[str], known: Collection[str]) -> None:
    """Raise `ValueError` with the nearest match unless every name in `asked` is one of `known`."""
    for name in asked:
        if name not in known:
            raise unknown_name(kind, name, known)


def _fields(spec: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    return [] if spec is None else [(field, getattr(spec, field.name)) for field in dataclasses.fields(spec)]


def _name_in(table: Mapping[str, Any], spec: Any) -> str:
    """The name under which `table` holds the kind of `spec`; a spec from elsewhere goes by its class."""
    exact = [name for name, each in table.items() if type(spec) is type(each)]
    kin = [name for name, each in table.items() if isinstance(spec, type(each))]
    return next(iter(exact + kin), type(spec).__name__)


def _chosen(field: dataclasses.Field[Any], current: Any, settings: Mapping[str, Scalar]) -> Any:
    """The spec that `settings` choose for `field`: the current one if it is of that kind, else the table's."""
    asked, table = settings[field.name], field.metadata.get("table", {})
    if asked == _name_in(table, current):
        return current
    if not isinstance(asked, str):
        raise ValueError(f"{field.name} must be a name, not {asked!r}")  # noqa: TRY004 - a wrong setting, not a bug
    require_choice(field.name, asked, table)
    kept = {f.name: v for f, v in _fields(current) if f.name in field.metadata["keep"]}
    return with_settings(table[asked], kept)


def _typed(name: str, value: Scalar, current: Scalar) -> Scalar:
    """`value` as the type of the field's present value; an integer may stand for a float, nothing else is converted."""
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(current):
        raise ValueError(f"{name} must be {KINDS[type(current)]}, not {value!r}")
    return value
