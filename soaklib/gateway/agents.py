"""Agents: who may ask for tokens."""

import base64
import secrets
import uuid
from dataclasses import dataclass

from soaklib.gateway.clock import Clock
from soaklib.gateway.records import AgentRow

# RFC 8410: a PKCS #8 wrapper of an Ed25519 private key, which is any 32 random bytes.
_PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent; its private key is handed out once and not kept.

    Parameters
    ----------
    agent_id
        A UUID.
    name, role, created_by
        As its creator gave them.
    created_at_s
        Epoch seconds.
    status
        ``active`` or something else, which refuses its calls.
    """

    agent_id: str
    name: str
    role: str
    created_by: str
    created_at_s: float
    status: str = "active"

    def row(self) -> AgentRow:
        """Return the row of the agent."""
        return AgentRow(self.agent_id, self.name, self.role, self.created_by, self.status, self.created_at_s)


def new_private_key() -> str:
    """Return a fresh private key as PEM.

    The real gateway generates an RSA key, which takes it 60 to 320 ms; nobody in a soak ever uses it. This is a
    genuine Ed25519 key in PKCS #8 instead, which needs 32 random bytes and no cryptography library.
    """
    text = base64.b64encode(_PKCS8_ED25519 + secrets.token_bytes(32)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"


class AgentRegistry:
    """The agents that exist.

    Parameters
    ----------
    clock
        Gives the time of creation.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: dict[str, Agent] = {}
        self.find = self._agents.get
        """Return the agent with this id, or None."""

    def create(self, *, name: str, role: str, created_by: str) -> Agent:
        """Make an agent."""
        agent = Agent(str(uuid.uuid4()), name, role, created_by, self._clock.wall())
        self._agents[agent.agent_id] = agent
        return agent

    def all(self) -> list[Agent]:
        """Return all agents, oldest first."""
        return list(self._agents.values())
