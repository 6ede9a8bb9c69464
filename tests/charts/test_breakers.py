"""Breaker states and fast-fails."""

import polars as pl
import pytest
from matplotlib.colors import to_hex

from soaklib import charts
from soaklib.charts.looks import STATE_LOOKS

_FAST_FAILS = pl.DataFrame(
    {
        "soak_s": [0.0, 0.0, 300.0, 300.0],
        "end_s": [300.0, 300.0, 600.0, 600.0],
        "tool": ["openai", "serpapi", "openai", "serpapi"],
        "fast_fails": [0, 0, 7, 0],
        "upstream_errors": [0, 0, 4, 1],
        "sent": [20, 20, 20, 20],
    }
)


def _states(at_s, states, tool="openai"):
    return pl.DataFrame({"soak_s": [float(at) for at in at_s], "tool": [tool] * len(at_s), "state": states})


def _bars(ax):
    return [
        (round(bar.get_x() * 3600), round((bar.get_x() + bar.get_width()) * 3600), bar.get_gid())
        for bar in ax.patches
        if bar.get_gid() in STATE_LOOKS
    ]


def test_a_state_holds_halfway_to_its_neighbours(figure):
    """Scrapes of one state are one bar, and it changes halfway between two scrapes that differ."""
    states = _states([0, 60, 120, 180, 240], ["closed", "closed", "open", "half-open", "closed"])
    charts.breaker_activity(states, _FAST_FAILS, figure=figure)
    upper, _ = figure.axes
    assert _bars(upper) == [(0, 90, "closed"), (90, 150, "open"), (150, 210, "half-open"), (210, 240, "closed")]
    open_bar = next(bar for bar in upper.patches if bar.get_gid() == "open")
    assert to_hex(open_bar.get_facecolor()) == STATE_LOOKS["open"].colour


def test_a_breaker_that_names_no_tool_has_its_row(figure):
    """A gateway with one breaker for all has one that opens, too."""
    states = _states([0, 60, 120], ["closed", "open", "open"], tool=None).cast({"tool": pl.String})
    charts.breaker_activity(states, _FAST_FAILS, figure=figure)
    upper, _ = figure.axes
    assert [label.get_text() for label in upper.get_yticklabels()] == ["all tools"]
    assert _bars(upper) == [(0, 30, "closed"), (30, 120, "open")]


def test_missing_scrapes_are_a_gap(figure):
    """Where scrapes are missing for long, no state is drawn."""
    states = _states([0, 60, 120, 600, 660], ["closed"] * 5)
    charts.breaker_activity(states, _FAST_FAILS, figure=figure)
    assert _bars(figure.axes[0]) == [(0, 195, "closed"), (525, 660, "closed")]


def test_each_tool_has_a_row(figure):
    """Tools are rows from the top, by name."""
    states = pl.concat([_states([0, 60], ["closed"] * 2), _states([0, 60], ["open"] * 2, "gmail_send")])
    charts.breaker_activity(states, _FAST_FAILS, figure=figure)
    upper = figure.axes[0]
    assert [label.get_text() for label in upper.get_yticklabels()] == ["gmail_send", "openai"]
    assert upper.get_ylim() == (1.5, -0.5)


def test_fast_fails_stand_on_upstream_errors(figure):
    """Below are the errors that reached the upstream and, on them, those the breaker refused, over all tools."""
    charts.breaker_activity(_states([0, 60], ["closed"] * 2), _FAST_FAILS, figure=figure)
    lower = figure.axes[1]
    spans = {
        area.get_label(): (area.get_paths()[0].vertices[:, 1].min(), area.get_paths()[0].vertices[:, 1].max())
        for area in lower.collections
    }
    assert spans == {"upstream_error": (0.0, 5.0), "fast_fail": (5.0, 12.0)}
    assert [text.get_text() for text in lower.get_legend().texts] == [
        "breaker closed", "upstream_error: 5", "fast_fail: 7",
    ]  # fmt: skip


def test_no_scraped_state_is_said(figure):
    """A gateway that exposes no breaker state gets a sentence in place of the strip, and its fast-fails still."""
    charts.breaker_activity(_states([], []), _FAST_FAILS, figure=figure)
    upper, lower = figure.axes
    assert [text.get_text() for text in upper.texts] == ["no breaker state was scraped"]
    assert len(lower.collections) == 2


def test_where_no_call_failed_for_a_breaker_it_is_said(figure):
    """An empty axis is not taken for a broken one; where one call failed there is no such sentence."""
    for frame, said in ((_FAST_FAILS.with_columns(fast_fails=0, upstream_errors=0), True), (_FAST_FAILS, False)):
        figure.clear()
        charts.breaker_activity(_states([0, 60], ["closed"] * 2), frame, figure=figure)
        notes = [text.get_text() for text in figure.axes[1].texts if text.get_gid() == "note"]
        assert notes == ["no upstream error and no fast-fail"] * said


