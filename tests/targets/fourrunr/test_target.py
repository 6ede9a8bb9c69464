"""The 4Runr gateway's calls as bytes."""

import json

import pytest

from soaklib.errors import SettingsError
from soaklib.plan.model import TargetTable, load_plan
from soaklib.targets import load_target
from soaklib.targets.base import Identity
from soaklib.targets.fourrunr.target import FourRunrTarget

PLAN = load_plan()
CHAT = PLAN.operations[1].steps[1]


@pytest.mark.parametrize("token", ["TOKEN.SIGNATURE", 'to"ken\\'])
def test_a_request_is_the_call_as_json_with_token_and_number_filled_in(token):
    """The body names token, tool, action and params, and the number replaces every {n} in them."""
    wire = FourRunrTarget().compile(CHAT, "enricher").request(Identity("r1-enricher-0", "enricher", token), 7)
    assert (wire.method, wire.path) == ("POST", "/api/proxy-request")
    assert dict(wire.headers) == {"Content-Type": "application/json", "Accept": "application/json"}
    assert json.loads(wire.body) == {
        "agent_token": token,
        "tool": "openai",
        "action": "chat",
        "params": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": "Summarise article 7."}],
            "input": "Summarise article 7.",
        },
    }


def test_the_default_plan_is_for_it_and_an_option_that_it_has_not_is_refused():
    """Its table is empty."""
    assert load_target(PLAN.target).kind == "4runr"
    with pytest.raises(SettingsError, match="target of kind '4runr': colour: there is no such key"):
        load_target(TargetTable.model_validate({"kind": "4runr", "colour": "red"}))
