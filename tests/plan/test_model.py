import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from soaklib.errors import SettingsError
from soaklib.plan.changes import PolicyChange
from soaklib.plan.model import load_plan

DEFAULT = files("soaklib.plan").joinpath("default_plan.toml").read_text("utf-8")

IDLE_LIMIT = """
[[limits]]
calls = 5
roles = ["idle"]
try_every_s = 60

[roles.idle]
scopes = ["serpapi:search"]

[intervals]"""


def test_the_default_plan_is_the_whitepapers():
    """Four tools, 1.3 calls a slot, three changes at a third, a half and two thirds of a day."""
    plan = load_plan()
    assert plan.tools == ("serpapi", "http_fetch", "openai", "gmail_send")
    assert plan.calls_per_slot == pytest.approx(1.3)
    assert plan.phase_starts(86_400) == [
        (0.0, "baseline"), (28_800.0, "credentials rotated"), (43_200.0, "chaos"), (45_000.0, "after chaos"),
        (57_600.0, "quota cut"),
    ]  # fmt: skip
    assert [change.event for change in plan.changes] == [
        "CREDENTIALS_ROTATED_SUCCESSFULLY", "CHAOS_MODE_ON", "POLICY_UPDATED_OPENAI_QUOTA_REDUCED",
    ]  # fmt: skip


