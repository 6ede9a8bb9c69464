"""Lets ContextForge know its upstream and a REST tool, and puts all tools into one virtual server whose id is known."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

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
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{method} {path} was answered with {refusal.code}: {refusal.read().decode()}")


def tools_of(token, wanted):
    """Give the tools' ids once there are as many as wanted: it lists an upstream's tools a moment after it knows it."""
    for _ in range(50):
        tools = {one["name"]: one["id"] for one in ask("GET", "/tools", token=token)}
        if len(tools) >= wanted:
            return tools
        time.sleep(0.2)  # ContextForge lists what it was told of a moment later
    sys.exit(f"it lists no more tools than {', '.join(tools)}")


def expired(token):
    """Give a copy of a token that ran out a day ago, signed as the gateway signs."""
    head, body, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims |= {"exp": claims["iat"] - 86_400, "iat": claims["iat"] - 172_800, "jti": "soak-expired"}
    key = tomllib.loads(Path("gateway.toml").read_text())["environment"]["JWT_SECRET_KEY"]
    signed = f"{head}.{_coded(json.dumps(claims).encode())}"
    return f"{signed}.{_coded(hmac.digest(key.encode(), signed.encode(), hashlib.sha256))}"


def _coded(text):
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def main():
    """Make them."""
    login = {"email": os.environ["SOAK_CONTEXTFORGE_EMAIL"], "password": os.environ["SOAK_CONTEXTFORGE_PASSWORD"]}
    token = ask("POST", "/auth/login", login)["access_token"]
    upstream = {"name": "upstream", "url": f"{UPSTREAM}/mcp", "transport": "STREAMABLEHTTP"}
    ask("POST", "/gateways", upstream, token)
    rest = {
        "name": "rest-post", "url": f"{UPSTREAM}/rest/post", "integration_type": "REST", "request_type": "POST",
        "input_schema": TEXT,
    }  # fmt: skip
    ask("POST", "/tools", {"tool": rest}, token)
    tools = tools_of(token, 4)
    server = {"id": SERVER_ID, "name": "soak", "description": "all tools", "associated_tools": list(tools.values())}
    ask("POST", "/servers", {"server": server}, token)
    left = ask("POST", "/tokens", {"name": f"soak-revoked-{time.time_ns()}", "expires_in_days": 1}, token)
    ask("DELETE", f"/tokens/{left['token']['id']}", token=token)
    secrets = {"EXPIRED": expired(left["access_token"]), "REVOKED": left["access_token"], "UNKNOWN": "soak-unknown"}
    print(json.dumps({f"SOAK_CONTEXTFORGE_TOKEN_{name}": secret for name, secret in secrets.items()}))


if __name__ == "__main__":
    main()
