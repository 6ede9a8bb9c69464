"""Which of the gateway's routes a plan needs, and whether they are there: asked by requests that can change nothing.

A POST or PATCH carries an empty object, which lacks what the route requires; a PATCH names a policy that is not there;
a DELETE names a tool that is not there and says that its empty body is JSON, which is refused before anything is done.
"""

from __future__ import annotations

import datetime as dt
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import TargetError
from soaklib.plan.changes import ChaosChange, CredentialsChange, PolicyChange
from soaklib.safety.foreign_text import plain_text
from soaklib.targets.clocks import about_clock
from soaklib.targets.fourrunr.api import ApiError

if TYPE_CHECKING:
    from soaklib.plan.changes import Change
    from soaklib.plan.model import Plan
    from soaklib.targets.fourrunr.api import GatewayApi, Reply

__all__ = ["Route", "check_routes", "routes_of"]

_NOWHERE: Final = "soaklib-route-check"
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Route(NamedTuple):
    """A route: method, path as it is asked for, and path as it is told."""

    method: str
    path: str
    told: str

    def __str__(self) -> str:
        return f"{self.method} {self.told}"


def _plain(method: str, path: str) -> Route:
    return Route(method, path, path)


_NEEDED: Final = (_plain("POST", "/api/create-agent"), _plain("POST", "/api/generate-token"))
"""What no soak can do without; the route for calls is not asked for, since a gateway may log what it refuses there."""
_POLICIES: Final = _plain("POST", "/api/policies")


def routes_of(change: Change) -> tuple[Route, ...]:
    """Give the routes that a scheduled change needs."""
    match change:
        case CredentialsChange():
            return _plain("POST", "/api/admin/creds/set"), _plain("POST", "/api/admin/creds/activate")
        case ChaosChange():
            return (
                _plain("POST", "/api/admin/chaos/tool"),
                Route("DELETE", f"/api/admin/chaos/tool/{_NOWHERE}", "/api/admin/chaos/tool/:tool"),
            )
        case PolicyChange():
            return _POLICIES, Route("PATCH", f"/api/policies/{_NOWHERE}", "/api/policies/:id")
    return ()


async def check_routes(api: GatewayApi, plan: Plan) -> tuple[dict[int, str], list[str]]:
    """Ask whether the routes are there that a soak needs.

    Returns
    -------
    dict of int to str
        What stands in the way of a change of the plan, by its place; none for a change whose routes are there.
    list of str
        What is missing beside the changes: without a route for policies the gateway must have its own, and without
        metrics there are no samples.

    Raises
    ------
    TargetError
        The gateway has no route for agents or tokens: no soak is possible.
    """
    answers: dict[Route, str | None] = {}

    async def problem(route: Route) -> str | None:
        if route not in answers:
            answers[route] = _problem(route, await api.try_route(route.method, route.path))
        return answers[route]

    for route in _NEEDED:
        if (await api.try_route(route.method, route.path)).is_missing:
            msg = f"the gateway at {api.base_url} cannot be used: it has no {route}"
            raise TargetError(msg)
    hindered: dict[int, str] = {}
    for number, change in enumerate(plan.changes):
        if problems := [text for route in routes_of(change) if (text := await problem(route))]:
            hindered[number] = problems[0]
    policies = await problem(_POLICIES)
    notes = [] if policies is None else [f"baseline policies: {policies}"]
    return hindered, notes + await _about_metrics(api)


async def _about_metrics(api: GatewayApi) -> list[str]:
    """Say what /metrics answers that is worth knowing before a day without samples."""
    try:
        reply = await api.get("/metrics")
    except ApiError as exc:
        return [f"no samples and no snapshots: {exc}"]
    return _about_samples(reply) + about_clock(reply.date, dt.datetime.now(dt.UTC))


def _about_samples(reply: Reply) -> list[str]:
    there = None if reply.moved_to is None else plain_text(reply.moved_to)
    if reply.status == HTTPStatus.OK:
        return [] if there is None else [f"GET /metrics is redirected, and read at {there}"]
    if there is not None:
        return [f"no samples and no snapshots: GET /metrics is redirected to {there}, which is not followed"]
    return [f"no samples and no snapshots: GET /metrics was answered with {reply.status}"]


def _problem(route: Route, answer: ApiError) -> str | None:
    """Say what stands in the way; None for a route that is there and refused only what it was sent."""
    if answer.is_missing:
        return f"unsupported, the gateway has no {route}"
    if answer.status is None:
        return str(answer)
    if answer.status in _REFUSED:
        return f"refused, {route} was answered with {answer.status}"
    return None
