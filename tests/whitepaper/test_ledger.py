"""Claims are made of queries, can be made again, and are told apart from those that do not follow any more."""

import dataclasses
import json
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import soaklib
from soaklib.analysis.verdicts import criteria
from soaklib.records import State, Verdict
from soaklib.whitepaper import ledger
from soaklib.whitepaper.build import made_claims
from soaklib.whitepaper.catalogue import CATALOGUE
from soaklib.whitepaper.claims import Claim, read_claims, same_value, written
from soaklib.whitepaper.document import Code
from soaklib.whitepaper.ledger import Ledger, broken_claims, evaluate
from soaklib.whitepaper.sections.appendix import queries

_TOTALS = [family for family in CATALOGUE if family.name in {"totals", "summary", "tools"}]


def test_families_have_names_of_their_own():
    """No claim can have the name of another."""
    names = [family.name for family in CATALOGUE]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def asked_again(sample_ledger):
    """What each query of the sample's claims gives when it is asked once more, of the run opened anew."""
    asked = {claim.query for claim in sample_ledger.claims.values()}
    library = ledger.Remembered(soaklib)  # `test_every_query_can_be_asked_by_hand` does without
    with soaklib.open_run("sample") as run:
        return {query: evaluate(run, query, library) for query in asked}


def test_two_rows_of_one_name_are_refused():
    """Of their claims one would be lost, and the paper would say what its ledger does not."""
    [family] = [one for one in CATALOGUE if one.name == "by_hand"]
    frame = pl.DataFrame({"place": [1, 1], "name": ["a", "b"], "detail": ["", ""], "soak_s": [0.0, 1.0], "n": [2, 2]})
    with pytest.raises(ledger.ClaimError, match=r"two rows of what is claimed are called by_hand\[1\], by select"):
        ledger._rows(family, "select", frame)


def test_an_entry_can_be_recomputed_from_itself_alone(sample_ledger, asked_again):
    """Query, row and column of each entry, as written to claims.json, give its value again."""
    entries = json.loads(written(sample_ledger.claims.values()))
    assert len(entries) > 500
    for entry in entries:
        frame = asked_again[entry["query"]]
        for column, value in entry["where"].items():
            frame = frame.filter(pl.col(column).eq_missing(pl.lit(value)))
        assert frame.height == 1, entry["name"]
        found = frame[entry["column"]].item()
        again = Claim.made("", "", "", {}, value=found, unit="", n=None, low=None, high=None).value
        assert same_value(entry["value"], again), entry["name"]


def test_two_ledgers_of_a_run_are_the_same_text(sample_ledger, asked_again, monkeypatch):
    """The same run gives the same bytes of claims.json, each query asked twice."""
    monkeypatch.setattr(ledger, "evaluate", lambda run, query, library: _known(asked_again, run, query, library))
    with soaklib.open_run("sample") as run:
        assert written(Ledger(run).claims.values()) == written(sample_ledger.claims.values())


def _known(frames, run, query, library):
    """Give what a query gave; one that makes no claim of this run was not asked yet."""
    return frames[query] if query in frames else evaluate(run, query, library)


def test_numbers_are_those_that_the_library_gives(sample_ledger, asked_again):
    """A claim on success or a verdict is what the library says, not a second definition."""
    with soaklib.open_run("sample") as run:
        rate = soaklib.success_rate(run, every="all").row(0, named=True)
    verdicts = {row["name"]: row for row in asked_again["soaklib.criteria(run)"].to_dicts()}
    claim = sample_ledger["success.success_rate"]
    assert (claim.value, claim.n) == (pytest.approx(rate["success_rate"]), rate["n"])
    assert (claim.low, claim.high) == (pytest.approx(rate["low"]), pytest.approx(rate["high"]))
    for name, row in verdicts.items():
        assert sample_ledger[f"criteria[{name}].state"].value == row["state"]
        assert sample_ledger[f"criteria[{name}].measure"].n == row["n"]


def test_one_row_changes_what_the_ledger_says(copy_sample, oks):
    """A single changed row of run.duckdb breaks claims, and each is told with its old and its new value."""
    same = copy_sample()
    changed = copy_sample("update outcomes set kind = 'timeout' where purpose = 'load' and slot = 17 and step = 0")
    with soaklib.open_run(same) as run:
        recorded = list(Ledger(run, _TOTALS).claims.values())
    with soaklib.open_run(same) as run:
        assert list(broken_claims(recorded, Ledger(run, _TOTALS))) == []
    with soaklib.open_run(changed) as run:
        told = [str(claim) for claim in broken_claims(recorded, Ledger(run, _TOTALS))]
    assert f"the claim totals.ok was {oks} and its query now gives {oks - 1}" in told
    assert "the claim totals.given_up was 0 and its query now gives 1" in told


