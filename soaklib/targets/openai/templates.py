"""The requests of OpenAI's wire: a step's tool is the model, its action the kind of call, its params the body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from soaklib.errors import SettingsError
from soaklib.targets.base import Identity, Wire
from soaklib.targets.openai.readers import ChatReader, EmbeddingsReader, OpenAIReader, ResponsesReader

if TYPE_CHECKING:
    from soaklib.plan.model import Step
    from soaklib.records import Reason
    from soaklib.targets.openai.options import OpenAIOptions

__all__ = ["ACTIONS", "OpenAITemplate", "compile_step"]

_NUMBER: Final = b"{n}"
_ROUTES: Final[dict[str, tuple[str, str, type[OpenAIReader]]]] = {
    "chat": ("/chat/completions", "messages", ChatReader),
    "stream": ("/chat/completions", "messages", ChatReader),
    "embed": ("/embeddings", "input", EmbeddingsReader),
    "responses": ("/responses", "input", ResponsesReader),
}
ACTIONS: Final = tuple(_ROUTES)
"""What a model can be asked for."""


@dataclass(frozen=True, slots=True)
class OpenAITemplate:
    """One call of the plan, compiled.

    Attributes
    ----------
    path
        With its prefix.
    is_stream
        Whether a stream is asked for.
    reads
        What reads its answers.
    stall_s
        How long a stream may stand still.
    mended
        Reasons that a new key of its role would mend.
    """

    path: str
    is_stream: bool
    reads: type[OpenAIReader]
    stall_s: float | None
    _pieces: tuple[bytes, ...]
    mended: frozenset[Reason] = frozenset()

    def request(self, identity: Identity, number: int) -> Wire:
        """Give the request of one call."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if self.is_stream else "application/json",
        }
        if identity.secret:
            headers["Authorization"] = f"Bearer {identity.secret}"
        return Wire("POST", self.path, headers, (b"%d" % number).join(self._pieces))


def compile_step(step: Step, options: OpenAIOptions, mended: frozenset[Reason] = frozenset()) -> OpenAITemplate:
    """Compile a call of the plan.

    Parameters
    ----------
    step
        The call.
    options
        How the endpoint is spoken to.
    mended
        Reasons that a new key of the role would mend.

    Raises
    ------
    SettingsError
        The action is none of this wire, or the body lacks what it must have.
    """
    where = f"the step {step.tool}:{step.action}"
    if step.action not in _ROUTES:
        msg = f"{where}: a model can be asked for {', '.join(_ROUTES)}, not for {step.action!r}"
        raise SettingsError(msg)
    route, needed, reads = _ROUTES[step.action]
    if needed not in step.params:
        msg = f"{where}: params lack {needed!r}, which {route} needs"
        raise SettingsError(msg)
    body: dict[str, Any] = {"model": step.tool} | step.params
    if step.action in {"chat", "embed"} and body.get("stream"):
        msg = f'{where}: params ask for a stream; write action = "stream"'
        raise SettingsError(msg)
    if step.action == "stream":
        body["stream"] = True
        if options.include_usage:
            body.setdefault("stream_options", {"include_usage": True})
    is_stream = body.get("stream") is True
    pieces = tuple(orjson.dumps(body).split(_NUMBER))
    stall_s = options.stall_s if is_stream else None
    return OpenAITemplate(options.prefix + route, is_stream, reads, stall_s, pieces, mended)
