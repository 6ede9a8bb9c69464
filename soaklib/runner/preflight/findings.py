"""What a preflight finds, line by line, and what that means for the soak."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from soaklib.plan.given import AgentLimit

__all__ = ["Finding", "Found", "Standing"]


class Standing(StrEnum):
    """What a finding means."""

    OK = "ok"
    NOTE = "note"  #: worth knowing; the soak can be run
    NOT_APPLICABLE = "not applicable"  #: this gateway, or this plan, has no such thing
    PROBLEM = "problem"  #: the soak would be lost


class Finding(NamedTuple):
    """One thing that was tried.

    Attributes
    ----------
    what
        What was tried.
    standing
        What came of it.
    detail
        In one line, why.
    is_of_settings
        Whether other settings would mend it.
    """

    what: str
    standing: Standing
    detail: str
    is_of_settings: bool = False


@dataclass(kw_only=True)
class Found:
    """All that was found.

    Attributes
    ----------
    findings
        In the order in which things were tried.
    limit
        How many calls the gateway lets an agent make; None where no limit was met.
    agents_needed
        How many agents a role needs by that limit; None without one.
    pause_s
        How long the load has to wait because what was tried has used up what its own agents may call.
    metrics
        The metrics that the gateway exposes, by name; None where none could be read.
    endpoints
        What else the gateway is asked, such as its ``health``; None where nothing was tried.
    stated
        What calls that were answered well stated beside their answers, as columns of ``outcomes``; None where none was.
    knows_upstream, has_sessions
        Whether the soak's own mock upstream answers, and whether sessions were opened; None where nothing was tried.
    """

    findings: list[Finding] = field(default_factory=list)
    limit: AgentLimit | None = None
    agents_needed: int | None = None
    pause_s: float = 0.0
    metrics: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    stated: frozenset[str] | None = None
    knows_upstream: bool | None = None
    has_sessions: bool | None = None

    def add(self, what: str, standing: Standing, detail: str, *, is_of_settings: bool = False) -> None:
        """Add a finding."""
        self.findings.append(Finding(what, standing, detail, is_of_settings))

    @property
    def problems(self) -> list[Finding]:
        """What the soak would be lost by."""
        return [one for one in self.findings if one.standing is Standing.PROBLEM]
