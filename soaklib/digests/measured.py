"""The measures of one run that a table of gateways has, each with its interval where it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from soaklib.analysis.books.limits import limits as limits_of
from soaklib.analysis.measures.changes import planned_changes
from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.measures.rates import success_rate
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.criteria import known_verdicts
from soaklib.analysis.verdicts.criteria.let_through import let_through_sql
from soaklib.analysis.verdicts.criteria.oracles import session_book
from soaklib.analysis.verdicts.masks import readings_not_judged
from soaklib.digests.frames import ALL_CALLS, memory_readings
from soaklib.digests.process import process_readings
from soaklib.targets.refusal_proofs import IS_REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.plan.oracles import RateLimit

__all__ = ["MEASURES_SCHEMA", "Measured", "measures"]

MEASURES_SCHEMA: Final = pl.Schema(
    {
        "measure": pl.String(), "of": pl.String(), "value": pl.Float64(), "low": pl.Float64(), "high": pl.Float64(),
        "confidence": pl.Float64(), "unit": pl.String(), "n": pl.Int64(), "state": pl.String(), "detail": pl.String(),
    }
)  # fmt: skip
"""Columns of :func:`measures`; ``low`` and ``high`` bound the ``confidence`` interval, null where there is none."""

_OUTAGES: Final = ("upstream", "chaos")
_STEADY_CALLS: Final = 10
_REFUSED: Final = "kind in ('denied', 'unauthorized')"


class Measured(NamedTuple):
    """A row of :func:`measures`."""

    measure: str
    of: str
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    unit: str = ""
    n: int = 0
    state: str = ""
    detail: str = ""


def measures(run: Run, stated: Sequence[RateLimit] = ()) -> pl.DataFrame:
    """Give the measures of a run.

    Parameters
    ----------
    run
        The run.
    stated
        Limits to hold it to; none for those that its plan states.

    Returns
    -------
    polars.DataFrame
        Columns of :data:`MEASURES_SCHEMA`. ``success`` and ``success outside`` the planned windows (percent); ``memory
        slope`` (MiB an hour); ``memory`` (MiB); ``cpu`` (milliseconds a call); ``sessions opened``, ``left`` and
        ``lost``; of each limit ``limit under-enforced`` and ``over-enforced`` (calls beyond it, calls refused too
        early); of each outage ``recovery`` (seconds from its end until ten calls of its tool on end are served; the
        interval is that between two calls, and there is none where no call met it); ``books`` and ``token books`` (what
        does not add up); ``denied rightly``, ``let in wrongly``, ``denied wrongly`` (calls).
    """
    rows = [
        *_success(run), *_success_outside(run), *_memory(run), *_cpu(run), *_sessions(run), *_limits(run, stated),
        *_recoveries(run), *_books(run), *_denials(run),
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASURES_SCHEMA, orient="row")


def _success(run: Run) -> Iterator[Measured]:
    row = success_rate(run, "all").row(0, named=True)
    yield Measured(
        "success", ALL_CALLS, row["success_rate"], row["low"], row["high"], 0.95, "%", row["n"], detail=row["method"]
    )


def _success_outside(run: Run) -> Iterator[Measured]:
    for row in known_verdicts(run, "success rate outside planned windows").iter_rows(named=True):
        yield Measured(
            "success outside", ALL_CALLS, row["measure"], row["low"], row["high"], 0.95, "%", row["n"],
            detail="without the planned windows",
        )  # fmt: skip


def _memory(run: Run) -> Iterator[Measured]:
    readings = memory_readings(run)
    if readings.is_empty():
        yield Measured("memory slope", "the gateway", None, unit="MiB an hour", detail="its memory was not read")
        return
    found = drift(
        in_soak_time(readings), mask=readings_not_judged(run), floor=True
    )  # no margin: a table asks for the slope
    low, high = found.interval or (None, None)
    outside = process_readings(run)
    by = f"from outside, {outside['processes'].max()!s} processes" if outside.height else "as it exposes it itself"
    yield Measured(
        "memory slope", "the gateway", found.slope_per_hour, low, high, found.confidence, "MiB an hour", found.n,
        found.state, f"{by}; {found.detail}",
    )  # fmt: skip
    yield Measured("memory", "the gateway", found.level, unit="MiB", n=found.n, detail=by)


def _cpu(run: Run) -> Iterator[Measured]:
    readings = process_readings(run)
    calls = run.sql("select count(*) from calls where attempts > 0").item()
    if readings.height > 1 and calls:
        used_s = readings["cpu_s"][-1] - readings["cpu_s"][0]
        yield Measured("cpu", ALL_CALLS, 1000 * used_s / calls, unit="ms", n=calls)


def _sessions(run: Run) -> Iterator[Measured]:
    book = session_book(run)
    for what in ("opened", "left", "lost") if book else ():
        yield Measured(f"sessions {what}", "sessions", float(book[what]), n=book["opened"])


def _limits(run: Run, stated: Sequence[RateLimit]) -> Iterator[Measured]:
    for name, part in limits_of(run, stated=stated).group_by("limit", maintain_order=True):
        refused, passed = int(part["refused"].sum()), int(part["let_through"].sum())
        said = f"{passed} let through, {refused} refused"
        state = "" if refused else "its edge was never reached"
        over, early = float(part["over_by"].max() or 0), float(part["refused_early"].sum())  # type: ignore[arg-type]  # integers
        yield Measured("limit under-enforced", str(name[0]), over, unit="calls", n=passed, state=state, detail=said)
        yield Measured("limit over-enforced", str(name[0]), early, unit="calls", n=refused, state=state, detail=said)


def _recoveries(run: Run) -> Iterator[Measured]:
    outages = planned_changes(run).filter(pl.col("change").is_in(_OUTAGES), pl.col("ended_s").is_not_null())
    for subject, tool, made_s, ended_s in outages.select("subject", "tool", "made_s", "ended_s").iter_rows():
        calls = run.sql(
            """
            select soak_seconds(sent_at_us) - $ended_s as after_s, kind = 'ok' as ok from calls
            where purpose = 'load' and tool = $tool and soak_seconds(sent_at_us) >= $from_s order by sent_at_us""",
            {"tool": tool, "from_s": ended_s if made_s is None else made_s, "ended_s": ended_s},
        )
        is_after = pl.col("after_s") >= 0
        yield _recovery(f"{subject} of {tool}", calls.remove(is_after), calls.filter(is_after))


def _recovery(of: str, during: pl.DataFrame, after: pl.DataFrame) -> Measured:
    """Give when the first of ten calls on end was served, and when the last before it was not."""
    ok, after_s = after["ok"].to_list(), after["after_s"].to_list()
    failed = 0
    for place in range(len(ok) - _STEADY_CALLS + 1):
        if all(ok[place : place + _STEADY_CALLS]):
            if not place and during["ok"].all():
                said = f"none of the {during.height} calls that were sent while it lasted failed"
                return Measured("recovery", of, None, unit="s", n=len(ok), state="no effect", detail=said)
            low = after_s[place - 1] if place else 0.0
            sent = "call" if failed == 1 else "calls"
            said = f"{failed or 'no'} {sent} sent after its end failed"
            return Measured("recovery", of, after_s[place], low, after_s[place], None, "s", len(ok), detail=said)
        failed += not ok[place]
    said = f"{ok.count(False)} of {len(ok)} calls after its end failed; ten on end were never served"
    state = "too few calls" if all(ok) else "not back"
    return Measured("recovery", of, None, unit="s", n=len(ok), state=state, detail=said)


def _books(run: Run) -> Iterator[Measured]:
    for measure, name in (("books", "books balanced"), ("token books", "token books balanced")):
        for row in known_verdicts(run, name).iter_rows(named=True):
            yield Measured(measure, name, row["measure"], n=row["n"], state=row["state"], detail=row["detail"])


def _denials(run: Run) -> Iterator[Measured]:
    due, refused, let_in, load, wrong = run.sql(
        f"""
        select count(*) filter (expected = 'deny'), count(*) filter (expected = 'deny' and {IS_REFUSED}),
               count(*) filter (expected = 'deny' and {let_through_sql(run)}),
               count(*) filter (purpose = 'load' and expected = 'allow'),
               count(*) filter (purpose = 'load' and expected = 'allow' and {_REFUSED})
        from all_calls where attempts > 0"""  # noqa: S608 - our own conditions
    ).row(0)
    yield Measured("denied rightly", "who must be refused", float(refused), unit="calls", n=due)
    yield Measured("let in wrongly", "who must be refused", float(let_in), unit="calls", n=due)
    yield Measured("denied wrongly", "the load", float(wrong), unit="calls", n=load)
