"""Changes by literal requests and at the upstream: whether they reached the calls, and whether those recovered."""

import pytest
from stored_rows import outcome, written_run

import soaklib
from soaklib.analysis.verdicts.criteria.lasting import lasting_changes_show, recovers_after_lasting_changes
from soaklib.plan.changes import HttpChange, PolicyChange, UpstreamChange
from soaklib.plan.model import load_plan
from soaklib.records import Event, EventName

SECOND = 1_000_000
MADE_S, UNDONE_S, END_S = 200, 300, 600
REQUEST = {"method": "PUT", "path": "/control"}
WHEN = {"at": 0.1, "lasts": 0.1, "name": "outage", "phase": "outage", "phase_after": "after"}


def upstream(**behave):
    return UpstreamChange(do="upstream", behave=behave, **WHEN)


def http(tool=None):
    return HttpChange(do="http", make=REQUEST, undo=REQUEST, tool=tool, **WHEN)


def calls(tool="openai", fail=(), kind="upstream_error", late=()):
    """Give a call a second: those in `fail` fail, those in `late` take half a second, the others some milliseconds."""
    return [
        outcome(
            second, tool=tool, kind=kind if second in fail else "ok", planned_at_us=second * SECOND,
            sent_at_us=second * SECOND,
            done_at_us=second * SECOND + (500_000 if second in late else 2000 + second % 100),
        )
        for second in range(END_S)
    ]  # fmt: skip


EVENTS = [
    Event(MADE_S * SECOND, EventName.CHANGE_MADE, "", "change:0:x", "x", "outage", '{"name":"outage"}'),
    Event(UNDONE_S * SECOND, EventName.CHANGE_UNDONE, "", "change:0:x:off", "x", "outage", '{"name":"outage"}'),
]


@pytest.fixture
def verdicts(tmp_path):
    """Give a function that gives both verdicts on a run of calls with one change."""

    def judge(change, rows, events=EVENTS, beside=()):
        plan = load_plan().model_copy(update={"changes": (change, *beside)})
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with soaklib.open_run(written_run(folder, plan=plan, rows=rows, events=events)) as run:
            return lasting_changes_show(run), recovers_after_lasting_changes(run)

    return judge


HALF = range(MADE_S, UNDONE_S, 2)


@pytest.mark.parametrize(
    "change",
    [upstream(mode="500", only=["openai"]), upstream(mode="500", only=["openai"], latency_ms=9), http("openai")],
)
def test_an_outage_that_reaches_its_calls_and_ends_with_it_passes(verdicts, change):
    """Whatever the answers were that were not ok; by the tool's calls alone."""
    shown, recovered = verdicts(change, [*calls(fail=HALF), *calls("serpapi")])
    assert (shown.state, shown.measure, shown.n) == ("pass", 50.0, 100)
    assert shown.detail == "outage: 50 of 100 calls were not ok while it lasted, 0 of 500 without it"
    assert (recovered.state, recovered.measure) == ("pass", 0.0)
    assert recovered.detail == "no failure for it after it was undone, 300 ok calls after it"


def test_one_that_nobody_notices_fails(verdicts):
    """It was answered with 200, and no call failed: an effect is looked for."""
    shown, recovered = verdicts(upstream(mode="500", only=["openai"]), calls())
    assert (shown.state, shown.measure, recovered.state) == ("fail", 0.0, "pass")


def test_calls_that_go_on_failing_have_not_recovered(verdicts):
    """Two minutes are allowed for it; failures that had nothing to do with it are told from those by their share."""
    fail = {*HALF, *range(UNDONE_S, UNDONE_S + 200, 2)}
    _, recovered = verdicts(upstream(mode="500", only=["openai"]), calls(fail=fail))
    assert (recovered.state, recovered.measure) == ("fail", 198.0)
    now_and_then = {*HALF, *range(7, END_S, 50)}
    _, recovered = verdicts(upstream(mode="500", only=["openai"]), calls(fail=now_and_then))
    assert recovered.state == "pass"


def test_a_tool_that_never_recovers_is_not_measured_by_how_it_fails_then(verdicts):
    """Each fourth call fails to the end of the run, and none did before: that is not what is usual for it."""
    fail = {*HALF, *range(UNDONE_S, END_S, 4)}
    _, recovered = verdicts(upstream(mode="500", only=["openai"]), calls(fail=fail))
    assert (recovered.state, recovered.measure) == ("fail", END_S - 4 - UNDONE_S)


def test_what_a_quota_that_was_cut_denies_is_of_no_other_change(verdicts):
    """It is no effect of an outage that nobody noticed, and no failure that the tool would have to recover from."""
    of = {"role": "enricher", "action": "openai:chat"}
    quota = PolicyChange(do="update-policy", at=0.05, phase="cut", planned_ratio=1, **of)
    cut = Event(
        MADE_S * SECOND - 9, "POLICY_UPDATED_OPENAI_QUOTA_REDUCED", "", "change:1:update-policy", "update-policy",
        "enricher", '{"role":"enricher","action":"openai:chat","limit":3,"window":"1h"}',
    )  # fmt: skip
    denied = {"role": "enricher", "action": "chat", "kind": "denied", "reason": "quota"}
    rows = [row._replace(**denied) if n > MADE_S and n % 2 else row for n, row in enumerate(calls())]
    shown, recovered = verdicts(http("openai"), rows, events=[cut, *EVENTS], beside=[quota])
    assert (shown.state, shown.measure, shown.n) == ("fail", 0.0, 50), shown
    assert (recovered.state, recovered.measure) == ("pass", 0.0), recovered


