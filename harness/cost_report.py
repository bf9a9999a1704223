"""What a network costs at one input size, counted without computing it: what `run_all.py cost` prints.

Three counts of multiply-adds that know nothing of each other stand side by side: PyTorch's counter, the closed
formulas of `methods.formulas` for the attention, and fvcore's where a real forward is small enough.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

import methods
from harness.errors import UserError
from harness.frontier import frontier
from harness.grid_tables import SIZE, Scalar, height_width, positions
from harness.inference import DTYPES
from harness.profile.cost import MAX_TRACED_POSITIONS, RGB, Counted, counted, second_count, sizes_of
from harness.records import Record, Status
from harness.resolve import ELSEWHERE
from methods.catalogue import NETWORKS
from methods.formulas import Terms, attention_terms
from methods.interface import Plugin, attention_modules
from methods.settings import require_choice, unknown_name

COUNTS_AGREE = 0.01
"""Two counts of a network that differ by more are marked."""
MAX_TRACED_MACS = 1e10
"""What two cores compute in a second or so; it is done twice."""
PROBE = 8
"""Side of the input that shows how many channels an attention sees, in pixels."""


class Line(NamedTuple):
    """A row of the table by module; those inside an attention have its row before them."""

    name: str
    macs: int
    parameters: int
    inside: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is counted: a method with its settings at one scale, and the input `"7680x4320"`, height first."""

    method: str
    size: str
    scale: int = 2
    settings: Mapping[str, Scalar] = dataclasses.field(default_factory=dict)
    precision: str = "fp32"
    alone: bool = False
    """One attention of the network on feature maps of that size, in the place of the network on an image."""
    within_gb: tuple[float, ...] = ()
    """Memories for which the largest square image is looked for."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostReport:
    """The answer. `formula` holds the closed formula of each attention by name; none where nobody has written it."""

    asked: Asked
    settings: Mapping[str, Scalar]
    counted: Counted
    formula: Mapping[str, Terms] | None
    second: Record
    frontier: Mapping[float, int]

    @property
    def formula_macs(self) -> int | None:
        """The closed formulas of all attentions, summed."""
        if self.formula is None:
            return None
        return sum(term.macs for terms in self.formula.values() for term in terms)

    @property
    def marks(self) -> tuple[str, ...]:
        """Why the count of MACs should not be believed; empty if it can be."""
        found, first = [], self.counted.macs
        if products := self.counted.uncounted_products:
            found.append(
                f"{products} matrix products or operations from elsewhere have no formula: the MACs are too few"
            )
        if self.second.value is not None and abs(self.second.value - first) > COUNTS_AGREE * first:
            found.append(
                f"the two counts differ by {self.second.value / first - 1:+.1%}" if first else "only fvcore counts MACs"
            )
        if self.formula_macs is not None and self.formula_macs != self.counted.attention_macs:
            found.append(
                f"attention counts {self.counted.attention_macs:,} MACs, its formula gives {self.formula_macs:,}"
            )
        return tuple(found)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The table by module: the network's children without attention, then each kind of attention and its parts."""
        return (*_trunk(self.counted), *_attentions(self.counted, self.formula or {}))

    def as_json(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            **dataclasses.asdict(self.asked),
            "settings": dict(self.settings),
            "figures": self.counted.figures | sizes_of(self.counted.network),
            "formula_macs": self.formula_macs,
            "frontier": {f"{memory:g}": side for memory, side in self.frontier.items()},
            "macs_fvcore": self.second.value,
            "macs_fvcore_reason": self.second.reason,
            "modules": [line._asdict() for line in self.lines],
            "uncounted": [dataclasses.asdict(row) for row in self.counted.uncounted],
            "marks": list(self.marks),
        }


def cost_report(asked: Asked) -> CostReport:
    """Count what is asked for.

    Raises:
        UserError: no such method, setting, scale, precision or size, or a network without attention asked for it.
    """
    try:
        plugin = _checked(asked)
        settings = plugin.settings(asked.settings)
        return _report(asked, settings, lambda: plugin.build(asked.scale, asked.settings))
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        raise UserError(f"{asked.size} is more than can be counted: a tensor would have over 2^63 bytes") from error


def setting(text: str) -> tuple[str, Scalar]:
    """`"chunk_size=36"` as name and value, the value as TOML reads it; what TOML cannot read is a name.

    Raises:
        UserError: there is no name or no value, or the value is no single one.
    """
    name, sign, written = text.partition("=")
    if not (name.strip() and sign and written.strip()):
        raise UserError(f"a setting is written name=value, such as chunk_size=36, not {text!r}")
    try:
        value = tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError:
        value = written.strip()
    if not isinstance(value, bool | int | float | str):
        raise UserError(f"{name} must be one value, not {written!r}")
    return name.strip(), value


def _checked(asked: Asked) -> Plugin:
    if not SIZE.fullmatch(asked.size):
        raise ValueError(f"a size is written height x width, such as 4320x7680, not {asked.size!r}")
    require_choice("precision", asked.precision, DTYPES)
    if asked.method not in (*NETWORKS, *ELSEWHERE) and ":" not in asked.method:
        raise unknown_name("method", asked.method, (*NETWORKS, *ELSEWHERE))
    return methods.method(ELSEWHERE.get(asked.method, asked.method))


