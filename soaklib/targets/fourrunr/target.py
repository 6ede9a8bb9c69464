"""The 4Runr gateway as a target: its calls as bytes, its answers as readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from multidict import CIMultiDict, CIMultiDictProxy
from pydantic import BaseModel, ConfigDict

from soaklib.targets.base import Meaning, MetricMap, Series, Wire
from soaklib.targets.fourrunr.admin import FourRunrAdmin
from soaklib.targets.fourrunr.reading import AnswerReader

if TYPE_CHECKING:
    from soaklib.plan.model import Step
    from soaklib.targets.admin import Admin, Link
    from soaklib.targets.base import Identity, Reader, Template

__all__ = ["CALL_PATH", "FourRunrTarget", "Options"]

CALL_PATH: Final = "/api/proxy-request"
_HEADERS: Final = CIMultiDictProxy(
    CIMultiDict({"Content-Type": "application/json", "Accept": "application/json"}),
)
_HEAD: Final = b'{"agent_token":'


METRICS: Final = MetricMap(
    meanings={
        Meaning.REQUESTS: Series("gateway_requests_total"),
        Meaning.DURATION: Series("gateway_request_duration_ms"),
        Meaning.DENIALS: Series("gateway_policy_denials_total"),
        Meaning.RETRIES: Series("gateway_retries_total"),
        Meaning.CACHE_HITS: Series("gateway_cache_hits_total"),
        Meaning.BREAKER_STATE: Series("gateway_breaker_state"),
        Meaning.FAST_FAILS: Series("gateway_breaker_fastfail_total"),
        Meaning.MEMORY: Series("process_resident_memory_bytes"),
        Meaning.OPEN_FILES: Series("process_open_fds"),
        Meaning.START: Series("gateway_process_start_time_seconds"),
    }
)


class Options(BaseModel):
    """What the ``[target]`` table may hold beside the kind: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CallTemplate:
    """One call of POST /api/proxy-request; ``{n}`` in its parameters is the number of the query.

    Parameters
    ----------
    step
        The call as the plan has it.
    """

    stall_s: float | None = None

    def __init__(self, step: Step) -> None:
        rest = orjson.dumps({"tool": step.tool, "action": step.action, "params": step.params})
        self._tail = (b"," + rest[1:]).split(b"{n}")

    def request(self, identity: Identity, number: int) -> Wire:
        """Give the request, with token and number filled in."""
        body = _HEAD + orjson.dumps(identity.secret) + (b"%d" % number).join(self._tail)
        return Wire("POST", CALL_PATH, _HEADERS, body)


class FourRunrTarget:
    """The 4Runr gateway.

    Parameters
    ----------
    options
        None that it has.
    """

    kind = "4runr"
    options = Options
    metrics = METRICS
    agent_limit: str | None = "5/60s"

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()

    def compile(self, step: Step, role: str) -> Template:
        """Compile a call; each that a plan may hold can be asked for."""
        del role
        return CallTemplate(step)

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer."""
        del template
        return AnswerReader()

    def admin(self, link: Link) -> Admin:
        """Give the way to the gateway's other routes."""
        return FourRunrAdmin(link)
