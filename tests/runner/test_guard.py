"""The guard clears chaos when its runner is gone, and only then."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest
import trustme

from soaklib.errors import TargetError
from soaklib.runner.chaos_guard import ChaosGuard
from soaklib.runner.guard import DONE, Order, clear_all, read_orders
from soaklib.targets.base import Wire

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
TOOL = "/api/admin/chaos/tool/openai"

pytestmark = pytest.mark.slow


class Gateway:
    """A server that answers each connection as told, with 200 when nothing is left, and keeps what it was asked."""

    def __init__(self, *answers, tls=None):
        self.asked, self._answers, self._tls = [], list(answers), tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self):
        with contextlib.suppress(OSError):  # the listening socket is shut down
            while True:
                connection, _ = self._listening.accept()
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    self._answer(connection)

    def _answer(self, connection):
        with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as wire:
            said = b""
            while b"\r\n\r\n" not in said and (chunk := wire.recv(4096)):
                said += chunk
            line, *headers = said.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            self.asked.append((line, {name.lower(): value for name, _, value in (h.partition(": ") for h in headers)}))
            wire.sendall(self._answers.pop(0) if self._answers else OK)

    def lines(self):
        """Give the first lines of what was asked."""
        return [line for line, _ in self.asked]


def guard(*lines, **environment):
    """Run the guard on these lines of input, after which the pipe ends; give its exit code and standard error."""
    ended = subprocess.run(
        [sys.executable, "-m", "soaklib.runner.guard"], env=os.environ | environment,
        input="".join(line + "\n" for line in lines), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return ended.returncode, ended.stderr


def order(url, *, dies_with_runner=False, ca_file=None):
    return json.dumps(
        {"url": url, "headers": {"X-Admin-Token": "t"}, "ca_file": ca_file, "dies_with_runner": dies_with_runner}
    )


def test_chaos_is_cleared_when_the_pipe_ends_without_a_word():
    """The runner was killed: the chaos is deleted with the headers it was told, and the guard's name."""
    with Gateway() as gateway:
        assert guard(order(gateway.url + TOOL)) == (0, "")
    [(line, headers)] = gateway.asked
    assert line == f"DELETE {TOOL} HTTP/1.1"
    assert (headers["x-admin-token"], headers["user-agent"]) == ("t", f"soaklib/{version('soaklib')}")


def test_nothing_is_done_when_the_runner_says_that_it_is_done():
    """The runner switched it off itself."""
    with Gateway() as gateway:
        assert guard(order(gateway.url + TOOL), "done") == (0, "")
    assert gateway.asked == []


def test_several_urls_are_watched_and_each_is_taken_back_by_itself():
    """A plan may hold several changes with chaos."""
    with Gateway() as gateway:
        urls = [f"{gateway.url}/{name}" for name in "abc"]
        assert guard(*(order(url) for url in urls), f"done {urls[1]}") == (0, "")
    assert gateway.lines() == ["DELETE /a HTTP/1.1", "DELETE /c HTTP/1.1"]


