"""Whose run it is that goes on, and what its file is believed about."""

import json

import pytest

from soaklib.commands.resuming import refuse_what_a_stranger_names
from soaklib.errors import SettingsError
from soaklib.plan.loading import load_settings
from soaklib.safety.own_runs import is_remembered, remember

URL, HEADER = "http://127.0.0.1:3000", "Authorization=TOKEN"
EXTERNAL = ("--gateway-url", URL, "--max-in-flight", "10")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A user without any run yet, and without an admin token."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SOAK_GATEWAY_ADMIN_TOKEN", raising=False)
    return tmp_path


def stored(*arguments):
    return json.loads(load_settings(arguments).public_json())


def refused(kept, *arguments):
    """Give what is to be named again, the sentence's end; an empty text for nothing."""
    try:
        refuse_what_a_stranger_names("r1", kept, load_settings(["--resume", "r1", *arguments]))
    except SettingsError as exc:
        return str(exc).partition("pass ")[2]
    return ""


def test_a_run_is_known_by_its_id_and_every_setting(state):
    """A changed URL or header makes another run of it; the mark is private."""
    kept = stored(*EXTERNAL, "--header-env", HEADER)
    assert not is_remembered("r1", kept)
    remember("r1", kept)
    assert is_remembered("r1", kept)
    assert not is_remembered("r2", kept)
    assert not is_remembered("r1", kept | {"gateway_url": "http://127.0.0.1:6666"})
    assert not is_remembered("r1", kept | {"header_env": [HEADER, "X-Home=HOME"]})
    [mark] = (state / "soaklib" / "runs").iterdir()
    assert (mark.stat().st_size, mark.stat().st_mode & 0o777) == (0, 0o600)


def test_a_run_that_was_begun_here_is_believed():
    """It is resumed as it was begun."""
    kept = stored(*EXTERNAL, "--header-env", HEADER, "--database-url", "sqlite:////x")
    remember("r1", kept)
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


def test_a_database_whose_password_is_not_kept_is_asked_for_elsewhere():
    """It cannot be opened by what the run says of it."""
    assert refused(stored("--database-url", "postgresql://u:p@127.0.0.1/x")) == ""
