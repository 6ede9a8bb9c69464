"""The whitepaper of a run, built: the same bytes each time, and refused where a claim does not follow."""

import json
import re
import shutil
import sys
from functools import cache
from hashlib import sha256

import duckdb
import pytest

from soaklib.analysis.sources.run import find_run
from soaklib.commands.report import main
from soaklib.errors import RunError, SettingsError
from soaklib.store.foreign import FileState
from soaklib.whitepaper import ledger
from soaklib.whitepaper.build import build_whitepaper, check_claims, made_claims
from soaklib.whitepaper.claims import read_claims
from soaklib.whitepaper.ledger import ClaimError

pytestmark = pytest.mark.slow  # seconds for each paper

_FILES = ("claims.json", "whitepaper.html", "whitepaper.pdf")
_ONE_ROW = "update outcomes set kind = 'timeout' where purpose = 'load' and slot = 17 and step = 0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The sample with its whitepaper, to be copied, and its claims."""
    folder = tmp_path_factory.mktemp("built") / "run"
    folder.mkdir()
    shutil.copy(find_run("sample") / "run.duckdb", folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "success-rate.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    )
    (folder / "figures" / "success-rate.json").write_text('{"name": "success-rate", "caption": ""}')
    claims = made_claims(folder)
    build_whitepaper(folder, claims)
    return folder, claims


@pytest.fixture(scope="module")
def built(made):
    """The folder of it."""
    return made[0]


@pytest.fixture
def folder(built, tmp_path):
    """A copy of its own for a test that changes something."""
    return shutil.copytree(built, tmp_path / "run")


@pytest.fixture(scope="module")
def changed(made, tmp_path_factory):
    """The database of it with one row changed."""
    database = tmp_path_factory.mktemp("changed") / "run.duckdb"
    shutil.copy(made[0] / "run.duckdb", database)
    with duckdb.connect(str(database)) as connection:
        connection.execute(_ONE_ROW).fetchall()
    return database


@pytest.fixture(scope="module")
def answers():
    """What queries of the paper gave, by what they were asked of."""
    return {}


@cache
def _digest(_state, folder):
    """Tell a database's content, looked at once for as long as nothing touches it."""
    return sha256((folder / "run.duckdb").read_bytes()).digest()


@pytest.fixture
def asked_once(answers, monkeypatch):
    """Ask databases of the same bytes each query once for all tests: they ask what comes of the answers."""
    evaluate = ledger.evaluate

    def remembered(run, query, library):
        asked = _digest(FileState.of(run.folder / "run.duckdb"), run.folder), query
        if asked not in answers:
            answers[asked] = evaluate(run, query, library)
        return answers[asked].clone()

    monkeypatch.setattr(ledger, "evaluate", remembered)


def _content(folder):
    return {name: (folder / name).read_bytes() for name in _FILES if (folder / name).is_file()}


def test_two_builds_are_the_same_bytes(built, copy_sample):
    """Claims, HTML and PDF of one run are the same, byte for byte, in another folder and at another time."""
    other = copy_sample()
    shutil.copytree(built / "figures", other / "figures")
    build_whitepaper(other, made_claims(other))
    assert _content(other) == _content(built)


def test_the_date_is_the_runs_or_what_is_asked_for(made, folder, monkeypatch):
    """The PDF bears the time at which the run ended; SOURCE_DATE_EPOCH overrides it, and nonsense in it is told."""
    before = (folder / "whitepaper.pdf").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    build_whitepaper(folder, made[1])
    assert b"20010909" in (folder / "whitepaper.pdf").read_bytes()
    assert b"20010909" not in before
    assert b"20261124" in before
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(SettingsError, match="SOURCE_DATE_EPOCH='soon' is no whole number"):
        build_whitepaper(folder, made[1])


def test_captions_come_from_claims(built):
    """A figure's sidecar gets the caption of the paper, and the names of the claims in it."""
    told = json.loads((built / "figures" / "success-rate.json").read_text())
    assert re.search(r"n = \d{2},\d{3} calls that count", told["caption"])
    assert told["claims"] == ["levels.rate", "run.success_required", "success.n"]
    assert set(told["claims"]) <= {claim.name for claim in read_claims(built)}
    assert told["caption"] in re.sub(r"<[^>]+>", "", (built / "whitepaper.html").read_text())


@pytest.mark.usefixtures("asked_once")
def test_a_claim_that_no_longer_follows_ends_the_report(folder, changed, capsys, oks):
    """With one row changed, the report ends with code 1 and one sentence, and no file is touched, until --renew."""
    shutil.copy(changed, folder)
    before = _content(folder)
    assert main([str(folder)]) == 1
    told = capsys.readouterr().err
    assert re.search(r"soaklib\.report: the claim \S+ was \S+ and its query now gives \S+, and \d+ others", told)
    assert "pass --renew to state what the run says now" in told
    assert _content(folder) == before
    assert not (folder / "notebooks").exists()
    renewed = made_claims(folder, renew=True)
    build_whitepaper(folder, renewed)
    assert {claim.name: claim.value for claim in read_claims(folder)}["totals.ok"] == oks - 1
    assert made_claims(folder).claims == renewed.claims


@pytest.mark.usefixtures("asked_once")
def test_claims_can_be_checked_alone(folder, changed, capsys, oks):
    """--check-claims writes nothing; it says that all follow, or which do not, one a line."""
    before = _content(folder)
    assert main([str(folder), "--check-claims"]) == 0
    assert re.fullmatch(r"all \d+ claims follow from the run\n", capsys.readouterr().out)
    shutil.copy(changed, folder)
    assert main([str(folder), "--check-claims"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"soaklib.report: the claim totals.ok was {oks} and its query now gives {oks - 1}" in lines
    assert all(line.startswith("soaklib.report: the claim ") for line in lines)
    assert _content(folder) == before


def test_a_run_without_claims_has_none_to_check(copy_sample):
    """Where there is no claims.json, the check says how to make it."""
    with pytest.raises(SettingsError, match=r"there is no claims\.json in .*: make it with python -m soaklib\.report"):
        check_claims(copy_sample())


def test_damaged_claims_are_told(folder):
    """A claims.json that is none is an error that says what to do, not a traceback."""
    (folder / "claims.json").write_text('{"name": 1}')
    with pytest.raises(RunError, match="is no list of claims"):
        made_claims(folder)
    (folder / "claims.json").write_text('[{"nme": 1}]')
    with pytest.raises(RunError, match="--renew"):
        made_claims(folder)


@pytest.mark.parametrize(("module", "name"), [("typst", "whitepaper.pdf"), ("jinja2", "whitepaper.html")])
def test_what_cannot_be_rendered_is_told_and_the_rest_is_made(made, folder, monkeypatch, module, name):
    """Without a renderer one sentence says what to install; all else is written, and no old paper stays behind."""
    for stale in _FILES:
        (folder / stale).write_text("old")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"^{name} needs {module}, .*: pip install 'soaklib\[whitepaper\]'$"):
        build_whitepaper(folder, made[1])
    assert not (folder / name).exists()
    assert all((folder / other).read_bytes() != b"old" for other in _FILES if other != name)


def test_a_number_that_is_typed_ends_the_build(made, folder, monkeypatch):
    """A digit in a sentence of the paper ends the build, and the files stay as they were."""
    limits = sys.modules["soaklib.whitepaper.sections.limits"]
    monkeypatch.setattr(limits, "_LOST", {"totals.planned": "About 46 thousand calls."})
    before = _content(folder)
    with pytest.raises(ClaimError, match="state a number, '4', in 'About 46 thousand calls"):
        build_whitepaper(folder, made[1])
    assert _content(folder) == before
