"""What a pipeline shows of a run."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from soaklib.errors import RecordingError
from soaklib.reports.pipeline import SUMMARY_VARIABLE, junit_xml, step_summary, tell_pipeline

_STATES = ("pass", "fail", "insufficient", "not applicable")
_ROWS = [
    {
        "name": f"criterion <{state}>", "measure": 99.5, "threshold": ">= 97 %", "n": 1200, "low": 99.0, "high": None,
        "state": state, "detail": "seen | \x00 [x](http://evil) @me <b>", "query": "select 1",
    }
    for state in _STATES
]  # fmt: skip


@pytest.mark.parametrize(("strict", "failed", "skipped"), [(False, 1, 2), (True, 3, 0)])
def test_criteria_are_tests_that_fail_as_the_exit_code_does(strict, failed, skipped):
    """What makes the exit code 1 is a failure, what does not and is no pass is skipped; the counts say so."""
    suite = ET.fromstring(junit_xml("r1", _ROWS, strict=strict))[0]  # noqa: S314 - our own words
    assert {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "soak r1", "tests": "4", "failures": str(failed), "errors": "0", "skipped": str(skipped),
    }  # fmt: skip
    assert [case.get("name") for case in suite] == [f"criterion <{state}>" for state in _STATES]
    assert len(suite.findall("testcase/failure")) == failed
    assert len(suite.findall("testcase/skipped")) == skipped
    assert suite[1][0].get("message") == "fail: seen | \ufffd [x](http://evil) @me <b> (required: >= 97 %)"


def test_the_summary_begins_with_the_verdict_and_shows_foreign_text_as_it_is():
    """The verdict, then the failures; what a run says is no table cell, link, mention or element of its own."""
    lines = step_summary("r1", _ROWS).splitlines()
    assert (
        lines[0] == "### FAIL: 1 of 2 criteria fails: criterion &lt;fail>; 1 open question: criterion &lt;insufficient>"
    )
    assert lines[6] == (
        "| ✗ fail | criterion &lt;fail> | 99.5 | >= 97 % | 1,200 | 99 to - | "
        "seen \\| \x00 \\[x\\](http:\u200b//evil) @\u200bme &lt;b> |"
    )
    assert [line.split("|")[1].split()[-1] for line in lines[6:10]] == ["fail", "insufficient", "pass", "applicable"]


def test_both_are_written_where_they_are_asked_for(tmp_path, monkeypatch):
    """The file gets the XML, and GitHub's summary is added to; without either nothing is written."""
    monkeypatch.delenv(SUMMARY_VARIABLE, raising=False)
    tell_pipeline("r1", _ROWS, junit=None)
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv(SUMMARY_VARIABLE, str(summary))
    tell_pipeline("r1", _ROWS, junit=tmp_path / "junit.xml")
    assert (tmp_path / "junit.xml").read_text("utf-8") == junit_xml("r1", _ROWS)
    assert summary.read_text("utf-8") == f"before\n{step_summary('r1', _ROWS)}"
    with pytest.raises(RecordingError, match=r"cannot write .*no/junit.xml: No such file"):
        tell_pipeline("r1", _ROWS, junit=tmp_path / "no" / "junit.xml")
