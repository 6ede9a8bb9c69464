"""Names, texts and files as SQL has them, whatever is in them: a quote, a bracket or a star in a path is part of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soaklib.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["file_pattern", "is_text", "name_sql", "parquet_sql", "refuse_no_text", "text_sql"]

_GLOB: Final = re.compile(r"[*?\[]")


def is_text(path: Path | str) -> bool:
    """Say whether a path, or any text, is UTF-8: DuckDB takes no other, and says so by an error of C++'s."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_no_text(path: Path) -> None:
    """Refuse a database that DuckDB cannot be told of.

    Raises
    ------
    RunError
        Its path is no UTF-8 text.
    """
    if not is_text(path):
        msg = f"the path {str(path)!r} is no UTF-8 text, and DuckDB opens no other: rename what is not"
        raise RunError(msg)


def name_sql(name: str) -> str:
    """Give the name of a table or a column, quoted."""
    return '"' + name.replace('"', '""') + '"'


def text_sql(value: str | Path | None) -> str:
    """Give a text, or a path that is no pattern, as a literal; None as ``null``."""
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def file_pattern(path: Path | str) -> str:
    """Give the pattern that only this one file, or folder, matches: for what DuckDB reads by patterns, as a parameter.

    ``read_parquet`` takes every path for a pattern, a parameter's too, and would read other files than the one meant.
    """
    return _GLOB.sub(lambda found: f"[{found[0]}]", str(path))


def parquet_sql(*paths: Path) -> str:
    """Give a table function that reads these Parquet files and no others."""
    return f"read_parquet([{', '.join(text_sql(file_pattern(path)) for path in paths)}])"