def test_a_claim_by_another_query_is_broken(copy_sample):
    """What another query said has nothing behind it, unless another version of soaklib is known to have asked."""
    with soaklib.open_run(copy_sample()) as run:
        ledger = Ledger(run, _TOTALS)
    recorded = [dataclasses.replace(claim, query="select 1") for claim in ledger.claims.values()]
    assert len(list(broken_claims(recorded, ledger))) == len(recorded)
    assert list(broken_claims(recorded, ledger, is_same_version=False)) == []


def test_claims_that_are_missing_or_strange_are_broken(copy_sample):
    """A claim that is no longer made, and one that was not stated, are both told."""
    with soaklib.open_run(copy_sample()) as run:
        ledger = Ledger(run, _TOTALS)
    claims = list(ledger.claims.values())
    strange = dataclasses.replace(claims[0], name="totals.strange")
    told = [str(claim) for claim in broken_claims([*claims[1:], strange], ledger)]
    assert told == [
        f"the claim totals.strange was {strange.text} by another query and its query now gives nothing",
        f"the claim {claims[0].name} was not stated and its query now gives {claims[0].text}",
    ]


def test_a_wrong_wording_is_broken(copy_sample):
    """A value that is right and said wrongly does not pass."""
    with soaklib.open_run(copy_sample()) as run:
        ledger = Ledger(run, _TOTALS)
    recorded = [dataclasses.replace(claim, text="99") for claim in ledger.claims.values()]
    assert len(list(broken_claims(recorded, ledger))) == len(recorded)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (86_000_000, 85_999_999, False),
        (86_000_000, 86_000_000, True),
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0 + 1e-6, False),
        (1, 1.0, False),
        (None, 0, False),
        ("pass", "fail", False),
    ],
)
def test_whole_numbers_are_compared_exactly(old, new, same):
    """One call of 86 million matters; the last digits of a fraction do not."""
    assert same_value(old, new) is same


def test_claims_survive_their_file(sample_ledger, tmp_path):
    """What is read from claims.json is what was written."""
    (tmp_path / "claims.json").write_text(written(sample_ledger.claims.values()), "utf-8")
    assert read_claims(tmp_path) == list(sample_ledger.claims.values())
    assert read_claims(tmp_path / "nowhere") is None


_BY_HAND = """
import json, pickle, sys
from soaklib.whitepaper import ledger
asked, judged = json.load(sys.stdin)
found = {query: eval(query) if query.startswith("soaklib.") else run.sql(query) for query in asked + judged}
assert all(result is not None for result in found.values())
sys.stdout.buffer.write(pickle.dumps({query: ledger._framed(found[query]) for query in asked}))
"""


@pytest.mark.slow
def test_every_query_can_be_asked_by_hand(writer, sample_ledger, asked_again):
    """In a Python of its own, after the lines that the appendix gives, each query of the paper can be typed in.

    It gives what the ledger was given, in which no function is called twice with the same.
    """
    appendix = queries(writer)
    [before] = (block for block in appendix.blocks if isinstance(block, Code))
    judged = [row.claims["query"].value for row in sample_ledger.rows("criteria")]
    assert len(asked_again) > 30
    typed = before.text.replace('"RUN"', '"sample"')
    assert typed != before.text
    done = subprocess.run(
        [sys.executable, "-c", f"{typed}\n{_BY_HAND}"], input=json.dumps([sorted(asked_again), judged]).encode(),
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for query, frame in pickle.loads(done.stdout).items():  # noqa: S301 - ours
        assert_frame_equal(frame, asked_again[query])


@pytest.mark.parametrize(("verdicts", "times"), [(None, 1), ([], 0)])
def test_a_run_is_judged_once_for_all_claims_or_not_where_it_was_already(monkeypatch, asked_again, verdicts, times):
    """It takes half of the time that the claims of a day take; what is plain SQL judges nothing."""
    plain = {query: frame for query, frame in asked_again.items() if not query.startswith("soaklib.")}
    monkeypatch.setattr(ledger, "evaluate", lambda run, query, library: _known(plain, run, query, library))
    judged = []
    noting = {name: partial(_noting, judged, name) for name in criteria.CRITERIA}
    monkeypatch.setattr(criteria, "CRITERIA", noting)
    made_claims(Path(__file__).parents[2] / "data" / "sample", renew=True, verdicts=verdicts)
    assert judged == list(noting) * times


def _noting(judged, name, _run):
    """Say something of a criterion in place of it: what is asked here is how often."""
    judged.append(name)
    return Verdict(name, 1.0, "", 1, None, None, State.PASS, "", "")
