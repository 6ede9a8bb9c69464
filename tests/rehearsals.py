"""A real rehearsal, run as a person would run it, and a look at what it left."""

import json
import os
import subprocess
import sys
from pathlib import Path

REHEARSAL = ("--hours", "2", "--speed", "360", "--seed", "1", "--no-report", "--thresholds.late-ms", "500")
"""Two soak-hours in 20 s: slow enough that a busy machine does not fail it, long enough that the quota is reached."""


def run_command(*arguments, **options):
    """Run ``python -m soaklib.run`` as a person would; give the ended process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
    return subprocess.run(
        [sys.executable, "-m", "soaklib.run", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=180, env=environment, **options,
    )  # fmt: skip


class Rehearsal:
    """A finished run: its folder, its process, its summary."""

    def __init__(self, ended):
        self.ended = ended
        self.folder = Path(ended.stdout.splitlines()[-1])
        self.summary = json.loads((self.folder / "soak-summary.json").read_text())
        self.verdicts = {verdict["name"]: verdict for verdict in self.summary["verdicts"]}
