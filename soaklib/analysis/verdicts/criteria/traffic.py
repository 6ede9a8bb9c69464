"""Did calls succeed that should, and were those denied that should be?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.measures.marks import planned_windows
from soaklib.analysis.statistics.strata import stratified_rate
from soaklib.analysis.verdicts.criteria.let_through import let_through_sql, refused_probe_sql
from soaklib.analysis.verdicts.criteria.wording import (
    is_asked_for,
    is_of_the_load,
    many,
    number,
    passed,
    planned_probes,
)
from soaklib.plan.changes import PolicyChange
from soaklib.records import State, Verdict

if TYPE_CHECKING:
    import polars as pl

    from soaklib.analysis.sources.run import Run


__all__ = ["denials_happen", "healthy", "no_false_allow", "no_false_deny", "success_outside", "success_overall"]

_LEAST_SHARE: Final = 0.5
"""Share of the calls that must lie outside windows in which the generator was late for a pass to be one."""


_RULE_OF_THREE: Final = 3.0
"""Without a failure in n calls the share of failures is below 3 / n at 95 %: fewer calls show no smaller share."""
_FINEST: Final = 0.01
"""A threshold closer to 100 %, in percent, asks for no more calls than this one does."""


_HAS_OTHERS: Final = "select exists(from call_partials where not is_valid or kind = 'rate_limited')"
"""Whether there is any call that the rate is not of, though it might: of an invalid window, or refused with 429."""

_FEW_BURSTS: Final = 3
"""Below it the interval of a success rate covers the truth in 40 to 87 % of runs."""
_ALL: Final = 100.0
_NEARLY_ALL: Final = 99.999
"""What less than all is at most when it is said with three decimals."""


def success_overall(run: Run) -> Verdict:
    """Is the success rate high enough over the whole soak? What the plan makes is a stratum, and no chance."""
    query = _minutes_sql(_stratum_sql(run), "true")
    return _success(run, _Asked("success rate", run.thresholds.success_rate, "true", query), run.asked(query))


def success_outside(run: Run) -> Verdict:
    """Is it high enough outside the windows in which the plan itself makes calls fail?"""
    condition = "true" + "".join(f" and not ({_touches(*window)})" for window in _windows(run))
    name = "success rate outside planned windows"
    query = _minutes_sql("0", condition)
    # they are a stratum of the whole, which all calls have been looked at for
    outside = run.asked(_minutes_sql(_stratum_sql(run), "true")).filter(stratum=0)
    return _success(run, _Asked(name, run.thresholds.success_rate_outside, condition, query), outside)


def _stratum_sql(run: Run) -> str:
    """Give the SQL of which planned window a call touches first, by its number from 1; 0 where none."""
    stratum = "".join(f" when {_touches(*window)} then {number}" for number, window in enumerate(_windows(run), 1))
    return f"case{stratum} else 0 end" if stratum else "0"


def _windows(run: Run) -> list[tuple[float, float]]:
    return [(start_s, end_s) for start_s, end_s in planned_windows(run).iter_rows()]


def _touches(start_s: float, end_s: float) -> str:
    """Give the SQL of whether a call touches a window: one that was under way as it began was met by it."""
    return f"soak_seconds(coalesce(done_at_us, planned_at_us)) >= {start_s!r} and soak_s < {end_s!r}"


def _minutes_sql(stratum: str, condition: str) -> str:
    return (
        f"select {stratum} as stratum, floor(soak_s / 60) as minute, "  # noqa: S608 - our own numbers
        "count(*) filter (succeeded) as successes, count(*) as n "
        f"from valid_calls where counted and {condition} group by stratum, minute order by stratum, minute"
    )


class _Asked(NamedTuple):
    """A criterion on a success rate: what it is called, the least rate, of which calls, and its query."""

    name: str
    least: float
    condition: str
    query: str


def _success(run: Run, asked: _Asked, minutes: pl.DataFrame) -> Verdict:
    name, least, condition, query = asked
    strata = minutes.partition_by("stratum", maintain_order=True)
    found = stratified_rate([(part["successes"].to_numpy(), part["n"].to_numpy()) for part in strata])
    threshold = f">= {least:g} %"
    if found.rate is None or found.low is None or found.high is None:
        return Verdict(name, None, threshold, 0, None, None, State.INSUFFICIENT, "no call counts", query)
    rate, low, high = 100 * found.rate, 100 * found.low, 100 * found.high
    detail = f"{found.successes:,} of {found.n:,} calls, {_percent(rate)} % ({_percent(low)} to {_percent(high)})"
    if 0 < found.bursts < _FEW_BURSTS:
        detail += f"; of {many(found.bursts, 'burst')} of failures such an interval is a rough guess"
    state = passed(rate >= least)
    succeeded, n, limited = found.successes, found.n, 0
    if run.sql(_HAS_OTHERS).item():
        succeeded, n, limited = run.sql(
            "select count(*) filter (counted and succeeded), count(*) filter (counted), "  # noqa: S608 - ours
            "count(*) filter (purpose = 'load' and kind = 'rate_limited' and expected = 'either') "
            f"from calls where {condition}"
        ).row(0)
    if limited:
        detail += (
            f"; {limited:,} more were refused with 429 by the limit that is known for an agent, "
            "which is no failure: the load needs more agents than it had"
        )
    if n > found.n:
        all_calls = _percent(100 * succeeded / n)
        detail += f"; with the {n - found.n:,} in windows in which the generator was late {all_calls} %"
    if state == State.FAIL and high >= least:
        detail += "; below what is required in this run, which chance may have made"
    elif state == State.PASS and found.n < _LEAST_SHARE * n:
        state, detail = State.INSUFFICIENT, f"{detail}: less than half of the calls could be judged"
    elif state == State.PASS and found.n < (needed := _RULE_OF_THREE * 100 / max(100 - least, _FINEST)):
        state, detail = State.INSUFFICIENT, f"{detail}: at least {math.ceil(needed):,} calls are needed to show so much"
    elif state == State.PASS and found.bursts and low < least:
        state, detail = State.INSUFFICIENT, f"{detail}: the rate meets what is required, its interval does not"
    return Verdict(name, rate, threshold, found.n, low, high, state, detail, query)


def _percent(value: float) -> str:
    """Word a percentage; only what is 100 % is called so."""
    return f"{value if value >= _ALL else min(value, _NEARLY_ALL):.3f}"


def healthy(run: Run) -> Verdict:
    """Was every answer of /health outside the planned windows healthy? No lateness of a lane makes one that is not."""
    condition = "endpoint = 'health'"
    for start_s, end_s in planned_windows(run).iter_rows():
        condition += f" and not (soak_seconds(at_us) >= {start_s!r} and soak_seconds(at_us) < {end_s!r})"
    valid = (
        "not exists (select 1 from invalid_windows where lane is null and soak_seconds(at_us) >= start_s"
        " and soak_seconds(at_us - duration_us) < end_s)"
    )
    query = f"select count(*) filter (ok) as healthy, count(*) as n from scrapes where {condition} and {valid}"  # noqa: S608 - our own conditions
    good, n = run.sql(query).row(0)
    threshold = "100 % of health samples outside planned windows"
    if not is_asked_for(run, "health"):
        detail = "the gateway is not asked for its health"
        return Verdict("healthy", None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    if n == 0:
        return Verdict("healthy", None, threshold, 0, None, None, State.INSUFFICIENT, "no health sample", query)
    state, detail = passed(good == n), f"{good} of {n} samples healthy"
    if state == State.PASS and n < _LEAST_SHARE * (
        number(run, f"select count(*) from scrapes where {condition}") or 0  # noqa: S608 - our own condition
    ):
        state, detail = State.INSUFFICIENT, f"{detail}: less than half of the samples could be judged"
    return Verdict("healthy", 100 * good / n, threshold, n, None, None, state, detail, query)


def denials_happen(run: Run) -> Verdict:
    """Did policy deny anything? A soak in which nothing is denied has not tried it, unless it never meant to."""
    query = "select count(*) from outcomes where kind = 'denied' and purpose <> 'trial'"
    n = int(number(run, query) or 0)
    plan = run.info.plan
    has_cut = any(isinstance(change, PolicyChange) for change in plan.changes)
    if n == 0 and not plan.probes and not has_cut:
        detail = "the plan has neither a probe nor a quota cut"
        return Verdict("denials happen", None, "> 0 denials", 0, None, None, State.NOT_APPLICABLE, detail, query)
    if n == 0 and not has_cut and not _is_any_probe_of_policy(run):
        detail = "each probe was refused for its token: the plan asks nothing that policy would have to deny"
        return Verdict("denials happen", None, "> 0 denials", 0, None, None, State.NOT_APPLICABLE, detail, query)
    return Verdict("denials happen", float(n), "> 0 denials", n, None, None, passed(n > 0), many(n, "denial"), query)


def _is_any_probe_of_policy(run: Run) -> bool:
    """Say whether a probe got past the look at its token, or none was answered at all."""
    refused = f"kind = 'unauthorized' and not {is_of_the_load(run)}"
    query = f"""
        select count(*) filter ({refused}), count(*) filter (not ({refused}))
        from outcomes where purpose = 'probe' and attempts > 0"""  # noqa: S608 - our own condition
    for_token, others = run.sql(query).row(0)
    return bool(others or not for_token)


def no_false_allow(run: Run) -> Verdict:
    """Did no probe get past policy? Sending none that the plan has proves nothing and fails.

    Nor does one prove anything that no policy was asked about; where that is true of all, nothing is known.
    """
    query = (
        "select count(*) filter (attempts > 0) as sent, "  # noqa: S608 - our own condition
        f"count(*) filter (attempts > 0 and {let_through_sql(run)}) as let_through, "
        f"count(*) filter ({refused_probe_sql(run)}) as denied "
        "from outcomes where purpose = 'probe'"
    )
    sent, let_through, denied = run.sql(query).row(0)
    name, threshold = "no false-allow", "0 probes let through, at least 1 denied"
    if not run.info.plan.probes:
        detail = "the plan has no probe"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    planned = planned_probes(run)
    state = passed(denied > 0 and let_through == 0)
    detail = f"{many(sent, 'probe')} sent, {denied} denied, {let_through} let through"
    if (untold := sent - denied - let_through) > 0:
        detail += f", {untold} answered so that neither is told, or not at all"
    if sent and untold == sent:
        state = State.INSUFFICIENT
    elif state == State.PASS and denied < _LEAST_SHARE * planned:
        state, detail = State.INSUFFICIENT, f"{detail}: less than half of the {planned} planned ones were answered"
    return Verdict(name, float(let_through), threshold, sent, None, None, state, detail, query)


def no_false_deny(run: Run) -> Verdict:
    """Was no call of the load denied that policy should allow? All count: a late generator causes no denial."""
    query = """
        select count(*) filter (kind = 'denied' and counted) as wrongly, count(*) filter (attempts > 0) as sent
        from calls where purpose = 'load'"""  # those for a quota that may deny them count in no rate
    wrongly, sent = run.sql(query).row(0)
    planned = round(run.info.rps * run.info.planned_soak_s)
    state, detail = passed(wrongly == 0), f"{wrongly} of {sent} calls denied against the plan"
    if state == State.PASS and sent < _LEAST_SHARE * planned:
        state, detail = State.INSUFFICIENT, f"{detail}: less than half of the {planned} planned slots were sent"
    return Verdict("no false-deny", float(wrongly), "0 calls wrongly denied", sent, None, None, state, detail, query)
