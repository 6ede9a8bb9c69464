"""The acceptance criteria, gathered under six questions, each with its verdict: here and nowhere else in the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records.units import unit_behind
from soaklib.reports.wording import SAID_WITH_VALUE
from soaklib.whitepaper.document import Cell, Column, Stated, Table, Words
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["ANSWERED", "BOOKS", "CHANGES", "CREEP", "POLICY", "QUESTIONS", "RAN", "has_books", "judged"]

RAN: Final = "Did the soak run as planned, and was it measured well?"
ANSWERED: Final = "Were calls answered?"
POLICY: Final = "Did policy deny what it must, and nothing else?"
CHANGES: Final = "Did the gateway bear what was changed under it?"
CREEP: Final = "Did anything slow down or creep?"
BOOKS: Final = "Do the books balance?"

QUESTIONS: Final = {
    RAN: ("full duration", "every slot accounted for", "all tools exercised", "snapshots complete",
          "measurement valid", "no drift in generator memory"),
    ANSWERED: ("success rate", "success rate outside planned windows", "healthy", "no unplanned restart"),
    POLICY: ("denials happen", "no false-allow", "no false-deny", "identities refused", "limits held",
             "quota cut works"),
    CHANGES: ("scheduled changes made", "chaos shows in the data", "breaker engages during chaos",
              "breaker recovers after chaos", "lasting changes show in the data", "recovers after lasting changes",
              "token rotations go unnoticed", "no error spike at rotations"),
    CREEP: ("no drift in latency (median)", "no drift in latency (p99)", "no drift in time to first token",
            "no drift in errors", "no drift in gateway memory", "no drift in gateway files",
            "no drift in event-loop lag"),
    BOOKS: ("books balanced", "token books balanced", "money books balanced", "upstream asked once",
            "sessions closed"),
}  # fmt: skip
"""Question -> the criteria that answer it. What no question claims is a matter of the books: one record held against
another."""

_COLUMNS: Final = (
    Column("Criterion", share=0.19), Column("Verdict", share=0.13), Column("Measure", is_number=True, share=0.15),
    Column("n", is_number=True, share=0.08), Column("Required", share=0.19), Column("Seen", share=0.26),
)  # fmt: skip


def judged(writer: Writer, question: str) -> Iterator[Block]:
    """Give the table of a question's criteria; nothing where none was asked."""
    rows = [row for row in writer.ledger.rows("criteria") if _question_of(row) == question]
    if rows:
        yield Table(
            writer.say("What was asked, and what was found."), _COLUMNS, tuple(_row(writer, row) for row in rows)
        )


def has_books(writer: Writer) -> bool:
    """Say whether the gateway has counters that were compared."""
    state = "criteria[books balanced].state"
    is_judged = not writer.has(state) or writer.ledger[state].value != "not applicable"
    return bool(writer.count("books.comparisons")) and is_judged


def _question_of(row: Row) -> str:
    name = row.claims["name"].value
    return next((question for question, names in QUESTIONS.items() if name in names), BOOKS)


def _name(row: Row) -> Text:
    """Give a criterion's name; the numbers in some, as of a percentile, are parts of the name."""
    return (Stated(row.claims["name"].text, row.claims["name"].name),)


def _row(writer: Writer, row: Row) -> tuple[Cell, ...]:
    measure = row.claims["measure"]
    value = measure.value if isinstance(measure.value, float) else None
    # of a count a sentence would say it itself
    behind = unit_behind(str(row.claims["name"].value), value) * (measure.unit not in SAID_WITH_VALUE)
    text = joined(writer.say("{row.measure}", row=row), (Words(f" {behind}"),) * bool(behind))
    if measure.low is not None and measure.high is not None and measure.low < measure.high:
        text = joined(text, (Words(" ("),), writer.say("{row.measure:interval}", row=row), (Words(")"),))
    is_told_on_the_front = row.claims["state"].value in {"insufficient", "fail"}
    return (
        Cell(_name(row)),
        Cell(writer.say("{row.state}", row=row), tone=str(row.claims["state"].value)),
        Cell(text),
        Cell(writer.say("{row.n}", row=row)),
        Cell(writer.say("{row.threshold}", row=row)),
        Cell(writer.say("see the first page") if is_told_on_the_front else writer.say("{row.detail}", row=row)),
    )
