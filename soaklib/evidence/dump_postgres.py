"""The dump of a PostgreSQL database by pg_dump, its count, and, asked for, its restoration into the same server.

The count of rows and the dump see one snapshot of the database, which the counting connection exports. Passwords go to
PostgreSQL's programs through the environment of their process, never on a command line, where every user could read it.
"""

from __future__ import annotations

import gzip
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.analysis.sources.databases import opened
from soaklib.errors import SourceError
from soaklib.evidence.dump_reading import count_dump
from soaklib.evidence.manifest import TableRows
from soaklib.store.quoting import name_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from soaklib.analysis.sources.databases import Database

__all__ = ["dump_postgres"]

_DEBIAN_FOLDER: Final = Path("/usr/lib/postgresql")
_WITHIN_S: Final = 3600.0
_LOCK_WITHIN_MS: Final = 30_000
_MOST_WORDS: Final = 300

_TABLES: Final = """
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname::text, c.relname::text,
           (select coalesce(string_agg(a.attname::text, ',' order by a.attnum), '') from pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select 1 from pg_depend d
                    where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
    order by 1"""


class _Table(NamedTuple):
    """A table: its name as pg_dump writes it, as a pattern for pg_dump's options, and whether it holds secrets."""

    name: str
    pattern: str
    is_secret: bool


class _Client:
    """PostgreSQL's programs, talking to one server.

    Parameters
    ----------
    url
        A URL with which a connection was made before.
    major
        The server's major version; the programs must not be older.
    """

    def __init__(self, url: str, major: int) -> None:
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - only this database needs it

        self._parameters = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
        password = self._parameters.pop("password", None)
        self._parameters.pop("sslpassword", None)  # it has no variable, and no place on a command line either
        self._environment = os.environ | {"LC_ALL": "C", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "soaklib"}
        if password is not None:
            self._environment["PGPASSWORD"] = password
        self._pg_dump = _pg_dump(major)
        self._psql = self._pg_dump.with_name("psql")
        if not self._psql.is_file():
            msg = f"there is no psql beside {self._pg_dump}: install PostgreSQL's client programs"
            raise SourceError(msg)

    def dump(self, target: Path, *, snapshot: str, schema_only: Sequence[_Table]) -> None:
        """Write the dump, compressed by gzip; large objects, which belong to no table, stay out."""
        self._run(
            [
                str(self._pg_dump), "--format=plain", "--compress=6", f"--file={target}", f"--snapshot={snapshot}",
                "--no-owner", "--no-privileges", "--no-blobs", "--no-password",
                f"--lock-wait-timeout={_LOCK_WITHIN_MS}",
                *(f"--exclude-table-data={table.pattern}" for table in schema_only),
                f"--dbname={self._connection()}",
            ]
        )  # fmt: skip

    @contextmanager
    def scratch_database(self) -> Iterator[str]:
        """Give the name of an empty database, which is dropped in the end."""
        name = f"soaklib_restore_{secrets.token_hex(4)}"
        self._query(f"create database {name} template template0")
        try:
            yield name
        finally:
            self._query(f"drop database {name}")

    def restore(self, dump: Path, database: str) -> None:
        """Run a dump into a database; any error ends it."""
        command = [*self._psql_command(database), "--set=ON_ERROR_STOP=1", "--single-transaction", "--file=-"]
        with (
            gzip.open(dump) as lines,
            tempfile.TemporaryFile() as said,
            subprocess.Popen(  # noqa: S603 - PostgreSQL's own program
                command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
            ) as process,
        ):
            if process.stdin is not None:
                with suppress(BrokenPipeError), process.stdin:  # it has ended early, and said why
                    shutil.copyfileobj(lines, process.stdin)
            if process.wait() != 0:
                said.seek(0)
                msg = f"psql cannot restore the dump: {_words(said.read())}"
                raise SourceError(msg)

    def count(self, database: str, tables: Sequence[_Table]) -> dict[str, int]:
        """Count rows."""
        counts = " union all ".join(
            f"select {index}, count(*) from only {table.name}"  # noqa: S608 - quoted by the server
            for index, table in enumerate(tables)
        )
        rows = (line.split("|") for line in self._query(counts, database).splitlines())
        return {tables[int(index)].name: int(n) for index, n in rows}

    def _query(self, statement: str, database: str | None = None) -> str:
        return self._run([*self._psql_command(database), "--tuples-only", "--no-align", f"--command={statement}"])

    def _psql_command(self, database: str | None) -> list[str]:
        return [str(self._psql), "--no-psqlrc", "--quiet", "--no-password", f"--dbname={self._connection(database)}"]

    def _connection(self, database: str | None = None) -> str:
        """Give libpq's connection string, without the password."""
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - only this database needs it

        return make_conninfo("", **self._parameters | ({} if database is None else {"dbname": database}))

    def _run(self, command: list[str]) -> str:
        name = Path(command[0]).name
        try:
            ended = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
                command, env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                timeout=_WITHIN_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired as exc:
            msg = f"{name} did not come to its end within {_WITHIN_S:g} s"
            raise SourceError(msg) from exc
        if ended.returncode != 0:
            msg = f"{name} failed: {_words(ended.stderr)}"
            raise SourceError(msg)
        return ended.stdout.decode("utf-8", "replace")


