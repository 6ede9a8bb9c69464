"""What a series of weekly runs says of changes."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

import soaklib
from soaklib.evidence.weeks import (
    changes_over_weeks,
    of_same_load,
    table_over_weeks,
    values_by_run,
    weekly_values,
)

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def _endpoint(value, tool):
    return {
        "endpoint": "median service time", "unit": "ms", "a": 1.0, "b": value, "difference": 0.0, "low": -1.0,
        "high": 1.0, "margin": 1.0, "n_a": 9, "n_b": 9, "state": "same", "tool": tool,
    }  # fmt: skip


def _week(out, number, value, tool="openai", tools=()):
    folder = out / f"week-{number:02}"
    folder.mkdir()
    told = {
        "format": 1, "run_id": folder.name, "against": "week-00", "detail": "", "endpoints": [_endpoint(value, tool)],
        "tools": [_endpoint(*one) for one in tools],
    }  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(told))
    return folder


def test_a_step_is_told_with_the_run_that_it_came_with(tmp_path):
    """Sixteen weeks with a step in the ninth name measure, levels and run; a folder without a comparison is passed."""
    folders = [_week(tmp_path, number, (2.0 if number < 9 else 5.0) + number % 3 / 10) for number in range(16)]
    (tmp_path / "week-99").mkdir()
    values = weekly_values([*folders, tmp_path / "week-99"])
    assert {name: len(told) for name, told in values.items()} == {"median service time (openai) [ms]": 16}
    [sentence] = changes_over_weeks(values)
    assert sentence.startswith(
        "over 16 runs: median service time (openai) [ms] changed from 2.1 to 5.1 with week-09 (p = 0.0"
    )
    [row] = table_over_weeks(values)
    assert row["measure"] == "median service time (openai) [ms]"
    assert list(row["values"]) == [folder.name for folder in folders]
    assert (row["values"]["week-08"], row["values"]["week-09"], row["changed"]) == (2.2, 5.0, ["week-09"])


def test_a_series_is_that_of_a_tool_whichever_is_the_worst(tmp_path):
    """Two tools of levels far apart that are the worst in turn: neither changed, and both have every week."""

    def week(number):
        tools = [(2.0 + number % 3 / 10, "fast"), (400.0 + number % 5, "slow")]
        return _week(tmp_path, number, *tools[number % 2], tools=tools)

    values = weekly_values(week(number) for number in range(14))
    assert {name: len(told) for name, told in values.items()} == {
        "median service time (fast) [ms]": 14, "median service time (slow) [ms]": 14,
    }  # fmt: skip
    assert list(changes_over_weeks(values)) == []


def test_what_runs_that_were_removed_measured_is_still_known(tmp_path):
    """Each week knows of those before it, so that twelve more are there where four folders are."""
    folders = []
    for number in range(16):
        folders.append(_week(tmp_path, number, (2.0 if number < 9 else 5.0) + number % 3 / 10))
        path = folders[-1] / "comparison.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"weeks": values_by_run(folders[-4:])}))
        if len(folders) > 4:
            shutil.rmtree(folders[-5])
    kept = folders[-4:]
    values = weekly_values(kept)
    assert [run for run, _ in values["median service time (openai) [ms]"]] == [folder.name for folder in folders]
    [sentence] = changes_over_weeks(values)
    assert "changed from 2.1 to 5.1 with week-09" in sentence


def test_a_run_that_cannot_be_read_is_no_part_of_the_series(tmp_path):
    """It costs neither the comparison of this week nor that of any later one."""
    for name in ("damaged", "same"):
        (tmp_path / name).mkdir()
        shutil.copy(_week(tmp_path, len(name), 1.0) / "comparison.json", tmp_path / name)
    (tmp_path / "damaged" / "run.duckdb").write_bytes(b"no database")
    shutil.copy(_SAMPLE / "run.duckdb", tmp_path / "same")
    with soaklib.open_run(_SAMPLE) as run:
        assert list(of_same_load([tmp_path / "damaged", tmp_path / "same"], run.info)) == [tmp_path / "same"]


def test_a_change_that_one_look_shows_is_not_told_yet(tmp_path):
    """It takes three weeks in a row: in words and on the page."""
    folders = [_week(tmp_path, number, (2.0 if number < 17 else 5.0) + number % 3 / 10) for number in range(24)]
    told = [list(changes_over_weeks(weekly_values(folders[:weeks]))) for weeks in (21, 22, 23, 24)]
    assert [bool(one) for one in told] == [False, False, True, True]
    assert [row["changed"] for row in table_over_weeks(weekly_values(folders[:21]))] == [[]]


def test_a_series_that_stays_says_nothing(tmp_path):
    """Weeks that do not change make no sentence."""
    values = weekly_values(_week(tmp_path, number, 2.0 + number % 3 / 10) for number in range(14))
    assert list(changes_over_weeks(values)) == []


def test_runs_of_another_load_are_no_part_of_the_series(tmp_path):
    """A week at another rate, and one that was never compared, are left out of the series of this load."""
    (tmp_path / "broken").mkdir()
    for name, rps in (("same", None), ("another", 99.0)):
        (tmp_path / name).mkdir()
        shutil.copy(_week(tmp_path, len(name), 1.0) / "comparison.json", tmp_path / name)
        shutil.copy(_SAMPLE / "run.duckdb", tmp_path / name)
        if rps is not None:
            with duckdb.connect(tmp_path / name / "run.duckdb") as connection:
                connection.execute("update run set rps = ?", [rps])
    with soaklib.open_run(_SAMPLE) as run:
        found = list(of_same_load([tmp_path / "broken", tmp_path / "another", tmp_path / "same"], run.info))
    assert found == [tmp_path / "same"]


@pytest.mark.parametrize("weeks", [0, 2, 9])
def test_too_few_weeks_are_told(tmp_path, weeks):
    """With fewer runs than it takes, that is said in place of silence."""
    values = weekly_values(_week(tmp_path, number, float(number)) for number in range(weeks))
    assert list(changes_over_weeks(values)) == [f"over {weeks} runs no change of level can be told: it takes 10"]
