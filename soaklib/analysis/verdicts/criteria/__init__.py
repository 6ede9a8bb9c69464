"""The acceptance criteria of a soak: each a question put to the data, answered with a verdict and the query behind it.

A criterion that cannot be judged is ``insufficient``, also where something of the run's data cannot be read as what it
should be; one that the run could not meet by its nature (a change that the gateway has no route for) is ``not
applicable``; neither ever passes.
"""

from __future__ import annotations

import math
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.reconcile import books_balanced
from soaklib.analysis.verdicts.criteria import (
    changes,
    chaos,
    completeness,
    lasting,
    oracles,
    running,
    stability,
    traffic,
)
from soaklib.errors import ExpositionError, SettingsError, SourceError, first_line, near_miss
from soaklib.records import JUDGING, State, Verdict
from soaklib.store.quoting import is_text
from soaklib.targets import own_criteria

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from soaklib.analysis.sources.run import Run

__all__ = ["CRITERIA", "VERDICTS_SCHEMA", "criteria", "judge", "judged_anew", "known_verdicts", "verdict_frame"]

VERDICTS_SCHEMA: Final = pl.Schema(
    {
        "name": pl.String(), "measure": pl.Float64(), "threshold": pl.String(), "n": pl.Int64(), "low": pl.Float64(),
        "high": pl.Float64(), "state": pl.String(), "detail": pl.String(), "query": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`criteria`."""

_MOST: Final = 2**63 - 1  # of a whole number
_OF_ITS_KIND: Final = "criteria of its kind"
"""What stands for the criteria of a kind of gateway whose package cannot name them."""

CRITERIA: Final[Mapping[str, Callable[[Run], Verdict]]] = {
    "full duration": completeness.full_duration,
    "every slot accounted for": completeness.every_slot_accounted_for,
    "all tools exercised": completeness.all_tools_exercised,
    "success rate": traffic.success_overall,
    "success rate outside planned windows": traffic.success_outside,
    "healthy": traffic.healthy,
    "no unplanned restart": running.no_unplanned_restart,
    "denials happen": traffic.denials_happen,
    "no false-allow": traffic.no_false_allow,
    "no false-deny": traffic.no_false_deny,
    "identities refused": oracles.identities_refused,
    "limits held": oracles.limits_held,
    "scheduled changes made": changes.changes_made,
    "token rotations go unnoticed": changes.tokens_rotate_unnoticed,
    "no error spike at rotations": stability.no_spike_at_rotations,
    "chaos shows in the data": chaos.chaos_shows,
    "breaker engages during chaos": chaos.breaker_engages,
    "breaker recovers after chaos": chaos.breaker_recovers,
    "lasting changes show in the data": lasting.lasting_changes_show,
    "recovers after lasting changes": lasting.recovers_after_lasting_changes,
    "quota cut works": changes.quota_cut_works,
    "snapshots complete": completeness.snapshots_complete,
    "books balanced": books_balanced,
    "token books balanced": oracles.tokens_balanced,
    "money books balanced": oracles.money_balanced,
    "upstream asked once": oracles.upstream_asked_once,
    "sessions closed": oracles.sessions_closed,
    "no drift in latency (median)": stability.no_drift_in_latency_median,
    "no drift in latency (p99)": stability.no_drift_in_latency_tail,
    "no drift in time to first token": stability.no_drift_in_first_token,
    "no drift in errors": stability.no_drift_in_errors,
    "no drift in gateway memory": stability.no_drift_in_gateway_memory,
    "no drift in gateway files": stability.no_drift_in_gateway_files,
    "no drift in event-loop lag": stability.no_drift_in_event_loop_lag,
    "no drift in generator memory": stability.no_drift_in_generator_memory,
    "measurement valid": completeness.measurement_valid,
}
"""Every acceptance criterion of all kinds of gateways by its name, in the order in which they are read."""


def criteria(run: Run, *names: str) -> pl.DataFrame:
    """Judge a run by the acceptance criteria, those of all kinds of gateways and those that its own kind brings.

    Parameters
    ----------
    run
        The run.
    names
        Only these criteria, such as ``"no false-allow"``; none for all.

    Returns
    -------
    polars.DataFrame
        ``name``, ``measure``, ``threshold``, ``n``, ``low``, ``high``, ``state`` (``pass``, ``fail``,
        ``not applicable``, ``insufficient``), ``detail``, ``query``.

    Raises
    ------
    SettingsError
        There is no criterion of such a name, or it is a stretch of a run.
    """
    return verdict_frame(judge(run, *names))


def verdict_frame(verdicts: Iterable[Verdict]) -> pl.DataFrame:
    """Give verdicts as :func:`criteria` does."""
    return pl.DataFrame([tuple(verdict) for verdict in verdicts], schema=VERDICTS_SCHEMA, orient="row")


def judge(run: Run, *names: str) -> list[Verdict]:
    """Give the verdicts of :func:`criteria` as records, in the order of :data:`CRITERIA`.

    Raises
    ------
    SettingsError
        There is no criterion of such a name, or it is a stretch of a run: what is required is required of the whole.
    """
    asked = _asked(run, names)
    if run is not run.whole:
        msg = "criteria judge a whole run, not a stretch of it: pass the run itself, or stretch.whole"
        raise SettingsError(msg)
    return [_judged(run, name, criterion) for name, criterion in asked.items()]


def _judged(run: Run, name: str, criterion: Callable[[Run], Verdict]) -> Verdict:
    """Put one question; what the data of the run do not let it answer costs this answer and no other."""
    try:
        return criterion(run)
    except (ExpositionError, SettingsError, SourceError) as error:
        return _not_judged(name, str(error))


def _brought(name: str, criterion: Callable[[Run], Verdict], run: Run) -> Verdict:
    """Put a question that another package brings; what goes wrong there costs its answer and no other."""
    try:
        return _whole(Verdict(*criterion(run))._replace(name=name))
    except Exception as error:  # noqa: BLE001 - whatever it is: the code is another's
        return _not_judged(name, f"its kind of gateway could not judge it: {first_line(error)}")


def _whole(verdict: Verdict) -> Verdict:
    """Give a verdict of another package as a row of verdicts, or raise where it makes none: it would cost all others.

    Raises
    ------
    TypeError, ValueError
        Its state is none, a number is none that a column holds, or a text is missing.
    """
    measure, low, high = (
        None if value is None else float(value) for value in (verdict.measure, verdict.low, verdict.high)
    )
    for what, value in (("measure", measure), ("low", low), ("high", high)):
        if value is not None and not math.isfinite(value):
            msg = f"its {what} is {value}"
            raise ValueError(msg)
    if not 0 <= (n := index(verdict.n)) <= _MOST:
        msg = f"its n is {n}"
        raise ValueError(msg)
    for what in ("threshold", "detail", "query"):
        if not isinstance(text := getattr(verdict, what), str) or not is_text(text):
            msg = f"its {what} is no text"
            raise TypeError(msg)
    return verdict._replace(n=n, state=State(verdict.state), measure=measure, low=low, high=high)


def _not_judged(name: str, why: str) -> Verdict:
    query = f"soaklib.criteria(run, {name!r})  # which could not be judged"
    return Verdict(name, None, "not judged", 0, None, None, State.INSUFFICIENT, why, query)


def known_verdicts(run: Run, *names: str) -> pl.DataFrame:
    """Give verdicts as they were recorded when the run ended; without any, or by another way of judging, judge it now.

    To judge takes as long as reading every row a dozen times; for whoever only shows a verdict this is enough. Whoever
    shows them says what :func:`judged_anew` says of the run.

    Parameters
    ----------
    run
        The run.
    names
        Only these criteria; none for all.

    Returns
    -------
    polars.DataFrame
        As :func:`criteria` gives it.

    Raises
    ------
    SettingsError
        There is no criterion of such a name.
    """
    recorded = run.verdicts()
    is_of_today = recorded.height and run.info.judged_by == JUDGING
    if not is_of_today:
        return criteria(run, *names)
    verdicts = recorded.cast(VERDICTS_SCHEMA)
    if not set(names) <= set(verdicts["name"]):  # those of a kind whose package is not here are known by what they gave
        _asked(run, names)
    return verdicts.filter(pl.col("name").is_in(names)) if names else verdicts


def _asked(run: Run, names: tuple[str, ...]) -> dict[str, Callable[[Run], Verdict]]:
    """Give the criteria of these names, all without any; a name that all kinds know is no kind's own."""
    known = dict(CRITERIA)
    for name, criterion in _own(run).items():
        known.setdefault(name, partial(_brought, name, criterion))
    for name in names:
        if name not in known:
            msg = f"there is no criterion {name!r}{near_miss(name, known)}; there are {', '.join(known)}"
            raise SettingsError(msg)
    return {name: criterion for name, criterion in known.items() if not names or name in names}


def _own(run: Run) -> dict[str, Callable[[Run], Verdict]]:
    """Give the criteria that a run's kind of gateway brings; where its package fails at that, one that says so."""
    try:
        return {str(name): criterion for name, criterion in own_criteria(run.info.plan.target).items()}
    except Exception as error:  # noqa: BLE001 - whatever it is: the code is another's
        raised = error

    def of_none(_: Run) -> Verdict:
        raise raised

    return {_OF_ITS_KIND: of_none}


def judged_anew(run: Run) -> str | None:
    """Say that a run's recorded verdicts are not those that :func:`known_verdicts` gives; None where they are.

    Parameters
    ----------
    run
        The run.
    """
    if run.info.judged_by == JUDGING or not run.verdicts().height:
        return None
    return (
        f"judged anew: its recorded verdicts were given by way {run.info.judged_by} of judging, "
        f"and this soaklib judges by way {JUDGING}"
    )
