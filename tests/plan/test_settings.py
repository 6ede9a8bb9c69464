import json
import resource
from pathlib import Path

import pytest
import trustme

import soaklib
from soaklib.errors import SettingsError
from soaklib.plan.loading import load_settings
from soaklib.plan.model import load_plan
from soaklib.plan.settings import SoakSettings, default_max_in_flight, is_loopback


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("GATEWAY_URL", "HTTP_TIMEOUT_MS", "SOAK_RPS", "SOAK_HOURS", "SOAK_SPEED", "SOAK_SEED"):
        monkeypatch.delenv(name, raising=False)


def test_a_quick_rehearsal_is_the_whole_day_in_half_a_minute(monkeypatch):
    """As many slots a wall second as the default one has; flags go before; it is for the embedded gateway alone."""
    settings = load_settings(["--quick"])
    assert (settings.rps, settings.hours, settings.speed, settings.wall_duration_s) == (0.25, 24, 2880, 30)
    assert settings.rps * settings.speed == 720
    assert load_settings(["--quick", "--speed", "1440"]).speed == 1440
    monkeypatch.setenv("SOAK_QUICK", "1")
    assert load_settings([]).speed == 2880
    with pytest.raises(SettingsError, match="--quick is a rehearsal with the embedded gateway"):
        load_settings(["--quick", "--gateway-url", "http://127.0.0.1:3000"])


def test_without_a_url_the_defaults_are_a_rehearsal():
    """24 soak-hours at 1 slot a second in two minutes."""
    settings = load_settings([])
    assert (settings.rps, settings.hours, settings.speed, settings.embedded) == (1, 24, 720, True)
    assert (settings.total_slots, settings.wall_duration_s) == (86_400, 120)


def test_with_a_url_the_defaults_are_a_day():
    """10 slots a second for 24 hours at real speed."""
    settings = load_settings(["--gateway-url", "http://127.0.0.1:3000/"])
    assert (settings.rps, settings.hours, settings.speed, settings.embedded) == (10, 24, 1, False)
    assert (settings.total_slots, settings.gateway_url) == (864_000, "http://127.0.0.1:3000")


def test_a_flag_beats_the_environment_which_beats_the_plan_file(tmp_path, monkeypatch):
    """Each source is used where no earlier one speaks."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[settings]\nrps = 2\nhours = 3\nseed = 4\nhttp-timeout-ms = 5\n", "utf-8")
    monkeypatch.setenv("SOAK_HOURS", "30")
    monkeypatch.setenv("SOAK_SEED", "40")
    settings = load_settings(["--plan", str(plan), "--seed", "400"])
    assert (settings.rps, settings.hours, settings.seed, settings.http_timeout_ms) == (2, 30, 400, 5)


def test_the_environments_plain_names_mean_the_same_as_the_flags(monkeypatch):
    """GATEWAY_URL, SOAK_RPS, SOAK_HOURS and HTTP_TIMEOUT_MS."""
    monkeypatch.setenv("GATEWAY_URL", "https://gateway.example")
    monkeypatch.setenv("SOAK_RPS", "3")
    monkeypatch.setenv("SOAK_HOURS", "4")
    monkeypatch.setenv("HTTP_TIMEOUT_MS", "500")
    settings = load_settings([])
    assert settings.gateway_url == "https://gateway.example"
    assert (settings.rps, settings.hours, settings.http_timeout_ms, settings.speed) == (3, 4, 500, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rps", "0"], "--rps '0': input should be greater than 0"),
        (["--rps", "nan"], "--rps 'nan': input should be a finite number"),
        (["--hours", "x"], "--hours 'x': input should be a valid number"),
        (["--rps", "0", "--hours", "x"], "; --hours 'x'"),
        (["--rps", "0.001", "--hours", "0.001"], "plans no slot at all"),
        (["--gateway-url", "127.0.0.1:3000"], "must be a base URL such as http://127.0.0.1:3000"),
        (["--gateway-url", "http://u:secret@h"], "'http://u:***@h': must not hold credentials"),
        (["--gateway-url", "http://h:99999"], "port out of range 0-65535"),
        (["--gateway-url", "http://h:0"], "must name a port from 1 to 65535"),
        (["--database-url", "mysql://u:secret@h/x"], "'mysql://u:***@h/x': must be sqlite:///path or postgresql://"),
        (["--junit", "/nowhere/j.xml"], "--junit /nowhere/j.xml is no file that can be written"),
        (["--resume", "latest", "--check"], "pass one of them"),
        (["--gateway-url", "http://h/?x=1"], "must be a base URL without"),
        (["--gateway-url", "http://h", "--gateway-fault", "slow_ms_per_hour=1"], "leave out --gateway-url"),
        (["--header-env", "Authorization"], "must have the form NAME=VALUE"),
        (["--ca-file", "/nowhere.pem"], "--ca-file /nowhere.pem is not a file"),
        (["--plan", "/nowhere.toml"], "--plan /nowhere.toml is not a file"),
        (["--plan", "litelm"], "litelm is not a file: did you mean litellm?"),
        (["--thresholds.success-rate", "101"], "--thresholds.success-rate '101'"),
        (["--thresholds.late-ms", "inf"], "--thresholds.late-ms 'inf': input should be a finite number"),
        (["--max-in-flight", "0"], "--max-in-flight '0'"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_what_to_pass(arguments, message):
    """Every wrong setting is in the text, with its value."""
    with pytest.raises(SettingsError) as caught:
        load_settings(arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SOAK_RPS", "x", "SOAK_RPS 'x': input should be a valid number"),
        ("GATEWAY_URL", "x", "GATEWAY_URL 'x': must be a base URL"),
        ("SOAK_QUICK", "maybe", "SOAK_QUICK 'maybe': input should be a valid boolean"),
        ("SOAK_THRESHOLDS", '{"success_rate": 101}', "SOAK_THRESHOLDS 101: input should be less"),
        (
            "SOAK_THRESHOLDS",
            '{"success": 99}',
            "thresholds.success: there is no such setting: did you mean success_rate?",
        ),
    ],
)
def test_a_bad_value_in_the_environment_is_told_by_its_variable(monkeypatch, variable, value, message):
    """The sentence does not name a flag that nobody passed; a flag that was passed is named all the same."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings([])
    assert str(caught.value).startswith(message)
    with pytest.raises(SettingsError, match=r"--seed '-1'"):
        load_settings(["--seed=-1"])


