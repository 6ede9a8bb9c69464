"""The timeline of what was done to the gateway."""

import polars as pl

from soaklib import charts
from soaklib.charts.interventions import _row_of
from soaklib.records import NOT_MADE, EventName

_EVENTS = pl.DataFrame(
    [
        (0.0, "SOAK_TEST_STARTED"),
        (900.0, "TOKENS_ROTATED"),
        (1800.0, "TOKENS_ROTATION_FAILED"),
        (3600.0, "CHAOS_MODE_ON"),
        (7200.0, "POLICY_UPDATED_OPENAI_QUOTA_REDUCED"),
        (7200.0, "SOMETHING_NEW"),
    ],
    schema=["soak_s", "name"],
    orient="row",
)


def _points(ax):
    return {
        line.get_label(): [(round(x * 3600), y) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_each_event_stands_in_the_row_of_its_sort(ax):
    """Rows are sorts of events that happened, with their number; what went wrong is a cross in its row."""
    charts.intervention_timeline(_EVENTS, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "run: 1", "token rotations: 2", "changes: 2", "other: 1",
    ]  # fmt: skip
    assert _points(ax) == {
        "run": [(0, 0)],
        "token rotations": [(900, 1)],
        "changes": [(3600, 2), (7200, 2)],
        "other": [(7200, 3)],
        "went wrong": [(1800, 1)],
    }
    assert [text.get_text() for text in ax.get_legend().texts] == ["failed, uncertain, interrupted or late: 1"]


def test_what_nobody_knows_to_have_come_about_is_no_success(ax):
    """A change whose answer was lost, a clock that could not be measured and a warning are crosses, as failures are."""
    names = [str(name) for name in EventName if name in NOT_MADE or name.endswith(("_UNKNOWN", "_WARNING"))]
    charts.intervention_timeline(pl.DataFrame({"soak_s": 900.0, "name": names}), ax=ax)
    assert len(names) == len(NOT_MADE) + 2
    assert list(_points(ax)) == ["went wrong"]


def test_tokens_that_were_kept_are_not_rotated(ax):
    """A kind of gateway that has no new ones to give is asked each time, and keeps what it has."""
    kept = pl.DataFrame({"soak_s": [900.0, 1800.0, 2700.0], "name": ["TOKENS_KEPT", "TOKENS_ROTATED", "TOKENS_KEPT"]})
    charts.intervention_timeline(kept, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["token rotations: 1", "tokens kept: 2"]


def test_a_run_in_which_all_went_well_has_no_cross(ax):
    """Without a failure there is neither a cross nor a legend."""
    charts.intervention_timeline(_EVENTS.filter(~pl.col("name").str.ends_with("_FAILED")), ax=ax)
    assert "went wrong" not in _points(ax)
    assert ax.get_legend() is None


def test_what_came_before_the_start_stands_at_it(ax):
    """Agents and policies are made before H+0; their marks do not cover the names of the rows."""
    before = pl.DataFrame({"soak_s": [-98.0, 0.0], "name": ["AGENTS_CREATED", "SOAK_TEST_STARTED"]})
    charts.intervention_timeline(before, ax=ax)
    assert _points(ax) == {"run": [(0, 0)], "policies, agents": [(0, 1)]}


def test_nothing_happened_is_said(ax):
    """A run without events says so."""
    charts.intervention_timeline(_EVENTS.clear(), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["nothing happened"]


def test_every_event_of_the_vocabulary_is_sorted():
    """Of the names that soaklib writes, only those about the load itself are in the row of the rest."""
    rest = {name for name in EventName if _row_of(name) == _row_of("SOMETHING_NEW")}
    assert rest == {EventName.RATE_LIMITED, EventName.LATE_SENDING}
