"""What papers print of the methods that were measured, beside it: where protocol and data set agree, with the gap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.frames import Frames
from reports.quality import Quality
from reports.tables import Column, Entry, Row, Table, fixed, make_table, missing, number, signed

Published = Mapping[str, Any]
COLUMNS = (
    Column(key="psnr", title="PSNR-Y measured", unit="dB"),
    Column(key="psnr_published", title="PSNR-Y published", unit="dB"),
    Column(key="psnr_gap", title="Gap", unit="dB"),
    Column(key="ssim", title="SSIM-Y measured"),
    Column(key="ssim_published", title="SSIM-Y published"),
    Column(key="ssim_gap", title="Gap"),
    Column(key="source", title="Published in", words=True),
)


def published_table(frames: Frames, quality: Quality) -> Table | None:
    """Measured, published, and the gap, in columns of their own; None where nothing published can be compared.

    Papers score luma that is not rounded, on images shrunk by bicubic interpolation, without self-ensemble unless they
    write a "+" behind the name: other protocols have nothing beside them.
    """
    protocol = frames.protocols[quality.comparable]
    if protocol.get("degradation", "bicubic") != "bicubic":
        return None
    plus = "+" if protocol.get("self_ensemble") else ""
    rows = [row for label in quality.labels if quality.complete(label) for row in _rows(frames, quality, label, plus)]
    notes = [_tiling(str(protocol.get("tiling")))]
    caption = f"{quality.title}: beside published results"
    return make_table(caption, COLUMNS, rows, notes=notes, protocol=quality.comparable) if rows else None


def printed(frames: Frames, quality: Quality, label: str) -> dict[str, float]:
    """PSNR-Y and SSIM-Y, by metric, that papers print of the method of `label` on this set; empty where none do."""
    protocol = frames.protocols[quality.comparable]
    if protocol.get("degradation", "bicubic") != "bicubic" or not quality.scored(label):
        return {}
    row = next(_rows(frames, quality, label, "+" if protocol.get("self_ensemble") else ""), None)
    found = {} if row is None else {"psnr_y": row.entries["psnr_published"], "ssim_y": row.entries["ssim_published"]}
    return {metric: entry.value for metric, entry in found.items() if entry.value is not None}


def _rows(frames: Frames, quality: Quality, label: str, plus: str) -> Iterator[Row]:
    """A row for each pair of figures that is printed of this method, with all places where it is."""
    spec = frames.of_label(label, quality.scale)[0]["cell_spec"]
    places: dict[tuple[float, float | None], list[str]] = {}
    for score in _scores(frames.run["published"], spec, plus):
        if (score["scale"], score["dataset"]) == (quality.scale, quality.dataset):
            places.setdefault((score["psnr"], score["ssim"]), []).append(score["source"])
    for (psnr, ssim), sources in places.items():
        entries = _beside("psnr", quality.score(label, "psnr_y"), psnr, 2)
        entries |= _beside("ssim", quality.score(label, "ssim_y"), ssim, 4)
        source = Entry(text="; ".join(sorted(set(sources))))
        yield Row(head=label, note=_unlike(spec), entries=entries | {"source": source})


def _scores(published: Mapping[str, list[Published]], spec: Mapping[str, Any], plus: str) -> list[Published]:
    names = dict.fromkeys((f"{spec['method']}{plus}", f"{spec['title']}{plus}"))
    return next((published[name] for name in names if name in published), [])


def _beside(what: str, measured: float, printed: float | None, digits: int) -> dict[str, Entry]:
    found = {what: number(measured, digits, ranked=False)}
    if printed is None:
        return found | dict.fromkeys((f"{what}_published", f"{what}_gap"), missing("not published"))
    gap = round(measured, digits) - printed
    found[f"{what}_gap"] = Entry(text=signed(gap, digits), value=gap)
    return found | {f"{what}_published": Entry(text=fixed(printed, digits), value=printed)}


def _unlike(spec: Mapping[str, Any]) -> str:
    """In what the measured network is not the published one."""
    told = [] if not spec.get("changed") else ["not the released settings"]
    if spec["train"]:
        told.append(f"trained here, {spec['train']['steps']} steps")
    return ", ".join(told)


def _tiling(tiling: str) -> str:
    told = "Measured minus published, both as printed; what is published was trained, and often tested, elsewhere."
    return f"{told} Released test commands of non-local methods cut images up (chop); here tiling is {tiling}."
