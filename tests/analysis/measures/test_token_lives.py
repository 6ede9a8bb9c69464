"""Calls that were refused for their token: whether it was good, and whose doing it was that it was not."""

import json

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.measures.token_lives import refused_tokens
from soaklib.analysis.verdicts.criteria.changes import tokens_rotate_unnoticed
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName

SPEED = 2880.0  # a rotation each 312.5 ms; a token lives for 416.7 ms, less the millisecond that its stamp cuts off
EVERY_US = 312_500
LATE = {40: (70_000, 45_000)}
SLOW = {40: (1_000, 120_000)}


def events(odd):
    """Give the first tokens and every rotation: begun so late, and so long; of `odd` otherwise."""
    yield Event(0, EventName.SOAK_TEST_STARTED, "", None, data=json.dumps({"generation": 0, "tokens_took_ms": 5.0}))
    for number in range(1, 96):
        lag_us, took_us = odd.get(number, (1_000, 10_000))
        data = {"generation": number, "agents": 3, "took_ms": took_us / 1000}
        at_us = number * EVERY_US + lag_us + took_us
        yield Event(at_us, EventName.TOKENS_ROTATED, "", f"rotation:{number}", data=json.dumps(data))


def refused(sent_us, done_us, generation=39, reason="token_expired", **rest):
    row = {"kind": "unauthorized", "reason": reason, "status": 403, "token_generation": generation}
    return outcome(1000, planned_at_us=sent_us, sent_at_us=sent_us, done_at_us=done_us, **(row | rest))


@pytest.fixture
def judged(tmp_path):
    """Give a function that gives the counts and the verdict of a run of one refused call and ten good ones."""

    def judge(call, odd, said=None):
        rows = [*(outcome(number) for number in range(10)), call]
        told = list(events(odd)) if said is None else said
        with soaklib.open_run(written_run(tmp_path, plan=load_plan(), rows=rows, events=told, speed=SPEED)) as run:
            return refused_tokens(run), tokens_rotate_unnoticed(run)

    return judge


def test_a_token_that_died_while_the_generator_was_late_is_not_held_against_the_gateway(judged):
    """Begun 70 ms late, in place after the old ones had died: nobody passes by that, and nobody fails."""
    found, verdict = judged(refused(12_614_500, 12_614_900), LATE)
    assert (found.good, found.neglected, found.late, found.unsure) == (0, 0, 1, 0)
    assert (verdict.state, verdict.measure) == ("insufficient", 1.0)
    assert verdict.detail == (
        "95 of 95 rotations, 1 of 11 calls refused; 1 with a token that had died, or may have, for want of the next "
        "one: rotation 40 was begun 70 ms late by the generator and took 45 ms, of the 103 ms that the tokens before "
        "it had left"
    )


def test_a_token_that_may_have_been_good_or_dead_tells_nothing(judged):
    """Between the earliest and the latest moment at which it can have ended."""
    found, verdict = judged(refused(12_606_000, 12_608_000), LATE)
    assert (found.unsure, verdict.state) == (1, "insufficient")


@pytest.mark.parametrize(
    ("call", "odd", "said"),
    [
        (refused(12_590_000, 12_600_000), LATE, "1 of them with a token that was good"),
        (refused(12_614_500, 12_614_900, reason="token_invalid"), LATE, "1 of them with a token that was good"),
        (refused(12_614_500, 12_614_900, reason=None), LATE, "1 of them with a token that was good"),
        (refused(12_614_500, 12_614_900, lane=0), LATE, "or whose age is not known"),
        (refused(12_614_500, 12_614_900, generation=96), LATE, "or whose age is not known"),
        (refused(12_614_500, 12_614_900), SLOW, "1 with a token that no punctual rotation would have replaced"),
        (refused(30_500_000, 30_500_500, generation=95), {}, "1 with a token that no punctual rotation"),
    ],
    ids=["good", "invalid", "no reason", "of a lane", "of no known age", "the route is slow", "never replaced"],
)
def test_any_other_refusal_fails(judged, call, odd, said):
    """The token was good, nothing says that it was not, or no punctual generator would have mended it."""
    _, verdict = judged(call, odd)
    assert (verdict.state, said in verdict.detail) == ("fail", True), verdict


def test_the_first_tokens_are_known_from_the_start(judged):
    """Those of the set-up have no rotation: the start says how old they are."""
    found, verdict = judged(refused(405_000, 412_000, generation=0), {1: (100_000, 20_000)})
    assert (found.unsure, verdict.state) == (1, "insufficient")
