"""What a verdict would have found: the smallest change that its criterion had to see in the data that it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import State

if TYPE_CHECKING:
    from soaklib.records import Verdict

__all__ = ["smallest_found"]

_RULE_OF_THREE: Final = 3.0
"""What happens in a share of 3 / n of the calls happens in n of them at least once, in 95 of 100 runs."""

_EXACT: Final = {
    "full duration": "any time that is missing",
    "every slot accounted for": "one row that is missing, or there twice",
    "all tools exercised": "one tool without an answer",
    "healthy": "one sample; what is over between two samples is not seen",
    "no unplanned restart": "one process that was read once",
    "denials happen": "nothing finer than no denial at all",
    "no false-deny": "one call that was denied against the plan",
    "limits held": "one call too many, or refused too early",
    "scheduled changes made": "one change that was not made, or not ended when due",
    "token rotations go unnoticed": "one rotation that is missing, or one call refused for its token",
    "breaker engages during chaos": "a breaker that let no call fail fast",
    "breaker recovers after chaos": "a recovery later by the time from one call of the tool to the next",
    "recovers after lasting changes": "a recovery later by the time from one call of the tool to the next",
    "quota cut works": "a quota that denied nothing, or one denial before the cut",
    "snapshots complete": "one snapshot, or one key metric in one of them",
    "books balanced": "one call, in windows without a named cause",
    "token books balanced": "one token, in counters without a named cause",
    "money books balanced": "a billionth of what was stated, in counters without a named cause",
    "upstream asked once": "one answer of the upstream that no call explains",
    "sessions closed": "one session",
    "measurement valid": "one wall second in which the generator was late beyond the limit",
}
"""Criteria that count all there is: name -> the smallest thing that is found for certain."""

_OF_TRIED: Final = ("no false-allow", "identities refused")
_OF_SUCCESS: Final = ("success rate", "success rate outside planned windows")
_SPIKE: Final = "no error spike at rotations"
_LEAST_ERRORS: Final = 5
_SHOWN: Final = {
    "chaos shows in the data": "chaos that makes {:.2g} percentage points more calls fail than do without it",
    "lasting changes show in the data": "a lasting change that makes {:.2g} percentage points more calls fail, or be "
    "late, than are without it",
}
_ALL: Final = 100.0


def smallest_found(verdict: Verdict) -> str:
    """Say what is the smallest change that a criterion would have found in the run that it judged.

    What is counted exactly is found from one case on; of a rate it is what its interval leaves open; of a drift it is
    what the test finds four times of five, which the verdict's own sentence says.

    Parameters
    ----------
    verdict
        As :func:`soaklib.analysis.verdicts.criteria.judge` gives it.

    Returns
    -------
    str
        A phrase; empty where nothing was judged, or where the criterion is none of soaklib's.
    """
    if verdict.state not in {State.PASS, State.FAIL}:
        return ""
    if verdict.name in _EXACT:
        return f"{_EXACT[verdict.name]}: exact"
    if verdict.name in _OF_TRIED and verdict.n:
        share = 100 * min(1.0, _RULE_OF_THREE / verdict.n)
        return f"one of the {verdict.n:,} that were sent: exact; of all that could be sent, {share:.2g} % let through"
    if verdict.name.startswith("no drift in") and verdict.measure is not None:
        return "what its sentence says would have been found, four times of five"
    if verdict.measure is None or verdict.low is None or verdict.high is None:
        return ""
    return _of_rate(verdict.name, verdict.n, verdict.measure, verdict.low, verdict.high)


def _of_rate(name: str, n: int, rate: float, low: float, high: float) -> str:
    """Say what the interval of a rate in percent leaves open."""
    if name in _OF_SUCCESS and high >= _ALL:
        return f"a share of failures of {_ALL - low:.2g} %, at 95 % confidence"
    if name in _OF_SUCCESS:
        return f"a change by {(high - low) / 2:.2g} percentage points, half of its 95 % interval"
    if name in _SHOWN:
        return _SHOWN[name].format(rate - low)
    if name == _SPIKE and n:
        failures = max(_LEAST_ERRORS, int(high * n / 100) + 1)
        several = f"{failures:,} failures in the {n:,} calls of those minutes, {100 * failures / n:.2g} %"
        return f"{several}, not all after one of several rotations"
    return ""
