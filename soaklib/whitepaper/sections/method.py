"""What was sent, how time is measured, what success means, and how sure the numbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.whitepaper.document import Bullets, Paragraph, Section
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["method"]


def method(writer: Writer) -> Section:
    """Write the section."""
    return Section(
        "Method",
        (
            Section("What was sent", tuple(_sent(writer))),
            Section("How time is measured", tuple(_time(writer))),
            Section("What success means", tuple(_success(writer))),
            Section("How sure the numbers are", tuple(_sure(writer))),
        ),
    )


def _sent(writer: Writer) -> Iterator[Block]:
    arrivals = (
        "at equal distances"
        if writer.is_word("run.arrivals", "constant")
        else "at random distances (a Poisson process)"
    )
    yield Paragraph(
        writer.say(
            f"The load is an open model {{#schroeder2006}}: slots arrive {arrivals}, at the rate of the plan, whatever "
            f"the gateway answers. A slot leaves at its planned time. If too many calls are in flight it becomes a row "
            f"of kind dropped; after a stall it leaves late, with its lag in the data. No slot is left out in silence. "
            f"Each slot is an operation, drawn from its number and the run's seed alone:"
        )
    )
    yield Bullets(tuple(_operations(writer)))
    if writer.ledger.rows("planned_probes"):
        yield Paragraph(
            writer.say(
                "Probes are calls that policy must deny. A probe that gets past policy is a false-allow; a call of the "
                "load that is denied against the plan is a false-deny. Neither is tolerated:"
            )
        )
        yield Bullets(
            tuple(
                writer.say("{row.role} tries {row.call} every {row.every_s}.", row=row)
                for row in writer.ledger.rows("planned_probes")
            )
        )
    tokens = (
        "Agents authenticate with signed tokens that live {intervals.token_lifetime_s}. New ones are fetched every "
        "{intervals.rotate_tokens_s} and swapped in under load."
        if writer.count("rotations.made")
        else "What agents authenticate with was not replaced while the run went on."
    )
    metrics = (
        "The gateway's metrics are scraped every {intervals.scrape_s} and kept verbatim every {intervals.snapshot_s}."
        if any(row.claims["endpoint"].value == "metrics" for row in writer.ledger.rows("scrapes"))
        else "No metrics of the gateway were scraped."
    )
    yield Paragraph(
        writer.say(
            f"{tokens} {metrics} A health gate stands before and after each scheduled change. What a change did is "
            "looked for in the data; the answer of the admin interface proves nothing."
        )
    )


def _operations(writer: Writer) -> Iterator[Text]:
    for row in writer.ledger.rows("operations"):
        text = writer.say("{row.share} of slots: {row.role} calls {row.calls}", row=row)
        repeated = row.claims["repeated"].value
        tail = "; {row.repeated} of them repeat a recent query, for the cache." if repeated else "."
        yield joined(text, writer.say(tail, row=row))


def _time(writer: Writer) -> Iterator[Block]:
    fast = (
        " In this run they differ: {run.speed} soak-seconds pass in a wall second. Latencies, time limits and "
        "timestamps on the wire are wall time and never rescaled."
        if writer.count("run.is_fast")
        else " In this run they are the same."
    )
    yield Paragraph(
        writer.say(
            "All durations come from the runner's monotonic clock. Soak time is the time of the plan; wall time is "
            "what clocks show." + fast + " Soak time stands still while no runner lives."
        )
    )
    yield Paragraph(
        writer.say(
            "Service time runs from the moment a call was sent to the moment its answer was whole. Response time "
            "runs from the moment at which the call was planned to leave, so a stall cannot hide the calls that "
            "waited for it (coordinated omission {#tene2013}). A later step of a chain is planned for the moment at "
            "which the step before was answered. A call that was given up, after {run.timeout_ms} without a whole "
            "answer or for a broken connection, counts as longer than its wait. Refusals take next to no time and are "
            "left out of percentiles. The table of latency by tool and the criteria of drift look only at calls that "
            "were answered ok, and say nothing of calls that were given up."
        )
    )
    if writer.count("generator.connections_opened"):
        yield Paragraph(
            writer.say(
                "The load held at most {generator.connections_max} connections to the gateway at a time; it opened "
                "{generator.connections_opened} in all, of which {generator.connections_lost} were ended by the "
                "gateway or the network. Behind a balancer, calls on the same connection go to the same server."
            )
        )


def _success(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "A success is a call that policy should allow and that was answered ok; there is no other definition in "
            "the data, in the verdicts or in the figures. The success rate leaves out probes, steps of a chain after "
            "a step that was not ok, and denials by a quota that the plan itself has cut. Calls that were never "
            "sent, because the cap was reached or because no runner lived, count against it."
        )
    )
    yield Paragraph(
        writer.say(
            "The generator has to prove that it kept its schedule. Soak-minutes in which it was later than "
            "{run.late_ms} are invalid. They are shown, and verdicts leave their calls out, so that the gateway is not "
            "blamed for its tester."
        )
    )


def _sure(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "Failures come in bursts, so calls are not independent trials. Intervals of rates are {levels.rate} "
            "Clopper-Pearson intervals {#clopper1934} on the effective number of calls: the number of calls over a "
            "design effect that is measured from blocks of time {#korn1998}. Where all calls succeeded, or none, no "
            "design effect can be measured. There the interval is a [one]-sided {levels.rate} bound that takes calls "
            "as independent, and it is too narrow if failures would come in bursts. Intervals of percentiles are made "
            "from blocks of time as well. At rotations, the band holds {levels.placebo} of the placebo times."
        )
    )
    yield Paragraph(
        writer.say(
            "A series drifts if a test that is calibrated under the series' own autocorrelation by a sieve bootstrap "
            "{#buhlmann1997} rejects and the {levels.drift} interval of its change does not lie within the margin. It "
            "is stable only if the whole interval lies within the margin {#schuirmann1987}. Everything else is "
            "inconclusive, and the verdict is insufficient. Slopes are medians of the slopes between pairs of points "
            "{#sen1968}. The power told with a drift is the chance that the test would have rejected a drift of "
            "exactly the margin; where it is low, a run of this length and noise cannot tell."
        )
    )
