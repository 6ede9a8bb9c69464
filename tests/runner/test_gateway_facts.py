"""What the gateway says of itself, kept by the run."""

import json

import pytest
from plain_server import Quiet, serving

from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.gateway_facts import ask_gateway


@pytest.fixture
def health():
    """Serve an answer of /health; give the server, whose `answer` and `seen` headers a test looks at."""

    class Handler(Quiet):
        def do_GET(self):  # noqa: N802 - the name that http.server calls
            self.server.seen = dict(self.headers)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.answer)

    with serving(Handler, answer=b"{}") as server:
        yield server


def ask(url, *flags):
    """Ask a gateway as a run does."""
    return ask_gateway(load_settings(["--gateway-url", url, *flags]), load_plan(), url)


def test_what_stays_the_same_is_kept_and_what_changes_is_not(health):
    """Version, platform and settings, by their path; not time, uptime, memory or process id."""
    health.answer = json.dumps(
        {
            "ok": True, "timestamp": "2026-11-24T08:00:00Z", "uptime": 5, "memory": {"used": 1},
            "process": {"pid": 7, "version": "v22.1.0", "platform": "linux"}, "settings": {"cbFailThreshold": 5},
            "regions": ["a", "b"],
        }
    ).encode()  # fmt: skip
    assert ask(health.url) == {
        "facts": {
            "process.version": "v22.1.0", "process.platform": "linux", "settings.cbFailThreshold": 5,
            "regions": '["a","b"]',
        },
        "detail": "as its /health says: process.version v22.1.0, process.platform linux, settings.cbFailThreshold 5, "
        'regions ["a","b"]',
    }  # fmt: skip


def test_it_is_asked_as_the_load_goes(health, monkeypatch):
    """With its headers, and past every proxy; what it echoes of them is not kept."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("GATEWAY_AUTH", "Bearer of-good-news")
    monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", "open sesame")
    health.answer = b'{"you": "Bearer of-good-news", "token": "open sesame", "version": "\\u001b[31m1"}'
    told = ask(health.url, "--header-env", "Authorization=GATEWAY_AUTH")
    assert health.seen["Authorization"] == "Bearer of-good-news"
    assert "X-Admin-Token" not in health.seen
    assert told["facts"] == {"you": "***", "token": "***", "version": "\ufffd[31m1"}


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"ok": true}'])
def test_a_gateway_that_says_nothing_of_itself(health, answer):
    """That is said."""
    health.answer = answer
    assert ask(health.url) == {"facts": {}, "detail": "its /health says nothing of its version or settings"}


@pytest.mark.parametrize("answer", [b"<html>", b'{"x": "' + b"y" * 70_000 + b'"}', b"[" * 5000])
def test_an_answer_that_is_none_is_told(health, answer):
    """It costs nothing but the facts."""
    health.answer = answer
    told = ask(health.url)
    assert told["facts"] == {}
    assert told["detail"].startswith("its /health told nothing: ")


def test_a_gateway_that_is_not_there_is_told():
    """With the reason."""
    assert "Connection refused" in ask("http://127.0.0.1:1")["detail"]
