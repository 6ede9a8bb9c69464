"""Which earlier runs a week is held against."""

from types import SimpleNamespace

import pytest

from soaklib.evidence import baseline
from soaklib.evidence.baseline import Baseline, EarlierRuns
from soaklib.evidence.comparison import AS_ASKED, Comparison, write_comparison

_NOW = "20260301T060000Z-0009"


@pytest.fixture
def earlier(tmp_path, monkeypatch):
    """Give a function that makes runs, `a` for one that accepts a level, `.` for another, capital letters not good."""
    monkeypatch.setattr(baseline, "_why_not_good", lambda folder, _: (folder / "why").read_text() or None)

    def make(runs):
        for number, kind in enumerate(runs):
            folder = tmp_path / f"202601{number + 1:02}T060000Z-{number:04}"
            folder.mkdir()
            (folder / "run.duckdb").touch()
            (folder / "why").write_text("" if kind in ".a" else "a criterion failed")
            detail = AS_ASKED if kind in "aA" else "the last good run"
            write_comparison(folder, Comparison(run_id=folder.name, against="another", detail=detail))
        return EarlierRuns(tmp_path, SimpleNamespace(run_id=_NOW))

    return make


def _numbers(folders):
    return [int(folder.name[-4:]) for folder in folders]


@pytest.mark.parametrize(
    ("runs", "oldest", "good"),
    [
        ("....", 0, [3, 2, 1, 0]),
        ("X..X", 1, [2, 1]),
        ("..Xa.", 3, [4, 3]),
        ("..A.", 0, [3, 1, 0]),
        (".a.a", 3, [3]),
        (".........", 0, [8, 7, 6, 5, 4, 3]),
    ],
)
def test_a_level_stands_from_the_last_good_run_on_that_accepted_it(earlier, runs, oldest, good):
    """Good runs before it are of another level, and say neither how far runs differ nor what has crept."""
    known = earlier(runs)
    assert _numbers([known.oldest()]) == [oldest]
    assert _numbers(known.good()) == good


@pytest.mark.parametrize(("runs", "anchor"), [("...", [0]), (".", []), ("..a", []), ("..aX", []), ("X", []), ("", [])])
def test_the_anchor_is_another_run_than_the_baseline(earlier, runs, anchor):
    """Or there is none: one good run is both, and without any there is neither."""
    known = earlier(runs)
    found = known.anchor(known.baseline())
    assert _numbers([found] if found is not None else []) == anchor


def test_a_run_that_was_asked_for_has_no_anchor_beside_it(earlier, tmp_path):
    """Who names the run to compare with accepts its level, and what has crept up to it."""
    known = earlier("...")
    assert known.anchor(known.baseline(against=tmp_path)) is None
    assert known.anchor(Baseline(tmp_path, "the last good run")) is not None


def test_a_damaged_comparison_accepts_nothing(earlier, tmp_path):
    """Nobody knows what it said; the level before it stands."""
    known = earlier("..a.")
    (tmp_path / "20260103T060000Z-0002" / "comparison.json").write_text("")
    assert _numbers([known.oldest()]) == [0]
