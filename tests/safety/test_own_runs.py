"""Whose run it is that goes on, and what its file is believed about."""

import json

import pytest

from soaklib.commands.resuming import refuse_what_a_stranger_names
from soaklib.errors import SettingsError
from soaklib.plan.changes import HttpChange
from soaklib.plan.loading import load_settings
from soaklib.plan.model import TargetTable, load_plan
from soaklib.safety.own_runs import is_remembered, remember

URL, HEADER = "http://127.0.0.1:3000", "Authorization=TOKEN"
PLAN = load_plan()
TEXT = PLAN.model_dump_json()
EXTERNAL = ("--gateway-url", URL, "--max-in-flight", "10")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A user without any run yet, and without an admin token."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SOAK_GATEWAY_ADMIN_TOKEN", raising=False)
    return tmp_path


def stored(*arguments):
    return json.loads(load_settings(arguments).public_json())


def refused(kept, *arguments, plan=PLAN):
    """Give what is to be named again, the sentence's end; an empty text for nothing."""
    try:
        refuse_what_a_stranger_names("r1", kept, load_settings(["--resume", "r1", *arguments]), plan)
    except SettingsError as exc:
        return str(exc).partition("pass ")[2]
    return ""


def test_a_run_is_known_by_its_id_its_plan_and_every_setting(state):
    """A changed URL, header or plan makes another run of it; the mark is private."""
    kept = stored(*EXTERNAL, "--header-env", HEADER)
    assert not is_remembered("r1", kept, TEXT)
    remember("r1", kept, TEXT)
    assert is_remembered("r1", kept, TEXT)
    assert not is_remembered("r2", kept, TEXT)
    assert not is_remembered("r1", kept | {"gateway_url": "http://127.0.0.1:6666"}, TEXT)
    assert not is_remembered("r1", kept | {"header_env": [HEADER, "X-Home=HOME"]}, TEXT)
    assert not is_remembered("r1", kept, _with_change("HOME").model_dump_json())
    [mark] = (state / "soaklib" / "runs").iterdir()
    assert (mark.stat().st_size, mark.stat().st_mode & 0o777) == (0, 0o600)


def test_a_run_that_was_begun_here_is_believed():
    """It is resumed as it was begun."""
    kept = stored(*EXTERNAL, "--header-env", HEADER, "--database-url", "sqlite:////x")
    remember("r1", kept, TEXT)
    assert refused(kept) == ""


def test_a_strangers_run_names_no_header_no_gateway_and_no_database():
    """Each must be named again by who resumes it."""
    kept = stored(*EXTERNAL, "--header-env", HEADER, "--database-url", "sqlite:////etc/x")
    assert refused(kept) == f"--gateway-url {URL} --header-env {HEADER} --database-url sqlite:////etc/x"
    named = (*EXTERNAL[:2], "--header-env", HEADER, "--database-url", "sqlite:////etc/x")
    assert refused(kept, *named) == ""
    assert refused(kept, *named[2:]) == f"--gateway-url {URL}"
    assert refused(kept, "--gateway-url", "http://127.0.0.1:1", *named[2:]) == f"--gateway-url {URL}"


def test_an_admin_token_goes_to_no_strangers_gateway(monkeypatch):
    """Without one, and without headers, nothing that is secret is sent."""
    assert refused(stored(*EXTERNAL)) == ""
    monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", "t")
    assert refused(stored(*EXTERNAL)) == f"--gateway-url {URL}"


def _with_change(variable):
    request = {"method": "POST", "path": "/x", "header_env": {"Authorization": variable}}
    change = HttpChange.model_validate(
        {"do": "http", "at": 0.5, "lasts": 0.1, "name": "x", "phase": "p", "phase_after": "q", "make": request,
         "undo": request | {"header_env": {}}}
    )  # fmt: skip
    return PLAN.model_copy(update={"changes": (change,)})


@pytest.mark.parametrize(
    "plan",
    [
        PLAN.model_copy(update={"target": TargetTable(kind="openai", key="THEIR_CHOICE")}),
        PLAN.model_copy(update={"target": TargetTable(kind="openai", keys={"asker": ["X", "THEIR_CHOICE"]})}),
        PLAN.model_copy(
            update={"target": TargetTable(kind="mcp", login={"email_env": "E", "password_env": "THEIR_CHOICE"})}
        ),
        _with_change("THEIR_CHOICE"),
    ],
    ids=["key", "keys", "login", "change"],
)
def test_no_variable_that_a_strangers_plan_names_goes_to_the_strangers_gateway(monkeypatch, plan):
    """Whichever it is: it is named to whoever resumes the run, who says where the load goes."""
    kept = stored(*EXTERNAL)
    monkeypatch.delenv("THEIR_CHOICE", raising=False)
    assert refused(kept, plan=plan) == ""  # there is nothing to send
    monkeypatch.setenv("THEIR_CHOICE", "a secret")
    assert refused(kept, plan=plan) == f"--gateway-url {URL}"
    assert refused(kept, *EXTERNAL[:2], plan=plan) == ""
    with pytest.raises(SettingsError, match="as what its plan takes from THEIR_CHOICE, goes only where you say"):
        refuse_what_a_stranger_names("r1", kept, load_settings(["--resume", "r1"]), plan)


def test_a_database_whose_password_is_not_kept_is_asked_for_elsewhere():
    """It cannot be opened by what the run says of it."""
    assert refused(stored("--database-url", "postgresql://u:p@127.0.0.1/x")) == ""
