"""Time to first token: of streams alone, from their sending; what was given up before it waited longer."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.stability import no_drift_in_first_token
from soaklib.analysis.verdicts.endpoints import FIRST_TOKEN, endpoint_series
from soaklib.plan.model import load_plan

SECOND, MS = 1_000_000, 1000


def stream(second, first_ms, *, tool="fast", kind="ok", took_ms=900):
    first = None if first_ms is None else second * SECOND + 10 + round(first_ms * MS)
    return outcome(
        second, tool=tool, action="stream", kind=kind, planned_at_us=second * SECOND - 50 * MS,
        sent_at_us=second * SECOND + 10, done_at_us=second * SECOND + 10 + took_ms * MS, first_token_at_us=first,
    )  # fmt: skip


def chat(second, tool="fast", kind="ok"):
    return outcome(
        second, tool=tool, action="chat", kind=kind, planned_at_us=second * SECOND, sent_at_us=second * SECOND,
        done_at_us=second * SECOND + 5 * MS,
    )  # fmt: skip


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of ten minutes of calls."""
    opened = []

    def make(*calls, **of_run):
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        opened.append(soaklib.open_run(written_run(folder, plan=load_plan(), rows=calls, **of_run)))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


def test_it_is_of_streams_and_from_their_sending(run_of):
    """Chats have none, whatever their tool streams beside; a run and a frame of its calls say the same."""
    run = run_of(*(stream(second, second) for second in range(1, 101)), *(chat(second) for second in range(1, 101)))
    found = soaklib.first_token(run, every="all", quantiles=[0.5, 0.9])
    assert found.select("tool", "measure", "quantile", "latency_ms", "at_least", "n", "sufficient").rows() == [
        ("fast", "first token", 0.5, 50.0, False, 100, True), ("fast", "first token", 0.9, 90.0, False, 100, True),
    ]  # fmt: skip
    assert (found["low_ms"] < found["latency_ms"]).all()
    assert (found["latency_ms"] < found["high_ms"]).all()
    assert_frame_equal(soaklib.first_token(run.outcomes(), every="all", quantiles=[0.5, 0.9]), found)


def test_what_was_given_up_before_it_is_longer_than_its_wait(run_of):
    """A stream that timed out without a token counts behind all; one that had its first has it; a refusal has none."""
    begun = [stream(second, second) for second in range(1, 81)]
    silent = [stream(second, None, kind="timeout", took_ms=30) for second in range(81, 101)]
    stalled = [stream(second, second, kind="timeout") for second in range(101, 121)]
    refused = [stream(second, None, kind="rate_limited") for second in range(121, 141)]
    hung_chats = [chat(second, kind="timeout") for second in range(141, 161)]
    run = run_of(*begun, *silent, *stalled, *refused, *hung_chats)
    found = soaklib.first_token(run, every="all", by=(), quantiles=[0.5, 0.9])
    assert found.select("latency_ms", "at_least", "n").rows() == [(60.0, False, 120), (108.0, True, 120)]


def test_nothing_streamed_is_no_row_and_not_applicable(run_of):
    """As of a gateway that cannot stream."""
    run = run_of(*(chat(second) for second in range(1, 101)))
    assert soaklib.first_token(run).height == 0
    verdict = no_drift_in_first_token(run)
    assert (verdict.state, verdict.detail) == ("not applicable", "nothing was streamed")


@pytest.mark.parametrize(("creep_ms", "state"), [(0.0, "pass"), (40.0, "fail")])
def test_a_creeping_first_token_is_found_though_whole_answers_take_as_long_as_ever(run_of, creep_ms, state):
    """Of the tool that streams; one that does not is none of it."""
    calls = [
        stream(second, 100 + second % 7 / 10 + creep_ms * second / 600, took_ms=900) for second in range(600)
    ]  # fmt: skip
    run = run_of(*calls, *(chat(second, "other") for second in range(600)), speed=144.0)
    series = endpoint_series(run, FIRST_TOKEN).filter(pl.col("n") > 0)
    assert set(series["tool"]) == {"fast"}
    verdict = no_drift_in_first_token(run)
    assert (verdict.name, verdict.state) == ("no drift in time to first token", state), verdict
    assert verdict.detail.startswith("fast: ")
    assert "other" not in verdict.detail
