"""What the paper says is chosen by the run's data: nothing is claimed of what did not happen."""

import dataclasses
import re
from pathlib import Path

import pytest

import soaklib
from soaklib.records import Kind
from soaklib.whitepaper.document import Bullets, Figure, Paragraph, Section, Table, plain
from soaklib.whitepaper.ledger import Ledger, Row
from soaklib.whitepaper.prose import Writer
from soaklib.whitepaper.sections import written_paper
from soaklib.whitepaper.sections.appendix import MEANINGS
from soaklib.whitepaper.sections.changes import _shift
from soaklib.whitepaper.sections.figures import FIGURES


def _texts(blocks):
    for block in blocks:
        match block:
            case Section():
                yield block.title
                yield from _texts(block.blocks)
            case Paragraph():
                yield plain(block.text)
            case Bullets():
                yield from map(plain, block.items)
            case Table():
                yield plain(block.caption)
                for row in block.rows:
                    yield " | ".join(plain(cell.text) for cell in row)
            case Figure():
                yield plain(block.caption)


def _said(folder):
    """Give all that the paper of a run says, with plain spaces and apostrophes."""
    with soaklib.open_run(folder) as run:
        return _read(Writer(Ledger(run)))


def _read(writer):
    paper = written_paper(writer, Path("nowhere"))
    text = "\n".join(_texts(paper.sections))
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


@pytest.fixture
def sample_text(writer):
    """What the paper of the sample says."""
    return _read(writer)


def test_a_whole_rehearsal(sample_text):
    """A rehearsal that passed says so, with its numbers, and says what a rehearsal cannot tell."""
    assert "The run came to its planned end." in sample_text
    assert re.search(
        r"Success rate: pass\. 99\.\d{3} % of 43,\d{3} (valid )?calls that count succeeded \(95 % interval 9\d\.\d{3} "
        r"to 99\.\d{3} %; required: ≥ 97 %\)",
        sample_text,
    )
    assert re.search(
        r"Of \d+ acceptance criteria, \d+ passed, 0 failed, \d+ could not be judged, and \d+ do(es)? not apply\.",
        sample_text,
    )
    assert "What failed:" not in sample_text
    assert "It cannot tell what only wall time brings forth" in sample_text
    assert "Its latencies say nothing about a gateway in production" in sample_text
    assert "No runner lived in" not in sample_text
    assert "were not sent because too many were in flight" not in sample_text


def test_every_verdict_is_there_with_what_was_seen(sample_text, sample_ledger):
    """Each criterion has its row in the table, and what was seen of it stands with the results."""
    rows = sample_ledger.rows("criteria")
    assert len(rows) > 20
    for row in rows:
        name, state = row.claims["name"].text, row.claims["state"].text
        assert re.search(rf"^{re.escape(name)} \| {state} \| ", sample_text, re.MULTILINE), name
        assert f"{name}: {state}. Required: " in sample_text, name


def test_every_figure_is_there_with_n(writer):
    """Each caption states its n, and an interval or why there is none."""
    paper = written_paper(writer, Path("nowhere"))
    [results] = [section for section in paper.sections if section.title == "Results"]
    figures = [block for part in results.blocks for block in part.blocks if isinstance(block, Figure)]
    assert [figure.name for figure in figures] != []
    assert {figure.name for figure in figures} == set(FIGURES)
    for figure in figures:
        text = plain(figure.caption)
        assert "n = " in text or "n\N{NO-BREAK SPACE}=" in text or re.search(r"planned calls", text), figure.name
        assert re.search(r"interval|band", text), figure.name


def test_every_outcome_is_defined():
    """The appendix has a meaning for each kind there is."""
    assert set(MEANINGS) == set(Kind)


def test_an_interrupted_run(copy_sample):
    """A run that was cut off says where, what it could not try, and which changes never came."""
    cut_us = "(select min(started_at_us) + 119166667 from segments)"
    tables = {
        "outcomes": "planned_at_us",
        "samples": "at_us",
        "scrapes": "at_us",
        "events": "at_us",
        "runner_health": "at_us",
    }
    text = _said(
        copy_sample(
            *(f"delete from {table} where {column} > {cut_us}" for table, column in tables.items()),
            "update segments set ended_at_us = started_at_us + 119166667, soak_ended_s = 42900",
            "update run set status = 'interrupted'",
        )
    )
    assert "The run was interrupted at 11.92 soak h of 24 soak-hours" in text
    assert "It ended as interrupted at 11.92 soak h" in text
    assert (
        "These changes were planned and did not happen, so that their effect cannot be judged: chaos and update-policy."
        in text
    )
    assert "What failed:" in text
    assert (
        "full duration. Required: 24 soak-hours, completed. Seen: status interrupted after 11.92 of 24 soak-hours."
        in text
    )


def test_a_gateway_without_a_route(copy_sample):
    """A change that the gateway has no route for is not said to have been borne."""
    text = _said(
        copy_sample(
            "update events set name = 'CHANGE_UNSUPPORTED', detail = split_part(event_key, ':', 3) || ': no such "
            "route' where event_key like 'change:%'",
            "update run set embedded = false, target = 'https://gateway.example', speed = 1.0",
        )
    )
    assert "The gateway has no route for these changes, so that this run says nothing of them: " in text
    assert "rotate-credentials, chaos and update-policy." in text
    assert "What a change did to the calls of its tool." not in text
    assert "These criteria do not apply to this gateway or plan, and are not passed: " in text
    assert "the gateway at https://gateway.example" in text
    assert "rehearsal" not in text
    assert "The network between generator and gateway is part of every latency." in text