def _report(asked: Asked, settings: Mapping[str, Scalar], network: Callable[[], nn.Module]) -> CostReport:
    build, channels = _first_attention(asked.method, network) if asked.alone else (network, RGB)
    found = counted(build, channels, *height_width(asked.size), asked.precision)
    return CostReport(
        asked=asked,
        settings=settings,
        counted=found,
        formula=_formulas(found),
        second=_second(build, channels, asked.size, found.macs),
        frontier=frontier(network, asked.within_gb, asked.precision),
    )


def _first_attention(name: str, network: Callable[[], nn.Module]) -> tuple[Callable[[], nn.Module], int]:
    """The attention that runs first, and the channels that it is given."""
    inputs = counted(network, RGB, PROBE, PROBE).inputs
    if not inputs:
        raise ValueError(f"{name} has no attention")
    place, (channels, _, _) = next(iter(inputs.items()))
    return lambda: network().get_submodule(place), channels


def _formulas(found: Counted) -> dict[str, Terms] | None:
    """In the order in which attentions run, since a later one may share what an earlier one found."""
    modules = attention_modules(found.network)
    try:
        return {
            name: attention_terms(getattr(modules[name], "recipe", modules[name]), *shape, place=place)
            for place, (name, shape) in enumerate(found.inputs.items(), start=1)
        }
    except NotImplementedError:
        return None


def _second(build: Callable[[], nn.Module], channels: int, size: str, macs: int) -> Record:
    """The count by fvcore of a second, real network; what it does on its first forward only is done before."""
    if macs > MAX_TRACED_MACS or positions(size) > MAX_TRACED_POSITIONS:
        limits = f"{MAX_TRACED_MACS / 1e9:.0f} G MACs or {MAX_TRACED_POSITIONS:,} positions"
        reason = f"fvcore counts by computing: not above {limits}"
        return Record(metric="macs_fvcore", status=Status.SKIPPED, reason=reason, size=size)
    torch.manual_seed(0)
    network, x = build().eval(), torch.rand(1, channels, *height_width(size))
    with torch.no_grad():
        network(x)
    return second_count(network, x, size)


def _trunk(found: Counted) -> list[Line]:
    """Each child of the network without the attention inside it, and what belongs to no child."""
    attentions = attention_modules(found.network)
    if "" in attentions:
        return []
    rows = []
    for child, module in found.network.named_children():
        inside = [name for name in attentions if name == child or name.startswith(f"{child}.")]
        macs = _macs(found, [child]) - _macs(found, inside)
        parameters = _parameters([module]) - _parameters(attentions[name] for name in inside)
        rows.append(Line(f"{child}, without attention" if inside else child, macs, parameters))
    rows.append(_rest(found, rows))
    return [row for row in rows if row.macs or row.parameters]


def _rest(found: Counted, rows: Iterable[Line]) -> Line:
    attentions = attention_modules(found.network)
    macs = found.macs - _macs(found, attentions) - sum(row.macs for row in rows)
    parameters = _parameters([found.network]) - _parameters(attentions.values()) - sum(row.parameters for row in rows)
    return Line("outside of these", macs, parameters)


def _attentions(found: Counted, formula: Mapping[str, Terms]) -> list[Line]:
    """Attentions of one class whose formulas have the same lines are one kind."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    modules = attention_modules(found.network)
    for name, module in modules.items():
        key = (type(module).__name__, *(term.part for term in formula.get(name, ())))
        kinds.setdefault(key, []).append(name)
    lines = []
    for (kind, *_), names in kinds.items():
        lines.append(Line(f"{len(names)} x {kind}", _macs(found, names), _parameters(modules[n] for n in names)))
        parts = [line for name in names for line in _parts(found, name, formula.get(name, ()))]
        lines += _summed(parts)
    return lines


def _parts(found: Counted, name: str, terms: Terms) -> list[Line]:
    """Inside one attention: what its children multiply is counted, what it does itself is split by its formula."""
    module = found.network.get_submodule(name)
    children = dict(module.named_children())
    path = f"{name}." if name else ""
    own = _macs(found, [name]) - _macs(found, (path + child for child in children))
    split = own == sum(term.macs for term in terms if not term.layers)
    lines = []
    for term in terms:
        layers = [child for child in term.layers if child in children]
        if term.layers:
            macs = _macs(found, (path + child for child in layers))
            lines.append(Line(term.part, macs, _parameters(children.pop(child) for child in layers), True))
        elif split:
            lines.append(Line(term.part, term.macs, 0, True))
    others = [
        Line(child, _macs(found, [path + child]), _parameters([layer]), True) for child, layer in children.items()
    ]
    return [*lines, *others, *([] if split else [Line("its own products", own, 0, True)])]


def _summed(lines: Iterable[Line]) -> list[Line]:
    """Lines of one name as one, those that hold nothing left out."""
    sums: dict[str, Line] = {}
    for line in lines:
        before = sums.get(line.name, Line(line.name, 0, 0))
        sums[line.name] = Line(line.name, before.macs + line.macs, before.parameters + line.parameters, inside=True)
    return [line for line in sums.values() if line.macs or line.parameters]


def _macs(found: Counted, names: Iterable[str]) -> int:
    return sum(found.module_macs.get(name, 0) for name in names)


def _parameters(modules: Iterable[nn.Module]) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())
