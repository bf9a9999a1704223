import dataclasses
import re
from collections.abc import Callable

from harness.records import Status
from reports.cost import costs
from reports.findings import findings, listed
from reports.frames import Frames
from reports.pairs import compared
from reports.quality import qualities
from reports.scaling import growths
from reports.tables import TIMES
from tests.stores import BICUBIC, EDSR, FUSED, MANY, NLN, NLSN, SETS

Make = Callable[..., Frames]


def sentences(frames: Frames) -> tuple[str, ...]:
    profiled, scored = costs(frames), qualities(frames)
    pairs = list(zip(scored, compared(scored), strict=True))
    return tuple(found.text for found in findings(frames, pairs, profiled, [growths(cost) for cost in profiled]))


def test_there_are_always_three(frames: Make) -> None:
    assert len(sentences(frames())) == 3


def test_the_best_is_named_with_its_gain_and_lead(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(BICUBIC, EDSR, NLN), sets=MANY, seeds=range(6)))
    assert quality.startswith(
        f"On pier {TIMES}2, NLN reaches the highest mean PSNR-Y of all networks: 32.50 dB, 1.50 dB above bicubic"
    )
    found = re.search(
        r"; that is 0.35 dB ahead of EDSR \(95\u202f% interval over (.*) (0.\d\d) to (0.\d\d), Holm p 0\.0\d+\)\.$",
        quality,
    )
    assert found is not None
    assert found[1] == "images and training seeds"
    assert 0.0 < float(found[2]) < 0.35 < float(found[3])


def test_a_lead_of_one_seed_is_told_with_caution(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(BICUBIC, EDSR, NLN), sets=MANY))
    assert "ahead of EDSR (95\u202f% interval over images 0." in quality
    assert quality.endswith("but with one training seed each this says little about the methods.")


def test_a_lead_that_is_not_told_from_zero_is_undecided(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(BICUBIC, NLN, NLSN), sets=MANY))
    assert quality.endswith("not told from zero, so undecided which is better.")


def test_images_that_cannot_decide_are_said_to_be_too_few(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(BICUBIC, EDSR, NLN)))
    assert quality.endswith("undecided which is better, as 3 images can give no p below 0.25.")


def test_two_images_decide_nothing(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(EDSR, NLSN), sets={"tiles": SETS["tiles"]}))
    assert quality.endswith("Whether that is better than EDSR is undecided: fewer than 3 images.")


def test_methods_that_answer_alike_are_named_together(frames: Make) -> None:
    quality, _, _ = sentences(frames(variants=(BICUBIC, EDSR, NLN, FUSED)))
    assert "NLN and NLN fused reach the highest" in quality
    assert "ahead of EDSR" in quality


def test_worse_than_bicubic_is_said(frames: Make) -> None:
    poor = dataclasses.replace(EDSR, psnr=20.0, wobble=0.0)
    quality, _, _ = sentences(frames(variants=(BICUBIC, poor)))
    assert "8.00 dB below bicubic" in quality


def test_the_share_of_attention_and_what_fusing_gains(frames: Make) -> None:
    _, attention, _ = sentences(frames())
    assert attention.startswith(f"At 192{TIMES}192 ({TIMES}2) attention takes 99\u202f% of NLN's")
    assert "plain attention (NLN) takes 4.00 times as long as fused (NLN fused; 95\u202f% interval 3." in attention
    assert "timing of NLN, NLN fused and NLSN has not converged" in attention


def test_fused_attention_that_is_not_told_from_plain_is_undecided(frames: Make) -> None:
    same = dataclasses.replace(FUSED, factor=NLN.factor)
    _, attention, _ = sentences(frames(variants=(NLN, same)))
    assert attention.endswith("undecided which is faster.")


def test_other_settings_than_the_backend_make_no_pair(frames: Make) -> None:
    other = dataclasses.replace(FUSED, settings={"backend": "fused", "reduction": 4})
    _, attention, _ = sentences(frames(variants=(NLN, other)))
    assert "plain" not in attention


def test_exponents_of_macs_and_time(frames: Make) -> None:
    _, _, growth = sentences(frames())
    assert "MACs grow as n^2.00 in NLN and NLN fused and n^1.00 in NLSN" in growth
    assert "its time as n^2.00" in growth
    assert "undecided" not in growth


def test_too_small_a_span_is_undecided(frames: Make) -> None:
    _, _, growth = sentences(frames(sizes=("24x24", "32x32", "48x48")))
    assert f"its time undecided in NLN, NLN fused and NLSN: n spans only 4{TIMES}" in growth


def test_many_methods_are_told_by_their_extremes(frames: Make) -> None:
    many = [dataclasses.replace(NLSN, label=f"M{i}", factor=6e-6 * (i + 1)) for i in range(6)]
    _, attention, _ = sentences(frames(variants=many))
    assert "of M0's and" in attention
    assert "of M5's forward time" in attention
    assert "M3" not in attention


def test_nothing_is_said_of_what_is_not_there(frames: Make) -> None:
    everything = {
        (label, kind): (Status.ERROR, "x") for label in ("EDSR",) for kind in ("train", "evaluate", "profile")
    }
    told = sentences(frames(variants=(BICUBIC, EDSR), fails=everything))
    assert [sentence.split()[0] for sentence in told] == ["No", "No", "Attention"]
    assert all("nothing can be said" in sentence for sentence in told)


def test_many_methods_that_grow_alike_are_not_all_named(frames: Make) -> None:
    many = [dataclasses.replace(NLSN, label=f"NLSN {i}") for i in range(20)]
    text = sentences(frames(variants=(BICUBIC, *many)))[-1]
    assert "n^1.00 in NLSN 0, NLSN 1, NLSN 2, NLSN 3 and 16 others" in text


def test_methods_that_fill_a_paragraph_together_are_not_all_named_either(frames: Make) -> None:
    many = [dataclasses.replace(kind, label=f"{kind.label} {i}") for kind in (NLN, NLSN) for i in range(7)]
    text = sentences(frames(variants=(BICUBIC, *many)))[-1]
    for kind, power in ((NLN, "2.00"), (NLSN, "1.00")):
        named = ", ".join(f"{kind.label} {i}" for i in range(4))
        assert f"n^{power} in {named} and 3 others" in text


def test_what_holds_commas_is_listed_with_semicolons() -> None:
    assert listed(["A"]) == "A"
    assert listed(["A", "B", "C"]) == "A, B and C"
    assert listed(["A", "B, C and D", "E"]) == "A; B, C and D; and E"
