"""What the paper says is chosen by the run's data: nothing is claimed of what did not happen."""

import copy
import dataclasses
import json
import re
from pathlib import Path

import duckdb
import pytest
from paper_texts import figures_of, plain_text

import soaklib
from soaklib.errors import RunError
from soaklib.records import Kind
from soaklib.whitepaper.catalogue import CATALOGUE
from soaklib.whitepaper.document import Bullets, Code, Figure, Link, Paragraph, Section, Table, Tiles, plain
from soaklib.whitepaper.ledger import Ledger, Row
from soaklib.whitepaper.prose import Writer
from soaklib.whitepaper.sections import written_paper
from soaklib.whitepaper.sections.changes import _shift, changes
from soaklib.whitepaper.sections.figures import FIGURES
from soaklib.whitepaper.sections.front import _ended, _failed
from soaklib.whitepaper.sections.glossary import MEANINGS, TERMS
from soaklib.whitepaper.sections.limits import limits
from soaklib.whitepaper.sections.questions import CREEP, QUESTIONS, judged
from soaklib.whitepaper.sections.references import WORKS
from soaklib.whitepaper.sections.results import _answered
from soaklib.whitepaper.sections.setup import setup


def _said(folder):
    """Give all that the paper of a run says, with plain spaces and apostrophes."""
    with soaklib.open_run(folder) as run:
        return _read(Writer(Ledger(run)))


def _read(writer):
    return plain_text(written_paper(writer, Path("nowhere")).sections)


@pytest.fixture
def sample_text(writer):
    """What the paper of the sample says."""
    return _read(writer)


def test_a_whole_rehearsal(sample_text):
    """A rehearsal that passed says so, with its numbers, and says what a rehearsal cannot tell."""
    assert "The run came to its planned end." in sample_text
    assert re.search(
        r"^Calls that succeeded: 99\.\d\d % of 43,\d{3} valid calls; 99\.\d\d to 99\.\d\d %$", sample_text, re.MULTILINE
    )
    assert re.search(r"^PASS with \d open questions$", sample_text, re.MULTILINE)
    assert "What failed" not in sample_text
    assert "What could not be judged, and why" in sample_text
    assert "It cannot show what only wall time brings" in sample_text
    assert "Its latencies say nothing about a gateway in production" in sample_text
    assert "No runner lived in" not in sample_text
    assert "were not sent because too many were in flight" not in sample_text


def test_the_first_page_is_the_verdict(writer):
    """What is seen first: the headline, five numbers, one picture, what is open, and the last good run; method last."""
    paper = written_paper(writer, Path("nowhere"))
    front = paper.sections[0]
    assert [type(block) for block in front.blocks] == [Paragraph, Paragraph, Tiles, Figure, Section, Section]
    assert front.blocks[0].tone == "open"
    assert len(front.blocks[2].items) == 5
    titles = [section.title for section in paper.sections]
    assert titles[:5] == ["Verdict", "Results", "Limits of the measurement", "Method", "Set-up and versions"]


def test_every_verdict_is_told_once(writer, sample_ledger):
    """Each criterion answers one of six questions, in one table; only what failed or is open is on the first page."""
    paper = written_paper(writer, Path("nowhere"))
    parts = [block for block in paper.sections[1].blocks if isinstance(block, Section)]
    assert [part.title for part in parts] == list(QUESTIONS)
    assert len(QUESTIONS) == 6
    told = [
        (plain(row[0].text), row[1].tone)
        for part in parts
        for table in part.blocks[:1]
        for row in table.rows
    ]  # fmt: skip
    rows = sample_ledger.rows("criteria")
    assert len(rows) > 20
    assert sorted(told) == sorted((row.claims["name"].text, row.claims["state"].value) for row in rows)
    measures = [plain(row[2].text) for part in parts for table in part.blocks[:1] for row in table.rows]
    text = _read(writer)
    for row in rows:
        detail = row.claims["detail"].text.replace("\N{NARROW NO-BREAK SPACE}", " ")
        alike = sum(other.claims["detail"].text == row.claims["detail"].text for other in rows)
        alike += sum(measure.replace("\N{NARROW NO-BREAK SPACE}", " ") == detail for measure in measures)  # 3 denials
        assert text.count(detail) == alike, row.name


