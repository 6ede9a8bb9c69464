"""Phases, changes and gaps on a time axis."""

import polars as pl
import pytest

from soaklib.charts.mark_labels import MarkLabels
from soaklib.charts.marks import draw_time_axis
from soaklib.charts.windows import Grid
from soaklib.errors import SettingsError

_DAY = Grid(0.0, 3600.0, 24)


def _spans(ax, gid):
    return [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in ax.patches if patch.get_gid() == gid]


def _lines(ax, gid):
    return [line.get_xdata()[0] for line in ax.lines if line.get_gid() == gid]


def test_every_second_phase_is_shaded(ax, marks):
    """Neighbouring phases are told apart by their shade."""
    draw_time_axis(ax, marks, _DAY)
    assert _spans(ax, "phase") == [(8.0, 12.0), (12.5, 16.0)]


def test_every_change_is_a_line(ax, marks):
    """Each change is a vertical line at its soak hour."""
    draw_time_axis(ax, marks, _DAY)
    assert _lines(ax, "change") == [8.0, 12.0, 12.5, 16.0]


def test_a_gap_is_a_band_or_a_line(ax, marks):
    """A gap with an end is a band; one in which soak time stood still has no width and is a thick line."""
    gaps = pl.DataFrame(
        [(3600.0, 7200.0, "gap", "runner was down"), (36_000.0, None, "gap", "runner was down")],
        schema=marks.schema,
        orient="row",
    )
    draw_time_axis(ax, pl.concat([marks, gaps]), _DAY)
    assert _spans(ax, "gap") == [(1.0, 2.0)]
    assert _lines(ax, "gap") == [10.0]


def test_the_axis_spans_the_phases_and_the_data(ax, marks):
    """An interrupted run's axis goes to the planned end; one without marks goes to the end of its data."""
    draw_time_axis(ax, None, Grid(0.0, 3600.0, 3))
    assert ax.get_xlim() == (0.0, 3.0)
    draw_time_axis(ax, marks, Grid(0.0, 3600.0, 3))
    assert ax.get_xlim() == (0.0, 24.0)
    draw_time_axis(ax, None, Grid(0.0, 3600.0, 3))  # what is laid over it cuts off nothing
    assert ax.get_xlim() == (0.0, 24.0)


def test_the_axis_of_a_stretch_begins_with_it(ax, marks):
    """Where the first phase is cut at the start of a stretch, the axis begins there and not at 0."""
    phase = marks.filter(pl.col("label") == "chaos")
    draw_time_axis(ax, phase, Grid(43_200.0, 600.0, 3))
    assert ax.get_xlim() == (12.0, 12.5)


def test_marks_of_another_shape_are_refused(ax):
    """A frame that is no marks is refused with the function that gives them."""
    with pytest.raises(SettingsError, match=r"no column kind, label; pass what soaklib\.marks\(run\) gives"):
        draw_time_axis(ax, pl.DataFrame({"start_s": [0.0], "end_s": [1.0]}), _DAY)


_LATE = pl.DataFrame(
    {
        "start_s": [3600.0, 7200.0], "end_s": [3660.0, 7320.0], "kind": ["invalid"] * 2,
        "label": ["generator late by up to 0.2 s", "generator late by up to 0.4 s"],
    }
)  # fmt: skip


def _told(ax):
    return [moment.text for artist in ax.artists if isinstance(artist, MarkLabels) for moment in artist.moments]


def test_every_window_in_which_the_generator_was_late_is_a_band(ax):
    """As wide as the window."""
    draw_time_axis(ax, _LATE, _DAY)
    assert _spans(ax, "invalid") == [pytest.approx((1, 1 + 1 / 60)), pytest.approx((2, 2 + 2 / 60))]


def test_windows_in_which_the_generator_was_late_are_told_once(ax):
    """Many of them would hide the changes; the only one is told in full."""
    draw_time_axis(ax, _LATE, _DAY)
    assert _told(ax) == ["generator late, 2 windows like this"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["generator out of ports or descriptors"] * 2, "generator out of ports or descriptors, 2 windows like this"),
        (["generator out of ports or descriptors", "generator late by up to 0.4 s"],
         "generator late or out of ports, 2 windows like this"),
    ],
)  # fmt: skip
def test_windows_in_which_the_generator_had_no_port_left_are_not_called_late(ax, labels, said):
    """Whichever it was."""
    draw_time_axis(ax, _LATE.with_columns(label=pl.Series(labels)), _DAY)
    assert _told(ax) == [said]


def test_the_only_window_in_which_the_generator_was_late_is_told_in_full(ax):
    """With how late it was."""
    draw_time_axis(ax, _LATE.head(1), _DAY)
    assert _told(ax) == ["generator late by up to 0.2 s"]
