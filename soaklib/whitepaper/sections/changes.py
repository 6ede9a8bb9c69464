"""When things were changed under load, and what each change did in the data: a part of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Bullets, Cell, Column, Paragraph, Table
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soaklib.reports.wording import Value
    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["changes"]

_WHAT: Final = {
    "rotate-credentials": "new credential for {row.tool}",
    "chaos": "chaos on {row.tool}",
    "update-policy": "quota on {row.tool} cut",
    "http": "{row.subject}, by requests to the gateway",
    "upstream": "{row.subject}, by the upstream",
}

_PLANNED: Final = (
    Column("Change", share=0.26), Column("Planned", is_number=True, share=0.1),
    Column("Made", is_number=True, share=0.1), Column("Over", is_number=True, share=0.1), Column("Became", share=0.14),
    Column("In the event log", share=0.3),
)  # fmt: skip
_MET: Final = (
    Column("Change", share=0.17), Column("Window", share=0.24), Column("Sent", is_number=True, share=0.08),
    Column("Answered ok", is_number=True, share=0.19), Column("Fast-fails", is_number=True, share=0.08),
    Column("Upstream errors", is_number=True, share=0.09), Column("Quota denials", is_number=True, share=0.09),
    Column("Other", is_number=True, share=0.07),
)  # fmt: skip


def changes(writer: Writer) -> Iterator[Block]:
    """Give what was planned, what became of it, and what it did to the calls."""
    planned = writer.ledger.rows("changes")
    if not planned:
        beside = " beside the rotation of tokens" * bool(writer.count("rotations.made"))
        yield Paragraph(writer.say(f"The plan of this run has no changes{beside}."))
        yield from _by_hand(writer)
        return
    by_number = {row.claims["number"].value: row for row in planned}
    yield Table(
        writer.say("Planned changes and what became of each. Moments are soak time, in hours and minutes."),
        _PLANNED, tuple(_planned(writer, planned)),
    )  # fmt: skip
    yield from _not_made(writer, planned)
    yield from _by_hand(writer)
    windows = writer.ledger.rows("change_windows")
    if windows:
        yield Paragraph(
            writer.say(
                "The next table counts what the load's calls of the changed tool met in the soak-hour before and after "
                "the change, or in less where another change lies closer. Brackets hold {levels.rate} intervals."
            )
        )
        yield Table(
            writer.say("What a change did to the calls of its tool."), _MET,
            tuple(_met(writer, row, by_number) for row in windows),
        )  # fmt: skip
    shifts = writer.ledger.rows("change_shifts")
    if shifts:
        yield Paragraph(
            writer.say(
                "Is that more than chance? For each change we take the share of the tool's valid calls that were not "
                "answered ok, minute by minute, and compare its mean after the change, or while it lasts, with its "
                "mean before. From this we subtract the median of the same difference at placebo times, at which "
                "nothing happened. Every minute weighs the same, so the numbers differ from those of the table. "
                "Intervals ({levels.effect}) and p-values come from resamples of the run's undisturbed minutes. A "
                "difference at a change does not prove that the change caused it."
            )
        )
        yield Bullets(tuple(_shift(writer, row, by_number) for row in shifts))


def _named(writer: Writer, row: Row) -> Text:
    return writer.say(_WHAT[str(row.claims["change"].value)], row=row)


def _planned(writer: Writer, rows: list[Row]) -> Iterator[tuple[Cell, ...]]:
    for row in rows:
        state = str(row.claims["state"].value)
        event = "{row.event}: {row.detail}" if row.claims["event"].value is not None else "no event"
        yield (
            Cell(_named(writer, row)),
            Cell(writer.say("{row.planned_s}", row=row)),
            Cell(writer.say("{row.made_s}", row=row)),
            Cell(writer.say("{row.ended_s}", row=row)),
            Cell(
                writer.say("{row.state}", row=row),
                tone={"made": "pass", "unsupported": "not applicable"}.get(state, "fail"),
            ),
            Cell(writer.say(event, row=row)),
        )


def _not_made(writer: Writer, rows: list[Row]) -> Iterator[Paragraph]:
    unsupported = [row for row in rows if row.claims["state"].value == "unsupported"]
    undone = [row for row in rows if row.claims["state"].value not in {"made", "unsupported"}]
    if unsupported:
        yield Paragraph(
            joined(
                writer.say("The gateway has no route for these changes, so that this run says nothing of them: "),
                writer.listed("change", unsupported),
                writer.say("."),
            )
        )
    if undone:
        yield Paragraph(
            joined(
                writer.say("These changes were planned and did not happen, so that their effect cannot be judged: "),
                writer.listed("change", undone),
                writer.say("."),
            )
        )


def _met(writer: Writer, row: Row, by_number: Mapping[Value, Row]) -> tuple[Cell, ...]:
    change = by_number[row.claims["number"].value]
    ok = "{row.ok_rate} ({row.ok_rate:interval})" if row.claims["ok_rate"].value is not None else "{row.ok_rate}"
    told = ("{row.n}", ok, "{row.fast_fails}", "{row.upstream_errors}", "{row.quota_denials}", "{row.other}")
    window = writer.say("{row.window}, {row.start_s} to {row.end_s}", row=row)
    return (Cell(_named(writer, change)), Cell(window), *(Cell(writer.say(text, row=row)) for text in told))


def _shift(writer: Writer, row: Row, by_number: Mapping[Value, Row]) -> Text:
    name = _named(writer, by_number[row.claims["number"].value])
    if row.claims["shift_p_value"].value is None:
        text = ": too few minutes or placebo times to tell ({row.cells} {row.cells?minute:minutes})."
        return joined(name, writer.say(text, row=row))
    text = f"afterwards {_difference(row, 'shift')}; {{row.n}} placebo times."
    if row.claims["transient_p_value"].value is not None:
        text = f"while it lasted {_difference(row, 'transient')}; {text}"
    return joined(name, writer.say(f": {text}", row=row))


def _difference(row: Row, column: str) -> str:
    claim = row.claims[column]
    no_interval = "no interval, since all placebo times are alike"
    interval = f"{{row.{column}:interval}}" if claim.low is not None else no_interval
    return f"{{row.{column}}} percentage points more than before ({interval}; p = {{row.{column}_p_value}})"


def _by_hand(writer: Writer) -> Iterator[Block]:
    rows = writer.ledger.rows("by_hand")
    if rows:
        yield Paragraph(
            writer.say(
                "Somebody also changed things by hand while the run went on. No criterion judges these changes, and "
                "their effect is not told apart:"
            )
        )
        yield Bullets(tuple(writer.say("{row.soak_s}, {row.name}: {row.detail}", row=row) for row in rows))
