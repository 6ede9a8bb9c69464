"""What stands under each figure: its caption, with n and interval, and what it shows for who cannot see it.

A figure's file is drawn by a notebook; its caption is made here, of claims, and written into the file's sidecar, so
that figure, sidecar and paper say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.whitepaper.document import Figure, Paragraph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soaklib.whitepaper.document import Block, Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["FIGURES", "Captioned", "alternative", "caption", "drawn"]


class Captioned(NamedTuple):
    """A figure's words.

    Attributes
    ----------
    caption
        Below it.
    alt
        In its place.
    needs
        What `caption` cannot do without; ``""`` for nothing: the name of a claim that has to be known,
        ``name:interval`` for one whose interval has to be known too, ``name:true`` for one that has to be true or
        more than nothing, ``name:more`` for one that may be more than nothing, since it is not known how much it is;
        several with ``|`` between them, of which one is enough.
    otherwise
        What is said where there is no such claim: in place of the figure, which would show that nothing happened, or,
        if it `stays`, below it.
    said
        What the text says of the figure, pointing at it.
    stays
        Whether the figure is shown all the same.
    """

    caption: str
    alt: str
    needs: str = ""
    otherwise: str = ""
    said: str = ""
    stays: bool = False


_ALL_COUNTED: Final = " Every call is counted, so no interval applies."

FIGURES: Final = {
    "success-rate": Captioned(
        "Success rate by window, with its {levels.rate} interval as a band; n = {success.n} calls that count. The "
        "dashed line is the required {run.success_required}.",
        "A line over soak time with a band around it: the success rate of each window and its interval, beside the "
        "required rate.",
        needs="success.success_rate", otherwise="No call counts towards the success rate.",
    ),
    "outcome-composition": Captioned(
        "Calls that did not end ok, by kind, as a share of the planned calls of each window; n = {totals.planned}, of "
        "which {totals.ok} were ok." + _ALL_COUNTED,
        "Stacked areas over soak time: the share of planned calls of each kind of outcome that is not ok.",
        said="{@outcome-composition} shows when calls ended otherwise than ok.",
    ),
    "tool-usage": Captioned(
        "Calls of the load that were sent, by tool and window; n = {totals.load_sent}." + _ALL_COUNTED,
        "Stacked bars over soak time: calls sent to each tool.",
    ),
    "intervention-timeline": Captioned(
        "What happened when; n = {all_events.n} events. Events are facts, so no interval applies.",
        "A timeline in soak time with a row for each kind of event.",
        said="{@intervention-timeline} is the timeline of the run.",
    ),
    "measurement-validity": Captioned(
        "How late the generator was: the largest lag of each window, from n = {generator.wall_seconds} wall seconds. "
        "The line marks {run.late_ms}, from which a window is invalid. Maxima have no interval.",
        "Lines over soak time: planned and sent rate above, schedule lag and event-loop lag below on a logarithmic "
        "scale.",
        needs="generator.schedule_lag_max_ms", otherwise="The generator left no record of its own schedule.",
        said="{@measurement-validity} shows how the generator kept its schedule; the largest lag was "
             "{generator.schedule_lag_max_ms}.",
    ),
    "retries-and-cache": Captioned(
        "Retries and cache hits as the gateway counted them between scrapes: n = {retries.n} retries and "
        "{cache_hits.n} hits; a dash where nobody knows. A counter tells how many there were between scrapes, not "
        "when, so its steps are averages and pale. Counters are complete, so no interval applies.",
        "Bars over soak time: retries above, cache hits below, as the gateway's own counters say.",
        needs="retries.n:more|cache_hits.n:more", otherwise="The gateway counted neither retries nor cache hits.",
        said="{@retries-and-cache} shows the gateway's own counts of retries and cache hits.",
    ),
    "error-budget-burn": Captioned(
        "Above, the used share of the error budget, which is what {run.success_required} allows; n = {budget.windows} "
        "windows. Below, how fast it burned: the share of calls that failed over the share that may fail, in the "
        "longer window of each of {budget.pairs} pairs. The dotted line of the same colour is where it alerts, if the "
        "shorter window, which is not drawn, is above it too {#beyer2018}. Counts have no interval.",
        "Lines over soak time: the used share of the error budget above, burn rates beside their alert thresholds "
        "below.",
        needs="budget.used:true", otherwise="No call that counts failed, so the error budget was not touched.",
        said="By the end {budget.used} of the error budget was used ({@error-budget-burn}); {budget.alerts} "
             "{budget.alerts?window:windows} called for an alert.",
    ),
    "denial-spikes": Captioned(
        "Denials by policy, by reason: above as clients met them, n = {totals.denied}; below as the gateway counted "
        "them between scrapes, n = {counted_denials.n}, a dash where nobody knows. A counter tells how "
        "many there were between scrapes, not when, so its steps are averages and pale." + _ALL_COUNTED,
        "Stacked areas over soak time: denials by reason as clients met them above, as the gateway counted them below.",
        needs="totals.denied:true", otherwise="No call was denied by policy.",
        said="{@denial-spikes} shows denials as both sides counted them.",
    ),
    "breaker-activity": Captioned(
        "Around the time when breakers acted. Above, the state of each tool's breaker at each scrape; {breaker.open} "
        "of n = {breaker.scrapes} scrapes saw [one] open, and what happens between [two] scrapes is not seen. Below, "
        "fast-fails and upstream errors that calls met: {totals.fast_fails} and {totals.upstream_errors} of "
        "{totals.load_sent} calls." + _ALL_COUNTED,
        "A strip of breaker states for each tool over soak time, above areas of fast-fails and upstream errors.",
        needs="breaker.open:true|totals.fast_fails:true|totals.upstream_errors:true",
        otherwise="No breaker opened, and no call met a fast-fail or an upstream error.",
        said="{@breaker-activity} shows breakers and what calls met of them.",
    ),
    "rotation-impact": Captioned(
        "Failed calls and mean response time around rotations of tokens, of which there were n = {rotations.made}, "
        "laid over one another, without those that a snapshot or a change coincides with and without the calls of "
        "planned windows. The band holds {levels.placebo} of placebo times at each step. A rotation is written down "
        "when the last new token is in use: what is above the band just before that moment is associated with the "
        "requests for tokens, which by itself does not show that they caused it.",
        "Lines over the time before and after a rotation of tokens: share of failed calls above, mean response time "
        "below, each with the band of placebo times.",
        needs="rotations.made:true", otherwise="No token was rotated.",
        said="{@rotation-impact} lays all rotations of tokens over one another.",
    ),
    "latency-percentiles": Captioned(
        "Percentiles of service and response time by tool and window; n = {totals.load_served} calls that were "
        "answered ok or given up. The tail is taken over longer windows than the median. {totals.given_up} calls were "
        "given up and count as longer than their wait. The table of latency has the intervals.",
        "Lines on a logarithmic scale over soak time: percentiles of service and response time for each tool.",
        needs="latency[service/0.5].sufficient:true",
        otherwise="Too few calls were answered to draw a percentile over time.",
        said="{@latency-percentiles} shows latency over time.",
    ),
    "first-token": Captioned(
        "Percentiles of the time to first token by tool and window, of the tools that stream; n = "
        "{first_token[first token/0.5].latency_ms:n} streams. The table of time to first token has the intervals.",
        "Lines on a logarithmic scale over soak time: percentiles of the time to first token for each tool.",
        needs="first_token[first token/0.5].sufficient:true",
        otherwise="Too few streams to draw a percentile of the time to first token over time.",
        said="{@first-token} shows how long streams took to begin.",
    ),
    "latency-heat-map": Captioned(
        "Where service times lie, by tool and window: the darker, the larger the share of the window's calls; n = "
        "{totals.load_served}. Single calls are faint." + _ALL_COUNTED,
        "Heat maps, a row for each tool: soak time across, service time on a logarithmic scale upwards, the share of "
        "calls as shade.",
        needs="totals.load_served:true", otherwise="No call was answered, so there is no distribution to draw.",
        said="{@latency-heat-map} shows the whole distribution behind it.",
    ),
    "percentile-plot": Captioned(
        "Response time by percentile in each phase of the plan, the scale stretched towards the tail; n = "
        "{totals.load_served} calls. Over all phases the {latency[response/0.99].quantile} percentile has the "
        "{levels.rate} interval {latency[response/0.99].latency_ms:interval}.",
        "Lines that rise to the right: response time on a logarithmic scale against percentile, a line for each phase.",
        needs="latency[response/0.99].sufficient:true",
        otherwise="Response time by percentile in each phase of the plan, the scale stretched towards the tail; n = "
        "{totals.load_served} calls. Percentiles that too few calls lie beyond are not drawn, nor is an interval told.",
        said="{@percentile-plot} compares the phases of the plan out to the tail.", stays=True,
    ),
    "drift-gateway-memory": Captioned(
        "Memory of the gateway, the series that its criterion judges: the median of each window, a band from least to "
        "largest, and the line of the median slope, {memory.slope_per_hour} ({levels.drift} interval "
        "{memory.slope_per_hour:interval}); n = {memory.n} points. What was left out is grey.",
        "A line over soak time with a straight line and a band: the gateway's memory and its slope.",
        needs="memory.slope_per_hour:interval",
        otherwise="Memory of the gateway, the series that its criterion judges, the median of each window: too few "
        "points to tell a slope or an interval (n = {memory.n}).",
        said="{@drift-gateway-memory} shows the gateway's memory.", stays=True,
    ),
    "drift-latency": Captioned(
        "Median service time of each tool's calls that were answered ok, by window, as the criterion judges it; n = "
        "{criteria[no drift in latency (median)].n} windows. Each line is the median slope, its band the "
        "{levels.drift} interval, and the dashed lines are the margin. What was left out is grey.",
        "Lines over soak time, an axes for each tool, with straight lines and bands: median service times and their "
        "slopes.",
        said="{@drift-latency} shows the series that the criterion on the median judges.",
    ),
    "drift-generator-memory": Captioned(
        "Memory of the generator, read in each wall second: the median of each window, a band from least to largest, "
        "and the line of the median slope, {own_memory.slope_per_hour} ({levels.drift} interval "
        "{own_memory.slope_per_hour:interval}); n = {own_memory.n} points. What was left out is grey.",
        "A line over soak time with a straight line and a band: the load generator's own memory and its slope.",
        needs="own_memory.slope_per_hour:interval",
        otherwise="Memory of the generator, the median of each window: too few readings to tell a slope or an interval "
        "(n = {own_memory.n}).",
        said="{@drift-generator-memory} shows the generator's.", stays=True,
    ),
    "reconciliation-residuals": Captioned(
        "What the gateway counted more or less than the client saw, in each window between scrapes; n = "
        "{books.comparisons} comparisons. Up is more, down is less. {books.harmless} differ for a harmless cause, "
        "{books.unexplained} without." + _ALL_COUNTED,
        "Bars over soak time, a row for each kind of outcome: how many answers the counters tell more or less than "
        "the client.",
        needs="books.harmless:true|books.unexplained:true", otherwise="There is no difference to draw.",
        said="{@reconciliation-residuals} shows what differs, window by window.",
    ),
}  # fmt: skip
"""Every figure of the paper by the name of its files."""


def caption(writer: Writer, name: str) -> Text:
    """Give a figure's caption."""
    told = FIGURES[name]
    return writer.say(told.caption if _has(writer, told.needs) else told.otherwise)


def drawn(writer: Writer, figures: Path, name: str) -> Iterator[Block]:
    """Give a figure and what is said of it; the words alone where it would show that nothing happened."""
    told = FIGURES[name]
    if not (_has(writer, told.needs) or told.stays):
        yield Paragraph(writer.say(told.otherwise))
        return
    if told.said:
        yield Paragraph(writer.say(told.said))
    path = figures / f"{name}.svg"
    yield Figure(name, caption(writer, name), alternative(writer, name), path if path.is_file() else None)


def _has(writer: Writer, needs: str) -> bool:
    """Say whether there is what a caption cannot do without; see :class:`Captioned`."""
    return any(_is_there(writer, need) for need in needs.split("|"))


def _is_there(writer: Writer, need: str) -> bool:
    name, _, what = need.partition(":")
    if not name:
        return True
    if not writer.has(name):
        return what == "more"
    match what:
        case "true" | "more":
            return writer.count(name) > 0
        case "interval":
            return writer.ledger[name].low is not None
    return True


def alternative(writer: Writer, name: str) -> Text:
    """Give the words that stand in a figure's place."""
    return writer.say(FIGURES[name].alt)
