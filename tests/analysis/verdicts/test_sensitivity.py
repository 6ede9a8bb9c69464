"""Every verdict says how small a change it would have found."""

from pathlib import Path

import pytest

import soaklib
from soaklib.analysis.verdicts.criteria import CRITERIA, stability, traffic
from soaklib.records import State, Verdict
from soaklib.records.units import CRITERION_UNITS, unit_behind

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def test_every_criterion_that_was_judged_says_it():
    """Of the sample, from one row that is missing to what the interval of its success leaves open."""
    with soaklib.open_run(SAMPLE) as run:
        verdicts = [Verdict(*row) for row in run.verdicts().iter_rows()]
    found = {verdict.name: soaklib.smallest_found(verdict) for verdict in verdicts}
    silent = {verdict.name for verdict in verdicts if verdict.state in {State.INSUFFICIENT, State.NOT_APPLICABLE}}
    assert {name for name, said in found.items() if not said} == silent
    assert found["every slot accounted for"] == "one row that is missing, or there twice: exact"
    assert found["no false-allow"].startswith(
        "one of the 1,440 that were sent: exact; of all that could be sent, 0.21 %"
    )
    assert found["success rate"] == "a change by 0.098 percentage points, half of its 95 % interval"
    assert found["success rate outside planned windows"] == "a share of failures of 0.0071 %, at 95 % confidence"
    assert found["no error spike at rotations"] == (
        "5 failures in the 2,061 calls of those minutes, 0.24 %, not all after one of several rotations"
    )


@pytest.mark.parametrize("name", CRITERIA)
def test_each_criterion_says_what_it_would_have_found(name):
    """Also those that no run of the reference gateway is judged by."""
    assert soaklib.smallest_found(Verdict(name, 1.0, "", 9_000, 0.5, 1.5, State.PASS, "", ""))


def test_each_criterion_has_a_unit():
    """One that is new needs one: no table shows a number that bears none."""
    assert CRITERION_UNITS.keys() == CRITERIA.keys()


@pytest.mark.parametrize(
    ("criterion", "value", "unit"),
    [
        ("books balanced", 0, "calls"), ("books balanced", 1, "call"), ("no drift in errors", 1, "pp"),
        ("limits held", 1.0, "call or window"), ("healthy", 1, "%"), ("no drift in latency (p99)", 1.0, "ms"),
        ("denials happen", None, ""), ("of another soaklib", 3, ""),
    ],
)  # fmt: skip
def test_a_measure_bears_its_unit(criterion, value, unit):
    """One call is not "1 calls", and what was not measured has no unit."""
    assert unit_behind(criterion, value) == unit


def test_a_spike_of_what_it_says_is_found(judged_sample):
    """Five failures in the minutes after rotations fail, four do not."""

    def failing(n):
        rows = f"""select slot, step from outcomes as calls join events
            on planned_at_us between events.at_us + 1000 and events.at_us + 150000
            where events.event_key in ('rotation:2', 'rotation:5') and calls.kind = 'ok' and purpose = 'load'
            order by row_number() over (partition by event_key order by slot, step), slot limit {n}"""
        return f"update outcomes set kind = 'upstream_error' where purpose = 'load' and (slot, step) in ({rows})"

    assert judged_sample(stability.no_spike_at_rotations, failing(5)).state == "fail"
    assert judged_sample(stability.no_spike_at_rotations, failing(4)).state == "pass"


def test_an_outage_at_one_rotation_of_many_is_no_pattern(judged_sample):
    """All calls of the minute after one rotation fail: that is told, and is no spike at rotations."""
    outage = """update outcomes set kind = 'upstream_error' where purpose = 'load' and kind = 'ok' and planned_at_us
        between (select at_us from events where event_key = 'rotation:2') and
                (select at_us + 150000 from events where event_key = 'rotation:2')"""
    verdict = judged_sample(stability.no_spike_at_rotations, outage)
    assert (verdict.state, "one rotation is no pattern" in verdict.detail) == ("pass", True), verdict
    assert verdict.measure > verdict.high


@pytest.mark.parametrize(("n", "state"), [(1, "fail"), (0, "pass")])
def test_one_probe_let_through_is_found(judged_sample, n, state):
    """What is counted is found from one on."""
    let = f"update outcomes set kind = 'ok' where purpose = 'probe' and slot < {n}"
    assert judged_sample(traffic.no_false_allow, let).state == state
