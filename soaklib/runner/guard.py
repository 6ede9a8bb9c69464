"""Takes changes back, chaos above all, when the runner is killed before it could do so itself.

``python -m soaklib.runner.guard`` is started with the first thing that would outlive the runner. Its standard input is
a pipe from the runner (:mod:`soaklib.runner.chaos_guard`). A line of JSON says what to ask for should that be gone:
``url``, ``headers``, ``ca_file``, ``dies_with_runner``, where it is no DELETE ``method`` and ``body``, and ``journal``
with the ``path`` as that has it. ``done NAME`` (see :attr:`Order.name`) takes one back, ``done`` all. The end of the
pipe without ``done`` means that the runner is gone: the guard then takes back what is left, and whatever is answered in
the meantime, it tries for ten minutes; but no longer than until the journal of what the run owes has it no more, or
anew: a runner that has resumed the run has taken it back, and what that makes next is its own. Standard library only:
it must start fast and not fail.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from soaklib.safety.reaching import USER_AGENT, tls_context
from soaklib.safety.redaction import MASK, mask_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["DONE", "Order", "ask", "clear_all", "read_orders"]

DONE: Final = "done"
_GIVES_UP_AFTER_S: Final = 600.0
_FIRST_PAUSE_S: Final = 0.5
_MOST_PAUSE_S: Final = 15.0
_TRY_WITHIN_S: Final = 10.0
_MOST_HEAD_BYTES: Final = 64 << 10
_PLAIN_HEADERS: Final = frozenset({"accept", "content-type"})  # any other may hold a secret
_FINAL_STATUS: Final = re.compile(
    rb"(?:HTTP/1\.[01] 1\d\d[^\n]*\n(?:[^\r\n][^\n]*\n)*\r?\n)*HTTP/1\.[01] ([2-5]\d\d)\b[^\n]*\n"
)
"""The status of an answer, after any interim ones (100 Continue, 103 Early Hints)."""


class Order(NamedTuple):
    """What to ask for so that a change is taken back, and what that needs."""

    url: str
    headers: Mapping[str, str]
    ca_file: str | None
    dies_with_runner: bool
    method: str = "DELETE"
    body: str | None = None
    journal: str | None = None
    path: str | None = None
    """As the journal has it: the URL is quoted."""

    @property
    def name(self) -> str:
        """What it is called when it is taken back: its URL, with the method before it where it is no DELETE.

        Behind it stands the digest of a body: two changes may be taken back by one route, each by a body of its own.
        """
        where = self.url if self.method == "DELETE" else f"{self.method} {self.url}"
        return where if self.body is None else f"{where} {hashlib.sha256(self.body.encode()).hexdigest()}"


def ask(order: Order) -> int:
    """Send the request on a connection of its own, straight to the gateway; give the status of the answer.

    Raises
    ------
    OSError
        There was no answer.
    SettingsError
        The file with the authorities cannot be used.
    """
    parts = urlsplit(order.url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    ends_s = time.monotonic() + _TRY_WITHIN_S
    with socket.create_connection((host, parts.port or (443 if is_tls else 80)), _TRY_WITHIN_S) as plain:
        wire = tls_context(order.ca_file).wrap_socket(plain, server_hostname=host) if is_tls else plain
        with wire:
            wire.sendall(_request(order))
            return _status(wire, ends_s)


def _request(order: Order) -> bytes:
    parts = urlsplit(order.url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": USER_AGENT} | dict(order.headers) | {"Host": parts.netloc, "Connection": "close"}
    body = b"" if order.body is None else order.body.encode()
    if order.body is not None:
        headers |= {"Content-Length": str(len(body))}
    lines = (f"{order.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()))
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body


def _status(wire: socket.socket, ends_s: float) -> int:
    """Read as much as it takes to know the status."""
    said = b""
    while (match := _FINAL_STATUS.match(said)) is None:
        wire.settimeout(max(0.001, ends_s - time.monotonic()))
        chunk = wire.recv(4096)
        if not chunk or len(said) > _MOST_HEAD_BYTES or time.monotonic() > ends_s:
            msg = "what was answered is no HTTP"
            raise ConnectionError(msg)
        said += chunk
    return int(match[1])


def read_orders(lines: Iterable[str]) -> list[Order]:
    """Read what the runner says until it is gone or done; give what is left to clear."""
    orders: dict[str, Order] = {}
    for line in lines:
        word, _, name = line.strip().partition(" ")
        if word == DONE and not name:
            return []
        if word == DONE:
            orders.pop(name, None)
        elif line.endswith("\n"):  # else the runner was killed as it wrote it, before it switched anything on
            order = Order(**json.loads(line))
            orders[order.name] = order
    return list(orders.values())


def clear_all(
    orders: list[Order], *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> list[tuple[Order, str]]:
    """Try until everything is cleared, with growing pauses; give what is not after ten minutes, and why."""
    pause_s, gives_up_at_s = _FIRST_PAUSE_S, now() + _GIVES_UP_AFTER_S
    debts = {order.name: _debt_of(order) for order in orders}
    while True:
        own = [order for order in orders if not _is_another_runners(order, debts[order.name])]
        tried = [(order, _problem(order)) for order in own]
        # a gateway of the runner's own is gone with it, and its chaos as well: there it is enough to have tried
        left = [(order, problem) for order, problem in tried if problem is not None and not order.dies_with_runner]
        if not left or now() + pause_s > gives_up_at_s:
            return left
        sleep(pause_s)
        orders, pause_s = [order for order, _ in left], min(pause_s * 2, _MOST_PAUSE_S)


def _owed(journal: str | None) -> list[dict[str, object]] | None:
    """Give what a journal says is owed; None where nobody knows."""
    if journal is None:
        return None
    try:
        return list(json.loads(Path(journal).read_bytes())["owed"])
    except FileNotFoundError:
        return [] if Path(journal).parent.is_dir() else None  # a run that is gone takes nothing back
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _debt_of(order: Order) -> dict[str, object] | None:
    """Give what a journal says of an order, as of now; None for one that it says nothing of."""
    said = order.method, order.path, order.body
    owed = _owed(order.journal) or ()
    return next((debt for debt in owed if (debt.get("method"), debt.get("path"), debt.get("body")) == said), None)


def _is_another_runners(order: Order, debt: dict[str, object] | None) -> bool:
    """Say whether what an order was to take back has been taken back by somebody else, be it made again or not."""
    owed = _owed(order.journal)
    return debt is not None and owed is not None and debt not in owed


def _problem(order: Order) -> str | None:
    """Try once; say what stood in the way, None when it is cleared."""
    try:
        status = ask(order)
    except Exception as exc:  # noqa: BLE001 - nobody else is left who could clear it: whatever it was, it is tried again
        return f"{type(exc).__name__}: {exc}"
    # chaos that the gateway does not know is none; a redirect is followed nowhere, least of all with the token
    return None if 200 <= status < 300 or status == 404 else f"answered with {status}"  # noqa: PLR2004 - HTTP's classes


def _by_hand(order: Order) -> str:
    """Give the request as a person can send it, straight to the gateway; what its headers hold is masked."""
    words = ["curl", "--noproxy", "*", "--globoff", "-X", order.method, mask_url(order.url)]
    for name, value in order.headers.items():
        words += ["-H", f"{name}: {value if name.lower() in _PLAIN_HEADERS else MASK}"]
    if order.body is not None:
        words += ["--data-raw", order.body]
    if order.ca_file is not None:
        words += ["--cacert", order.ca_file]
    is_masked = any(MASK in word for word in words)
    return shlex.join(words) + (f", and with your own values in place of {MASK}" if is_masked else "")


def main() -> int:
    """Wait for the runner's end and clear up after it; 0 when nothing is left on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = clear_all(read_orders(sys.stdin))
    with contextlib.suppress(OSError):  # the terminal may be gone with the runner
        for order, problem in left:
            sys.stderr.write(f"soaklib: it may not be taken back ({problem}); do so with: {_by_hand(order)}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
