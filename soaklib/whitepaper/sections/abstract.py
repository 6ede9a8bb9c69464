"""What was done and what came out, on half a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.whitepaper.document import Bullets, Paragraph, Section
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["abstract"]

_ENDS = {
    "completed": "The run came to its planned end.",
    "interrupted": "The run was interrupted at {segments.reached_h} of {run.hours} soak-hours; what was recorded until "
    "then is kept and judged.",
    "failed": "The run failed at {segments.reached_h} of {run.hours} soak-hours; what was recorded until then is kept "
    "and judged.",
    "running": "The run had not ended when this was written: it had reached {segments.reached_h} of {run.hours} "
    "soak-hours, or its runner died there. The numbers are those of that moment.",
}


def abstract(writer: Writer) -> Section:
    """Write the abstract."""
    return Section("Abstract", tuple(_blocks(writer)), is_numbered=False)


def _blocks(writer: Writer) -> Iterator[Block]:
    yield Paragraph(joined(_done(writer), writer.say(" "), _ended(writer)))
    yield Paragraph(_outcome(writer), tone="lead")
    failed = [row for row in writer.ledger.rows("criteria") if row.claims["state"].value == "fail"]
    if failed:
        yield Paragraph(writer.say("What failed:"))
        yield Bullets(
            tuple(writer.say("{row.name}. Required: {row.threshold}. Seen: {row.detail}.", row=row) for row in failed)
        )
    yield Paragraph(_measured(writer))


def _done(writer: Writer) -> Text:
    target = (
        "the reference gateway that soaklib itself starts, on the same machine"
        if writer.count("run.embedded")
        else "the gateway at {run.target}"
    )
    text = (
        "An AI-agent gateway stands between agents and their tools. This run put "
        f"{target}, under a steady load of {{run.rps}} {{run.rps?slot:slots}} a soak-second for {{run.hours}} planned "
        "soak-hours, changed things under it on schedule, and wrote down the outcome of every planned call: "
        "{totals.planned} calls, of which {totals.sent} were sent."
    )
    if writer.count("run.is_fast"):
        text += (
            " It was a rehearsal: {run.speed} soak-seconds passed in each wall second, and it took {run.duration_s} "
            "of wall time."
            if writer.has("run.duration_s")
            else " It was a rehearsal: {run.speed} soak-seconds passed in each wall second."
        )
    return writer.say(text)


def _ended(writer: Writer) -> Text:
    text = _ENDS[str(writer.ledger["run.status"].value)]
    if writer.count("segments.gaps"):
        text += (
            " It was cut off and taken up again: {segments.gaps} {segments.gaps?gap:gaps} in which no runner lived, "
            "{segments.gap_wall_s} of wall time in all."
        )
    return writer.say(text)


def _outcome(writer: Writer) -> Text:
    if not writer.has("criteria[success rate].measure"):
        rate = (
            "Success rate: {criteria[success rate].state}. No valid call counts towards it, so that there is none to "
            "state."
        )
    else:
        rate = (
            "Success rate: {criteria[success rate].state}. {criteria[success rate].measure} of "
            "{criteria[success rate].measure:n} valid calls that count succeeded ({levels.rate} interval "
            "{criteria[success rate].measure:interval}; required: {criteria[success rate].threshold})."
        )
    if writer.count("validity.left_out") and writer.has("success.success_rate"):
        rate += (
            " Of all {success.n} calls that count, those of moments in which the generator was late included, "
            "{success.success_rate} succeeded ({success.success_rate:interval})."
        )
    counts = (
        " Of {verdict_counts.all} acceptance criteria, {verdict_counts.passed} passed, {verdict_counts.failed} failed, "
        "{verdict_counts.insufficient} could not be judged, and {verdict_counts.not_applicable} "
        "{verdict_counts.not_applicable?does:do} not apply."
    )
    return writer.say(rate + counts)


def _measured(writer: Writer) -> Text:
    if not writer.count("generator.wall_seconds"):
        return writer.say("The generator left no record of its own schedule, so that nothing here can be vouched for.")
    return writer.say(
        "Could the generator itself be trusted? The criterion says {criteria[measurement valid].state}: "
        "{criteria[measurement valid].detail} (required: {criteria[measurement valid].threshold}). Calls of moments in "
        "which it was late are not valid, {validity.left_out} of {validity.left_out:n} here; verdicts on the gateway's "
        "answers leave them out. Every number in this paper comes from a query on the run's own data: claims.json "
        "lists each with its query and its result, the appendix lists the queries."
    )
