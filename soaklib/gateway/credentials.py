"""Tool credentials: versions of which one a tool is active. The secret itself is not kept, only a fingerprint."""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass

from soaklib.gateway.clock import Clock
from soaklib.gateway.records import CredentialRow


@dataclass(slots=True)
class Credential:
    """A version of a tool's credential; times are epoch seconds."""

    credential_id: str
    tool: str
    version: str
    fingerprint: str
    created_at_s: float
    activated_at_s: float | None = None
    deactivated_at_s: float | None = None
    active: bool = False

    def row(self, deleted_at_s: float | None = None) -> CredentialRow:
        """Return the row of the credential."""
        return CredentialRow(
            self.credential_id,
            self.tool,
            self.version,
            self.fingerprint,
            self.active,
            self.created_at_s,
            self.activated_at_s,
            deleted_at_s,
        )


class CredentialStore:
    """The credentials that exist.

    Parameters
    ----------
    clock
        Gives the times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._credentials: dict[str, Credential] = {}

    def add(self, *, tool: str, version: str, secret: str) -> Credential:
        """Take in a credential, inactive."""
        fingerprint = hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()
        credential = Credential(str(uuid.uuid4()), tool, version, fingerprint, self._clock.wall())
        self._credentials[credential.credential_id] = credential
        return credential

    def activate(self, credential_id: str) -> list[Credential]:
        """Make a credential the active one of its tool.

        Returns
        -------
        list of Credential
            The activated one first, then those it replaced; empty when there is none with this id.
        """
        chosen = self._credentials.get(credential_id)
        if chosen is None:
            return []
        now_s = self._clock.wall()
        replaced = [other for other in self.of(chosen.tool) if other.active and other is not chosen]
        for other in replaced:
            other.active, other.deactivated_at_s = False, now_s
        chosen.active, chosen.activated_at_s, chosen.deactivated_at_s = True, now_s, None
        return [chosen, *replaced]

    def active(self, tool: str) -> Credential | None:
        """Return the active credential of a tool."""
        return next((credential for credential in self.of(tool) if credential.active), None)

    def of(self, tool: str) -> list[Credential]:
        """Return all credentials of a tool, oldest first."""
        return [credential for credential in self._credentials.values() if credential.tool == tool]

    def all(self) -> list[Credential]:
        """Return all credentials, oldest first."""
        return list(self._credentials.values())

    def delete(self, credential_id: str) -> Credential | None:
        """Remove a credential; None when there is none with this id."""
        return self._credentials.pop(credential_id, None)
