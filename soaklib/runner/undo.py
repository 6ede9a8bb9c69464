"""What changes by hand replaced, kept on disk so that a later command can put it back."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ValidationError

from soaklib.errors import SettingsError

__all__ = ["UndoLog", "default_undo_path"]


class _Replaced(BaseModel):
    """What was in force at one gateway: credential id by tool (None for none), limit by policy and action."""

    credentials: dict[str, str | None] = {}
    limits: dict[str, dict[str, int]] = {}


class _File(BaseModel):
    gateways: dict[str, _Replaced] = {}


def default_undo_path() -> Path:
    """Give the file, in the user's folder for state (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "soaklib" / "changes-by-hand.json"


class UndoLog:
    """What was in force at a gateway before it was first changed by hand; saved by :meth:`save`.

    Parameters
    ----------
    path
        The file; made when something is saved.
    gateway
        Base URL of the gateway.

    Attributes
    ----------
    credentials
        Tool -> id of the credential that was active; None where there was none.
    limits
        Policy id -> action -> limit of the quota.

    Raises
    ------
    SettingsError
        The file is damaged.
    """

    def __init__(self, path: Path, gateway: str) -> None:
        self._path = path
        try:
            self._file = _File.model_validate_json(path.read_bytes()) if path.exists() else _File()
        except (OSError, ValidationError) as exc:
            msg = f"{path}, which holds what to restore, cannot be read: remove it, and restore by hand"
            raise SettingsError(msg) from exc
        replaced = self._file.gateways.setdefault(gateway, _Replaced())
        self.credentials = replaced.credentials
        self.limits = replaced.limits

    def save(self) -> None:
        """Write the file, whole or not at all; gateways with nothing to restore are left out."""
        kept = {url: one for url, one in self._file.gateways.items() if one.credentials or one.limits}
        part = self._path.with_name(f".{self._path.name}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(_File(gateways=kept).model_dump_json(indent=2) + "\n", "utf-8")
            part.replace(self._path)
        except OSError as exc:
            msg = f"{self._path}, which holds what to restore, cannot be written: {exc.strerror}; set XDG_STATE_HOME"
            raise SettingsError(msg) from exc
