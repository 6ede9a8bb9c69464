"""A folder is one's own when it and its database are this user's, and nobody else may write to either."""

import os

import pytest

from soaklib.safety.ownership import is_own_folder


@pytest.mark.parametrize(
    ("of_folder", "of_database", "is_own"),
    [
        (0o700, 0o600, True),
        (0o755, 0o644, True),
        (0o700, 0o664, True),  # what a umask of 002 leaves, in a folder that lets nobody in
        (0o710, 0o664, False),
        (0o755, 0o666, False),
        (0o701, 0o664, True),
        (0o770, 0o600, False),
        (0o702, 0o600, False),
    ],
)
def test_what_others_may_write_is_not_ones_own(tmp_path, of_folder, of_database, is_own):
    """By the modes of both."""
    (tmp_path / "run.duckdb").touch()
    (tmp_path / "run.duckdb").chmod(of_database)
    tmp_path.chmod(of_folder)
    assert is_own_folder(tmp_path) is is_own


def test_what_belongs_to_another_is_not_ones_own(tmp_path, monkeypatch):
    """Nor is a folder without a database."""
    assert not is_own_folder(tmp_path)
    (tmp_path / "run.duckdb").touch(mode=0o600)
    tmp_path.chmod(0o700)
    user = os.geteuid()
    assert is_own_folder(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not is_own_folder(tmp_path)
