"""The faults a test can switch on with ``--fault NAME=VALUE``, in one table: `FAULTS`. All are off by default.

They exist so that a detector can be shown to find what it claims to find: each fault makes the gateway lie, leak
or fail by a known amount. Soak seconds and soak hours are counted from the moment the gateway is made.

Forms of a value: a *count* is ``N`` (the first N occasions), ``N@SECONDS`` (the first N occasions from that
soak second on) or ``all``, ``all@SECONDS``; a *level* is ``N`` or ``N@SECONDS`` (so much from that soak second on); a
*rate* and a *moment* are numbers; a *switch* is ``on``.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Form = Literal["count", "level", "rate", "percent", "moment", "switch"]

_MOST_DIGITS = 15  # of a count: none is more, and no number of so many digits is too long to read


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table: a name, the form of its value, and what it does."""

    name: str
    form: Form
    meaning: str


FAULTS = (
    Fault("drop_increments", "count", "so many increments of gateway_requests_total are left out"),
    Fault("duplicate_increments", "count", "so many increments of gateway_requests_total are made twice"),
    Fault("lose_log_rows", "count", "so many answered proxy requests get no row in proxy_logs"),
    Fault("accept_expired", "count", "so many expired tokens are taken for valid ones"),
    Fault("allow_forbidden", "count", "so many calls outside the scopes of their policy are let through"),
    Fault("deny_allowed", "count", "so many allowed calls are denied for their scope"),
    Fault("leak_mb_per_hour", "rate", "resident memory grows by so many MB (10^6 bytes) a soak hour"),
    Fault("slow_ms_per_hour", "rate", "answers of executed calls get later by so many wall ms a soak hour"),
    Fault("late_ms", "level", "answers of executed calls are later by so many wall ms"),
    Fault("fail_attempts", "count", "so many attempts fail upstream with 'mock 503' (retryable)"),
    Fault("fail_pct", "percent", "so many percent of the attempts fail upstream with 'mock 503' (retryable)"),
    Fault("chaos_without_effect", "switch", "the chaos routes answer as always and change nothing"),
    Fault("restart_at", "moment", "at this soak second agents, tokens, policies, logs and counters are forgotten"),
)
"""Every fault there is."""

_BY_NAME = {fault.name: fault for fault in FAULTS}


class FaultError(ValueError):
    """A fault that does not exist or a value that it cannot take."""


def fault_table() -> str:
    """Return the table as text, for ``--help``."""
    width = max(len(fault.name) for fault in FAULTS)
    return "\n".join(f"  {fault.name:<{width}}  {fault.form:<7}  {fault.meaning}" for fault in FAULTS)


@dataclass(frozen=True, slots=True)
class Budget:
    """A count from the command line: so many occasions (None: all) from soak second ``from_s`` on."""

    occasions: int | None
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Level:
    """An amount from the command line, from soak second ``from_s`` on."""

    amount: float
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """The faults that were asked for; the default asks for none."""

    drop_increments: Budget | None = None
    duplicate_increments: Budget | None = None
    lose_log_rows: Budget | None = None
    accept_expired: Budget | None = None
    allow_forbidden: Budget | None = None
    deny_allowed: Budget | None = None
    leak_mb_per_hour: float = 0.0
    slow_ms_per_hour: float = 0.0
    late_ms: Level | None = None
    fail_attempts: Budget | None = None
    fail_pct: float = 0.0
    chaos_without_effect: bool = False
    restart_at: float | None = None


def parse_faults(assignments: Iterable[str]) -> FaultPlan:
    """Read ``NAME=VALUE`` texts.

    Raises
    ------
    FaultError
        With a sentence that tells what would be valid.
    """
    values: dict[str, Budget | Level | float | bool] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        fault = _BY_NAME.get(name)
        if fault is None:
            message = f"There is no fault {name!r}. The faults are: {', '.join(_BY_NAME)}."
            raise FaultError(message)
        if not separator:
            message = f"The fault {name} needs a value: {name}={_example(fault.form)}."
            raise FaultError(message)
        if name in values:
            message = f"The fault {name} is given twice."
            raise FaultError(message)
        values[name] = _parse_value(fault, text)
    return FaultPlan(**values)  # type: ignore[arg-type]  # each form yields the type of its field, see the tests


