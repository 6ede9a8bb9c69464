"""Verdicts that another way of judging gave are not shown as those of this one."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest
from polars.testing import assert_frame_equal

import soaklib
from soaklib.analysis.verdicts import criteria
from soaklib.evidence import judging
from soaklib.page.data import page_data
from soaklib.records import JUDGING, State, Verdict
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter, replace_verdicts

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
RECORDED, TODAY = (
    Verdict("success rate", rate, ">= 97 %", 1, None, None, State.PASS, said, "select")
    for rate, said in ((97.9, "as recorded"), (99.6, "as judged now"))
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the sample with a verdict of its own, where judging gives another one."""
    shutil.copy(SAMPLE / DATABASE_NAME, tmp_path)
    with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
        replace_verdicts(connection, [RECORDED])
    monkeypatch.setattr(criteria, "judge", lambda _run, *_names: [TODAY])
    monkeypatch.setattr(judging, "judge", lambda _run, *_names: [TODAY])
    monkeypatch.setattr(judging, "_remembered", {})
    return tmp_path


def changed(folder, statement):
    with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
        connection.execute(statement).fetchall()


def test_what_this_way_of_judging_recorded_is_shown(folder):
    """To show a verdict, nothing is judged."""
    with soaklib.open_run(folder) as run:
        assert (run.info.judged_by, soaklib.judged_anew(run)) == (JUDGING, None)
        assert run.verdict("success rate") == RECORDED
        assert "other way" not in run._repr_html_()


@pytest.mark.parametrize(
    ("environment", "way"),
    [("""'{"judged": {"by": 99}}'""", 99), ("'{}'", 1), ("""'{"judged": "by whom"}'""", 1)],
    ids=["a later one", "none is told", "what is told is none"],
)
def test_what_another_way_recorded_is_judged_anew_and_said_to_be(folder, environment, way):
    """On the page, in the card of the run, and wherever a verdict is asked for."""
    changed(folder, f"update run set environment = {environment}")
    with soaklib.open_run(folder) as run:
        assert run.verdict("success rate") == TODAY
        page = page_data(run)
        assert [one["detail"] for one in page["criteria"]] == ["as judged now"]
        assert f"(judged anew: its recorded verdicts were given by way {way} of judging" in page["verdict"]["sentence"]
        assert "1 pass, by another way of judging than this one" in run._repr_html_()


def test_a_run_that_was_never_judged_is_not_judged_anew(folder):
    """There is nothing that it could differ from."""
    changed(folder, "delete from verdicts")
    changed(folder, "update run set environment = '{}'")
    with soaklib.open_run(folder) as run:
        assert (soaklib.judged_anew(run), run.verdict("success rate")) == (None, TODAY)


def test_who_judges_a_folder_records_the_way_and_judges_once(folder, monkeypatch):
    """The summary says it too, and that it was written down makes the run no other one."""
    changed(folder, "update run set environment = '{}'")
    RunWriter(folder / DATABASE_NAME).close()  # the sample is of the first version of the schema, and becomes another
    judging.judge_folder(folder)
    monkeypatch.setattr(judging, "judge", None)  # what is remembered is not asked for
    with soaklib.open_run(folder) as run:
        assert judging.verdicts_on(run) == [TODAY]
        assert (run.info.judged_by, run.verdict("success rate")) == (JUDGING, TODAY)
    summary = json.loads((folder / "soak-summary.json").read_text())
    assert summary["configuration"]["environment"] == {"judged": {"by": JUDGING}}
    assert [one["detail"] for one in summary["verdicts"]] == ["as judged now"]


def test_the_samples_verdicts_follow_from_its_data():
    """Where they do not, JUDGING has to rise, and ``scripts/sample --judge`` to judge the sample by the new way."""
    judged = ["name", "state", "measure", "threshold", "n", "low", "high"]
    with soaklib.open_run(SAMPLE) as run:
        assert_frame_equal(
            run.verdicts().cast(criteria.VERDICTS_SCHEMA).select(judged), soaklib.criteria(run).select(judged)
        )
        assert run.info.judged_by == JUDGING
        assert json.loads((SAMPLE / "soak-summary.json").read_text())["verdicts"] == run.verdicts().to_dicts()
