"""The version of a piece of code: a hash over the sources it is made of, comments, docstrings and layout left out.

A result depends on the modules that its code imports, so those are followed, but for the standard library and installed
packages other than a plug-in's own. Editing one method therefore retrains that method and no other.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import site
import sys
import sysconfig
from pathlib import Path

OURS = ("harness", "methods", "datasets")
DESCRIPTIVE = frozenset(
    {
        "datasets.fetch",
        "datasets.layouts",
        "datasets.manifest",
        "datasets.naming",
        "harness.errors",
        "harness.grid",
        "harness.grid_tables",
        "harness.records",
    }
)
"""Modules that say what is wanted and what was found, or find files, whose contents are hashed apart; no number depends
on how they do it."""


@functools.cache
def code_version(*modules: str) -> str:
    """The first 16 hexadecimal digits of SHA-256 over `modules` and what they import, each by its syntax tree."""
    own = {*OURS, *(module.partition(".")[0] for module in modules)}
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if (
            name in seen
            or name in DESCRIPTIVE
            or not ((top := name.partition(".")[0]) in own or _is_written_here(top))
            or (file := _file_of(name)) is None
        ):
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        seen[name] = _bare(tree)
        waiting += _imported(tree, name)
    return hashlib.sha256("\n".join(f"{name}\n{seen[name]}" for name in sorted(seen)).encode()).hexdigest()[:16]


@functools.cache
def _is_written_here(package: str) -> bool:
    """Whether a top-level module is neither of the standard library nor installed: somebody's own, who may edit it."""
    if package in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    files = [Path(place).resolve() for place in places if place and place not in {"built-in", "frozen"}]
    return bool(files) and not any(file.is_relative_to(folder) for file in files for folder in _installed())


@functools.cache
def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    folders = {*(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")), *site.getsitepackages()}
    return tuple(Path(folder).resolve() for folder in (*folders, site.getusersitepackages()))


def _file_of(module: str) -> Path | None:
    """The Python file of a module, found without importing it or its parents; None if there is no such module."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not inner and spec.origin is not None:
        return Path(spec.origin)
    folders = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    candidates = [file for folder in folders for file in (folder.with_suffix(".py"), folder / "__init__.py")]
    return next((file for file in candidates if file.is_file()), None)


def _imported(tree: ast.Module, module: str) -> list[str]:
    """Names that may be modules: `from a.b import c` may mean `a.b.c`, and always runs `a` and `a.b`."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (
                importlib.util.resolve_name("." * node.level + (node.module or ""), module)
                if node.level
                else node.module
            )
            names += [base or "", *(f"{base}.{alias.name}" for alias in node.names)]
    return [name for name in names if name]


def _bare(tree: ast.Module) -> str:
    """The source of `tree` without docstrings, in one layout."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
