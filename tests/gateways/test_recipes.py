"""The gateways that people can start: what each is made of, without starting one."""

import re
import tomllib

import pytest
from gateways import HERE, Recipe, free_port, names

from soaklib.plan.model import load_plan
from soaklib.targets import load_target

NAMES = names()


def recipe_of(name):
    """Give a gateway's recipe."""
    return Recipe(**tomllib.loads((HERE / name / "gateway.toml").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_pinned(name):
    """Each line of its requirements names one version."""
    lines = [line.split("#")[0].strip() for line in (HERE / name / "requirements.txt").read_text().splitlines()]
    assert all(re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", line) for line in lines if line), lines
    assert any(lines)


@pytest.mark.parametrize("name", NAMES)
def test_its_plan_is_whole_and_has_its_keys(name):
    """The plan loads, its calls compile, and each variable that it names is a key of the recipe, or is prepared."""
    recipe = recipe_of(name)
    path = HERE / name / recipe.plan
    plan = load_plan(path)
    target = load_target(plan.target)
    for operation in plan.operations:
        for step in operation.steps:
            assert target.compile(step, operation.role).request
    named = set(re.findall(r"SOAK_\w+", re.sub(r"(?m)#.*$", "", path.read_text())))
    assert (HERE / name / "prepare.py").exists() or named <= set(recipe.keys), named - set(recipe.keys)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_of_where_people_look(name):
    """The table of the README has a row of each."""
    assert f"| `{name}` |" in (HERE / "README.md").read_text()


def test_ports_are_below_those_of_outgoing_connections():
    """A gateway's port is none that a client's connection may hold by then."""
    port = free_port()
    assert 20_000 <= port < 32_000
    assert free_port(port + 1) > port