def test_both_axes_share_their_time(figure, marks):
    """The strip and the counts are on one time axis, labelled once."""
    charts.breaker_activity(_states([0, 60], ["closed"] * 2), _FAST_FAILS, figure=figure, marks=marks)
    upper, lower = figure.axes
    assert upper.get_xlim() == lower.get_xlim() == pytest.approx((0.0, 24.0))
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "soak time (hours)")


def test_the_time_to_recover_is_drawn(figure):
    """From the end of chaos to the last call that failed for it there is a line on the tool's strip, and its length."""
    states = pl.concat([_states([0, 600], ["closed"] * 2), _states([0, 600], ["closed"] * 2, "serpapi")])
    recoveries = pl.DataFrame({"tool": ["serpapi", "unknown"], "ended_s": [300.0, 0.0], "recovered_s": [390.0, 9.0]})
    charts.breaker_activity(states, _FAST_FAILS, figure=figure, recoveries=recoveries)
    upper = figure.axes[0]
    [line] = [lines for lines in upper.collections if lines.get_gid() == "recovery"]
    assert [[round(x * 3600) for x in path.vertices[:, 0]] for path in line.get_paths()] == [[300, 390]]
    assert {path.vertices[0, 1] for path in line.get_paths()} == {1.0}
    assert [text.get_text() for text in upper.texts] == ["ok after 90 soak s"]


def test_the_words_of_a_recovery_leave_the_open_breaker_to_be_seen(figure):
    """They stand where it has closed again, and right behind the recovery where it was closed by then."""
    recoveries = pl.DataFrame({"tool": ["openai"] * 2, "ended_s": [150.0, 700.0], "recovered_s": [210.0, 730.0]})
    states = _states(list(range(0, 1000, 100)), ["closed", "open", "open", "open", *["closed"] * 6])
    charts.breaker_activity(states, _FAST_FAILS, figure=figure, recoveries=recoveries)
    words = [text for text in figure.axes[0].texts if text.get_gid() == "recovery"]
    assert [round(text.xy[0] * 3600) for text in words] == [350, 730]


def test_of_a_tool_that_was_well_at_once_no_recovery_is_told(figure):
    """Where no call failed after chaos there is neither a line nor a label."""
    recoveries = pl.DataFrame({"tool": ["openai"], "ended_s": [300.0], "recovered_s": [300.0], "failed": [0]})
    charts.breaker_activity(_states([0, 600], ["closed"] * 2), _FAST_FAILS, figure=figure, recoveries=recoveries)
    upper = figure.axes[0]
    assert list(upper.texts) == []
    assert [lines for lines in upper.collections if lines.get_gid() == "recovery"] == []


def test_the_axis_ends_with_the_run(figure, marks):
    """The last scrape, a moment after the end of the run, does not lengthen the axis by a window."""
    states = _states([0, 86_410], ["closed"] * 2)
    charts.breaker_activity(states, _FAST_FAILS, figure=figure, marks=marks)
    assert figure.axes[0].get_xlim() == (0.0, 24.0)
    other = charts.figure()
    charts.breaker_activity(states, _FAST_FAILS, figure=other)
    assert other.axes[0].get_xlim() == pytest.approx((0.0, 86_410 / 3600))


def test_without_recoveries_no_line_is_drawn(figure):
    """Where no chaos ended there is nothing to say of recovery."""
    charts.breaker_activity(_states([0, 60], ["closed"] * 2), _FAST_FAILS, figure=figure)
    assert [lines for lines in figure.axes[0].collections if lines.get_gid() == "recovery"] == []


def test_zoomed_it_shows_the_time_in_which_breakers_acted(figure):
    """From half as much before the first to half as much after the last window or scrape in which one acted."""
    day = pl.DataFrame({"soak_s": [300.0 * number for number in range(288)]}).with_columns(
        end_s=pl.col("soak_s") + 300.0,
        fast_fails=pl.when(pl.col("soak_s").is_between(36_000, 42_899)).then(3).otherwise(0),
        upstream_errors=0,
    )  # fmt: skip
    states = _states(
        range(0, 86_400, 600), ["open" if 36_600 <= at_s <= 40_000 else "closed" for at_s in range(0, 86_400, 600)]
    )
    charts.breaker_activity(states, day, figure=figure, zoom=True)
    assert [round(3600 * x) for x in figure.axes[0].get_xlim()] == [32_550, 46_350]


def test_zoomed_on_nothing_it_shows_all(figure):
    """Where no breaker acted there is no time to show but all."""
    calm = _FAST_FAILS.with_columns(fast_fails=0, upstream_errors=0)
    charts.breaker_activity(_states([0, 300, 600], ["closed"] * 3), calm, figure=figure, zoom=True)
    assert [round(3600 * x) for x in figure.axes[0].get_xlim()] == [0, 600]
