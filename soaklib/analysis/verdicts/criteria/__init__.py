"""The acceptance criteria of a soak: each a question put to the data, answered with a verdict and the query behind it.

A criterion that cannot be judged is ``insufficient``, one that the run could not meet by its nature (a change that the
gateway has no route for) is ``not applicable``; neither ever passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.reconcile import books_balanced
from soaklib.analysis.verdicts.criteria import changes, chaos, completeness, lasting, oracles, stability, traffic
from soaklib.errors import SettingsError
from soaklib.records import JUDGING

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.analysis.sources.run import Run
    from soaklib.records import Verdict

__all__ = ["CRITERIA", "VERDICTS_SCHEMA", "criteria", "judge", "judged_anew", "known_verdicts"]

VERDICTS_SCHEMA: Final = pl.Schema(
    {
        "name": pl.String(), "measure": pl.Float64(), "threshold": pl.String(), "n": pl.Int64(), "low": pl.Float64(),
        "high": pl.Float64(), "state": pl.String(), "detail": pl.String(), "query": pl.String(),
    }
)  # fmt: skip
"""Columns and types of :func:`criteria`."""

CRITERIA: Final[tuple[Callable[[Run], Verdict], ...]] = (
    completeness.full_duration,
    completeness.every_slot_accounted_for,
    completeness.all_tools_exercised,
    traffic.success_overall,
    traffic.success_outside,
    traffic.healthy,
    traffic.denials_happen,
    traffic.no_false_allow,
    traffic.no_false_deny,
    oracles.identities_refused,
    oracles.limits_held,
    changes.changes_made,
    changes.tokens_rotate_unnoticed,
    stability.no_spike_at_rotations,
    chaos.chaos_shows,
    chaos.breaker_engages,
    chaos.breaker_recovers,
    lasting.lasting_changes_show,
    lasting.recovers_after_lasting_changes,
    changes.quota_cut_works,
    completeness.snapshots_complete,
    books_balanced,
    oracles.tokens_balanced,
    oracles.money_balanced,
    oracles.upstream_asked_once,
    oracles.sessions_closed,
    stability.no_drift_in_latency_median,
    stability.no_drift_in_latency_tail,
    stability.no_drift_in_first_token,
    stability.no_drift_in_errors,
    stability.no_drift_in_gateway_memory,
    stability.no_drift_in_gateway_files,
    stability.no_drift_in_event_loop_lag,
    stability.no_drift_in_generator_memory,
    completeness.measurement_valid,
)
"""Every acceptance criterion, in the order in which they are read."""


def criteria(run: Run) -> pl.DataFrame:
    """Judge a run by every acceptance criterion.

    Returns
    -------
    polars.DataFrame
        ``name``, ``measure``, ``threshold``, ``n``, ``low``, ``high``, ``state`` (``pass``, ``fail``,
        ``not applicable``, ``insufficient``), ``detail``, ``query``.
    """
    return pl.DataFrame([tuple(verdict) for verdict in judge(run)], schema=VERDICTS_SCHEMA, orient="row")


def judge(run: Run) -> list[Verdict]:
    """Give the verdicts of :func:`criteria` as records.

    Raises
    ------
    SettingsError
        It is a stretch of a run: what is required is required of the whole.
    """
    if run is not run.whole:
        msg = "criteria judge a whole run, not a stretch of it: pass the run itself, or stretch.whole"
        raise SettingsError(msg)
    return [criterion(run) for criterion in CRITERIA]


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
    """
    recorded = run.verdicts()
    is_of_today = recorded.height and run.info.judged_by == JUDGING
    verdicts = recorded.cast(VERDICTS_SCHEMA) if is_of_today else criteria(run)
    return verdicts.filter(pl.col("name").is_in(names)) if names else verdicts


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
