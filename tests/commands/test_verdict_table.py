from io import StringIO

import pytest
from rich.console import Console

from soaklib.commands.verdict_table import show_verdicts
from soaklib.records import State, Verdict

SUMMED_UP = {
    "run_id": "r1", "status": "completed", "success_rate": 99.0, "denial_rate": 1.0, "failure_rate": None,
    "totals": {"total": 100, "ok": 99, "denied": 1, "fail": 0},
}  # fmt: skip


def shown(*verdicts):
    written = StringIO()
    show_verdicts(
        [Verdict(name, 1.0, "> 0", 1, None, None, state, "seen", "select 1") for name, state in verdicts],
        SUMMED_UP, Console(file=written, width=100),
    )  # fmt: skip
    return written.getvalue()


def test_what_did_not_pass_is_shown_first():
    """Failures, then what could not be judged; within each the order in which criteria are read."""
    text = shown(("one", State.PASS), ("two", State.INSUFFICIENT), ("three", State.FAIL), ("four", State.PASS))
    assert sorted(("one", "two", "three", "four"), key=text.index) == ["three", "two", "one", "four"]


@pytest.mark.parametrize(("state", "is_said"), [(State.FAIL, True), (State.PASS, False)])
def test_a_machine_that_was_too_slow_is_said_to_be(state, is_said):
    """The reader is told what the other verdicts are worth, and what to do."""
    assert ("rehearse at a lower --speed" in shown(("measurement valid", state))) is is_said


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (0, "30 failed (30.000 %)"),
        (1, "1 probe refused as it must be, 29 failed (29.000 %)"),
        (29, "29 probes refused as they must be, 1 failed (1.000 %)"),
    ],
)
def test_a_probe_that_is_refused_as_it_must_be_has_not_failed(refused, said):
    """Whether by policy or for its token; the summary counts by kind."""
    written = StringIO()
    summed_up = SUMMED_UP | {"totals": {"total": 100, "ok": 60, "denied": 10, "fail": 30}, "denial_rate": 10.0}
    show_verdicts([], summed_up, Console(file=written, width=200), refused_probes=refused)
    last = written.getvalue().splitlines()[-1]
    assert last == f"100 planned calls: 60 ok, 10 denied, {said}; success rate 99.000 %, denial rate 10.000 %"


def test_of_no_call_no_share_has_failed():
    """There is nothing to divide by."""
    written = StringIO()
    summed_up = SUMMED_UP | {"totals": {"total": 0, "ok": 0, "denied": 0, "fail": 0}}
    show_verdicts([], summed_up, Console(file=written, width=200), refused_probes=0)
    assert "0 planned calls: 0 ok, 0 denied, 0 failed; " in written.getvalue()


def test_what_a_gateway_says_in_a_verdict_is_no_markup():
    """Names, details and the run's own name are shown as they are."""
    written = StringIO()
    verdict = Verdict("a[/b]", 1.0, "[red]0[/]", 1, None, None, State.FAIL, "at [/app/x.js:12]", "select 1")
    summed_up = SUMMED_UP | {"run_id": "r[/1]"}
    show_verdicts([verdict], summed_up, Console(file=written, width=120))
    text = written.getvalue()
    for words in ("run r[/1]: completed", "a[/b]", "at [/app/x.js:12] (required: [red]0[/])"):
        assert words in text
