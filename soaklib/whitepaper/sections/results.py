"""What the run showed: the figures, and the tables that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.whitepaper.document import Cell, Column, Figure, Paragraph, Section, Table
from soaklib.whitepaper.sections.figures import alternative, caption
from soaklib.whitepaper.sections.verdicts import judged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.ledger import Row
    from soaklib.whitepaper.prose import Writer

__all__ = ["results"]


def results(writer: Writer, figures: Path) -> Section:
    """Write the section."""
    parts: tuple[tuple[str, Callable[[Writer], Iterator[Block]] | None, tuple[str, ...]], ...] = (
        ("What became of the calls", _outcomes, ("outcome-composition", "tool-usage", "intervention-timeline")),
        ("Success", _success, ("success-rate", "error-budget-burn")),
        ("Denials", _denials, ("denial-spikes",)),
        ("Circuit breakers", _breakers, ("breaker-activity", "retries-and-cache")),
        ("Rotation of tokens", _rotations, ("rotation-impact",)),
        ("Latency", _latency, ("latency-percentiles", "latency-heat-map", "percentile-plot")),
        ("Drift", _drift, ("drift-gateway-memory", "drift-latency", "drift-generator-memory")),
        ("Books", _books, ("reconciliation-residuals",)),
        ("Measurement", _measurement, ("measurement-validity",)),
    )
    return Section(
        "Results",
        tuple(
            Section(title, (*(text(writer) if text else ()), *(_figure(writer, figures, name) for name in names)))
            for title, text, names in parts
        ),
    )


def _figure(writer: Writer, figures: Path, name: str) -> Figure:
    path = figures / f"{name}.svg"
    return Figure(name, caption(writer, name), alternative(writer, name), path if path.is_file() else None)


_OUTCOME_COLUMNS: Final = (
    Column("Planned as", share=0.25), Column("Outcome", share=0.35), Column("Calls", is_number=True, share=0.2),
    Column("Share", is_number=True, share=0.2),
)  # fmt: skip


def _outcomes(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "{totals.planned} calls were planned, {totals.load} of the load and {totals.probes} probes; "
            "{totals.sent} were sent. What each outcome means is defined in the appendix."
        )
    )
    yield judged(writer, "full duration", "every slot accounted for", "all tools exercised")
    yield Table(
        writer.say("Outcomes of all planned calls."),
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


def _success(writer: Writer) -> Iterator[Block]:
    yield judged(writer, "success rate", "success rate outside planned windows")
    if not writer.count("validity.left_out"):
        text = "No call had to be left out for a late generator."
    else:
        text = (
            "Of all {success.n} calls that count, those of moments in which the generator was late included, "
            "{success.success_rate} succeeded ({success.success_rate:interval})."
        )
    yield Paragraph(writer.say(text))
    yield Table(
        writer.say("Success of the load by phase of the plan. Denials by a quota that the plan has cut are not "
                   "counted."),
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


def _denials(writer: Writer) -> Iterator[Block]:
    yield judged(writer, "denials happen", "no false-allow", "no false-deny", "quota cut works")
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


def _breakers(writer: Writer) -> Iterator[Block]:
    yield judged(writer, "chaos shows in the data", "breaker engages during chaos", "breaker recovers after chaos")
    for row in writer.ledger.rows("recoveries"):
        after = (
            "No call of {row.tool} failed for it after chaos had ended; {row.ok} of its calls were answered ok."
            if not row.claims["failed"].value
            else "Calls of {row.tool} went on failing for {row.recovery_s} after chaos had ended, {row.failed} of "
            "them; {row.ok} were answered ok."
        )
        yield Paragraph(writer.say(after, row=row))


def _rotations(writer: Writer) -> Iterator[Block]:
    yield judged(writer, "token rotations go unnoticed", "no error spike at rotations")


_LATENCY_COLUMNS: Final = (
    Column("Percentile", share=0.2), Column("Service time", is_number=True, share=0.26),
    Column("Response time", is_number=True, share=0.26), Column("n", is_number=True, share=0.28),
)  # fmt: skip
_TOOL_COLUMNS: Final = (
    Column("Tool", share=0.22), Column("Calls", is_number=True, share=0.13), Column("Ok", is_number=True, share=0.13),
    Column("Median service", is_number=True, share=0.13), Column("Tail of service", is_number=True, share=0.13),
    Column("Tail of response", is_number=True, share=0.13), Column("Longest response", is_number=True, share=0.13),
)  # fmt: skip


def _latency(writer: Writer) -> Iterator[Block]:
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
            "Latency of all of the load's calls that were sent and ended, with {levels.rate} intervals. Where too few "
            "calls lie beyond a percentile to state it, that is said; where it falls among calls that were given up, "
            "it is a lower bound."
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
    yield Table(
        writer.say(
            "Calls of the load by tool; latencies of calls that were answered ok. Of a tail the "
            "{latency[service/0.99].quantile} percentile is shown."
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


def _quantile(writer: Writer, row: Row) -> Text:
    claims = row.claims
    if not claims["sufficient"].value:
        return writer.say("too few")
    said = "at least {row.latency_ms}" if claims["at_least"].value else "{row.latency_ms}"
    return writer.say(said if claims["latency_ms"].low is None else f"{said} ({{row.latency_ms:interval}})", row=row)


def _drift(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "Each series is judged with a margin that was set before the run. Its beginning, where everything warms "
            "up, and the planned and the invalid windows are left out, and neighbouring readings are joined where "
            "there are many: so there are fewer points judged than readings taken."
        )
    )
    yield judged(
        writer, "no drift in latency (median)", "no drift in latency (p99)", "no drift in errors",
        "no drift in gateway memory", "no drift in gateway files", "no drift in event-loop lag",
        "no drift in generator memory",
    )  # fmt: skip


def _books(writer: Writer) -> Iterator[Block]:
    yield Paragraph(
        writer.say(
            "Every answer that the client wrote down is compared, window by window between scrapes, with the "
            "gateway's own counters. A difference with a harmless cause, such as a call under way at the moment of a "
            "scrape, is told apart."
        )
    )
    yield judged(writer, "books balanced")


def _measurement(writer: Writer) -> Iterator[Block]:
    yield judged(writer, "measurement valid", "snapshots complete", "healthy")
