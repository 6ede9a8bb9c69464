"""soaklib compare: text for any number of runs, and their page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from soaklib.analysis.verdicts.compare import COMPARISON_SCHEMA
from soaklib.commands.compare import main

_SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture
def other(tmp_path):
    """A copy of the sample run in which one criterion failed."""
    shutil.copy(_SAMPLE / "run.duckdb", tmp_path)
    with duckdb.connect(tmp_path / "run.duckdb") as connection:
        connection.execute("update run set run_id = 'other'")
        connection.execute("update verdicts set state = 'fail' where name = 'healthy'")
    return tmp_path


def test_several_runs_side_by_side(other, tmp_path, capsys, monkeypatch):
    """Each later run is held against the first, what was judged otherwise is named, and the page holds all runs."""
    monkeypatch.setattr("soaklib.commands.compare.compare_tools", _nothing_differs)
    page = tmp_path / "page.html"
    assert main([str(_SAMPLE), str(other), str(_SAMPLE), "--html", str(page)]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^(\S+) held against (\S+)$", said, re.MULTILINE) == [
        ("other", "20261124T204100Z-7033"),
        ("20261124T204100Z-7033", "20261124T204100Z-7033"),
    ]
    assert "criterion changed: healthy: pass, fail, pass" in said
    assert "over 3 runs no change of level can be told: it takes 10" in said
    (island,) = re.findall(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    content = json.loads(island)
    assert content["weeks"] == {
        "table": [
            {"measure": "success (openai) [%]", "values": {"20261124T204100Z-7033": 1.0, "other": 1.0}, "changed": []},
        ],
        "said": ["over 3 runs no change of level can be told: it takes 10"],
    }
    assert [one["run"]["id"] for one in content["pages"]] == [
        "20261124T204100Z-7033", "other", "20261124T204100Z-7033",
    ]  # fmt: skip


def test_good_runs_say_how_far_runs_differ(other, capsys, monkeypatch):
    """Each once; without them it is said that this is not known; those of another load are refused."""
    kept_ids = []

    def different(*_, kept):
        kept_ids.append([run.info.run_id for run in kept])
        return _nothing_differs().with_columns(state=pl.lit("different"))

    monkeypatch.setattr("soaklib.commands.compare.compare_tools", different)
    assert main([str(_SAMPLE), str(other)]) == 1
    assert "how far runs differ by themselves is not known" in capsys.readouterr().out
    kept = ["--kept", str(_SAMPLE), "--kept", str(other), "--kept", str(_SAMPLE)]
    assert main([str(_SAMPLE), str(other), *kept]) == 1
    assert kept_ids == [[], ["20261124T204100Z-7033", "other"]]
    with duckdb.connect(other / "run.duckdb") as connection:
        connection.execute("update run set rps = 99")
    assert main([str(_SAMPLE), str(_SAMPLE), "--kept", str(other)]) == 2
    told = "--kept other does not say how far runs like 20261124T204100Z-7033 differ: its rps is another"
    assert told in capsys.readouterr().err


def _nothing_differs(*_, **__):
    row = ("success", "%", 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 99, 99, "same", "openai")
    return pl.DataFrame([row], schema=COMPARISON_SCHEMA, orient="row")
