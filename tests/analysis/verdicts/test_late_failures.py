"""What goes wrong late, early, or far beyond all noise is not looked away from: the sample, changed with SQL."""

import pytest

import soaklib
from soaklib.analysis.verdicts.criteria import stability, traffic

SLOT = "(select max(slot) + 1 from outcomes)"


def slower(by_ms, since):
    """Give the statement that makes every answer later from a share of the run on."""
    return f"update outcomes set done_at_us = done_at_us + {by_ms * 1000} where slot >= {since} * {SLOT}"


@pytest.mark.parametrize(("by_ms", "since"), [(60, 0.9), (1000, 0.93), (60, 0.95)])
def test_a_gateway_that_gets_slow_late_fails(judged_sample, by_ms, since):
    """The last tenth, or the last twentieth, slower for every call: the level moved, and the verdict says from when."""
    verdict = judged_sample(stability.no_drift_in_latency_median, slower(by_ms, since))
    assert (verdict.state, "The level moved" in verdict.detail) == ("fail", True), verdict
    assert verdict.measure == pytest.approx(by_ms, rel=0.05)
    assert verdict.low <= verdict.measure <= verdict.high


def test_the_tail_of_a_gateway_that_gets_slow_in_its_last_twentieth_fails(judged_sample):
    """The 99th percentile sees it, too."""
    verdict = judged_sample(stability.no_drift_in_latency_tail, slower(60, 0.95))
    assert verdict.state == "fail", verdict


@pytest.mark.parametrize("criterion", [stability.no_drift_in_latency_median, stability.no_drift_in_latency_tail])
def test_the_sample_as_it_is_passes(judged_sample, criterion):
    """The twin: nothing changed, nothing fails."""
    assert judged_sample(criterion).state == "pass"


def test_a_fast_gateway_that_becomes_eight_times_slower_fails(judged_sample):
    """From 0.5 ms to 4 ms over the run is within 5 ms, and far beyond a tenth of the level."""
    fast = (
        f"update outcomes set done_at_us = sent_at_us + 450 + hash(slot) % 100 + (3500 * slot / {SLOT})::BIGINT"
        " where sent_at_us is not null and done_at_us is not null"
    )
    verdict = judged_sample(stability.no_drift_in_latency_median, fast)
    assert (verdict.state, "10 % of each tool's level" in verdict.threshold) == ("fail", True), verdict


def memory(value, minutes, every_s=60):
    """Give statements that let the gateway's resident size have other readings, on a run of speed 1."""
    readings = f"from range({int(minutes * 60 / every_s)}) r(i)"
    made = f"insert into samples select i * {every_s}000000, 'process_resident_memory_bytes', [], ({value}) * 1048576.0"
    return (
        "delete from samples where metric in ('process_resident_memory_bytes', 'health_memory_used_bytes')",
        "delete from samples where metric like '%process_start_time_seconds'",
        f"{made} {readings}",
        "update events set name = 'CHANGE_FAILED' where name like 'CHAOS_MODE%'",
        "delete from runner_health",
    )


JITTER = "(hash(i) % 1000) / 1000.0"


@pytest.mark.parametrize(("minutes", "every_s"), [(42, 72), (15, 60), (15, 3)])
def test_an_obvious_leak_fails_however_short_the_run(judged_sample, minutes, every_s):
    """Memory from 37 to 296 MB on a straight line needs neither 36 readings nor half an hour."""
    climb = f"37 + 259.0 * i * {every_s} / {minutes * 60} + 2 * {JITTER}"
    verdict = judged_sample(stability.no_drift_in_gateway_memory, *memory(climb, minutes, every_s))
    assert (verdict.state, "Drifts by" in verdict.detail) == ("fail", True), verdict
    assert verdict.measure == pytest.approx(259, rel=0.1)


@pytest.mark.parametrize("value", [f"37 + 40.0 * i / 15 + 2 * {JITTER}", f"37 + 2 * {JITTER}"])
def test_memory_that_is_not_obvious_takes_half_an_hour(judged_sample, value):
    """Within the margin after a quarter of an hour, a rise is neither a leak nor none."""
    verdict = judged_sample(stability.no_drift_in_gateway_memory, *memory(value, 15))
    assert (verdict.state, "at least 30" in verdict.detail) == ("insufficient", True), verdict


def test_a_sawtooth_of_few_collections_is_judged_by_them(judged_sample):
    """Twelve collections of 30 MB over an hour: floors that climb 300 MB fail, level ones pass."""
    teeth = "37 + 30.0 * (i % 30) / 30 + " + JITTER
    leaking = judged_sample(
        stability.no_drift_in_gateway_memory, *memory(f"{teeth} + 300.0 * (i // 30) / 12", 60, every_s=10)
    )
    level = judged_sample(stability.no_drift_in_gateway_memory, *memory(teeth, 60, every_s=10))
    assert (leaking.state, level.state) == ("fail", "pass"), (leaking, level)
    assert "11 points, the floors of a sawtooth" in level.detail


