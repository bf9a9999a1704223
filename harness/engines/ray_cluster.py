"""A Ray cluster as nlbench needs it: the connection, what a cell takes of a node, and how many cells it holds."""

from __future__ import annotations

import dataclasses
import importlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engines.description import code_path, described
from harness.engines.ray_node import here
from harness.errors import UserError
from harness.machine import ROOT
from harness.place import Place

PACKAGES = ("harness", "methods", "datasets")
"""What is sent to nodes. Plug-ins must be found there: along the driver's own paths, or installed."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
ANSWER_S, KNOCK_S = 30.0, 10.0


class Cluster:
    """A connection to the cluster at `address`: `auto` for the one that this machine belongs to.

    Raises:
        UserError: Ray is not installed, or no cluster answers there.
    """

    def __init__(self, address: str) -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            self.ray: Any = importlib.import_module("ray")
            self._affinity: Any = importlib.import_module("ray.util.scheduling_strategies")
        except ImportError as error:
            raise UserError(f"the engine ray needs Ray: pip install -e '.[ray]' ({error})") from error
        if address.startswith("ray://"):
            raise UserError(f"{address} is for Ray's client; start the run on a machine of the cluster: --address auto")
        if not self.ray.is_initialized():
            _knock(address)
            self._connect(address)

    @property
    def nodes(self) -> list[Mapping[str, Any]]:
        """The resources of each node that is alive, its id among them."""
        return [{"id": node["NodeID"], **node["Resources"]} for node in self.ray.nodes() if node["Alive"]]

    def on(self, node: str) -> dict[str, Any]:
        """Options of a Ray task that runs on that node, whatever else does, and nowhere else."""
        strategy = self._affinity.NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        return {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": strategy}

    def answers(self, node: str) -> bool:
        """Whether the node of that id still does anything; a lost one may be known as such later than its tasks are."""
        if node not in {each["id"] for each in self.nodes}:
            return False
        try:
            return bool(self.ray.get(self.ray.remote(**self.on(node))(here).remote(), timeout=ANSWER_S))
        except self.ray.exceptions.RayError:
            return False

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        """The place of a run on this cluster: its machine is a node.

        Raises:
            UserError: no node has such a device or so many threads, or a node cannot run nlbench.
        """
        share = self._share(device, threads)
        describe = self.ray.remote(**share.resources(), max_calls=1)(described)
        try:
            machine = self.ray.get(describe.remote(share.device, share.threads))
        except self.ray.exceptions.RayError as error:
            raise UserError(f"a node of the cluster cannot run nlbench: {last_line(error)}") from error
        return Place.elsewhere(out, store, share.device, share.threads, machine)

    def _share(self, device: str, threads: int | None) -> Share:
        gpus = [node for node in self.nodes if node.get("GPU", 0) >= 1]
        chosen = ("cuda" if gpus else "cpu") if device == "auto" else device
        if chosen not in {"cpu", "cuda"}:
            raise UserError(f"--device {device}: a cluster gives each cell a GPU of its own; say cpu, cuda or auto")
        fit = gpus if chosen == "cuda" else self.nodes
        if not fit:
            raise UserError("no node of this Ray cluster has a GPU; --device cpu runs without")
        cores = [int(node.get("CPU", 0) // (node["GPU"] if chosen == "cuda" else 1)) for node in fit]
        if threads and threads > max(cores):
            raise UserError(f"--threads {threads}: a cell of this Ray cluster can have {max(cores)} at most")
        return Share(device=chosen, threads=threads or max(1, min(cores)))

    def _connect(self, address: str) -> None:
        quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
        environment = {
            "py_modules": [str(ROOT / package) for package in PACKAGES],
            "env_vars": {"PYTHONPATH": code_path()},
        }
        try:
            self.ray.init(address=address, runtime_env=environment, **quiet)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            raise UserError(f"no Ray cluster at {address!r}: {last_line(error)}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """What a cell takes of a node: a GPU where the device is one, and CPU threads."""

    device: str
    threads: int

    def resources(self, whole_cpus: int = 0) -> dict[str, Any]:
        """As Ray wants it told; `whole_cpus` are those of a node that nothing else may have meanwhile."""
        gpu = self.device == "cuda"
        return {"num_cpus": self.threads if gpu else max(self.threads, whole_cpus), "num_gpus": int(gpu)}

    def cells(self, nodes: list[Mapping[str, Any]]) -> int:
        """How many cells fit on `nodes` at the same time."""
        need = self.resources()
        kinds = [("CPU", need["num_cpus"]), ("GPU", need["num_gpus"])]
        return sum(int(min(node.get(kind, 0) // much for kind, much in kinds if much)) for node in nodes)


def _knock(address: str) -> None:
    """See whether anything listens at `address`, where it is a host and a port: Ray itself tries for minutes."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"no Ray cluster at {address!r}: {error}") from error


def last_line(error: Exception) -> str:
    """What an error of Ray's says at the end, after where it happened."""
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__)
