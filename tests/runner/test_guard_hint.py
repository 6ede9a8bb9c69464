"""What the guard says that a person has to do, where it could not take something back itself."""

import io
import json
import shlex
import sys

import pytest

from soaklib.runner import guard
from soaklib.runner.guard import Order


@pytest.fixture
def said(monkeypatch, capsys):
    """Give what the guard says of orders of which none could be taken back."""

    def told(*orders):
        lines = "".join(f"{json.dumps(order._asdict())}\n" for order in orders)
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        monkeypatch.setattr(guard.signal, "signal", lambda *_: None)
        monkeypatch.setattr(guard, "_problem", lambda _order: "answered with 503")
        monkeypatch.setattr(guard, "_GIVES_UP_AFTER_S", 0.0)
        assert guard.main() == 1
        return capsys.readouterr().err.splitlines()

    return told


def test_the_request_is_told_whole_and_nothing_that_is_secret(said):
    """A shell takes it as it is; what headers hold is left to whoever knows it."""
    headers = {"Authorization": "Bearer hush", "X-Team": "o'blue", "content-type": "application/json"}
    body = json.dumps({"key_aliases": ["o'ne $HOME"]})
    order = Order("https://g/key/delete?a={b}", headers, "/etc/own ca.pem", False, "POST", body)
    [line] = said(order)
    assert "hush" not in line
    assert "blue" not in line
    told, command = line.split("; do so with: ")
    assert told == "soaklib: it may not be taken back (answered with 503)"
    command, meant = command.rsplit(", and with your own values", 1)
    assert meant == " in place of ***"
    assert shlex.split(command) == [
        "curl", "--noproxy", "*", "--globoff", "-X", "POST", "https://g/key/delete?a={b}", "-H", "Authorization: ***",
        "-H", "X-Team: ***", "-H", "content-type: application/json", "--data-raw", body, "--cacert", "/etc/own ca.pem",
    ]  # fmt: skip


def test_what_one_route_takes_back_is_told_each_by_its_body(said):
    """Neither has the place of the other."""
    orders = [Order("http://g/x", {}, None, dies_with_runner=False, method="POST", body=body) for body in "ab"]
    assert [shlex.split(line)[-1] for line in said(*orders)] == ["a", "b"]


def test_a_password_in_an_address_is_not_shown(said):
    """A control route somewhere else may be named with one."""
    [line] = said(Order("http://soak:hush@up:9/control", {}, None, dies_with_runner=False))
    assert "-X DELETE 'http://soak:***@up:9/control', and with your own values in place of ***" in line
