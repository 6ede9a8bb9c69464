"""The verdict table."""

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
    """Measures bear their interval, whole numbers no decimals, and what was not measured says so."""
    assert charts.verdict_table(_VERDICTS).rows == (
        ("pass", "success rate", "99.612 (99.570 to 99.650)", ">= 97 %", "108,267", "fine"),
        ("insufficient", "quota cut works", "none", "denials after", "0", "not made"),
        ("fail", "<b>odd</b>", "3", "all 3", "3", "2 of 3"),
    )


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
