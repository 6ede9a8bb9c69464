"""What a plan names of the environment, and what of it is secret."""

import pytest

from soaklib.plan.changes import HttpChange
from soaklib.plan.model import TargetTable, load_plan
from soaklib.plan.named import named_secrets, named_variables

HELD = {
    "KEY": "sk-of-every-role", "KEY_A": "sk-of-a-role", "MASTER": "sk-1234", "EMAIL": "admin@example.com",
    "PASSWORD": " correct horse ", "SWITCH": "of-the-change", "AUTH": "Bearer of-the-header",
}  # fmt: skip
OPTIONS = {
    "keys": {"asker": ["KEY_A", "NOT_SET"]}, "key": "KEY", "admin_key": "MASTER", "prefix": "/v1", "make_keys": True,
    "login": {"email_env": "EMAIL", "password_env": "PASSWORD"},
}  # fmt: skip


@pytest.fixture
def plan(monkeypatch):
    """A plan whose target and whose change by requests take secrets from the environment."""
    for name, value in HELD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NOT_SET", raising=False)
    plan = load_plan()
    request = {"method": "POST", "path": "/x"}
    change = HttpChange.model_validate(
        {
            "do": "http", "name": "x", "at": 0.5, "lasts": 0.1, "phase": "x", "phase_after": "y", "make": request,
            "undo": request | {"header_env": {"X-Key": "SWITCH"}},
        }
    )  # fmt: skip
    target = TargetTable(kind="openai", **OPTIONS)
    return plan.model_copy(update={"target": target, "changes": (*plan.changes, change)})


def test_every_secret_that_a_plan_names_is_known(plan):
    """Keys of its target, a password, a change's header; who logs in is sent as well, and is no secret."""
    secrets = set(named_secrets([], plan))
    assert secrets == {"sk-of-every-role", "sk-of-a-role", "sk-1234", "correct horse", "of-the-change"}
    assert {"KEY", "KEY_A", "MASTER", "EMAIL", "PASSWORD", "SWITCH"} <= named_variables(plan)


def test_a_key_is_one_without_the_word_before_it_too(plan):
    """As a gateway that repeats it would; a header whose variable is not set has none."""
    told = named_secrets(["Authorization=AUTH", "X-Other=NOT_SET"], plan)
    assert {"Bearer of-the-header", "of-the-header"} <= set(told)
    assert "" not in told
