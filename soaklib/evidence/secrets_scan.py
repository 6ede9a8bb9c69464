"""Looks for what may never be in a bundle: agent tokens, private keys, credentials, Authorization headers.

Files are looked at as bytes, whatever is compressed also as what it holds, and DuckDB and Parquet files also value by
value, since their pages are compressed. What is found is named by its kind and place, never shown.
"""

from __future__ import annotations

import re
import zipfile
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

import duckdb

from soaklib.errors import RunError
from soaklib.store.bounded import DECOMPRESSION_ERRORS, Allowance, Bounded, DamagedError, decompressed
from soaklib.store.faults import first_line
from soaklib.store.foreign import seal_off
from soaklib.store.quoting import is_text, name_sql, parquet_sql, text_sql
from soaklib.store.scratch import spill_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from io import BufferedIOBase
    from pathlib import Path

__all__ = ["Finding", "find_secrets"]

_CHUNK_BYTES: Final = 4 << 20
_OVERLAP_BYTES: Final = 8 << 10
_BATCH_ROWS: Final = 20_000
_DEEPEST: Final = 3
_SHORTEST_KNOWN: Final = 8
_SHORTEST_WORD: Final = 6
_TEXT: Final = re.compile("VARCHAR|BLOB|JSON|ENUM")
_ZIP: Final = b"PK\x03\x04"
_NOT_SEEN: Final = "something compressed that cannot be looked into"
_NO_NAME: Final = "tables that cannot be looked into (its name is no UTF-8 text)"
_TABLES: Final = """
    select schema_name, table_name from system.main.duckdb_tables() where database_name = 'scanned' order by all"""
_DEFINITIONS: Final = """(
    select sql as definition from system.main.duckdb_views() where database_name = 'scanned' union all
    select macro_definition from system.main.duckdb_functions() where database_name = 'scanned')"""


class Finding(NamedTuple):
    """A secret, or what looks like one or may hold one: where it is, and what it is."""

    where: str
    what: str


class _Rule(NamedTuple):
    """What one kind of secret looks like; the pattern is tried only where one of the (lower-case) words is.

    Attributes
    ----------
    what
        The kind.
    words
        Any that it is in has one of them.
    pattern
        Of one whole.
    before
        How many bytes before a word a secret may begin; None where the pattern's own literal is found as fast.
    """

    what: str
    words: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    before: tuple[int, ...] | None = None

    def is_in(self, data: bytes, lowered: bytes) -> bool:
        """Say whether there is one in some bytes."""
        words = [word for word in self.words if word in lowered]
        if self.before is None:
            return bool(words) and self.pattern.search(data) is not None
        return any(
            self.pattern.match(data, at - before)
            for word in words for at in _places(word, lowered) for before in self.before if before <= at
        )  # fmt: skip


def _places(word: bytes, data: bytes) -> Iterator[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + 1)


class _Known(NamedTuple):
    """A secret that is known, and how it stands as a word of its own; None for one that is looked for anywhere."""

    secret: bytes
    word: re.Pattern[bytes] | None = None

    def is_in(self, data: bytes) -> bool:
        """Say whether it is in some bytes."""
        return self.secret in data and (self.word is None or self.word.search(data) is not None)


def _looked_for(secrets: Iterable[str]) -> Iterator[_Known]:
    """Give what to look for of secrets that are known; what is too short would be found in anything."""
    for text in secrets:
        secret = text.encode()
        if len(text) >= _SHORTEST_KNOWN:
            yield _Known(secret)
        elif len(text) >= _SHORTEST_WORD and re.search("[0-9]", text) and re.search("[A-Za-z]", text):
            yield _Known(secret, re.compile(rb"(?<![\w-])" + re.escape(secret) + rb"(?![\w-])"))


