"""The guard clears chaos when its runner is gone, and only then."""

import http.server
import json
import subprocess
import sys
import threading

import pytest


@pytest.fixture
def gateway():
    """A server that remembers what it is asked to DELETE, and with which headers."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_DELETE(self):
            asked.append((self.path, self.headers.get("X-Admin-Token")))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Be silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server.asked = asked
        yield server
        server.shutdown()
        thread.join()


def guard(*lines):
    """Run the guard on these lines of input, after which the pipe ends; give its exit code and standard error."""
    ended = subprocess.run(
        [sys.executable, "-m", "soaklib.runner.guard"],
        input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return ended.returncode, ended.stderr


def order(url, *, dies_with_runner=False):
    return json.dumps(
        {"url": url, "headers": {"X-Admin-Token": "t"}, "ca_file": None, "dies_with_runner": dies_with_runner}
    )


def test_chaos_is_cleared_when_the_pipe_ends_without_a_word(gateway):
    """The runner was killed: the chaos is deleted with the headers it was told."""
    url = f"http://127.0.0.1:{gateway.server_address[1]}/api/admin/chaos/tool/openai"
    assert guard(order(url)) == (0, "")
    assert gateway.asked == [("/api/admin/chaos/tool/openai", "t")]


def test_nothing_is_done_when_the_runner_says_that_it_is_done(gateway):
    """The runner switched it off itself."""
    url = f"http://127.0.0.1:{gateway.server_address[1]}/api/admin/chaos/tool/openai"
    assert guard(order(url), "done") == (0, "")
    assert gateway.asked == []


def test_a_gateway_that_died_with_its_runner_is_let_be():
    """Nobody answers, and nothing is left to clear."""
    assert guard(order("http://127.0.0.1:9/x", dies_with_runner=True)) == (0, "")
