"""The table as people read it: a row a gateway, each cell a value with its interval, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from soaklib.analysis.verdicts.criteria.wording import many
from soaklib.digests.table import gateway_table
from soaklib.reports.wording import NOT_KNOWN, worded, worded_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.digests.kept import Digest

__all__ = ["gateway_overview"]

_MINUTE_S: Final = 60.0


def gateway_overview(digests: Mapping[str, Digest]) -> pl.DataFrame:
    """Give the table of gateways in words, in the order of the digests: no ranking.

    Parameters
    ----------
    digests
        As :func:`soaklib.read_digests` gives them.

    Returns
    -------
    polars.DataFrame
        All text: ``gateway``, ``soak`` (how long it really was, calls), ``success`` and ``outside the outage``
        (percent, 95 % interval), ``memory slope, MiB an hour`` (90 % interval), ``CPU a call``, ``sessions`` (left and
        lost of those opened), ``limits`` (calls let through beyond them, refused before them), ``recovery`` (after the
        outage), ``books``, ``denials`` (who must be refused and was, who was let in, calls of the load that were
        refused), ``generator`` (windows in which it was itself late: what is told of them is left out).
    """
    table = gateway_table(digests)
    rows = [_row(one, _by_measure(table.filter(gateway=name))) for name, one in digests.items()]
    return pl.DataFrame(rows)


def _by_measure(table: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        found.setdefault(row["measure"], []).append(row)
    return found


def _row(one: Digest, of: Mapping[str, list[dict[str, Any]]]) -> dict[str, str]:
    facts = one.facts
    return {
        "gateway": one.name,
        "soak": f"{facts['wall_s'] / _MINUTE_S:.0f} min, {facts['calls']:,} calls at {facts['rps']:g}/s",
        "success": _interval(of, "success"),
        "outside the outage": _interval(of, "success outside"),
        "memory slope, MiB an hour": _interval(of, "memory slope"),
        "CPU a call": _interval(of, "cpu"),
        "sessions": _sessions(of),
        "limits": _limits(of),
        "recovery": "; ".join(_recovery(row) for row in of.get("recovery", ())) or NOT_KNOWN,
        "books": _books(of),
        "denials": _denials(of),
        "generator": f"late in {many(facts['late_windows'], 'window')}" if facts["late_windows"] else "on time",
    }


def _interval(of: Mapping[str, list[dict[str, Any]]], measure: str) -> str:
    row = next(iter(of.get(measure, ())), None)
    if row is None or row["value"] is None:
        return NOT_KNOWN
    said = worded(row["value"], row["unit"])
    if row["low"] is not None:
        said += f" ({worded_interval(row['low'], row['high'], row['unit'])})"
    return f"{said}, {row['state']}" if row["state"] else said


def _number(of: Mapping[str, list[dict[str, Any]]], measure: str) -> int | None:
    row = next(iter(of.get(measure, ())), None)
    return None if row is None or row["value"] is None else int(row["value"])


def _sessions(of: Mapping[str, list[dict[str, Any]]]) -> str:
    opened = _number(of, "sessions opened")
    if opened is None:
        return NOT_KNOWN
    return f"{_number(of, 'sessions left')} left, {_number(of, 'sessions lost')} lost of {opened:,}"


def _limits(of: Mapping[str, list[dict[str, Any]]]) -> str:
    under, over = of.get("limit under-enforced", ()), of.get("limit over-enforced", ())
    said = [
        f"{a['of']}: {a['state'] or '{:.0f} beyond, {:.0f} refused early'.format(a['value'], b['value'])}"
        for a, b in zip(under, over, strict=True)
    ]
    return "; ".join(said) or NOT_KNOWN


def _recovery(row: Mapping[str, Any]) -> str:
    return row["state"] if row["value"] is None else f"{row['low']:.1f} to {row['high']:.1f}\N{NARROW NO-BREAK SPACE}s"


def _books(of: Mapping[str, list[dict[str, Any]]]) -> str:
    rows = [row for measure in ("books", "token books") for row in of.get(measure, ())]
    said = [f"{row['measure']}: {row['state']}" for row in rows if row["state"] != "not applicable"]
    return ", ".join(said) or ("not applicable" if rows else NOT_KNOWN)


def _denials(of: Mapping[str, list[dict[str, Any]]]) -> str:
    due = next(iter(of.get("denied rightly", ())), None)
    wrong = _number(of, "denied wrongly")
    if due is None or not due["n"]:
        return f"nobody to refuse; {wrong} calls refused wrongly"
    right, let_in = int(due["value"]), _number(of, "let in wrongly")
    return f"{right} of {due['n']} refused, {let_in} let in; {wrong} calls refused wrongly"
