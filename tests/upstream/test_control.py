"""The control route, the counts, the metrics, and what the upstream says of itself."""

import asyncio
import time

from upstream_driver import CHAT

import soaklib
from soaklib.plan.changes import UpstreamChange
from soaklib.plan.model import load_plan
from soaklib.records import Kind
from soaklib.runner.literal import CONTROL_VARIABLE, upstream_counts
from soaklib.targets.openai import OpenAITarget


def test_put_get_delete(drive):
    """PUT sets all of it, GET tells it, DELETE goes back to the start; what is refused changes nothing."""

    async def scenario(driver):
        start = await driver.get("/control")
        put = await driver.control(mode="503", share=0.25)
        refused = []
        for body in (b'{"share": 7}', b"{"):
            async with driver.session.put(driver.url + "/control", data=body) as answer:
                refused.append((answer.status, list(await answer.json())))
        during = await driver.get("/control")
        async with driver.session.delete(driver.url + "/control") as answer:
            return start, put, refused, during, await answer.json()

    start, put, refused, during, after = drive(scenario)
    assert (put["mode"], put["share"]) == ("503", 0.25)
    assert refused == [(400, ["error"])] * 2
    assert during == put
    assert after == start


def test_every_request_is_counted_once(drive):
    """Whole, failed, limited, refused and left requests are counted by what became of them, and so are tokens."""

    async def scenario(driver):
        target = OpenAITarget()
        await driver.control(frames=3)
        for action in ("chat", "stream"):
            await driver.call(target, "small", action)
        await driver.call(target, "embedding", "embed", {"input": "x"})
        await driver.control(mode="truncate")
        await driver.call(target, "large", "chat")
        await driver.control(mode="500")
        await driver.call(target, "large", "chat")
        await driver.control(mode="hang", frames=3)
        await driver.call(target, "large", "chat", timeout_s=0.1)
        await driver.control(latency_ms=2_000)
        await driver.call(target, "large", "chat", timeout_s=0.1)
        await driver.control(rate_limit=1)
        await driver.call(target, "small", "chat", CHAT | {"messages": []})
        await driver.call(target, "small", "chat")
        async with driver.session.post(driver.url + "/v1/chat/completions", json={"model": "small"}) as answer:
            assert answer.status == 400
        async with asyncio.timeout(5):
            while (await driver.get("/control/counts"))["in_flight"]:  # noqa: ASYNC110 - the server tells when asked
                await asyncio.sleep(0.01)
        return await driver.get("/control/counts"), await driver.get("/metrics")

    counts, exposition = drive(scenario)
    assert counts["by_outcome"] == {"ok": 4, "truncate": 1, "500": 1, "hang": 1, "left": 1, "limited": 1, "refused": 1}
    assert counts["by_name"] == {"small": 5, "embedding": 1, "large": 4}
    assert counts["requests"] == 10
    assert counts["tokens"] == {"in": 4 * 9, "out": 3 + 3 + 0 + 8}
    assert counts["each"] == {
        "small": {"calls": 5, "answers": 3, "in": 27, "out": 14},
        "embedding": {"calls": 1, "answers": 1, "in": 9, "out": 0},
        "large": {"calls": 4, "answers": 0, "in": 0, "out": 0},
    }
    samples = soaklib.read_exposition(exposition)
    told = {
        name: samples.filter(samples["metric"] == name)["value"].sum()
        for name in ("upstream_requests_total", "upstream_tokens_total", "process_resident_memory_bytes")
    }
    assert told["upstream_requests_total"] == 10
    assert told["upstream_tokens_total"] == 36 + 14
    assert told["process_resident_memory_bytes"] > 1 << 20


def test_its_own_lateness_is_told(drive):
    """An upstream whose process is kept from running says so; one that is not says nothing."""

    async def scenario(driver):
        await driver.control(latency_ms=1000)
        waiting = asyncio.create_task(driver.call(OpenAITarget(), "small", "chat"))
        await asyncio.sleep(0.01)
        before = (await driver.get("/control/counts"))["late"]
        time.sleep(1.1)  # noqa: ASYNC251 - holds up the loop that both run on, past the moment at which it is to answer
        assert (await waiting).kind is Kind.OK
        return before, (await driver.get("/control/counts"))["late"]

    before, after = drive(scenario)
    assert before == {"count": 0, "max_ms": 0.0}
    assert after["count"] == 1
    assert 50 < after["max_ms"] < 5_000


def test_names_do_not_grow_without_end(drive):
    """Models that nobody knows are counted as one from a bound on."""

    async def scenario(driver):
        for number in range(210):
            await driver.call(OpenAITarget(), f"m{number}", "chat")
        return (await driver.get("/control/counts"))["by_name"]

    names = drive(scenario)
    assert len(names) == 201
    assert names["(further)"] == 10


def test_a_soak_asks_the_upstream_that_its_plan_knows_of(drive, monkeypatch):
    """By a change's control route or by the variable; what is not there, or is none of ours, says nothing."""
    outage = {"do": "upstream", "at": 0.5, "lasts": 0.1, "name": "o", "phase": "o", "phase_after": "b"}
    behave = {"behave": {"mode": "500"}}

    async def scenario(driver):
        named = UpstreamChange.model_validate(outage | behave | {"control": f"{driver.url}/control"})
        await driver.call(OpenAITarget(), "small", "chat")
        told = await upstream_counts(load_plan().model_copy(update={"changes": (named,)}), 5.0)
        none = await upstream_counts(load_plan(), 5.0)
        monkeypatch.setenv(CONTROL_VARIABLE, f"{driver.url}/control/")
        by_variable = await upstream_counts(load_plan(), 5.0)
        monkeypatch.setenv(CONTROL_VARIABLE, f"{driver.url}/v1")
        other = await upstream_counts(load_plan(), 5.0)
        monkeypatch.setenv(CONTROL_VARIABLE, "http://127.0.0.1:9/control")
        return told, none, by_variable, other, await upstream_counts(load_plan(), 5.0)

    monkeypatch.delenv(CONTROL_VARIABLE, raising=False)
    told, none, by_variable, other, nobody = drive(scenario)
    assert told["each"] == {"small": {"calls": 1, "answers": 1, "in": 9, "out": 8}}
    assert by_variable["each"] == told["each"]
    assert (none, other, nobody) == (None, None, None)
