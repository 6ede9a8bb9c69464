"""The Grafana dashboard against Grafana's own schema, as the models say it that Grafana publishes (its Foundation SDK).

The models are made from the schema of Grafana's dashboards, but read leniently: what they do not know they drop, and
what has another type they keep. So a dashboard is read and written again, which loses what the schema does not have,
and each value is held to the type that its model says.
"""

import json
import typing
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import ConfigDict, TypeAdapter, ValidationError

DASHBOARD = Path(__file__).parents[1] / "scripts" / "grafana-dashboard.json"
OF_THE_PLUGIN = "definition"
"""What the Prometheus plugin keeps of a variable's query beside the schema, to show it in a list."""


def strangers(source):
    """Give what a dashboard holds that the schema does not have, or has otherwise: path and value."""
    register_default_plugins()
    read = Dashboard.from_json(source)
    again = json.loads(JSONEncoder().encode(read))
    return [path for path in _lost(source, again, "") if not path.endswith(f".{OF_THE_PLUGIN}")] + list(
        _wrong(read, "")
    )


def _lost(before, after, path):
    if isinstance(before, dict):
        for name, value in before.items():
            if not isinstance(after, dict) or name not in after:
                yield f"{path}.{name}"
            else:
                yield from _lost(value, after[name], f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield path


def _wrong(model, path):
    """Give the paths of values that are not of their model's type."""
    if isinstance(model, list):
        for number, one in enumerate(model):
            yield from _wrong(one, f"{path}[{number}]")
    if not type(model).__module__.startswith("grafana_foundation_sdk.models"):
        return
    for name, hint in typing.get_type_hints(type(model)).items():
        value = getattr(model, name, None)
        if _is_of(value, TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))):
            yield from _wrong(value, f"{path}.{name}")
        else:
            yield f"{path}.{name}"


def _is_of(value, type_):
    """Say whether a value is of a type; a word of an enumeration is left a word by the models."""
    try:
        if isinstance(value, str | int | float):
            type_.validate_json(json.dumps(value), strict=True)
        else:
            type_.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def dashboard(**changes):
    """Give the dashboard, some of it changed."""
    return json.loads(DASHBOARD.read_text("utf-8")) | changes


def test_the_dashboard_is_one_by_grafanas_schema():
    """Nothing in it is unknown there, and nothing has another type."""
    assert strangers(dashboard()) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"tittle": "misspelt"}, [".tittle"]),
        ({"title": 5}, [".title"]),
        ({"editable": "yes"}, [".editable"]),
        ({"refresh": ["10s"]}, [".refresh"]),
    ],
)
def test_what_the_schema_does_not_have_is_found(changes, found):
    """A name that it does not know, a value of another type."""
    assert strangers(dashboard(**changes)) == found


def test_it_is_found_inside_of_a_panel_too():
    """Where a hand edits most."""
    whole = dashboard()
    panel = whole["panels"][0]
    panel["gridPos"]["h"] = "tall"
    panel["fieldconfig"] = {}
    assert strangers(whole) == [".panels[0].fieldconfig", ".panels[0].grid_pos.h"]
