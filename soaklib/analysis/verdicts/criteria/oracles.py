"""Criteria that only a ledger of every call can have: limits held, and those refused who must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.books.limits import limits, stated_limits
from soaklib.analysis.books.readings import is_in_turn
from soaklib.analysis.books.tokens import spend, tokens
from soaklib.analysis.books.upstream import upstream_books, upstream_lateness
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.analysis.measures.metrics import metered
from soaklib.analysis.verdicts.criteria.let_through import let_through_sql
from soaklib.analysis.verdicts.criteria.wording import many, passed
from soaklib.records import EventName, State, Verdict
from soaklib.targets import load_target
from soaklib.targets.base import Meaning
from soaklib.targets.refusal_proofs import IS_REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.analysis.sources.run import Run
    from soaklib.plan.oracles import RateLimit

__all__ = [
    "identities_refused",
    "limits_held",
    "money_balanced",
    "session_book",
    "sessions_closed",
    "tokens_balanced",
    "upstream_asked_once",
]

_SESSIONS: Final = f"select data from events where name = '{EventName.SESSIONS_CLOSED}' order by at_us"  # noqa: S608 - our own word


def limits_held(run: Run) -> Verdict:
    """Did each limit let through what it allows: no call too many, and none refused too early?"""
    name, threshold = "limits held", "0 windows with more calls than allowed, 0 calls refused before the limit"
    query = "soaklib.limits(run)  # its select: calls sent, answered, refused in outcomes, by identity"
    stated = stated_limits(run)
    if not stated:
        detail = "neither the plan ([[limits]]) nor --agent-limit states a limit of calls"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    frame = limits(run)
    found = [_said(limit, frame.filter(pl.col("limit") == limit.name)) for limit in stated]
    wrong = int(frame["windows_over"].sum()) + int(frame["refused_early"].sum())
    state = passed(wrong == 0)
    if state == State.PASS and any(not frame.filter(limit=limit.name)["refused"].sum() for limit in stated):
        state = State.INSUFFICIENT
    n = int(frame["let_through"].sum())
    return Verdict(name, float(wrong), threshold, n, None, None, state, "; ".join(found), query)


def _said(limit: RateLimit, of_it: pl.DataFrame) -> str:
    """Say in numbers what a limit did."""
    stated = f"{limit.name} ({limit.calls} in {limit.window_s:g} s, {limit.window} windows)"
    refused, most = int(of_it["refused"].sum()), int(of_it["most"].max() or 0)  # type: ignore[arg-type]  # integers
    over, early = int(of_it["windows_over"].sum()), int(of_it["refused_early"].sum())
    said = f"{stated}: at most {many(most, 'call')} let through in such a stretch, {refused} refused"
    if over:
        by = int(of_it["over_by"].max() or 0)  # type: ignore[arg-type]  # integers
        said += f"; UNDER-enforced: {many(over, 'window')} with up to {by} more than the {limit.certain_calls} that"
        said += " it may hold" if limit.window == "sliding" else " two windows may hold"
    elif most > limit.calls:
        said += f", more than {limit.calls}, which two windows that meet there may hold"
    if early:
        said += f"; OVER-enforced: {many(early, 'call')} refused too early"
        said += f", one when {int(of_it['fewest'].min() or 0)} had been let through"  # type: ignore[arg-type]  # integers
    if not refused and not over:
        said += ": its edge was never reached"
    return said


def identities_refused(run: Run) -> Verdict:
    """Was every call refused that was made with a token that is unknown, expired, revoked, replaced or for another?"""
    name, threshold = "identities refused", "0 calls let through with a token that must not be good, each kind refused"
    query = (
        "select split_part(identity, ':', 1) as trial, count(*) as sent, "  # noqa: S608 - our own conditions
        f"count(*) filter ({IS_REFUSED}) as refused, count(*) filter ({let_through_sql(run)}) as let_through "
        "from outcomes where purpose = 'trial' and expected = 'deny' and attempts > 0 group by trial order by trial"
    )
    planned = run.info.plan.trials
    if planned is None or not planned.of:
        detail = "the plan tries no token that must be refused ([trials])"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    tried = run.sql(query)
    why = dict(run.sql(f"select subject, detail from events where name = '{EventName.TRIAL_NOT_POSSIBLE}'").iter_rows())  # noqa: S608 - our own word
    said = [_became(*row) for row in tried.iter_rows()]
    not_tried = [trial for trial in planned.of if trial not in tried["trial"].to_list()]
    said += [f"{trial} not tried: {why.get(trial, 'its turn never came')}" for trial in not_tried]
    sent, let_through = int(tried["sent"].sum()), int(tried["let_through"].sum())
    if not sent and all(trial in why for trial in not_tried):
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, "; ".join(said), query)
    state = passed(let_through == 0)
    if state == State.PASS and (
        any(trial not in why for trial in not_tried) or not (tried["refused"] > 0).all() or not sent
    ):
        state = State.INSUFFICIENT
    return Verdict(name, float(let_through), threshold, sent, None, None, state, "; ".join(said), query)


def _became(trial: str, sent: int, refused: int, let_through: int) -> str:
    """Say what became of the calls of a trial."""
    said = f"{let_through} of {sent} let through" if let_through else f"{refused} of {sent} refused"
    untold = sent - refused - let_through
    return f"{trial}: {said}{f', {untold} answered so that neither is told, or not at all' if untold else ''}"


def tokens_balanced(run: Run) -> Verdict:
    """Do the counters of tokens hold what the answers state, of each model and of each key?"""
    of = (
        "token books balanced",
        "0 tokens lost, or counted that no call can have used",
        "soaklib.tokens(run)  # its select: usage in outcomes, counters in samples and scrapes",
    )
    absent = "no counter of tokens was scraped", "no answer states its usage of tokens"
    return _book(run, of, tokens, column="input_tokens", absent=absent, form=",.0f")


def money_balanced(run: Run) -> Verdict:
    """Does the counter of money hold what the answers say they cost, of each model and of each key?"""
    of = (
        "money books balanced",
        "0 US dollars lost, or counted that no call can have cost",
        "soaklib.spend(run)  # its select: cost_usd in outcomes, counters in samples and scrapes",
    )
    absent = "no counter of money was scraped", "no answer says what it cost"
    return _book(run, of, spend, column="cost_usd", absent=absent, form=",.6g")


def _book(
    run: Run, of: tuple[str, str, str], book: Callable[..., pl.DataFrame], *, column: str, absent: tuple[str, str],
    form: str,
) -> Verdict:  # fmt: skip
    """Judge a book of what answers state in a column against counters; where nothing counts or states it, say so."""
    frame = book(run)
    if frame.height:
        return _balanced(of, frame, book(run, by="key"), form)
    name, threshold, query = of
    not_counted, not_stated = absent
    states_some = run.sql(f"select count(*) from outcomes where {column} is not null").item()  # noqa: S608 - our own name
    detail = not_counted if states_some else not_stated
    return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)


def _balanced(of: tuple[str, str, str], by_model: pl.DataFrame, by_key: pl.DataFrame, form: str) -> Verdict:
    """Judge a book: what is wrong with a model is often wrong with a key as well, and counts once."""
    wrong = max(float(frame["lost"].sum()) + float(frame["too_many"].sum()) for frame in (by_model, by_key))
    rows = by_model.rename({"model": "whose"}).to_dicts()
    is_told = (pl.col("lost") + pl.col("too_many") > 0) | (pl.col("cause") == IN_TURN)
    rows += by_key.filter(is_told).rename({"key": "whose"}).to_dicts()
    said = [
        f"{row['direction'] + ' ' if 'direction' in row else ''}{row['whose'] or 'no key'}: "
        f"{row['stated_most']:{form}} stated, "
        f"{'an unknown number' if row['counted'] is None else format(row['counted'], form)} counted "
        f"by the {row['source']}{'' if row['cause'] is None else ' (' + row['cause'] + ')'}"
        for row in rows
    ]
    directions = by_model.partition_by("direction") if "direction" in by_model.columns else [by_model]
    n = max(int(part["answers"].sum()) for part in directions)
    name, threshold, query = of
    state = passed(not wrong)
    if state == State.PASS and any(row["cause"] == IN_TURN for row in rows):
        state = State.INSUFFICIENT
    return Verdict(name, wrong, threshold, n, None, None, state, "; ".join(said), query)


def upstream_asked_once(run: Run) -> Verdict:
    """Did the upstream do what the calls explain, and no more, and did every answer come from it?"""
    name, threshold = "upstream asked once", "0 whole answers of the upstream that no call explains, 0 from elsewhere"
    query = "soaklib.upstream_books(run)  # its select: events UPSTREAM_COUNTED, outcomes, counters in samples"
    answers = upstream_books(run).filter(what="answers")
    if not answers.height:
        detail = "the run knows of no mock upstream of the soak's own, or it began anew"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    said = [
        f"{row['model']}: {row['client_most']:,} answered ok"
        f"{'' if row['gateway'] is None else ', ' + format(row['gateway'], ',.0f') + ' counted by the gateway'}"
        f", {row['upstream']:,} answers of the upstream"
        f"{', ' + str(row['asked_twice']) + ' that no call explains' if row['asked_twice'] else ''}"
        f"{', ' + str(row['from_elsewhere']) + ' that it gave no whole answer to' if row['from_elsewhere'] else ''}"
        for row in answers.iter_rows(named=True)
        if row["upstream"] or row["client_most"]
    ]
    late = upstream_lateness(run)
    if late is not None and late[0]:
        said.append(f"the upstream itself was late {many(late[0], 'time')}, by up to {late[1]:.0f} ms")
    twice, elsewhere = int(answers["asked_twice"].sum()), int(answers["from_elsewhere"].sum())
    hits = load_target(run.info.plan.target).metrics.meanings.get(Meaning.CACHE_HITS)
    cached = 0.0 if hits is None or not elsewhere else float(metered(run, hits.metric, "all", by=())["n"].sum())
    wrong = float(twice + max(0.0, elsewhere - cached))
    if elsewhere and cached:
        said.append(f"{cached:,.0f} from the gateway's cache")
    n, state = int(answers["client_most"].sum()), passed(not wrong)
    if wrong and not twice and hits is not None and is_in_turn(run, [hits.metric, f"{hits.metric}_total"]):
        said.append(f"how many of them came from the gateway's cache is not known: {IN_TURN}")
        wrong, state = 0.0, State.INSUFFICIENT
    return Verdict(name, wrong, threshold, n, None, None, state, "; ".join(said), query)


def session_book(run: Run) -> dict[str, int]:
    """Give how many sessions were opened and what became of them, from all who opened any; empty without any.

    ``opened``, ``closed``, ``left``, of those ``unendable``, ``lost``, and calls ``overused``.
    """
    books = [json.loads(data) for data in run.sql(_SESSIONS)["data"].to_list() if data is not None]
    words = ("opened", "closed", "left", "unendable", "lost", "overused") if books else ()
    return {what: sum(int(book.get(what, 0)) for book in books) for what in words}


def sessions_closed(run: Run) -> Verdict:
    """Did the gateway let go of every session that was opened, and forget none that was in use?"""
    name, threshold = "sessions closed", "every session that was opened is closed, 0 lost in use"
    query, book = _SESSIONS, session_book(run)
    if not book:
        detail = "no session was opened"
        return Verdict(name, None, threshold, 0, None, None, State.NOT_APPLICABLE, detail, query)
    opened, closed, left, unendable, lost, overused = book.values()
    detail = f"{opened:,} opened, {closed:,} closed, {left:,} left, {lost:,} lost in use"
    if overused:
        detail += f"; {many(overused, 'call')} went on in a session that had served, since none was ready"
    keeps_all = run.info.plan.target.options.get("close") is False
    state = passed(lost == 0 and (keeps_all or opened <= closed + lost + unendable))
    if keeps_all and state == State.PASS:
        state, detail = State.NOT_APPLICABLE, f"{detail}: the plan leaves them to the server"
    elif unendable and state == State.PASS:
        detail += f"; the server ends no session on request, as it may: {many(unendable, 'session')}"
        state = State.NOT_APPLICABLE
    return Verdict(name, float(opened - closed), threshold, opened, None, None, state, detail, query)
