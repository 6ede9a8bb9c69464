"""Every fact of a call stands in the column that bears its name."""

from soaklib.plan.workload import Call
from soaklib.records import Expected, Kind, Reason
from soaklib.records.rows import Outcome
from soaklib.runner.rows import Planned, outcome_of
from soaklib.targets.base import Identity, Limit, Reading

_NUMBERS = iter(range(100, 200))
READING = Reading(Kind.DENIED, Reason.BUDGET, Limit.TOKENS, "abc")._replace(
    **{name: next(_NUMBERS) for name in Reading._fields[4:] if name != "lost_identity"}
)
CALL = Call(0, "a role", "a tool", "an action", Expected.DENY, None)
PLANNED = Planned("probe", 1, (CALL, CALL), 1, "chaos", lane=3)
WHOSE = Identity("a name", "a role", "a secret", generation=4, key_id="a key")


def row():
    return outcome_of(
        PLANNED, 1, 5, READING, Expected.EITHER, identity=WHOSE, sent_us=6, done_us=7, status=403
    )._asdict()  # fmt: skip


def test_what_an_answer_says_stands_under_its_own_name():
    """Each value differs, so two that change places are seen."""
    told = {name: value for name, value in READING._asdict().items() if name in Outcome._fields}
    assert set(Reading._fields) - set(told) == {"lost_identity"}
    assert {name: row()[name] for name in told} == told


def test_whose_it_was_and_when_it_was_planned_stand_under_their_names():
    """With the answer's they are all the columns that there are; no secret is among them."""
    told = {
        "purpose": "probe", "slot": 1, "step": 1, "phase": "chaos", "lane": 3, "role": "a role", "tool": "a tool",
        "action": "an action", "expected": "either", "planned_at_us": 5, "sent_at_us": 6, "done_at_us": 7,
        "status": 403, "attempts": 1, "identity": "a name", "token_generation": 4, "key_id": "a key",
    }  # fmt: skip
    assert {name: row()[name] for name in told} == told
    assert set(Outcome._fields) == set(told) | set(READING._asdict()) - {"lost_identity"}
    assert "a secret" not in row().values()
