"""What is secret in a URL, and a text without it."""

import pytest

from soaklib.safety.redaction import mask_url, redacted, url_secrets

URLS = [
    ("postgresql://u:hunter22@h:5432/db", "postgresql://u:***@h:5432/db", {"hunter22"}),
    ("postgresql://u:@h/db", "postgresql://u:@h/db", set()),
    ("postgresql://u@h/db", "postgresql://u@h/db", set()),
    ("postgresql://h:5432/db", "postgresql://h:5432/db", set()),
    ("postgresql://u@h/db?password=hunter22", "postgresql://u@h/db?password=***", {"hunter22"}),
    (
        "postgres://u:one111@h/db?sslmode=require&sslpassword=two%20two&connect_timeout=3",
        "postgres://u:***@h/db?sslmode=require&sslpassword=***&connect_timeout=3",
        {"one111", "two%20two", "two two"},
    ),
    ("postgresql:///db?host=/run&pass%77ord=hunter22", "postgresql:///db?host=/run&pass%77ord=***", {"hunter22"}),
    ("postgresql://h/db?PASSWORD=hunter22", "postgresql://h/db?PASSWORD=***", {"hunter22"}),
    ("postgresql://u:p%40ss%2Fword@h/db", "postgresql://u:***@h/db", {"p%40ss%2Fword", "p@ss/word"}),
    ("postgresql://u:p@ss:word@h/db", "postgresql://u:***@h/db", {"p@ss:word", "ss:word@"}),
    ("postgresql://u:p/ss?w#rd@h/db", "postgresql://u:***@h/db", {"p/ss?w#rd"}),
    ("postgresql://u:p/ssword@h/db", "postgresql://u:***@h/db", {"p/ssword"}),
    ("postgresql://h:5432/db?application_name=a@b", "postgresql://h:5432/db?application_name=a@b", set()),
    ("postgresql://u:***@h/db?password=***", "postgresql://u:***@h/db?password=***", set()),
    ("postgresql://[::1/db?password=hunter22", "postgresql://[::1/db?password=***", {"hunter22"}),
    ("postgresql://h/db?passfile=/.pgpass&sslkey=/k", "postgresql://h/db?passfile=/.pgpass&sslkey=/k", set()),
    ("postgresql://h/db?oauth_client_secret=hunter22", "postgresql://h/db?oauth_client_secret=***", {"hunter22"}),
    ("host=h user=u password=hunter22 dbname=d", "host=h user=u password=*** dbname=d", {"hunter22"}),
    ("host=h password = 'two two' user=u", "host=h password = *** user=u", {"'two two'", "two two"}),
    ("sqlite:///a:b@c", "sqlite:///a:b@c", set()),
    ("sqlite:////var/lib/gateway.sqlite", "sqlite:////var/lib/gateway.sqlite", set()),
]  # fmt: skip


@pytest.mark.parametrize(("url", "masked", "secrets"), URLS)
def test_a_url_is_masked_and_its_secrets_are_known(url, masked, secrets):
    """As libpq reads it, and where it is not well formed."""
    assert mask_url(url) == masked
    assert url_secrets(url) == secrets
    assert mask_url(masked) == masked
    assert not any(secret in masked for secret in secrets)


def test_the_longest_secret_is_masked_first():
    """So that none shows in part."""
    assert redacted("open sesame, open", ["open", "open sesame", ""]) == "***, ***"
