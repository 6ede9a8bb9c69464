"""The ordered checks between a proxy request and its execution.

=  ==========  ====================================================================  ==========================
#  status      refused because                                                       counted in
=  ==========  ====================================================================  ==========================
1  400         a field is missing                                                    nothing
2  400 / 403   provenance: no proof, unknown, revoked or wrong token_id              nothing
3  400 / 403   the token's format, signature or payload; the token is revoked        a bad payload: validations
4  403         the token has expired                                                 validations, expirations
5  403         the agent does not exist or is not active                             validations
6  403         a policy denies the call                                              validations, denials
7  400         the tool does not accept the parameters                               validations
8  429         the agent makes too many calls                                        validations
=  ==========  ====================================================================  ==========================

A body that is no object, or a token that is no text, is row 10: 500, as there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from soaklib.gateway.agents import Agent
from soaklib.gateway.parameters import parameter_problems
from soaklib.gateway.policy_engine import EffectivePolicy
from soaklib.gateway.records import NAME_CHARACTERS, Outcome, Reason, clipped
from soaklib.gateway.state import Gateway, PolicyCall, State
from soaklib.gateway.tokens import TokenDecodingError, TokenFormatError, TokenSignatureError

ROTATION_MARGIN_S = 300.0
"""Soak seconds before its expiry from which a token is better replaced."""

Params = Mapping[str, object]


class Refusal(NamedTuple):
    """An answer that is not 200."""

    status: int
    body: Mapping[str, object]
    outcome: Outcome
    reason: Reason
    detail: str


@dataclass(slots=True)
class Call:
    """What is known of a proxy request; filled in as the checks go on."""

    agent_id: str | None = None
    tool: str | None = None
    action: str | None = None
    rotate_by: str | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may be executed."""

    agent: Agent
    tool: str
    action: str
    params: Params
    policy: EffectivePolicy


def refusal(status: int, error: str, outcome: Outcome, reason: Reason) -> Refusal:
    """Return an answer whose body has only an error."""
    return Refusal(status, {"error": error}, outcome, reason, error)


_MISSING = refusal(
    400,
    "Missing required fields: agent_token, tool, action, and params are required.",
    Outcome.INVALID_REQUEST,
    Reason.MISSING_FIELDS,
)
_INTERNAL = refusal(500, "Internal server error during proxy request", Outcome.UPSTREAM_ERROR, Reason.INTERNAL)
_NO_PROOF = refusal(
    400,
    "Token provenance validation requires proof_payload when token_id is provided.",
    Outcome.INVALID_REQUEST,
    Reason.MISSING_PROOF,
)
_UNKNOWN = refusal(403, "Token not found in registry", Outcome.UNAUTHORIZED, Reason.TOKEN_UNKNOWN)
_REVOKED = refusal(403, "Token has been revoked", Outcome.UNAUTHORIZED, Reason.TOKEN_REVOKED)
_WRONG_PROOF = refusal(403, "Token proof verification failed", Outcome.UNAUTHORIZED, Reason.TOKEN_PROOF)
_FORMAT = refusal(
    400,
    "Invalid token format. Expected: BASE64(encrypted).SIGNATURE",
    Outcome.UNAUTHORIZED,
    Reason.TOKEN_FORMAT,
)
_SIGNATURE = refusal(403, "Invalid token signature", Outcome.UNAUTHORIZED, Reason.TOKEN_SIGNATURE)
_DECODING = refusal(403, "Token decoding failed", Outcome.UNAUTHORIZED, Reason.TOKEN_DECODING)
_EXPIRED = refusal(403, "Token expired", Outcome.UNAUTHORIZED, Reason.TOKEN_EXPIRED)
_NO_AGENT = refusal(403, "Agent not found", Outcome.UNAUTHORIZED, Reason.AGENT_UNKNOWN)
_INACTIVE = refusal(403, "Agent is not active", Outcome.UNAUTHORIZED, Reason.AGENT_INACTIVE)