def dump_postgres(
    url: str, dump: Path, *, holds_secrets: Callable[[str, Collection[str]], bool], prove_restore: bool
) -> tuple[tuple[TableRows, ...], str | None]:
    """Dump a database and count what the dump holds, by reading it to its end or by restoring it.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:port/name``.
    dump
        The file to write, SQL compressed by gzip.
    holds_secrets
        Says of a table and its columns whether it goes in as schema only.
    prove_restore
        Whether the dump is restored into a scratch database of the same server, which is dropped again; otherwise
        nothing is written to the server.

    Returns
    -------
    tuple of TableRows
        What was dumped.
    str or None
        Why the dump was not shown to hold that; None when it was.

    Raises
    ------
    SourceError
        The database cannot be reached or dumped; the text never holds the password.
    """
    with opened(url) as database:
        list(database.batches(f"select set_config('lock_timeout', '{_LOCK_WITHIN_MS}', false)"))
        [[(major,)]] = database.batches("select current_setting('server_version_num')::int / 10000")
        client = _Client(url, int(str(major)))
        tables = _tables(database, holds_secrets)
        snapshot, counted = _counted(database, tables)
        # the transaction that exported the snapshot has to live until pg_dump has taken it
        client.dump(dump, snapshot=snapshot, schema_only=[table for table in tables if table.is_secret])
    rows = {table.name: 0 if table.is_secret else counted[table.name] for table in tables}
    dumped = tuple(TableRows(table=table.name, rows=rows[table.name], schema_only=table.is_secret) for table in tables)
    try:
        if prove_restore:
            with client.scratch_database() as name:
                client.restore(dump, name)
                found = client.count(name, tables)
        else:
            found = dict.fromkeys(rows, 0) | count_dump(dump)
    except SourceError as exc:
        return dumped, str(exc)
    return dumped, None if found == rows else f"it has {found} instead of {rows} rows"


def _tables(database: Database, holds_secrets: Callable[[str, Collection[str]], bool]) -> list[_Table]:
    return [
        _Table(
            str(name),
            f"{name_sql(str(schema))}.{name_sql(str(table))}",
            holds_secrets(str(table), str(columns).split(",")),
        )
        for rows in database.batches(_TABLES)
        for name, schema, table, columns in rows
    ]


def _counted(database: Database, tables: Sequence[_Table]) -> tuple[str, dict[str, int]]:
    """Export the snapshot of a statement that counts; give both, which so belong together."""
    counts = "".join(f", (select count(*) from only {table.name})" for table in tables)  # noqa: S608 - quoted by the server
    [[(snapshot, *rows)]] = database.batches(f"select pg_export_snapshot(){counts}")
    return str(snapshot), {table.name: int(str(n)) for table, n in zip(tables, rows, strict=True)}


def _pg_dump(server_major: int) -> Path:
    """Find a pg_dump that is not older than the server: on the path, or where Debian keeps every version."""
    on_path = shutil.which("pg_dump")
    found = [] if on_path is None else [Path(on_path)]
    found += sorted(_DEBIAN_FOLDER.glob("*/bin/pg_dump"), key=lambda path: path.parts[-3], reverse=True)
    newest = 0
    for program in found:
        newest = max(newest, version := _version(program))
        if version >= server_major:
            return program
    install = f"install PostgreSQL's client programs of version {server_major} or later (Debian: postgresql-client)"
    if newest == 0:
        msg = f"there is no pg_dump to dump the database with: {install}"
    else:
        msg = f"pg_dump {newest} is older than the server, which is {server_major}, and cannot dump it: {install}"
    raise SourceError(msg)


def _version(program: Path) -> int:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - the program that was found
    match = re.search(r"\(PostgreSQL\) (\d+)", told.stdout)
    return int(match[1]) if match else 0


def _words(stderr: bytes) -> str:
    """Give what a program said, on one line."""
    return " ".join(stderr.decode("utf-8", "replace").split())[:_MOST_WORDS] or "it did not say why"
