"""One definition of how the gateway is reached."""

import ssl

import pytest
import trustme

from soaklib.errors import SettingsError
from soaklib.safety.reaching import proxy_note, refuse_bad_header, tls_context


def test_authorities_of_a_file_are_added_to_the_systems(tmp_path, monkeypatch):
    """Both are trusted, and certificates are asked for."""
    for name in ("systems", "own"):
        trustme.CA(organization_name=name).cert_pem.write_to_path(tmp_path / name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "systems"))
    context = tls_context(tmp_path / "own")
    trusted = {dict(pair[0] for pair in one["subject"])["organizationName"] for one in context.get_ca_certs()}
    assert {"systems", "own"} <= trusted
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_context_is_made_once_for_what_its_file_holds(tmp_path):
    """To make one holds up a loop for tens of milliseconds; a file that is written anew, or is gone, is looked at."""
    path = tmp_path / "own"
    trustme.CA(organization_name="first").cert_pem.write_to_path(path)
    first = tls_context(path)
    assert tls_context(str(path)) is first
    trustme.CA(organization_name="second authority").cert_pem.write_to_path(path)
    assert "second authority" in str(tls_context(path).get_ca_certs())
    path.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        tls_context(path)


@pytest.mark.parametrize(("name", "said"), [("", "Is a directory|holds no certificate"), ("absent", "No such file")])
def test_what_cannot_be_read_is_a_sentence(tmp_path, name, said):
    """A folder, a file that is gone."""
    with pytest.raises(SettingsError, match=rf"^--ca-file {tmp_path / name} .*({said})"):
        tls_context(tmp_path / name)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, None),
        ({"http_proxy": "", "no_proxy": "x"}, None),
        ({"http_proxy": "http://p"}, "http_proxy"),
        ({"ALL_PROXY": "http://p", "Https_Proxy": "http://p"}, "ALL_PROXY, Https_Proxy"),
    ],
)
def test_a_proxy_is_told_by_the_name_of_its_variable(environment, named):
    """Upper case or lower; an empty one names none."""
    note = proxy_note(environment)
    assert note is None if named is None else note.startswith(f"{named} is not obeyed: ")


@pytest.mark.parametrize("value", ["Bearer x", "caf\u00e9", "a\tb", ""])
def test_a_header_that_can_be_sent_is_let_be(value):
    """Its twin is among the client's tests."""
    refuse_bad_header("X-Key", value)
