"""LiteLLM's custom auth: keys of ``keys.json``, and a route that changes their limits, since there is no database.

``PATCH /soak/keys/{alias}`` with the master key sets fields of a key (``{"rpm_limit": 60}``; null takes one away), and
``DELETE`` gives it back what the file says. Both are in force at the next call, and may be sent twice.
"""

import json
import os
import secrets
from pathlib import Path

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.proxy_server import app

_KEYS = json.loads((Path(__file__).parent / "keys.json").read_text())
_CHANGED = {}


async def user_api_key_auth(_request, api_key):
    """Give what a key may do; the exception's text is what its caller is told."""
    key = (api_key or "").removeprefix("Bearer ")
    if key not in _KEYS:
        msg = "unknown key"
        raise Exception(msg)  # noqa: TRY002 - any exception is a 401 to LiteLLM
    fields = _KEYS[key] | _CHANGED.get(_KEYS[key]["key_alias"], {})
    return UserAPIKeyAuth(api_key=key, **{name: value for name, value in fields.items() if value is not None})


def _need_master(request):
    given = request.headers.get("x-master-key", "")
    if not secrets.compare_digest(given, os.environ["SOAK_LITELLM_MASTER_KEY"]):
        raise HTTPException(status_code=401, detail="the master key is needed")


def _need_alias(alias):
    if alias not in {fields["key_alias"] for fields in _KEYS.values()}:
        raise HTTPException(status_code=404, detail=f"no key is called {alias}")


@app.patch("/soak/keys/{alias}")
async def change(alias: str, request: Request):
    """Set fields of a key."""
    _need_master(request)
    _need_alias(alias)
    _CHANGED[alias] = await request.json()
    return _CHANGED[alias]


@app.delete("/soak/keys/{alias}")
async def undo(alias: str, request: Request):
    """Give a key back what the file says."""
    _need_master(request)
    _need_alias(alias)
    _CHANGED.pop(alias, None)
    return {}
