"""What is found in a bundle's whitepaper that does not follow from its run."""

import dataclasses
import re
import shutil

import pytest

import soaklib
from soaklib.analysis.sources.run import find_run
from soaklib.analysis.verdicts.criteria import judge
from soaklib.records import State
from soaklib.whitepaper.build import build_whitepaper
from soaklib.whitepaper.checking import unfounded_claims
from soaklib.whitepaper.claims import read_claims, written


@pytest.fixture(scope="module")
def built(sample_ledger, tmp_path_factory):
    """The sample with its whitepaper."""
    made = tmp_path_factory.mktemp("built") / "run"
    made.mkdir()
    shutil.copy(find_run("sample") / "run.duckdb", made)
    build_whitepaper(made, sample_ledger)
    return made


@pytest.fixture
def folder(built, tmp_path):
    """A copy of its own for a test that changes something."""
    return shutil.copytree(built, tmp_path / "run")


@pytest.fixture
def found(sample_ledger, monkeypatch):
    """What is found in a folder whose run is the sample's, of which the claims are known."""
    monkeypatch.setattr("soaklib.whitepaper.checking.Ledger", lambda _, **__: sample_ledger)
    return _found


def _found(folder, *, is_same_version=True, verdicts=()):
    with soaklib.open_run(folder) as run:
        return list(unfounded_claims(run, verdicts, is_same_version=is_same_version))


def test_an_untouched_paper_follows(built):
    """Nothing is found in a paper as it was built, with every query asked again; a verdict that is another is."""
    with soaklib.open_run(built) as run:
        first, *others = judge(run)
    assert _found(built, verdicts=[first, *others]) == []
    other = first._replace(state=State.FAIL, detail="it was not")
    found = _found(built, verdicts=[other, *others])
    assert any(f"criteria[{first.name}].state" in text for text in found)


def test_a_bundle_without_a_paper_has_nothing_to_find(copy_sample):
    """A run that was never reported is no fault of this check."""
    assert _found(copy_sample()) == []


@pytest.mark.parametrize("is_same_version", [True, False])
def test_an_embellished_claim_is_found(folder, found, is_same_version, oks):
    """A better number in claims.json is told with its name, whichever version collected the bundle."""
    better = [
        dataclasses.replace(claim, value=46_500, text="46,500") if claim.name == "totals.ok" else claim
        for claim in read_claims(folder)
    ]
    (folder / "claims.json").write_text(written(better), "utf-8")
    told = found(folder, is_same_version=is_same_version)
    assert f"the claim totals.ok was 46500 and its query now gives {oks} (claims.json)" in told
    assert f"whitepaper.html says '{oks:,}' of the claim totals.ok, and claims.json does not" in told


def test_an_embellished_page_is_found(folder, found):
    """A better number in the page alone, in a claim or beside it, is told."""
    page = folder / "whitepaper.html"
    text = page.read_text("utf-8")
    page.write_text(re.sub(r">99\.\d\d(?=\D)", ">99.97", text), "utf-8")
    assert any(told.startswith("whitepaper.html says '99.97") for told in found(folder))
    page.write_text(
        text.replace("The run came to its planned end.", "The run came to its planned end 3 times."), "utf-8"
    )
    assert any("holds a number that no claim makes" in told for told in found(folder))
