"""Files that a job needs, for a node that does not see the folders of the driver: packed there, unpacked here.

On such a node every file lies under one folder, at the path that it has for the driver, so that names and paths in the
job keep their meaning once that folder is put before them.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from datasets.manifest import DATA_VARIABLE, data_folder, entry
from datasets.sets import is_folder
from harness.cache import Cache, whole
from harness.engines.node import Errand
from harness.plan import image_set
from harness.records import Outcome
from harness.worker import Job

Content = dict[Path, bytes]
LOG_BYTES = 100_000
"""So much of the end of a log comes back."""


@dataclasses.dataclass(frozen=True)
class Brought:
    """A file that came back from a node; `file` is where the driver keeps it."""

    file: Path
    content: bytes

    def keep(self) -> None:
        """Write it, whole or not at all."""
        with whole(self.file) as partial:
            partial.write_bytes(self.content)


def absolute(job: Job) -> Job:
    """The job with every path written in full, so that it means the same in another working folder."""
    data = {name: str(Path(where).absolute()) if is_folder(where) else where for name, where in job.data.items()}
    return _relocated(dataclasses.replace(job, data=data), lambda path: path.absolute())


def needed(job: Job) -> dict[str, list[Path]]:
    """The files that the job reads, in parcels: those of each data set, and each file of weights."""
    cell, cache = job.cell, Cache(job.cache)
    given = [cell.weights, cell.start, cell.twin.weights if cell.twin else None]
    given += [contender.file for contender in cell.contenders.values()]
    trained = {cache.weights(need) for task in job.tasks for need in task.needs}
    files = [*filter(None, given), *(file for file in sorted(trained) if file.is_file())]
    return {str(file): [file.absolute()] for file in files} | {name: _images(job, name) for name in sorted(_sets(job))}


def returned(before: Errand, here: Errand, event: Outcome) -> Iterator[Brought]:
    """What a training has left on this node, under the names that it has `before` it was unpacked `here`."""
    if event.task.kind != "train":
        return
    ours, theirs, key = Cache(here.job.cache), Cache(before.job.cache), event.task.key
    for file, home in ((ours.weights(key), theirs.weights(key)), (ours.last_good(key), theirs.last_good(key))):
        if file.is_file():
            yield Brought(home, file.read_bytes())
    ours.checkpoint(key).unlink(missing_ok=True)


def log_of(before: Errand, here: Errand) -> Iterator[Brought]:
    """The end of what methods have printed on this node."""
    name = f"{here.job.cell.key}.log"
    if (here.logs / name).is_file():
        yield Brought(before.logs / name, (here.logs / name).read_bytes()[-LOG_BYTES:])


def packed(files: list[Path]) -> Content:
    """The files with their content."""
    return {file: file.read_bytes() for file in files}


def seen(files: Mapping[str, list[Path]]) -> bool:
    """Whether this node has all of these files."""
    return all(file.is_file() for parcel in files.values() for file in parcel)


def unpack(content: Content, root: Path) -> None:
    """Write each file under `root`, where it is not there yet."""
    for file, text in content.items():
        place = moved(file, root)
        if not place.is_file():
            Brought(place, text).keep()


def unpacked(errand: Errand, root: Path) -> Errand:
    """The errand as it reads where everything lies under `root`; this process then finds data sets there."""
    os.environ[DATA_VARIABLE] = str(moved(data_folder().absolute(), root))
    data = {n: str(moved(Path(w), root)) if is_folder(w) else w for n, w in errand.job.data.items()}
    job = _relocated(dataclasses.replace(errand.job, data=data), lambda path: moved(path, root))
    return dataclasses.replace(errand, job=job, logs=moved(errand.logs, root))


def moved(path: Path, root: Path) -> Path:
    """Where under `root` the driver's absolute `path` lies."""
    return root / path.relative_to(path.anchor)


def _sets(job: Job) -> set[str]:
    """The data sets of the job's tasks, as the grid names them; what comes with scikit-image is on every node."""
    names = {str(task.spec["dataset"]) for task in job.tasks if "dataset" in task.spec}
    if job.cell.budget is not None and any(task.kind == "train" for task in job.tasks):
        names.add(job.cell.budget.data)
    found = {job.data[name] for name in names}
    return {name for name in found if is_folder(name) or entry(name).source != "skimage"}


def _images(job: Job, name: str) -> list[Path]:
    images = image_set(name, job.cell.scale)
    return [file.absolute() for file in (*images.files, *images.given.values())]


def _relocated(job: Job, place: Callable[[Path], Path]) -> Job:
    """The job with each of its paths where `place` says, those of data sets apart."""
    cell = job.cell
    twin = cell.twin and dataclasses.replace(cell.twin, weights=cell.twin.weights and place(cell.twin.weights))
    contenders = {k: dataclasses.replace(c, file=c.file and place(c.file)) for k, c in cell.contenders.items()}
    weights, start = cell.weights and place(cell.weights), cell.start and place(cell.start)
    changed = dataclasses.replace(cell, twin=twin, contenders=contenders, weights=weights, start=start)
    return dataclasses.replace(job, cell=changed, cache=place(job.cache))
