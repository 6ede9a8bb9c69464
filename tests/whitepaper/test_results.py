"""What the paper says of calls and changes, where a run has more than one of a kind."""

from paper_texts import plain_text, texts_of

from soaklib.whitepaper.sections.results import _changes, _ran

JUDGED = ("no false-allow",)


def test_each_chaos_on_a_tool_has_its_own_recovery(ask):
    """Two of them on one tool: a row each, named by the change, and a sentence each that says which."""
    writer = ask(
        """insert into events (at_us, name, detail, event_key)
           select at_us - 10000000, name, detail, replace(event_key, ':1:', ':3:') from events
           where event_key like 'change:1:chaos%'""",
        judged=JUDGED,
    )
    rows = writer.ledger.rows("recoveries")
    assert [row.name for row in rows] == ["recoveries[3/openai]", "recoveries[1/openai]"]
    told = [text for text in texts_of(_changes(writer)) if "chaos had ended at" in text]
    assert len(set(told)) == 2


def test_trials_are_told_beside_the_planned_calls(ask):
    """So that the table of what became of all adds up with the sentence above it."""
    beside = "came beside them"
    assert beside not in plain_text(_ran(ask(judged=JUDGED)))
    told = plain_text(_ran(ask("update outcomes set purpose = 'trial' where purpose = 'probe'", judged=JUDGED)))
    assert f"were load and 0 probes; 1,440 trials of tokens that must be refused {beside}." in told
