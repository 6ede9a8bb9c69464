"""Every acceptance criterion with its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Bullets, Cell, Column, Paragraph, Section, Stated, Table, Words

if TYPE_CHECKING:
    from soaklib.whitepaper.document import Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["judged", "verdicts"]

_COLUMNS: Final = (
    Column("Criterion", share=0.21), Column("Verdict", share=0.13), Column("Measure", is_number=True, share=0.11),
    Column("Interval", is_number=True, share=0.15), Column("n", is_number=True, share=0.09),
    Column("Required", share=0.31),
)  # fmt: skip


def verdicts(writer: Writer) -> Section:
    """Write the section."""
    rows = writer.ledger.rows("criteria")
    blocks: list[Paragraph | Table | Section] = [
        Paragraph(
            writer.say(
                "Each criterion is a question put to the data. It passes or fails; it is insufficient where it could "
                "not be judged, and not applicable where the gateway or the plan has nothing to judge. Neither of "
                "the latter counts as a pass. n is the number of observations behind "
                "the measure. Intervals of rates are {levels.rate} intervals, those of drifts {levels.drift} "
                "intervals of the change over the whole run; at rotations it is no interval but the band that holds "
                "{levels.placebo} of the placebo times. What was seen in detail stands with the results."
            )
        ),
        Table(writer.say("Acceptance criteria."), _COLUMNS, tuple(_row(writer, row) for row in rows)),
    ]
    return Section("Acceptance criteria", tuple(blocks))


def _name(row: Row) -> Text:
    """Give a criterion's name; the numbers in some, as of a percentile, are parts of the name."""
    return (Stated(row.claims["name"].text, row.claims["name"].name),)


def _row(writer: Writer, row: Row) -> tuple[Cell, ...]:
    measure = row.claims["measure"]
    interval = (
        writer.say("{row.measure:interval}", row=row)
        if measure.low is not None and measure.high is not None
        else (Words("\N{EN DASH}"),)
    )
    return (
        Cell(_name(row)),
        Cell(writer.say("{row.state}", row=row), tone=str(row.claims["state"].value)),
        Cell(writer.say("{row.measure}", row=row)),
        Cell(interval),
        Cell(writer.say("{row.n}", row=row)),
        Cell(writer.say("{row.threshold}", row=row)),
    )


def judged(writer: Writer, *names: str) -> Bullets:
    """Give verdict, requirement and what was seen of some criteria."""
    return Bullets(
        tuple(
            writer.say("{row.name}: {row.state}. Required: {row.threshold}. Seen: {row.detail}.", row=row)
            for row in writer.ledger.rows("criteria")
            if row.claims["name"].value in names
        )
    )
