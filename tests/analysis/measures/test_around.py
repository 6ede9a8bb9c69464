"""What a run shows around a moment."""

from pathlib import Path

import polars as pl
import pytest

import soaklib
from soaklib.errors import SettingsError

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


@pytest.fixture(scope="module")
def run():
    with soaklib.open_run(SAMPLE) as run:
        yield run


def test_a_moment_is_told_from_all_sides(run):
    """Events, what calls met before and after it, the slowest of them, and what the gateway's metrics did."""
    around = soaklib.around(run, "H+12", before="10m", after="20m")
    assert (around.stretch.start_s, around.when_s, around.stretch.end_s) == (42_600.0, 43_200.0, 44_400.0)
    assert "CHAOS_MODE_ON" in around.events["name"].to_list()
    assert around.outcomes.select(pl.col("before", "after").sum()).row(0) == (
        run.between("H+11:50", "H+12").outcomes(["slot"]).height,
        run.between("H+12", "H+12:20").outcomes(["slot"]).height,
    )
    failed = around.outcomes.filter(pl.col("kind").is_in(["fast_fail", "upstream_error"]))
    assert failed["tool"].unique().to_list() == ["openai"]
    assert (failed["before"].sum(), failed["after"].sum() > 0) == (0, True)
    assert around.slowest["response_us"].is_sorted(descending=True)
    assert around.slowest["response_us"][0] == around.stretch.outcomes(["response_us"])["response_us"].max()
    breaker = around.metrics.filter(metric="gateway_breaker_state")
    assert breaker.select("low", "high").rows() == [(0.0, 2.0)]
    assert "CHAOS_MODE_ON" in around._repr_html_()


def test_a_moment_is_named_by_an_event(run):
    """Its first time is meant; a name that is none is told the nearest."""
    at_s = run.events().filter(name="CHAOS_MODE_ON")["soak_s"][0]
    assert soaklib.around(run, "CHAOS_MODE_ON").when_s == at_s
    with pytest.raises(SettingsError, match="did you mean CHAOS_MODE_ON"):
        soaklib.around(run, "CHAOS_MOD_ON")
    with pytest.raises(SettingsError, match="lengths of time"):
        soaklib.around(run, "H+12", before="all")


def test_the_start_of_a_run_has_nothing_before_it(run):
    """All its calls come after it."""
    around = soaklib.around(run, "H+0", after="5m")
    assert around.outcomes["before"].sum() == 0
    assert around.outcomes["after"].sum() == run.between("H+0", "H+0:05").outcomes(["slot"]).height


def test_the_end_of_a_run_has_nothing_after_it(run):
    """The event that ends it comes after its last call; beyond it there is no run."""
    around = soaklib.around(run, "SOAK_TEST_COMPLETED", before="5m")
    assert around.outcomes["after"].sum() == 0
    assert around.outcomes["before"].sum() == around.stretch.outcomes(["slot"]).height > 0
    with pytest.raises(SettingsError, match="outside of the run"):
        soaklib.around(run, "H+99")
