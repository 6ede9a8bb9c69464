"""A whole soak on virtual time that is stopped, or whose machine sleeps."""

import asyncio

import pytest
from virtual_soak import CHAOS_S, CUT_S, FOUR_HOURS, _Virtual, assert_clean

import soaklib.runner.soak
from soaklib.targets.fourrunr.admin import FourRunrAdmin


def assert_made_twice(run):
    """Chaos was taken back and made once more, and nothing is left."""
    assert_clean(run)
    told = [name for name, *_ in run.events("CHAOS_MODE_ON", "CHAOS_MODE_OFF")]
    assert told == ["CHAOS_MODE_ON", "CHAOS_MODE_OFF"] * 2


def count_of(run, kind):
    """Count the calls of a kind."""
    [(n,)] = run.writer.read("select count(*) from outcomes where kind = ?", [kind])
    return n


def assert_killed_and_none_missed(run):
    """Its runner is killed; resumed at a gateway that is well again it ends clean, with no call that nobody made."""
    run.kill(everything=False)
    run.gateway.fault = None
    run.start()
    run.finish()
    assert_clean(run)
    assert count_of(run, "missed") == 0


def test_an_orderly_stop_leaves_nothing_to_be_missed(world):
    """Soak time stands still from where the load ended, however long open calls are waited for."""
    run = world(*FOUR_HOURS, "--drain-s", "30")
    run.start()
    run.live(29.9)
    run.gateway.fault, run.gateway.hits = "lost", "proxy-request"
    run.live(1.5)
    run.stop()
    run.gateway.fault = None
    run.start()
    run.finish()
    assert_clean(run)
    assert count_of(run, "missed") == 0


def test_whatever_an_undo_raises_the_rest_of_the_clean_up_is_done(world, monkeypatch):
    """A kind of gateway with a defect: it is said, and the run's policies are removed and its last metrics are kept."""

    async def undo(_self, _change):
        msg = "no such attribute"
        raise AttributeError(msg)

    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + 1)
    monkeypatch.setattr(FourRunrAdmin, "undo", undo)
    run.stop()
    assert ("clean-up: AttributeError: no such attribute" in
            [detail for _, detail, _ in run.events("CHANGE_FAILED")])  # fmt: skip
    assert run.gateway.policies == {}
    assert (run.folder / "soak-final.prom").exists()
    assert run.results[-1].status == "interrupted"


def test_a_step_of_the_clean_up_that_fails_is_said(world, monkeypatch):
    """What is in its way is ours or a target's: the run ends as it was to end."""

    async def clear(_self):
        msg = "no such policy"
        raise LookupError(msg)

    run = world(*FOUR_HOURS)
    run.start()
    run.live(5)
    monkeypatch.setattr(FourRunrAdmin, "clear", clear)
    run.stop()
    assert "clean-up: LookupError: no such policy" in [detail for _, detail, _ in run.events("CHANGE_FAILED")]
    assert run.results[-1].status == "interrupted"


def test_a_word_to_stop_is_heard_while_the_gateway_is_waited_for_after_a_sleep(world):
    """The network comes back later than the processes, and whoever stops the run then does not wait for that."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(50.5)
    run.gateway.fault, run.gateway.hits = "lost", "."
    run.sleep(7200)
    run.live(20)
    stopped_s = run.loop.time()
    run.stop()
    assert run.loop.time() - stopped_s < 120  # the clean-up's own limits
    assert run.results[-1].status == "interrupted"


def test_a_machine_that_sleeps_leaves_a_gap_and_right_times(world):
    """Two hours: a new segment, an event, tokens made anew before the next call, and times that are UTC's."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(50.5)
    run.sleep(7200)
    run.live(5)
    run.finish()
    assert run.is_completed
    assert_clean(run)
    [(_, detail, _)] = run.events("RUN_GAP")
    assert "jumped ahead by 7200.0 s" in detail
    refused = "select count(*) from outcomes where kind = 'unauthorized' and purpose <> 'trial'"
    assert run.writer.read(refused) == [(0,)]
    columns = "started_at_us, ended_at_us, soak_started_s, soak_ended_s"
    before, after = run.writer.read(f"select {columns} from segments order by segment")
    assert after[0] - before[1] == pytest.approx(7200e6, abs=1.5e6)
    assert after[2] == before[3]
    [(last_us,)] = run.writer.read("select max(done_at_us) from outcomes")
    assert last_us == pytest.approx((7200 + 240) * 1e6, abs=2e6)


