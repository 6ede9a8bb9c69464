"""What the words mean that a reader may not know: terms, and the outcomes of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soaklib.records import Kind
from soaklib.whitepaper.document import Cell, Column, Section, Table, Words

if TYPE_CHECKING:
    from soaklib.whitepaper.prose import Writer

__all__ = ["MEANINGS", "TERMS", "glossary"]

MEANINGS: Final = {
    Kind.OK: "answered with success",
    Kind.DENIED: "refused by policy",
    Kind.UNAUTHORIZED: "the token or the agent was refused",
    Kind.RATE_LIMITED: "refused by a rate limit",
    Kind.FAST_FAIL: "refused at the gateway because the tool's circuit breaker was open",
    Kind.UPSTREAM_ERROR: "the tool behind the gateway failed, or the gateway itself did",
    Kind.INVALID_REQUEST: "the gateway did not accept the request for another reason",
    Kind.INVALID_RESPONSE: "a redirect, or an answer that is not what it says, or is too large",
    Kind.TIMEOUT: "no whole answer within the time limit",
    Kind.TRANSPORT_ERROR: "no connection, or a broken connection",
    Kind.DROPPED: "not sent: too many calls were in flight",
    Kind.SKIPPED: "a chain's step after a step that was not ok",
    Kind.MISSED: "planned while no runner lived",
    Kind.INTERRUPTED: "cut off by the stop of the run",
}

TERMS: Final = {
    "book": "[one] record of what happened: the client's rows, the gateway's counters, or its request log",
    "breaker": "switch in the gateway that stops calls to a tool that keeps failing, and tries again later",
    "chaos": "failures that are switched on on purpose, for a planned time",
    "coordinated omission": "the error of not counting the calls that waited while the system stood still {#tene2013}",
    "design effect": "by how much failures that come in bursts make an interval wider than that of independent calls",
    "drift": "a change over the whole run that chance does not explain",
    "error budget": "the share of calls that the required success rate allows to fail",
    "false-allow, false-deny": "a forbidden call that was let through; an allowed call that was denied",
    "fast-fail": "a refusal without a try, because the tool's breaker is open",
    "invalid window": "a soak-minute in which the generator itself was late, or had no port left",
    "margin": "the largest change that was declared not to matter before the run",
    "open model": "load that arrives by the clock, whether or not earlier calls were answered {#schroeder2006}",
    "placebo time": "a moment of the same run at which nothing was changed, taken for comparison",
    "probe": "a call that policy must deny",
    "response time, service time": "from the planned moment, or from the moment of sending, to the whole answer",
    "soak time": "the time of the plan; at a speed above wall speed it runs faster than clocks do",
}


def glossary(writer: Writer) -> Section:
    """Write the section."""
    columns = (Column("Term", share=0.28), Column("Meaning", share=0.72))
    return Section(
        "Glossary",
        (
            Table(
                writer.say("Terms."), columns,
                tuple((Cell((Words(term),)), Cell(writer.say(meaning))) for term, meaning in TERMS.items()),
            ),
            Table(
                writer.say("Outcomes of a call; each planned call has a single [one]."), columns,
                tuple((Cell((Words(str(kind)),)), Cell(writer.say(meaning))) for kind, meaning in MEANINGS.items()),
            ),
        ),
    )  # fmt: skip