@pytest.mark.parametrize(
    ("given", "said"), [("--nope", "there is no flag --nope"), ("--rsp", "there is no flag --rsp: did you mean --rps?")]
)
def test_an_unknown_flag_is_a_usage_error(given, said):
    """In one sentence with the nearest that there is, if one is near; the exit code is 2."""
    with pytest.raises(SettingsError) as caught:
        load_settings([given, "1"])
    assert (str(caught.value), caught.value.exit_code) == (said, 2)


@pytest.mark.parametrize("key", ["success-rate", "success_rate"])
def test_a_threshold_in_a_plan_file_may_be_written_as_its_flag(tmp_path, key):
    """As every other setting of the table, with hyphens or with underscores."""
    plan = tmp_path / "plan.toml"
    plan.write_text(f"[settings.thresholds]\n{key} = 90\n", "utf-8")
    assert load_settings(["--plan", str(plan)]).thresholds.success_rate == 90


@pytest.mark.parametrize(
    ("arguments", "variables", "named"),
    [
        ([], {}, "gateway-url = 'http://127.0.0.1:3000'"),
        (["--gateway-url", "http://127.0.0.1:3000"], {}, ""),
        ([], {"GATEWAY_URL": "http://127.0.0.1:3000"}, ""),
    ],
    ids=["plan", "flag", "variable"],
)
def test_a_rehearsals_settings_are_for_no_gateway_that_was_named(tmp_path, monkeypatch, arguments, variables, named):
    """Wherever the URL stands, also in the plan itself: nobody's gateway is loaded at the speed of a rehearsal."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    plan = tmp_path / "plan.toml"
    plan.write_text(f"[settings]\nseed = 4\n{named}\n[rehearsal]\nspeed = 360\nrps = 3\nseed = 5\n", "utf-8")
    settings = load_settings(["--plan", str(plan), *arguments])
    assert (settings.gateway_url, settings.speed, settings.rps, settings.seed) == ("http://127.0.0.1:3000", 1, 10, 4)


def test_a_rehearsal_cannot_name_a_gateway(tmp_path):
    """The table is read where none is named; a URL in it is told where it belongs."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[rehearsal]\nspeed = 360\n", "utf-8")
    assert load_settings(["--plan", str(plan)]).speed == 360
    plan.write_text("[rehearsal]\nspeed = 360\ngateway-url = 'http://127.0.0.1:3000'\n", "utf-8")
    with pytest.raises(SettingsError, match="gateway_url belongs into settings"):
        load_settings(["--plan", str(plan)])


