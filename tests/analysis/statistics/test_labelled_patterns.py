"""Our detectors on labelled patterns that somebody else made, what they miss included."""

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest

from soaklib.analysis.statistics.changepoints import change_points
from soaklib.analysis.statistics.level import level

PATTERNS = json.loads((Path(__file__).parents[2] / "data" / "otava" / "patterns.json").read_text("utf-8"))
START, STEP = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.timedelta(minutes=10)
MARGIN = 3.0
STEPS = ("step", "step_noise")
FOUND = {"step": [72], "step_noise": [72], "regression_fix": [48, 88], "regression_fix_noise": [48, 88]}
TAKEN_FOR_A_BUMP = {
    "outlier": [70, 73], "outlier_noise": [72, 75], "variance_change": [137, 140],
    "multiple_variance_changes": [137, 140],
}  # fmt: skip
"""A wild value, or a spread that grows, passes for a short stretch of another level: it locates, and does not judge."""


def series(name):
    """Give a pattern as a series."""
    value = PATTERNS[name]["value"]
    return pl.DataFrame({"at": [START + STEP * cell for cell in range(len(value))], "value": value})


def cell(moment):
    """Give the number of a point."""
    return round((moment - START) / STEP)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_level_moved_where_a_step_is_labelled_and_nowhere_else(name):
    """A step that stays is found at its point; noise, bands, outliers, spreads and what comes back are no step."""
    found = level(series(name), margin=MARGIN)
    assert found.state == ("moved" if name in STEPS else "stable"), found
    if name in STEPS:
        assert [cell(found.at)] == [change["index"] for change in PATTERNS[name]["changes"]]


@pytest.mark.parametrize("name", PATTERNS)
def test_changes_of_level_are_located_at_their_labels(name):
    """Steps and a regression with its end are found at their points; of three steps of 36 points none is."""
    found = [cell(at) for at in change_points(series(name), warm_up=0.0)["at"]]
    assert found == (FOUND | TAKEN_FOR_A_BUMP).get(name, [])
    if name in FOUND:
        assert found == [change["index"] for change in PATTERNS[name]["changes"]]


def test_all_seventeen_are_there():
    """None was left out for what came of it."""
    assert len(PATTERNS) == 17
