"""The aiohttp application: the routes, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from soaklib.gateway.clock import Clock
from soaklib.gateway.database import database_from_url
from soaklib.gateway.request_log import RequestLog
from soaklib.gateway.settings import GatewaySettings
from soaklib.gateway.state import Gateway
from soaklib.gateway.wire.admin import ChaosRoutes, CredentialRoutes, guarded
from soaklib.gateway.wire.answers import route_not_found
from soaklib.gateway.wire.bodies import MAX_BODY_BYTES
from soaklib.gateway.wire.health import HealthRoutes
from soaklib.gateway.wire.identities import IdentityRoutes
from soaklib.gateway.wire.policies import PolicyRoutes
from soaklib.gateway.wire.proxy import ProxyRoutes

GATEWAY = web.AppKey("gateway", Gateway)
"""Where an application keeps its gateway."""

_LEAK_EVERY_S = 0.5


def create_app(settings: GatewaySettings, *, clock: Clock | None = None) -> web.Application:
    """Make a gateway.

    Parameters
    ----------
    settings
        What it is made with.
    clock
        The sources of time; by default the real ones at the speed of the settings.

    Returns
    -------
    aiohttp.web.Application
        Ready to be served. Starting it opens the database and raises `DatabaseError` when that fails; its
        gateway is ``app[GATEWAY]``.
    """
    request_log = RequestLog(database_from_url(settings.database_url))
    gateway = Gateway(settings, request_log, clock or Clock(speed=settings.speed))
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[GATEWAY] = gateway
    app.add_routes(_routes(gateway))
    app.cleanup_ctx.append(_request_log)
    app.cleanup_ctx.append(_clockwork)
    return app


def _routes(gateway: Gateway) -> list[web.RouteDef]:
    health, proxy, identities = HealthRoutes(gateway), ProxyRoutes(gateway), IdentityRoutes(gateway)
    policies, chaos, credentials = PolicyRoutes(gateway), ChaosRoutes(gateway), CredentialRoutes(gateway)
    open_routes = [
        web.post("/api/proxy-request", proxy.proxy_request),
        web.get("/health", health.health),
        web.get("/ready", health.ready),
        web.get("/metrics", health.metrics),
        web.post("/api/create-agent", identities.create_agent),
        web.get("/api/agents", identities.list_agents),
        web.get("/api/agents/{agent_id}", identities.show_agent),
        web.post("/api/generate-token", identities.generate_token),
        web.get("/api/tokens/{agent_id}", identities.list_tokens),
        web.get("/api/policies", policies.list),
        web.get("/api/policies/merged/{agent_id}", policies.merged),
        web.get("/api/policies/{policy_id}", policies.show),
        web.get("/api/policy-logs", policies.logs),
        web.get("/api/proxy/status", proxy.status),
        web.get("/api/proxy/logs", proxy.logs),
    ]
    admin_routes = [
        ("POST", "/api/policies", policies.create),
        ("PATCH", "/api/policies/{policy_id}", policies.change),
        ("DELETE", "/api/policies/{policy_id}", policies.delete),
        ("POST", "/api/admin/chaos/tool", chaos.inject),
        ("DELETE", "/api/admin/chaos/tool/{tool}", chaos.clear),
        ("GET", "/api/admin/chaos", chaos.show),
        ("POST", "/api/admin/creds/set", credentials.add),
        ("POST", "/api/admin/creds/activate", credentials.activate),
        ("GET", "/api/admin/creds", credentials.list),
        ("GET", "/api/admin/creds/{tool}", credentials.show_active),
        ("GET", "/api/admin/creds/{tool}/versions", credentials.versions),
        ("DELETE", "/api/admin/creds/{tool}", credentials.delete),
        ("GET", "/api/admin/tokens", identities.list_registry),
        ("POST", "/api/admin/tokens/{token_id}/revoke", identities.revoke),
    ]
    token = gateway.settings.admin_token
    return [
        *open_routes,
        *(web.route(method, path, guarded(handler, token)) for method, path, handler in admin_routes),
        # Last: it also takes a known path with another method, which is a 404 there and not a 405.
        web.route("*", "/{path:.*}", route_not_found),
    ]


async def _request_log(app: web.Application) -> AsyncIterator[None]:
    request_log = app[GATEWAY].request_log
    request_log.start()
    yield
    await asyncio.get_running_loop().run_in_executor(None, request_log.close)


async def _clockwork(app: web.Application) -> AsyncIterator[None]:
    """Run the faults that go by the clock, if there are any."""
    gateway = app[GATEWAY]
    plan = gateway.faults.plan
    tasks: list[asyncio.Task[None]] = []
    if plan.leak_mb_per_hour:
        tasks.append(asyncio.create_task(_leak(gateway)))
    if plan.restart_at is not None:
        tasks.append(asyncio.create_task(_restart(gateway, plan.restart_at)))
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _leak(gateway: Gateway) -> None:
    while True:
        gateway.leak.grow_to(gateway.faults.leaked_bytes())
        await gateway.clock.sleep(_LEAK_EVERY_S)


async def _restart(gateway: Gateway, restart_at_s: float) -> None:
    await gateway.clock.sleep(gateway.clock.wall_s(restart_at_s))
    gateway.restart()
