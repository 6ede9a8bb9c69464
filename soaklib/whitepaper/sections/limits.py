"""What the measurement cannot tell: told by what happened in this run, and by what kind of run it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Bullets, Paragraph, Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["limits"]

_LOST: Final = {
    "totals.dropped": (
        "{totals.dropped} {totals.dropped?call was:calls were} not sent because too many were in flight; "
        "{totals.dropped?it counts as a failure, if it was of the load:those of the load count as failures}."
    ),
    "totals.interrupted": (
        "{totals.interrupted} {totals.interrupted?call was:calls were} cut off by the stop of the run."
    ),
    "totals.rate_limited": (
        "{totals.rate_limited} {totals.rate_limited?call was:calls were} refused by a rate limit; "
        "{totals.rate_limited?it counts as a failure:they count as failures} but for those of an agent that had used "
        "up a limit that is known. More agents would have met fewer of them."
    ),
    "totals.given_up": (
        "{totals.given_up} {totals.given_up?call was:calls were} given up without a whole answer. How long "
        "{totals.given_up?it:they} would have taken is not known; percentiles of all calls place "
        "{totals.given_up?it:them} behind all others (right-censored)."
    ),
}
"""Claim -> what is said of it where it is not nothing."""


def limits(writer: Writer) -> Section:
    """Write the section."""
    return Section(
        "Limits of the measurement",
        (
            Paragraph(writer.say("These points weaken or bound the conclusions above.")),
            Section("In this run", (Bullets(tuple(_happened(writer))),)),
            Section("In this kind of run", (Bullets(tuple(_kind(writer))),)),
        ),
    )


def _happened(writer: Writer) -> Iterator[Text]:
    if not writer.is_word("run.status", "completed"):
        yield writer.say(
            "It ended as {run.status} at {segments.reached_h} of {run.hours} soak-hours. What was planned for later "
            "was not tried, and criteria that need the whole run do not pass."
        )
    if writer.count("segments.gaps"):
        yield writer.say(
            "No runner lived in {segments.gaps} {segments.gaps?gap:gaps}, {segments.gap_wall_s} of wall time in all. "
            + (
                "{totals.missed} {totals.missed?call that was:calls that were} planned meanwhile "
                "{totals.missed?is:are} of kind missed, and the load's count against the success rate"
                if writer.count("totals.missed")
                else "No call was planned meanwhile"
            )
            + "; what the gateway did then is not known."
        )
    yield _invalid(writer)
    for claim, text in _LOST.items():
        if writer.count(claim):
            yield writer.say(text)
    for row in writer.ledger.rows("scrapes"):
        if row.claims["failed"].value and row.claims["endpoint"].value == "metrics":
            yield writer.say(
                "{row.failed} of {row.scrapes} scrapes of the gateway's metrics failed; what its counters did "
                "between is known only as a sum.", row=row,
            )  # fmt: skip
    for row in writer.ledger.rows("by_hand")[:1]:
        yield writer.say(
            "{row.n} {row.n?change was:changes were} made by hand while the run went on, beside the plan; the section "
            "on changes lists {row.n?it:them}. Criteria make no allowance for {row.n?it:them}: what {row.n?it:they} "
            "did to the calls counts as if the gateway had done it by itself.",
            row=row,
        )


def _invalid(writer: Writer) -> Text:
    if not writer.count("generator.wall_seconds"):
        return writer.say(
            "The generator left no record of how it kept its schedule: no measurement here can be vouched for."
        )
    if not writer.count("generator.invalid_windows"):
        return writer.say(
            "The generator was never later than {run.late_ms} in {criteria[measurement valid].n} wall seconds; no call "
            "is left out."
        )
    late = "Now and then the generator was later than {run.late_ms}: {criteria[measurement valid].detail}. "
    exhausted = (
        "In {validity.exhausted} {validity.exhausted?soak-minute:soak-minutes} the generator's machine had no port or "
        "descriptor left for a call. "
    )
    is_late = writer.count("generator.invalid_windows") > writer.count("validity.exhausted")
    return writer.say(
        f"{late * is_late}{exhausted * bool(writer.count('validity.exhausted'))}The "
        "{validity.left_out} {validity.left_out?call that touches:calls that touch} those soak-minutes "
        "{validity.left_out?is:are} left out of verdicts on the gateway's answers; if they differ from the others, "
        "that is not seen."
    )


def _kind(writer: Writer) -> Iterator[Text]:
    if writer.count("run.embedded"):
        yield writer.say(
            "The gateway was the reference gateway. It ran on the same machine as the generator and competed with it "
            "for the same CPUs. Its latencies say nothing about a gateway in production, nor do its verdicts; the run "
            "shows that the measurement works."
        )
    else:
        yield writer.say("The network between generator and gateway is part of every latency.")
    if writer.count("run.is_fast"):
        yield writer.say(
            "It was a rehearsal: {run.speed} soak-seconds in a wall second, so {run.hours} planned soak-hours took "
            "{run.duration_s} of wall time. It cannot show what only wall time brings: memory and file handles that "
            "leak by the hour, timers and connections of the operating system, certificates, log rotation, day and "
            "night. The wall rate is the plan's rate times the speed, and queues and latencies are those of the "
            "higher rate."
            if writer.has("run.duration_s")
            else "It was a rehearsal: {run.speed} soak-seconds in a wall second. It cannot show what only wall time "
            "brings."
        )
        yield writer.say(
            "At this speed much happens between [two] scrapes: a breaker that opens and closes between them shows only "
            "in what calls met."
        )
    yield writer.say(
        "This is [one] run. Its intervals tell how uncertain its rates are under its own conditions, not how the next "
        "run, another machine or another load would differ."
    )
    yield writer.say(
        "The load is synthetic: its shares, sizes and rates are those of the plan. No other load was tried."
    )
    yield writer.say(
        "No correction is made for the number of criteria. The more there are, the likelier it is that [one] of them "
        "fails by chance."
    )
