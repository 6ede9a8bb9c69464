"""What a call that must be refused proves: that it was, that it was let through, or neither."""

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.oracles import identities_refused
from soaklib.analysis.verdicts.criteria.traffic import no_false_allow
from soaklib.analysis.verdicts.summary import refused_probes
from soaklib.plan.model import TargetTable, load_plan
from soaklib.plan.oracles import Trials

DEFAULT, OPENAI, MCP = TargetTable(), TargetTable(kind="openai"), TargetTable(kind="mcp")
REFUSED = {"kind": "unauthorized", "reason": "token_revoked", "status": 403}
PROBES = 10
NO_ID = {"correlation_id": None}
UNTOLD = [
    (DEFAULT, {"kind": "upstream_error", "reason": "upstream", "status": 502} | NO_ID),
    (DEFAULT, {"kind": "rate_limited", "reason": "rate_limit", "status": 429} | NO_ID),
    (DEFAULT, {"kind": "upstream_error", "reason": "internal", "status": 500}),
    (DEFAULT, {"kind": "invalid_request", "reason": "client_error", "status": 413}),
    (DEFAULT, {"kind": "invalid_response", "reason": "redirect", "status": 302}),
    (DEFAULT, {"kind": "timeout", "reason": "read_timeout", "status": None}),
    (OPENAI, {"kind": "upstream_error", "reason": "overloaded", "status": 503} | NO_ID),
    (OPENAI, {"kind": "upstream_error", "reason": "overloaded", "status": 503}),
    (OPENAI, {"kind": "rate_limited", "reason": "rate_limit", "status": 429, "limit": "requests"}),
    (OPENAI, {"kind": "fast_fail", "reason": "breaker_open", "status": 429} | NO_ID),
    (MCP, {"kind": "rate_limited", "reason": "rate_limit", "status": 429, "limit": "lock-out"}),
    (MCP, {"kind": "upstream_error", "reason": "upstream", "status": 503} | NO_ID),
    (MCP, {"kind": "unauthorized", "reason": "session_lost", "status": 404}),
    (DEFAULT, {"kind": "denied", "reason": "quota", "status": 403}),
    (OPENAI, {"kind": "denied", "reason": "budget", "status": 402}),
]
LET_THROUGH = [
    (DEFAULT, {"kind": "ok", "reason": None, "status": 200}),
    (DEFAULT, {"kind": "invalid_request", "reason": "parameters", "status": 400}),
    (DEFAULT, {"kind": "rate_limited", "reason": "rate_limit", "status": 429}),
    (DEFAULT, {"kind": "upstream_error", "reason": "upstream", "status": 502}),
    (DEFAULT, {"kind": "fast_fail", "reason": "breaker_open", "status": 502}),
    (DEFAULT, {"kind": "invalid_response", "reason": "body_invalid", "status": 200}),
    (OPENAI, {"kind": "ok", "reason": None, "status": 200} | NO_ID),
    (OPENAI, {"kind": "upstream_error", "reason": "upstream", "status": 500}),
    (MCP, {"kind": "upstream_error", "reason": "tool_error", "status": 200} | NO_ID),
    (MCP, {"kind": "upstream_error", "reason": "internal", "status": 200} | NO_ID),
    (MCP, {"kind": "invalid_request", "reason": "client_error", "status": 200} | NO_ID),
]


def said(case):
    """Give a parameter its name."""
    target, answer = case
    return f"{target.kind} {answer['kind']} {answer['reason']} {answer['status']} {answer.get('correlation_id', 'id')}"


@pytest.fixture
def judged(tmp_path):
    """Give a function that judges a run of answers to trials and probes by both criteria."""

    def judge(target, answers, *, load=()):
        rows = [outcome(number, **dict(load)) for number in range(3)]
        rows += [
            outcome(number, purpose=purpose, expected="deny", identity="revoked:scraper", role="stranger", **answer)
            for purpose in ("trial", "probe")
            for number, answer in enumerate(answers)
        ]
        [probe] = load_plan().probes
        plan = load_plan().model_copy(
            update={
                "target": target, "trials": Trials(of=("revoked",)),
                "probes": (probe.model_copy(update={"every_s": 86_400 / PROBES}),),
            }
        )  # fmt: skip
        with soaklib.open_run(written_run(tmp_path, plan=plan, rows=rows)) as run:
            return identities_refused(run), no_false_allow(run)

    return judge


@pytest.mark.parametrize("case", UNTOLD, ids=said)
def test_an_answer_of_one_who_asked_for_no_token_is_no_proof(judged, case):
    """It is neither let through nor refused, and how many such there were is said; the others decide."""
    target, answer = case
    refused, allowed = judged(target, [REFUSED] * (PROBES - 1) + [answer])
    assert (refused.state, refused.measure, allowed.state, allowed.measure) == ("pass", 0.0, "pass", 0.0)
    assert refused.detail == "revoked: 9 of 10 refused, 1 answered so that neither is told, or not at all"
    assert allowed.detail == (
        "10 probes sent, 9 denied, 0 let through, 1 answered so that neither is told, or not at all"
    )


@pytest.mark.parametrize("case", UNTOLD, ids=said)
def test_where_nothing_else_was_answered_nothing_is_known(judged, case):
    """Neither a pass nor a failure."""
    target, answer = case
    assert {verdict.state for verdict in judged(target, [answer] * PROBES)} == {"insufficient"}


def test_a_probe_that_is_refused_for_its_token_is_told_from_one_that_failed(tmp_path):
    """By the same rule as the criterion: of a role that makes load a token that is refused is no answer of policy."""
    answers = [
        ("stranger", REFUSED),
        ("stranger", REFUSED),
        ("scraper", REFUSED),
        ("stranger", {"kind": "denied", "reason": "scope", "status": 403}),
        ("stranger", {"kind": "unauthorized", "reason": "session_lost", "status": 404}),
        ("stranger", {"kind": "timeout", "reason": "read_timeout", "status": None}),
    ]
    rows = [
        outcome(number, purpose=purpose, expected="deny", role=role, **answer)
        for purpose in ("trial", "probe")
        for number, (role, answer) in enumerate(answers)
    ]
    with soaklib.open_run(written_run(tmp_path, plan=load_plan(), rows=rows)) as run:
        assert refused_probes(run) == 2
        assert no_false_allow(run).detail.startswith("6 probes sent, 3 denied, ")


@pytest.mark.parametrize("case", LET_THROUGH, ids=said)
def test_what_comes_after_the_door_proves_that_it_was_open(judged, case):
    """One such answer is enough, whatever became of the others."""
    target, answer = case
    verdicts = judged(target, [REFUSED] * (PROBES - 1) + [answer])
    assert [(verdict.state, verdict.measure) for verdict in verdicts] == [("fail", 1.0)] * 2


def test_a_default_gateway_whose_answers_bear_no_id_is_taken_at_its_word(judged):
    """Nothing tells its own 502 from a balancer's, and its contract says what comes before it."""
    answer = {"kind": "upstream_error", "reason": "upstream", "status": 502} | NO_ID
    verdicts = judged(DEFAULT, [REFUSED, answer], load=NO_ID)
    assert [verdict.state for verdict in verdicts] == ["fail"] * 2