class Admission:
    """The checks of one gateway.

    Parameters
    ----------
    gateway
        Its settings, clock, faults and memory.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock = gateway.clock
        self._faults = gateway.faults
        self._margin_s = gateway.clock.wall_s(ROTATION_MARGIN_S)
        self._revoke_needs_proof = gateway.settings.quirks.revoke_needs_proof

    def check(self, body: object, call: Call, state: State) -> Admitted | Refusal:
        """Run the checks in order; ``call`` is filled in with what was found on the way."""
        if not isinstance(body, dict):
            return _INTERNAL if body is None else _MISSING
        token, tool, action, params = (body.get(name) for name in ("agent_token", "tool", "action", "params"))
        call.tool, call.action = _text(tool), _text(action)
        # Only what JavaScript takes for absent counts as missing: an empty object is there, an empty text is not.
        if not token or not tool or not action or (not params and not isinstance(params, dict | list)):
            return _MISSING
        if call.tool is None or call.action is None or not isinstance(token, str):
            return _INTERNAL
        problem = self._provenance(body, state)
        if problem is not None:
            return problem
        agent = self._identify(token, call, state)
        if isinstance(agent, Refusal):
            return agent
        asked = params if isinstance(params, dict) else {}
        admitted = Admitted(agent, call.tool, call.action, asked, state.engine.effective(agent))
        return self._refuse(admitted, params, state) or admitted

    def _provenance(self, body: Mapping[str, object], state: State) -> Refusal | None:  # noqa: PLR0911 - one return a row
        token_id, proof = body.get("token_id"), body.get("proof_payload")
        if not token_id:
            return None
        if not proof:
            return _NO_PROOF
        if not isinstance(proof, str):
            return _INTERNAL
        token = state.tokens.find(token_id) if isinstance(token_id, str) else None
        if token is None:
            return _UNKNOWN
        if token.revoked_at_s is not None:
            return _REVOKED
        if hashlib.sha256(proof.encode()).hexdigest() != token.payload_sha256:
            return _WRONG_PROOF
        return None

    def _identify(self, token: str, call: Call, state: State) -> Agent | Refusal:  # noqa: PLR0911 - one return a row
        try:
            claims = self._gateway.signer.verify(token)
        except TokenFormatError:
            return _FORMAT
        except TokenSignatureError:
            return _SIGNATURE
        except TokenDecodingError:
            state.metrics.token_validated("unknown", success=False)
            return _DECODING
        call.agent_id = claims.agent_id
        if not self._revoke_needs_proof and state.tokens.is_revoked(token):
            return _REVOKED
        state.metrics.token_validated(claims.agent_id, success=True)
        left_s = claims.expires_at_s - self._clock.wall()
        if left_s <= 0.0 and not self._faults.accept_expired.take():
            state.metrics.token_expired(claims.agent_id)
            return _EXPIRED
        if left_s < self._margin_s:
            call.rotate_by = claims.expires_at
        agent = state.agents.find(claims.agent_id)
        if agent is None:
            return _NO_AGENT
        return agent if agent.status == "active" else _INACTIVE

    def _refuse(self, call: Admitted, params: object, state: State) -> Refusal | None:
        denied = self._deny(call, state)
        if denied is not None:
            return denied
        problems = parameter_problems(call.tool, call.action, params)
        if problems:
            body = {"error": "Parameter validation failed", "details": problems}
            return Refusal(400, body, Outcome.INVALID_REQUEST, Reason.PARAMETERS, "; ".join(problems))
        if state.limiter is not None:
            retry_after_s = state.limiter.refuse(call.agent.agent_id)
            if retry_after_s is not None:
                limited = {"error": "Rate limit exceeded", "retry_after": retry_after_s}
                return Refusal(429, limited, Outcome.RATE_LIMITED, Reason.RATE_LIMIT, "Rate limit exceeded")
        return None

    def _deny(self, call: Admitted, state: State) -> Refusal | None:
        policy, tool, action = call.policy, call.tool, call.action
        denial = state.engine.decide(policy, tool, action, call.params)
        if denial is None:
            if self._faults.deny_allowed.take():
                denial = state.engine.scope_denial(policy, f"{tool}:{action}")
        elif denial.kind is Reason.SCOPE and self._faults.allow_forbidden.take():
            denial = state.engine.decide_in_scope(policy, tool, action, call.params)
        names = clipped(tool, NAME_CHARACTERS), clipped(action, NAME_CHARACTERS)
        state.log_decision(PolicyCall(policy.log_id, call.agent.agent_id, *names), denial)
        if denial is None:
            return None
        state.metrics.policy_denied(denial.kind, call.agent.agent_id, tool, action)
        body = {"error": "Policy denied", "reason": denial.sentence}
        return Refusal(403, body, Outcome.DENIED, denial.kind, f"Policy denied: {denial.sentence}")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
