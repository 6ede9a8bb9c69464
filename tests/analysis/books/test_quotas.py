"""A quota that a plan cut: days of calls under gateways that keep it, and under such as do not."""

from collections import Counter
from functools import partial
from itertools import product

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.books.quotas import CutQuota, kept
from soaklib.analysis.verdicts.criteria.changes import quota_cut_works
from soaklib.plan.model import Plan, load_plan
from soaklib.records import Event, EventName

SECOND = 1_000_000
HOUR_S = 3600
EVERY_S, CUT_S, END_S = 30, 16 * HOUR_S, 24 * HOUR_S
LIMIT = 60
SCOPE = {"role": "enricher", "tool": "openai", "action": "chat"}
CUT = Event(
    CUT_S * SECOND, EventName.POLICY_UPDATED_OPENAI_QUOTA_REDUCED,
    f"role=enricher action=openai:chat limit={LIMIT} window=1h", "change:2:update-policy",
)  # fmt: skip


def fixed(begins_s):
    """Give a gateway that lets so many calls of each hour through; its hours begin at some second of ours."""
    used = Counter()

    def lets(second):
        hour = (second - begins_s) // HOUR_S
        is_let = second < CUT_S or used[hour] < LIMIT
        used[hour] += is_let
        return is_let

    return lets


def sliding(second, let):
    """Say whether a gateway that counts the last hour lets a call through; `let` are the seconds of those before."""
    let[:] = [before for before in let if before > second - HOUR_S]
    if second >= CUT_S and len(let) >= LIMIT:
        return False
    let.append(second)
    return True


def calls(lets):
    """Give a call every half minute, a day long; `lets` says of its second whether it is let through."""
    for second in range(0, END_S, EVERY_S):
        denied = {} if lets(second) else {"kind": "denied", "reason": "quota", "status": 403}
        at_us = second * SECOND
        yield outcome(second, planned_at_us=at_us, sent_at_us=at_us, done_at_us=at_us + 20_000, **SCOPE | denied)


@pytest.fixture
def judged(tmp_path):
    """Give a function that judges a day under a gateway, with events beside the cut; also by the book alone."""

    def judge(lets, more=(), **of_run):
        rows = list(calls(lets))
        with soaklib.open_run(written_run(tmp_path, plan=load_plan(), rows=rows, events=[CUT, *more], **of_run)) as run:
            book = kept(run, CutQuota("enricher", "openai:chat", LIMIT, HOUR_S, CUT_S * SECOND, None))
            return quota_cut_works(run), book

    return judge


@pytest.mark.parametrize("begins_s", [0, 900, 2700])
def test_a_quota_that_is_kept_passes_wherever_its_windows_begin(judged, begins_s):
    """Sixty of 120 calls an hour; the hour of the cut had room for none or some."""
    verdict, book = judged(fixed(begins_s))
    assert (verdict.state, book.held, book.early) == ("pass", None, 0), verdict
    assert verdict.detail.startswith("0 quota denials before the cut, ")


def test_one_that_counts_the_last_hour_passes_as_well(judged):
    """It allows less than windows that begin anew, and never denies with fewer than its limit before."""
    verdict, book = judged(partial(sliding, let=[]))
    assert (verdict.state, book.held, book.early) == ("pass", None, 0), verdict


def test_a_quota_of_nothing_is_over_enforced(judged):
    """Not one call of the tool gets through after the cut: it was cut to 60 an hour, and not to none."""
    verdict, book = judged(lambda second: second < CUT_S)
    assert (verdict.state, book.ok, book.fewest) == ("fail", 0, 0)
    assert "OVER-enforced: 893 calls of openai:chat denied too early, one when 0 of the 60 had" in verdict.detail


def spans(*these):
    """Give calls by when they were sent and done, in seconds; a third word says that one was denied."""
    for number, (sent_s, done_s, *denied) in enumerate(these):
        at_us = {"planned_at_us": sent_s * SECOND, "sent_at_us": sent_s * SECOND, "done_at_us": done_s * SECOND}
        yield outcome(number, **SCOPE | at_us | ({"kind": "denied", "reason": "quota"} if denied else {}))


@pytest.mark.parametrize(
    ("these", "early"),
    [
        ([(0, 1), (CUT_S + 100, CUT_S + 101, "denied")], 1),
        ([(CUT_S - 60, CUT_S - 59), (CUT_S + 100, CUT_S + 101, "denied")], 0),
        ([(0, CUT_S + 10), (CUT_S + 100, CUT_S + 101, "denied")], 0),
        ([(0, 1), (CUT_S - HOUR_S - 9, CUT_S - HOUR_S + 200), (CUT_S + 100, CUT_S + 101, "denied")], 0),
    ],
    ids=["nothing in its hour", "the run began in its hour", "the first ended in it", "one ended in it"],
)  # fmt: skip
def test_calls_that_were_sent_before_the_windows_length_count_where_they_ended_in_it(tmp_path, these, early):
    """By the widest reading; and from when on the calls are known is told by the run's first."""
    with soaklib.open_run(written_run(tmp_path, plan=load_plan(), rows=list(spans(*these)), events=[CUT])) as run:
        assert kept(run, CutQuota("enricher", "openai:chat", 1, HOUR_S, CUT_S * SECOND, None)).early == early


