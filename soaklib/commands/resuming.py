"""The settings of a run that goes on: its own, but for what a run does not keep and what is asked for anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soaklib.errors import SettingsError
from soaklib.plan.loading import settings_from
from soaklib.plan.named import named_variables
from soaklib.plan.settings import ADMIN_TOKEN_VARIABLE
from soaklib.safety.own_runs import is_remembered
from soaklib.safety.redaction import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = ["lacking", "refuse_what_a_stranger_names", "resumed_settings"]


def resumed_settings(stored: Mapping[str, Any], wanted: SoakSettings) -> SoakSettings:
    """Give the settings of a run that is to go on.

    Taken anew are ``--yes``, ``--strict``, ``--no-report``, ``--metrics-port``, ``--database-url`` and ``--ca-file``,
    each for what the run has where it is not given, and ``--watch`` and ``--junit``. The plan is in the run: its file
    is not asked for. ``--reference`` is no setting that is kept: who resumes the run keeps that day with it.

    Parameters
    ----------
    stored
        The settings in the run's manifest.
    wanted
        What the command was called with.

    Raises
    ------
    SettingsError
        They are none that a soak can go on with.
    """
    own: dict[str, Any] = {
        "plan": None, "resume": None, "check": False, "yes": wanted.yes, "watch": wanted.watch,
        "junit": wanted.junit,
        "ca_file": _ca_file(stored, wanted), "database_url": _database_url(stored, wanted),
    }  # fmt: skip
    if wanted.strict:
        own["strict"] = True
    if not wanted.report:
        own["report"] = False
    if wanted.metrics_port is not None:
        own["metrics_port"] = wanted.metrics_port
    return settings_from(dict(stored) | own)


def refuse_what_a_stranger_names(run_id: str, stored: Mapping[str, Any], wanted: SoakSettings, plan: Plan) -> None:
    """Refuse to send what is secret, or to open a database, where nobody but the run's own file says so.

    A run that was begun here is believed. Of another one, what it names must be named again by who resumes it: the
    gateway's URL if anything secret goes there, be it a key that its plan takes from the environment, the headers that
    are read from there, and the database.

    Parameters
    ----------
    run_id, stored
        The run, and the settings in its manifest.
    wanted
        What the command was called with.
    plan
        The plan in its manifest.

    Raises
    ------
    SettingsError
        Something is to be named again.
    """
    if is_remembered(run_id, stored, plan.model_dump_json()):
        return
    url, headers = stored.get("gateway_url"), [str(pair) for pair in stored.get("header_env") or ()]
    variables = sorted(named_variables(plan) & os.environ.keys())
    to_name = []
    if url is not None and wanted.gateway_url != url and (headers or variables or ADMIN_TOKEN_VARIABLE in os.environ):
        to_name.append(f"--gateway-url {url}")
    to_name += [f"--header-env {pair}" for pair in headers if pair not in wanted.header_env]
    database = stored.get("database_url")
    if database is not None and MASK not in database and wanted.database_url is None:
        to_name.append(f"--database-url {database}")
    if to_name:
        sent = f", as what its plan takes from {', '.join(variables)}," if variables else ""
        msg = (
            f"the run was not begun here by you, and what is secret{sent} goes only where you say: if it is meant, "
            f"pass {' '.join(to_name)}"
        )
        raise SettingsError(msg)


def lacking(stored: Mapping[str, Any], settings: SoakSettings) -> list[str]:
    """Give a sentence for what a run that goes on will lack, since it was not given again."""
    if stored.get("database_url") is None or settings.database_url is not None:
        return []
    said = (
        "the gateway's database had a password, which a run does not keep: pass --database-url or set "
        "SOAK_DATABASE_URL, or there will be no request log and no database snapshot of the whole run"
    )
    return [said]


def _ca_file(stored: Mapping[str, Any], wanted: SoakSettings) -> Path | None:
    """Give the file with the gateway's authorities: the only file that a resumed run still reads."""
    if wanted.ca_file is not None:
        return wanted.ca_file
    kept = stored.get("ca_file")
    if kept is None or Path(kept).is_file():
        return None if kept is None else Path(kept)
    msg = f"the run verified its gateway by {kept}, which is not there: pass --ca-file with that file"
    raise SettingsError(msg)


def _database_url(stored: Mapping[str, Any], wanted: SoakSettings) -> str | None:
    """Give the URL of the gateway's database; None where the run's had a password, which a run does not keep."""
    if wanted.database_url is not None:
        return wanted.database_url
    kept = stored.get("database_url")
    if kept is None or MASK not in kept:
        return kept
    if stored.get("gateway_url") is None:
        msg = (
            "the run's own gateway used a database with a password, which a run does not keep: "
            "pass --database-url or set SOAK_DATABASE_URL"
        )
        raise SettingsError(msg)
    return None
