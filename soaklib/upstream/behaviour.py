"""What the upstream does, as it is set over ``/control``, and what befalls the n-th request.

Nothing is drawn from a stream: what befalls request n is a pure function of (seed, n), so that two upstreams with one
seed do the same to the same requests.

==================== ============ =====================================================================================
key                  default      meaning
==================== ============ =====================================================================================
latency_ms           5            median of the time until an answer, or its first frame
latency_spread       0.3          how far it spreads: sigma of a lognormal distribution; 0 for none
frames               8            frames of a stream that bear content
gap_ms               5            between two frames
mode                 "none"       how it misbehaves (:data:`MODES`, or a status from 400 to 599, as text)
share                1            share of the requests that it befalls
only                 []           models and tools that it befalls; empty for all
retry_after_s        null         ``Retry-After`` of a status
stall_ms             3600000      how long a stall lasts
rate_limit           null         requests a caller may make in a window; callers are told apart by their key
window_s             60           that window
input_tokens         9            what a call is said to take
output_tokens        null         what its answer is said to be; null for as many as its words
usage                true         whether usage is stated at all
sse                  false        whether an MCP answer comes as a stream of events
==================== ============ =====================================================================================

A mode that has no part in an answer, such as a missing last word where the answer comes in one piece, leaves it as it
is; it is counted as ``ok``, for the caller got all of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from statistics import NormalDist
from typing import Final

__all__ = ["MODES", "Behaviour", "BehaviourError", "Fate"]

MODES: Final = {
    "none": "all is well",
    "reset": "the connection is reset before an answer",
    "hang": "no answer comes",
    "truncate": "a stream ends tidily in its middle; a body ends before its JSON does",
    "cut": "the connection is reset in the middle of the answer",
    "stall": "a stream stands still in its middle",
    "error-frame": "a stream bears an error in its middle; other answers are an error inside a 200",
    "junk-frame": "a frame is no JSON",
    "no-end": "a stream ends without its last word",
    "html": "200 with a page",
    "bad-json": "200 with half of a JSON",
    "empty": "200 with nothing",
    "shape": "200 with JSON of another shape",
    "tool-error": "an MCP tool says itself that it failed; a response is failed",
    "forget-session": "an MCP session is not known any more",
}
"""How it can misbehave, beside a status."""

_MASK: Final = 2**64 - 1
_MOST_MS: Final = 86_400_000.0
_MOST_FRAMES: Final = 10_000
_NORMAL: Final = NormalDist()


class BehaviourError(ValueError):
    """What was asked for over ``/control`` is no behaviour, in a sentence."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls one request: how long it waits, and how it is misbehaved to."""

    latency_s: float
    mode: str


@dataclass(frozen=True, slots=True)
class Behaviour:
    """See the module's table."""

    latency_ms: float = 5.0
    latency_spread: float = 0.3
    frames: int = 8
    gap_ms: float = 5.0
    mode: str = "none"
    share: float = 1.0
    only: tuple[str, ...] = ()
    retry_after_s: int | None = None
    stall_ms: float = 3_600_000.0
    rate_limit: int | None = None
    window_s: float = 60.0
    input_tokens: int = 9
    output_tokens: int | None = None
    usage: bool = True
    sse: bool = False

    def __post_init__(self) -> None:
        for name in ("latency_ms", "gap_ms", "stall_ms"):
            _refuse_unless(name, 0 <= getattr(self, name) <= _MOST_MS, "milliseconds from 0 to a day")
        _refuse_unless("latency_spread", 0 <= self.latency_spread <= 3, "from 0 to 3")  # noqa: PLR2004 - more is absurd
        _refuse_unless("share", 0 <= self.share <= 1, "a share from 0 to 1")
        _refuse_unless("frames", 1 <= self.frames <= _MOST_FRAMES, f"from 1 to {_MOST_FRAMES}")
        _refuse_unless("window_s", self.window_s > 0, "more than 0")
        for count in ("rate_limit", "retry_after_s", "input_tokens", "output_tokens"):
            _refuse_unless(count, (getattr(self, count) or 0) >= 0, "0 or more")
        _refuse_unless("mode", self.mode in MODES or self.status is not None, f"a status or one of {', '.join(MODES)}")

    @classmethod
    def read(cls, said: object, start: Behaviour) -> Behaviour:
        """Give the behaviour that a JSON value asks for; what it leaves out is as at the start.

        Raises
        ------
        BehaviourError
            A key is unknown, or its value none that it can have.
        """
        if not isinstance(said, dict):
            message = "a behaviour is a JSON object"
            raise BehaviourError(message)
        as_started = asdict(start)
        if unknown := sorted(set(said) - set(as_started)):
            message = f"unknown: {', '.join(map(repr, unknown))}; known are {', '.join(as_started)}"
            raise BehaviourError(message)
        values = {name: _as(name, value) for name, value in said.items()}
        return cls(**{**as_started, **values})

    def as_json(self) -> dict[str, object]:
        """Give the whole behaviour."""
        return asdict(self)

    @property
    def status(self) -> int | None:
        """The status that it misbehaves with; None where the mode is none."""
        is_status = len(self.mode) == 3 and self.mode.isascii() and self.mode.isdigit() and self.mode[0] in "45"  # noqa: PLR2004 - the digits of a status
        return int(self.mode) if is_status else None

    def fate(self, seed: int, number: int, name: str) -> Fate:
        """Say what befalls a request.

        Parameters
        ----------
        seed
            The upstream's seed.
        number
            Which request it is, from 0.
        name
            The model or tool that it asks for.
        """
        latency_s = self.latency_ms / 1_000
        if self.latency_spread:
            latency_s *= math.exp(self.latency_spread * _NORMAL.inv_cdf(_share(seed, 2 * number)))
        befalls = (not self.only or name in self.only) and _share(seed, 2 * number + 1) < self.share
        return Fate(latency_s, self.mode if befalls else "none")


_KINDS: Final = {field.name: str(field.type) for field in fields(Behaviour)}


def _as(name: str, value: object) -> object:
    """Give a JSON value as the field has it; the type must be the field's."""
    kind = _KINDS[name]
    if value is None and kind.endswith("None"):
        return None
    if kind.startswith("tuple"):
        is_right = isinstance(value, list) and all(isinstance(one, str) for one in value)
        value = tuple(value) if isinstance(value, list) else value
    else:
        types = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}[kind.partition(" ")[0]]
        is_right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        is_right = is_right and not (isinstance(value, float) and not math.isfinite(value))
    _refuse_unless(name, is_right, f"of type {kind}")
    return value


def _refuse_unless(name: str, is_right: bool, what: str) -> None:
    if not is_right:
        message = f"{name} has to be {what}"
        raise BehaviourError(message)


def _share(seed: int, number: int) -> float:
    """Give a number in (0, 1) for a place (SplitMix64's finaliser: Steele, Lea and Flood, OOPSLA 2014)."""
    value = (seed * 0xD1342543DE82EF95 + (number + 1) * 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((value ^ (value >> 31)) + 0.5) / 2**64
