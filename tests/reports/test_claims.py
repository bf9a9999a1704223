"""What is a claim: one that figures could contradict, each with its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UserError
from reports.claims import EXACT, Claim, read_claims

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
        ('form = "exponent"', 'form = "ratio"', "claim linear: against goes with the forms ratio and crossover"),
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


def test_an_id_is_given_once_and_a_file_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two claims are called 'linear'"):
        claims(tmp_path, TEXT + TEXT)
    with pytest.raises(UserError, match=r"absent\.toml"):
        read_claims(tmp_path / "absent.toml")


def test_ours_are_many_of_every_kind_and_what_is_exact_was_looked_at() -> None:
    ours = read_claims()
    assert len(ours) >= 30
    assert {claim.form for claim in ours} == {"exponent", "ratio", "value", "crossover"}
    assert {claim.origin for claim in ours} == {"published", "derived"}
    assert {claim.quantity for claim in ours} >= {"macs", "peak_bytes", "moved_bytes", "parameters", "time"}
    assert {claim.subject.method for claim in ours} == {
        *("edsr", "nln", "nlsn", "enlcn", "dnlan", "lcoan", "dlsn", "dtfn", "hspan")
    }
    assert {claim.verdict for claim in ours if claim.quantity in EXACT} == {"supported", "contradicted"}
    assert {claim.verdict for claim in ours if claim.quantity not in EXACT} == {None}
    assert all(claim.statement.endswith(".") and claim.source for claim in ours)