def test_a_plan_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    """In a sentence with its name, as one that is no TOML."""

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    plan = tmp_path / "plan.toml"
    plan.write_text("[settings]\nrps = 2\n", "utf-8")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(SettingsError, match=r"--plan: cannot read .*plan\.toml: .*Permission denied"):
        load_settings(["--plan", str(plan)])


def test_a_plan_file_with_an_unknown_setting_is_refused(tmp_path):
    """A misspelt setting is not passed over."""
    plan = tmp_path / "plan.toml"
    plan.write_text("[settings]\nrpps = 2\n", "utf-8")
    with pytest.raises(SettingsError, match="rpps: there is no such setting: did you mean rps"):
        load_settings(["--plan", str(plan)])


@pytest.mark.parametrize(("soft", "cap"), [(1024, 896), (20_000, 8192), (64, 1), (resource.RLIM_INFINITY, 8192)])
def test_the_in_flight_cap_comes_from_the_limit_on_open_files(monkeypatch, soft, cap):
    """The limit is read; room is left for what else is open."""
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, soft))
    assert default_max_in_flight() == cap


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1", True), ("http://127.9.9.9", True), ("http://[::1]:1", True), ("http://localhost", True),
        ("http://10.0.0.1", False), ("http://localhost.example", False), ("https://gateway.example", False),
    ],
)  # fmt: skip
def test_what_is_on_this_machine(url, loopback):
    """Loopback addresses and localhost are; everything else asks for confirmation."""
    assert is_loopback(url) is loopback


def test_a_header_is_read_from_the_environment_and_a_missing_variable_is_told(monkeypatch):
    """The value never stands on the command line."""
    settings = load_settings(["--header-env", "Authorization=GATEWAY_AUTH"])
    with pytest.raises(SettingsError, match="the environment variable GATEWAY_AUTH is not set"):
        settings.headers()
    monkeypatch.setenv("GATEWAY_AUTH", "Bearer x")
    assert settings.headers() == {"Authorization": "Bearer x"}
    assert "Bearer" not in settings.public_json()


def test_the_manifest_holds_no_password():
    """The database URL is kept without it."""
    for url in ("postgresql://u:hunter22@h:5432/db", "postgresql://u@h/db?password=hunter22&sslpassword=hunter22"):
        kept = load_settings(["--database-url", url]).public_json()
        assert "hunter22" not in kept
        assert kept.count("***") == 1 + ("ssl" in url)
    assert '"sqlite:////a/b"' in load_settings(["--database-url", "sqlite:////a/b"]).public_json()


def test_every_setting_is_described():
    """--help says what each is."""
    from soaklib.plan.settings import SoakSettings  # noqa: PLC0415 - used by this test alone

    assert [name for name, field in SoakSettings.model_fields.items() if not field.description] == []
    assert load_plan().name == "24-hour soak"


def test_the_settings_of_a_stored_run_are_still_settings():
    """Those of the committed sample, made before the runner served metrics: it could be resumed."""
    with soaklib.open_run(Path(__file__).parents[2] / "data" / "sample") as run:
        settings = SoakSettings.model_validate(dict(run.info.settings))
    assert settings.metrics_port is None
    assert settings.total_slots == 34_560


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"# soaklib\n", "holds no certificate in PEM: pass the file of the authority that signed the gateway's"),
        (b"", "holds no certificate in PEM"),
        (b"\x30\x82\x01\x0a", "holds no certificate in PEM"),
        (b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n", "holds no certificate in PEM"),
        (None, "is not a file"),
    ],
)
def test_a_file_of_authorities_that_is_none_is_refused(tmp_path, content, said):
    """A text, nothing, DER, a damaged one, a folder: one sentence, before anything is sent."""
    path = tmp_path / "ca"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^--ca-file {path} {said}"):
        load_settings(["--gateway-url", "https://gateway.example", "--ca-file", str(path)])


def test_a_file_of_authorities_is_taken(tmp_path):
    """Its twin."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    assert load_settings(["--ca-file", str(path)]).ca_file == path


def test_what_a_pipeline_and_a_browser_want_is_no_setting_of_the_run(tmp_path):
    """--junit and --watch are taken, the file by its whole path, and stay out of the manifest."""
    settings = load_settings(["--junit", str(tmp_path / "j.xml"), "--watch"])
    assert (settings.junit, settings.watch) == (tmp_path / "j.xml", True)
    assert not {"junit", "watch"} & set(json.loads(settings.public_json()))
