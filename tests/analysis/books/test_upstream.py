"""Client, gateway and upstream held against each other: events of the upstream beside calls made row by row."""

import json
from contextlib import closing

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.books.upstream import upstream_lateness
from soaklib.analysis.verdicts.criteria.oracles import upstream_asked_once
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName, Scrape
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

SECOND = 1_000_000


def call(second, tool="serpapi", **more):
    row = {"planned_at_us": second * SECOND, "sent_at_us": second * SECOND, "done_at_us": second * SECOND + 1000}
    return outcome(second, tool=tool, **(row | {"input_tokens": 9, "output_tokens": 3} | more))


def counted(second, each, *, began_s=1.0, late=(0, 0.0)):
    """Give the event of what the upstream said: tool -> (answers, tokens in, tokens out)."""
    told = {
        "asked_us": second * SECOND, "began_s": began_s, "late": dict(zip(("count", "max_ms"), late, strict=True)),
        "each": {tool: dict(zip(("answers", "in", "out"), said, strict=True)) for tool, said in each.items()},
    }  # fmt: skip
    return Event(second * SECOND + 2000, EventName.UPSTREAM_COUNTED, "", None, data=json.dumps(told))


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of calls, what the upstream said, and the gateway's cache hits by minute."""
    opened = []

    def make(calls, *events, hits=()):
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        written_run(folder, plan=load_plan(), rows=calls, events=events)
        at = [minute * 60 * SECOND for minute in range(len(hits))]
        with closing(RunWriter(folder / DATABASE_NAME)) as writer:
            scrapes = [tuple(Scrape(at_us, "metrics", 200, True, 1000, 10, None)) for at_us in at]
            samples = [(at_us, "gateway_cache_hits_total", (), float(n)) for at_us, n in zip(at, hits, strict=True)]
            writer.append({"scrapes": scrapes, "samples": samples})
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


CALLS = [*(call(second) for second in range(10, 20)), *(call(second, "openai") for second in range(20, 25))]
BEFORE = counted(5, {"serpapi": (100, 900, 300)})
TRUE = {"serpapi": (110, 990, 330), "openai": (5, 45, 15)}


def test_books_that_agree_pass_tool_by_tool(run_of):
    """What the upstream did before the soak does not count."""
    run = run_of(CALLS, BEFORE, counted(300, TRUE))
    columns = ("what", "model", "client", "client_most", "upstream", "asked_twice", "from_elsewhere")
    assert soaklib.upstream_books(run).select(columns).rows() == [
        ("answers", "openai", 5, 5, 5, 0, 0), ("answers", "serpapi", 10, 10, 10, 0, 0),
        ("tokens in", "openai", 45, 45, 45, 0, 0), ("tokens in", "serpapi", 90, 90, 90, 0, 0),
        ("tokens out", "openai", 15, 15, 15, 0, 0), ("tokens out", "serpapi", 30, 30, 30, 0, 0),
    ]  # fmt: skip
    verdict = upstream_asked_once(run)
    assert (verdict.state, verdict.measure, verdict.n) == ("pass", 0.0, 15)


@pytest.mark.parametrize(
    ("serpapi", "measure", "said"),
    [
        ((112, 990, 330), 2.0, "serpapi: 10 answered ok, 12 answers of the upstream, 2 that no call explains"),
        ((109, 990, 330), 1.0, "serpapi: 10 answered ok, 9 answers of the upstream, 1 that it gave no whole answer to"),
    ],
)
def test_an_upstream_that_was_asked_twice_or_not_at_all_fails(run_of, serpapi, measure, said):
    """A retry of what had succeeded is paid for twice; an answer that nobody gave is none."""
    verdict = upstream_asked_once(run_of(CALLS, BEFORE, counted(300, TRUE | {"serpapi": serpapi})))
    assert (verdict.state, verdict.measure) == ("fail", measure)
    assert said in verdict.detail


def test_a_call_whose_answer_never_came_explains_one_of_the_upstreams(run_of):
    """A timeout may have been answered upstream; one that policy refused never came so far."""
    lost, refused = call(30, kind="timeout", input_tokens=None), call(31, kind="denied", input_tokens=None)
    one_more = counted(300, TRUE | {"serpapi": (111, 999, 333)})
    assert upstream_asked_once(run_of([*CALLS, lost], BEFORE, one_more)).state == "pass"
    assert upstream_asked_once(run_of([*CALLS, refused], BEFORE, one_more)).state == "fail"


def test_an_upstream_with_other_names_is_held_as_a_whole(run_of):
    """Behind a gateway a tool may be called otherwise."""
    run = run_of(CALLS, counted(5, {}), counted(300, {"theirs": (14, 126, 42)}))
    assert soaklib.upstream_books(run)["model"].unique().to_list() == ["all"]
    assert upstream_asked_once(run).detail == (
        "all: 15 answered ok, 14 answers of the upstream, 1 that it gave no whole answer to"
    )


@pytest.mark.parametrize(
    ("hits", "state", "measure"),
    [((0, 0), "fail", 1.0), ((0, 1), "pass", 0.0), ((20, 5, 20, 6, 20, 6), "insufficient", 0.0)],
)
def test_what_the_gateway_had_in_its_cache_came_from_elsewhere(run_of, hits, state, measure):
    """Where several processes answer the scrapes in turn nobody knows how much that was."""
    run = run_of(CALLS, BEFORE, counted(300, TRUE | {"serpapi": (109, 990, 330)}), hits=hits)
    verdict = upstream_asked_once(run)
    assert (verdict.state, verdict.measure) == (state, measure)
    assert ("several processes answer /metrics in turn" in verdict.detail) is (state == "insufficient")


def test_nothing_is_claimed_without_the_upstreams_word(run_of):
    """Of none, of one word alone, and of an upstream that began anew between two."""
    for events in ((), (BEFORE,), (BEFORE, counted(300, TRUE, began_s=2.0))):
        run = run_of(CALLS, *events)
        assert soaklib.upstream_books(run).height == 0
        assert upstream_asked_once(run).state == "not applicable"


def test_what_was_late_upstream_is_said_and_is_not_the_gateways(run_of):
    """How often during the run, and by how much."""
    run = run_of(CALLS, counted(5, {"serpapi": (100, 900, 300)}, late=(3, 20.0)), counted(300, TRUE, late=(5, 40.4)))
    assert upstream_lateness(run) == (2, 40.4)
    assert upstream_asked_once(run).detail.endswith("the upstream itself was late 2 times, by up to 40 ms")
    assert upstream_lateness(run_of(CALLS)) is None
