"""Distils a finished run into a small folder: what a table and small multiples of many gateways need, and no row of it.

==================== =================================================================================================
file                 what
==================== =================================================================================================
``digest.json``      which gateway, which run, how long it really was, versions, the machine, the configuration
``measures.parquet`` one row a measure, with its interval (:data:`MEASURES_SCHEMA`)
``windows.parquet``  windows whose mean is a value over all calls, by which two gateways are told apart
``minutes.parquet``  what figures show, by the minute
``kinds.parquet``    calls by the minute, purpose, tool, kind and reason: denials among them
``verdicts.parquet`` the verdicts as they were recorded
``plan.json``        the plan
``claims.json.gz``   the numbers of its paper, each with its query
==================== =================================================================================================

No name or path of a machine is in it, and no address of a gateway, a database or a scheduler but those of the machine
itself (127.0.0.1). The same run gives the same bytes. A run that is not whole is refused: a table has no place for half
a soak.
"""

from __future__ import annotations

import gzip
import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import polars as pl

from soaklib.analysis.measures.rates import outcome_counts
from soaklib.analysis.sources.run import Run, open_run
from soaklib.analysis.verdicts.criteria import known_verdicts
from soaklib.digests.frames import minutes, windows
from soaklib.digests.measured import measures
from soaklib.errors import RunError
from soaklib.records import RunStatus, State
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.whole import whole_file
from soaklib.whitepaper.claims import CLAIMS_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soaklib.plan.oracles import RateLimit

__all__ = ["DIGEST_NAME", "FORMAT", "digest"]

FORMAT: Final = 1
DIGEST_NAME: Final = "digest.json"
_HOST: Final = "host.name"
_NOT_OF_THE_MACHINE: Final = (
    "host",
    "judged",
    "reference",
)  # its name; by which way and against what the run was judged
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_OWN: Final = ("127.0.0.1", "localhost", "::1")
_ADDRESS: Final = "address"
_WHOLE: Final = ("full duration", "every slot accounted for")


