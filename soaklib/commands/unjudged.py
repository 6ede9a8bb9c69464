"""Which criteria will be ``not applicable``, and why: told before a soak by its plan, its gateway and its length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.verdicts.criteria.lasting import UNKNOWN_EFFECT, effects_of
from soaklib.exposition.ending import STARTS
from soaklib.plan.changes import ChaosChange, HttpChange, PolicyChange
from soaklib.targets import load_target
from soaklib.targets.base import Meaning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from soaklib.plan.forecast import Forecast
    from soaklib.plan.model import Plan
    from soaklib.runner.preflight.findings import Found

__all__ = ["Unjudged", "unjudged"]

_LAGS: Final = ("nodejs_eventloop_lag_p99_seconds", "nodejs_eventloop_lag_seconds")
_NO_SUCH_CHANGE: Final = "the plan has no such change"
_NO_ROUTE: Final = "the gateway has no route for the change"


class Unjudged(NamedTuple):
    """A criterion that will be ``not applicable``, and why."""

    criterion: str
    why: str


def unjudged(plan: Plan, outlook: Forecast, found: Found, hindered: Mapping[int, str]) -> Iterator[Unjudged]:
    """Give the criteria that will be ``not applicable``: the plan, the gateway or the length leave nothing to judge.

    Parameters
    ----------
    plan, outlook
        The soak, and what it will do and need.
    found
        What its preflight found; of what was not found out nothing is said.
    hindered
        What stands in the way of a change, by its place.
    """
    unsupported = {number for number in hindered if "unsupported" in hindered[number]}
    yield from _of_plan(plan, outlook, found)
    yield from _of_changes(plan, unsupported)
    yield from _of_lasting(plan, unsupported)
    yield from _of_answers(plan, found)
    yield from _of_metrics(plan, found)


def _of_plan(plan: Plan, outlook: Forecast, found: Found) -> Iterator[Unjudged]:
    if not plan.probes:
        yield Unjudged("no false-allow", "the plan has no probe")
        if not any(isinstance(change, PolicyChange) for change in plan.changes):
            yield Unjudged("denials happen", "the plan has neither a probe nor a quota cut")
    if plan.trials is None or not plan.trials.of:
        yield Unjudged("identities refused", "the plan tries no token that must be refused ([trials])")
    if not plan.limits and found.limit is None:
        yield Unjudged("limits held", "neither the plan ([[limits]]) nor --agent-limit states a limit of calls")
    if not outlook.rotations:
        why = "the soak is too short for a rotation"
        yield Unjudged("token rotations go unnoticed", why)
        yield Unjudged("no error spike at rotations", why)


def _of_changes(plan: Plan, unsupported: set[int]) -> Iterator[Unjudged]:
    if len(unsupported) >= len(plan.changes):
        why = "the gateway can make none of them" if plan.changes else "the plan has no change"
        yield Unjudged("scheduled changes made", why)
    chaos = [number for number, change in enumerate(plan.changes) if isinstance(change, ChaosChange)]
    cuts = [number for number, change in enumerate(plan.changes) if isinstance(change, PolicyChange)]
    breaker = ("breaker engages during chaos", "breaker recovers after chaos")
    yield from _unless_made(chaos, unsupported, "chaos shows in the data", *breaker)
    if not unsupported.issuperset(chaos) and all(
        change.mode == "jitter" for change in plan.changes if isinstance(change, ChaosChange)
    ):
        yield from (Unjudged(criterion, "chaos by jitter makes no call fail") for criterion in breaker)
    yield from _unless_made(cuts, unsupported, "quota cut works")


def _of_lasting(plan: Plan, unsupported: set[int]) -> Iterator[Unjudged]:
    effects = effects_of(plan)
    none = UNKNOWN_EFFECT if any(isinstance(change, HttpChange) for change in plan.changes) else _NO_SUCH_CHANGE
    for criterion, meant in (
        ("lasting changes show in the data", effects),
        ("recovers after lasting changes", [effect for effect in effects if not effect.is_late]),
    ):
        yield from _unless_made([effect.number for effect in meant], unsupported, criterion, none=none)


def _unless_made(
    numbers: list[int], unsupported: set[int], *criteria: str, none: str = _NO_SUCH_CHANGE
) -> Iterator[Unjudged]:
    if unsupported.issuperset(numbers):
        yield from (Unjudged(criterion, _NO_ROUTE if numbers else none) for criterion in criteria)


def _of_answers(plan: Plan, found: Found) -> Iterator[Unjudged]:
    """Tell by what the calls that were tried were answered; nothing where none was answered well."""
    if found.stated is not None:
        meanings = load_target(plan.target).metrics.meanings

        def is_counted(of: Iterable[Meaning]) -> bool:
            exposed = found.metrics or frozenset()
            return any(meaning in meanings and meanings[meaning].is_among(exposed) for meaning in of)

        for criterion, columns, counters, what, unstated in (
            ("token books balanced", {"input_tokens", "output_tokens"}, (Meaning.TOKENS_IN, Meaning.TOKENS_OUT),
             "tokens", "no answer states its usage of tokens"),
            ("money books balanced", {"cost_usd"}, (Meaning.SPEND,), "money", "no answer says what it cost"),
        ):  # fmt: skip
            if columns.isdisjoint(found.stated):
                yield Unjudged(criterion, unstated)
            elif not is_counted(counters):
                yield Unjudged(criterion, f"the gateway exposes no counter of {what}")
        if "first_token_at_us" not in found.stated:
            yield Unjudged("no drift in time to first token", "nothing was streamed")
    if found.knows_upstream is False:
        yield Unjudged("upstream asked once", "no mock upstream of the soak's own answers: the plan names none")
    if found.has_sessions is False:
        yield Unjudged("sessions closed", "no session was opened")
    elif plan.target.options.get("close") is False:
        yield Unjudged("sessions closed", "the plan leaves them to the server")


def _of_metrics(plan: Plan, found: Found) -> Iterator[Unjudged]:
    if found.endpoints is not None and "health" not in found.endpoints:
        yield Unjudged("healthy", "the gateway is not asked for its health")
        if "metrics" not in found.endpoints:
            yield Unjudged("no drift in gateway memory", "the gateway does not say how much it holds")
    if found.endpoints is not None and "metrics" not in found.endpoints:
        why = "the gateway has no metrics"
        yield from (Unjudged(criterion, why) for criterion in ("snapshots complete", "books balanced"))
    metrics = found.metrics or frozenset()
    meanings = load_target(plan.target).metrics.meanings
    tells = [meanings[meaning] for meaning in (Meaning.START, Meaning.REQUESTS) if meaning in meanings]
    if metrics.isdisjoint(STARTS) and not any(series.is_among(metrics) for series in tells):
        yield Unjudged("no unplanned restart", "the gateway tells neither its start nor how many requests it counted")
    told = meanings.get(Meaning.OPEN_FILES)
    gauges = {"process_open_fds", *([] if told is None else [told.metric])}  # by their own names: no counter is one
    if metrics.isdisjoint(gauges):
        yield Unjudged("no drift in gateway files", "the gateway does not say how many files it has open")
    if metrics.isdisjoint(_LAGS):
        yield Unjudged("no drift in event-loop lag", "the gateway does not say how late its event loop is")
