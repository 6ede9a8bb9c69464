"""What is taken for a secret, what is not, and where it is found."""

import base64
import bz2
import gzip
import lzma
import os
import time
import zipfile

import duckdb
import numpy as np
import pytest
from bundles import TOKEN

from soaklib.evidence.secrets_scan import Finding, find_secrets

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

SECRETS = [
    (TOKEN, "an agent token"),
    (f'{{"agent_token":"{TOKEN}"}}', "an agent token"),
    (JWT, "a JSON web token"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow", "a private key"),
    ('"private_key":"-----BEGIN PRIVATE KEY-----\\nMIIEow', "a private key"),
    ("Authorization: Bearer abcdef0123456789", "an Authorization header"),
    ("{'authorization': 'Basic dXNlcjpwYXNz'}", "an Authorization header"),
    ("curl -H 'bearer abcdef0123456789'", "an Authorization header"),
    ("X-Admin-Token: letmein", "an admin token"),
    ("postgresql://soak:hunter22@db:5432/gateway", "a password in a URL"),
    ('{"credential": "correct-horse-battery"}', "a credential"),
    ('{"client_secret": "correct-horse-battery"}', "a credential"),
    ('{\\"password\\": \\"correct-horse-battery\\"}', "a credential"),
    (f"sk-{'a1B2' * 8}", "a provider's key"),
    ("sk-9xV3_kQ-Zt1mRb7LwYc2Ag", "a provider's key"),  # as LiteLLM makes them
    ("AKIAIOSFODNN7EXAMPLE", "a provider's key"),
]

HARMLESS = [
    f"{TOKEN[:40]}.{'0a1b2c3d' * 8}",  # too short before the dot
    f"soak-final.prom.{'0a1b2c3d' * 8}",
    f"{TOKEN}0",  # longer than a signature
    '{"header_env": ["Authorization=GATEWAY_AUTHORIZATION", "X-Admin-Token=ADMIN_VARIABLE"]}',
    "postgresql://soak:***@db:5432/gateway",
    "pass postgresql://user:password@host/name",
    "http://127.0.0.1:3000/health?at=12:30:00@x",
    '{"credential": "***", "password": null, "secret": ""}',
    "403 token_expired, bearer of bad news, Authorization required",
    "risk-assessment-of-the-long-name-of-a-thing-that-is-no-key",
    f"sha256 {'0a1b2c3d' * 8}",
    "tool=openai version=20261124T123110Z-fb91-0ea6855c id=a6950680-3cde-40eb-8531-7d2636c4ce53",
]


@pytest.mark.parametrize(("text", "what"), SECRETS)
def test_a_secret_is_found_and_named_by_its_kind(tmp_path, text, what):
    """Wherever it stands in a line."""
    path = tmp_path / "log.txt"
    path.write_text(f"before {text} after\n")
    assert Finding("log.txt", what) in find_secrets(path, "log.txt")


@pytest.mark.parametrize(("text", "what"), SECRETS)
def test_what_only_looks_like_one_hides_none(tmp_path, text, what):
    """A secret is found behind all of that."""
    path = tmp_path / "log.txt"
    path.write_text("\n".join([*HARMLESS, text]))
    assert Finding("log.txt", what) in find_secrets(path, "log.txt")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_one_is_not(tmp_path, text):
    """Names of variables, masked passwords, hashes and ids are none."""
    path = tmp_path / "log.txt"
    path.write_text(f"before {text} after\n")
    assert find_secrets(path, "log.txt") == []


def zipped(data):
    """Give a zip file with one member."""
    path = "inner.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.txt", data)
    with open(path, "rb") as file:  # noqa: PTH123 - beside the line above
        return file.read()


