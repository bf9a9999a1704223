import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from reports.cost import costs
from reports.frames import Frames
from reports.page import write_report
from reports.pair_tables import pairs_table, probability
from reports.pairs import Pairs, compared
from reports.quality import qualities
from reports.scores import quality_table
from reports.tables import DASH, MINUS, Entry
from tests.stores import BICUBIC, EDSR, FUSED, MANY, NLN, NLSN, VARIANTS, Plan, make_store

Make = Callable[..., Frames]


@pytest.mark.parametrize(("p", "text"), [(0.31, "0.31"), (0.0421, "0.042"), (1e-9, "<0.001"), (1.0, "1.0")])
def test_probabilities_are_printed_to_two_digits(p: float, text: str) -> None:
    assert probability(p) == text


def table_and_pairs(frames: Frames) -> tuple[dict[str, Entry], Pairs]:
    scored = qualities(frames)
    pairs = compared(scored)
    table = quality_table(frames, scored[0], costs(frames), pairs[0])
    return {row.head: row.entries["behind"] for row in table.rows}, pairs[0]


def test_the_distance_to_the_best_is_marked_where_it_is_noise(frames: Make) -> None:
    entries, _ = table_and_pairs(frames(variants=(BICUBIC, EDSR, NLN, FUSED, NLSN), sets=MANY))
    assert (entries["NLN"].text, entries["NLN"].note) == (DASH, "the best itself")
    assert (entries["Bicubic"].text, entries["Bicubic"].value) == (DASH, None)
    assert (entries["EDSR"].text, entries["EDSR"].mark) == (f"{MINUS}0.35", "")
    assert entries["EDSR"].value == pytest.approx(-0.35)
    assert (entries["NLN fused"].text, entries["NLN fused"].mark) == ("+0.00", "≈")
    assert entries["NLN fused"].doubt == "alike on every image"
    assert (entries["NLSN"].mark, entries["NLSN"].doubt) == ("≈", "not told from zero")
    assert re.fullmatch(
        r"not told from zero \(Holm p 0\.\d+ over 6 comparisons.*\); one training seed each", entries["NLSN"].note
    )


def test_undecided_distances_carry_a_mark_of_their_own(frames: Make) -> None:
    entries, _ = table_and_pairs(frames())
    assert (entries["EDSR"].mark, entries["EDSR"].doubt) == ("?", "undecided")
    assert entries["EDSR"].note.startswith(
        "undecided: 3 images can give no p below 0.25, after Holm over the 6 pairs on these images 1.0"
    )


def test_the_table_of_pairs_tells_all_of_each(frames: Make) -> None:
    _, pairs = table_and_pairs(frames(variants=(BICUBIC, EDSR, NLN, NLSN), sets=MANY, seeds=(0, 1, 2)))
    table = pairs_table("pier", pairs)
    assert table.head == "Pair"
    rows = {row.head: {key: entry.text for key, entry in row.entries.items()} for row in table.rows}
    assert list(rows) == [f"NLN {DASH} NLSN", f"NLN {DASH} EDSR", f"NLSN {DASH} EDSR"]
    assert rows[f"NLN {DASH} EDSR"]["difference"] == "+0.35"
    assert rows[f"NLN {DASH} EDSR"]["record"] == "12/0/0"
    assert rows[f"NLN {DASH} EDSR"]["verdict"] == "first is better"
    assert rows[f"NLN {DASH} NLSN"]["verdict"] == "not told from zero"
    assert "over 3 comparisons" in " ".join(table.notes)


def test_of_what_is_alike_no_interval_is_shown(frames: Make) -> None:
    _, pairs = table_and_pairs(frames(variants=(NLN, FUSED, NLSN), sets=MANY, seeds=(0, 1, 2)))
    entries = pairs_table("pier", pairs).rows[0].entries
    assert {entries[key].text for key in ("interval", "holm", "detectable")} == {DASH}
    assert entries["verdict"].text == entries["interval"].note == "alike on every image"


def page_of(tmp_path: Path, labels: Sequence[str] = (), plan: Plan | None = None) -> str:
    bases = (BICUBIC, EDSR, NLN, FUSED, NLSN)
    named = [dataclasses.replace(base, label=label) for base, label in zip(bases, labels, strict=False)]
    chosen = plan or Plan(variants=named or VARIANTS, sets=MANY)
    store, run_id = make_store(tmp_path / "s.db", chosen)
    return write_report(store, run_id, tmp_path / "r.html").path.read_text(encoding="utf-8")


def test_the_page_shows_marks_legend_and_pairs(tmp_path: Path) -> None:
    text = page_of(tmp_path)
    assert '<span aria-hidden="true">≈</span><span class="unseen"> (not told from zero)</span>' in text
    assert "≈ after the distance to the best network" in text
    assert '<th scope="col">Pair</th>' in text
    assert "<details><summary>Networks in pairs</summary>" in text
    assert f"NLN {DASH} NLSN" in text
    assert "over 6 comparisons" in text


def test_labels_in_pairs_are_escaped(tmp_path: Path) -> None:
    text = page_of(tmp_path, ("Bicubic", "<b>bold</b>", "<i>n</i>", "a & b", "c"))
    assert "<b>bold" not in text
    assert f"&lt;i&gt;n&lt;/i&gt; {DASH} &lt;b&gt;bold&lt;/b&gt;" in text


def test_the_sentence_and_the_table_agree(tmp_path: Path) -> None:
    for name, psnr in (("a", 29.5), ("b", 29.8), ("c", 31.0)):
        folder = tmp_path / name
        folder.mkdir()
        rival = dataclasses.replace(NLSN, psnr=psnr)
        store, run_id = make_store(folder / "s.db", Plan(variants=(NLN, rival), sets=MANY))
        summary = write_report(store, run_id, folder / "r.html")
        table = summary.path.read_text(encoding="utf-8").partition("<summary>Networks in pairs")[2]
        row = re.search(r"<tbody>.*?</tr>", table, re.DOTALL)
        assert ("undecided which is better" in summary.findings[0]) == ("not told from zero" in row[0])
