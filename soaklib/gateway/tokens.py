"""Tokens: ``BASE64(json).HEXHMAC``, signed with HMAC-SHA-256, expiring, revocable.

The signature covers the base64 text. A token whose signature was found good once is kept in a bounded memory by
its text, so that a hot token costs one dictionary lookup a request.
"""

import base64
import binascii
import hashlib
import heapq
import hmac
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from soaklib.gateway.agents import Agent
from soaklib.gateway.clock import Clock, iso_utc, parse_iso
from soaklib.gateway.records import TokenRow

_REMEMBERED_TOKENS = 8_192
_FORGET_AFTER_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says; ``expires_at`` as its creator wrote it."""

    agent_id: str
    expires_at: str
    expires_at_s: float


@dataclass(slots=True)
class IssuedToken:
    """What the registry knows of a token; times are epoch seconds, tools and permissions are JSON arrays."""

    token_id: str
    record_id: str
    agent_id: str
    text: str
    payload_sha256: str
    tools: str
    permissions: str
    issued_at_s: float
    expires_at_s: float
    revoked_at_s: float | None = None

    def row(self) -> TokenRow:
        """Return the row of the token: hashes instead of what could be used."""
        return TokenRow(
            self.token_id,
            self.agent_id,
            hashlib.sha256(self.text.encode()).hexdigest(),
            self.payload_sha256,
            self.tools,
            self.permissions,
            self.issued_at_s,
            self.expires_at_s,
            self.revoked_at_s,
        )


class TokenFormatError(ValueError):
    """The text is no BASE64.SIGNATURE."""


class TokenSignatureError(ValueError):
    """The signature is not ours."""


class TokenDecodingError(ValueError):
    """The signature is good but the payload is no token of ours."""


class TokenSigner:
    """Makes and checks token texts; holds no state that matters.

    Parameters
    ----------
    key
        The HMAC key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[str, Claims] = {}

    def sign(self, payload: bytes) -> str:
        """Return the token text of a JSON payload."""
        body = base64.b64encode(payload)
        return f"{body.decode()}.{self._signature(body)}"

    def verify(self, text: str) -> Claims:
        """Return what a token says, if its signature is ours; whether it has expired is for the caller.

        Raises
        ------
        TokenFormatError, TokenSignatureError, TokenDecodingError
        """
        claims = self._known.get(text)
        if claims is None:
            claims = self._verify(text)
            if len(self._known) >= _REMEMBERED_TOKENS:
                del self._known[next(iter(self._known))]
            self._known[text] = claims
        return claims

    def _verify(self, text: str) -> Claims:
        body, _, rest = text.partition(".")
        signature = rest.partition(".")[0]  # as there: what follows a second dot is ignored
        if not body or not signature:
            raise TokenFormatError
        if not hmac.compare_digest(signature.encode(), self._signature(body.encode()).encode()):
            raise TokenSignatureError
        try:
            payload = orjson.loads(base64.b64decode(body, validate=True))
            agent_id, expires_at = payload["agent_id"], payload["expires_at"]
            return Claims(str(agent_id), expires_at, parse_iso(expires_at))
        except (binascii.Error, ValueError, TypeError, KeyError, AttributeError) as problem:
            raise TokenDecodingError from problem

    def _signature(self, body: bytes) -> str:
        return hmac.new(self._key, body, hashlib.sha256).hexdigest()


class TokenRegistry:
    """The tokens that were issued; one is forgotten a soak hour after it has expired.

    Parameters
    ----------
    signer
        Signs the tokens.
    clock
        Gives the time.
    """

    def __init__(self, signer: TokenSigner, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._by_id: dict[str, IssuedToken] = {}
        self._by_text: dict[str, IssuedToken] = {}
        self._by_expiry: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def issue(
        self, agent: Agent, *, tools: Sequence[object], permissions: Sequence[object], expires_at: str
    ) -> IssuedToken:
        """Make a token for an agent; ``expires_at`` is written into it as it is."""
        now_s = self._clock.wall()
        self._forget_expired(now_s)
        payload = orjson.dumps(
            {
                "agent_id": agent.agent_id,
                "agent_name": agent.name,
                "tools": tools,
                "permissions": permissions,
                "expires_at": expires_at,
                "nonce": str(uuid.uuid4()),
                "issued_at": iso_utc(now_s),
            }
        )
        token = IssuedToken(
            token_id=str(uuid.uuid4()),
            record_id=str(uuid.uuid4()),
            agent_id=agent.agent_id,
            text=self._signer.sign(payload),
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            tools=orjson.dumps(tools).decode(),
            permissions=orjson.dumps(permissions).decode(),
            issued_at_s=now_s,
            expires_at_s=parse_iso(expires_at),
        )
        self._by_id[token.token_id] = self._by_text[token.text] = token
        heapq.heappush(self._by_expiry, (token.expires_at_s, token.token_id))
        return token

    def find(self, token_id: str) -> IssuedToken | None:
        """Return the token with this id, unless it was forgotten."""
        return self._by_id.get(token_id)

    def is_revoked(self, text: str) -> bool:
        """Tell whether the token with this text was revoked."""
        token = self._by_text.get(text)
        return token is not None and token.revoked_at_s is not None

    def revoke(self, token_id: str) -> IssuedToken | None:
        """Revoke a token; None when there is none with this id."""
        token = self._by_id.get(token_id)
        if token is not None and token.revoked_at_s is None:
            token.revoked_at_s = self._clock.wall()
        return token

    def all(self) -> list[IssuedToken]:
        """Return the tokens, oldest first."""
        return list(self._by_id.values())

    def _forget_expired(self, now_s: float) -> None:
        horizon_s = now_s - self._clock.wall_s(_FORGET_AFTER_S)
        while self._by_expiry and self._by_expiry[0][0] < horizon_s:
            token = self._by_id.pop(heapq.heappop(self._by_expiry)[1])
            del self._by_text[token.text]
