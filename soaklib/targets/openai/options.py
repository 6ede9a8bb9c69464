"""What a plan's ``[target]`` table may hold beside ``kind = "openai"``."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from soaklib.targets.own_paths import PathsOptions

__all__ = ["OpenAIOptions"]

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class OpenAIOptions(PathsOptions):
    """How an endpoint of OpenAI's wire is spoken to; beside it the paths that any gateway may have.

    Attributes
    ----------
    prefix
        What comes before ``/chat/completions`` and the others.
    keys
        Role -> environment variables that hold its keys; agents of the role share them out. A role without any uses
        `key`.
    key
        Environment variable of the key of every other role; None where no key is needed.
    make_keys
        Whether each agent of a role that `keys` does not name gets a key of its own from ``/key/generate``, asked with
        the key of `admin_key`; `key` is not needed then.
    admin_key
        Environment variable of the key that may make keys, and may see LiteLLM's metrics.
    key_limits
        What else ``/key/generate`` is asked for: ``rpm_limit``, ``tpm_limit``, ``max_parallel_requests``,
        ``max_budget``, ``models``.
    is_litellm
        Whether the gateway is LiteLLM: health by ``/health/liveliness`` and ``/health/readiness``, and its metrics;
        what it says of a limit without a name is its upstream's.
    is_upstream
        Whether the load goes straight to the soak's own mock upstream: its health and metrics; a rehearsal says so.
    include_usage
        Whether a chat's stream is asked to state its usage at its end.
    stall_s
        How long, wall seconds, a stream may stand still; None for the call's own limit alone.
    """

    known_by: ClassVar[str] = "is_litellm"

    prefix: str = Field("/v1", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    keys: dict[str, tuple[Variable, ...]] = Field({})
    key: Variable | None = None
    make_keys: bool = False
    admin_key: Variable | None = None
    key_limits: dict[str, int | float | tuple[str, ...]] = Field({})
    is_litellm: bool = False
    is_upstream: bool = False
    include_usage: bool = True
    stall_s: float | None = Field(30.0, gt=0)

    def has_made_key(self, role: str) -> bool:
        """Say whether a role's agents get keys that are made for them."""
        return self.make_keys and role not in self.keys
