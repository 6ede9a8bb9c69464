"""The target of OpenAI's wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, cast

from soaklib.records import Reason
from soaklib.targets.openai.admin import OpenAIAdmin
from soaklib.targets.openai.meanings import LITELLM_METRICS
from soaklib.targets.openai.options import OpenAIOptions
from soaklib.targets.openai.templates import OpenAITemplate, compile_step
from soaklib.targets.own_upstream import UPSTREAM_METRICS

if TYPE_CHECKING:
    from soaklib.plan.model import Step
    from soaklib.targets.admin import Admin, Link
    from soaklib.targets.base import MetricMap, Reader, Template

__all__ = ["OpenAITarget"]

_MENDED: Final = frozenset({Reason.TOKEN_EXPIRED, Reason.TOKEN_REVOKED})
"""What a key that is made anew mends; those of the environment stay what they are."""


class OpenAITarget:
    """Chat completions, embeddings and responses.

    Parameters
    ----------
    options
        The rest of the plan's ``[target]`` table.
    """

    kind: ClassVar[str] = "openai"
    options: ClassVar[type[OpenAIOptions]] = OpenAIOptions
    agent_limit: ClassVar[str | None] = None

    def __init__(self, options: OpenAIOptions | None = None) -> None:
        self._options = options or OpenAIOptions()
        ours = UPSTREAM_METRICS if self._options.is_upstream else self._options.metric_map
        self.metrics: MetricMap = LITELLM_METRICS if self._options.is_litellm else ours

    def compile(self, step: Step, role: str) -> Template:
        """Compile a call of the plan."""
        return compile_step(step, self._options, _MENDED if self._options.has_made_key(role) else frozenset())

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer."""
        compiled = cast("OpenAITemplate", template)
        is_litellm = self._options.is_litellm
        return compiled.reads(compiled.mended, is_stream=compiled.is_stream, is_litellm=is_litellm)

    def admin(self, link: Link) -> Admin:
        """Give the way to do what is done beside the load."""
        return OpenAIAdmin(link, self._options)
