"""The exposition: documented names and labels, or the warts of the real one."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

MAIL = "gmail_send:send"
BUCKETS = ["25", "50", "100", "200", "400", "800", "1600", "3200", "6400"]
COUNTERS = {
    "gateway_requests_total": {"tool", "action", "code"},
    "gateway_cache_hits_total": None,
    "gateway_retries_total": None,
    "gateway_breaker_fastfail_total": {"tool"},
    "gateway_policy_denials_total": {"kind"},
    "gateway_token_generations_total": None,
    "gateway_token_validations_total": None,
    "gateway_token_expirations_total": None,
    "gateway_agent_creations_total": None,
    "gateway_chaos_injections_total": None,
}

COUNTED_BY_ONE_CALL = {
    "gateway_requests_total",
    "gateway_token_generations_total",
    "gateway_token_validations_total",
    "gateway_agent_creations_total",
    "gateway_chaos_injections_total",
}


def test_success_counter(gateway, caller):
    """A success is counted once; wart: exactly twice, while the duration's count is the true number."""
    token = caller()
    before = gateway.counted("gateway_requests", tool="gmail_send", code="200")
    gateway.call(token, MAIL)
    after = gateway.counted("gateway_requests", tool="gmail_send", code="200")
    assert after - before == (2.0 if gateway.warts else 1.0)


def test_duration_counts_executed_calls(gateway, caller):
    """The count of gateway_request_duration_ms grows by one for each executed call."""

    def count():
        pattern = r"gateway_request_duration_ms(?:_ms)?_count\{[^}]*gmail_send[^}]*\} (\d+)"
        return sum(float(value) for value in re.findall(pattern, gateway.metrics_text()))

    token = caller()
    before = count()
    for _ in range(3):
        gateway.call(token, MAIL)
    assert count() - before == 3.0


@pytest.mark.parametrize("name", COUNTERS)
def test_documented_names(gateway, caller, chaos, name):
    """Every documented counter is there with its labels. Wart: it ends in _total_total, from its first event on."""
    chaos("contract-tool", "500")
    gateway.call(caller(), MAIL)
    text = gateway.metrics_text()
    if gateway.warts:
        assert f"\n{name}_total{{" in text or name not in COUNTED_BY_ONE_CALL
        return
    families = text_string_to_metric_families(text)
    labels = [set(sample.labels) for family in families for sample in family.samples if sample.name == name]
    assert labels
    assert COUNTERS[name] is None or labels[0] == COUNTERS[name]


def test_shape(gateway, caller):
    """The parser reads it, with +Inf and process_*. Wart: le outside the braces, no +Inf, no last newline: refused."""
    gateway.call(caller(), MAIL)
    gateway.call(caller(), "openai:chat")
    text = gateway.metrics_text()
    if gateway.warts:
        assert_warts(text)
    else:
        assert_documented(text)


def assert_documented(text):
    """Check an exposition as documented."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = {sample.name for sample in samples}
    assert {"gateway_breaker_state", "gateway_process_start_time_seconds"} <= names
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_start_time_seconds"} <= names
    bounds = [
        sample.labels["le"]
        for sample in samples
        if sample.name == "gateway_request_duration_ms_bucket" and sample.labels["tool"] == "gmail_send"
    ]
    assert [float(bound) for bound in bounds] == [*map(float, BUCKETS), float("inf")]


def assert_warts(text):
    """Check an exposition with the warts."""
    bucket = r'^gateway_request_duration_ms_ms_bucket\{action="send",tool="gmail_send"\}le="(\d+)" \d+$'
    assert re.findall(bucket, text, re.MULTILINE) == BUCKETS
    assert "+Inf" not in text
    assert not text.endswith("\n")
    assert "\n\n" in text
    assert text.count("# TYPE gateway_requests_total_total counter") >= 2
    with pytest.raises(ValueError, match=r"."):
        list(text_string_to_metric_families(text))


def test_denial_kinds(gateway, caller):
    """gateway_policy_denials_total{kind} has the fixed vocabulary. Wart: agent_id, tool and action instead."""
    token = caller(scopes=["openai:chat"])
    labels = {"tool": "gmail_send"} if gateway.warts else {"kind": "scope"}
    before = gateway.counted("gateway_policy_denials", **labels)
    gateway.call(token, MAIL)
    assert gateway.counted("gateway_policy_denials", **labels) == before + 1


def test_validations_add_up(gateway, caller):
    """Validations = denials + expirations + agent not found + refused params + 429 + executed."""
    before = gateway.counted("gateway_token_validations")
    token = caller(scopes=[MAIL])
    gateway.call(token, MAIL)
    gateway.call(token, MAIL, {"to": "x"})
    gateway.call(token, "openai:chat")
    gateway.call("no.token", MAIL)
    assert gateway.counted("gateway_token_validations") - before == 3.0