def test_a_quota_that_hardly_exists_is_under_enforced(judged):
    """One denial in eight hours: no hour holds more than two windows may, but two hours do."""
    verdict, book = judged(lambda second: second != CUT_S + HOUR_S)
    assert (verdict.state, book.early) == ("fail", 0)
    assert (book.held, book.may_hold, book.windows) == (240, 180, 2)
    assert (
        "UNDER-enforced: 240 calls of openai:chat answered ok within 2 windows of 1 h, where a limit of 60 leaves room "
        "for 180"
    ) in verdict.detail


def test_a_gateway_that_began_anew_counts_anew(judged):
    """Each time that its agents were gone it may have let another limit through."""
    gone = [Event((CUT_S + number) * SECOND, EventName.AGENTS_LOST, "", None) for number in range(1, 9)]
    verdict, _ = judged(lambda second: second != CUT_S + HOUR_S, more=gone)
    assert verdict.state == "pass", verdict


def test_what_a_hand_changed_again_is_no_fault_of_the_cut(judged):
    """From then on the plan does not know the limit."""
    by_hand = Event(
        (CUT_S + HOUR_S) * SECOND, "POLICY_UPDATED_OPENAI_QUOTA_RAISED",
        "by hand at 2026-11-24T16:16:07.288Z: policy=p action=openai:chat limit=999 was=60", "inbox:1",
    )  # fmt: skip
    verdict, book = judged(lambda second: second != CUT_S + HOUR_S, more=[by_hand])
    assert (verdict.state, book.held) == ("pass", 240), verdict  # the book alone is asked of all


def test_other_gateways_windows_are_shorter_by_the_speed_or_not(judged):
    """Of a gateway of its own at another speed only what is wrong for both lengths is wrong."""
    verdict, book = judged(lambda second: second != CUT_S + HOUR_S, speed=2.0)
    assert (verdict.state, book.held) == ("pass", None), verdict


@pytest.mark.parametrize(
    ("keys", "before"),
    [
        (("begun:change:2:update-policy", "inbox:1"), 0),
        ((None,), 0),
        (("inbox:1",), 1),
        (("begun:change:9:update-policy",), 1),
    ],
    ids=["and one by hand", "of version 1", "by hand alone", "of another change"],
)  # fmt: skip
def test_a_gate_is_told_by_its_key_what_it_is_before(judged, keys, before):
    """From it on the cut explains a denial. What stands in its line is asked of version 1 alone, which had no keys."""
    gates = [
        Event((CUT_S - 90 + 60 * place) * SECOND, EventName.HEALTH_GATE_PASSED, "before update-policy: healthy", key)
        for place, key in enumerate(keys)
    ]
    kept_after = fixed(0)
    verdict, _ = judged(lambda second: kept_after(second) and second != CUT_S - 60, more=gates)
    assert verdict.detail.startswith(f"{before} quota denials before the cut, "), verdict


def of_two_roles():
    """Give the default plan with two roles that call one action, a quota of each, and a cut of each after the other."""
    plan = load_plan().model_dump(mode="json")
    roles, [_, enricher, engager], [cut] = plan["roles"], plan["operations"], plan["changes"][2:]
    roles["engager"] = roles["enricher"]
    engager["steps"] = enricher["steps"]
    cuts = [cut | {"at": 0.1}, cut | {"at": 0.5, "phase": "another", "role": "engager"}]
    return Plan.model_validate(plan | {"changes": cuts, "probes": []})


@pytest.mark.parametrize(("denies", "state"), [(("enricher",), "fail"), (("enricher", "engager"), "pass")])
def test_denials_of_one_role_do_not_stand_in_for_the_cut_of_anothers_quota(tmp_path, denies, state):
    """Both are on one action, and one of them does nothing."""
    cut_s, full_s = {"enricher": 60, "engager": 300}, {"enricher": 250, "engager": 550}
    events = [
        Event(
            at_s * SECOND, EventName.POLICY_UPDATED_OPENAI_QUOTA_REDUCED,
            f"role={role} action=openai:chat limit=250 window=1h", f"change:{number}:update-policy",
        )
        for number, (role, at_s) in enumerate(cut_s.items())
    ]  # fmt: skip
    rows = []
    for role, second in product(cut_s, range(600)):
        denied = {"kind": "denied", "reason": "quota"} if role in denies and second >= full_s[role] else {}
        at_us = {"planned_at_us": second * SECOND, "sent_at_us": second * SECOND, "done_at_us": second * SECOND + 20}
        rows.append(outcome(len(rows), **SCOPE | {"role": role} | at_us | denied))
    with soaklib.open_run(written_run(tmp_path, plan=of_two_roles(), rows=rows, events=events)) as run:
        verdict = quota_cut_works(run)
    assert verdict.state == state, verdict
