"""The mock upstreams. They answer at once; all they can do wrong is asked for by a fault, by chaos or by the caller.

A caller's mistake that the parameter check lets through reaches the mock, as there: a chat without ``input`` fails
in it, is answered 502 and counts as a failure of the tool. Repeated, it opens the tool's breaker, which makes it a
way to open one over the wire.
"""

import random
from collections.abc import Callable, Mapping

from soaklib.gateway.clock import Clock, iso_utc

TOOL_ACTIONS: dict[str, tuple[str, ...]] = {
    "serpapi": ("search",),
    "http_fetch": ("get", "head"),
    "openai": ("chat",),
    "gmail_send": ("send",),
}
"""The tools and what each can do."""

CACHE_TTL_S = {("serpapi", "search"): 60.0, ("http_fetch", "get"): 30.0, ("http_fetch", "head"): 30.0}
"""Soak seconds for which an answer is kept; other answers are not."""

MOCK_FAILURE = "mock 503"
"""How a mock that fails says so; it asks for a retry."""

Answer = dict[str, object]
Params = Mapping[str, object]


class UpstreamError(Exception):
    """An attempt that failed; its text is what the caller sees in ``details``."""


class Tools:
    """The mocks.

    Parameters
    ----------
    seed
        Seed of the run.
    clock
        Gives the time in answers.
    fail_pct
        Percentage of attempts that fail with ``mock 503``.
    """

    def __init__(self, *, seed: int, clock: Clock, fail_pct: float = 0.0) -> None:
        self._clock = clock
        self._fail_ratio = fail_pct / 100.0
        # Not cryptographic, on purpose: a rehearsal has to be repeatable.
        self._generators = {tool: random.Random(f"{seed}:tool:{tool}") for tool in TOOL_ACTIONS}  # noqa: S311 - as said
        self._mocks: dict[tuple[str, str], Callable[[Params], Answer]] = {
            ("serpapi", "search"): self._search,
            ("http_fetch", "get"): self._get,
            ("http_fetch", "head"): self._head,
            ("openai", "chat"): self._chat,
            ("gmail_send", "send"): self._send,
        }

    def call(self, tool: str, action: str, params: Params) -> Answer:
        """Make one attempt.

        Raises
        ------
        UpstreamError
            When the attempt fails.
        """
        if self._fail_ratio and self._generators[tool].random() < self._fail_ratio:
            raise UpstreamError(MOCK_FAILURE)
        return self._mocks[tool, action](params)

    def _search(self, params: Params) -> Answer:
        query = params.get("q") or params["query"]
        number = params.get("num")
        count = min(int(number), 10) if isinstance(number, int | float) else 3
        results = [
            {"title": f"Result {rank} for {query}", "url": f"https://example.com/{rank}"}
            for rank in range(1, count + 1)
        ]
        return {"source": "serpapi-mock", "query": query, "results": results, "ts": iso_utc(self._clock.wall())}

    def _get(self, params: Params) -> Answer:
        body = f"<html><body>mock of {params['url']}</body></html>"
        headers = {"content-type": "text/html"}
        return {"url": params["url"], "status": 200, "headers": headers, "body": body, "bytes": len(body.encode())}

    def _head(self, params: Params) -> Answer:
        return {"url": params["url"], "status": 200, "headers": {"content-type": "text/html"}, "body": "", "bytes": 0}

    def _chat(self, params: Params) -> Answer:
        text = params.get("input")
        if not isinstance(text, str):
            message = "Cannot read properties of undefined (reading 'slice')"
            raise UpstreamError(message)
        model = params.get("model") or "gpt-3.5-turbo"
        return {"model": model, "output": f"SUMMARY: {text[:120]}", "tokens_est": (len(text) + 3) // 4}

    def _send(self, params: Params) -> Answer:
        text = params.get("text") or params["body"]
        return {
            "id": f"mock_{self._generators['gmail_send'].getrandbits(48):012x}",
            "to": params["to"],
            "status": "queued",
            "subject_len": len(str(params["subject"])),
            "body_len": len(str(text)),
        }
