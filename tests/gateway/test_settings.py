import pytest

from soaklib.gateway.quirks import NO_QUIRKS, REAL_QUIRKS
from soaklib.gateway.settings import GatewaySettings, SettingsError, is_loopback, parse_settings


def test_defaults():
    """Without arguments: loopback, a free port, real time, no limit, no warts, no faults."""
    assert parse_settings([], {}) == GatewaySettings()
    assert (GatewaySettings().host, GatewaySettings().port, GatewaySettings().quirks) == ("127.0.0.1", 0, NO_QUIRKS)


def test_the_database_may_be_named_in_the_environment():
    """Where no command line shows its password; a flag wins, and an empty variable is none."""
    named = {"SOAK_GATEWAY_DATABASE_URL": "postgresql://u:p@h/d"}
    assert parse_settings([], named).database_url == "postgresql://u:p@h/d"
    assert parse_settings(["--database-url", "sqlite:///a"], named).database_url == "sqlite:///a"
    assert parse_settings([], {"SOAK_GATEWAY_DATABASE_URL": ""}).database_url is None


def test_real_quirks_bring_the_real_limit():
    """--quirks real limits to 5 calls; an explicit limit wins."""
    real = parse_settings(["--quirks", "real"], {})
    assert (real.quirks, real.rate_limit) == (REAL_QUIRKS, 5)
    assert parse_settings(["--quirks", "real", "--rate-limit", "100"], {}).rate_limit == 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--speed", "0"], "it has to be more than 0, not 0"),
        (["--speed", "fast"], "--speed"),
        (["--port", "70000"], "a port is a number from 0 (any free one) to 65535"),
        (["--rate-limit", "0"], "it has to be at least 1"),
        (["--quirks", "some"], "--quirks"),
        (["--fault", "nope=1"], "There is no fault 'nope'"),
        (["--host", "0.0.0.0"], "set SOAK_GATEWAY_ADMIN_TOKEN to a token"),  # noqa: S104 - refused is the point
        (["--host", "example.org"], "listen on 127.0.0.1"),
        (["--database-url", "mysql://x/y"], "The database URL is sqlite:///PATH"),
        (["--database-url", "sqlite://"], "The database URL is sqlite:///PATH"),
        (["--database-url", "postgresql://[::1/log"], "The database URL is sqlite:///PATH"),
        (["--spee", "2"], "there is no flag --spee: did you mean --speed?"),
    ],
)
def test_a_mistake_ends_with_code_2(arguments, sentence, capsys):
    """Bad options are told in a sentence on stderr, exit code 2."""
    with pytest.raises(SystemExit) as ended:
        parse_settings(arguments, {})
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_another_address_needs_a_token():
    """With the token in the environment any address will do, and the token shows in no repr."""
    settings = parse_settings(["--host", "0.0.0.0"], {"SOAK_GATEWAY_ADMIN_TOKEN": "hush"})  # noqa: S104 - guarded
    assert settings.admin_token == "hush"  # noqa: S105 - no real one
    assert "hush" not in repr(settings)
    with pytest.raises(SettingsError):
        GatewaySettings(host="::")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - only a name here
        ("::", False),
        ("10.0.0.1", False),
        ("gateway", False),
    ],
)
def test_what_counts_as_loopback(host, loopback):
    """Only addresses of this machine, and the name localhost."""
    assert is_loopback(host) is loopback


def test_the_signing_key_outlives_a_process_on_loopback():
    """The same seed signs alike on loopback; elsewhere the key is random unless it is given."""
    assert GatewaySettings(seed=1).token_key() == GatewaySettings(seed=1).token_key()
    assert GatewaySettings(seed=1).token_key() != GatewaySettings(seed=2).token_key()
    outside = GatewaySettings(host="::", admin_token="t")  # noqa: S106 - no real one
    assert outside.token_key() != outside.token_key()
    assert GatewaySettings(signing_key=b"k").token_key() == b"k"
