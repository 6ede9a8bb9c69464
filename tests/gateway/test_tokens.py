import base64
import hashlib
import hmac
import json

import pytest

from soaklib.gateway.agents import Agent, new_private_key
from soaklib.gateway.clock import iso_utc
from soaklib.gateway.tokens import (
    TokenDecodingError,
    TokenFormatError,
    TokenRegistry,
    TokenSignatureError,
    TokenSigner,
)

AGENT = Agent("id", "name", "role", "me", 0.0)
KEY = b"key"


def issue(registry, time, lives_s=600.0):
    return registry.issue(AGENT, tools=["t"], permissions=["p"], expires_at=iso_utc(time.wall() + lives_s))


def signed(body):
    return f"{body.decode()}.{hmac.new(KEY, body, hashlib.sha256).hexdigest()}"


def test_the_signature_covers_the_base64_text(fake_time):
    """A token is BASE64(json).HEX with the HMAC-SHA-256 of the base64 text."""
    token = issue(TokenRegistry(TokenSigner(KEY), fake_time.clock()), fake_time)
    body, _, signature = token.text.partition(".")
    assert signature == hmac.new(KEY, body.encode(), hashlib.sha256).hexdigest()
    payload = base64.b64decode(body)
    assert list(json.loads(payload)) == [
        "agent_id",
        "agent_name",
        "tools",
        "permissions",
        "expires_at",
        "nonce",
        "issued_at",
    ]
    assert token.payload_sha256 == hashlib.sha256(payload).hexdigest()


def test_a_good_token_says_who_and_until_when(fake_time):
    """Verifying returns the claims, the second time from memory."""
    signer = TokenSigner(KEY)
    token = issue(TokenRegistry(signer, fake_time.clock()), fake_time)
    assert signer.verify(token.text).agent_id == "id"
    assert signer.verify(token.text) is signer.verify(token.text)
    assert signer.verify(token.text).expires_at_s == fake_time.wall() + 600.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", TokenFormatError),
        ("abc", TokenFormatError),
        (".sig", TokenFormatError),
        ("abc.", TokenFormatError),
        ("abc.def", TokenSignatureError),
        ("äöü.def", TokenSignatureError),
        ("abc.äöü", TokenSignatureError),
        (signed(b"!!!"), TokenDecodingError),
        (signed(base64.b64encode(b"[]")), TokenDecodingError),
        (signed(base64.b64encode(b'{"agent_id":"a"}')), TokenDecodingError),
        (signed(base64.b64encode(b'{"agent_id":"a","expires_at":7}')), TokenDecodingError),
        (signed(base64.b64encode(b'{"agent_id":"a","expires_at":"soon"}')), TokenDecodingError),
    ],
)
def test_each_way_to_be_no_token(text, problem):
    """Format, signature and payload problems are told apart, and none of them is remembered as good."""
    signer = TokenSigner(KEY)
    for _ in range(2):
        with pytest.raises(problem):
            signer.verify(text)


def test_a_token_signed_with_another_key_is_refused(fake_time):
    """Another gateway's token has a wrong signature."""
    token = issue(TokenRegistry(TokenSigner(b"other"), fake_time.clock()), fake_time)
    with pytest.raises(TokenSignatureError):
        TokenSigner(KEY).verify(token.text)


def test_revoking(fake_time):
    """A revoked token is known as such by its text; an unknown id revokes nothing."""
    registry = TokenRegistry(TokenSigner(KEY), fake_time.clock())
    token = issue(registry, fake_time)
    assert (registry.is_revoked(token.text), registry.revoke("other")) == (False, None)
    assert registry.revoke(token.token_id) is token
    assert registry.is_revoked(token.text)


def test_expired_tokens_are_forgotten(fake_time):
    """A soak hour after its expiry a token is gone from the registry, not earlier."""
    registry = TokenRegistry(TokenSigner(KEY), fake_time.clock(speed=60.0))
    token = issue(registry, fake_time, lives_s=600.0)
    fake_time.now_s = 659.0
    issue(registry, fake_time)
    assert registry.find(token.token_id) is token
    fake_time.now_s = 660.5
    issue(registry, fake_time)
    assert registry.find(token.token_id) is None
    assert len(registry) == 2


def test_the_row_holds_no_usable_token(fake_time):
    """What goes to the database is a hash."""
    token = issue(TokenRegistry(TokenSigner(KEY), fake_time.clock()), fake_time)
    assert token.text not in str(token.row())
    assert token.row().token_sha256 == hashlib.sha256(token.text.encode()).hexdigest()


def test_the_private_key_is_a_genuine_ed25519_key():
    """The PEM is PKCS #8 with the Ed25519 object identifier and 32 bytes that differ each time."""
    lines = new_private_key().splitlines()
    der = base64.b64decode(lines[1])
    assert (lines[0], lines[2]) == ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
    assert (der[:16].hex(), len(der)) == ("302e020100300506032b657004220420", 48)
    assert new_private_key() != new_private_key()
