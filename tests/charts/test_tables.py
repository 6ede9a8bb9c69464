"""The verdict table."""

import datetime as dt
import math

import polars as pl
import pytest

from soaklib import charts
from soaklib.errors import SettingsError

_VERDICTS = pl.DataFrame(
    {
        "name": ["success rate", "quota cut works", "<b>odd</b>"],
        "measure": [99.6123, None, 3.0],
        "threshold": [">= 97 %", "denials after", "all 3"],
        "n": [108267, 0, 3],
        "low": [99.57, None, None],
        "high": [99.65, None, None],
        "state": ["pass", "insufficient", "fail"],
        "detail": ["fine", "not made", "2 of 3"],
        "query": ["select 1"] * 3,
    }
)


def test_rows_say_what_was_measured_and_required():
    """Failures stand first; measures bear unit and interval, whole numbers no decimals; nothing measured is said."""
    assert charts.verdict_table(_VERDICTS).rows == (
        ("fail", "<b>odd</b>", "3", "all 3", "3", "2 of 3"),
        ("insufficient", "quota cut works", "nothing", "denials after", "0", "not made"),
        ("pass", "success rate", "99.612 % (99.570 to 99.650)", ">= 97 %", "108,267", "fine"),
    )


@pytest.mark.parametrize(
    ("measure", "low", "told"),
    [
        (99.99996, 99.9991, "99.99996 % (99.999 to 100)"),
        (0.0004, 0.00001, "0.0004 % (0.00001 to 100)"),
        (1e-12, 0.0, "1e-12 % (0 to 100)"),
        (-0.04, -100.0, "-0.040 % (-100 to 100)"),
    ],
)
def test_a_measure_that_is_not_whole_is_not_told_as_whole(measure, low, told):
    """One failure in a million calls is there, and so is one false-allow."""
    verdicts = _VERDICTS.head(1).with_columns(measure=pl.lit(measure), low=pl.lit(low), high=pl.lit(100.0))
    assert charts.verdict_table(verdicts).rows[0][2] == told


def test_html_is_escaped_and_states_have_signs():
    """Text is shown as it is, and a state is told by a sign beside its colour."""
    shown = charts.verdict_table(_VERDICTS)._repr_html_()
    assert "&lt;b&gt;odd&lt;/b&gt;" in shown
    assert "<b>odd" not in shown
    assert all(words in shown for words in ("✔ pass", "? insufficient", "✘ fail"))


def test_another_frame_is_refused():
    """A frame that holds no verdicts is refused."""
    with pytest.raises(SettingsError, match=r"no column state, name"):
        charts.verdict_table(pl.DataFrame({"x": [1]}))


def test_a_frame_is_written_without_quotes():
    """Numbers stand to the right with the digits asked for; what is not known is empty, and names are text."""
    frame = pl.DataFrame({"of": ["<b>", None], "calls": [36_000, 1], "ms": [2.0, None], "p": [0.0301234, 1.0]})
    shown = charts.frame_table(frame, places={"ms": 1})
    assert shown.heads == (("of", False), ("calls", True), ("ms", True), ("p", True))
    assert shown.rows == (("<b>", "36,000", "2.0", "0.03012"), ("", "1", "", "1"))
    page = shown._repr_html_()
    assert "&lt;b&gt;" in page
    assert page.count("text-align:right") == 9
    large = pl.DataFrame({"s": [86_400.0, 9_999.6, 1_234.4, math.nan, 0.000012344, 12.34567]})
    assert [row[0] for row in charts.frame_table(large).rows] == ["86,400", "10,000", "1,234", "", "1.234e-05", "12.35"]
    assert charts.frame_table(pl.DataFrame({"is": [True, None]})).rows == (("True",), ("",))


def test_events_bear_their_time_and_are_escaped():
    """Soak time, also of what came before its start, date and time of day, and the detail as it is."""
    at = dt.datetime(2026, 11, 20, 12, 30, 1, tzinfo=dt.UTC)
    events = pl.DataFrame(
        {
            "at": [at] * 2,
            "soak_s": [-3600.0, 5400.0],
            "name": ["AGENTS_CREATED", "CHAOS_MODE_ON"],
            "detail": ["", "<b>50 %"],
        }
    )
    shown = charts.event_table(events)
    assert shown.rows == (
        ("H-1", "2026-11-20 12:30:01", "AGENTS_CREATED", ""),
        ("H+1:30", "2026-11-20 12:30:01", "CHAOS_MODE_ON", "<b>50 %"),
    )
    assert "&lt;b&gt;50 %" in shown._repr_html_()
    with pytest.raises(SettingsError, match=r"no column soak_s"):
        charts.event_table(events.drop("soak_s"))
