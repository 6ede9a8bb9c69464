"""What a sender is told, once: everything but which lane it is. A file of this goes to whoever starts senders."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soaklib.errors import SettingsError
from soaklib.plan.loading import settings_from
from soaklib.plan.model import Plan  # noqa: TC001 - pydantic reads it when the model is made
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.fleet.lanes import Lane
    from soaklib.plan.settings import SoakSettings

__all__ = ["BEFORE_START", "JOB_NAME", "LANES_FOLDER", "LaneJob", "lane_folder"]

JOB_NAME: Final = "fleet.json"
LANES_FOLDER: Final = "lanes"
BEFORE_START: Final = dt.timedelta(hours=1)
"""How long before a start that is set beforehand the run's clock reads 0: whatever comes before it has a time, too."""

_MOST_BEFORE_S: Final = 5.0


class LaneJob(BaseModel):
    """A fleet's job, the same for each lane.

    Attributes
    ----------
    run_id, anchor_utc
        The run, and the UTC time of its microsecond 0.
    lanes
        How many lanes there are.
    start_us
        The run's clock at soak second 0; None while that is not known: the desk will say it.
    desk
        Where the conductor's desk is, as host:port; None where there is none.
    target
        Base URL of the gateway.
    ends_with_conductor
        Whether a sender stops when its conductor is gone: the gateway is gone with it.
    settings, plan
        What to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")
    anchor_utc: dt.datetime
    lanes: int = Field(ge=1)
    start_us: int | None = Field(None, ge=0)
    desk: str | None = None
    target: str
    ends_with_conductor: bool = False
    settings: dict[str, Any]
    plan: Plan

    def settings_of(self, lane: Lane, *, is_sending: bool = True) -> SoakSettings:
        """Give a lane's settings: its share of the agents and of an in-flight cap; nothing that is the conductor's.

        A cap that is not set follows from the limit on open files, which each process has for itself. What only the
        machine of a sender has, the file with the gateway's authorities, is left out where nothing is sent.
        """
        cap = self.settings.get("max_in_flight")
        own = {
            "plan": None, "resume": None, "check": False, "database_url": None, "senders": None, "scheduler": None,
            "metrics_port": None,
            "max_in_flight": None if cap is None else lane.share(cap),
            "agents_per_role": lane.share(self.settings.get("agents_per_role", 1)),
        }  # fmt: skip
        return settings_from(self.settings | own | ({} if is_sending else {"ca_file": None}))

    @property
    def tokens_before_us(self) -> int:
        """How long before the start, in wall microseconds, the first tokens are asked for.

        Before that they would not live until the plan replaces them.
        """
        intervals, speed = self.plan.intervals, float(self.settings["speed"])
        spare_s = max(0.0, intervals.token_lifetime_s - intervals.rotate_tokens_s) / speed
        return round(min(spare_s / 2, _MOST_BEFORE_S) * 1e6)

    def write(self, folder: Path) -> Path:
        """Write it into a folder; give the file."""
        path = folder / JOB_NAME
        with whole_file(path) as part:
            part.write_text(self.model_dump_json(), "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one.

        Raises
        ------
        SettingsError
            There is none, or it is none.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as exc:
            msg = f"--job {path}: {exc.strerror}"
            raise SettingsError(msg) from exc
        except ValidationError as exc:
            msg = f"--job {path} is no fleet's job: {exc.errors()[0]['msg']}"
            raise SettingsError(msg) from exc


def lane_folder(run_folder: Path, number: int) -> Path:
    """Give the folder of a lane of a run whose lanes are on one disk."""
    return run_folder / LANES_FOLDER / str(number)
