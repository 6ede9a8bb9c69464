"""What calls met around token rotations."""

import numpy as np
import polars as pl

from soaklib import charts

_ALIGNED = pl.DataFrame(
    {
        "offset_s": [-20.0, -10.0, 0.0, 10.0] * 2,
        "measure": ["failures"] * 4 + ["response"] * 4,
        "value": [0.0, 0.0, 5.0, None, 1.0, 1.1, 4.0, 1.0],
        "low": [0.0] * 4 + [0.9] * 4,
        "high": [0.5] * 4 + [1.2] * 4,
        "n": [1000] * 8,
        "events": [95] * 8,
    }
)


def test_each_measure_has_its_line_and_band(figure):
    """Failures stand above, response time below, each step drawn to its end, a step without calls as a gap."""
    charts.rotation_impact(_ALIGNED, figure=figure)
    upper, lower = figure.axes
    lines = [next(line for line in ax.lines if line.get_label() == "events") for ax in (upper, lower)]
    np.testing.assert_array_equal(lines[0].get_xdata(), [-20, -10, 0, 10, 20])
    np.testing.assert_array_equal(lines[0].get_ydata(), [0, 0, 5, np.nan, np.nan])
    np.testing.assert_array_equal(lines[1].get_ydata(), [1.0, 1.1, 4.0, 1.0, 1.0])
    band = lower.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max(), band[:, 0].min(), band[:, 0].max()) == (0.9, 1.2, -20.0, 20.0)
    assert [text.get_text() for text in lower.get_legend().texts] == [
        "mean over 95 rotations", "95 % of placebos, step by step", "rotation",
    ]  # fmt: skip


def test_units_are_on_both_axes(figure):
    """Failures are in percent, response time in milliseconds, and the distance from the event in soak seconds."""
    charts.rotation_impact(_ALIGNED, figure=figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["failed calls (%)", "mean response (ms)"]
    assert figure.axes[1].get_xlabel() == "soak seconds after the rotation"


def test_nothing_to_lay_over_one_another_is_said(figure):
    """An empty frame says so in both axes."""
    charts.rotation_impact(_ALIGNED.clear(), figure=figure)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["nothing happened often enough"] * 2