@pytest.mark.parametrize(
    ("fault", "hits"), [("403", "generate-token"), ("empty", "generate-token"), ("lost", "."), ("403", "create-agent")]
)
def test_no_answer_of_a_gateway_as_the_machine_wakes_up_ends_the_soak(world, monkeypatch, fault, hits):
    """It refuses tokens, or answers nothing for long: that is told, and the soak goes on and gets them later."""
    monkeypatch.setattr(soaklib.runner.soak, "_AWAKE_WITHIN_S", 0.0)  # of real time
    run = world(*FOUR_HOURS)
    run.start()
    run.live(50.5)
    if hits == "create-agent":
        run.gateway.restart()  # it has forgotten the run's agents
    run.gateway.fault, run.gateway.hits = fault, hits
    run.sleep(7200)
    run.live(20)
    run.gateway.fault = None
    run.finish()
    assert run.is_completed
    (_, _, key), *_ = run.events("TOKENS_ROTATION_FAILED")
    assert key is None  # none of the plan's
    [(ok,)] = run.writer.read(
        "select count(*) filter (kind = 'ok') > 0 from outcomes where purpose = 'load' "
        "and planned_at_us > (select max(planned_at_us) - 20e6 from outcomes)"
    )
    assert ok


def test_whenever_tokens_are_made_it_is_written_down_how_old_they_are(world):
    """Also of the first ones, and of those that are made anew as a machine wakes up: by it a refusal is judged."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(50.5)
    run.sleep(7200)
    run.finish()
    told = run.writer.read(
        """select name, (data->>'generation')::INTEGER,
                  coalesce(data->>'took_ms', data->>'tokens_took_ms')::DOUBLE >= 0
           from events where name in ('SOAK_TEST_STARTED', 'SOAK_TEST_RESUMED', 'TOKENS_ROTATED')
           order by at_us, rowid"""
    )
    assert [is_told for *_, is_told in told] == [True] * len(told)
    assert told[0][:2] == ("SOAK_TEST_STARTED", 0)
    resumed = [name for name, *_ in told].index("SOAK_TEST_RESUMED")
    assert told[resumed - 1][:2] == ("TOKENS_ROTATED", told[resumed][1])
    generations = [generation for name, generation, _ in told if name == "TOKENS_ROTATED"]
    assert generations == list(range(1, len(generations) + 1))


def test_chaos_that_was_on_while_the_machine_slept_is_made_once_more(world):
    """It is ended first; what was left of its time is still to come."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + 2)
    assert run.gateway.chaos == {"openai"}
    run.sleep(600)
    run.finish()
    assert_made_twice(run)


def test_chaos_of_a_run_that_was_stopped_as_its_machine_woke_up_has_its_time_still_to_come(world):
    """What the machine slept through is no soak time: taken back at the stop, it is made once more later."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + 2)
    run.gateway.fault, run.gateway.hits = "500", r"DELETE /api/admin/chaos|generate-token"
    run.sleep(600)
    run.live(13)  # it cannot be taken back for now, and new tokens are waited for
    run.gateway.hits = "generate-token"
    run.stop()
    assert run.results[-1].status == "interrupted"
    assert [key for *_, key in run.events("CHAOS_MODE_OFF")] == [None]
    run.gateway.fault = None
    run.start()
    run.finish()
    assert_made_twice(run)


def test_a_runner_that_is_killed_while_it_cleans_up_has_nothing_missed(world):
    """Soak time has stood still since the load ended, however long the clean-up waits for a gateway that is away."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + 1.1)
    run.gateway.fault, run.gateway.hits = "500", "DELETE /api/admin/chaos|GET /metrics"
    run._stop.set()
    run.live(35)
    assert run.is_alive
    assert_killed_and_none_missed(run)