def test_a_gateway_that_died_with_its_runner_is_let_be():
    """Nobody answers, and nothing is left to clear."""
    assert guard(order("http://127.0.0.1:9/x", dies_with_runner=True)) == (0, "")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/1.1 200", b"HTTP/1.1 xyz OK\r\n\r\n", b"\xff\xfe\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 401 Unauthorized\r\n\r\n",
        b"x" * (1 << 18),
    ],
)  # fmt: skip
def test_whatever_is_answered_it_is_tried_again_until_it_is_off(answer):
    """No HTTP, a half of it, an interim answer alone, a server error: the second try clears."""
    with Gateway(answer) as gateway:
        assert guard(order(gateway.url + TOOL)) == (0, "")
    assert gateway.lines() == [f"DELETE {TOOL} HTTP/1.1"] * 2


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"404 Not Found"])
def test_a_final_answer_after_interim_ones_is_the_answer(status):
    """100 and 103 come first, and once is enough; chaos that is not known is none."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    with Gateway(interim + b"HTTP/1.1 " + status + b"\r\n\r\n") as gateway:
        assert guard(order(gateway.url + TOOL)) == (0, "")
    assert len(gateway.asked) == 1


def test_a_redirect_is_not_followed_and_the_token_goes_nowhere_else():
    """Neither to another origin nor within its own: chaos that was not cleared is tried again."""
    with Gateway() as other:
        moved = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: " + other.url.encode() + b"/x\r\n\r\n"
        with Gateway(moved) as gateway:
            assert guard(order(gateway.url + TOOL)) == (0, "")
    assert (len(gateway.asked), other.asked) == (2, [])


def test_no_proxy_is_obeyed():
    """The gateway is asked, and the proxy sees nothing, least of all the admin token."""
    with Gateway() as proxy, Gateway() as gateway:
        variables = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"), proxy.url)
        assert guard(order(gateway.url + TOOL), **variables) == (0, "")
    assert (len(gateway.asked), proxy.asked) == (1, [])


def test_the_systems_authorities_are_trusted_beside_the_file(tmp_path):
    """As for the load: --ca-file adds to them."""
    systems, own = trustme.CA(), trustme.CA()
    for name, authority in (("systems", systems), ("own", own)):
        authority.cert_pem.write_to_path(tmp_path / name)
    for authority in (systems, own):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        with Gateway(tls=context) as gateway:
            line = order(gateway.url + TOOL, ca_file=str(tmp_path / "own"))
            assert guard(line, SSL_CERT_FILE=str(tmp_path / "systems")) == (0, "")
        assert gateway.lines() == [f"DELETE {TOOL} HTTP/1.1"]


# -- without a process


class _Time:
    """A clock that moves by what is slept."""

    def __init__(self):
        self.now_s, self.pauses = 0.0, []

    def now(self):
        return self.now_s

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now_s += seconds


def _order(url, **others):
    return Order(url, {}, None, **({"dies_with_runner": False} | others))


def test_it_gives_up_after_ten_minutes_with_growing_pauses():
    """What is left is told with its reason; the pauses grow to a quarter of a minute."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/x"
    time = _Time()
    [(left, problem)] = clear_all([_order(url)], now=time.now, sleep=time.sleep)
    assert left == _order(url)
    assert problem.startswith("ConnectionRefusedError: ")
    assert time.pauses[:7] == [0.5, 1, 2, 4, 8, 15, 15]
    assert 570 <= time.now_s <= 600


def test_a_file_with_authorities_that_is_gone_costs_a_try_and_no_more(tmp_path):
    """It may be put back; it is no traceback."""
    time = _Time()
    with Gateway() as gateway:
        left = clear_all(
            [Order(gateway.url.replace("http:", "https:"), {}, str(tmp_path / "gone"), dies_with_runner=False)],
            now=time.now, sleep=time.sleep,
        )  # fmt: skip
    assert [problem.startswith("SettingsError: --ca-file") for _, problem in left] == [True]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a", "b", "a"], ["a", "b"]),
        (["a", "done a"], []),
        (["a", "b", "done a"], ["b"]),
        (["a", "done b"], ["a"]),
        (["a", "b", "done"], []),
    ],
)
def test_what_is_left_when_the_runner_is_gone(lines, left):
    """Each URL once, without those that were taken back."""
    said = [f"{line}\n" if line.startswith(DONE) else f"{order(line)}\n" for line in lines]
    assert [one.url for one in read_orders(said)] == left


def test_what_is_no_delete_is_asked_for_as_it_was_told_and_taken_back_by_its_name():
    """A change by literal requests may have any method and a body; of two on one URL each is its own."""
    with Gateway() as gateway:
        put, post = ({**json.loads(order(f"{gateway.url}/x")), "method": m, "body": "a"} for m in ("PUT", "POST"))
        assert guard(json.dumps(put), json.dumps(post), f"done {Order(**post).name}") == (0, "")
    [(line, headers)] = gateway.asked
    assert (line, headers["content-length"]) == ("PUT /x HTTP/1.1", "1")


def test_what_is_taken_back_by_one_route_is_told_apart_by_its_bodies():
    """Of two such changes neither takes the place of the other, and each is taken back by itself."""
    on, off = (_order("http://g/x", method="POST", body=body) for body in ('{"a": 1}', '{"b": 2}'))
    said = [f"{json.dumps(one._asdict())}\n" for one in (on, off)]
    assert read_orders(said) == [on, off]
    assert read_orders([*said, f"done {on.name}\n"]) == [off]


