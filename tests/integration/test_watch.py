"""A run that is watched from its start: the link, data that are fresh while it goes on, the verdict after it."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

import orjson
import pytest

pytestmark = pytest.mark.slow

_RUN = ("--watch", "--hours", "1", "--speed", "120", "--rps", "0.05", "--no-report")
_LINK = re.compile(r"the run's page: (http://127\.0\.0\.1:\d+/[\w-]{32}/)\n")


def _page(link):
    """Give what the page shows now; None where there is nothing to show yet."""
    with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"{link}data.json", timeout=30) as answer:  # noqa: S310 - loopback
        return orjson.loads(answer.read())["pages"][0]
    return None


def _watcher(folder):
    """Give the process id of the server of a run's page."""
    (found,) = subprocess.run(
        ["/usr/bin/pgrep", "-f", f"soaklib watch {folder}"], capture_output=True, text=True, check=True
    ).stdout.split()
    return int(found)


def test_a_watched_run_is_live_and_its_page_outlives_it(tmp_path):
    """The link is printed, rows come in under 5 s old while the run goes on, and its verdict is there after it."""
    words = [tmp_path / "said", tmp_path / "out"]
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    with words[0].open("w") as said, words[1].open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "soaklib", "run", *_RUN, "--junit", str(junit), "--out", str(tmp_path / "runs")],
            stdout=out,
            stderr=said,
            env={**os.environ, "GITHUB_STEP_SUMMARY": str(summary)},
        )
        links, live = [], []
        while process.poll() is None:
            links = _LINK.findall(words[0].read_text())
            page = _page(links[0]) if links else None
            if page is not None and page["run"]["goes_on"]:
                made = dt.datetime.strptime(page["run"]["made"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=dt.UTC)
                live.append(((dt.datetime.now(dt.UTC) - made).total_seconds(), sum(page["success"]["n"])))
            time.sleep(0.5)
    folder = words[1].read_text().splitlines()[-1]
    watcher = _watcher(folder)
    try:
        deadline = time.monotonic() + 60  # the page is made anew every few seconds, and a busy machine takes longer
        while (last := _page(links[0])) is None or (last["run"]["goes_on"] and time.monotonic() < deadline):
            time.sleep(0.5)
    finally:
        os.kill(watcher, signal.SIGTERM)
    assert len(live) > 5
    counts = [count for _, count in live]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert sorted(age for age, _ in live)[len(live) // 2] < 5
    assert not last["run"]["goes_on"]
    assert len(last["criteria"]) == junit.read_text("utf-8").count("<testcase")
    assert f"### {last['verdict']['sentence'].split(':')[0]}" in summary.read_text("utf-8")
