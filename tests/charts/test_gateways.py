"""Many gateways on shared axes."""

import numpy as np
import polars as pl
import pytest

from soaklib import charts
from soaklib.errors import SettingsError

MINUTES = pl.DataFrame(
    [
        (gateway, panel, line, 60.0 * minute, value + minute)
        for gateway, value in (("a", 10.0), ("b", 40.0))
        for panel, line in (("success", "success"), ("latency", "median"), ("latency", "p99"), ("memory", "resident"))
        for minute in range(5)
        if (gateway, panel) != ("b", "memory")
    ],
    schema=["gateway", "panel", "line", "soak_s", "value"],
    orient="row",
)
TABLE = pl.DataFrame(
    {
        "gateway": ["a", "b", "b"], "measure": ["added median"] * 2 + ["added p99"], "of": ["x:chat"] * 3,
        "value": [5.0, 9.0, 1.0], "low": [4.0, None, 0.0], "high": [6.0, None, 2.0],
        "state": ["", "too few windows", ""],
    }
)  # fmt: skip


def test_small_multiples_share_their_axes_and_have_the_data():
    """A column a gateway and a row a quantity that is known; minutes stand in their middle."""
    figure = charts.gateway_panels(MINUTES, figure=charts.figure(height_mm=120))
    axes = figure.axes
    assert [ax.get_title(loc="left") for ax in axes[:2]] == ["a", "b"]
    assert len(axes) == 6
    assert len({ax.get_xlim() for ax in axes}) == 1
    for row in range(3):
        assert axes[2 * row].get_ylim() == axes[2 * row + 1].get_ylim()
    lines = {line.get_gid(): line for ax in axes for line in ax.lines}
    assert set(lines) == {
        f"{one}/{two}" for one in "ab" for two in ("success/success", "latency/median", "latency/p99")
    } | {"a/memory/resident"}
    assert list(lines["b/latency/p99"].get_xdata()) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert list(lines["b/latency/p99"].get_ydata()) == [40, 41, 42, 43, 44]
    assert [text.get_text() for text in axes[5].texts] == ["none"]


def test_nothing_is_drawn_over_minutes_of_which_nothing_is_known():
    """Refusals that did not happen are none; a minute without calls is a gap, and a lone minute is seen."""
    refused = [("a", "refused", "rate_limited", 60.0 * minute, value) for minute, value in ((1, 5.0), (4, 7.0))]
    frame = pl.concat([
        MINUTES.filter(~((pl.col("panel") == "latency") & pl.col("soak_s").is_in([60.0, 180.0]))),
        pl.DataFrame(refused, schema=MINUTES.schema, orient="row"),
    ])  # fmt: skip
    lines = {
        line.get_gid(): line for ax in charts.gateway_panels(frame, figure=charts.figure()).axes for line in ax.lines
    }
    assert list(lines["a/refused/rate_limited"].get_ydata()) == [0, 5, 0, 0, 7]
    np.testing.assert_equal(lines["a/latency/median"].get_ydata(), [10, np.nan, 12, np.nan, 14])
    assert list(lines["lone"].get_xdata()) == [0.5, 2.5, 4.5]


def test_latencies_that_differ_much_are_on_a_log_scale():
    """Seconds beside milliseconds leave nothing to see on another; those that are alike are not stretched."""
    far = MINUTES.with_columns(value=pl.col("value") * pl.when(pl.col("line") == "p99").then(50.0).otherwise(1.0))
    scales = [
        {ax.get_yscale() for ax in charts.gateway_panels(frame, figure=charts.figure()).axes[2:4]}
        for frame in (MINUTES, far)
    ]
    assert scales == [{"linear"}, {"log"}]


def test_what_is_added_stands_with_its_interval_in_the_order_given():
    """Only the rows of the measure; what has no interval has a point of another shape."""
    ax = charts.gateway_additions(TABLE, ax=charts.figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a  x:chat", "b  x:chat"]
    intervals = [list(line.get_xdata()) for line in ax.lines if line.get_gid() == "interval"]
    assert intervals == [[4.0, 6.0]]
    assert [line.get_marker() for line in ax.lines if line.get_marker() != "None"] == ["o", "s"]


def test_where_nothing_is_known_it_says_so():
    """No direct line, no minutes."""
    ax = charts.gateway_additions(TABLE.clear(), ax=charts.figure().subplots())
    assert [text.get_text() for text in ax.texts] == ["there is no direct line"]
    figure = charts.gateway_panels(MINUTES.clear(), figure=charts.figure())
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing was kept"]


def _panels(frame):
    return charts.gateway_panels(frame, figure=charts.figure())


def _additions(frame):
    return charts.gateway_additions(frame, ax=charts.figure().subplots())


@pytest.mark.parametrize(
    ("draw", "frame"), [(_panels, MINUTES.drop("line")), (_additions, TABLE.drop("low"))], ids=["panels", "additions"]
)
def test_a_frame_that_lacks_a_column_is_refused(draw, frame):
    """It says which, and what makes it."""
    with pytest.raises(SettingsError, match=r"no column (line|low)"):
        draw(frame)