def test_a_line_that_was_cut_off_is_none():
    """The runner was killed as it wrote it, and had switched nothing on."""
    assert read_orders([f"{order('a')}\n", order("b")[:20]]) == [_order("a")._replace(headers={"X-Admin-Token": "t"})]


# -- the runner's end


def _guarding(url):
    return ChaosGuard(url, {"X-Admin-Token": "t"}, ca_file=None, dies_with_runner=False)


@pytest.mark.parametrize(
    ("path", "dies"),
    [
        ("/api/x", True),
        ("http://127.0.0.1:9/api/x", True),
        ("http://127.0.0.1:10/__upstream__", False),
        ("http://upstream:9/__upstream__", False),
    ],
)
def test_only_what_is_asked_of_the_runners_own_gateway_dies_with_it(path, dies):
    """An upstream that stands elsewhere is left as it was told to behave: it is tried until it has taken that back."""
    watching = ChaosGuard("http://127.0.0.1:9", {}, ca_file=None, dies_with_runner=True)
    assert watching._order(Wire("DELETE", path, {}, None)).dies_with_runner is dies
    watching = ChaosGuard("http://127.0.0.1:9", {}, ca_file=None, dies_with_runner=False)
    assert not watching._order(Wire("DELETE", path, {}, None)).dies_with_runner


def test_one_guard_watches_over_all_until_the_last_is_dismissed():
    """It is one process, it ends by itself, and it has nothing to clear."""

    async def main():
        watching = _guarding(gateway.url)
        await watching.watch(Wire("DELETE", "/a", {}, None))
        process = watching._process
        await watching.watch(Wire("DELETE", "/b", {}, None))
        assert watching._process is process
        await watching.dismiss(Wire("DELETE", "/a", {}, None))
        assert process.poll() is None
        await watching.dismiss(Wire("DELETE", "/b", {}, None))
        assert process.returncode == 0
        await watching.dismiss()

    with Gateway() as gateway:
        asyncio.run(main())
    assert gateway.asked == []


def test_a_guard_that_was_killed_is_started_again_with_everything_it_watched():
    """The next change with chaos is watched, and the one before it."""

    async def main():
        watching = _guarding(gateway.url)
        await watching.watch(Wire("DELETE", "/a", {}, None))
        watching._process.kill()
        watching._process.wait()
        watching._process.stdin.close()
        await watching.watch(Wire("DELETE", "/b", {}, None))
        watching._process.stdin.close()  # as when the runner is killed
        assert await asyncio.to_thread(watching._process.wait, 30) == 0

    with Gateway() as gateway:
        asyncio.run(main())
    assert sorted(gateway.lines()) == ["DELETE /a HTTP/1.1", "DELETE /b HTTP/1.1"]


def test_a_guard_that_cannot_be_started_keeps_the_chaos_from_being_switched_on(monkeypatch):
    """With a sentence."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(TargetError, match="guards the chaos cannot be started: No such file"):
        asyncio.run(_guarding("http://127.0.0.1:9").watch(Wire("DELETE", "/a", {}, None)))


RUNNER = """
import asyncio, sys
from soaklib.runner.chaos_guard import ChaosGuard
from soaklib.targets.base import Wire

async def main():
    guard = ChaosGuard(sys.argv[1], {}, ca_file=None, dies_with_runner=False)
    await guard.watch(Wire("DELETE", sys.argv[2], {}, None))
    if sys.argv[3] == "stay":
        print("watched", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["group", "orderly"])
def test_the_guard_outlives_its_runner(end):
    """Its process group is killed, or it ends with chaos that it could not switch off: the guard does."""
    with Gateway() as gateway:
        runner = subprocess.Popen(
            [sys.executable, "-c", RUNNER, gateway.url, TOOL, "stay" if end == "group" else "go"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if end == "group":
            assert runner.stdout.readline() == b"watched\n"
            os.killpg(runner.pid, signal.SIGKILL)
        runner.communicate(timeout=60)  # standard error ends with the guard, which has it too
    assert gateway.lines() == [f"DELETE {TOOL} HTTP/1.1"]