def test_planned_calls_follow_share_rate_and_time():
    """30 % of 10 slots a second are 10,800 chats an hour; a role that does not call an action plans none."""
    plan = load_plan()
    assert plan.planned_calls("enricher", "openai:chat", rps=10, seconds=3600) == pytest.approx(10_800)
    assert plan.planned_calls("scraper", "openai:chat", rps=10, seconds=3600) == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share = 0.6", "share = 0.7", "the shares of the operations add up to 1.1; make them add up to 1"),
        ("share = 0.6", "share = 0.600001", "the shares of the operations add up to 1.000001; make them add up to 1"),
        ("share = 0.6", 'share = "1e400"', "'1e400' is no fraction"),
        ('scopes = ["serpapi:search"]', 'scopes = ["openai:chat"]', "role 'scraper' calls serpapi:search but its"),
        (
            'scopes = ["serpapi:search"]', 'scopes = ["serpapi:search", "gmail_send:send"]',
            "the probe gmail_send:send of role 'scraper' must be denied, but",
        ),
        ('role = "engager"\nshare', 'role = "sender"\nshare', "unknown role 'sender'; the plan defines scraper, enr"),
        ('at = "1/2"', 'at = "99/100"', "the change chaos ends at 1.01083 of the duration, beyond the end"),
        ('at = "2/3"', 'at = "51/100"', "the changes chaos and update-policy overlap at 0.51 of the duration"),
        ('at = "1/2"', 'at = "half"', "'half' is no fraction"),
        ('do = "chaos"', 'do = "havoc"', "Input tag 'havoc' found using 'do' does not match any of the expected tags"),
        ("token_lifetime_s = 1200", "token_lifetime_s = 900", "token_lifetime_s must be longer than rotate_tokens_s"),
        ("repeat_share", "repeat_shard", "operations.0.repeat_shard: there is no such key: did you mean repeat_share"),
        ("lasts =", "lastz =", "changes.1.chaos.lastz: there is no such key: did you mean lasts?"),
        ("[intervals]", "[roles.auditor]\nscope = ['a:b']\n[intervals]", "auditor.scope: there is no such key: did"),
        ("lasts =", "lasting_colour =", "lasting_colour: there is no such key; there are at, do, lasts, mode, pct,"),
        ("lasts =", "# lasts =", "changes.1.chaos.lasts: it is missing"),
        ('scopes = ["serpapi:search"]', "scopes = []", "roles.scraper.scopes: it must hold 1 at least"),
        ("scrape_s = 60", "scrape_s = inf", "intervals.scrape_s: Input should be a finite number"),
        ("every_s = 60", "every_s = inf", "probes.0.every_s: Input should be a finite number"),
        (
            "[intervals]", "[[limits]]\ncalls = 5\nwindow_s = inf\n[intervals]",
            "limits.0.window_s: Input should be a finite number",
        ),
        ('action = "openai:chat"\nplanned', 'action = "openai:embed"\nplanned', "has none on it"),
        ("pct = 50", "pct = 500", "changes.1.chaos.pct: Input should be less than or equal to 100"),
        ("[intervals]", "[intervals", "is no TOML"),
        ("[intervals]", "[target]\nstall_s = inf\n[intervals]", "target.stall_s: Input should be a finite number"),
        (
            "[roles.engager]", "[[probes]]\nparams={a=[{b=nan}]}\n[roles.engager]",
            "probes.0.params.a.0.b: Input should be a finite number",
        ),
        (
            'phase = "quota cut"', 'phase = "chaos"',
            "the phase from 0.6667 of the duration on is called 'chaos', as the one from 0.5 of the duration on: name",
        ),
        (
            'phase = "credentials rotated"', 'phase = "after chaos"',
            "the phase from 0.5208 of the duration on is called 'after chaos', as the one from 0.3333 of the duration",
        ),
        (
            'phase_after = "after chaos"', 'phase_after = "baseline"',
            "the phase from 0.5208 of the duration on is called 'baseline', as the one before all changes: name it",
        ),
        ('lasts = "1/48"\ntool = "openai"', 'lasts = "1/48"\ntool = "opnai"', "chaos is on 'opnai', which no"),
        ('at = "1/3"\ntool = "openai"', 'at = "1/3"\ntool = "x"', "the change rotate-credentials is on 'x', which no"),
        (
            "[roles.engager]", '[roles.engager]\nquotas = [{ action = "serpapi:search", planned_ratio = 2 }]',
            "role 'engager' has a quota on serpapi:search, which none of its operations calls",
        ),
        ("[roles.engager]", '[roles."the engager"]', "roles.the engager.[key]: String should match pattern"),
        ('tool = "serpapi"', 'tool = "serp/api"', "operations.0.steps.0.tool: String should match pattern"),
        ('lasts = "1/48"', "lasts = 0", "the change chaos has no time in which anything could be seen of it"),
        ('at = "2/3"', "at = 1", "the change update-policy has no time in which anything could be seen of it"),
        ('phase = "chaos"', 'phase = " "', "changes.1.chaos.phase: it must be a name that can be seen"),
        ('phase_after = "after chaos"', 'phase_after = "\\t\\u200b"', "changes.1.chaos.phase_after: it must be a name"),
        ('name = "24-hour soak"', 'name = ""', "name: it must be a name that can be seen"),
        ("[intervals]", '[[limits]]\ncalls = 5\nname = " "\n[intervals]', "limits.0.name: it must be a name"),
        (
            "[intervals]", '[[limits]]\ncalls = 5\nphase = "quota-cut"\n[intervals]',
            "the limit 'requests' is in force in 'quota-cut', no phase: did you mean quota cut?",
        ),
        (
            "[intervals]",
            IDLE_LIMIT,
            "the edge of the limit 'requests' cannot be tried: none of its roles calls anything",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_work_is_refused_before_anything_runs(tmp_path, old, new, message):
    """Each mistake is told with its place."""
    assert DEFAULT.count(old) >= 1
    path = tmp_path / "plan.toml"
    path.write_text(DEFAULT.replace(old, new, 1), "utf-8")
    with pytest.raises(SettingsError) as caught:
        load_plan(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("own", ["changes = 3", "[rehearsal.changes]\ndo = 'chaos'"], ids=["number", "table"])
def test_the_changes_of_a_rehearsal_are_a_list(tmp_path, own):
    """Anything else is refused, and how they are written is said."""
    path = tmp_path / "plan.toml"
    path.write_text(f"{DEFAULT}\n[rehearsal]\n{own}\n", "utf-8")
    assert load_plan(path) == load_plan()
    with pytest.raises(SettingsError, match=r"rehearsal\.changes must be a list of tables, each begun by \[\[rehears"):
        load_plan(path, is_rehearsal=True)


def _with_chaos(*spans):
    """Give the text of the default plan with chaos of these beginnings and lengths in place of its changes."""
    chaos = (
        f'[[changes]]\ndo = "chaos"\nat = {at}\nlasts = {lasts}\ntool = "openai"\nphase = "chaos {number}"\n'
        f'phase_after = "after {number}"\n'
        for number, (at, lasts) in enumerate(spans)
    )
    return DEFAULT[: DEFAULT.index("[[changes]]")] + "".join(chaos)


def test_a_plan_may_have_no_changes(tmp_path):
    """Nothing of it can overlap, and it has one phase."""
    path = tmp_path / "plan.toml"
    path.write_text(_with_chaos(), "utf-8")
    assert load_plan(path).phase_starts(10) == [(0.0, "baseline")]


def test_a_change_may_begin_as_another_ends(tmp_path):
    """Also where 0.1 and 0.2 are more than 0.3 by their last digit: phases are in order then, too."""
    path = tmp_path / "plan.toml"
    path.write_text(_with_chaos((0.1, 0.2), (0.3, 0.1), (0.4, 0.1)), "utf-8")
    assert load_plan(path).phase_starts(10) == [
        (0.0, "baseline"), (1.0, "chaos 0"), (3.0, "after 0"), (3.0, "chaos 1"), (4.0, "after 1"), (4.0, "chaos 2"),
        (5.0, "after 2"),
    ]  # fmt: skip
    path.write_text(_with_chaos((0.1, 0.2001), (0.3, 0.1)), "utf-8")
    with pytest.raises(SettingsError, match=r"the changes chaos and chaos overlap at 0\.3 of the duration"):
        load_plan(path)


def test_the_example_plan_knows_none_of_the_default_plans_tools():
    """Jira and Slack, with roles of their own; the event of its quota cut bears the tool's name."""
    plan = load_plan(Path(str(files("soaklib.plan").joinpath("example_plan.toml"))))
    assert plan.tools == ("jira", "slack")
    assert set(plan.roles).isdisjoint(load_plan().roles)
    assert [change.event for change in plan.changes][-1] == "POLICY_UPDATED_SLACK_QUOTA_REDUCED"


def test_a_tool_may_be_called_what_other_gateways_call_theirs():
    """The event's name has capital letters, digits and _ alone, as scripts look for it."""
    change = PolicyChange(
        do="update-policy", at=0.5, phase="cut", role="bot", action="google-drive.v2:files.list", planned_ratio=0.5
    )
    assert change.event == "POLICY_UPDATED_GOOGLE_DRIVE_V2_QUOTA_REDUCED"


def test_a_plan_file_that_is_not_there_is_refused(tmp_path):
    """The text names the file."""
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere\.toml"):
        load_plan(tmp_path / "nowhere.toml")


def test_the_settings_table_is_left_to_the_settings(tmp_path):
    """A plan file may hold [settings] too."""
    path = tmp_path / "plan.toml"
    path.write_text(DEFAULT + "\n[settings]\nrps = 5\n", "utf-8")
    assert load_plan(path) == load_plan()
    assert tomllib.loads(path.read_text("utf-8"))["settings"] == {"rps": 5}
