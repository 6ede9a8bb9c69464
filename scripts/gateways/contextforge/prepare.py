"""Lets ContextForge know its upstream and a REST tool, and puts all tools into one virtual server whose id is known."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

GATEWAY, UPSTREAM = os.environ["GATEWAY_URL"], os.environ["UPSTREAM_URL"]
SERVER_ID = "50a450a450a440008000000000000001"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(method, path, body=None, token=None):
    """Send JSON, give the JSON of the answer."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, headers, method=method)  # noqa: S310 - our own http URL
    try:
        with _OPENER.open(request, timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{method} {path} was answered with {refusal.code}: {refusal.read().decode()}")


def tools_of(token, wanted):
    """Give the tools' ids once there are as many as wanted: it lists an upstream's tools a moment after it knows it."""
    for _ in range(50):
        tools = {one["name"]: one["id"] for one in ask("GET", "/tools", token=token)}
        if len(tools) >= wanted:
            return tools
        time.sleep(0.2)
    sys.exit(f"it lists no more tools than {', '.join(tools)}")


def main():
    """Make them."""
    login = {"email": os.environ["SOAK_CONTEXTFORGE_EMAIL"], "password": os.environ["SOAK_CONTEXTFORGE_PASSWORD"]}
    token = ask("POST", "/auth/login", login)["access_token"]
    upstream = {"name": "upstream", "url": f"{UPSTREAM}/mcp", "transport": "STREAMABLEHTTP"}
    gateway = ask("POST", "/gateways", upstream, token)
    rest = {
        "name": "rest-post", "url": f"{UPSTREAM}/rest/post", "integration_type": "REST", "request_type": "POST",
        "input_schema": TEXT,
    }  # fmt: skip
    ask("POST", "/tools", {"tool": rest}, token)
    tools = tools_of(token, 4)
    server = {"id": SERVER_ID, "name": "soak", "description": "all tools", "associated_tools": list(tools.values())}
    ask("POST", "/servers", {"server": server}, token)
    print(json.dumps({"SOAK_CONTEXTFORGE_UPSTREAM_ID": gateway["id"]}))


if __name__ == "__main__":
    main()
