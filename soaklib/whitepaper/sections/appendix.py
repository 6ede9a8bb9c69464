"""Which settings were in force, and where the query behind every claim is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.claims import CLAIMS_NAME
from soaklib.whitepaper.document import Cell, Code, Column, Link, Paragraph, Section, Table
from soaklib.whitepaper.ledger import IMPORTS
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Block
    from soaklib.whitepaper.prose import Writer

__all__ = ["queries", "settings"]

_OPENED: Final = f"""\
{IMPORTS}

run = soaklib.open_run("RUN")  # the folder of the run, or its bundle"""


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
    """Write where the query behind every claim is found, and how it is asked again."""
    return Section("Appendix: queries", tuple(_queries(writer)), is_numbered=False)


def _queries(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        joined(
            writer.say("Every number in this paper is a claim with a query behind it. "),
            (Link(CLAIMS_NAME, CLAIMS_NAME, "file"),),
            writer.say(
                ", which lies beside the paper, lists each with its query, row, column, value, unit, n and interval; "
                "in the paper as a page, a number shows its claim's name when it is pointed at. Each query can be "
                "asked again of the run's folder or its bundle, in Python after the lines below: SQL by "
                "run.sql(query), and what begins with soaklib as it stands. The queries of the criteria are the claims "
                "named criteria, column query; where they read valid_calls, calls of moments in which the generator "
                "was late are left out."
            ),
        )
    )
    yield Code("Before the queries", _OPENED, "python")
