"""A gateway that soaklib does not know says how it is where the plan says that it does."""

import pytest
from target_links import link_to
from upstream_driver import against_upstream

from soaklib.errors import SettingsError
from soaklib.plan.model import TargetTable
from soaklib.targets import load_target
from soaklib.targets.base import Meaning

KINDS = {"openai": "is_litellm", "mcp": "is_contextforge"}


def target_of(kind, **options):
    """Give the target of a table."""
    return load_target(TargetTable(kind=kind, **options))


@pytest.mark.parametrize("kind", KINDS)
def test_metrics_are_read_where_the_plan_says_that_they_are(kind):
    """Memory by the name that is told, files and start by those of every client; without a path nothing is read."""
    assert target_of(kind).metrics.path is None
    metrics = target_of(kind, metrics_path="/prom", memory_metric="acme_rss_bytes").metrics
    assert (metrics.path, {meaning: series.metric for meaning, series in metrics.meanings.items()}) == (
        "/prom",
        {
            Meaning.MEMORY: "acme_rss_bytes",
            Meaning.OPEN_FILES: "process_open_fds",
            Meaning.START: "process_start_time_seconds",
        },
    )
    assert (
        target_of(kind, metrics_path="/prom").metrics.meanings[Meaning.MEMORY].metric == "process_resident_memory_bytes"
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "health"),
    [
        ({"health_path": "/health", "metrics_path": "/metrics"}, (True, "/health: well")),
        ({"health_path": "/nowhere"}, (False, "GET /nowhere 404, and not well")),
        ({"is_upstream": True, "metrics_path": "/prom", "health_path": "/nowhere"}, (True, "/health: well")),
    ],
)
def test_health_is_asked_where_the_plan_says_that_it_is(kind, options, health):
    """Neither models nor a session are asked for then; a rehearsal looks at its own upstream all the same."""

    async def scenario(driver):
        async with target_of(kind, **options).admin(link_to(driver.url, f"{kind}.toml")) as admin:
            return await admin.health(), dict(admin.routes)

    found, routes = against_upstream(scenario)
    assert (found.fit, found.detail) == health
    told = {name.removesuffix("_path"): path for name, path in options.items() if name.endswith("_path")}
    assert routes == ({"metrics": "/metrics", "health": "/health"} if "is_upstream" in options else told)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_known_gateway_says_is_not_said_twice(kind):
    """Nor is a gauge named where nothing is read."""
    with pytest.raises(
        SettingsError, match=f"{KINDS[kind]} says already where health and metrics are: leave out health"
    ):
        target_of(kind, health_path="/alive", **{KINDS[kind]: True})
    with pytest.raises(SettingsError, match="memory_metric needs metrics_path"):
        target_of(kind, memory_metric="acme_rss_bytes")
