"""What the run showed, in six questions: verdicts, tables and figures of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Cell, Column, Figure, Paragraph, Section, Table
from soaklib.whitepaper.prose import joined
from soaklib.whitepaper.sections.changes import changes
from soaklib.whitepaper.sections.figures import drawn
from soaklib.whitepaper.sections.questions import ANSWERED, BOOKS, CHANGES, CREEP, POLICY, RAN, has_books, judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["results"]


def results(writer: Writer, figures: Path) -> Section:
    """Write the section."""
    streams = ("first-token",) if writer.ledger.rows("first_token") else ()
    parts: tuple[tuple[str, Callable[[Writer], Iterator[Block]], tuple[str, ...]], ...] = (
        (RAN, _ran, ("outcome-composition", "measurement-validity")),
        (ANSWERED, _answered, ("error-budget-burn",)),
        (POLICY, _policy, ("denial-spikes",)),
        (CHANGES, _changes, ("intervention-timeline", "breaker-activity", "rotation-impact")),
        (CREEP, _latency, ("latency-percentiles", *streams, "latency-heat-map", "percentile-plot", "drift-latency",
                           "drift-gateway-memory", "drift-generator-memory", "retries-and-cache")),
        (BOOKS, _books, ("reconciliation-residuals",)),
    )  # fmt: skip
    intro = Paragraph(
        writer.say(
            "A criterion passes or fails; it is insufficient where the data could not decide, and not applicable where "
            "there was nothing to judge. Neither of the latter counts as a pass. n is the number of observations "
            "behind a measure."
        )
    )
    return Section(
        "Results",
        (intro, *(Section(title, tuple(_part(writer, figures, words, names))) for title, words, names in parts)),
    )


def _part(
    writer: Writer, figures: Path, words: Callable[[Writer], Iterator[Block]], names: tuple[str, ...]
) -> Iterator[Block]:
    """Give a question's words, what each figure shows, and the figures that show something."""
    yield from words(writer)
    shown = [block for name in names for block in drawn(writer, figures, name)]
    said = [block.text for block in shown if isinstance(block, Paragraph)]
    if said:
        yield Paragraph(joined(said[0], *(joined(writer.say(" "), text) for text in said[1:])))
    yield from (block for block in shown if isinstance(block, Figure))


_OUTCOME_COLUMNS: Final = (
    Column("Planned as", share=0.25), Column("Outcome", share=0.35), Column("Calls", is_number=True, share=0.2),
    Column("Share", is_number=True, share=0.2),
)  # fmt: skip


def _ran(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, RAN)
    beside = "; {probes.trials} trials of tokens that must be refused came beside them"
    yield Paragraph(
        writer.say(
            "Of {totals.planned} planned calls {totals.load} were load and {totals.probes} probes"
            f"{beside * bool(writer.ledger.value('probes.trials'))}. The glossary says what each outcome means."
        )
    )
    yield Table(
        writer.say("Outcomes of all planned calls, by what each was planned as."),
        _OUTCOME_COLUMNS,
        tuple(
            tuple(
                Cell(writer.say(text, row=row))
                for text in ("{row.purpose}", "{row.kind}", "{row.calls}", "{row.percent}")
            )
            for row in writer.ledger.rows("outcomes")
        ),
    )


_PHASE_COLUMNS: Final = (
    Column("Phase", share=0.26), Column("Calls", is_number=True, share=0.12),
    Column("Denied", is_number=True, share=0.12), Column("Failed", is_number=True, share=0.12),
    Column("Counted", is_number=True, share=0.12), Column("Success, with interval", is_number=True, share=0.26),
)  # fmt: skip


def _answered(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, ANSWERED)
    if writer.count("validity.left_out") and writer.has("success.success_rate"):
        yield Paragraph(
            writer.say(
                "Counting the calls of moments in which the generator was late as well, {success.success_rate} of "
                "{success.n} calls succeeded ({success.success_rate:interval})."
            )
        )
    yield Table(
        writer.say("Success of the load by phase of the plan, without denials by a quota that the plan itself "
                   "has cut."),
        _PHASE_COLUMNS,
        tuple(
            tuple(
                Cell(writer.say(text, row=row))
                for text in (
                    "{row.phase}", "{row.calls}", "{row.denied}", "{row.failed}", "{row.n}",
                    "{row.success_rate} ({row.success_rate:interval})"
                    if row.claims["success_rate"].value is not None else "{row.success_rate}",
                )
            )
            for row in writer.ledger.rows("phases")
        ),
    )  # fmt: skip


_DENIAL_COLUMNS: Final = (
    Column("Planned as", share=0.2), Column("Reason", share=0.2), Column("Denied", is_number=True, share=0.15),
    Column("Of", is_number=True, share=0.15), Column("Share, with interval", is_number=True, share=0.3),
)  # fmt: skip


def _policy(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, POLICY)
    rows = writer.ledger.rows("denials")
    if rows:
        yield Table(
            writer.say("Calls that policy denied, by reason, as a share of the planned calls of their kind."),
            _DENIAL_COLUMNS,
            tuple(
                tuple(
                    Cell(writer.say(text, row=row))
                    for text in (
                        "{row.purpose}",
                        "{row.reason}",
                        "{row.n}",
                        "{row.n:n}",
                        "{row.denial_rate} ({row.denial_rate:interval})",
                    )
                )
                for row in rows
            ),
        )


