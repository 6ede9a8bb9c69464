"""Series of a day for the statistics' tests: ten-minute points from midnight, with known noise."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=10)
POINTS = 144


def day(value, *, step=STEP):
    """Give values the times of a day."""
    times = [START + step * cell for cell in range(len(value))]
    schema = {"at": pl.Datetime("us", "UTC"), "value": pl.Float64}
    return pl.DataFrame({"at": times, "value": [None if one is None else float(one) for one in value]}, schema=schema)


def noise(seed, *, phi=0.3, points=POINTS):
    """First-order normal noise with a spread of 1."""
    out = np.random.default_rng(seed).standard_normal(points + 100) * (1 - phi**2) ** 0.5
    for step in range(1, len(out)):
        out[step] += phi * out[step - 1]
    return out[100:]


def window(first, last):
    """Mask from one cell to another."""
    return pl.DataFrame({"start": [START + STEP * first], "end": [START + STEP * last]})
