"""Whether a leak of the gateway is found and one without a leak is left in peace: half an hour of wall time.

    .venv/bin/python scripts/bench/leak.py [--minutes 32] [--leak 6] [--out FOLDER]

Memory is not judged in less than 30 wall minutes, so no test can do this. Two soaks of 24 hours run beside each other,
at twenty slots a second, one of them against a reference gateway that leaks so many MB a soak-hour. The exit code is 0
when the leaking one fails `no drift in gateway memory` and nothing else, and the other fails nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HOURS = 24
RPS_WALL = 20.0  # fewer calls a soak-minute than this makes would open no breaker
JUDGED = "no drift in gateway memory"


def started(folder, minutes, *faults):
    """Start a soak that takes so many wall minutes."""
    speed = HOURS * 60 / minutes
    arguments = [
        "--hours", str(HOURS), "--speed", f"{speed:.6g}", "--rps", f"{RPS_WALL / speed:.6g}", "--seed", "1",
        "--no-report", "--out", str(folder), *(word for fault in faults for word in ("--gateway-fault", fault)),
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "soaklib.run", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def verdicts(process):
    """Wait for a soak and give its verdicts by name."""
    stdout, _ = process.communicate()
    if not stdout.strip():
        sys.exit(f"a soak ended with code {process.returncode} before it had a folder")
    summary = json.loads((Path(stdout.splitlines()[-1]) / "soak-summary.json").read_text("utf-8"))
    return {verdict["name"]: verdict for verdict in summary["verdicts"]}


def main():
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=32.0, help="wall minutes of each soak, more than 30")
    parser.add_argument("--leak", type=float, default=6.0, help="MB a soak-hour")
    parser.add_argument("--out", type=Path, help="where the runs stay; default: nowhere")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.out or Path(name)
        soaks = {
            "leaking": started(folder / "leaking", options.minutes, f"leak_mb_per_hour={options.leak:g}"),
            "clean": started(folder / "clean", options.minutes),
        }
        failed = {}
        for kind, process in soaks.items():
            found = verdicts(process)
            failed[kind] = {verdict["name"] for verdict in found.values() if verdict["state"] == "fail"}
            print(f"{kind}: {found[JUDGED]['state']}: {found[JUDGED]['detail']}")
            print(f"{kind}: failed: {', '.join(sorted(failed[kind])) or 'nothing'}")
    return 0 if failed == {"leaking": {JUDGED}, "clean": set()} else 1


if __name__ == "__main__":
    sys.exit(main())