@pytest.mark.parametrize(
    ("packed", "where"),
    [
        (gzip.compress, "x (decompressed)"),
        (bz2.compress, "x (decompressed)"),
        (lzma.compress, "x (decompressed)"),
        (lambda data: gzip.compress(gzip.compress(data)), "x (decompressed) (decompressed)"),
        (zipped, "x (inner.txt)"),
    ],
)
def test_what_is_compressed_is_looked_into(tmp_path, monkeypatch, packed, where):
    """By its first bytes, whatever the file is called; across the borders of the chunks that it is read in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x"
    path.write_bytes(packed(b"-" * (4 * (1 << 20) - 70) + TOKEN.encode()))
    assert find_secrets(path, "x") == [Finding(where, "an agent token")]


def test_something_compressed_that_is_cut_short_is_looked_at_as_far_as_it_goes(tmp_path):
    """What can still be read out of it counts; the damage itself is no secret."""
    path = tmp_path / "x.gz"
    packed = gzip.compress(TOKEN.encode() + b"\n" + base64.b64encode(os.urandom(1 << 20)))
    path.write_bytes(packed[:-200_000])
    assert find_secrets(path, "x.gz") == [Finding("x.gz (decompressed)", "an agent token")]
    path.write_bytes(packed[:20])
    assert find_secrets(path, "x.gz") == []


@pytest.fixture
def little_is_allowed(monkeypatch):
    """What is compressed may give 4 MiB, and not 64, beside what its size allows for: bombs of a test are small."""
    monkeypatch.setattr("soaklib.store.bounded._ALWAYS_ALLOWED_BYTES", 4 << 20)


@pytest.mark.usefixtures("little_is_allowed")
def test_a_bomb_is_told_and_not_inflated(tmp_path):
    """Zeros that are compressed twice end at the bound."""
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(gzip.compress(bytes(6 << 20))))
    [finding] = find_secrets(path, "x.gz")
    assert "far more than its size allows for; not read" in finding.what


@pytest.mark.parametrize("suffix", ["duckdb", "parquet"])
def test_columns_are_looked_at_by_value(tmp_path, suffix):
    """Texts, and texts inside lists and structs, though the pages on disk are compressed."""
    path = tmp_path / f"x.{suffix}"
    # many rows that share all but a number, so that the pages hold parts of the texts only
    rows = f"select i, '{TOKEN[:70]}' || i || '{TOKEN[70:]}' as t, [{{'k': '{JWT}'}}] as s from range(50000) as r(i)"
    with duckdb.connect(str(path) if suffix == "duckdb" else ":memory:") as connection:
        if suffix == "duckdb":
            connection.execute(f"create table rows as {rows}").fetchall()
        else:
            connection.execute(f"copy ({rows}) to '{path}' (format parquet, compression zstd)").fetchall()
    where = {"duckdb": 'x.duckdb, column "{}" of "rows"', "parquet": 'x.parquet, column "{}"'}[suffix]
    findings = find_secrets(path, path.name)
    assert Finding(where.format("t"), "an agent token") in findings
    assert Finding(where.format("s"), "a JSON web token") in findings


@pytest.mark.parametrize(("text", "what"), [*SECRETS, ("tr0ub4dor and more", "a secret of this environment")])
def test_a_column_hides_none_of_them_among_other_values(tmp_path, text, what):
    """Also one that is known and has no word of any rule; what its neighbours hold is no matter."""
    path = tmp_path / "x.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "create table rows as select $1 || 'x' as t from range(9) union all select $2", ["id_", text]
        )
        connection.execute(f"copy rows to '{path}' (compression zstd)").fetchall()
    assert Finding('x.parquet, column "t"', what) in find_secrets(path, "x.parquet", ["tr0ub4dor and more"])


def test_a_known_secret_is_found_whatever_its_form(tmp_path):
    """One of the environment is looked for as it is; a short one is found anywhere and left out."""
    path = tmp_path / "log.txt"
    path.write_text("the word is swordfish!\n")
    assert find_secrets(path, "log.txt", ["swordfish!"]) == [Finding("log.txt", "a secret of this environment")]
    assert find_secrets(path, "log.txt", ["word"]) == []


def test_a_short_secret_that_is_known_is_found_as_a_word(tmp_path):
    """One with a letter and a digit, such as LiteLLM's usual master key; not in the middle of something else."""
    path = tmp_path / "log.txt"
    path.write_text("key sk-1234 is no key of this server\n")
    assert find_secrets(path, "log.txt", ["sk-1234"]) == [Finding("log.txt", "a secret of this environment")]
    path.write_text("task-12345, disk-1234 and sk-1234-b, server2, admin\n")
    assert find_secrets(path, "log.txt", ["sk-1234", "server", "r2", "admin"]) == []


def test_time_is_in_proportion_to_length(tmp_path):
    """Long runs of base64, as in notebooks with pictures, do not make it quadratic."""
    path = tmp_path / "notebook.ipynb"
    path.write_bytes(base64.b64encode(os.urandom(3 << 20)) * 2)
    began_s = time.process_time()
    assert find_secrets(path, "x") == []
    assert time.process_time() - began_s < 20  # a quadratic pattern takes hours; this takes a fraction of a second


