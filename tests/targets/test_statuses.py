"""What a status alone says of an answer, whatever its wire."""

import pytest

from soaklib.records import Kind, Reason
from soaklib.targets.answers import of_status
from soaklib.targets.base import Limit


@pytest.mark.parametrize("status", [408, 502, 503, 504, 520, 521, 522, 523, 524, 529])
def test_what_stands_behind_a_gateway_failed(status):
    """Statuses of gateways and of networks in front of them, which say that it was not they."""
    assert of_status(status) == (Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None)


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (402, (Kind.DENIED, Reason.BUDGET, Limit.BUDGET)),
        (403, (Kind.DENIED, Reason.POLICY_OTHER, None)),
        (404, (Kind.INVALID_REQUEST, Reason.CLIENT_ERROR, None)),
        (500, (Kind.UPSTREAM_ERROR, Reason.INTERNAL, None)),
        (525, (Kind.UPSTREAM_ERROR, Reason.INTERNAL, None)),
        (307, (Kind.INVALID_RESPONSE, Reason.REDIRECT, None)),
    ],
)
def test_others_are_what_they_are(status, finding):
    """Their twins, and money that is spent."""
    assert of_status(status) == finding
