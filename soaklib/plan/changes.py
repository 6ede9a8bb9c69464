"""The changes that a plan can make under load."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, JsonValue

from soaklib.plan.parts import Name, Part, Share, ToolAction, Variable
from soaklib.records import EventName

__all__ = [
    "Change",
    "ChaosChange",
    "CredentialsChange",
    "HttpChange",
    "LastingChange",
    "LiteralRequest",
    "PolicyChange",
    "UpstreamChange",
    "quota_event",
]


class _Scheduled(Part):
    """A change under load; `at` is a fraction of the planned duration."""

    at: Share
    phase: str = Field(min_length=1)


class _Lasting(_Scheduled):
    """A change that is taken back after `lasts` (a fraction of the duration): its end is owed from its beginning on."""

    lasts: Share
    phase_after: str = Field(min_length=1)


class CredentialsChange(_Scheduled):
    """Give a tool a new credential and activate it."""

    do: Literal["rotate-credentials"]
    tool: Name

    @property
    def subject(self) -> str:
        """What it is done to."""
        return self.tool

    @property
    def event(self) -> str:
        """Name of the event that says it was done."""
        return EventName.CREDENTIALS_ROTATED_SUCCESSFULLY


class ChaosChange(_Lasting):
    """Inject chaos into a tool, and switch it off again."""

    do: Literal["chaos"]
    tool: Name
    mode: Literal["timeout", "500", "jitter"] = "500"
    pct: int = Field(50, ge=1, le=100)

    @property
    def subject(self) -> str:
        """What it is done to."""
        return self.tool

    @property
    def event(self) -> str:
        """Name of the event that says it was done."""
        return EventName.CHAOS_MODE_ON

    @property
    def end_event(self) -> str:
        """Name of the event that says it was taken back."""
        return EventName.CHAOS_MODE_OFF

    @property
    def end_data(self) -> dict[str, JsonValue]:
        """The data of that event."""
        return {"tool": self.tool}


def quota_event(tool: str, what: str) -> str:
    """Name the event that says what became of a quota on a tool, as ``POLICY_UPDATED_OPENAI_QUOTA_REDUCED``."""
    return f"POLICY_UPDATED_{re.sub('[^A-Z0-9]+', '_', tool.upper())}_QUOTA_{what}"


class PolicyChange(_Scheduled):
    """Change a role's quota on one action to `planned_ratio` of the calls planned in a window."""

    do: Literal["update-policy"]
    role: str
    action: ToolAction
    planned_ratio: float = Field(gt=0)

    @property
    def subject(self) -> str:
        """What it is done to."""
        return self.role

    @property
    def event(self) -> str:
        """Name of the event that says it was done; for the default plan the name that scripts look for."""
        return quota_event(self.action.split(":")[0], "REDUCED")


class LiteralRequest(Part):
    """A request as it is sent to the gateway: to a path of its base URL, with the headers of the run and these.

    A secret does not stand in a plan, which the run keeps: ``header_env`` names variables that hold values.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str = Field(pattern=r"^/[!-~]*$")
    headers: dict[str, str] = Field(default_factory=dict)
    header_env: dict[str, Variable] = Field(default_factory=dict)
    body: JsonValue = None


class _Elsewhere(_Lasting):
    """A change that is no target's own: any gateway, or what stands behind it, can be changed by it and back."""

    name: Name
    tool: Name | None = None
    """What it makes fail, where that is one tool: a phase's figures are then those of that tool."""

    @property
    def subject(self) -> str:
        """What it is done to, as the plan calls it."""
        return self.name

    @property
    def event(self) -> str:
        """Name of the event that says it was done."""
        return EventName.CHANGE_MADE

    @property
    def end_event(self) -> str:
        """Name of the event that says it was taken back."""
        return EventName.CHANGE_UNDONE

    @property
    def end_data(self) -> dict[str, JsonValue]:
        """The data of that event."""
        return {"name": self.name}


class HttpChange(_Elsewhere):
    """Change a gateway by a request, and take it back by another: any gateway that has routes for it.

    A request that is answered with 2xx has been done; so has an `undo` that is answered with 404, for there is nothing
    left to undo. Both must be such as may be sent twice.
    """

    do: Literal["http"]
    make: LiteralRequest
    undo: LiteralRequest


class UpstreamChange(_Elsewhere):
    """Tell a mock upstream (``python -m soaklib.upstream``) to misbehave, and to behave again.

    `control` is the URL of its control route; without it the environment variable SOAK_UPSTREAM_CONTROL says it.
    """

    do: Literal["upstream"]
    control: str | None = Field(None, pattern=r"^https?://[!-~]+$")
    behave: dict[str, JsonValue] = Field(min_length=1)


Change = CredentialsChange | ChaosChange | PolicyChange | HttpChange | UpstreamChange
LastingChange = ChaosChange | HttpChange | UpstreamChange
"""Those that are taken back again."""
