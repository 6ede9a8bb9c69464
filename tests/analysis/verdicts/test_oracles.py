"""Identities that must be refused: the sample with trials of its own, as a gateway might have answered them."""

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.oracles import identities_refused
from soaklib.analysis.verdicts.summary import summary
from soaklib.plan.model import load_plan
from soaklib.plan.oracles import Trials
from soaklib.records import Event, EventName

REFUSALS = {
    "unknown": ("unauthorized", "token_invalid"), "expired": ("unauthorized", "token_expired"),
    "revoked": ("unauthorized", "token_revoked"), "scope": ("denied", "scope"),
}  # fmt: skip
PLANNED = tuple(REFUSALS)


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of trials: trial -> kinds of its answers; and of reasons why one was not."""
    opened = []

    def make(answers, why=(), *, of=PLANNED):
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        rows = [outcome(number, kind="ok" if number % 3 else "timeout") for number in range(30)]
        rows += [
            outcome(
                number, purpose="trial", identity=f"{trial}:scraper", expected="deny", kind=kind,
                status=None if kind == "timeout" else 200,
            )
            for number, (trial, kind) in enumerate((trial, kind) for trial, kinds in answers.items() for kind in kinds)
        ]  # fmt: skip
        events = [Event(1, EventName.TRIAL_NOT_POSSIBLE, text, None, subject=trial) for trial, text in why]
        plan = load_plan().model_copy(update={"trials": Trials(of=of) if of else None})
        written_run(folder, plan=plan, rows=rows, events=events)
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


GOOD = {trial: [kind] * 3 for trial, (kind, _) in REFUSALS.items()}


def test_all_refused_passes_with_each_number(run_of):
    """Each kind is told with how many were refused."""
    verdict = identities_refused(run_of(GOOD))
    assert (verdict.state, verdict.measure, verdict.n) == ("pass", 0.0, 12)
    assert verdict.detail == (
        "expired: 3 of 3 refused; revoked: 3 of 3 refused; scope: 3 of 3 refused; unknown: 3 of 3 refused"
    )


@pytest.mark.parametrize("kind", ["ok", "rate_limited", "upstream_error", "invalid_request", "fast_fail"])
def test_a_revoked_token_that_gets_past_the_door_fails(run_of, kind):
    """Whatever came of the call behind it: who is not known is refused first."""
    verdict = identities_refused(run_of(GOOD | {"revoked": ["unauthorized", kind, kind]}))
    assert (verdict.state, verdict.measure) == ("fail", 2.0)
    assert "revoked: 2 of 3 let through" in verdict.detail


def test_a_kind_that_was_never_answered_is_no_pass(run_of):
    """Time limits and lost connections say nothing."""
    verdict = identities_refused(run_of(GOOD | {"expired": ["timeout"]}))
    assert (verdict.state, verdict.measure) == ("insufficient", 0.0)


def test_a_kind_whose_turn_never_came_is_no_pass(run_of):
    """It was planned, and nothing says why it was not tried."""
    verdict = identities_refused(run_of({trial: kinds for trial, kinds in GOOD.items() if trial != "revoked"}))
    assert verdict.state == "insufficient"
    assert "revoked not tried: its turn never came" in verdict.detail


def test_what_cannot_be_tried_is_told_with_its_sentence(run_of):
    """The others are judged; where none can be tried the criterion is not applicable."""
    why = [("revoked", "its tokens come from the environment")]
    rest = {trial: kinds for trial, kinds in GOOD.items() if trial != "revoked"}
    verdict = identities_refused(run_of(rest, why))
    assert verdict.state == "pass"
    assert "revoked not tried: its tokens come from the environment" in verdict.detail
    none = identities_refused(run_of({}, [(trial, "no key is needed") for trial in PLANNED]))
    assert none.state == "not applicable"


def test_a_plan_without_trials_is_not_applicable(run_of):
    """Nothing was asked for."""
    assert identities_refused(run_of({}, of=())).state == "not applicable"


def test_trials_change_no_total_and_no_rate(run_of):
    """A refused trial is what it should be: totals, kinds and rates are those of load and probes."""
    without = run_of({})
    before, counted = summary(without, ()), soaklib.outcome_counts(without, every="all")
    run = run_of(GOOD)
    after = summary(run, ())
    assert before["totals"] == {"ok": 20, "denied": 0, "fail": 10, "total": 30}
    assert {name: after[name] for name in ("totals", "kinds", "success_rate", "failure_rate")} == {
        name: before[name] for name in ("totals", "kinds", "success_rate", "failure_rate")
    }
    assert soaklib.outcome_counts(run, every="all").equals(counted)
    assert soaklib.outcome_counts(run.outcomes(), every="all")["n"].sum() == 30
    assert run.outcomes().filter(purpose="trial").height == 12