def _changes(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, CHANGES)
    yield from changes(writer)
    for row in writer.ledger.rows("recoveries"):
        after = (
            "After chaos had ended at {row.ended_s} no call of {row.tool} failed for it, and {row.ok} were answered ok."
            if not row.claims["failed"].value
            else "Calls of {row.tool} went on failing for {row.recovery_s} after chaos had ended at {row.ended_s}, "
            "{row.failed} of them; {row.ok} were answered ok."
        )
        yield Paragraph(writer.say(after, row=row))


_LATENCY_COLUMNS: Final = (
    Column("Percentile", share=0.2), Column("Service time", is_number=True, share=0.26),
    Column("Response time", is_number=True, share=0.26), Column("n", is_number=True, share=0.28),
)  # fmt: skip
_FIRST_TOKEN_COLUMNS: Final = (
    Column("Percentile", share=0.2), Column("Time to first token", is_number=True, share=0.4),
    Column("n", is_number=True, share=0.4),
)  # fmt: skip
_TOOL_COLUMNS: Final = (
    Column("Tool", share=0.22), Column("Calls", is_number=True, share=0.13), Column("Ok", is_number=True, share=0.13),
    Column("Median service", is_number=True, share=0.13), Column("Tail of service", is_number=True, share=0.13),
    Column("Tail of response", is_number=True, share=0.13), Column("Longest response", is_number=True, share=0.13),
)  # fmt: skip


def _latency(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, CREEP)
    yield Paragraph(
        writer.say(
            "Each series is held against a margin that was set before the run. Warm-up, planned windows and invalid "
            "windows are left out, and neighbouring readings are joined where there are many, so fewer points are "
            "judged than were read."
        )
    )
    by_measure = {
        measure: {
            row.claims["quantile"].value: row
            for row in writer.ledger.rows("latency")
            if row.claims["measure"].value == measure
        }
        for measure in ("service", "response")
    }
    if not by_measure["service"]:
        yield Paragraph(writer.say("No call of the load was sent and ended, so that there is no latency to state."))
        return
    yield Table(
        writer.say(
            "Latency of the load's calls that were answered ok or given up, with {levels.rate} intervals. A percentile "
            "that falls among calls that were given up is a lower bound."
        ),
        _LATENCY_COLUMNS,
        tuple(
            (
                Cell(writer.say("{row.quantile}", row=service)),
                *(Cell(_quantile(writer, by_measure[measure][level])) for measure in ("service", "response")),
                Cell(writer.say("{row.latency_ms:n}", row=service)),
            )
            for level, service in by_measure["service"].items()
        ),
    )
    yield from _first_token(writer)
    yield Table(
        writer.say(
            "Calls of the load by tool, and latencies of those answered ok. The tail is the "
            "{latency[service/0.99].quantile} percentile."
        ),
        _TOOL_COLUMNS,
        tuple(
            tuple(
                Cell(writer.say(text, row=row))
                for text in ("{row.tool}/{row.action}", "{row.calls}", "{row.ok}", "{row.service_p50_ms}",
                             "{row.service_p99_ms}", "{row.response_p99_ms}", "{row.response_max_ms}")
            )
            for row in writer.ledger.rows("tools")
        ),
    )  # fmt: skip


def _first_token(writer: Writer) -> Iterator[Block]:
    """Give the table of streams; nothing where nothing was streamed."""
    if rows := writer.ledger.rows("first_token"):
        yield Table(
            writer.say(
                "Time to first token of the load's streams that were answered ok or given up, from the sending of the "
                "call, with {levels.rate} intervals."
            ),
            _FIRST_TOKEN_COLUMNS,
            tuple(
                (
                    Cell(writer.say("{row.quantile}", row=row)),
                    Cell(_quantile(writer, row)),
                    Cell(writer.say("{row.latency_ms:n}", row=row)),
                )
                for row in rows
            ),
        )


def _quantile(writer: Writer, row: Row) -> Text:
    claims = row.claims
    if not claims["sufficient"].value:
        return writer.say("too few")
    said = "at least {row.latency_ms}" if claims["at_least"].value else "{row.latency_ms}"
    return writer.say(said if claims["latency_ms"].low is None else f"{said} ({{row.latency_ms:interval}})", row=row)


def _books(writer: Writer) -> Iterator[Block]:
    yield from judged(writer, BOOKS)
    if not has_books(writer):
        yield Paragraph(
            writer.say("The gateway has no counters that could be compared with what the client wrote down.")
        )
        return
    yield Paragraph(
        writer.say(
            "We compare every answer that the client wrote down with the gateway's own counters, window by window "
            "between scrapes. Of {books.comparisons} comparisons in {books.windows} windows, {books.harmless} differ "
            "for a harmless cause, such as a call under way at the moment of a scrape, and {books.unexplained} differ "
            "without [one]."
        )
    )
    if "without the gateway's request log" in str(writer.ledger["criteria[books balanced].detail"].value):
        yield Paragraph(writer.say("The gateway's request log was not at hand: its counters alone were compared."))
