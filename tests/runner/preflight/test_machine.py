"""What a machine, and the container around it, leave a soak."""

import resource

import pytest

from soaklib.plan.forecast import forecast
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.runner.preflight import machine
from soaklib.runner.preflight.findings import Found, Standing

URL = ("--gateway-url", "http://127.0.0.1:1")


@pytest.fixture
def look(monkeypatch):
    """Look at a machine of two processors and 1,024 descriptors."""
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(machine, "cpu_limit", lambda: None)
    monkeypatch.setattr(machine, "process_limit", lambda: None)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def looked(*arguments):
        settings, plan, found = load_settings([*URL, *arguments]), load_plan(), Found()
        machine.look_at_machine(settings, forecast(settings, plan), plan.calls_per_slot, found)
        return {one.what: (one.standing, one.detail) for one in found.findings}

    return looked


def test_descriptors_for_all_that_is_in_flight_are_there_or_the_soak_is_refused(look):
    """Each operation holds a socket; the hint names both ways out."""
    assert look("--max-in-flight", "896")["descriptors"] == (Standing.OK, "1,024 at most, of 1,024")
    hint = "ulimit -n 1025 (up to 4,096), or a lower --max-in-flight"
    refused = f"--max-in-flight 897 takes 1,025 and 1,024 are allowed: {hint}"
    assert look("--max-in-flight", "897")["descriptors"] == (Standing.PROBLEM, refused)
    assert look("--max-in-flight", "1792", "--senders", "2")["descriptors"][0] is Standing.OK


def test_as_many_descriptors_as_wanted_are_enough(look, monkeypatch):
    """No limit is one that holds everything."""
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert look("--max-in-flight", "5000")["descriptors"] == (Standing.OK, "5,128 at most, of as many as there are")


def test_a_rate_that_the_processors_cannot_send_is_said(look, monkeypatch):
    """One sender has one of them; a container's share is less than what is there."""
    assert look("--rps", "3000")["processors"] == (Standing.OK, "2 processors, for 3,900 calls a second")
    standing, detail = look("--rps", "5000")["processors"]
    assert (standing, detail[:29]) == (Standing.NOTE, "2 processors: 6,500 calls a s")
    assert look("--rps", "5000", "--senders", "2")["processors"][0] is Standing.OK
    monkeypatch.setattr(machine, "cpu_limit", lambda: 0.5)
    standing, detail = look("--rps", "3000")["processors"]
    assert (standing, detail.partition(":")[0]) == (
        Standing.NOTE, "0.5 processors (the container's limit; 2 are there)",
    )  # fmt: skip


def test_a_container_that_allows_too_few_processes_is_refused(look, monkeypatch):
    """The recorder, the guard, the senders and the kernels of the report have to start."""
    monkeypatch.setattr(machine, "process_limit", lambda: 65)
    assert look()["processes"][0] is Standing.OK
    monkeypatch.setattr(machine, "process_limit", lambda: 20)
    assert look()["processes"] == (
        Standing.PROBLEM, "the container allows 20; the soak and its report take up to 65",
    )  # fmt: skip


def test_a_proxy_that_is_named_is_said_not_to_be_used(look, monkeypatch):
    """As every request goes straight to the gateway."""
    assert look()["proxy variables"] == (Standing.OK, "none")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    standing, detail = look()["proxy variables"]
    assert (standing, detail[:27]) == (Standing.NOTE, "HTTPS_PROXY is not obeyed: ")
