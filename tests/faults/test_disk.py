"""A disk that takes no more: the run ends loudly with code 4, and everything acknowledged before is there."""

import os
import resource
import subprocess
import sys

import pytest

import soaklib

LIMIT_BYTES = 3 << 20


def limit_files():
    """Let no file of this process and its children grow past the limit, as a full disk would."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_code_4_and_loses_nothing_that_was_acknowledged(tmp_path):
    """A sentence that names the file, no traceback, chaos off and policies removed, and a file that can be read."""
    ended = subprocess.run(
        [
            sys.executable, "-m", "soaklib.run", "--rps", "6", "--hours", "2", "--speed", "240", "--no-report", "--out",
            str(tmp_path),
        ],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        preexec_fn=limit_files, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert ended.returncode == 4, ended.stderr
    assert "cannot write" in ended.stderr
    assert "run.duckdb" in ended.stderr
    assert "Traceback" not in ended.stderr
    log = (tmp_path / "latest" / "soak-events.log").read_text()
    assert "SOAK_TEST_FAILED" in log
    assert "POLICIES_REMOVED" in log
    with soaklib.open_run(tmp_path / "latest") as run:
        rows, keys = run.sql("select count(*), count(distinct (purpose, slot, step)) from outcomes").row(0)
    assert 1000 < rows == keys
