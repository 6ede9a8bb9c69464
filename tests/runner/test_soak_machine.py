"""Whatever the gateway answers and whenever a runner dies and another goes on: what is left at the end is nothing."""

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from virtual_gateway import FAULTS
from virtual_soak import World

EXAMPLES = int(os.environ.get("SOAK_TEST_EXAMPLES", "40"))
ROUTES = (
    "", "/api/admin", "POST /api/admin/chaos", "DELETE /api/admin/chaos", "/api/policies", "PATCH",
    "POST /api/policies", "DELETE /api/policies", "GET", "creds", "generate-token", "create-agent", "proxy-request",
)  # fmt: skip
SPEED, HOURS = 60.0, 2.0
LENGTH_S = HOURS * 3600 / SPEED


class Soaks(RuleBasedStateMachine):
    """Runners that live, are stopped and killed; a gateway that fails, restarts and lies; a machine that sleeps."""

    def __init__(self):
        super().__init__()
        self.world = World("--hours", str(HOURS), "--speed", str(SPEED), "--rps", "0.05")
        self.gateway = self.world.gateway

    @initialize()
    def begin(self):
        self.world.start()
        self._to_the_load()

    def _to_the_load(self):
        """A set-up that meets faults fails, and the run is resumed when they are over."""
        self.world.live(1.0)

    @rule(seconds=st.sampled_from([0.003, 0.02, 0.3, 1.7, 6.0, 20.0]))
    def live(self, seconds):
        if self.world.is_alive:
            self.world.live(seconds)

    @precondition(lambda self: self.world.is_alive and not self.world.is_completed)
    @rule(
        ahead_s=st.sampled_from([-1.0, -0.01, 0.0, 0.004, 0.03, 1.0, 3.0]),
        at=st.sampled_from([1 / 3, 1 / 2, 1 / 2 + 1 / 48, 2 / 3]),
    )
    def live_until_a_change(self, ahead_s, at):
        soak = self.world.soak
        left_s = (at * HOURS * 3600 - soak.soak_s) / SPEED + ahead_s
        if left_s > 0:
            self.world.live(left_s)

    @rule(fault=st.sampled_from([*FAULTS]), hits=st.sampled_from(ROUTES))
    def fail(self, fault, hits):
        self.gateway.fault, self.gateway.hits = fault, hits

    @rule()
    def answer_well(self):
        self.gateway.fault = None

    @rule(forgets=st.booleans(), keeps_chaos=st.booleans())
    def restart_the_gateway(self, forgets, keeps_chaos):
        self.gateway.restart(forgets=forgets, keeps_chaos=keeps_chaos)

    @rule(seconds=st.sampled_from([0.5, 30.0, 7200.0]))
    def sleep(self, seconds):
        self.world.sleep(seconds)

    @rule(everything=st.booleans())
    def kill(self, everything):
        if self.world.is_alive:
            self.world.kill(everything=everything)

    @rule()
    def stop(self):
        if self.world.is_alive:
            self.world.stop()

    @rule()
    def resume(self):
        if not self.world.is_alive and not self.world.is_completed:
            self.world.start()
            self._to_the_load()

    def teardown(self):
        """Let the run come to its end, with a gateway that is well; then look at what is left."""
        try:
            self.gateway.fault = None
            for _ in range(3):
                if self.world.is_completed:
                    break
                if not self.world.is_alive:
                    self.world.start()
                self.world.finish()
            self._look()
        finally:
            self.world.close()

    def _look(self):
        world = self.world
        assert world.is_completed, world.results[-1].error
        assert self.gateway.chaos == set()
        assert self.gateway.policies == {}
        keys = [key for *_, key in world.events() if key is not None]
        assert len(keys) == len(set(keys))
        [(rows, distinct)] = world.writer.read("select count(*), count(distinct (purpose, slot, step)) from outcomes")
        assert rows == distinct
        assert world.writer.read(
            "select purpose, count(distinct slot), max(slot) + 1 from outcomes where purpose <> 'trial' "
            "group by 1 order by 1"
        ) == [("load", 360, 360), ("probe", 120, 120)]
        if not any(key.startswith("begun:change:2:") for key in keys):
            assert len({limit for _, limit in self.gateway.cuts}) <= 1


Soaks.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestSoaks(Soaks.TestCase):
    """Of each example: no chaos on, no policy left, no quota cut that nobody cut, every key and every event once."""
