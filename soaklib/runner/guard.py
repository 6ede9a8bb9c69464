"""Switches chaos off when the runner is killed before it could do so itself.

``python -m soaklib.runner.guard`` is started just before chaos is switched on. Its standard input is a pipe from the
runner: the first line says what to call, and the end of the pipe without the line ``done`` means that the runner is
gone. It then clears the chaos, trying for a while, and ends. Standard library only: it must start fast and not fail.
"""

from __future__ import annotations

import json
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from typing import Final

_TRIES: Final = 30
_PAUSE_S: Final = 2.0


def clear(url: str, headers: dict[str, str], ca_file: str | None) -> bool:
    """DELETE the URL; say whether the gateway confirmed (no chaos to clear counts as confirmed)."""
    request = urllib.request.Request(url, method="DELETE", headers=headers)  # noqa: S310 - http(s), checked by settings
    context = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:  # noqa: S310
            return bool(200 <= answer.status < 300)  # noqa: PLR2004 - success
    except urllib.error.HTTPError as exc:
        return exc.code == 404  # noqa: PLR2004 - the route or the tool is not there: nothing to clear
    except OSError:
        return False


def main() -> int:
    """Wait for the runner's end and clear up after it; 0 when nothing is left on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    if sys.stdin.readline().strip() == "done":
        return 0
    for attempt in range(_TRIES):
        if clear(order["url"], order["headers"], order["ca_file"]):
            return 0
        if order["dies_with_runner"]:
            return 0  # the embedded gateway is gone, and its chaos with it
        if attempt < _TRIES - 1:
            time.sleep(_PAUSE_S)
    sys.stderr.write(f"soaklib: chaos may still be on; clear it with: curl -X DELETE {order['url']}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
