"""What a sender tells of itself while it runs: a line of JSON now and then, which nobody needs to hear."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from soaklib.fleet.sender import Sender

__all__ = ["LaneReport"]

_MOST_WORDS: Final = 500  # a line has to fit into a pipe at once


@dataclass(frozen=True, kw_only=True)
class LaneReport:
    """How a lane does.

    Attributes
    ----------
    lane
        Which.
    has_sent
        Whether its last slot has left.
    slots_passed
        Slots of the whole schedule that are behind it.
    sent_per_s, in_flight, lag_us, p50_us, p99_us
        Calls sent in the last second, operations under way, the largest lag of the last second, and service times.
    outcomes, sent_calls
        Rows so far by (purpose, tool, kind), and calls put on the wire by (purpose, tool).
    error
        Why it failed: a full disk takes no words. None otherwise.
    """

    lane: int
    has_sent: bool = False
    slots_passed: int = 0
    sent_per_s: float = 0.0
    in_flight: int = 0
    lag_us: int = 0
    p50_us: int | None = None
    p99_us: int | None = None
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    sent_calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    error: str | None = None

    @classmethod
    def of(cls, sender: Sender, *, error: Exception | None = None) -> Self:
        """Give a sender's, with the error that it ended by."""
        vitals = sender.vitals
        p50_us, p99_us = vitals.service_quantiles_us(0.5, 0.99)
        return cls(
            lane=sender.lane.number, has_sent=sender.has_sent, slots_passed=sender.slots_passed,
            sent_per_s=vitals.sent_per_s, in_flight=vitals.in_flight, lag_us=vitals.last_schedule_lag_us,
            p50_us=p50_us, p99_us=p99_us, outcomes=Counter(vitals.outcomes), sent_calls=Counter(vitals.sent_calls),
            error=None if error is None else str(error)[:_MOST_WORDS],
        )  # fmt: skip

    def line(self) -> bytes:
        """Give it as a line."""
        said = asdict(self) | {
            "outcomes": [[*map(str, key), count] for key, count in self.outcomes.items()],
            "sent_calls": [[*map(str, key), count] for key, count in self.sent_calls.items()],
        }
        return json.dumps(said).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes | str) -> Self:
        """Read a line.

        Raises
        ------
        ValueError
            It is none.
        """
        try:
            said = json.loads(line)
            said["outcomes"] = Counter({(purpose, tool, kind): n for purpose, tool, kind, n in said["outcomes"]})
            said["sent_calls"] = Counter({(purpose, tool): n for purpose, tool, n in said["sent_calls"]})
            return cls(**said)
        except (TypeError, KeyError) as exc:
            msg = f"no lane's report: {exc}"
            raise ValueError(msg) from exc
