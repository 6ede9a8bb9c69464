"""The target of the MCP wire."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, ClassVar, Final, cast

from soaklib.records import Reason
from soaklib.targets.mcp.meanings import CONTEXTFORGE_METRICS, NO_METRICS
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.mcp.readers import MCPReader
from soaklib.targets.mcp.templates import MCPTemplate, compile_step

if TYPE_CHECKING:
    from soaklib.plan.model import Step
    from soaklib.targets.base import MetricMap, Reader, Template

__all__ = ["McpTarget"]

_MENDED: Final = frozenset({Reason.SESSION_LOST})
_MENDED_BY_TOKENS: Final = frozenset({Reason.TOKEN_REVOKED, Reason.AGENT_NOT_FOUND})
"""What a token that is made anew mends; those of the environment stay what they are."""


class McpTarget:
    """Tools behind streamable HTTP.

    Parameters
    ----------
    options
        The rest of the plan's ``[target]`` table.
    """

    kind: ClassVar[str] = "mcp"
    options: ClassVar[type[MCPOptions]] = MCPOptions

    def __init__(self, options: MCPOptions | None = None) -> None:
        self._options = options or MCPOptions()
        self._ids = count(1)
        self._mended = _MENDED | (_MENDED_BY_TOKENS if self._options.make_tokens else frozenset())
        self.metrics: MetricMap = CONTEXTFORGE_METRICS if self._options.is_contextforge else NO_METRICS

    def compile(self, step: Step, role: str) -> Template:  # noqa: ARG002 - a tool is called the same way by every role
        """Compile a call of the plan."""
        return compile_step(step, self._options, self._ids)

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer."""
        return MCPReader(self._mended, is_call=cast("MCPTemplate", template).tool is not None)
