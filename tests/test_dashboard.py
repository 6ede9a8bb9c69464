"""The dashboard for Grafana, as a file; what its queries find is tested with a real Prometheus."""

import itertools
import json
from pathlib import Path

import pytest

DASHBOARD = json.loads((Path(__file__).parents[1] / "scripts" / "grafana-dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
UNITS = {"percentunit", "none", "reqps", "s", "bytes", "rowsps"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_has_a_unit_thresholds_and_a_sentence(panel):
    """And asks the data source that is chosen at the top."""
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["description"].endswith(".")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_is_about_the_run_or_the_gateway_that_is_chosen(panel):
    """None mixes the series of two runs."""
    for target in panel["targets"]:
        metrics = target["expr"].count("soaklib_") - target["expr"].count("soaklib_run_info")
        if "$gateway" in target["expr"]:
            assert metrics == 0
        else:
            assert 'soaklib_run_info{run_id="$run"}' in target["expr"]


def test_the_variables_are_a_data_source_the_run_and_the_gateway():
    """In this order, so that each can be chosen from what the one before knows."""
    variables = DASHBOARD["templating"]["list"]
    assert [(one["name"], one["type"]) for one in variables] == [
        ("datasource", "datasource"), ("run", "query"), ("gateway", "query"),
    ]  # fmt: skip


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    """In a grid of 24 columns."""
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
    ]
    assert all(x < 24 for cell in cells for x, _ in cell)
    assert not any(one & other for one, other in itertools.combinations(cells, 2))
