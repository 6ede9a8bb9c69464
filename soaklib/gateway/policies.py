"""The policies that exist. What they decide is in ``policy_engine``."""

import hashlib
import uuid
from dataclasses import dataclass

import orjson

from soaklib.gateway.agents import Agent
from soaklib.gateway.clock import Clock
from soaklib.gateway.policy_spec import PolicySpec, spec_to_wire
from soaklib.gateway.records import PolicyRow


@dataclass(slots=True)
class Policy:
    """A policy of a role or of one agent; times are epoch seconds."""

    policy_id: str
    name: str
    description: str | None
    role: str | None
    agent_id: str | None
    spec: PolicySpec
    created_at_s: float
    updated_at_s: float
    active: bool = True

    def spec_json(self) -> str:
        """Return the spec as JSON text."""
        return orjson.dumps(spec_to_wire(self.spec)).decode()

    def spec_hash(self) -> str:
        """Return the SHA-256 of the spec, keys sorted."""
        return hashlib.sha256(orjson.dumps(spec_to_wire(self.spec), option=orjson.OPT_SORT_KEYS)).hexdigest()

    def row(self, deleted_at_s: float | None = None) -> PolicyRow:
        """Return the row of the policy."""
        return PolicyRow(
            self.policy_id,
            self.name,
            self.role,
            self.agent_id,
            self.spec_json(),
            self.active,
            self.created_at_s,
            self.updated_at_s,
            deleted_at_s,
        )


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What a PATCH asks for; None leaves a part as it is, a spec is replaced whole."""

    name: str | None = None
    description: str | None = None
    spec: PolicySpec | None = None
    active: bool | None = None


class PolicyBook:
    """The policies.

    Parameters
    ----------
    clock
        Gives the times.

    Attributes
    ----------
    version
        Grows with every change, so that whatever was derived from the policies can be known to be stale.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._policies: dict[str, Policy] = {}
        self.version = 0

    def create(
        self, *, name: str, description: str | None, role: str | None, agent_id: str | None, spec: PolicySpec
    ) -> Policy:
        """Make a policy, active."""
        now_s = self._clock.wall()
        policy = Policy(str(uuid.uuid4()), name, description, role, agent_id, spec, now_s, now_s)
        self._policies[policy.policy_id] = policy
        self.version += 1
        return policy

    def find(self, policy_id: str) -> Policy | None:
        """Return the policy with this id."""
        return self._policies.get(policy_id)

    def all(self) -> list[Policy]:
        """Return all policies, oldest first."""
        return list(self._policies.values())

    def change(self, policy: Policy, change: PolicyChange) -> None:
        """Change a policy."""
        policy.name = policy.name if change.name is None else change.name
        policy.description = policy.description if change.description is None else change.description
        policy.spec = change.spec or policy.spec
        policy.active = policy.active if change.active is None else change.active
        policy.updated_at_s = self._clock.wall()
        self.version += 1

    def delete(self, policy: Policy) -> None:
        """Remove a policy."""
        del self._policies[policy.policy_id]
        self.version += 1

    def governing(self, agent: Agent) -> list[Policy]:
        """Return the active policies that hold for an agent: its own first, then those of its role."""
        active = [policy for policy in self._policies.values() if policy.active]
        own = [policy for policy in active if policy.agent_id == agent.agent_id]
        return own + [policy for policy in active if policy.role is not None and policy.role == agent.role]
