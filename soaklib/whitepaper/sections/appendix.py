"""What the outcomes mean, which settings were in force, and which query stands behind every claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import Kind
from soaklib.whitepaper.document import Cell, Code, Column, Paragraph, Section, Table, Words
from soaklib.whitepaper.ledger import IMPORTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Block
    from soaklib.whitepaper.prose import Writer

__all__ = ["MEANINGS", "definitions", "queries", "settings"]

_OPENED: Final = f"""\
{IMPORTS}

run = soaklib.open_run("RUN")  # the folder of the run, or its bundle"""

MEANINGS: Final = {
    Kind.OK: "answered with success",
    Kind.DENIED: "refused by policy",
    Kind.UNAUTHORIZED: "the token or the agent was refused",
    Kind.RATE_LIMITED: "refused by a rate limit",
    Kind.FAST_FAIL: "refused at the gateway because the tool's circuit breaker was open",
    Kind.UPSTREAM_ERROR: "the tool behind the gateway failed, or the gateway itself did",
    Kind.INVALID_REQUEST: "the gateway did not accept the request for another reason",
    Kind.INVALID_RESPONSE: "a redirect, or an answer that is not what it says, or is too large",
    Kind.TIMEOUT: "no whole answer within the time limit",
    Kind.TRANSPORT_ERROR: "no connection, or a broken connection",
    Kind.DROPPED: "not sent: too many calls were in flight",
    Kind.SKIPPED: "a chain's step after a step that was not ok",
    Kind.MISSED: "planned while no runner lived",
    Kind.INTERRUPTED: "cut off by the stop of the run",
}


def definitions(writer: Writer) -> Section:
    """Write what the outcomes mean."""
    return Section(
        "Appendix: definitions of outcomes",
        (
            Paragraph(
                writer.say(
                    "Every planned call has a single outcome. Totals count ok and denied by themselves and "
                    "everything else as failed; the success rate has its own definition, under Method."
                )
            ),
            Table(
                writer.say("Kinds of outcome."),
                (Column("Outcome", share=0.28), Column("Meaning", share=0.72)),
                tuple((Cell((Words(str(kind)),)), Cell(writer.say(meaning))) for kind, meaning in MEANINGS.items()),
            ),
        ),
        is_numbered=False,
    )


def settings(writer: Writer) -> Section:
    """Write the settings in force."""
    return Section(
        "Appendix: settings in force",
        (
            Table(
                writer.say("Settings of the run; an unset value is a dash."),
                (Column("Setting", share=0.45), Column("Value", share=0.55)),
                tuple(
                    (Cell(writer.say("{row.setting}", row=row)), Cell(writer.say("{row.value}", row=row)))
                    for row in writer.ledger.rows("settings")
                ),
            ),
        ),
        is_numbered=False,
    )


def queries(writer: Writer) -> Section:
    """Write the query behind every claim."""
    return Section("Appendix: queries of every claim", tuple(_queries(writer)), is_numbered=False)


def _queries(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "Each query can be asked again of the run's folder or of its bundle, in Python after the lines below: SQL "
            "by run.sql(query), and what begins with soaklib as it stands. A claim is named by its query, the row in "
            "brackets where there are several, and the column. claims.json lists every claim with query, row, column, "
            "value, unit, n and interval."
        )
    )
    yield Code("Before the queries", _OPENED, "python")
    by_query: dict[str, list[str]] = {}
    for claim in writer.ledger.claims.values():
        family = claim.name.split("[")[0].split(".")[0]
        names = by_query.setdefault(claim.query, [])
        if family not in names:
            names.append(family)
    for query, names in by_query.items():
        yield _asked(", ".join(names), query)
    yield Section("Queries of the criteria", tuple(_criteria(writer)), is_numbered=False)


def _criteria(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "soaklib.criteria asks these itself; they can be asked by hand in the same way. Where a query reads "
            "valid_calls, calls of moments in which the generator was late are left out; all others look at all that "
            "was recorded, be it denials, probes, snapshots, the quota or the recovery after chaos."
        )
    )
    for row in writer.ledger.rows("criteria"):
        yield _asked(str(row.claims["name"].value), _dedented(str(row.claims["query"].value)))


def _asked(title: str, query: str) -> Code:
    return Code(title, query, "python" if query.startswith("soaklib.") else "sql")


def _dedented(query: str) -> str:
    lines = [line.rstrip() for line in query.strip("\n").splitlines()]
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line), default=0)
    first, *others = lines
    return "\n".join([first.strip(), *(line[margin:] for line in others)])
