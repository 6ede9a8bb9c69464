"""How often a run without any fault fails a criterion on drift, whichever: the rate of false alarms of the family.

``python scripts/bench/family.py [--runs N] [--margins M ...] [--drift SPREADS]`` prints, for each kind of noise and
margin, the share of runs in which anything fails, and the worst criteria. A run is a day of 144 ten-minute points of
seven criteria: median, tail and errors of four tools each, and four gauges, three of them on floors, all independent,
which is the worst case. They are judged by the functions of the criteria themselves.

A margin is in spreads of a point: one of 0.5 hides hardly any false alarm of a test. With ``--drift`` one of the four
tools' medians drifts by so many spreads over the day: how often that is found.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
import polars as pl
from calibration import POINTS, frame, heavy, normal, real

from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.verdicts.criteria.drifts import judged_gauge, judged_tools
from soaklib.records import State

TOOLS = ("one", "two", "three", "four")
ENDPOINTS = ("median", "p99", "errors")
GAUGES = {"gateway memory": True, "gateway files": True, "event-loop lag": False, "generator memory": True}
NOISES = {
    "normal, phi .3": lambda rng: normal(rng, 0.3),
    "normal, phi .8": lambda rng: normal(rng, 0.8),
    "heavy tails, phi .6": lambda rng: heavy(rng, 0.6),
    "a real gateway's residuals": real,
}


def failing(rng: np.random.Generator, noise, margin: float, change: float) -> set[str]:
    """Give the criteria that fail in one made run."""
    failed = set()
    for endpoint in ENDPOINTS:
        moved = {TOOLS[0]: change} if endpoint == ENDPOINTS[0] else {}
        parts = {
            tool: frame(noise(rng) + moved.get(tool, 0.0) * np.linspace(0, 1, POINTS)).with_columns(tool=pl.lit(tool))
            for tool in TOOLS
        }
        found = judged_tools(parts, dict.fromkeys(TOOLS, margin))
        if any(one.state == State.FAIL for one in found.values()):
            failed.add(endpoint)
    for gauge, on_floors in GAUGES.items():
        series = frame(noise(rng))
        trend = drift(series, margin=margin, floor=on_floors)
        if judged_gauge(series, margin, trend, floor=on_floors).state == State.FAIL:
            failed.add(gauge)
    return failed


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="made runs of each kind")
    parser.add_argument("--drift", type=float, default=0.0, metavar="SPREADS", help="of one tool's median")
    parser.add_argument("--margins", type=float, nargs="+", default=(0.5, 2.0), metavar="SPREADS")
    options = parser.parse_args()
    for name, noise in NOISES.items():
        for margin in options.margins:
            rng, began = np.random.default_rng(list(name.encode())), time.perf_counter()
            runs = [failing(rng, noise, margin, options.drift) for _ in range(options.runs)]
            each = Counter(criterion for failed in runs for criterion in failed)
            worst = ", ".join(f"{criterion} {times / len(runs):.3f}" for criterion, times in each.most_common(2))
            a_run_ms = (time.perf_counter() - began) / len(runs) * 1000
            share = sum(map(bool, runs)) / len(runs)
            print(f"{name:28} margin {margin:3g}  any {share:.3f}  {worst:40} {a_run_ms:.0f} ms a run", flush=True)


if __name__ == "__main__":
    main()