def test_a_difference_of_shares_is_told_in_points(writer):
    """A table has no sentence around a measure that would say of what it is."""
    rows = [row for table in judged(writer, CREEP) for row in table.rows]
    [errors] = [plain(row[2].text) for row in rows if plain(row[0].text) == "no drift in errors"]
    assert errors.startswith("0 pp")


def test_a_criterion_that_no_question_claims_is_told_all_the_same(sample_ledger):
    """A criterion of another gateway's stands with the books: nothing that was judged is left out."""
    strange = sample_ledger.rows("criteria")[0]
    claims = dict(strange.claims)
    claims["name"] = dataclasses.replace(claims["name"], value="money adds up", text="money adds up")
    ledger = copy.copy(sample_ledger)
    ledger._rows = {**sample_ledger._rows, "criteria": [*sample_ledger.rows("criteria"), Row("criteria[x]", claims)]}
    paper = written_paper(Writer(ledger), Path("nowhere"))
    books = [block for block in paper.sections[1].blocks if isinstance(block, Section)][-1]
    said = [plain(row[0].text) for row in books.blocks[0].rows]
    kept = ["books balanced", "token books balanced", "money books balanced", "upstream asked once"]
    assert said == [*kept, "sessions closed", "money adds up"]


def test_a_failed_criterion_is_told_first(sample_ledger):
    """What failed stands on the first page with what was required, and in the table points there."""
    rows = list(sample_ledger.rows("criteria"))
    claims = dict(rows[0].claims)
    claims["state"] = dataclasses.replace(claims["state"], value="fail", text="fail")
    ledger = copy.copy(sample_ledger)
    ledger._rows = {**sample_ledger._rows, "criteria": [Row(rows[0].name, claims), *rows[1:]]}
    text = _read(Writer(ledger))
    assert "What failed\nfull duration: status completed after 24.00 of 24 soak-hours. Required: " in text
    assert "| 24 soak-hours, completed | see the first page" in text


def _comparison(folder, **changed):
    endpoint = {"endpoint": "median service time", "tool": "openai", "state": "different", "difference": 2.0}
    told = {"against": "week-1", "detail": "the last good run", "endpoints": [endpoint, {**endpoint, "state": "same"}]}
    (folder / "comparison.json").write_text(json.dumps(told | changed))
    with soaklib.open_run(folder) as run:
        return Ledger(run, [family for family in CATALOGUE if family.name == "earlier"])


def test_what_a_run_is_judged_against_is_told(copy_sample, sample_ledger):
    """The first page names the good run; that of a run that is judged by itself does not speak of it."""
    folder = copy_sample()
    named = {"reference": {"run_id": "week-1", "sha256": "0"}}
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        connection.execute("update run set environment = ?", [json.dumps(named)]).fetchall()
    with soaklib.open_run(folder) as run:
        told = Ledger(run, [family for family in CATALOGUE if family.name == "reference"])
    ledger = copy.copy(sample_ledger)
    ledger._rows = {**sample_ledger._rows, "reference": told.rows("reference")}
    said = "judged against week-1: what it shows at the same time of day is no drift."
    assert said in _read(Writer(ledger))
    assert "judged against" not in _read(Writer(sample_ledger))


def test_the_last_good_run_is_told(copy_sample, sample_ledger):
    """A weekly soak says how it compares, and with what; without an earlier run it says why."""
    folder = copy_sample()
    worse = _comparison(folder)
    ledger = copy.copy(sample_ledger)
    ledger._rows = {**sample_ledger._rows, "earlier": worse.rows("earlier")}
    assert (
        "Against week-1, the last good run: of 2 measures 1 stayed within their margin, 1 got worse, 0 got better, and "
        "0 could not be decided; these got worse: median service time (openai)."
    ) in _read(Writer(ledger))
    assert "From week to week" not in _read(Writer(ledger))
    step = "over 12 runs: p99 service time (openai) [ms] changed from 40 to 52 with week-9 (p = 0.005)"
    changed = _comparison(folder, over_weeks=[step, "over 12 runs: another"])
    ledger._rows = {**sample_ledger._rows, "earlier": changed.rows("earlier")}
    assert f"From week to week: {step}; over 12 runs: another." in _read(Writer(ledger))
    first = _comparison(folder, against=None, detail="it is the first", endpoints=[])
    ledger._rows = {**sample_ledger._rows, "earlier": first.rows("earlier")}
    assert "There was nothing to compare with: it is the first." in _read(Writer(ledger))
    with pytest.raises(RunError, match="cannot be read as a comparison"):
        _comparison(folder, endpoints=None)