# Every pattern begins with a literal or has its words, and none repeats without a bound before its end, so that
# hundreds of megabytes and long runs of base64 take time in proportion to their length.
_RULES: Final = (
    _Rule("an agent token", (b".",), re.compile(rb"\.(?<=[A-Za-z0-9+/=_-]{60}\.)[0-9a-f]{64}(?![0-9a-f])")),
    _Rule("a JSON web token", (b"eyj",), re.compile(rb"eyJ[\w-]{10,4000}\.eyJ[\w-]{10,4000}\.[\w-]{16,}")),
    _Rule("a private key", (b"private key-----",), re.compile(rb"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY-----")),
    _Rule(
        "an Authorization header",
        (b"authorization", b"bearer "),
        re.compile(
            rb"(?i)authorization[\"'\\]{0,4}\s{0,4}[:=,]\s{0,4}[\"'\\]{0,4}"
            rb"(?:bearer|basic|token|digest) {1,4}[\w.~+/=-]{6,}"
            rb"|\bbearer {1,4}[\w.~+/-]{16,}"
        ),
        (0,),
    ),
    _Rule(
        "an admin token",
        (b"x-admin-token",),
        re.compile(rb"(?i)x-admin-token[\"'\\]{0,4}:\s{0,4}[\"'\\]{0,4}[\w.~+/=-]{6,}"),
        (0,),
    ),
    _Rule(
        "a password in a URL",
        (b"://",),
        re.compile(rb"://[!-.0-9;-?A-~]{0,64}:(?!(?:\*\*\*|password|secret)@)[!-.0-?A-~]{1,256}@[\w.\[-]"),
    ),
    _Rule(
        "a password in a URL",
        (b"password",),
        re.compile(rb"(?i)[?&](?:ssl)?password=(?!\*\*\*)[^&#\s\"'<>\\]{1,256}"),
        (len(b"?"), len(b"?ssl")),
    ),
    _Rule(
        "a credential",
        (b"private_key", b"privatekey", b"agent_token", b"credential", b"api_key", b"apikey", b"password", b"secret"),
        re.compile(
            rb"(?i)\b(?:private_?key|agent_token|credential|api_?key|password|client_secret|secret)\\{0,2}[\"']\s{0,4}:\s{0,4}"
            rb"\\{0,2}[\"'][^\"'\\\s]{8,}"
        ),
        (0, len(b"client_")),
    ),
    _Rule(
        "a provider's key",
        (b"sk-", b"akia", b"ghp_", b"aiza", b"xox"),
        re.compile(
            rb"(?<![\w-])(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36}|AIza[\w-]{35}"
            rb"|xox[abprs]-[A-Za-z0-9-]{20,})(?![\w-])"
        ),
        (0,),
    ),
)  # fmt: skip


_WORDS: Final = sorted({word.decode().replace(".", r"\.") for rule in _RULES for word in rule.words})
_SUSPECT: Final = f"(?i){'|'.join(_WORDS)}"
"""Any of the rules' words, as DuckDB's expressions have it: a value without one needs no look."""


