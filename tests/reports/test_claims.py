"""What is a claim: one that figures could contradict, each with its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from reports.claims import EXACT, SCORED, Claim, read_claims

TEXT = """
[[claim]]
id = "linear"
statement = "It is linear."
source = "a paper"
origin = "published"
method = "nlsn"
quantity = "macs"
form = "exponent"
sizes = ["24x24", "96x96"]
low = 0.9
high = 1.1
"""
BETTER = """
[[claim]]
id = "better"
statement = "It is better."
source = "a paper"
origin = "published"
method = "nlsn"
against = { method = "edsr" }
scope = "network"
scale = 2
quantity = "psnr_y"
form = "gain"
data = ["Set5", "Urban100"]
low = 0.1
"""


def claims(folder: Path, text: str) -> tuple[Claim, ...]:
    file = folder / "claims.toml"
    file.write_text(text, encoding="utf-8")
    return read_claims(file)


def test_a_claim_says_of_whom_how_and_within_what(tmp_path: Path) -> None:
    (claim,) = claims(tmp_path, TEXT + "settings = { n_hashes = 2 }\nmode = 'training'\n")
    assert str(claim.subject) == "nlsn (n_hashes 2)"
    assert (claim.way.scope, claim.way.mode, claim.way.scale) == ("attention", "training", 0)
    assert (claim.bounds, claim.exact) == ("0.9 to 1.1", True)
    assert [claim.holds(value) for value in (0.8, 0.9, 1.1, 1.2)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("low = 0.9\nhigh = 1.1\n", "", "claim linear: a claim without low and high cannot be wrong"),
        ('form = "exponent"', 'form = "ratio"', "claim linear: against goes with the forms ratio, crossover"),
        ('sizes = ["24x24", "96x96"]', 'sizes = ["24x24"]', "the form exponent needs two sizes"),
        ('sizes = ["24x24", "96x96"]', 'sizes = ["24x24", "9by9"]', "claim linear: sizes.1: .*'9by9'"),
        ('quantity = "macs"', 'quantity = "joy"', "claim linear: quantity: .*'macs'"),
        ('method = "nlsn"', 'method = "nlsn"\nscope = "network"', "claim linear: a network has a scale"),
        ('source = "a paper"\n', "", "claim linear: source: Field required"),
        ('origin = "published"', 'origin = "published"\nyear = 2021', "claim linear: year: Extra inputs"),
        ("[[claim]]", "[[claims]]", r"no \[\[claim\]\] in it"),
        ("low = 0.9", "low = ", "Invalid value"),
    ],
)
def test_what_is_no_claim_is_told_with_its_name_and_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in TEXT
    with pytest.raises(UserError, match=told):
        claims(tmp_path, TEXT.replace(old, new))


def test_a_claim_about_quality_names_its_test_sets(tmp_path: Path) -> None:
    (claim,) = claims(tmp_path, BETTER + "tiling = 'chop'\nleast_steps = 500\n")
    assert claim.scoring is not None
    assert (claim.scoring.data, claim.scoring.tiling, claim.scoring.least_steps) == (("Set5", "Urban100"), "chop", 500)
    assert (claim.sizes, claim.exact, claim.bounds) == ((), False, "at least 0.1")
    (plain,) = claims(tmp_path, BETTER)
    assert plain.scoring is not None
    assert (plain.scoring.tiling, plain.scoring.least_steps) == ("whole", 300_000)
    assert Claim.model_validate(claim.model_dump(mode="json", exclude_none=True)) == claim, "as the store keeps it"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('data = ["Set5"', 'data = ["Sett5"', "claim better: data: unknown data set 'Sett5': did you mean 'Set5'"),
        ('data = ["Set5", "Urban100"]', "data = []", "claim better: data: .*at least 1 item"),
        ('data = ["Set5", "Urban100"]', "", "claim better: psnr_y is of data, and not of sizes"),
        ("low = 0.1", 'sizes = ["24x24"]\nlow = 0.1', "claim better: psnr_y is of data, and not of sizes"),
        ('data = ["Set5", "Urban100"]', "tiling = 'chop'", "claim better: data: Field required"),
        ('"psnr_y"', '"macs"', "claim better: macs is of sizes, and not of data"),
        ('form = "gain"', 'form = "ratio"', "claim better: psnr_y takes the forms value and gain, not ratio"),
        ('"psnr_y"', '"ssim_y"', "claim better: a gain is one of psnr_y, in dB, not of ssim_y"),
        ('against = { method = "edsr" }', "", "claim better: against goes with the forms ratio, crossover and gain"),
        ('scope = "network"\nscale = 2', "", "claim better: psnr_y is of networks, in inference"),
        ("scale = 2", 'scale = 2\nmode = "training"', "claim better: psnr_y is of networks, in inference"),
        ('"gain"', '"gain"\ntiling = "tile"', "claim better: tiling: Input should be 'whole' or 'chop', not 'tile'"),
        ('"gain"', '"gain"\nleast_steps = 0', "claim better: least_steps: .*, not 0"),
    ],
)
def test_what_is_no_claim_about_quality_is_told_too(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in BETTER
    with pytest.raises(UserError, match=told):
        claims(tmp_path, BETTER.replace(old, new))


def test_a_gain_is_no_form_of_a_cost(tmp_path: Path) -> None:
    text = TEXT.replace('form = "exponent"', 'form = "gain"\nagainst = { method = "nln" }')
    with pytest.raises(UserError, match="claim linear: a gain is one of psnr_y, in dB, not of macs"):
        claims(tmp_path, text)


def test_an_id_is_given_once_and_a_file_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two claims are called 'linear'"):
        claims(tmp_path, TEXT + TEXT)
    with pytest.raises(UserError, match=r"absent\.toml"):
        read_claims(tmp_path / "absent.toml")


def test_ours_are_many_of_every_kind_and_what_is_exact_was_looked_at() -> None:
    ours = read_claims()
    assert len(ours) >= 30
    assert {claim.form for claim in ours} == {"exponent", "ratio", "value", "crossover", "gain"}
    assert {claim.origin for claim in ours} == {"published", "derived"}
    assert {claim.quantity for claim in ours} >= {*EXACT, "time", *SCORED}
    assert {claim.subject.method for claim in ours} == {
        *("edsr", "nln", "nlsn", "enlcn", "dnlan", "lcoan", "dlsn", "dtfn", "hspan")
    }
    assert {claim.verdict for claim in ours if claim.quantity in EXACT} == {"supported", "contradicted"}
    assert {claim.verdict for claim in ours if claim.quantity not in EXACT} == {None}
    assert all(claim.statement.endswith(".") and claim.source for claim in ours)