@pytest.mark.parametrize("text", [b"BZh is how the word begins", b"BZh9 is not enough", b"PK\x03\x04 and no more"])
def test_what_only_begins_like_something_compressed_is_looked_at_as_it_is(tmp_path, text):
    """No crash, and a secret in it is found."""
    path = tmp_path / "x"
    path.write_bytes(text + b"\n" + TOKEN.encode())
    assert "an agent token" in [finding.what for finding in find_secrets(path, "x")]


def test_damage_that_can_be_read_past_is_a_finding(tmp_path):
    """Of bzip2, whose blocks stand alone, and of a zip without its directory."""
    path = tmp_path / "x"
    whole = bz2.compress(np.random.default_rng(0).bytes(50_000))  # of some, damage looks like an end that is to come
    for damaged in (whole[:20_000] + b"?" * 200 + whole[20_200:], b"BZh9 no block", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(damaged)
        [finding] = find_secrets(path, "x")
        assert finding.what.startswith("something compressed that cannot be looked into (it is damaged: ")


ENCRYPTED = bytes.fromhex(
    "504b03040a0009000000587a6a5a0000000010000000040000000100000061"
    "00112233445566778899aabbccddeeff"
    "504b01021e030a0009000000587a6a5a000000001000000004000000010000000000000000000000a4810000000061"
    "504b050600000000010001002f0000002f0000000000"
)
"""A zip with one member whose flags say that it is encrypted."""


def test_an_encrypted_zip_is_a_finding(tmp_path):
    """Nobody knows what is in it."""
    path = tmp_path / "x.zip"
    path.write_bytes(ENCRYPTED)
    [finding] = find_secrets(path, "x.zip")
    assert finding.what.startswith("something compressed that cannot be looked into (")
    assert "encrypted" in finding.what


def test_what_is_packed_too_deep_is_a_finding(tmp_path):
    """Three times over is looked into, a fourth is told."""
    packed = TOKEN.encode()
    for _ in range(4):
        packed = gzip.compress(packed)
    path = tmp_path / "x.gz"
    path.write_bytes(packed)
    [finding] = find_secrets(path, "x.gz")
    assert "compressed more than 3 times over" in finding.what


@pytest.mark.usefixtures("little_is_allowed")
def test_the_members_of_a_zip_are_bounded_together(tmp_path):
    """Each of them alone would be allowed."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(6):
            file.writestr(str(number), bytes(3 << 20))
    [finding] = find_secrets(path, "x.zip")
    assert "far more than its size allows for; not read" in finding.what


@pytest.mark.parametrize(
    "url", ["postgresql://db/gateway?password=hunter22", "postgresql://u@db/g?sslmode=require&sslpassword=hunter22"]
)
def test_a_password_among_the_parameters_of_a_url_is_found(tmp_path, url):
    """As libpq takes it; a masked one is none."""
    path = tmp_path / "x"
    path.write_text(f'"database_url":"{url}"')
    assert find_secrets(path, "x") == [Finding("x", "a password in a URL")]
    path.write_text(f'"database_url":"{url.replace("hunter22", "***")}"')
    assert find_secrets(path, "x") == []


def test_a_file_in_a_folder_of_any_name_is_the_one_looked_at(tmp_path):
    """A bracket, a star and a quote are part of the name."""
    for name in ("it's [a] *run*", "it's a long run!"):
        (tmp_path / name).mkdir()
        text = TOKEN if "*" in name else "nothing"
        with duckdb.connect() as connection:
            connection.execute(
                f"create table rows as select i, '{text[:70]}' || i || '{text[70:]}' as t from range(9) r(i)"
            )
            target = str(tmp_path / name / "x.parquet").replace("'", "''")
            connection.execute(f"copy rows to '{target}' (format parquet, compression zstd)").fetchall()
    path = tmp_path / "it's [a] *run*" / "x.parquet"
    assert Finding('x.parquet, column "t"', "an agent token") in find_secrets(path, "x.parquet")


@pytest.mark.parametrize("suffix", ["duckdb", "parquet"])
def test_tables_in_a_file_whose_name_is_no_text_are_a_finding(tmp_path, suffix):
    """DuckDB opens no such file, so that nobody can have looked into it."""
    path = tmp_path / f"caf\udce9.{suffix}"
    path.write_bytes(b"PAR1")
    assert find_secrets(path, "a table") == [
        ("a table", "tables that cannot be looked into (its name is no UTF-8 text)")
    ]
