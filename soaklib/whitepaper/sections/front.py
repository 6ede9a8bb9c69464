"""The first page: the verdict, five numbers, one picture, what failed, what is open and why, and the last good run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

from soaklib.whitepaper.document import Bullets, Paragraph, Section, Tile, Tiles
from soaklib.whitepaper.prose import joined
from soaklib.whitepaper.sections.figures import drawn
from soaklib.whitepaper.sections.questions import has_books

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["front"]

_PICTURE: Final = "success-rate"

_ENDS: Final = {
    "completed": "The run came to its planned end.",
    "interrupted": "The run was interrupted at {segments.reached_h} of {run.hours} soak-hours. This paper judges what "
    "was recorded until then.",
    "failed": "The run broke off at {segments.reached_h} of {run.hours} soak-hours. This paper judges what was "
    "recorded until then.",
    "running": "The run had not ended when this was written: it had reached {segments.reached_h} of {run.hours} "
    "soak-hours, or its runner died there. The numbers are those of that moment.",
}


def front(writer: Writer, figures: Path) -> Section:
    """Write the page."""
    return Section("Verdict", tuple(_blocks(writer, figures)), is_numbered=False)


def _blocks(writer: Writer, figures: Path) -> Iterator[Block]:
    tone = cast('Literal["pass", "open", "fail", "none"]', str(writer.ledger["verdict.word"].value))
    yield Paragraph(writer.say("{verdict.headline}"), tone=tone)
    yield Paragraph(joined(_done(writer), writer.say(" "), _ended(writer)))
    yield Tiles(tuple(_tiles(writer)))
    yield from drawn(writer, figures, _PICTURE)
    yield from _failed(writer)
    yield from _open(writer)
    yield from _earlier(writer)


def _done(writer: Writer) -> Text:
    target = "the reference gateway of soaklib" if writer.count("run.embedded") else "the gateway at {run.target}"
    was_changed = writer.count("rotations.made") or any(
        row.claims["state"].value == "made" for row in writer.ledger.rows("changes")
    )
    text = (
        f"This run put {target} under a steady load of {{run.rps}} {{run.rps?slot:slots}} a soak-second for "
        f"{{run.hours}} planned soak-hours,{' changed things under it on schedule,' * bool(was_changed)} and wrote "
        "down what became of every call: {totals.planned} were planned and {totals.sent} sent."
    )
    if writer.count("run.is_fast"):
        text += (
            " It was a rehearsal: {run.speed} soak-seconds passed in each wall second, so it took {run.duration_s}."
            if writer.has("run.duration_s")
            else " It was a rehearsal: {run.speed} soak-seconds passed in each wall second."
        )
    return writer.say(text)


def _ended(writer: Writer) -> Text:
    text = _ENDS[str(writer.ledger["run.status"].value)]
    if writer.count("segments.gaps"):
        text += (
            " It was cut off and taken up again, which left {segments.gaps} {segments.gaps?gap:gaps} without a runner, "
            "{segments.gap_wall_s} of wall time in all."
        )
    return writer.say(text)


def _tiles(writer: Writer) -> Iterator[Tile]:
    unknown = writer.say("not known")
    success = "criteria[success rate].measure"
    yield Tile(
        "Calls that succeeded",
        writer.say(f"{{{success}}}") if writer.has(success) else unknown,
        writer.say(f"of {{{success}:n}} valid calls; {{{success}:interval}}") if writer.has(success)
        else writer.say("no valid call counts"),
        _tone(writer, "success rate"),
    )  # fmt: skip
    let_through, denied = "criteria[no false-allow].measure", "criteria[no false-deny].measure"
    yield Tile(
        "Wrong answers of policy",
        writer.say(f"{{{let_through}}} and {{{denied}}}") if writer.has(let_through) and writer.has(denied)
        else unknown,
        writer.say("forbidden calls let through, and allowed calls denied"),
        _tone(writer, "no false-allow") or _tone(writer, "no false-deny"),
    )  # fmt: skip
    tail = "latency[response/0.99]"
    has_tail = writer.has(f"{tail}.latency_ms") and bool(writer.ledger[f"{tail}.sufficient"].value)
    bound = "at least " * (has_tail and bool(writer.ledger[f"{tail}.at_least"].value))
    yield Tile(
        "Response time",
        writer.say(f"{bound}{{{tail}.latency_ms}}") if has_tail else unknown,
        writer.say(f"{{{tail}.quantile}} percentile; {{{tail}.latency_ms:interval}}")
        if has_tail else writer.say("too few calls for the tail"),
        _tone(writer, "no drift in latency (p99)"),
    )  # fmt: skip
    is_compared = has_books(writer)
    compared = "without a harmless cause, in {books.comparisons} comparisons of client and gateway"
    yield Tile(
        "Differences in the books",
        writer.say("{books.unexplained}") if is_compared else unknown,
        writer.say(compared if is_compared else "the gateway has no counters that could be compared"),
        _tone(writer, "books balanced"),
    )
    valid = "criteria[measurement valid].measure"
    yield Tile(
        "Time the generator was late",
        writer.say(f"{{{valid}}}") if writer.has(valid) else unknown,
        writer.say(f"of {{{valid}:n}} wall seconds") if writer.has(valid) else writer.say("it left no record"),
        _tone(writer, "measurement valid"),
    )


def _tone(writer: Writer, criterion: str) -> str:
    """Give the state of a criterion where it is one to look at."""
    name = f"criteria[{criterion}].state"
    state = str(writer.ledger[name].value) if writer.has(name) else ""
    return state if state in {"fail", "insufficient"} else ""


def _failed(writer: Writer) -> Iterator[Block]:
    failed = _in_state(writer, "fail")
    if failed:
        yield Section(
            "What failed",
            (
                Bullets(
                    tuple(writer.say("{row.name}: {row.detail}. Required: {row.threshold}.", row=row) for row in failed)
                ),
            ),
            is_numbered=False,
        )


def _open(writer: Writer) -> Iterator[Block]:
    insufficient, absent = _in_state(writer, "insufficient"), _in_state(writer, "not applicable")
    blocks: list[Block] = []
    if insufficient:
        blocks.append(Bullets(tuple(writer.say("{row.name}: {row.detail}.", row=row) for row in insufficient)))
    if absent:
        blocks.append(
            Paragraph(
                joined(
                    writer.say("Not asked of this gateway or plan, and not passed: "),
                    writer.listed("name", absent),
                    writer.say("."),
                )
            )
        )
    if blocks:
        yield Section("What could not be judged, and why", tuple(blocks), is_numbered=False)


def _in_state(writer: Writer, state: str) -> list[Row]:
    return [row for row in writer.ledger.rows("criteria") if row.claims["state"].value == state]


def _earlier(writer: Writer) -> Iterator[Block]:
    rows = writer.ledger.rows("earlier")
    if not rows:
        text = writer.say("This run was not compared with an earlier [one]; a weekly soak does that by itself.")
    elif rows[0].claims["against"].value is None:
        text = writer.say("There was nothing to compare with: {row.detail}.", row=rows[0])
    else:
        worse = "; these got worse: {row.worst}" if rows[0].claims["worse"].value else ""
        text = writer.say(
            "Against {row.against}, {row.detail}: of {row.endpoints} measures {row.same} stayed within their margin, "
            f"{{row.worse}} got worse, {{row.better}} got better, and {{row.open}} could not be decided{worse}.",
            row=rows[0],
        )
    told = [Paragraph(text)]
    if rows and rows[0].claims["over_weeks"].value:
        told.append(Paragraph(writer.say("From week to week: {row.over_weeks}.", row=rows[0])))
    for row in writer.ledger.rows("reference"):
        beside = (
            "Latency and errors are judged against {row.run_id}: what it shows at the same time of day is no drift."
        )
        told.append(Paragraph(writer.say(beside, row=row)))
    yield Section("Against the last good run", tuple(told), is_numbered=False)
