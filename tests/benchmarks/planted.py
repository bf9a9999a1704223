"""Is a slow-down seen? Races run twice; in the second run some attentions are made slower, and the report must tell.

    python -m tests.benchmarks.planted FOLDER

Three passes of each run, in processes of their own. One attention is made 15 % slower, another by a third of the noise
floor that the first run published for it, and what nobody touched must not be called.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

import methods
from harness.place import Place
from harness.progress import Lines
from harness.run import prepare
from methods.foreign import ForeignMethod
from methods.interface import attention_modules
from methods.settings import Scalar
from reports.frames import load
from reports.noise import change, seen
from reports.race import Race, races

SLOWER, PART_OF_FLOOR = 0.15, 1 / 3
SIZES = ("36x36", "48x48", "72x72", "96x96")
CONTENDERS = {"NLN": "nln", "NLSN": "nlsn", "DLSN": "dlsn", "ENLCN": "enlcn", "LCoAN": "lcoan"}
LARGE, SMALL = "NLSN", "DLSN"
"""Which is made slower by `SLOWER`, and which by a part of its floor."""
GRID = """
name = "planted"
tasks = "race"

[trunk]
n_feats = 64
n_resblocks = 1

[race]
measure = true
sizes = {sizes}
passes = 3
budget_s = 20
"""


def network(scale: int, *, of: str, by: float, **settings: Any) -> nn.Module:
    """The network of a method whose attentions take the share `by` longer: they wait when they are done."""
    built = methods.method(of).build(scale, settings)
    for module in attention_modules(built).values():
        started: list[float] = []
        module.register_forward_pre_hook(lambda *_, started=started: started.append(time.perf_counter()))
        module.register_forward_hook(lambda *_, started=started: _wait(by, started))
    return built


def _wait(by: float, started: list[float]) -> None:
    now = time.perf_counter()
    end = now + by * (now - started.pop())
    while time.perf_counter() < end:
        pass


def _slowed(name: str) -> ForeignMethod:
    plugin = methods.method(name)
    settings: Mapping[str, Scalar] = plugin.settings() | {"of": name, "by": 0.0}
    return ForeignMethod(name=f"planted-{name}", title=plugin.title, network=network, defaults=settings)


NLSN, DLSN = _slowed("nlsn"), _slowed("dlsn")


def grid(planted: Mapping[str, float]) -> str:
    """The race, with those of `planted` made slower by such a share; with 0 they still go through the same code."""
    text = GRID.format(sizes=list(SIZES))
    for label, name in CONTENDERS.items():
        where = f"tests.benchmarks.planted:{label}" if label in planted else name
        text += f'\n[[methods]]\nname = "{where}"\nlabel = "{label}"\n'
        text += f"settings = {{ by = {planted[label]} }}\n" if label in planted else ""
    return text


def ran(folder: Path, planted: Mapping[str, float]) -> Race:
    """The race, run in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "grid.toml"
    file.write_text(grid(planted), encoding="utf-8")
    prepared = prepare(file, Place.of(folder, device="cpu"))
    run_id = prepared.begin()
    prepared.proceed(run_id, Lines(Console()))
    (race,) = races(load(prepared.store, run_id))
    return race


def compared(before: Race, after: Race, planted: Mapping[str, float]) -> list[str]:
    """A line for each attention and size: what was planted, what was measured, and whether it is called."""
    lines = []
    for label in CONTENDERS:
        noise = before.ratio_noise(label)
        for size in SIZES if label != before.reference and noise is not None else ():
            old, new = before.ratios(label, size), after.ratios(label, size)
            told = "called" if seen(old, new, noise) else "not called"
            shares = f"planted {planted.get(label, 0.0):+6.1%} measured {change(old, new):+6.1%} floor {noise:5.1%}"
            lines.append(f"{label:6} {size:>7} {shares} {told}")
    return lines


def main(folder: Path) -> None:
    """Two runs and the comparison."""
    before = ran(folder / "before", {LARGE: 0.0, SMALL: 0.0})
    floor = before.ratio_noise(SMALL)
    assert floor is not None, "three passes have a floor"
    planted = {LARGE: SLOWER, SMALL: PART_OF_FLOOR * floor}
    after = ran(folder / "after", planted)
    Console().print("\n".join(compared(before, after, planted)), highlight=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