def _links(value):
    match value:
        case Link():
            yield value
        case Section(blocks=inner) | (list(inner) | tuple(inner)):
            for part in inner:
                yield from _links(part)
        case Paragraph(text=inner) | Bullets(items=inner) | Table(rows=inner) | Figure(caption=inner):
            yield from _links(inner)


def test_every_figure_is_there_with_n(writer):
    """Each caption states its n, and an interval or why there is none."""
    paper = written_paper(writer, Path("nowhere"))
    figures = list(figures_of(paper.sections))
    # a steady load that streams nothing; books without a difference
    nothing_to_see = {"tool-usage", "first-token", "reconciliation-residuals"}
    assert {figure.name for figure in figures} == set(FIGURES) - nothing_to_see
    for figure in figures:
        text = plain(figure.caption)
        assert "n = " in text, figure.name
        assert re.search(r"intervals?|band", text), figure.name


def test_figures_and_works_are_pointed_at(writer):
    """The text points at every figure but the one on the first page, and at every work; it points at nothing else."""
    paper = written_paper(writer, Path("nowhere"))
    links = list(_links(paper.sections))
    figures = {figure.name for figure in figures_of(paper.sections)}
    assert {link.target for link in links if link.kind == "figure"} == figures - {"success-rate"}
    assert {link.target for link in links if link.kind == "reference"} == set(WORKS)
    assert {link.target for link in links if link.kind == "file"} == {"claims.json"}


def test_queries_are_in_their_file(writer):
    """The paper names claims.json in place of printing its queries; what has to be imported before is shown."""
    paper = written_paper(writer, Path("nowhere"))
    [code] = [block for section in paper.sections for block in section.blocks if isinstance(block, Code)]
    assert code.text.startswith("import polars as pl")


def test_every_outcome_is_defined():
    """The glossary has a meaning for each kind there is, and its terms stand in order."""
    assert set(MEANINGS) == set(Kind)
    assert list(TERMS) == sorted(TERMS)


def test_an_interrupted_run(copy_sample):
    """A run that was cut off says where, what it could not try, and which changes never came."""
    cut_us = "(select min(started_at_us) + 119166667 from segments)"
    tables = dict.fromkeys(("samples", "scrapes", "events", "runner_health"), "at_us") | {"outcomes": "planned_at_us"}
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
    assert "What failed" in text
    assert "full duration: status interrupted after 11.92 of 24 soak-hours. Required: 24 soak-hours, completed." in text


def test_a_gateway_without_a_route(ask):
    """A change that the gateway has no route for is not said to have been borne."""
    text = _read(
        ask(
            "update events set name = 'CHANGE_UNSUPPORTED', detail = split_part(event_key, ':', 3) || ': no such "
            "route' where event_key like 'change:%'",
            "update run set embedded = false, target = 'https://gateway.example', speed = 1.0",
            judged=("scheduled changes made", "quota cut works", "limits held"),
        )
    )
    assert "The gateway has no route for these changes, so that this run says nothing of them: " in text
    assert "rotate-credentials, chaos and update-policy." in text
    assert "What a change did to the calls of its tool." not in text
    assert "Not asked of this gateway or plan, and not passed: " in text
    assert "the gateway at https://gateway.example" in text
    assert "rehearsal" not in text
    assert "The network between generator and gateway is part of every latency." in text


def test_a_resumed_run(ask):
    """A gap is told with its length, and so are the calls that were missed in it."""
    writer = ask(
        "update segments set ended_at_us = 100000000, soak_ended_s = 35696.5",
        "insert into segments values (1, 107500000, 35696.5, 240844960, 86400.0, 1)",
        "update outcomes set kind = 'missed', sent_at_us = null, done_at_us = null, attempts = 0, status = null, "
        "reason = 'no_runner' where planned_at_us between 100000000 and 100100000",
        judged=("full duration",),
    )
    text = plain_text([Paragraph(_ended(writer)), limits(writer), setup(writer)])
    assert "It was cut off and taken up again, which left 1 gap without a runner, 7.5 s of wall time in all." in text
    assert re.search(r"\d+ calls that were planned meanwhile are of kind missed", text)
    assert "2 stretches in which a runner lived" in text


