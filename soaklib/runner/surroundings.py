"""What a soak works with outside of itself: clocks, connections, the recorder's process, the guard's.

A soak takes them from here, so that all of it runs in a test on virtual time, against a gateway and a recorder that are
objects, with every fault at the moment at which a test wants it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from soaklib.runner.chaos_guard import ChaosGuard
from soaklib.runner.client import Client
from soaklib.runner.clock import RunClock
from soaklib.runner.literal import upstream_counts
from soaklib.runner.recorder import Recorder
from soaklib.runner.vitals import watch_vitals
from soaklib.store.tables import DATABASE_NAME
from soaklib.targets import refuse_unless_whole
from soaklib.targets.admin import Admin, Link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings
    from soaklib.runner.vitals import Vitals
    from soaklib.targets import Target
    from soaklib.targets.admin import Tell

__all__ = ["Surroundings"]


class Surroundings:
    """The real ones.

    Parameters
    ----------
    settings
        Time limits, the in-flight cap, what TLS is verified by.
    target
        Base URL of the gateway.
    headers
        What every call needs to be let in.
    secret
        What the gateway's admin calls need; None for nothing.
    """

    def __init__(self, settings: SoakSettings, target: str, *, headers: Mapping[str, str], secret: str | None) -> None:
        self._settings = settings
        self._target = target
        self._headers = dict(headers)
        self._secret = secret
        self._timeout_s = settings.http_timeout_ms / 1000

    def utc_now(self) -> dt.datetime:
        """Give the time of the wall clock."""
        return dt.datetime.now(dt.UTC)

    def clock(self, anchor_utc: dt.datetime, *, not_before_us: int) -> RunClock:
        """Give the run's clock."""
        return RunClock(anchor_utc, not_before_us=not_before_us)

    def recorder(self, folder: Path, *, on_warning: Callable[[str], None]) -> Recorder:
        """Give what rows are handed to, and whom it tells what does not end the run."""
        return Recorder(folder / DATABASE_NAME, on_warning=on_warning)

    def link(self, plan: Plan, *, run_id: str, tell: Tell) -> Link:
        """Give what the gateway's admin needs to know of the run."""
        return Link(
            base_url=self._target, timeout_s=self._timeout_s, headers=self._headers, ca_file=self._settings.ca_file,
            secret=self._secret, plan=plan, run_id=run_id, rps=self._settings.rps, tell=tell,
        )  # fmt: skip

    def admin(self, target: Target, link: Link) -> Admin:
        """Give what is done at the gateway beside the load, to be entered and left."""
        admin = target.admin(link)
        refuse_unless_whole(admin, Admin, target.kind)
        return admin

    async def upstream_counts(self, plan: Plan) -> dict[str, JsonValue] | None:
        """Give what the mock upstream that a plan knows of counted; None where there is none, or no answer."""
        return await upstream_counts(plan, self._timeout_s)

    def client(self, clock: RunClock) -> Client:
        """Give the way of the load's calls, to be entered and left."""
        return Client(
            self._target, now_us=clock.now_us, timeout_s=self._timeout_s,
            max_connections=self._settings.in_flight_cap, headers=self._headers, ca_file=self._settings.ca_file,
            connection_max_age_s=self._settings.connection_max_age,
        )  # fmt: skip

    def guard(self, journal: Path | None = None) -> ChaosGuard:
        """Give the guard that takes changes back should the runner be killed, and none resume what the journal says."""
        ca_file = None if self._settings.ca_file is None else str(self._settings.ca_file.resolve())
        return ChaosGuard(
            self._target, self._headers, ca_file=ca_file, dies_with_runner=self._settings.embedded, journal=journal
        )

    async def watch(
        self,
        vitals: Vitals,
        *,
        clock: RunClock,
        recorder: Recorder,
        client: Client,
        folder: Path,
        warn: Callable[[str], None],
    ) -> None:
        """Record how the generator itself is doing, until cancelled."""
        await watch_vitals(vitals, clock=clock, recorder=recorder, client=client, folder=folder, warn=warn)