def test_a_probe_that_is_denied_is_no_failure_of_its_tool(verdicts):
    """Though no call of the load was answered yet."""
    rows = [row for second, row in enumerate(calls(fail=HALF)) if not UNDONE_S <= second < UNDONE_S + 200]
    at_us = (UNDONE_S + 150) * SECOND
    probe = {"purpose": "probe", "kind": "denied", "expected": "deny", "planned_at_us": at_us, "sent_at_us": at_us}
    _, recovered = verdicts(http("openai"), [*rows, rows[0]._replace(**probe)])
    assert (recovered.state, recovered.measure) == ("pass", 0.0), recovered


def test_an_effect_far_below_what_is_meant_is_none(verdicts):
    """An outage that is meant for every call, and ten seconds of failures in its middle, which come anyhow."""
    some = range(MADE_S + 40, MADE_S + 50)
    shown, _ = verdicts(upstream(mode="503", only=["openai"]), calls(fail=some))
    assert (shown.state, shown.measure) == ("fail", 10.0)
    assert shown.detail.endswith("0 of 500 without it, less than half of the 100 % that are meant")
    tenth = upstream(mode="503", only=["openai"], share=0.1)
    shown, _ = verdicts(tenth, calls(fail=range(MADE_S, UNDONE_S, 20)))
    assert shown.state == "pass", shown  # 5 % of 10 %; three tries would leave less


@pytest.mark.parametrize(
    ("said", "state"), [({}, "fail"), ({"retries": 1}, "pass"), ({"retries": 0}, "fail"), ({"fallbacks": 1}, "pass")]
)
def test_what_a_gateway_says_that_it_mended_is_not_missed(verdicts, said, state):
    """Where a retry or another upstream helped although every call was to fail, nobody knows what should be left."""
    rows = [row._replace(**said) for row in calls(fail=range(MADE_S, UNDONE_S, 4))]
    shown, _ = verdicts(upstream(mode="503", only=["openai"]), rows)
    assert shown.state == state, shown


@pytest.mark.parametrize("behave", [{"mode": "cut"}, {"mode": "503", "only": ["a-model"]}, {"rate_limit": 3}])
def test_what_befalls_some_calls_alone_is_held_to_no_share(verdicts, behave):
    """Streams, a model of several, whoever calls too often: the plan does not say how many calls those are."""
    failing = {tool: range(MADE_S, UNDONE_S, 4) if tool == "openai" else () for tool in load_plan().tools}
    rows = [row for tool, fail in failing.items() for row in calls(tool, fail=fail)]
    assert verdicts(upstream(**behave), rows)[0].state == "pass"


def test_without_a_name_every_tool_is_meant(verdicts):
    """The worst of them decides how soon they recovered."""
    rows = [*calls("serpapi", fail=HALF), *calls("openai", fail=[*HALF, UNDONE_S])]
    rows += [*calls("http_fetch", fail=HALF), *calls("gmail_send", fail=HALF)]
    shown, recovered = verdicts(upstream(mode="reset"), rows)
    assert (shown.state, shown.n) == ("pass", 400)
    assert (recovered.state, recovered.measure) == ("pass", 0.0)
    assert "openai: last failure 0 soak s after it was undone, 299 ok calls after it" in recovered.detail


def test_a_latency_alone_makes_calls_late(verdicts):
    """Later than the slowest hundredth without it; nothing has to recover that did not fail."""
    slow = upstream(latency_ms=500, only=["openai"])
    shown, recovered = verdicts(slow, calls(late=HALF))
    assert (shown.state, shown.measure) == ("pass", 51.0)  # one of them is among the slowest anyhow
    assert shown.detail == "outage: 51 of 100 calls were late while it lasted"
    assert verdicts(slow, calls())[0].state == "fail"
    assert (recovered.state, recovered.detail) == ("not applicable", "the plan has no such change")


def test_what_cannot_be_known_is_not_judged(verdicts):
    """A change that does not say what it is meant to do, one that was not made, one that was not undone, no calls."""
    assert verdicts(http(), calls())[0].detail == "no such change says what it is meant to do: name its tool"
    outage = upstream(mode="500", only=["openai"])
    assert {verdict.state for verdict in verdicts(outage, calls(), events=[])} == {"insufficient"}
    shown, recovered = verdicts(outage, calls(fail=HALF), events=EVENTS[:1])
    assert (shown.state, recovered.state) == ("pass", "insufficient")
    assert {verdict.state for verdict in verdicts(outage, calls("serpapi"))} == {"insufficient"}
