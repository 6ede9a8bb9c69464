"""What a kind of gateway cannot tell is not applicable: never failed, and never passed."""

import shutil
from pathlib import Path

import duckdb
import pytest
from stored_rows import with_plan

import soaklib
from soaklib.plan.model import TargetTable

SAMPLE = Path(__file__).parents[3] / "data" / "sample"
OTHER = with_plan(target=TargetTable(kind="openai"))
UNASKED = ("delete from scrapes", "delete from samples", "delete from events where name = 'METRICS_SNAPSHOT'")
UNTOLD = {
    "snapshots complete": "the gateway has no metrics",
    "healthy": "the gateway is not asked for its health",
    "no drift in gateway memory": "the gateway does not say how much it holds",
    "books balanced": "the gateway has none of the counters that are compared",
}


REFUSED = "update outcomes set kind = 'unauthorized', reason = 'token_invalid' where purpose = 'probe' and slot % 3 > 0"
STRANGER = "update outcomes set role = 'stranger' where purpose = 'probe' and kind = 'unauthorized'"
OF_KEYS = ("no false-allow", "token rotations go unnoticed")


@pytest.fixture
def judged(tmp_path):
    """Give the verdicts on the sample after some statements."""

    def judge(*statements, names=tuple(UNTOLD)):
        shutil.copytree(SAMPLE, tmp_path / "run", dirs_exist_ok=True)
        with duckdb.connect(tmp_path / "run" / "run.duckdb") as connection:
            for statement in statements:
                connection.execute(statement)
        with soaklib.open_run(tmp_path / "run") as run:
            rows = soaklib.criteria(run, *names).iter_rows(named=True)
            return {row["name"]: (row["state"], row["detail"]) for row in rows}

    return judge


def test_what_a_gateway_has_no_route_for_is_not_applicable(judged):
    """A gateway that has neither metrics nor health fails nothing for it."""
    assert judged(OTHER, *UNASKED) == {name: ("not applicable", detail) for name, detail in UNTOLD.items()}


def test_what_the_default_kind_did_not_tell_is_missed(judged):
    """The same run of a gateway that has these routes: its snapshots are missing, the rest could not be judged."""
    states = {name: state for name, (state, _) in judged(*UNASKED).items()}
    assert states == dict.fromkeys(UNTOLD, "insufficient") | {"snapshots complete": "fail"}


def test_another_kind_that_was_asked_is_judged(judged):
    """Once a gateway was asked for its metrics, a missing snapshot is a failure of whatever kind."""
    states = {name: state for name, (state, _) in judged(OTHER, UNASKED[2]).items()}
    assert (states["snapshots complete"], states["healthy"]) == ("fail", "pass")


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ("update samples set metric = 'http_requests_total' where metric like 'gateway_requests_total%'",
         ("pass", "24 of 24 snapshots; 4 of 5 metrics whose meaning is known")),
        ("delete from samples where metric like 'process_%'",
         ("not applicable", "24 of 24 snapshots; 0 of 5 metrics whose meaning is known")),
    ],
)  # fmt: skip
def test_another_kind_promises_its_own_metrics_alone(judged, others, verdict):
    """Whatever names it has, also such as begin like the default kind's: the key metrics are that kind's."""
    forge = with_plan(target=TargetTable(kind="mcp", is_contextforge=True, era="rpc", path="/rpc"))
    assert judged(forge, others, names=("snapshots complete",)) == {"snapshots complete": verdict}


def test_a_key_that_is_there_to_be_refused_is_no_failed_rotation(judged):
    """A probe of a role that makes no load is refused for its key: that is a denial, and no failed rotation."""
    verdicts = judged(REFUSED, STRANGER, names=OF_KEYS)
    assert {name: state for name, (state, _) in verdicts.items()} == dict.fromkeys(OF_KEYS, "pass")


ALL_REFUSED = "update outcomes set kind = 'unauthorized', role = 'stranger' where purpose = 'probe'"


@pytest.mark.parametrize(
    ("statements", "verdict"),
    [
        ((ALL_REFUSED,), "not applicable"),
        ((ALL_REFUSED, "update outcomes set kind = 'ok' where purpose = 'probe' and slot % 9 = 0"), "fail"),
        ((ALL_REFUSED, "update outcomes set attempts = 0 where purpose = 'probe'"), "fail"),
    ],
)
def test_probes_that_are_refused_for_their_token_ask_nothing_of_policy(judged, statements, verdict):
    """As those of FastMCP, which knows no policy; one that got in shows that policy was asked, and denied nothing."""
    nothing = "update outcomes set kind = 'ok', reason = null where kind = 'denied'"
    told = judged(OTHER, nothing, *statements, with_plan(changes=()), names=("denials happen",))
    assert told["denials happen"][0] == verdict


def test_a_refused_key_of_the_load_is_no_denial_by_policy(judged):
    """The same answers to a role that makes load: its token failed, and two thirds of the probes tried no policy."""
    verdicts = judged(REFUSED, names=OF_KEYS)
    assert {name: state for name, (state, _) in verdicts.items()} == {
        "no false-allow": "insufficient", "token rotations go unnoticed": "fail",
    }  # fmt: skip


KEPT = "update events set name = 'TOKENS_KEPT' where name = 'TOKENS_ROTATED'"
ROTATIONS = ("token rotations go unnoticed", "no error spike at rotations")


def test_keys_that_are_never_replaced_pass_no_rotation(judged):
    """Where each rotation found no new tokens, nothing was rotated unnoticed: not applicable, as is a spike at it."""
    verdicts = judged(OTHER, KEPT, names=ROTATIONS)
    assert verdicts == {
        ROTATIONS[0]: ("not applicable", "the gateway gives no new tokens: the plan's own were kept"),
        ROTATIONS[1]: ("not applicable", "no rotation happened"),
    }


def test_rotations_that_were_due_while_a_conductor_was_gone_are_not_judged(judged):
    """Its lanes rotate by themselves; one that failed for another reason fails."""
    failed = (
        "update events set name = 'TOKENS_ROTATION_FAILED', detail = '{}' "
        "where event_key in ('rotation:1', 'rotation:2')"
    )
    [(state, detail)] = judged(failed.format("nobody lived while it was due"), names=ROTATIONS[:1]).values()
    assert state == "pass"
    assert detail.endswith("; 2 rotations more were due while nobody lived")
    [(state, _)] = judged(failed.format("no answer"), names=ROTATIONS[:1]).values()
    assert state == "fail"


def test_a_key_that_is_kept_and_refused_is_a_failure(judged):
    """A call of the load that was refused for its token fails, however long the token is kept."""
    refused = "update outcomes set kind = 'unauthorized', reason = 'token_invalid' where purpose = 'load' and slot = 7"
    assert judged(OTHER, KEPT, refused, names=ROTATIONS)[ROTATIONS[0]][0] == "fail"