def test_a_runner_that_is_killed_as_its_machine_wakes_up_has_not_missed_the_sleep(world):
    """What it wrote down after the sleep is no sign that soak time had gone on."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CHAOS_S + 2.1)
    run.gateway.fault, run.gateway.hits = "500", "DELETE /api/admin/chaos|generate-token"
    run.sleep(600)
    run.live(13)
    assert_killed_and_none_missed(run)
    assert [detail.split()[0] for _, detail, _ in run.events("LOAD_ENDED")] == ["segment=0", "segment=1"]


def test_calls_that_a_sleep_cut_off_have_their_rows_though_the_runner_is_killed_as_it_wakes_up(world):
    """They are on disk before a gateway that is away is waited for: nobody takes them for missed."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(30.1)
    run.gateway.fault, run.gateway.hits = "lost", "proxy-request|generate-token"
    run.live(1.0)
    run.sleep(600)
    run.live(13)
    assert_killed_and_none_missed(run)
    assert count_of(run, "interrupted") > 0


def test_calls_that_a_stop_cut_off_have_their_rows_though_the_runner_is_killed_as_it_cleans_up(world):
    """As a second signal does while the gateway is waited for: the recorder has been given all of them."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(30.1)
    run.gateway.fault, run.gateway.hits = "lost", "proxy-request|GET /metrics"
    run.live(1.0)
    run._stop.set()
    run.live(5.0)
    assert run.is_alive
    assert_killed_and_none_missed(run)
    assert count_of(run, "interrupted") > 0


def test_what_a_run_made_does_not_outlive_its_runner(world):
    """Nobody resumes it: its policies go by the guard, with the quota that was cut; a resume makes its own."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(CUT_S + 5)
    assert len(run.gateway.policies) == len(run.plan.roles)
    run.kill(everything=False)
    assert run.gateway.policies == {}
    run.start()
    run.finish()
    assert_clean(run)


def test_what_a_run_made_for_a_gateway_that_has_restarted_does_not_outlive_it_either(world):
    """It has made its policies anew: the guard knows of those, and of no others."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(20)
    before = set(run.guard.urls)
    run.gateway.restart()
    run.live(20)
    assert len(run.guard.urls) == len(run.plan.roles)
    assert before.isdisjoint(run.guard.urls)
    run.kill(everything=False)
    assert run.gateway.policies == {}


def test_an_orderly_end_leaves_the_guard_nothing_to_do(world):
    """Also where the gateway lets nothing be removed: that is told, and nobody waits ten minutes for a guard."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(20)
    run.gateway.fault, run.gateway.hits = "500", "DELETE /api/policies"
    run.stop()
    assert (run.guard.urls, run.guard.took_over) == ([], False)
    assert run.events("POLICIES_NOT_REMOVED")


def test_a_soak_that_a_defect_ends_has_all_its_stretches_and_none_of_its_clean_up(world):
    """Soak time stands still from the defect on, and the stretch before a sleep has its end as well."""
    run = world(*FOUR_HOURS)
    run.start()
    run.live(50.0)
    run.sleep(100.0)
    run.live(CHAOS_S + 2.0 - 50.0)
    run.gateway.fault, run.gateway.hits = "down", "DELETE /api/admin/chaos"
    del run.soak.timeline.pool._in_place
    with pytest.raises(AttributeError, match="_in_place"):
        run.finish()
    assert run.soak.events.last.startswith("SOAK_TEST_FAILED ")
    assert run.soak.events.last.endswith(" a defect: AttributeError")
    first, second = run.soak.segments
    assert first.soak_ended_s == second.soak_started_s == pytest.approx(50.0 * 60, abs=60.0)
    for one in (first, second):
        lasted_s = (one.ended_at_us - one.started_at_us) / 1e6
        assert one.soak_ended_s - one.soak_started_s == pytest.approx(60 * lasted_s)
    assert second.soak_ended_s == pytest.approx((CHAOS_S + 2.0) * 60, abs=60.0)


def test_an_upstream_that_hangs_costs_no_snapshot(world, monkeypatch):
    """Neither the hourly ones nor the last, though each is asked for when the upstream has been."""

    async def hang(*_):
        await asyncio.sleep(40.0)

    monkeypatch.setattr(_Virtual, "upstream_counts", hang)
    run = world(*FOUR_HOURS)
    run.start()
    run.finish()
    told = [(name, key) for name, _, key in run.events("METRICS_SNAPSHOT", "METRICS_SNAPSHOT_FAILED", "CHANGE_FAILED")]
    assert told == [("METRICS_SNAPSHOT", f"snapshot:{which}") for which in (0, 1, 2, 3, "final")]