def test_a_resumed_run(copy_sample):
    """A gap is told with its length, and so are the calls that were missed in it."""
    text = _said(
        copy_sample(
            "update segments set ended_at_us = 100000000, soak_ended_s = 35696.5",
            "insert into segments values (1, 107500000, 35696.5, 240844960, 86400.0, 1)",
            "update outcomes set kind = 'missed', sent_at_us = null, done_at_us = null, attempts = 0, status = null, "
            "reason = 'no_runner' where planned_at_us between 100000000 and 100100000",
        )
    )
    assert "It was cut off and taken up again: 1 gap in which no runner lived, 7.5 s of wall time in all." in text
    assert re.search(r"\d+ calls that were planned meanwhile are of kind missed", text)
    assert "2 stretches in which a runner lived" in text


def test_a_run_in_which_nothing_was_recorded(copy_sample):
    """A run that died at once makes a paper that says there is nothing, and no number that nobody measured."""
    tables = ("outcomes", "samples", "scrapes", "events", "runner_health", "segments", "verdicts")
    text = _said(
        copy_sample(
            *(f"delete from {table}" for table in tables),
            "update run set status = 'running', completed_utc = null, duration_s = null",
        )
    )
    assert "No valid call counts towards it, so that there is none to state." in text
    assert "The run had not ended when this was written" in text
    assert "The generator left no record of its own schedule" in text
    assert "No call of the load was sent and ended, so that there is no latency to state." in text


def test_losses_are_told(copy_sample):
    """Dropped calls, calls that were given up, and a late generator stand among the limits."""
    text = _said(
        copy_sample(
            "update outcomes set kind = 'dropped', reason = 'in_flight_cap' where purpose = 'load' and slot < 5",
            "update outcomes set kind = 'timeout', reason = 'read_timeout' where purpose = 'load' and slot in (10, 11)",
            "update runner_health set schedule_lag_max_us = 5000000 where at_us > 220000000",
        )
    )
    assert re.search(
        r"^[5-9] calls were not sent because too many were in flight; they count as failures\.$", text, re.MULTILINE
    )
    assert re.search(r"^[2-4] calls were given up without a whole answer\.", text, re.MULTILINE)
    assert re.search(
        r"Now and then the generator was later than 100 ms: the generator was late in \d+ of \d+ wall seconds\.", text
    )
    assert "Could the generator itself be trusted? The criterion says fail: " in text
    assert re.search(
        r"of \d\d,\d{3} valid calls that count succeeded .* Of all 43,\d{3} calls that count, those of moments in "
        r"which the generator was late included, 99\.\d{3} % succeeded",
        text,
    )


def test_a_single_loss_is_told_in_the_singular(copy_sample):
    """What happened a single time is told of as such."""
    text = _said(
        copy_sample(
            "update outcomes set kind = 'dropped', reason = 'in_flight_cap' where purpose = 'load' and slot = 0 and "
            "step = 0",
        )
    )
    assert "1 call was not sent because too many were in flight; it counts as a failure." in text


def test_each_difference_at_a_change_has_its_own_p_value(writer, sample_ledger):
    """What is said of a change is the p-value of that difference, not one of both together; equal times say so."""
    [chaos] = [row for row in sample_ledger.rows("change_shifts") if row.claims["transient"].value is not None]
    claims = dict(chaos.claims)
    claims["shift_p_value"] = dataclasses.replace(claims["shift_p_value"], value=1.0, text="1")
    claims["transient_p_value"] = dataclasses.replace(claims["transient_p_value"], value=0.001, text="0.001")
    claims["shift"] = dataclasses.replace(claims["shift"], text="0", low=None, high=None)
    claims["transient"] = dataclasses.replace(claims["transient"], text="56.021", low=50.0, high=62.0)
    changes = {row.claims["number"].value: row for row in sample_ledger.rows("changes")}
    said = plain(_shift(writer, Row(chaos.name, claims), changes))
    assert re.fullmatch(
        r"chaos on openai: while it lasted 56\.021 percentage points more than before \(50 to 62; p = 0\.001\); "
        r"afterwards 0 percentage points more than before \(no interval, since all placebo times are alike; p = 1\); "
        r"\d+ placebo times\.",
        said,
    )


def test_changes_by_hand_are_told(copy_sample, sample_text):
    """What somebody changed beside the plan stands with the changes, and its number among the limits."""
    text = _said(
        copy_sample(
            "insert into events by name select 130000000 as at_us, 'CHAOS_MODE_ON' as name, "
            "'by hand: tool=serpapi mode=500 pct=50' as detail, 'inbox:1' as event_key",
            "insert into events by name select 129000000 as at_us, 'HEALTH_GATE_PASSED' as name, 'by hand: before' as "
            "detail, 'inbox:0' as event_key",
        )
    )
    assert re.search(r"^H\+\d+:\d\d, CHAOS_MODE_ON: by hand: tool=serpapi mode=500 pct=50$", text, re.MULTILINE)
    assert "1 change was made by hand while the run went on, beside the plan; the section on changes lists it." in text
    assert "by hand while" not in sample_text