def test_what_the_plan_makes_is_no_chance(judged_sample):
    """The window of chaos is a stratum: the whole run's interval is as narrow as those of its parts."""
    verdict = judged_sample(traffic.success_overall)
    assert verdict.state == "pass"
    assert (verdict.low, verdict.measure, verdict.high) == pytest.approx((99.551, 99.658, 99.748), abs=0.002)


@pytest.mark.parametrize(("share", "state"), [(0.07, "insufficient"), (0.2, "fail"), (0.01, "pass")])
def test_success_is_judged_by_its_interval(judged_sample, share, state):
    """A rate that meets what is required while its interval does not is not told; one below it fails."""
    burst = f"kind = 'upstream_error', status = 502 where slot % 11520 < 11520 * {share} / 3 and kind = 'ok'"
    verdict = judged_sample(traffic.success_overall, f"update outcomes set {burst}")
    assert verdict.state == state, verdict
    assert (verdict.measure >= 97, verdict.low >= 97) == {
        "insufficient": (True, False), "fail": (False, False), "pass": (True, True)
    }[state]  # fmt: skip


def test_no_claim_is_finer_than_the_generator_was_punctual(judged_sample):
    """The generator's own lag is said beside the latency, and a change below it is none of the gateway's."""
    late = "update outcomes set sent_at_us = sent_at_us + 4000, done_at_us = done_at_us + 4000 where attempts > 0"
    creeping = f"update outcomes set done_at_us = done_at_us + (3000 * slot / {SLOT})::BIGINT"
    assert judged_sample(stability.no_drift_in_latency_median, creeping).state == "fail"
    verdict = judged_sample(stability.no_drift_in_latency_median, late, creeping)
    assert (verdict.state, "own lag is 4.57 ms" in verdict.detail) == ("pass", True), verdict.detail


def test_figure_and_criterion_of_memory_judge_one_series_by_one_fit(judged_sample):
    """/health tells another memory: slope, interval and points of the figure are those of the verdict nevertheless."""
    other = "insert into samples select at_us, 'health_memory_used_bytes', [], 1e9 - at_us from samples"
    verdict, trend = judged_sample(
        lambda run: (stability.no_drift_in_gateway_memory(run), soaklib.memory_trend(run)),
        *memory(f"37 + 259.0 * i / 60 + 20 * {JITTER}", 60),
        other,
    )
    hours = 59 * 60 / 3600 * 360  # a wall minute is six soak-hours in the sample
    assert trend.series["value"].min() > 30
    assert (verdict.measure, verdict.low, verdict.high) == pytest.approx(
        tuple(slope * hours for slope in (trend.trend.slope_per_hour, *trend.trend.interval))
    )
    assert (verdict.n, verdict.state, trend.trend.state) == (trend.trend.n, "fail", "drift")
    assert trend.trend.detail in verdict.detail


@pytest.mark.parametrize(
    ("value", "minutes", "state", "told"),
    [
        (f"37 + 2 * {JITTER}", 15, "insufficient", "inconclusive"),
        (f"37 + 40.0 * i / 300 + 2 * {JITTER}", 15, "insufficient", "inconclusive"),
        (f"37 + 259.0 * i / 300 + 2 * {JITTER}", 15, "fail", "drift"),
        (f"37 + 259.0 * i / 80 + 2 * {JITTER}", 4, "insufficient", "inconclusive"),
        (f"37 + 2 * {JITTER}", 60, "pass", "stable"),
    ],
    ids=["level", "a rise within the margin", "obvious", "obvious and too soon", "an hour"],
)
def test_a_figure_calls_no_memory_stable_that_the_criterion_had_too_little_of(
    judged_sample, value, minutes, state, told
):
    """Figure, claim and criterion say the same of a short run."""
    verdict, trend = judged_sample(
        lambda run: (stability.no_drift_in_gateway_memory(run), soaklib.memory_trend(run)),
        *memory(value, minutes, every_s=3),
    )
    assert (verdict.state, trend.trend.state) == (state, told), (verdict, trend.trend)


def test_a_fast_gateway_that_got_eight_times_slower_since_the_last_run_is_another(changed_sample):
    """From 0.5 ms to 4 ms between two runs is no same, as it is none within one."""
    fast, slow = (
        f"update outcomes set done_at_us = sent_at_us + {took} + hash(slot) % 100 where done_at_us is not null"
        for took in (450, 3950)
    )
    with soaklib.open_run(changed_sample(fast)) as before, soaklib.open_run(changed_sample(slow)) as after:
        found = soaklib.compare(before, after).filter(endpoint="latency (median)").row(0, named=True)
    assert (found["state"], found["difference"]) == ("different", pytest.approx(3.5, abs=0.1)), found
