"""The criteria that will not apply, told before a soak: by the name and with the reason that its verdicts have."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.criteria import judge
from soaklib.commands.unjudged import unjudged
from soaklib.plan.changes import ChaosChange, HttpChange, UpstreamChange
from soaklib.plan.forecast import forecast
from soaklib.plan.given import AgentLimit
from soaklib.plan.loading import load_settings
from soaklib.plan.model import TargetTable, load_plan
from soaklib.plan.oracles import Trials
from soaklib.records import State
from soaklib.runner.preflight.findings import Found
from soaklib.targets.base import Meaning, MetricMap, Series

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
URL = ("--gateway-url", "http://127.0.0.1:1")
UPSTREAM = UpstreamChange(
    do="upstream", name="outage", at=0.5, lasts=0.1, phase="outage", phase_after="after", behave={"mode": "500"}
)
LITERAL = {"method": "PUT", "path": "/x"}
UNTOLD = HttpChange(
    do="http", name="mode", at=0.5, lasts=0.1, phase="on", phase_after="off", make=LITERAL, undo=LITERAL
)
LASTING = ("lasting changes show in the data", "recovers after lasting changes")
BREAKER = ("breaker engages during chaos", "breaker recovers after chaos")
EVERYTHING = Found(
    limit=AgentLimit(5, 60.0),
    metrics=frozenset(
        {"process_open_fds", "process_start_time_seconds", "nodejs_eventloop_lag_seconds",
         "litellm_input_tokens_metric_total", "litellm_spend_metric_total"}
    ),
    endpoints=frozenset({"health", "metrics"}),
    stated=frozenset({"first_token_at_us", "input_tokens", "cost_usd"}),
    knows_upstream=True,
    has_sessions=True,
)  # fmt: skip


def plan_of_everything(**changed):
    """Give a plan that leaves no criterion without something to judge."""
    plan = load_plan()
    changes = {
        "changes": (*plan.changes, UPSTREAM),
        "trials": Trials(of=("unknown",)),
        "target": TargetTable(kind="openai", is_litellm=True),
    }
    return plan.model_copy(update=changes | changed)


def not_judged(*arguments, plan=None, hindered=None, **found):
    """Give the criteria that will not apply, and why."""
    settings, plan = load_settings([*URL, *arguments]), plan or plan_of_everything()
    return dict(unjudged(plan, forecast(settings, plan), replace(EVERYTHING, **found), hindered or {}))


def test_a_soak_that_has_everything_is_judged_by_all():
    """Nothing is said to be not applicable."""
    assert not_judged() == {}


def test_what_is_not_known_is_not_said():
    """Without an answer, or a look at the upstream and the sessions, nothing is claimed of what they would tell."""
    assert not_judged(stated=None, knows_upstream=None, has_sessions=None, endpoints=None) == {}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"stated": frozenset({"input_tokens", "cost_usd"})},
         {"no drift in time to first token": "nothing was streamed"}),
        ({"stated": frozenset({"input_tokens", "first_token_at_us"})},
         {"money books balanced": "no answer says what it cost"}),
        ({"stated": frozenset({"cost_usd", "first_token_at_us"})},
         {"token books balanced": "no answer states its usage of tokens"}),
        ({"metrics": frozenset({"process_open_fds", "nodejs_eventloop_lag_seconds"})},
         {"no unplanned restart": "the gateway tells neither its start nor how many requests it counted",
          "token books balanced": "the gateway exposes no counter of tokens",
          "money books balanced": "the gateway exposes no counter of money"}),
        ({"knows_upstream": False},
         {"upstream asked once": "no mock upstream of the soak's own answers: the plan names none"}),
        ({"has_sessions": False}, {"sessions closed": "no session was opened"}),
        ({"endpoints": frozenset({"metrics"})}, {"healthy": "the gateway is not asked for its health"}),
        ({"endpoints": frozenset({"health"})},
         dict.fromkeys(("snapshots complete", "books balanced"), "the gateway has no metrics")),
        ({"endpoints": frozenset()},
         {"healthy": "the gateway is not asked for its health",
          "no drift in gateway memory": "the gateway does not say how much it holds",
          **dict.fromkeys(("snapshots complete", "books balanced"), "the gateway has no metrics")}),
        ({"limit": None},
         {"limits held": "neither the plan ([[limits]]) nor --agent-limit states a limit of calls"}),
    ],
)  # fmt: skip
def test_a_gateway_that_lacks_something(found, expected):
    """What its answers do not state, or it does not expose, takes away its own criteria and no others."""
    assert not_judged(**found) == expected


def test_a_plan_that_lacks_something():
    """Trials, probes, changes and sessions that are left to the server."""
    assert not_judged(plan=plan_of_everything(trials=None)) == {
        "identities refused": "the plan tries no token that must be refused ([trials])"
    }
    left = plan_of_everything(target=TargetTable(kind="mcp", close=False))
    assert not_judged(plan=left, stated=None) == {"sessions closed": "the plan leaves them to the server"}
    bare = not_judged(plan=plan_of_everything(changes=(), probes=()))
    assert bare == {
        "no false-allow": "the plan has no probe",
        "denials happen": "the plan has neither a probe nor a quota cut",
        "scheduled changes made": "the plan has no change",
        **dict.fromkeys(
            ("chaos shows in the data", *BREAKER, *LASTING, "quota cut works"), "the plan has no such change"
        ),
    }


def test_lasting_changes_that_cannot_be_judged():
    """One that nobody knows the effect of, and one that makes calls late, from which there is nothing to recover."""
    own = load_plan().changes
    unknown = "no such change says what it is meant to do: name its tool"
    assert not_judged(plan=plan_of_everything(changes=(*own, UNTOLD))) == dict.fromkeys(LASTING, unknown)
    late = UPSTREAM.model_copy(update={"behave": {"latency_ms": 500}})
    assert not_judged(plan=plan_of_everything(changes=(*own, late))) == {LASTING[1]: "the plan has no such change"}
    assert not_judged(hindered={3: "unsupported, there is no control"}) == dict.fromkeys(
        LASTING, "the gateway has no route for the change"
    )


def test_chaos_that_cannot_be_judged():
    """What the gateway has no route for, and jitter, by which no call fails; a refusal is none of the two."""
    hindered = {1: "unsupported, the gateway has no POST /x", 2: "refused, POST /y was answered with 403"}
    assert not_judged(hindered=hindered) == dict.fromkeys(
        ("chaos shows in the data", *BREAKER), "the gateway has no route for the change"
    )
    jitter = tuple(
        change.model_copy(update={"mode": "jitter"}) if isinstance(change, ChaosChange) else change
        for change in plan_of_everything().changes
    )
    assert not_judged(plan=plan_of_everything(changes=jitter)) == dict.fromkeys(
        BREAKER, "chaos by jitter makes no call fail"
    )


def test_a_soak_too_short_and_a_gateway_without_gauges():
    """No rotation falls due, and nothing tells of files and of the event loop."""
    assert not_judged("--hours", "0.2", metrics=EVERYTHING.metrics - {"process_open_fds"}) == {
        **dict.fromkeys(
            ("token rotations go unnoticed", "no error spike at rotations"), "the soak is too short for a rotation"
        ),
        "no drift in gateway files": "the gateway does not say how many files it has open",
    }
    assert not_judged(metrics=EVERYTHING.metrics - {"nodejs_eventloop_lag_seconds"}) == {
        "no drift in event-loop lag": "the gateway does not say how late its event loop is"
    }


def test_files_under_their_targets_name_are_judged(monkeypatch):
    """A gateway that calls its open files otherwise is not said to be silent of them; a counter of them is no gauge."""
    target = SimpleNamespace(metrics=MetricMap(meanings={Meaning.OPEN_FILES: Series("mygw_files")}))
    monkeypatch.setattr("soaklib.commands.unjudged.load_target", lambda _table: target)
    none = EVERYTHING.metrics - {"process_open_fds"}
    assert "no drift in gateway files" in not_judged(metrics=none)
    assert "no drift in gateway files" in not_judged(metrics=none | {"mygw_files_total"})
    assert "no drift in gateway files" not in not_judged(metrics=none | {"mygw_files"})


def test_what_is_told_before_is_what_the_verdicts_say_after():
    """The run in data/sample, as its preflight would have found it: the same criteria, and no other."""
    with open_run(SAMPLE) as run:
        plan, metrics = run.info.plan, frozenset(run.sql("select distinct metric from samples")["metric"])
        after = {one.name: one.detail for one in judge(run) if one.state == State.NOT_APPLICABLE}
    found = Found(
        metrics=metrics, endpoints=frozenset({"health", "metrics"}), stated=frozenset(), knows_upstream=False,
        has_sessions=False,
    )  # fmt: skip
    before = dict(unjudged(plan, forecast(load_settings(URL), plan), found, {}))
    assert before.keys() == after.keys()
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"upstream asked once"}  # the run knows of one reason more