def digest(
    run: Run | Path | str,
    folder: Path,
    *,
    name: str,
    about: str = "",
    is_direct: bool = False,
    limits: Sequence[RateLimit] = (),
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Distil a finished run into a folder.

    Parameters
    ----------
    run
        The run, or what :func:`soaklib.open_run` takes.
    folder
        Where to; made, and what is there of an earlier digest is replaced.
    name
        What the gateway is called in tables.
    about
        What it is, in a line.
    is_direct
        Whether there was no gateway: the line to the upstream that the others of its wire are measured against.
    limits
        Limits to hold it to; none for those that its plan states.
    versions
        Of the gateway and what it runs on: package -> version.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    RunError
        The run is not whole: it did not complete, slots have no row, or it was neither judged nor reported.
    """
    if not isinstance(run, Run):
        with open_run(run) as opened:
            return digest(opened, folder, name=name, about=about, is_direct=is_direct, limits=limits, versions=versions)
    _refuse_half_a_run(run)
    folder.mkdir(parents=True, exist_ok=True)
    frames = {
        "measures": measures(run, limits),
        "windows": windows(run),
        "minutes": minutes(run),
        "kinds": outcome_counts(run, "1m", by=("tool", "reason")),
        "verdicts": known_verdicts(run),
    }
    told = pl.col("detail").map_elements(partial(_without_addresses, run), return_dtype=pl.String)
    frames |= {stem: frames[stem].with_columns(told) for stem in ("measures", "verdicts")}
    for stem, frame in frames.items():
        with whole_file(folder / f"{stem}.parquet") as part:
            frame.write_parquet(part, compression="zstd", statistics=False)
    plan = json.dumps(run.info.plan.model_dump(mode="json", exclude_defaults=True))
    _write_json(folder / "plan.json", json.loads(_without_addresses(run, plan)))
    with whole_file(folder / f"{CLAIMS_NAME}.gz") as part:
        part.write_bytes(gzip.compress(_claims(run).encode(), mtime=0))
    facts = _facts(run) | {
        "name": name, "about": about, "is_direct": is_direct, "versions": dict(versions or {}),
        "limits": [limit.model_dump(mode="json") for limit in limits],
    }  # fmt: skip
    _write_json(folder / DIGEST_NAME, facts)
    return folder


def _refuse_half_a_run(run: Run) -> None:
    if run is not run.whole:
        msg = "a stretch of a run cannot be distilled: pass the run itself, or stretch.whole"
        raise RunError(msg)
    where = f"the run in {run.folder} cannot be kept:"
    if run.info.status != RunStatus.COMPLETED or run.info.duration_s is None:
        msg = f"{where} it is {run.info.status}, not completed"
        raise RunError(msg)
    recorded = run.verdicts()
    if not recorded.height:
        msg = f"{where} it was not judged; make its report first, with `soaklib report`"
        raise RunError(msg)
    for row in recorded.filter(pl.col("name").is_in(_WHOLE), pl.col("state") != State.PASS).iter_rows(named=True):
        msg = f"{where} {row['name']}: {row['detail']}"
        raise RunError(msg)
    for file in (SUMMARY_NAME, CLAIMS_NAME):
        if not (run.folder / file).is_file():
            msg = f"{where} it has no {file}; make its report first, with `soaklib report`"
            raise RunError(msg)
    summed_up = json.loads((run.folder / SUMMARY_NAME).read_text("utf-8"))
    if summed_up.get("run_id") != run.info.run_id:
        msg = f"{where} {SUMMARY_NAME} is of the run {summed_up.get('run_id')}"
        raise RunError(msg)


def _facts(run: Run) -> dict[str, Any]:
    """Give what a reader has to know of the run; no address and no name of a machine among it."""
    info = run.info
    calls, probes = run.sql(
        "select count(*) filter (purpose = 'load'), count(*) filter (purpose = 'probe') from calls"
    ).row(0)
    late = run.sql("select count(distinct start_s), coalesce(max(lag_us), 0) / 1000 from invalid_windows").row(0)
    return {
        "format": FORMAT, "run_id": info.run_id, "wire": info.plan.target.kind, "plan": info.plan.name,
        "started_at": info.started_utc.isoformat(), "wall_s": info.duration_s, "hours": info.hours, "rps": info.rps,
        "speed": info.speed, "seed": info.seed, "calls": calls, "probes": probes, "segments": len(info.segments),
        "late_windows": late[0], "latest_ms": late[1], "soaklib_version": info.soaklib_version,
        "machine": {key: value for key, value in info.environment.items() if key not in _NOT_OF_THE_MACHINE},
    }  # fmt: skip


def _claims(run: Run) -> str:
    """Give the claims of its paper without names and addresses of machines; of a path its last name alone."""
    claims = json.loads((run.folder / CLAIMS_NAME).read_text("utf-8"))
    text = json.dumps([claim for claim in claims if claim["name"] != _HOST], indent=1, ensure_ascii=False) + "\n"
    for value in run.info.settings.values():
        if isinstance(value, str) and (path := Path(value)).is_absolute():
            text = text.replace(value, path.name)
    return _without_addresses(run, text)


def _without_addresses(run: Run, text: str) -> str:
    """Give a text without the addresses that the run was told of: of its gateway, a database, a scheduler."""
    told = [run.info.target, *(value for value in run.info.settings.values() if isinstance(value, str))]
    hosts = {_host_of(value) for value in told if _URL.match(value)} - {None, *_OWN}
    for host in sorted(map(str, hosts), key=len, reverse=True):
        text = re.sub(rf"(?:{_places_of(host)})(?![\w-]|\.\w)", _ADDRESS, text, flags=re.IGNORECASE)
    return text


def _host_of(url: str) -> str | None:
    """Give the host of a URL; of one that is none all that stands in its place."""
    place = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    try:
        return urlsplit(f"//{place}").hostname
    except ValueError:  # a bracket that is not closed, or around what is no address
        return place


def _places_of(host: str) -> str:
    """Give an expression of where a host stands, with its port; one of IPv6 has brackets there."""
    name = re.escape(host)
    if ":" in host:
        return rf"\[{name}\](?::\d+)?|(?<![\w.:-]){name}(?!:)"
    if "." in host:
        return rf"(?<![\w.-]){name}(?::\d+)?"
    # a name without a dot may be any word: it is an address behind a scheme, or before a port
    return rf"(?<=//){name}(?::\d+)?|(?<![\w.-]){name}:\d+"


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with whole_file(path) as part:
        part.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", "utf-8")
