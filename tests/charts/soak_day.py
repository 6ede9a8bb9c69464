"""A day's frames, made by formula: as long and as uneven as a soak's, so that what could overlap does."""

import polars as pl

TOOLS = ("gmail_send", "http_fetch", "openai", "serpapi")
_HOUR_S = 3600.0


def _chaos(soak_s):
    return 12 * _HOUR_S <= soak_s < 12.5 * _HOUR_S


def _windows(every_s):
    return [number * every_s for number in range(round(24 * _HOUR_S / every_s))]


def success_rate():
    rows = []
    for soak_s in _windows(300.0):
        rate = 80.0 + soak_s % 7 if _chaos(soak_s) else 100.0
        rows.append((soak_s, 300, rate, rate - 1.5, min(100.0, rate + 1.0)))
    return pl.DataFrame(rows, schema=["soak_s", "n", "success_rate", "low", "high"], orient="row").with_columns(
        end_s=pl.col("soak_s") + 300.0
    )


def denials():
    rows = [(soak_s, "probe", "scope", 5) for soak_s in _windows(300.0)]
    rows += [
        (soak_s, "load", "quota", 100) for soak_s in _windows(300.0) if soak_s > 16 * _HOUR_S and soak_s % 3600 > 900
    ]
    return pl.DataFrame(rows, schema=["soak_s", "purpose", "reason", "n"], orient="row").with_columns(
        end_s=pl.col("soak_s") + 300.0
    )


def outcome_counts():
    rows = [(soak_s, "load", "ok", 350) for soak_s in _windows(300.0)]
    rows += [(soak_s, "probe", "denied", 5) for soak_s in _windows(300.0)]
    for kind, n in (("fast_fail", 40), ("upstream_error", 20), ("timeout", 2), ("transport_error", 1)):
        rows += [(soak_s, "load", kind, n) for soak_s in _windows(300.0) if _chaos(soak_s)]
    return pl.DataFrame(rows, schema=["soak_s", "purpose", "kind", "n"], orient="row").with_columns(
        end_s=pl.col("soak_s") + 300.0
    )


def tool_usage():
    rows = [(soak_s, tool, 1000 * number) for soak_s in _windows(_HOUR_S) for number, tool in enumerate(TOOLS, start=1)]
    return pl.DataFrame(rows, schema=["soak_s", "tool", "sent"], orient="row").with_columns(
        end_s=pl.col("soak_s") + _HOUR_S
    )


def breaker_states():
    rows = [
        (soak_s, tool, "open" if tool == "openai" and _chaos(soak_s) else "closed")
        for soak_s in _windows(600.0)
        for tool in TOOLS
    ]
    return pl.DataFrame(rows, schema=["soak_s", "tool", "state"], orient="row")


def fast_fails():
    rows = [(soak_s, "openai", 40 * _chaos(soak_s), 20 * _chaos(soak_s)) for soak_s in _windows(300.0)]
    return pl.DataFrame(rows, schema=["soak_s", "tool", "fast_fails", "upstream_errors"], orient="row").with_columns(
        end_s=pl.col("soak_s") + 300.0
    )


