"""What a gateway says of itself, and what software made a bundle."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from soaklib.artifacts import provenance
from soaklib.artifacts.manifest import GatewayFacts
from soaklib.artifacts.provenance import gateway_facts, software


@pytest.fixture
def health():
    """Serve an answer of /health; give the server, whose `answer` and `seen` headers a test looks at."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.seen = dict(self.headers)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.answer)

        def log_message(self, *_):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answer, server.url = b"{}", f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def facts(url, known=None, headers=()):
    """Ask a gateway."""
    return gateway_facts(url, embedded=False, headers=dict(headers), ca_file=None, known=known)


def test_what_stays_the_same_is_kept_and_what_changes_is_not(health):
    """Version, platform and settings, by their path; not time, uptime, memory or process id."""
    health.answer = json.dumps(
        {
            "ok": True, "timestamp": "2026-11-24T08:00:00Z", "uptime": 5, "memory": {"used": 1},
            "process": {"pid": 7, "version": "v22.1.0", "platform": "linux"}, "settings": {"cbFailThreshold": 5},
        }
    ).encode()  # fmt: skip
    told = facts(health.url, headers=[("X-Admin-Token", "open sesame")])
    assert told.facts == {
        "process.version": "v22.1.0", "process.platform": "linux", "settings.cbFailThreshold": 5,
    }  # fmt: skip
    assert told.detail == (
        "as its /health says: process.version v22.1.0, process.platform linux, settings.cbFailThreshold 5"
    )
    assert health.seen["X-Admin-Token"] == "open sesame"


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"ok": true}'])
def test_a_gateway_that_says_nothing_of_itself(health, answer):
    """That is said."""
    health.answer = answer
    assert (facts(health.url).facts, facts(health.url).detail) == (
        {}, "its /health says nothing of its version or settings",
    )  # fmt: skip


def test_what_was_known_stays_when_the_gateway_is_gone(health):
    """An earlier bundle knew it; without one it is said why nothing is known."""
    health.answer = b"<html>"
    known = GatewayFacts(target=health.url, embedded=False, facts={"version": "1"}, detail="as before")
    assert facts(health.url, known=known) == known
    assert facts(health.url).detail.startswith("its /health told nothing when the bundle was made: Expecting value")
    assert "Connection refused" in facts("http://127.0.0.1:1").detail


def test_the_software_is_named_by_what_it_is_made_of():
    """Versions of what is installed, and a digest that two equal sources share."""
    made_with = software()
    assert made_with == software()
    assert {"duckdb", "polars", "aiohttp"} <= made_with.packages.keys()
    assert "soaklib" not in made_with.packages
    assert len(made_with.source_sha256) == 64


def test_a_changed_plan_or_template_is_another_software(monkeypatch, tmp_path):
    """Not only code decides what is sent and what is said."""
    (tmp_path / "artifacts").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "artifacts" / "provenance.py"))
    (tmp_path / "default_plan.toml").write_text("rps = 1")
    before = provenance._source_sha256()
    (tmp_path / "default_plan.toml").write_text("rps = 2")
    assert provenance._source_sha256() != before
