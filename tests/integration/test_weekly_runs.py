"""The weekly soak as a timer starts it: three short rehearsals, the last one of a gateway that got slower."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from soaklib.evidence.checking import verify

# what a busy machine adds to latencies is no drift of the gateway; the slower one is slower by far more; chaos meets so
# few calls that no breaker has to open
REHEARSAL = (
    "--hours", "1", "--speed", "240", "--rps", "0.3", "--no-report", "--thresholds.late-ms", "500",
    "--thresholds.drift-median-ms", "10", "--thresholds.drift-median-floor-ms", "10",
    "--thresholds.drift-tail-ms", "500", "--thresholds.drift-tail-floor-ms", "500",
)  # fmt: skip


def week(out, *arguments):
    """Run a week; give the ended process and the run's folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SOAK_", "GATEWAY_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "soaklib.weekly", "--out", str(out), *REHEARSAL, *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120, env=environment,
    )  # fmt: skip
    [folder] = ended.stdout.splitlines()
    return ended, Path(folder)


@pytest.mark.slow
def test_two_good_weeks_are_the_same_and_a_third_that_got_slower_is_found(tmp_path):
    """Codes 0, 0 and 1; the slower endpoint is named; nothing is removed unasked, then the unneeded run alone.

    The first were needed as the oldest good run, had the second not been said to be of the level that stands.
    """
    ended, first = week(tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "not compared: there is no good run before it (it is the first)" in ended.stderr

    ended, second = week(tmp_path, "--against", str(first))
    assert ended.returncode == 0, ended.stderr
    states = [line for line in ended.stderr.splitlines() if line.startswith(f"weekly: against {first.name}: ")]
    assert len(states) == 3
    assert not [line for line in states if "different" in line]
    assert "is authentic" in ended.stderr

    ended, third = week(tmp_path, "--gateway-fault", "late_ms=40@1", "--keep", "1", "--remove")
    assert ended.returncode == 1, ended.stderr
    assert f"weekly: WORSE than {second.name}: latency (median): " in ended.stderr
    comparison = json.loads((third / "comparison.json").read_text())
    [median] = [change for change in comparison["endpoints"] if change["endpoint"] == "latency (median)"]
    assert median["state"] == "different"
    assert 20 < median["low"] < median["difference"] < 80
    assert f"removed {first.name}" in ended.stderr
    assert f"kept {second.name}: it is a good run that others are compared with" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()) == [
        second.name, third.name,
    ]  # fmt: skip

    assert verify(third).problems == []