def latency():
    rows = [
        (
            soak_s,
            tool,
            measure,
            quantile,
            (1 + soak_s % 11) * factor * (2.0 if measure == "response" else 1.5),
            False,
            True,
        )
        for soak_s in _windows(900.0)
        for tool in TOOLS
        for measure in ("service", "response")
        for quantile, factor in ((0.5, 1.0), (0.95, 4.0), (0.99, 20.0))
    ]
    columns = ["soak_s", "tool", "measure", "quantile", "latency_ms", "at_least", "sufficient"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(end_s=pl.col("soak_s") + 900.0)


def latency_bins():
    rows = [
        (soak_s, 10 ** (step / 10), 10 ** ((step + 1) / 10), False, 1 + (soak_s + step) % 300)
        for soak_s in _windows(900.0)
        for step in range(-5, 12)
    ]
    rows += [(soak_s, 30_000.0, 37_767.0, True, 3) for soak_s in _windows(900.0) if _chaos(soak_s)]
    return pl.DataFrame(rows, schema=["soak_s", "low_ms", "high_ms", "censored", "n"], orient="row").with_columns(
        end_s=pl.col("soak_s") + 900.0
    )


def latency_by_phase():
    phases = ("after chaos", "baseline", "chaos", "credentials rotated", "quota cut")
    rows = [
        (phase, "response", 1 - 10 ** (-step / 5), (1 + number) * 1.5**step, step > 18, step < 20, 100_000 + number)
        for number, phase in enumerate(phases)
        for step in range(1, 25)
    ]
    columns = ["phase", "measure", "quantile", "latency_ms", "at_least", "sufficient", "n"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(low_ms=0.8 * pl.col("latency_ms"), high_ms=1.3 * pl.col("latency_ms"))


def events():
    rows = [(0.0, "SOAK_TEST_STARTED"), (0.0, "AGENTS_CREATED"), (0.0, "POLICIES_CREATED")]
    rows += [(soak_s, "TOKENS_ROTATED") for soak_s in _windows(900.0)]
    rows += [(soak_s, "METRICS_SNAPSHOT") for soak_s in _windows(_HOUR_S)]
    rows += [(12 * _HOUR_S, "HEALTH_GATE_PASSED"), (12 * _HOUR_S, "CHAOS_MODE_ON"), (13 * _HOUR_S, "CHANGE_FAILED")]
    rows += [(16 * _HOUR_S, "POLICY_UPDATED_OPENAI_QUOTA_REDUCED"), (20 * _HOUR_S, "LATE_SENDING")]
    rows += [(24 * _HOUR_S, "SOAK_TEST_COMPLETED")]
    return pl.DataFrame(rows, schema=["soak_s", "name"], orient="row")


def validity():
    rows = [
        (soak_s, 960.0, 960.0 - 50 * _chaos(soak_s), 3 + soak_s % 7, float(soak_s % 3)) for soak_s in _windows(900.0)
    ]
    columns = ["soak_s", "planned_per_s", "sent_per_s", "schedule_lag_max_ms", "loop_lag_max_ms"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(end_s=pl.col("soak_s") + 900.0)


def metered():
    rows = [
        (soak_s, tool, 100.0 * number) for soak_s in _windows(_HOUR_S) for number, tool in enumerate(TOOLS, start=1)
    ]
    return pl.DataFrame(rows, schema=["soak_s", "tool", "n"], orient="row").with_columns(
        end_s=pl.col("soak_s") + _HOUR_S
    )


def aligned():
    rows = [
        (float(offset_s), measure, 1.0 + (offset_s == 0), 0.5, 1.4, 1000, 95)
        for measure in ("failures", "response")
        for offset_s in range(-240, 240, 10)
    ]
    return pl.DataFrame(rows, schema=["offset_s", "measure", "value", "low", "high", "n", "events"], orient="row")


def error_budget():
    rows = [
        (soak_s, window, threshold, 20.0 * _chaos(soak_s), 20.0 * _chaos(soak_s), _chaos(soak_s), soak_s / 86_400.0)
        for soak_s in _windows(300.0)
        for window, threshold in (("60m/5m", 14.4), ("360m/30m", 6.0))
    ]
    columns = ["soak_s", "window", "threshold", "long_rate", "short_rate", "alert", "used_ratio"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(end_s=pl.col("soak_s") + 300.0)


def memory():
    rows = [(soak_s, 6.0e7 + 100.0 * soak_s + 1e6 * (soak_s % 7)) for soak_s in _windows(600.0)]
    return pl.DataFrame(rows, schema=["soak_s", "value"], orient="row")


def books():
    rows = [
        (
            soak_s,
            soak_s + 600.0,
            outcome,
            1000,
            float(soak_s % 7 == 0),
            float(soak_s % 7 == 0),
            float(_chaos(soak_s)),
            "lost" if _chaos(soak_s) else "in flight at the edge",
        )
        for soak_s in _windows(600.0)
        for outcome in ("denied", "executed", "failed", "fast fail", "ok", "validated")
    ]
    columns = ["start_s", "end_s", "outcome", "client_rows", "residual", "explained", "discrepancy", "cause"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def comparison():
    rows = [
        ("success rate", "%", 99.61, 99.2, -0.41, -0.6, -0.2, 0.5, "inconclusive"),
        ("response time p95", "ms", 5.1, 12.4, 7.3, 5.5, 9.1, 2.0, "different"),
        ("memory of the gateway", "MB", 70.1, 70.3, 0.2, -0.4, 0.8, 10.0, "same"),
        ("denials", "calls/h", 240.0, None, None, None, None, 20.0, "inconclusive"),
    ]
    columns = ["endpoint", "unit", "a", "b", "difference", "low", "high", "margin", "state"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def stated():
    rows = [
        (soak_s, 4.0, 40.0 if _chaos(soak_s) else 12.0, 60 if _chaos(soak_s) else 1, 20 if _chaos(soak_s) else 0, 400)
        for soak_s in _windows(_HOUR_S / 2)
    ]
    columns = ["soak_s", "gateway_p50_ms", "gateway_p99_ms", "retries", "fallbacks", "remaining_least"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(end_s=pl.col("soak_s") + _HOUR_S / 2)


def usage(scale=1.0):
    keys = ["88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b", "second", ""]
    rows = [
        (key, "gateway", 1_000.0 * scale, counted * scale) for key, counted in zip(keys, (1000, 900, 1200), strict=True)
    ]
    columns = ["key", "source", "stated_most", "counted"]
    return pl.DataFrame(rows, schema=columns, orient="row").with_columns(
        lost=pl.Series([0.0, 100.0 * scale, 0.0]), too_many=pl.Series([0.0, 0.0, 150.0 * scale])
    )


def tokens():
    return pl.concat([usage().with_columns(direction=pl.lit(direction)) for direction in ("in", "out")])
