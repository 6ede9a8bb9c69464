"""What stands under each figure: its caption, with n and interval, and what it shows for who cannot see it.

A figure's file is drawn by a notebook; its caption is made here, of claims, and written into the file's sidecar, so
that figure, sidecar and paper say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from soaklib.whitepaper.document import Text
    from soaklib.whitepaper.prose import Writer

__all__ = ["FIGURES", "Captioned", "alternative", "caption"]


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
        more than nothing.
    otherwise
        The caption where there is no such claim.
    """

    caption: str
    alt: str
    needs: str = ""
    otherwise: str = ""


_TOO_FEW_CALLS: Final = (
    "Percentiles of service time and of response time: of the n = {totals.load_served} calls of the load that were "
    "answered ok or given up there are too few to tell a median."
)
_MEMORY_CRITERION: Final = (
    " The criterion, which wants enough wall time and looks for steps, too, says: {{criteria[{name}].state}} "
    "({{criteria[{name}].detail}})."
)
_NO_INTERVAL: Final = " All calls are counted, so that no interval applies."

FIGURES: Final = {
    "outcome-composition": Captioned(
        "What became of the {totals.planned} planned calls: shares of each window, by kind; {totals.ok} ok, "
        "{totals.denied} denied, {totals.failed} neither." + _NO_INTERVAL,
        "Stacked areas over soak time: the share of planned calls of each kind of outcome.",
    ),
    "tool-usage": Captioned(
        "Calls of the load that were sent, by tool and window; n = {totals.load_sent}." + _NO_INTERVAL,
        "Stacked bars over soak time: calls sent to each tool.",
    ),
    "intervention-timeline": Captioned(
        "When things happened: n = {all_events.n} events. Single events are facts without an interval.",
        "A timeline in soak time with a row for each kind of event.",
    ),
    "measurement-validity": Captioned(
        "Did the generator keep its schedule? Planned and sent rate, and the largest lag of each window, from n = "
        "{generator.wall_seconds} wall seconds; the largest lag was {generator.schedule_lag_max_ms}. The line marks "
        "{run.late_ms}, from which a window is invalid; {validity.left_out} calls are left out of verdicts for it. "
        "Maxima have no interval.",
        "Lines over soak time: planned and sent rate above, schedule lag and event-loop lag below on a logarithmic "
        "scale.",
        needs="generator.schedule_lag_max_ms", otherwise="The generator left no record of its own schedule (n = "
        "{generator.wall_seconds} wall seconds).",
    ),
    "retries-and-cache": Captioned(
        "Retries and cache hits as the gateway counted them between its scrapes: n = {retries.n} retries and "
        "{cache_hits.n} hits, spread evenly over the time between them. Counters are complete counts, so that no "
        "interval applies.",
        "Bars over soak time: retries above, cache hits below, as the gateway's own counters say.",
    ),
    "success-rate": Captioned(
        "Success rate by window with its {levels.rate} interval as a band; the dashed line is what is required, "
        "{run.success_required}. Over the whole run {success.success_rate} ({success.success_rate:interval}), n = "
        "{success.n} calls that count.",
        "A line over soak time with a band around it: the success rate of each window and its interval, beside the "
        "required rate.",
        needs="success.success_rate", otherwise="No call counts towards the success rate (n = {criteria[success "
                                                "rate].n}).",
    ),
    "error-budget-burn": Captioned(
        "Above, the share of the error budget that is used: {budget.used} of what {run.success_required} allows, by "
        "the end. Below, how fast it burned, over {budget.pairs} pairs of windows; in {budget.alerts} of n = "
        "{budget.windows} windows both of a pair called for an alert. A burn rate is the share of calls that failed "
        "by the share that may fail. The line is the rate over the longer window of a pair, and the dotted line of "
        "its colour is where it alerts if the rate over the shorter window, which is not drawn, is above it too: the "
        "longer says that it matters, the shorter that it goes on. Counts have no interval; that of the success rate "
        "behind them is in the figure above.",
        "Lines over soak time: the used share of the error budget above, burn rates beside their alert thresholds "
        "below.",
        needs="budget.used", otherwise="No call counts, so that no error budget was used.",
    ),
    "denial-spikes": Captioned(
        "Denials by policy, by reason. Above what clients met, n = {totals.denied}; below what the gateway's own "
        "counter says, n = {counted_denials.n}, spread evenly between the scrapes that it was read at, so that both "
        "parts have the same windows." + _NO_INTERVAL,
        "Stacked areas over soak time: denials by reason as clients met them above, as the gateway counted them below.",
    ),
    "breaker-activity": Captioned(
        "Above, the state of each tool's breaker in n = {breaker.scrapes} scrapes, of which {breaker.open} saw a "
        "breaker open; a state between scrapes is not seen. Where chaos ended, the strip says how long calls of the "
        "tool went on failing. Below, what calls met: {totals.fast_fails} fast-fails and {totals.upstream_errors} "
        "upstream errors among {totals.load_sent} calls sent." + _NO_INTERVAL,
        "A strip of breaker states for each tool over soak time, above areas of fast-fails and upstream errors.",
    ),
    "rotation-impact": Captioned(
        "Failed calls and mean response time around rotations of tokens, of which there were n = {rotations.made}, "
        "laid over one another, without those that a snapshot or a change coincides with and without the calls of the "
        "planned windows, which the criterion leaves out too. "
        "The band holds {levels.placebo} of placebo times, where no token was rotated, at each step. A rotation is "
        "written down when the last new token is in use: a mean response above the band just before that moment is "
        "associated with the requests for tokens, which by itself does not show that they caused it.",
        "Lines over the time before and after a rotation of tokens: share of failed calls above, mean response time "
        "below, each with the band of placebo times.",
        needs="rotations.made:true", otherwise="No token was rotated.",
    ),
    "latency-percentiles": Captioned(
        "Percentiles of service time and of response time, by tool and window, over the n = {totals.load_served} "
        "calls of the load that were answered ok or given up; {totals.given_up} were given up and count as longer than "
        "their wait, and refusals are left out. Percentiles beyond which too few calls lie are not drawn. Over the "
        "whole run the median service time is {latency[service/0.5].latency_ms} ({levels.rate} interval "
        "{latency[service/0.5].latency_ms:interval}), "
        "the median response time {latency[response/0.5].latency_ms} ({latency[response/0.5].latency_ms:interval}).",
        "Lines on a logarithmic scale over soak time: percentiles of service and response time for each tool.",
        needs="latency[service/0.5].sufficient:true", otherwise=_TOO_FEW_CALLS,
    ),
    "latency-heat-map": Captioned(
        "How service times were distributed, window by window; the darker, the more of the n = {totals.load_served} "
        "calls that were answered ok or given up." + _NO_INTERVAL,
        "A heat map: soak time across, service time on a logarithmic scale upwards, the number of calls as shade.",
    ),
    "percentile-plot": Captioned(
        "Response time by percentile in each phase of the plan, the scale stretched towards the tail; n = "
        "{totals.load_served} calls. Of all phases together the {latency[response/0.99].quantile} percentile is "
        "{latency[response/0.99].latency_ms} ({levels.rate} interval {latency[response/0.99].latency_ms:interval}).",
        "Lines that rise to the right: response time on a logarithmic scale against percentile, a line for each phase.",
        needs="latency[response/0.99].sufficient:true",
        otherwise="Response time by percentile in each phase of the plan, the scale stretched towards the tail; n = "
        "{totals.load_served} calls. Percentiles beyond which too few calls lie are neither drawn nor told.",
    ),
    "drift-gateway-memory": Captioned(
        "Memory of the gateway, the series that its criterion judges, by window the median of the scrapes and from the "
        "least to the largest of them, with the line of the slope that is judged: {memory.slope_per_hour} "
        "({levels.drift} interval {memory.slope_per_hour:interval}), n = {memory.n} points judged: {memory.state}."
        + _MEMORY_CRITERION.format(name="no drift in gateway memory"),
        "A line over soak time with a straight line and a band: the gateway's memory and its slope.",
        needs="memory.slope_per_hour:interval",
        otherwise="Memory of the gateway, the series that its criterion judges, by window the median of the scrapes: "
        "too few to tell a slope (n = {memory.n})." + _MEMORY_CRITERION.format(name="no drift in gateway memory"),
    ),
    "drift-latency": Captioned(
        "Median service time of each tool's calls that were answered ok, by window: the series that the criterion "
        "judges, each with the line of its median slope and the slopes at both ends of its {levels.drift} interval, "
        "where enough windows tell it. The criterion says, of the tool that is worst: {criteria[no drift in latency "
        "(median)].state} ({criteria[no drift in latency (median)].detail}), n = {criteria[no drift in latency "
        "(median)].n} windows. Of the tail, which is not drawn, it says: {criteria[no drift in latency (p99)].state} "
        "({criteria[no drift in latency (p99)].detail}).",
        "Lines over soak time, an axes for each tool, with straight lines and bands: median service times and their "
        "slopes.",
    ),
    "drift-generator-memory": Captioned(
        "Memory of the load generator, read in each wall second, by window the median of the readings and from the "
        "least to the largest of them, with the line of the slope that is judged: {own_memory.slope_per_hour} "
        "({levels.drift} interval {own_memory.slope_per_hour:interval}), n = {own_memory.n} points judged: "
        "{own_memory.state}." + _MEMORY_CRITERION.format(name="no drift in generator memory"),
        "A line over soak time with a straight line and a band: the load generator's own memory and its slope.",
        needs="own_memory.slope_per_hour:interval",
        otherwise="Memory of the load generator, by window the median of its "
        "readings: too few to tell a slope (n = {own_memory.n})."
        + _MEMORY_CRITERION.format(name="no drift in generator memory"),
    ),
    "reconciliation-residuals": Captioned(
        "Do the books balance? Each window between scrapes of the gateway's counters; n = {books.comparisons} "
        "comparisons in {books.windows} windows, by outcome and, where the counter tells them apart, by tool, of "
        "which a window shows the worst; {books.harmless} differ for a harmless cause, {books.unexplained} without, "
        "and the legend names the causes. Beside each row, how many answers the client saw. Executed are the answers "
        "to calls that policy let through: ok, failed and fast fail. Validated are those and all that it refused. The "
        "counter's failed include fast fails, which it counts by the same status; the request log tells them apart."
        + _NO_INTERVAL,
        "A strip for each kind of outcome over soak time: where client and gateway agree, differ harmlessly, or "
        "differ.",
    ),
}  # fmt: skip
"""Every figure of the paper by the name of its files."""


def caption(writer: Writer, name: str) -> Text:
    """Give a figure's caption."""
    told = FIGURES[name]
    return writer.say(told.caption if _has(writer, told.needs) else told.otherwise)


def _has(writer: Writer, needs: str) -> bool:
    """Say whether there is what a caption cannot do without; see :class:`Captioned`."""
    name, _, what = needs.partition(":")
    if not name:
        return True
    if not writer.has(name):
        return False
    match what:
        case "true":
            return writer.count(name) > 0
        case "interval":
            return writer.ledger[name].low is not None
    return True


def alternative(writer: Writer, name: str) -> Text:
    """Give the words that stand in a figure's place."""
    return writer.say(FIGURES[name].alt)
