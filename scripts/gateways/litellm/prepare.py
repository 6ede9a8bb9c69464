"""Warms LiteLLM up: its first chat takes half a second and 12 MB, its first stream 40 MB, and neither is a drift."""

import json
import os
import urllib.request

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ASKED = (("SOAK_LITELLM_KEY_A", "fast"), ("SOAK_LITELLM_KEY_B", "second"), ("SOAK_LITELLM_KEY_LIMITED", "limited"))

for variable, model in _ASKED:
    for is_stream in (False, True):
        body = {"model": model, "stream": is_stream, "messages": [{"role": "user", "content": "warm up"}]}
        request = urllib.request.Request(  # noqa: S310 - the gateway on the loopback
            os.environ["GATEWAY_URL"] + "/v1/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {os.environ[variable]}", "Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=30) as answer:
            answer.read()
print("{}")