def _example(form: Form) -> str:
    return {"count": "3@600", "level": "30@3600", "rate": "12.5", "percent": "2.5", "moment": "3600", "switch": "on"}[
        form
    ]


def _parse_value(fault: Fault, text: str) -> Budget | Level | float | bool:
    if fault.form == "switch":
        if text.lower() in {"on", "true", "1"}:
            return True
        message = f"The fault {fault.name} is a switch: {fault.name}=on, not {text!r}."
        raise FaultError(message)
    if fault.form == "count":
        return _parse_budget(fault, text)
    if fault.form == "level":
        amount, separator, moment = text.partition("@")
        return Level(_number(fault, amount), _number(fault, moment) if separator else 0.0)
    number = _number(fault, text)
    if fault.form == "percent" and number > 100.0:  # noqa: PLR2004 - a percentage
        message = f"The fault {fault.name} takes a percentage from 0 to 100, not {text!r}."
        raise FaultError(message)
    return number


def _parse_budget(fault: Fault, text: str) -> Budget:
    count, separator, moment = text.partition("@")
    from_s = _number(fault, moment) if separator else 0.0
    if count.lower() in {"all", "on", "true"}:
        return Budget(None, from_s)
    if count.isascii() and count.isdigit() and len(count) <= _MOST_DIGITS:
        return Budget(int(count), from_s)
    message = (
        f"The fault {fault.name} takes N, N@SECONDS, all or all@SECONDS, such as {fault.name}=3@600, not {text!r}."
    )
    raise FaultError(message)


def _number(fault: Fault, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0.0:
        message = f"The fault {fault.name} takes a number of at least 0, such as {_example(fault.form)}, not {text!r}."
        raise FaultError(message)
    return number


class Occasions:
    """A running budget.

    Parameters
    ----------
    budget
        What was asked for; None never strikes.
    soak_s
        The clock: soak seconds since the gateway was made.
    """

    __slots__ = ("_from_s", "_left", "_soak_s")

    def __init__(self, budget: Budget | None, soak_s: Callable[[], float]) -> None:
        self._left = 0.0 if budget is None else math.inf if budget.occasions is None else float(budget.occasions)
        self._from_s = budget.from_s if budget else 0.0
        self._soak_s = soak_s

    def take(self) -> bool:
        """Use up one occasion; False when there is none left or it is too early."""
        if not self._left or self._soak_s() < self._from_s:
            return False
        self._left -= 1.0
        return True


class Faults:
    """The faults at work in one gateway; a restart of its memory does not start them again.

    Parameters
    ----------
    plan
        What was asked for.
    soak_s
        Soak seconds since the gateway was made.
    """

    def __init__(self, plan: FaultPlan, soak_s: Callable[[], float]) -> None:
        self.plan = plan
        self._soak_s = soak_s
        self.lose_log_rows = Occasions(plan.lose_log_rows, soak_s)
        self.accept_expired = Occasions(plan.accept_expired, soak_s)
        self.allow_forbidden = Occasions(plan.allow_forbidden, soak_s)
        self.deny_allowed = Occasions(plan.deny_allowed, soak_s)
        self.fail_attempts = Occasions(plan.fail_attempts, soak_s)
        self._drop = Occasions(plan.drop_increments, soak_s)
        self._duplicate = Occasions(plan.duplicate_increments, soak_s)
        self.slows = plan.slow_ms_per_hour > 0.0 or plan.late_ms is not None

    def increments(self) -> int:
        """Return how often the next request is counted: 1, or what a fault makes of it."""
        if self._drop.take():
            return 0
        return 2 if self._duplicate.take() else 1

    def leaked_bytes(self) -> float:
        """Return how much should have leaked by now."""
        return self.plan.leak_mb_per_hour * 1e6 * self._soak_s() / 3600.0

    def delay_s(self) -> float:
        """Return by how many wall seconds an answer is late by now."""
        soak_s, late = self._soak_s(), self.plan.late_ms
        level_ms = late.amount if late is not None and soak_s >= late.from_s else 0.0
        return (self.plan.slow_ms_per_hour * soak_s / 3600.0 + level_ms) / 1000.0