def find_secrets(path: Path, name: str, known: Sequence[str] = ()) -> list[Finding]:
    """Look for secrets in a file.

    Parameters
    ----------
    path
        The file.
    name
        What to call it.
    known
        Secrets that are known and must not be there either, such as an admin token of the environment. Those shorter
        than 8 characters are found anywhere: of 6 or 7, with a letter and a digit, they are looked for as words of
        their own, and else left out.

    Returns
    -------
    list of Finding
        Each kind once a place. What cannot be looked into is a finding too: a decompression bomb, an encrypted zip.
        What is cut short is looked at as far as anyone can read it.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    secrets = tuple(_looked_for(known))
    with path.open("rb") as file:
        allowance = Allowance(path.stat().st_size, name)
        found = list(_in_stream(file, allowance, name, secrets, depth=0))
    if path.suffix in {".duckdb", ".parquet"}:
        found += _in_columns(path, name, secrets) if is_text(path) else [Finding(name, _NO_NAME)]
    return list(dict.fromkeys(found))


def _in_stream(
    stream: BufferedIOBase, allowance: Allowance, name: str, known: Sequence[_Known], *, depth: int
) -> Iterator[Finding]:
    bounded = Bounded(stream, allowance)
    tail = b""
    while chunk := bounded.read(_CHUNK_BYTES):
        yield from _in_bytes(tail + chunk, name, known)
        tail = (tail + chunk)[-_OVERLAP_BYTES:]
    stream.seek(0)
    yield from _inside(stream, allowance, name, known, depth=depth + 1)


def _inside(
    stream: BufferedIOBase, allowance: Allowance, name: str, known: Sequence[_Known], *, depth: int
) -> Iterator[Finding]:
    """Look into what is compressed; what cannot be looked into is told."""
    try:
        inner = decompressed(stream)
        if inner is None and stream.read(4) != _ZIP:
            return
        if depth > _DEEPEST:
            yield Finding(name, f"{_NOT_SEEN} (it is compressed more than {_DEEPEST} times over)")
        elif inner is not None:
            with inner:
                yield from _in_stream(inner, allowance, f"{name} (decompressed)", known, depth=depth)
        else:
            with zipfile.ZipFile(cast("IO[bytes]", stream)) as zipped:
                for member in zipped.infolist():
                    with zipped.open(member) as file:
                        packed = cast("BufferedIOBase", file)
                        yield from _in_stream(packed, allowance, f"{name} ({member.filename})", known, depth=depth)
    except (DamagedError, zipfile.BadZipFile) as exc:  # there are tools that read what comes after the damage
        yield Finding(name, f"{_NOT_SEEN} (it is damaged: {exc})")
    except DECOMPRESSION_ERRORS:
        return  # it was looked at as far as anyone can read it; that it is damaged is for others to say
    except (RunError, RuntimeError, ValueError) as exc:  # a bomb; encrypted or by an unknown method; no zip in fact
        yield Finding(name, f"{_NOT_SEEN} ({exc})")


def _in_columns(path: Path, name: str, known: Sequence[_Known]) -> Iterator[Finding]:
    """Look at the text of every column, value by value."""
    try:
        with duckdb.connect(config={"threads": 1}) as connection:
            seal_off(connection)
            spill_aside(connection)
            secrets = [f"contains(value, {text_sql(one.secret.decode())})" for one in known]
            suspect = " or ".join([f"regexp_matches(value, {text_sql(_SUSPECT)})", *secrets])
            for source, of_table, columns in _text_columns(connection, path):
                for column in columns:
                    result = connection.execute(
                        f"select distinct value from (select {column}::VARCHAR as value from {source}) where {suspect}"  # noqa: S608 - quoted
                    )
                    while rows := result.fetchmany(_BATCH_ROWS):
                        text = "\n".join(row[0] for row in rows)
                        yield from _in_bytes(text.encode(), f"{name}, column {column}{of_table}", known)
    except duckdb.Error as exc:
        # Who has the key can read tables that are encrypted. Out of others no rows can be read, by anyone; that there
        # should be some is for others to say.
        if "encrypt" in str(exc).lower():
            yield Finding(name, f"tables that cannot be looked into ({first_line(exc)})")


def _text_columns(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give what to select from in a file, the words for where that is, and its columns that hold text, quoted.

    The database is never the one that names are looked up in: whoever made it may have put macros and views into it.
    Those hold no rows; what they say is looked at.
    """
    if path.suffix == ".parquet":
        rows = parquet_sql(path)
        yield rows, "", _texts_of(connection, rows)
        return
    connection.execute(f"attach {text_sql(path)} as scanned (read_only)").fetchall()
    connection.execute("set enable_external_access = false").fetchall()
    for schema, table in connection.execute(_TABLES).fetchall():
        source = f"scanned.{name_sql(schema)}.{name_sql(table)}"
        yield source, f" of {name_sql(table)}", _texts_of(connection, source)
    yield _DEFINITIONS, "", ["definition"]


def _texts_of(connection: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    described = connection.execute(f"describe select * from {source}").fetchall()  # noqa: S608 - quoted
    return [name_sql(row[0]) for row in described if _TEXT.search(row[1])]


def _in_bytes(data: bytes, where: str, known: Sequence[_Known]) -> Iterator[Finding]:
    lowered = data.lower()
    for rule in _RULES:
        if rule.is_in(data, lowered):
            yield Finding(where, rule.what)
    if any(secret.is_in(data) for secret in known):
        yield Finding(where, "a secret of this environment")
