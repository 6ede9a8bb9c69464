"""Runs of any size that are made without a call: what the analysis of the largest ones is measured on."""

import runpy
import sys
from pathlib import Path

import pytest

import soaklib

pytestmark = pytest.mark.slow

_BENCH = Path(__file__).parents[2] / "scripts" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """Give what runs a script of scripts/bench in this process."""

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(_BENCH / script), run_name="__main__")

    return run


def test_a_made_run_is_whole_balances_and_is_measured(tmp_path, bench, capsys):
    """It is judged as a run that was sent, its log is written, and every stage of the analysis has its line."""
    bench("bigrun.py", tmp_path / "made", "--rows", 3000, "--hours", 3)
    with soaklib.open_run(tmp_path / "made") as run:
        states = dict(run.sql("select name, state from verdicts").iter_rows())
        assert run.sql("select count(*) from outcomes").item() == pytest.approx(3000, rel=0.1)
        events = run.sql("select count(*) from events").item()
    assert (states["full duration"], states["every slot accounted for"], states["books balanced"]) == ("pass",) * 3
    assert len((tmp_path / "made" / "soak-events.log").read_text().splitlines()) == events
    capsys.readouterr()
    bench("analysis.py", tmp_path / "made")
    assert capsys.readouterr().out.splitlines()[-1].endswith("everything")
