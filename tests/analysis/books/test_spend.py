"""Money and keys: what answers say they cost, against counters, model by model and key by key."""

from contextlib import closing

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.oracles import money_balanced, tokens_balanced
from soaklib.errors import SettingsError
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import Sample, Scrape
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

SECOND = 1_000_000
SPEND, TOKENS_IN = "litellm_spend_metric_total", "litellm_input_tokens_metric_total"
ALPHA, BETA, OTHERS = "a" * 64, "b" * 64, "c" * 64


def call(second, model="fast", cost_usd=0.1, key=ALPHA, **more):
    return outcome(
        second, sent_at_us=second * SECOND, planned_at_us=second * SECOND, done_at_us=second * SECOND + 1000,
        tool=model, cost_usd=cost_usd, key_id=None if key is None else key[:16], **more,
    )  # fmt: skip


@pytest.fixture
def run_of(tmp_path):
    """Give a function that makes a run of calls and of counters: (metric, labels) -> what it counted by second 300."""
    opened = []

    def make(calls, counted):
        folder = tmp_path / f"run{len(opened)}"
        folder.mkdir()
        target = TargetTable(kind="openai", is_litellm=True)
        written_run(folder, plan=load_plan().model_copy(update={"target": target}), rows=calls)
        readings = [(5 * SECOND, dict.fromkeys(counted, 0.0)), (300 * SECOND, counted)]
        with closing(RunWriter(folder / DATABASE_NAME)) as writer:
            writer.append(
                {
                    "scrapes": [tuple(Scrape(at, "metrics", 200, True, 1000, 10, None)) for at, _ in readings],
                    "samples": [
                        tuple(Sample(at, metric, labels, value))
                        for at, values in readings
                        for (metric, labels), value in values.items()
                    ],
                }
            )
        opened.append(soaklib.open_run(folder))
        return opened[-1]

    yield make
    for run in opened:
        run.close()


def of(model, key=None, metric=SPEND):
    labels = (("requested_model", model),) if key is None else (("hashed_api_key", key), ("requested_model", model))
    return metric, labels


CALLS = [
    *(call(second) for second in range(10, 20)),
    *(call(second, key=BETA) for second in range(20, 23)),
    *(call(second, "second", 0.7) for second in range(30, 32)),
]
TRUE = {of("fast", ALPHA): 1.0, of("fast", BETA): 0.3, of("second", ALPHA): 1.4}


def test_money_that_agrees_passes_by_model_and_by_key(run_of):
    """Sums of tenths differ in their last digits, and that is no difference."""
    run = run_of(CALLS, TRUE)
    columns = ("source", "answers", "unstated", "lost", "too_many", "cause")
    by_model, by_key = soaklib.spend(run), soaklib.spend(run, by="key")
    assert by_model["model"].to_list() == ["fast", "second"]
    assert by_model["stated"].to_list() == pytest.approx([1.3, 1.4])
    assert by_model.select(columns).rows() == [("gateway", 13, 0, 0.0, 0.0, None), ("gateway", 2, 0, 0.0, 0.0, None)]
    assert by_key["key"].to_list() == [ALPHA[:16], BETA[:16]]
    assert by_key["counted"].to_list() == pytest.approx([2.4, 0.3])
    verdict = money_balanced(run)
    assert (verdict.state, verdict.measure, verdict.n) == ("pass", 0.0, 15)
    said = ("fast: 1.3 stated, 1.3 counted by the gateway", "second: 1.4 stated, 1.4 counted by the gateway")
    assert verdict.detail == "; ".join(said)


def test_money_booked_on_the_wrong_key_fails_though_its_model_balances(run_of):
    """That is what a bill is made of."""
    verdict = money_balanced(run_of(CALLS, TRUE | {of("fast", ALPHA): 0.9, of("fast", BETA): 0.4}))
    assert (verdict.state, verdict.measure) == ("fail", pytest.approx(0.2))
    assert f"{BETA[:16]}: 0.3 stated, 0.4 counted by the gateway (counted too often)" in verdict.detail
    assert f"{ALPHA[:16]}: 2.4 stated, 2.3 counted by the gateway (lost)" in verdict.detail


@pytest.mark.parametrize(("counted", "state"), [(1.0, "pass"), (0.9, "fail"), (1.1, "fail")])
def test_a_tenth_of_a_dollar_is_found(run_of, counted, state):
    """Lost, or counted too often; by models alone where the counter tells no keys apart."""
    run = run_of(CALLS[:10], {of("fast"): counted})
    verdict = money_balanced(run)
    assert (verdict.state, verdict.measure) == (state, pytest.approx(abs(counted - 1)))
    assert soaklib.spend(run, by="key")["key"].to_list() == ["all"]


def test_a_stream_that_says_nothing_of_its_cost_explains_no_more_than_the_dearest_answer(run_of):
    """As with tokens."""
    silent = call(40, cost_usd=None, action="stream")
    assert money_balanced(run_of([*CALLS[:10], silent], {of("fast", ALPHA): 1.1})).state == "pass"
    assert money_balanced(run_of([*CALLS[:10], silent], {of("fast", ALPHA): 1.11})).state == "fail"


def test_what_others_spend_with_other_keys_is_not_ours(run_of):
    """A gateway that others use keeps its books by key; where a call bears no key, they cannot be told apart."""
    shared = TRUE | {of("fast", OTHERS): 9.0}
    assert money_balanced(run_of(CALLS, shared)).state == "pass"
    assert money_balanced(run_of([*CALLS, call(50, cost_usd=0.0, key=None)], shared)).state == "fail"


def test_tokens_are_held_key_by_key_too(run_of):
    """Their sum balances, and no key does."""
    calls = [call(10, input_tokens=5), call(11, input_tokens=7, key=BETA)]
    counted = {of("fast", ALPHA, TOKENS_IN): 7.0, of("fast", BETA, TOKENS_IN): 5.0}
    run = run_of(calls, counted)
    assert soaklib.tokens(run).select("stated", "counted", "cause").rows() == [(12, 12.0, None)]
    assert soaklib.tokens(run, by="key").select("key", "stated", "counted", "cause").rows() == [
        (ALPHA[:16], 5, 7.0, "counted too often"), (BETA[:16], 7, 5.0, "lost"),
    ]  # fmt: skip
    assert (tokens_balanced(run).state, tokens_balanced(run).measure) == ("fail", 4.0)


def test_nothing_is_claimed_where_nothing_says_so(run_of):
    """No counter, or no answer that says what it cost; and `by` is one of two words."""
    assert money_balanced(run_of(CALLS, {})).detail == "no counter of money was scraped"
    run = run_of([call(10, cost_usd=None)], TRUE)
    verdict = money_balanced(run)
    assert (verdict.state, verdict.detail) == ("not applicable", "no answer says what it cost")
    assert (soaklib.spend(run).height, soaklib.spend(run, by="key").columns[0]) == (0, "key")
    with pytest.raises(SettingsError, match="by='role' is unknown; pass 'model' or 'key'"):
        soaklib.spend(run, by="role")
