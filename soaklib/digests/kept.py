"""Reads digests that were kept: a folder of folders, one a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from soaklib.digests.distil import DIGEST_NAME, FORMAT
from soaklib.errors import RunError, SchemaError
from soaklib.store.shipped import GATEWAYS, shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Digest", "read_digests"]


@dataclass(frozen=True)
class Digest:
    """A run that was distilled by :func:`soaklib.digest`.

    Attributes
    ----------
    name
        Of its folder: the gateway's, and a number behind it where it was soaked again.
    folder
        Where it is.
    facts
        What ``digest.json`` says: ``name`` (the gateway's), ``about``, ``wire``, ``is_direct``, ``run_id``, ``wall_s``
        (how long the soak really was), ``hours``, ``rps``, ``calls``, ``late_windows`` (of the generator),
        ``versions``, ``machine`` and others.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]

    @cached_property
    def measures(self) -> pl.DataFrame:
        """Its measures, see :func:`soaklib.digests.measured.measures`."""
        return self._read("measures")

    @cached_property
    def windows(self) -> pl.DataFrame:
        """Its windows, see :func:`soaklib.digests.frames.windows`."""
        return self._read("windows")

    @cached_property
    def minutes(self) -> pl.DataFrame:
        """Its minutes, see :func:`soaklib.digests.frames.minutes`."""
        return self._read("minutes")

    @cached_property
    def kinds(self) -> pl.DataFrame:
        """Its calls by the minute, purpose, tool, kind and reason, see :func:`soaklib.outcome_counts`."""
        return self._read("kinds")

    @cached_property
    def verdicts(self) -> pl.DataFrame:
        """Its verdicts, see :func:`soaklib.criteria`."""
        return self._read("verdicts")

    def _read(self, stem: str) -> pl.DataFrame:
        path = self.folder / f"{stem}.parquet"
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as exc:
            msg = f"cannot read {path}: {exc}"
            raise RunError(msg) from exc


def read_digests(folder: Path | str | None = None) -> dict[str, Digest]:
    """Read the digests in a folder.

    Parameters
    ----------
    folder
        Whose folders are digests; others are left aside. None for those that come with soaklib, which are those of
        ``data/gateways`` in a checkout.

    Returns
    -------
    dict
        Name -> digest: direct lines first, then by name.

    Raises
    ------
    RunError
        There is no such folder, or one of its digests cannot be read.
    SchemaError
        One is of another format.
    """
    where = shipped(GATEWAYS) if folder is None else Path(folder).expanduser()
    if not where.is_dir():
        msg = f"there is no folder {where} with kept runs of gateways"
        raise RunError(msg)
    found = [_read_digest(path.parent) for path in sorted(where.glob(f"*/{DIGEST_NAME}"))]
    return {one.name: one for one in sorted(found, key=lambda one: (not one.facts["is_direct"], one.name))}


def _read_digest(folder: Path) -> Digest:
    try:
        facts = json.loads((folder / DIGEST_NAME).read_text("utf-8"))
        is_ours = facts["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"{folder / DIGEST_NAME} is no digest: {exc}"
        raise RunError(msg) from exc
    if not is_ours:
        msg = f"{folder / DIGEST_NAME} is of format {facts['format']}; this soaklib reads {FORMAT}: distil the run anew"
        raise SchemaError(msg)
    return Digest(folder.name, folder, facts)
