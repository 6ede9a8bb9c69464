import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from soaklib.gateway.breaker import BreakerState
from soaklib.gateway.metrics import PrometheusMetrics
from soaklib.gateway.records import Reason
from soaklib.gateway.wart_exposition import WartMetrics

CAPTURE = Path(__file__).parents[1] / "data" / "gateway" / "h5.prom"


def samples_of(metrics):
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_every_counter_counts_its_own_event():
    """Each event moves exactly the series it is documented to move, by one."""
    events = {
        ("gateway_agent_creations_total",): lambda metrics: metrics.agent_created("a"),
        ("gateway_token_generations_total",): lambda metrics: metrics.token_generated("a"),
        ("gateway_token_validations_total",): lambda metrics: metrics.token_validated("a", success=True),
        ("gateway_token_expirations_total",): lambda metrics: metrics.token_expired("a"),
        ("gateway_policy_denials_total", ("kind", "quota")): lambda metrics: metrics.policy_denied(
            Reason.QUOTA, "a", "openai", "chat"
        ),
        ("gateway_cache_hits_total", ("tool", "serpapi")): lambda metrics: metrics.cache_hit("serpapi"),
        ("gateway_retries_total", ("action", "chat"), ("tool", "openai")): lambda metrics: metrics.retried(
            "openai", "chat"
        ),
        ("gateway_breaker_fastfail_total", ("tool", "openai")): lambda metrics: metrics.fast_failed("openai"),
        ("gateway_chaos_injections_total", ("error_type", "500"), ("tool", "x")): lambda metrics: (
            metrics.chaos_injected("x", "500")
        ),
        ("gateway_chaos_clearings_total", ("tool", "x")): lambda metrics: metrics.chaos_cleared("x"),
    }
    for series, event in events.items():
        metrics = PrometheusMetrics(1.0)
        before = samples_of(metrics)
        event(metrics)
        after = samples_of(metrics)
        moved = {
            key: value - before.get(key, 0.0)
            for key, value in after.items()
            if key[0].startswith("gateway_") and value != before.get(key, 0.0)
        }
        assert moved == {series: 1.0}


@pytest.mark.parametrize(("increments", "counted"), [(1, 1.0), (0, 0.0), (2, 2.0)])
def test_an_executed_call(increments, counted):
    """A call is counted as often as it says and its duration observed once."""
    metrics = PrometheusMetrics(1.0)
    metrics.executed("openai", "chat", 502, 60.5, increments)
    samples, labels = samples_of(metrics), (("action", "chat"), ("tool", "openai"))
    assert samples["gateway_requests_total", ("action", "chat"), ("code", "502"), ("tool", "openai")] == counted
    assert samples["gateway_request_duration_ms_count", *labels] == 1.0
    assert samples["gateway_request_duration_ms_sum", *labels] == 60.5
    buckets = {key[2][1]: value for key, value in samples.items() if key[0].endswith("_bucket") and labels[0] in key}
    assert [buckets[bound] for bound in ("25.0", "50.0", "100.0", "6400.0", "+Inf")] == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_series_start_at_zero():
    """Series whose labels are known are there before their first event, and no _created series ever is."""
    samples = samples_of(PrometheusMetrics(1.0))
    assert samples["gateway_requests_total", ("action", "send"), ("code", "502"), ("tool", "gmail_send")] == 0.0
    assert samples["gateway_breaker_state", ("tool", "http_fetch")] == 0.0
    assert sum(key[0] == "gateway_policy_denials_total" for key in samples) == 8
    assert not [key for key in samples if key[0].endswith("_created")]


def test_process_metrics_are_standard_and_restart():
    """process_* metrics are there; after a simulated restart start time and CPU time begin anew."""
    running, restarted = samples_of(PrometheusMetrics(5.0)), samples_of(PrometheusMetrics(5.0, restarted=True))
    assert running["process_resident_memory_bytes",] > 1e6
    assert running["process_start_time_seconds",] > 1e9
    assert restarted["process_start_time_seconds",] == restarted["gateway_process_start_time_seconds",] == 5.0
    assert restarted["process_cpu_seconds_total",] < running["process_cpu_seconds_total",]


def test_breaker_states_have_their_numbers():
    """0 closed, 1 half-open, 2 open."""
    metrics = PrometheusMetrics(1.0)
    for state, number in ((BreakerState.OPEN, 2.0), (BreakerState.HALF_OPEN, 1.0), (BreakerState.CLOSED, 0.0)):
        metrics.breaker_state("openai", state)
        assert samples_of(metrics)["gateway_breaker_state", ("tool", "openai")] == number


def test_the_warts_are_those_of_the_capture():
    """The events of a captured run give its exposition again, byte for byte."""
    agents = re.findall(r'creations_total_total\{agent_id="([^"]+)"\} 1', CAPTURE.read_text())
    scraper, enricher, engager = agents
    metrics = WartMetrics(1_795_508_423.649)
    for agent, tokens in ((scraper, 2), (enricher, 1), (engager, 1)):
        metrics.agent_created(agent)
        for _ in range(tokens):
            metrics.token_generated(agent)

    def executed(agent, tool, action, times, sum_ms):
        metrics.token_validated(agent, success=True)
        for number in range(times):
            metrics.executed(tool, action, 200, 1.9 if number < sum_ms else 0.9, 1)

    executed(scraper, "serpapi", "search", 278, 19)
    executed(enricher, "http_fetch", "get", 93, 5)
    metrics.executed("openai", "chat", 200, 0.1, 1)
    executed(engager, "gmail_send", "send", 64, 4)
    for number in range(78):
        metrics.executed("openai", "chat", 200, 1.0 if number < 4 else 0.0, 1)
    for agent, further in ((scraper, 364), (enricher, 171), (engager, 63)):
        for _ in range(further):
            metrics.token_validated(agent, success=True)
    for _ in range(52):
        metrics.policy_denied(Reason.SCOPE, scraper, "gmail_send", "send")
    for _ in range(23):
        metrics.token_expired(scraper)
    assert metrics.render() == CAPTURE.read_bytes()


def test_the_parser_refuses_the_warts():
    """What the warts look like is no exposition for the official parser; a fresh server's is."""
    metrics = WartMetrics(1.0)
    assert list(text_string_to_metric_families(metrics.render().decode()))
    metrics.executed("openai", "chat", 200, 1.0, 1)
    with pytest.raises(ValueError, match=r"."):
        list(text_string_to_metric_families(metrics.render().decode()))


def test_warts_count_a_success_twice_and_a_failure_once():
    """200 by two, 502 by one; the duration's count is the true number."""
    metrics = WartMetrics(1.0)
    metrics.executed("openai", "chat", 200, 1.0, 1)
    metrics.executed("openai", "chat", 502, 1.0, 1)
    text = metrics.render().decode()
    assert 'gateway_requests_total_total{action="chat",code="200",tool="openai"} 2\n' in text
    assert 'gateway_requests_total_total{action="chat",code="502",tool="openai"} 1\n' in text
    assert 'gateway_request_duration_ms_ms_count{action="chat",tool="openai"} 2\n' in text
