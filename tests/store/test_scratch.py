"""The process's private folder."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from soaklib.analysis.measures.windows import asking
from soaklib.store.scratch import scratch_folder


@pytest.mark.slow
def test_the_folder_is_private_and_goes_with_the_process():
    """Nobody else may look into it, and a child that only ends leaves it to its parent."""
    assert scratch_folder() == scratch_folder()
    assert scratch_folder().stat().st_mode & 0o777 == 0o700
    script = (
        "import os, sys; from soaklib.store.scratch import scratch_folder\n"
        "folder = scratch_folder(); print(folder, flush=True)\n"
        "child = os.fork()\n"
        "if child == 0: assert scratch_folder() != folder; sys.exit()\n"
        "assert os.waitpid(child, 0)[1] == 0 and folder.is_dir()"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not Path(ended.stdout.strip()).exists()


def test_a_frames_queries_spill_there():
    """Not into whatever folder the process happens to be in."""
    frame = pl.DataFrame(
        {
            "at": pl.Series([0], dtype=pl.Datetime("us", "UTC")), "purpose": ["load"], "kind": ["ok"],
            "expected": ["allow"], "reason": pl.Series([None], dtype=pl.String), "tool": ["openai"],
        }
    )  # fmt: skip
    with asking(frame) as ask:
        assert Path(ask("select current_setting('temp_directory')").item()).parent == scratch_folder()
