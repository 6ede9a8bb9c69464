"""The plans that are shipped for other wires, and what their steps are compiled to."""

from importlib.resources import files
from pathlib import Path

import orjson
import pytest

from soaklib.commands.rehearsal import rehearsed
from soaklib.errors import SettingsError
from soaklib.evidence.secrets_scan import find_secrets
from soaklib.plan.loading import load_settings
from soaklib.plan.model import Step, load_plan, plan_file
from soaklib.plan.workload import Workload
from soaklib.targets import load_target
from soaklib.targets.base import Identity
from soaklib.targets.mcp import McpTarget
from soaklib.targets.mcp.options import MCPOptions
from soaklib.targets.openai import OpenAITarget

PLANS = {
    "openai.toml": ("openai", None, {"/v1/chat/completions", "/v1/embeddings", "/v1/responses"}),
    "litellm.toml": ("openai", "/metrics/", {"/v1/chat/completions"}),
    "mcp.toml": ("mcp", None, {"/mcp"}),
    "contextforge.toml": ("mcp", "/metrics/prometheus", {"/rpc"}),
}


@pytest.mark.parametrize(("name", "expected"), PLANS.items(), ids=PLANS)
def test_each_plan_is_found_by_name_and_compiles(name, expected):
    """A shipped plan is found by its name; its options, every step and every probe are what its wire takes."""
    kind, metrics, paths = expected
    plan = load_plan(plan_file(Path(name)))
    target = load_target(plan.target)
    agent = Identity("a", "r", "key", session="s")
    wires = [target.compile(call.step, call.role).request(agent, 41) for call in Workload(plan, 1).calls]
    assert (plan.target.kind, target.metrics.path, {wire.path for wire in wires}) == (kind, metrics, paths)
    assert all(b"{n}" not in wire.body for wire in wires)
    assert any(b"41" in wire.body for wire in wires)
    assert all(orjson.loads(wire.body) for wire in wires)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_as_a_run_keeps_it_holds_no_secret(name, tmp_path):
    """It names variables and none of their values, in words that are not taken for any: a bundle is made."""
    kept = tmp_path / "plan.json"
    kept.write_text(load_plan(plan_file(Path(name))).model_dump_json())
    assert find_secrets(kept, name) == []


def test_a_file_goes_before_a_shipped_plan_of_its_name(tmp_path, monkeypatch):
    """A file of the folder one stands in is that file; a path is never looked for among those that are shipped."""
    monkeypatch.chdir(tmp_path)
    shipped = Path(str(files("soaklib.plan").joinpath("openai.toml")))
    assert plan_file(Path("openai.toml")) == plan_file(Path("openai")) == shipped
    assert plan_file(Path("./x/openai.toml")) == tmp_path / "x" / "openai.toml"
    (tmp_path / "openai.toml").write_text("")
    assert plan_file(Path("openai.toml")) == tmp_path / "openai.toml"


@pytest.mark.parametrize(
    ("arguments", "rps"), [([], 0.1), (["--gateway-url", "http://127.0.0.1:1"], 10.0), (["--rps", "3"], 3.0)]
)
def test_settings_of_a_rehearsal_are_for_a_rehearsal(arguments, rps):
    """A plan's table [rehearsal] counts where no gateway is named, and a flag goes before it."""
    assert load_settings(["--plan", "openai.toml", *arguments]).rps == rps


def test_a_rehearsed_plan_knows_that_it_speaks_to_our_upstream():
    """Only then does the target have the upstream's metrics; a plan for the reference gateway stays as it is."""
    for name in ("openai.toml", "mcp.toml"):
        plan = load_plan(plan_file(Path(name)))
        assert load_target(plan.target).metrics.path is None
        assert load_target(rehearsed(plan).target).metrics.path == "/metrics"
    assert rehearsed(load_plan()) == load_plan()


@pytest.mark.parametrize(
    ("target", "step", "said"),
    [
        (OpenAITarget(), {"action": "sing", "params": {}}, "not for 'sing'"),
        (OpenAITarget(), {"action": "chat", "params": {}}, "params lack 'messages'"),
        (OpenAITarget(), {"action": "chat", "params": {"messages": [], "stream": True}}, 'write action = "stream"'),
        (McpTarget(), {"action": "chat", "params": {}}, "can be asked for call, list, ping"),
    ],
)
def test_a_step_that_cannot_be_asked_for_is_refused(target, step, said):
    """Before anything is sent, with the step's name."""
    with pytest.raises(SettingsError, match=said) as caught:
        target.compile(Step(tool="m", **step), "r")
    assert f"m:{step['action']}" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"path": "mcp"}, {"era": "x"}, {"calls_a_session": 0}, {"make_tokens": True}, {"nonsense": 1}, {"version": "1"}],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options):
    """A key that there is not, or a value that it cannot have, is no target."""
    with pytest.raises(ValueError, match="1 validation error"):
        MCPOptions(**options)


def test_what_a_stream_is_asked_for():
    """A stream is asked to state its usage, unless the plan says what it is asked for; params may name a model."""
    target = OpenAITarget()
    agent = Identity("a", "r", "")
    body = lambda **params: orjson.loads(  # noqa: E731 - said once, here
        target.compile(Step(tool="m", action="stream", params={"messages": []} | params), "r").request(agent, 1).body
    )
    assert body() == {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
    assert body(stream_options={}, model="x/y") == {
        "model": "x/y", "messages": [], "stream": True, "stream_options": {},
    }  # fmt: skip