@pytest.mark.parametrize("is_resumed", [False, True], ids=["of one stretch", "of two"])
def test_a_run_that_goes_on_has_reached_its_latest_call(ask, is_resumed):
    """Not the beginning of the stretch that lasts, nor the end of the one before it."""
    later = "values (1, 60000000, 21248.3, null, null, 1)"
    before = ["update segments set ended_at_us = 50000000, soak_ended_s = 21248.3", f"insert into segments {later}"]
    ends = "update segments set ended_at_us = null, soak_ended_s = null"
    writer = ask(*(before if is_resumed else [ends]), "update run set status = 'running', completed_utc = null")
    reached = writer.ledger._run.sql("select max(soak_s) / 3600 from calls").item()
    assert reached > 23
    assert f"it had reached {reached:.4g} soak h of 24 soak-hours" in plain_text([Paragraph(_ended(writer))])


def test_a_run_in_which_nothing_was_recorded(copy_sample):
    """A run that died at once makes a paper that says there is nothing, and no number that nobody measured."""
    tables = ("outcomes", "samples", "scrapes", "events", "runner_health", "segments", "verdicts")
    text = _said(
        copy_sample(
            *(f"delete from {table}" for table in tables),
            "update run set status = 'running', completed_utc = null, duration_s = null",
        )
    )
    assert "Calls that succeeded: not known no valid call counts" in text
    assert "Time the generator was late: " in text
    assert "No call counts towards the success rate." in text
    assert "The run had not ended when this was written" in text
    assert "The generator left no record of its own schedule" in text
    assert "No call of the load was sent and ended, so that there is no latency to state." in text


def test_losses_are_told(ask):
    """Dropped calls, calls that were given up, and a late generator stand among the limits."""
    writer = ask(
        "update outcomes set kind = 'dropped', reason = 'in_flight_cap' where purpose = 'load' and slot < 5",
        "update outcomes set kind = 'timeout', reason = 'read_timeout' where purpose = 'load' and slot in (10, 11)",
        "update runner_health set schedule_lag_max_us = 5000000 where at_us > 220000000",
        judged=("measurement valid",),
    )
    text = plain_text([*_failed(writer), *_answered(writer), limits(writer)])
    assert re.search(
        r"^[5-9] calls were not sent because too many were in flight; those of the load count as failures\.$",
        text,
        re.MULTILINE,
    )
    assert re.search(r"^[2-4] calls were given up without a whole answer\.", text, re.MULTILINE)
    assert re.search(
        r"Now and then the generator was later than 100 ms: the generator was late in \d+ of \d+ wall seconds\.", text
    )
    assert re.search(r"measurement valid: the generator was late in \d+ of \d+ wall seconds\. Required: ", text)
    assert re.search(
        r"Counting the calls of moments in which the generator was late as well, 99\.\d+ % of 43,\d{3} calls succeeded",
        text,
    )


def test_a_single_loss_is_told_in_the_singular(ask):
    """What happened a single time is told of as such."""
    writer = ask(
        "update outcomes set kind = 'dropped', reason = 'in_flight_cap' "
        "where purpose = 'load' and slot = 0 and step = 0",
    )
    text = plain_text([limits(writer)])
    assert "1 call was not sent because too many were in flight; it counts as a failure, if it was of the load." in text


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


def test_changes_by_hand_are_told(ask, sample_text):
    """What somebody changed beside the plan stands with the changes, and its number among the limits."""
    writer = ask(
        "insert into events by name select 130000000 as at_us, 'CHAOS_MODE_ON' as name, "
        "'by hand: tool=serpapi mode=500 pct=50' as detail, 'inbox:1' as event_key",
        "insert into events by name select 129000000 as at_us, 'HEALTH_GATE_PASSED' as name, 'by hand: before' as "
        "detail, 'inbox:0' as event_key",
    )
    told = re.compile(r"^H\+\d+:\d\d, CHAOS_MODE_ON: by hand: tool=serpapi mode=500 pct=50$", re.MULTILINE)
    assert told.search(plain_text(changes(writer)))
    assert "1 change was made by hand while the run went on, beside the plan; " in plain_text([limits(writer)])
    assert "by hand while" not in sample_text
