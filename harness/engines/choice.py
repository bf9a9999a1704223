"""Which engine the command line names, the place of a run on it, and the engine for that place.

Clusters' engines are imported when they are chosen: their libraries are optional.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from datasets.naming import nearest
from harness.engines import Engine
from harness.engines.local import LocalEngine
from harness.errors import UserError
from harness.grid_tables import Limits
from harness.place import Place
from harness.ranks import Rank


class Chosen(Protocol):
    """An engine that exists, with its options."""

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        """The place of a run, with the machine that cells run on.

        Raises:
            UserError: there is no such device.
        """

    def engine(self, place: Place, limits: Limits) -> Engine | None:
        """What carries out the run's jobs; None for this machine, whose places the run knows best."""


def chosen(name: str, address: str | None = None, options: Sequence[str] = ()) -> Chosen:
    """The engine of that name: `local`, `ray` at its `address`, or `slurm`; each of `options` is `name=value`.

    Raises:
        UserError: there is no such engine or option, its library is not installed, or no cluster answers.
    """
    makers: dict[str, Callable[[str | None, Mapping[str, str]], Chosen]]
    makers = {"local": _Local, "ray": _Ray, "slurm": _Slurm}
    if name not in makers:
        raise UserError(f"no engine {name!r}: {nearest(name, makers)}")
    if address is not None and name != "ray":
        raise UserError(f"--address {address} is the address of a Ray cluster: --engine ray goes with it")
    if name != "local" and Rank.of_environment() is not None:
        raise UserError(f"--engine {name} cannot run under torchrun: it starts processes of its own")
    return makers[name](address, _parsed(options))


class _Local:
    """This machine; unless told otherwise, its threads are shared out among the cells that are under way."""

    def __init__(self, _: str | None, options: Mapping[str, str]) -> None:
        _check("local", options, ("cells",))
        self.cells = whole_number("cells", options.get("cells", "1"))

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        place = Place.of(out, store, device, threads)
        return place if threads else dataclasses.replace(place, threads=max(1, place.threads // self.cells))

    def engine(self, place: Place, limits: Limits) -> Engine | None:
        return None if self.cells == 1 else LocalEngine(place.logs, limits.task_s, place.devices, self.cells)


class _Ray:
    """The Ray cluster at an address."""

    def __init__(self, address: str | None, options: Mapping[str, str]) -> None:
        from harness.engines.ray_cluster import Cluster  # noqa: PLC0415 - an optional library

        _check("ray", options, ("cells", "retries"))
        if address is None:
            raise UserError("which Ray cluster? Say --address auto on a machine of it, or --address HOST:6379")
        self.numbers = {name: whole_number(name, value) for name, value in options.items()}
        self.cluster = Cluster(address)

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        return self.cluster.place(out, store, device, threads)

    def engine(self, place: Place, limits: Limits) -> Engine:
        from harness.engines.ray import RayEngine  # noqa: PLC0415 - an optional library

        return RayEngine(self.cluster, place, limits.task_s, **self.numbers)


class _Slurm:
    """The Slurm that this machine submits to."""

    def __init__(self, _: str | None, options: Mapping[str, str]) -> None:
        from harness.engines.slurm_cluster import OURS, Slurm  # noqa: PLC0415 - an optional library

        numbers = {name: whole_number(name, options[name]) for name in OURS & options.keys()}
        self.slurm = Slurm({name: value for name, value in options.items() if name not in OURS}, **numbers)

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        return self.slurm.place(out, store, device, threads)

    def engine(self, place: Place, limits: Limits) -> Engine:
        from harness.engines.slurm import SlurmEngine  # noqa: PLC0415 - an optional library

        return SlurmEngine(self.slurm, place, limits.task_s)


def _parsed(options: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name and equals and value):
            raise UserError(f"--engine-option {option}: name=value is wanted, such as partition=gpu")
        found[name] = value
    return found


def _check(engine: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            raise UserError(f"no engine option {name!r} of {engine}: {nearest(name, known)}")


def whole_number(name: str, value: str) -> int:
    """The value of an engine option that counts something.

    Raises:
        UserError: it is no whole number.
    """
    if not value.isdecimal() or not (int(value) or name == "retries"):
        raise UserError(f"--engine-option {name}={value}: a whole number is wanted, such as {name}=4")
    return int(value)
