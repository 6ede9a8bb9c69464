"""Judging a run in its folder."""

import shutil

import duckdb
import pytest
from soak_hour import write_soak_hour

import soaklib
from soaklib.evidence import judging
from soaklib.records import Verdict
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.tables import DATABASE_NAME

VERDICT = Verdict("success rate", 99.0, ">= 97 %", 10, 98.0, 99.5, "pass", "", "select 1")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A run of an hour."""
    folder = tmp_path_factory.mktemp("template")
    write_soak_hour(folder)
    return folder


@pytest.fixture
def folder(template, tmp_path):
    """A run of an hour, in a folder of its own."""
    return shutil.copytree(template, tmp_path / "run")


@pytest.fixture
def judged(monkeypatch):
    """Counts how often a run is judged."""
    seen = []

    def judge(run):
        seen.append(run.folder)
        return [VERDICT._replace(detail=f"verdict {len(seen)}")]

    monkeypatch.setattr(judging, "judge", judge)
    monkeypatch.setattr(judging, "_remembered", {})
    return seen


def verdicts_on(folder):
    with soaklib.open_run(folder) as run:
        return judging.verdicts_on(run)


def changed(folder, statement):
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        connection.execute(statement).fetchall()


def test_the_same_content_is_judged_once(folder, judged, tmp_path):
    """Also after its verdicts were written down, and in another folder."""
    first = verdicts_on(folder)
    changed(folder, "insert into verdicts values ('a', 1, '', 1, null, null, 'pass', '', '')")
    assert verdicts_on(folder) == first
    shutil.copytree(folder, tmp_path / "copy")
    assert verdicts_on(tmp_path / "copy") == first
    assert len(judged) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "update outcomes set kind = 'timeout' where slot = 7 and purpose = 'load'",
        "delete from scrapes where at_us = (select max(at_us) from scrapes)",
        "insert into outcomes select * from outcomes limit 1",
        "update run set hours = 2",
    ],
)
def test_other_content_is_judged_anew(folder, judged, statement):
    """One value of one row is enough."""
    first = verdicts_on(folder)
    changed(folder, statement)
    assert verdicts_on(folder) != first
    assert len(judged) == 2


def test_what_was_judged_before_is_known_for_the_same_content_alone(folder, judged):
    """Whoever goes on with a run that this process has judged asks for it; nothing is judged for that."""
    with soaklib.open_run(folder) as run:
        assert judging.judged_before(run) is None
        verdicts = judging.verdicts_on(run)
        assert judging.judged_before(run) == verdicts
    changed(folder, "update run set hours = 2")
    with soaklib.open_run(folder) as run:
        assert judging.judged_before(run) is None
    assert len(judged) == 1


def test_another_request_log_is_other_content(folder, judged):
    """The books rest on it."""
    first = verdicts_on(folder)
    (folder / "request-log.parquet").write_bytes(b"x")
    assert verdicts_on(folder) != first
    assert len(judged) == 2


def test_no_more_than_some_are_remembered(folder, judged, monkeypatch):
    """A process that judges many runs does not grow."""
    monkeypatch.setattr(judging, "_MOST_REMEMBERED", 2)
    for hours in range(1, 5):
        changed(folder, f"update run set hours = {hours}")
        verdicts_on(folder)
    assert len(judging._remembered) == 2
    assert len(judged) == 4


@pytest.mark.parametrize(
    "statement", ["delete from verdicts", "update verdicts set state = 'fail'", "update run set hours = 2"]
)
def test_a_run_is_held_to_what_it_holds(folder, judged, statement):
    """Without verdicts, with other ones, or with other data than they were made of, it is judged; else left alone."""
    (folder / SUMMARY_NAME).unlink(missing_ok=True)
    judging.settle(folder)
    assert (folder / SUMMARY_NAME).is_file()
    before = (folder / DATABASE_NAME).read_bytes()
    judging.settle(folder)
    assert (folder / DATABASE_NAME).read_bytes() == before
    changed(folder, statement)
    judging.settle(folder)
    with soaklib.open_run(folder) as run:
        assert run.verdicts().rows() == [tuple(verdict) for verdict in judging.verdicts_on(run)]
    assert len(judged) == 1 + ("hours" in statement)
