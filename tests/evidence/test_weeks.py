"""What a series of weekly runs says of changes."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

import soaklib
from soaklib.evidence.weeks import changes_over_weeks, of_same_load, table_over_weeks, weekly_values

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"


def _week(out, number, value, tool="openai"):
    folder = out / f"week-{number:02}"
    folder.mkdir()
    endpoint = {
        "endpoint": "median service time", "unit": "ms", "a": 1.0, "b": value, "difference": 0.0, "low": -1.0,
        "high": 1.0, "margin": 1.0, "n_a": 9, "n_b": 9, "state": "same", "tool": tool,
    }  # fmt: skip
    told = {"format": 1, "run_id": folder.name, "against": "week-00", "detail": "", "endpoints": [endpoint]}
    (folder / "comparison.json").write_text(json.dumps(told))
    return folder


def test_a_step_is_told_with_the_run_that_it_came_with(tmp_path):
    """Fourteen weeks with a step in the ninth name measure, levels and run; a folder without a comparison is passed."""
    folders = [_week(tmp_path, number, (2.0 if number < 9 else 5.0) + number % 3 / 10) for number in range(14)]
    (tmp_path / "week-99").mkdir()
    values = weekly_values([*folders, tmp_path / "week-99"])
    assert {name: len(told) for name, told in values.items()} == {"median service time (openai) [ms]": 14}
    [sentence] = changes_over_weeks(values)
    assert sentence.startswith(
        "over 14 runs: median service time (openai) [ms] changed from 2.1 to 5.1 with week-09 (p = 0.0"
    )
    [row] = table_over_weeks(values)
    assert row["measure"] == "median service time (openai) [ms]"
    assert list(row["values"]) == [folder.name for folder in folders]
    assert (row["values"]["week-08"], row["values"]["week-09"], row["changed"]) == (2.2, 5.0, ["week-09"])


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
