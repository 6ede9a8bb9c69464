"""The gateways that people can start: what each is made of, without starting one."""

import re
import tomllib
from itertools import combinations

import pytest
from gateways import HERE, free_port, names, plan_text, recipe_of

from soaklib.plan.model import Plan
from soaklib.targets import load_target

NAMES = names()
WIRES = {  # those that speak the same wire, the direct line first
    "openai": ("direct-openai", "litellm", "sglang", "envoy"),
    "mcp": ("direct-mcp", "contextforge", "fastmcp"),
}


def plan_of(name):
    """Give a gateway's plan."""
    return Plan.model_validate(tomllib.loads(plan_text(name)))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_pinned(name):
    """Each line of its requirements names one version; what soaklib brings itself has none."""
    if not (HERE / name / "requirements.txt").exists():
        assert name.startswith(("direct-", "fourrunr"))
        return
    lines = [line.split("#")[0].strip() for line in (HERE / name / "requirements.txt").read_text().splitlines()]
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines if line), lines
    assert any(lines)


@pytest.mark.parametrize("name", NAMES)
def test_its_plan_is_whole_and_has_its_keys(name):
    """The plan loads, its calls compile, and each variable that it names is a key of the recipe, or is prepared."""
    plan = plan_of(name)
    target = load_target(plan.target)
    for operation in plan.operations:
        for step in operation.steps:
            assert target.compile(step, operation.role).request
    named = set(re.findall(r"SOAK_\w+", re.sub(r"(?m)#.*$", "", plan_text(name))))
    keys = set(recipe_of(name).keys)
    assert (HERE / name / "prepare.py").exists() or named <= keys, named - keys


@pytest.mark.parametrize("wire", WIRES)
def test_all_that_speak_a_wire_are_soaked_alike(wire):
    """The same calls at the same rate, the same outage of an upstream that behaves the same: times can be compared."""
    for one, other in combinations(WIRES[wire], 2):
        a, b = plan_of(one), plan_of(other)
        assert a.operations == b.operations, (one, other)
        assert a.intervals == b.intervals, (one, other)
        outages = [[change for change in plan.changes if change.do == "upstream"] for plan in (a, b)]
        assert outages[0] == outages[1], (one, other)
        assert len(outages[0]) == 1
        assert recipe_of(one).soak == recipe_of(other).soak, (one, other)
        assert recipe_of(one).behaviour == recipe_of(other).behaviour, (one, other)


def test_each_that_has_a_direct_line_is_among_those_compared():
    """A new gateway of a wire is soaked like the others."""
    compared = {name for wire in WIRES.values() for name in wire}
    assert compared == {name for name in NAMES if plan_of(name).target.kind in WIRES}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_of_where_people_look(name):
    """The table of the README has a row of each."""
    assert f"| `{name}` |" in (HERE / "README.md").read_text()


def test_ports_are_below_those_of_outgoing_connections():
    """A gateway's port is none that a client's connection may hold by then."""
    port = free_port()
    assert 20_000 <= port < 32_000
    assert free_port(port + 1) > port
