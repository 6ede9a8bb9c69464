"""There is one quantile: the smallest value that at least so many of the calls do not exceed."""

from pathlib import Path

import pytest

import soaklib
from soaklib.analysis.statistics.intervals import quantile_interval
from soaklib.analysis.verdicts.endpoints import ENDPOINTS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("endpoint", ENDPOINTS[:2], ids=lambda endpoint: endpoint.name)
def test_latency_endpoint_and_interval_give_one_quantile(endpoint):
    """Of each tool's calls of the sample, none of which was given up, all three say the same to the last bit."""
    with soaklib.open_run(ROOT / "data" / "sample") as run:
        level = endpoint.quantile
        told = soaklib.latency(run, every="all", quantiles=[level]).filter(measure="service")
        judged = run.sql(f"select tool, {endpoint.value} from calls where purpose = 'load' group by tool order by tool")
        assert dict(judged.rows()) == dict(told.select("tool", "latency_ms").rows())
        for tool, value in judged.rows():
            single = run.outcomes(["service_us"], where=f"tool = '{tool}' and kind = 'ok' and purpose = 'load'")
            assert quantile_interval(single["service_us"].to_numpy(), level).value / 1000 == value


def test_no_query_interpolates():
    """DuckDB's other quantile lies between two calls, where no call was."""
    texts = [path for path in [*ROOT.glob("soaklib/**/*.py"), ROOT / "MANUAL.md"] if path.is_file()]
    assert [path.name for path in texts if "quantile_cont" in path.read_text("utf-8")] == []
    assert len(texts) > 100
