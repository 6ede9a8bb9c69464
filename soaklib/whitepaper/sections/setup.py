"""What ran where, and in which versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.whitepaper.document import Cell, Column, Paragraph, Section, Table, Words
from soaklib.whitepaper.prose import joined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.whitepaper.document import Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["setup"]


def setup(writer: Writer) -> Section:
    """Write the section."""
    facts = tuple((Cell((Words(name),)), Cell(text)) for name, text in _facts(writer))
    columns = (Column("Part", share=0.28), Column("In this run", share=0.72))
    return Section(
        "Set-up and versions",
        (
            Paragraph(writer.say("The settings in force are listed in the appendix; this is what they come to.")),
            Table(writer.say("Plan, gateway, host and software."), columns, facts),
        ),
    )


def _facts(writer: Writer) -> Iterator[tuple[str, Text]]:
    yield "Plan", writer.say("{run.plan}")
    yield (
        "Load",
        writer.say(
            "{run.rps} {run.rps?slot:slots} a soak-second for {run.hours} soak-hours at speed {run.speed}, seed "
            "{run.seed}, {run.agents_per_role} {run.agents_per_role?agent:agents} for each role"
        ),
    )
    yield "Gateway", writer.say("{run.target}" + (", the reference gateway" if writer.count("run.embedded") else ""))
    if writer.count("run.embedded"):
        quirks = "; with the warts of the real gateway ({run.quirks})" if writer.has("run.quirks") else ""
        faults = "; broken on purpose: {run.faults}" if writer.count("run.fault_count") else ""
        if quirks or faults:
            yield "Gateway's oddities", writer.say((quirks + faults).removeprefix("; "))
    yield "Time limit of a call", writer.say("{run.timeout_ms}")
    yield (
        "Wall time",
        writer.say("from {run.started} to {run.completed}" if writer.has("run.completed") else "from {run.started}"),
    )
    yield "Runners", writer.say("{segments.segments} {segments.segments?stretch:stretches} in which a runner lived")
    yield (
        "Host",
        writer.say("{host.name}, {host.cpus} {host.cpus?CPU:CPUs}, {host.platform}"),
    )
    yield (
        "Software",
        joined(
            writer.say("soaklib {run.soaklib_version}, Python {host.python}"),
            *(writer.say(", {row.package} {row.version}", row=row) for row in writer.ledger.rows("packages")),
        ),
    )
