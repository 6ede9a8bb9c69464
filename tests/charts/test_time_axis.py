"""The time axis in soak hours."""

import pytest

from soaklib import charts
from soaklib.charts.time_axis import SoakFormatter, soak_axis


@pytest.mark.parametrize(
    ("hours", "text"),
    [(0.0, "H+0"), (24.0, "H+24"), (12.5, "H+12:30"), (0.25, "H+0:15"), (15 / 3600, "H+0:00:15"), (-1.0, "H-1")],
)
def test_times_are_written_exactly(hours, text):
    """A tick is labelled in hours, minutes or seconds, whichever says it exactly."""
    assert SoakFormatter()(hours) == text


@pytest.mark.parametrize(
    ("width_mm", "hours", "expected"),
    [
        (charts.PAGE_MM, 24, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]),
        (charts.COLUMN_MM, 24, [0, 4, 8, 12, 16, 20, 24]),
        (charts.PAGE_MM, 1, [0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1]),
        (charts.COLUMN_MM, 168, [0, 24, 48, 72, 96, 120, 144, 168]),
    ],
)
def test_ticks_are_round_and_as_many_as_fit(width_mm, hours, expected):
    """Ticks stand at round times, closer together where there is room."""
    ax = charts.figure(width_mm).subplots()
    soak_axis(ax, 0.0, hours * 3600.0)
    assert list(ax.xaxis.get_majorticklocs()) == pytest.approx(expected)


def test_the_axis_names_its_unit():
    """The axis spans what it is told to, in hours, and says so."""
    ax = charts.figure().subplots()
    soak_axis(ax, 0.0, 7200.0)
    assert ax.get_xlim() == (0.0, 2.0)
    assert ax.get_xlabel() == "soak time (hours)"
