"""The tables of a run's database: the one place where they are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ADDED",
    "APPENDED",
    "DATABASE_NAME",
    "NOTHING_SAID",
    "OUTCOME_ALWAYS",
    "SCHEMA_VERSION",
    "TABLES",
    "added_between",
    "defined_columns",
    "tables_of",
]

SCHEMA_VERSION: Final = 3
DATABASE_NAME: Final = "run.duckdb"

# No primary keys: DuckDB keeps their index in memory, and nothing here may grow with the length of a run. The keys
# are proved unique by a query instead (`duplicate keys` is a criterion).
_FIRST: Final[Mapping[str, str]] = {
    "run": """
        run_id VARCHAR NOT NULL, schema_version INTEGER NOT NULL, soaklib_version VARCHAR NOT NULL,
        anchor_utc TIMESTAMPTZ NOT NULL, speed DOUBLE NOT NULL, rps DOUBLE NOT NULL, hours DOUBLE NOT NULL,
        seed BIGINT NOT NULL, target VARCHAR NOT NULL, embedded BOOLEAN NOT NULL, settings VARCHAR NOT NULL,
        plan VARCHAR NOT NULL, environment VARCHAR NOT NULL, status VARCHAR NOT NULL, completed_utc TIMESTAMPTZ,
        duration_s DOUBLE""",
    "segments": """
        segment SMALLINT NOT NULL, started_at_us BIGINT NOT NULL, soak_started_s DOUBLE NOT NULL,
        ended_at_us BIGINT, soak_ended_s DOUBLE, runner_pid INTEGER NOT NULL""",
    "outcomes": """
        purpose VARCHAR NOT NULL, slot BIGINT NOT NULL, step SMALLINT NOT NULL, role VARCHAR NOT NULL,
        tool VARCHAR NOT NULL, action VARCHAR NOT NULL, planned_at_us BIGINT NOT NULL, sent_at_us BIGINT,
        done_at_us BIGINT, status SMALLINT, kind VARCHAR NOT NULL, expected VARCHAR NOT NULL, reason VARCHAR,
        attempts SMALLINT NOT NULL, token_generation INTEGER, correlation_id VARCHAR, phase VARCHAR NOT NULL""",
    "samples": """
        at_us BIGINT NOT NULL, metric VARCHAR NOT NULL,
        labels STRUCT("key" VARCHAR, "value" VARCHAR)[] NOT NULL, "value" DOUBLE NOT NULL""",
    "scrapes": """
        at_us BIGINT NOT NULL, endpoint VARCHAR NOT NULL, status SMALLINT, ok BOOLEAN NOT NULL,
        duration_us BIGINT NOT NULL, size_bytes BIGINT NOT NULL, detail VARCHAR""",
    "events": "at_us BIGINT NOT NULL, name VARCHAR NOT NULL, detail VARCHAR NOT NULL, event_key VARCHAR",
    "runner_health": """
        at_us BIGINT NOT NULL, planned BIGINT NOT NULL, sent BIGINT NOT NULL, done BIGINT NOT NULL,
        in_flight BIGINT NOT NULL, queue_rows BIGINT NOT NULL, schedule_lag_max_us BIGINT NOT NULL,
        loop_lag_max_us BIGINT NOT NULL, connect_wait_max_us BIGINT NOT NULL, rss_bytes BIGINT NOT NULL,
        cpu_s DOUBLE NOT NULL, open_files INTEGER NOT NULL, disk_free_bytes BIGINT NOT NULL,
        clock_offset_us BIGINT NOT NULL""",
    "verdicts": """
        name VARCHAR NOT NULL, measure DOUBLE, threshold VARCHAR NOT NULL, n BIGINT NOT NULL, low DOUBLE, high DOUBLE,
        state VARCHAR NOT NULL, detail VARCHAR NOT NULL, query VARCHAR NOT NULL""",
}

ADDED: Final[Mapping[int, Mapping[str, str]]] = {
    2: {
        "segments": "lane SMALLINT",
        "outcomes": """
            lane SMALLINT, identity VARCHAR, first_byte_at_us BIGINT, first_token_at_us BIGINT, chunks INTEGER,
            input_tokens BIGINT, output_tokens BIGINT, gateway_us BIGINT, "limit" VARCHAR,
            retries INTEGER, fallbacks INTEGER, remaining BIGINT""",
        "events": "change VARCHAR, subject VARCHAR, data VARCHAR",
        "runner_health": """
            lane SMALLINT, connections_open INTEGER, connections_opened INTEGER, connections_lost INTEGER""",
    },
    3: {"outcomes": "cost_usd DOUBLE, key_id VARCHAR"},
}
"""Version -> table name -> the columns that came with it; each may be NULL, and they stand behind those before it."""


def tables_of(version: int) -> Mapping[str, str]:
    """Give the tables as a version of the schema has them: name -> columns.

    Raises
    ------
    KeyError
        There is no such version.
    """
    if version != 1 and version not in ADDED:
        raise KeyError(version)
    added = added_between(1, version)
    return {table: f"{columns}, {added[table]}" if table in added else columns for table, columns in _FIRST.items()}


def added_between(earlier: int, later: int) -> Mapping[str, str]:
    """Give, by table, the columns that a later version of the schema has and an earlier one has not."""
    versions = range(earlier + 1, later + 1)
    return {
        table: ", ".join(ADDED[version][table] for version in versions if table in ADDED[version])
        for table in _FIRST
        if any(table in ADDED[version] for version in versions)
    }


TABLES: Final[Mapping[str, str]] = tables_of(SCHEMA_VERSION)
"""Table name -> its columns, in the order of the matching record in :mod:`soaklib.records`."""

APPENDED: Final = ("segments", "outcomes", "samples", "scrapes", "events", "runner_health")
"""The tables that grow while a run goes on, which the recorder appends to."""


def defined_columns(columns: str) -> list[tuple[str, str]]:
    """Give the columns of a definition in their order, each with the rest of what is said of it."""
    split = [column.split(maxsplit=1) for column in _split_columns(columns)]
    return [(name.strip('"'), rest) for name, rest in split]


def _split_columns(columns: str) -> list[str]:
    """Split a column list at its top-level commas (a STRUCT has its own)."""
    parts, depth, current = [], 0, ""
    for character in columns:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()]


OUTCOME_ALWAYS: Final = 19
"""So many columns of ``outcomes``, up to ``identity``, are of every call; those behind them are of what a gateway says
beside its answer, and a row without any of it may be appended without them."""

NOTHING_SAID: Final = (None,) * (len(_split_columns(TABLES["outcomes"])) - OUTCOME_ALWAYS)
"""What a row without any of it has in those columns."""
