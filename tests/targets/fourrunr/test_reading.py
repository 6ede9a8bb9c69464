"""What an answer says in all the forms in which gateways say it."""

import orjson
import pytest

from soaklib.records import Kind, Reason
from soaklib.targets.base import Limit
from soaklib.targets.fourrunr.reading import AnswerReader, read_answer

BUDGET = {
    "error": {
        "message": "Budget has been exceeded! Current cost: 76.16, Max budget: 10.0", "type": "budget_exceeded",
        "param": None, "code": "400",
    }
}  # fmt: skip
POLICY = {"error": {"message": "Policy denied: Scope 'a:b' not allowed", "type": "permission_error", "code": "403"}}
PROBLEM = {"type": "about:blank", "title": "Policy denied", "status": 403, "detail": "Scope 'a:b' not allowed"}
OVERLOADED = {"error": {"type": "overloaded_error", "message": "Overloaded"}}
RPC_ERROR = {"jsonrpc": "2.0", "error": {"code": -32000}}
UPSTREAM = (Kind.UPSTREAM_ERROR, Reason.UPSTREAM, None)
OK = (Kind.OK, None, None)


def success(data):
    return {"success": True, "data": data, "metadata": {}}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, BUDGET, (Kind.DENIED, Reason.QUOTA, Limit.BUDGET)),
        (429, BUDGET, (Kind.DENIED, Reason.QUOTA, Limit.BUDGET)),
        (403, POLICY, (Kind.DENIED, Reason.SCOPE, None)),
        (403, {"error": "Policy denied", "reason": "Scope 'a:b' not allowed"}, (Kind.DENIED, Reason.SCOPE, None)),
        (403, PROBLEM, (Kind.DENIED, Reason.SCOPE, None)),
        *((status, OVERLOADED, UPSTREAM) for status in (520, 521, 522, 523, 524, 529)),
        (500, OVERLOADED, (Kind.UPSTREAM_ERROR, Reason.INTERNAL, None)),
        (200, success(RPC_ERROR), UPSTREAM),
        (200, success({"jsonrpc": "2.0", "error": None, "result": {}}), OK),
        (200, success({"isError": True, "content": []}), UPSTREAM),
        (200, success({"isError": False, "content": []}), OK),
        (200, success({"choices": [], "error": {"code": 500}}), UPSTREAM),
        (200, success({"choices": []}), OK),
        (200, success([]), OK),
        (200, success({"jsonrpc": "2.0", "result": {"isError": True}}), UPSTREAM),
        (200, success({"jsonrpc": "2.0", "result": {"isError": False}}), OK),
        (200, success({"error": True}), UPSTREAM),
        (200, success({"error": False}), OK),
        (200, success({}) | {"error": {"code": -32000}}, UPSTREAM),
        (200, success({}) | {"error": None}, OK),
        (200, {"success": False, "data": {}}, (Kind.INVALID_RESPONSE, Reason.BODY_INVALID, None)),
    ],
)
def test_an_answer_is_what_it_says_it_is(status, body, told):
    """Error objects, problem details and errors inside a success, each by its words and not by its status alone."""
    assert read_answer(status, orjson.dumps(body), is_json=True) == told


def test_problem_details_are_read_by_their_own_content_type():
    """``application/problem+json`` is no success's, and an error's words are looked for in any body."""
    reader = AnswerReader()
    reader.head(403, {"Content-Type": "application/problem+json", "X-Correlation-Id": "req_\udcff" + "x" * 200})
    assert reader.feed(orjson.dumps(PROBLEM), 5)
    reading = reader.end()
    assert (reading.kind, reading.reason, reading.lost_identity) == (Kind.DENIED, Reason.SCOPE, False)
    assert reading.correlation_id is not None
    assert len(reading.correlation_id) <= 128
    reading.correlation_id.encode()


def test_what_other_clients_read_is_read():
    """Numbers that JSON has no word for, and half a surrogate pair."""
    for data in (b'{"score":NaN}', b'{"text":"\\ud83d"}'):
        assert read_answer(200, b'{"success":true,"data":' + data + b"}", is_json=True) == OK
