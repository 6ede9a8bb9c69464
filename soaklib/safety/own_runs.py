"""Which runs this user began on this machine: only of those is a run's own file believed about where secrets go.

A run's folder may have come from anybody, and whose it is says nothing: what was unpacked belongs to the unpacker. So a
run that names a gateway or a database leaves a mark in the user's folder for state, an empty file whose name is the
digest of the run's id, settings and plan. A file that was changed since, or was made elsewhere, has none.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_remembered", "remember", "state_folder"]


def state_folder() -> Path:
    """Give soaklib's folder for state (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "soaklib"


def remember(run_id: str, settings: Mapping[str, Any], plan: str) -> None:
    """Leave the mark of a run that begins.

    Parameters
    ----------
    run_id, settings, plan
        As its manifest has them; the plan as JSON.

    Raises
    ------
    OSError
        It cannot be written.
    """
    mark = _mark(run_id, settings, plan)
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch(mode=0o600)


def is_remembered(run_id: str, settings: Mapping[str, Any], plan: str) -> bool:
    """Say whether a run with these very settings, and this very plan, was begun here."""
    return _mark(run_id, settings, plan).is_file()


def _mark(run_id: str, settings: Mapping[str, Any], plan: str) -> Path:
    text = json.dumps([run_id, dict(settings), json.loads(plan)], sort_keys=True)
    return state_folder() / "runs" / hashlib.sha256(text.encode()).hexdigest()
