"""What a gateway says of itself, and what software made a bundle."""

from types import SimpleNamespace

import pytest

from soaklib.evidence import provenance
from soaklib.evidence.manifest import GatewayFacts
from soaklib.evidence.provenance import gateway_facts, software


def info(gateway):
    """Give a run's row with what it has kept of its gateway."""
    environment = {} if gateway is None else {"gateway": gateway}
    return SimpleNamespace(target="http://gateway:3000", embedded=False, environment=environment)


def said(**facts):
    """Give what a gateway said at one time."""
    return {"facts": facts, "detail": f"as its /health says: {facts}"}


def test_what_the_run_kept_is_what_is_known():
    """As the run began; the end is told where it differs."""
    told = gateway_facts(info({"begin": said(version="1"), "end": said(version="1")}))
    assert (told.target, told.facts, told.detail) == (
        "http://gateway:3000",
        {"version": "1"},
        said(version="1")["detail"],
    )
    told = gateway_facts(info({"begin": said(version="1", node="20"), "end": said(version="2", node="20")}))
    assert told.facts == {"version": "1", "node": "20"}
    assert told.detail.endswith("; when the run ended it said otherwise: version 2")


def test_what_was_told_only_at_the_end_is_known_too():
    """And it is said so; a run that was cut off knows its beginning."""
    told = gateway_facts(info({"begin": said(), "end": said(version="2")}))
    assert (told.facts, told.detail) == ({"version": "2"}, f"when the run ended: {said(version='2')['detail']}")
    assert gateway_facts(info({"begin": said(version="1")})).facts == {"version": "1"}


@pytest.mark.parametrize("kept", [None, "nothing", {"begin": 1}, {"begin": {"facts": []}}])
def test_a_run_that_kept_nothing(kept):
    """What an earlier bundle knew stays; without one it is said that nothing is known."""
    known = GatewayFacts(target="x", embedded=False, facts={"version": "1"}, detail="as before")
    assert gateway_facts(info(kept), known) == known
    assert (gateway_facts(info(kept)).facts, gateway_facts(info(kept)).detail) == ({}, "the run kept nothing of it")


@pytest.mark.slow
def test_the_software_is_named_by_what_it_is_made_of():
    """Versions of what is installed, and a digest that two equal sources share; looked at once a process."""
    made_with = software()
    assert made_with == software.__wrapped__()
    assert software() is made_with
    assert {"duckdb", "polars", "aiohttp"} <= made_with.packages.keys()
    assert "soaklib" not in made_with.packages
    assert len(made_with.source_sha256) == 64


def test_a_changed_plan_or_template_is_another_software(monkeypatch, tmp_path):
    """Not only code decides what is sent and what is said."""
    (tmp_path / "evidence").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "evidence" / "provenance.py"))
    (tmp_path / "default_plan.toml").write_text("rps = 1")
    before = provenance._source_sha256()
    (tmp_path / "default_plan.toml").write_text("rps = 2")
    assert provenance._source_sha256() != before
