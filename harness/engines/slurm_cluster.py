"""Slurm as nlbench needs it, through submitit: options, what a cell asks for, and a node's description of itself."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from datasets.naming import nearest
from harness.cache import whole
from harness.engines.description import code_path, described
from harness.errors import UserError
from harness.place import Place
from harness.records import fingerprint

FOLDER = "slurm"
"""In the output folder: what jobs tell, and what Slurm writes of them."""
OURS = frozenset({"cells", "retries"})
"""Options that submitit knows nothing of: how many cells are in the queue, how often a lost job is submitted again."""
LISTS = frozenset({"setup", "teardown", "srun_args"})
"""Options that submitit wants as lists; here each has one item."""
DECIDED = {
    "additional_parameters",
    "nodes",
    "tasks_per_node",
    "ntasks_per_node",
    "map_count",
    "job_name",
    "name",
    "time",
    "mem",
}
"""What submitit could be told, but a cell decides or another option says."""
GPU_OPTIONS = {"gpus_per_node", "gpus_per_task", "num_gpus", "gres"}


class Slurm:
    """Slurm, or with `cluster=local` processes of this machine, with `options` as submitit knows them.

    `cells` are in the queue at the same time; a lost job is submitted again up to `retries` times.

    Raises:
        UserError: submitit is not installed, there is no Slurm here, or an option does not exist.
    """

    def __init__(self, options: Mapping[str, str], *, cells: int = 100, retries: int = 3) -> None:
        try:
            self.submitit: Any = importlib.import_module("submitit")
        except ImportError as error:
            raise UserError(f"the engine slurm needs submitit: pip install -e '.[slurm]' ({error})") from error
        self.cluster, self.cells, self.retries = options.get("cluster", "slurm"), cells, retries
        if self.cluster not in {"slurm", "local"}:
            raise UserError(f"cluster={self.cluster!r}: {nearest(self.cluster, ['slurm', 'local'])}")
        generic, own = self._known()
        known = OURS | {"cluster"} | generic | own
        for name in options:
            if name not in known:
                raise UserError(f"no engine option {name!r} of slurm: {nearest(name, known)}")
        given = {n: [t] if n in LISTS else _value(t) for n, t in options.items() if n != "cluster"}
        self.options = {name if name in generic else f"slurm_{name}": value for name, value in given.items()}

    def place(self, out: Path, store: str | None, device: str, threads: int | None) -> Place:
        """The place of a run on this cluster; its machine is a node, which a job describes once for the same options.

        Raises:
            UserError: a device that a cell cannot have, threads that nobody tells, or a job that fails.
        """
        gpu = any(name.removeprefix("slurm_") in GPU_OPTIONS for name in self.options)
        chosen = ("cuda" if gpu else "cpu") if device == "auto" else device
        if chosen not in {"cpu", "cuda"}:
            raise UserError(f"--device {device}: Slurm gives each cell a GPU of its own; say cpu, cuda or auto")
        many = threads or self.options.get("cpus_per_task")
        if not isinstance(many, int):
            raise UserError("how many CPU threads has a cell on a node? Say --threads 8, which Slurm is asked for too")
        asked = Place.elsewhere(out, store, chosen, many, {})
        asked.make()
        return dataclasses.replace(asked, node=self._described(asked))

    def executor(self, folder: Path, place: Place, *, alone: bool) -> Any:
        """What submits jobs for `place`, each with a GPU if that is its device; `alone` on a node if it takes times."""
        folder.mkdir(parents=True, exist_ok=True)
        asked: dict[str, Any] = {"timeout_min": 24 * 60, "cpus_per_task": place.threads, "name": "nlbench"}
        if place.device == "cuda" and not any(name.removeprefix("slurm_") in GPU_OPTIONS for name in self.options):
            asked["gpus_per_node"] = 1
        if alone and place.device == "cpu":
            asked["slurm_exclusive"] = True
        try:
            found = self.submitit.AutoExecutor(folder=folder, cluster=self.cluster)
            found.update_parameters(**(asked | self.options))
        except (RuntimeError, ValueError, TypeError, AssertionError, NameError) as error:
            raise UserError(f"Slurm cannot be asked: {error}") from error
        return found

    @contextlib.contextmanager
    def submitting(self) -> Iterator[None]:
        """What is submitted meanwhile finds this code, whatever the folder that the driver was started in.

        Raises:
            UserError: Slurm refuses a job.
        """
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = code_path()
        try:
            yield
        except self.submitit.core.utils.FailedJobError as error:
            raise UserError(f"Slurm refuses the job: {error}") from error
        finally:
            os.environ.pop("PYTHONPATH")
            if before is not None:
                os.environ["PYTHONPATH"] = before

    def _known(self) -> tuple[set[str], set[str]]:
        """Options by the names that submitit gives them: those of any cluster, and Slurm's own."""
        generic = set(self.submitit.AutoExecutor._typed_parameters())  # noqa: SLF001 - nothing public lists them
        own = set(self.submitit.SlurmExecutor._valid_parameters())  # noqa: SLF001
        return generic - DECIDED, own - DECIDED - generic

    def _described(self, asked: Place) -> dict[str, Any]:
        key = fingerprint({"options": self.options, "device": asked.device, "threads": asked.threads})
        file = asked.out / FOLDER / f"machine-{self.cluster}-{key}.json"
        if not file.is_file():
            executor = self.executor(file.parent / "machine", asked, alone=False)
            with self.submitting():
                job = executor.submit(described, asked.device, asked.threads)
            try:
                found = job.result()
            except (self.submitit.core.utils.UncompletedJobError, self.submitit.core.utils.FailedJobError) as error:
                raise UserError(f"a node of the cluster cannot run nlbench; see {job.paths.stderr}: {error}") from error
            with whole(file) as partial:
                partial.write_text(json.dumps(found), encoding="utf-8")
        return dict(json.loads(file.read_text(encoding="utf-8")))


def _value(text: str) -> float | bool | str:
    """As submitit wants it: numbers and truths are told by how they look."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
