"""How often the statistics are wrong, on noise whose truth is known: the calibration study.

``python scripts/bench/calibration.py [--trials N] [NAME ...]`` runs the full tier and prints a table; the exit code is
1 when a limit is broken. ``tests/calibration`` runs the same studies with fewer trials, and allows for chance.

The series are days of 144 ten-minute points. Noise is first-order with a spread of 1: normal, heavy-tailed (Student
t with 3 degrees of freedom), with gaps, or made of a real gateway's latency by resampling its residuals in long blocks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from soaklib.analysis.measures.windows import PARTS
from soaklib.analysis.statistics.blocks import alikeness, stationary_indices
from soaklib.analysis.statistics.changepoints import change_points
from soaklib.analysis.statistics.drift import drift
from soaklib.analysis.statistics.effect import effect
from soaklib.analysis.statistics.intervals import quantile_interval, rate_interval
from soaklib.analysis.statistics.power import power
from soaklib.analysis.verdicts.compare import OFFSETS, mean_difference, quantile_windows

POINTS = 144
MINUTES = 1440
TOOTH = 40.0
STEP = timedelta(minutes=10)
START = datetime(2026, 1, 1, tzinfo=UTC)
REAL = Path(__file__).parents[2] / "tests" / "data" / "calibration" / "gateway-latency.csv"
LEVEL = 0.05
SHIFT = 4.0
AGREEMENT = 0.10
_WARM = 200

Noise = Callable[[np.random.Generator], np.ndarray]
Trial = Callable[[np.random.Generator, int], Mapping[str, bool | None]]


@dataclass(frozen=True)
class Limit:
    """What the share of an outcome may be."""

    side: Literal["at most", "at least"]
    share: float

    def broken(self, hits: int, trials: int, *, chance: bool = False) -> bool:
        """Say whether the share of hits is beyond the limit; with `chance`, by more than one run in a hundred would."""
        from scipy.stats import binom  # noqa: PLC0415 - a second, for who only lists studies, too

        if not chance:
            return hits > self.share * trials if self.side == "at most" else hits < self.share * trials
        if self.side == "at most":
            return hits > binom.ppf(0.99, trials, self.share)
        return hits < binom.ppf(0.01, trials, self.share)


@dataclass(frozen=True)
class Study:
    """One kind of series, judged again and again.

    Attributes
    ----------
    name
        Of the study; seeds it, too.
    trial
        (randomness, resamples) -> outcomes, true or false; None for one that could not be told.
    limits
        For each outcome.
    fast, full
        Trials in the two tiers.
    """

    name: str
    trial: Trial
    limits: Mapping[str, Limit]
    fast: int = 60
    full: int = 1000

    def run(self, trials: int, resamples: int) -> dict[str, tuple[int, int]]:
        """Count how often each outcome was true, and in how many trials it could be told."""
        rng = np.random.default_rng(list(self.name.encode()))
        hits: Counter[str] = Counter()
        told: Counter[str] = Counter()
        for _ in range(trials):
            outcomes = self.trial(rng, resamples)
            hits.update(name for name, true in outcomes.items() if true)
            told.update(name for name, true in outcomes.items() if true is not None)
        return {name: (hits[name], told[name]) for name in self.limits}


def frame(value: np.ndarray) -> pl.DataFrame:
    """Give values ten-minute times."""
    return pl.DataFrame({"at": times(len(value)), "value": value})


@cache
def times(points: int) -> pl.Series:
    """Give so many ten-minute times."""
    return pl.datetime_range(START, START + STEP * (points - 1), STEP, time_zone="UTC", eager=True)


def normal(rng: np.random.Generator, phi: float) -> np.ndarray:
    """First-order normal noise."""
    return _first_order(rng.standard_normal(POINTS + _WARM), phi)


def heavy(rng: np.random.Generator, phi: float) -> np.ndarray:
    """First-order noise with innovations of Student's t, 3 degrees of freedom."""
    return _first_order(rng.standard_t(3, POINTS + _WARM) / 3**0.5, phi)


def real(rng: np.random.Generator) -> np.ndarray:
    """Residuals of a real gateway's latency, in blocks of 20 on average, with a spread of 1."""
    residual = pl.read_csv(REAL)["mean_ms"].to_numpy()
    residual = (residual - np.median(residual)) / residual.std()
    return residual[stationary_indices(len(residual), 20, (1, POINTS), rng)[0]]


def gaps(rng: np.random.Generator) -> np.ndarray:
    """First-order normal noise of which a fifth is not known."""
    return np.where(rng.random(POINTS) < 1 / 5, np.nan, normal(rng, 0.6))


def rare(rng: np.random.Generator) -> np.ndarray:
    """Error ratio that is 0 in nineteen of twenty windows."""
    return 0.01 * rng.binomial(1, 1 / 20, POINTS)


def _first_order(innovations: np.ndarray, phi: float) -> np.ndarray:
    out = innovations * (1 - phi**2) ** 0.5
    for step in range(1, len(out)):
        out[step] += phi * out[step - 1]
    return out[_WARM:]


NOISES: dict[str, Noise] = {
    **{f"normal phi {phi}": partial(normal, phi=phi) for phi in (0.0, 0.3, 0.6, 0.8)},
    **{f"heavy phi {phi}": partial(heavy, phi=phi) for phi in (0.3, 0.8)},
    "real residuals": real,
    "gaps phi 0.6": gaps,
    "rare errors": rare,
}


def quiet_drift(rng: np.random.Generator, resamples: int, *, noise: Noise, points: int = POINTS) -> dict[str, bool]:
    """Nothing drifts, in a day or in its first points."""
    found = drift(frame(noise(rng)[:points]), resamples=resamples)
    return {"false alarm": found.state == "drift", "covered": found.interval[0] <= 0 <= found.interval[1]}


def drifting(rng: np.random.Generator, resamples: int, *, phi: float, warm_up: float) -> dict[str, bool]:
    """1.5 standard deviations over the run, of which the warm-up is left out."""
    found = drift(frame(normal(rng, phi) + np.linspace(0, 1.5, POINTS)), warm_up=warm_up, resamples=resamples)
    return {"detected": found.state == "drift"}


def drifting_by_margin(rng: np.random.Generator, resamples: int, *, phi: float) -> dict[str, bool]:
    """Drift by the margin, which must not be called stable."""
    found = drift(frame(normal(rng, phi) + np.linspace(0, 4, POINTS)), margin=4, resamples=resamples)
    return {"wrongly stable": found.state == "stable"}


def wandering(rng: np.random.Generator, *, phi: float) -> np.ndarray:
    """Minutes of a day that have no teeth, however they wander."""
    return _first_order(rng.standard_normal(MINUTES + _WARM), phi)


def sawtooth(rng: np.random.Generator, *, teeth: int) -> np.ndarray:
    """Minutes of a day of memory that climbs and is collected about so often, over a floor with noise of 1."""
    length = MINUTES / teeth
    ends = np.cumsum(length * rng.uniform(0.5, 1.5, 2 * teeth + 4))
    minute = np.arange(MINUTES) + ends[0] * rng.random()
    since = minute - np.concatenate([[0.0], ends])[np.searchsorted(ends, minute, side="right")]
    return TOOTH * since / length + wandering(rng, phi=0.9)


def by_the_minute(value: np.ndarray) -> pl.DataFrame:
    """Give values the minutes of a day."""
    return frame(value).with_columns(at=START + pl.duration(minutes=pl.int_range(pl.len())))


def quiet_floor(rng: np.random.Generator, resamples: int, *, noise: Noise) -> dict[str, bool]:
    """Memory that does not leak, judged on its floors where it has any."""
    found = drift(by_the_minute(noise(rng)), floor=True, resamples=resamples)
    return {"false alarm": found.state == "drift", "covered": found.interval[0] <= 0 <= found.interval[1]}


def leaking(rng: np.random.Generator, resamples: int, *, noise: Noise, leak: float) -> dict[str, bool]:
    """Leak over the day; a margin of half of it must neither let it pass nor leave it open."""
    value = noise(rng) + np.linspace(0, leak, MINUTES)
    return {"found": drift(by_the_minute(value), margin=leak / 2, floor=True, resamples=resamples).state == "drift"}


def quiet_event(rng: np.random.Generator, resamples: int, *, noise: Noise, events: int = 1) -> dict[str, bool | None]:
    """Nothing happens at the event, or at any of several."""
    cells = np.linspace(0, POINTS, events + 2).astype(int)[1:-1]
    at = [START + STEP * int(cell) for cell in cells]
    found = effect(frame(noise(rng)), at=at, resamples=resamples)
    if found.interval is None:  # gaps can leave too few quiet times to judge by: nothing is claimed
        return {"false alarm": None, "covered": None}
    low, high = found.interval
    return {"false alarm": found.p_value <= LEVEL, "covered": low <= 0 <= high}


def shifted(rng: np.random.Generator, resamples: int, *, phi: float) -> dict[str, bool]:
    """Shift by four standard deviations in the middle, after an excursion of six."""
    value = normal(rng, phi)
    value[72:74] += 6
    value[74:] += SHIFT
    found = effect(frame(value), at=START + STEP * 72, resamples=resamples)
    low, high = found.interval
    return {"detected": found.p_value <= LEVEL, "covered": low <= SHIFT <= high}


def alike(rng: np.random.Generator, _: int, *, phi: float) -> dict[str, bool]:
    """Two runs of the same thing."""
    return _told_apart(normal(rng, phi), normal(rng, phi))


def alike_quantile(rng: np.random.Generator, _: int, *, phi: float, level: float) -> dict[str, bool]:
    """Two runs of the same thing, by a quantile of all calls; a window is slow or fast as a whole."""
    return _told_apart(*(_quantile_of_a_run(rng, phi, level) for _ in range(2)))


def _quantile_of_a_run(rng: np.random.Generator, phi: float, level: float) -> np.ndarray:
    value = np.exp(0.2 * normal(rng, phi)[:, None] + 0.5 * rng.standard_normal((POINTS, 60)))
    neighbours = np.concatenate([level - (1 - level) * OFFSETS, [level], level + (1 - level) * OFFSETS[::-1]])
    beyond = (value > np.quantile(value, level)).sum(axis=1).astype(float)
    return quantile_windows(level, neighbours, np.quantile(value, neighbours), beyond, np.full(POINTS, 60.0))


def _told_apart(a: np.ndarray, b: np.ndarray) -> dict[str, bool]:
    found = mean_difference(a, b)
    return {"false alarm": found.p_value <= LEVEL, "covered": found.low <= 0 <= found.high}


def quiet_levels(rng: np.random.Generator, _: int, *, noise: Noise) -> dict[str, bool]:
    """No level changes."""
    return {"false alarm": not change_points(frame(noise(rng))).is_empty()}


def one_step(rng: np.random.Generator, _: int, *, phi: float) -> dict[str, bool]:
    """One step of four standard deviations, to be located within half an hour, alone."""
    value = normal(rng, phi)
    value[90:] += 4
    found = change_points(frame(value))["at"].to_list()
    near = [at for at in found if abs(at - (START + STEP * 90)) <= 3 * STEP]
    return {"located": len(found) == len(near) == 1}


def bursts(rng: np.random.Generator, minutes: int = 1440, *, length: float = 8, distance: float = 90) -> np.ndarray:
    """Minutes that are in a burst: on and off, both of geometric length."""
    state = np.empty(minutes, dtype=bool)
    on = bool(rng.random() < length / (length + distance))
    for minute in range(minutes):
        on = bool(rng.random() >= 1 / length) if on else bool(rng.random() < 1 / distance)
        state[minute] = on
    return state


def bursty_rate(rng: np.random.Generator, _: int) -> dict[str, bool]:
    """Sixty calls a minute, of which half fail in bursts and one in a thousand else."""
    share = 8 / (8 + 90)
    truth = 1 - (share * 0.5 + (1 - share) * 0.001)
    won = rng.binomial(60, np.where(bursts(rng), 0.5, 0.999))
    found = rate_interval(won, np.full(1440, 60))
    rate, n = won.sum() / (60 * 1440), 60 * 1440
    middle, half = (rate + 1.92 / n) / (1 + 3.84 / n), 1.96 / (1 + 3.84 / n) * (rate * (1 - rate) / n) ** 0.5
    return {"covered": found.low <= truth <= found.high, "covered by Wilson": abs(middle - truth) <= half}


def bursty_window(rng: np.random.Generator, _: int, *, minutes: int) -> dict[str, bool]:
    """One window of a day of such calls, which knows of bursts from the others; its interval of the long-run rate."""
    share = 8 / (8 + 90)
    truth = 1 - (share * 0.5 + (1 - share) * 0.001)
    quarters = rng.binomial(15, np.where(np.repeat(bursts(rng), 4), 0.5, 0.999))
    won = np.stack([part.sum(axis=1) for part in np.array_split(quarters.reshape(-1, 4 * minutes), PARTS, axis=1)]).T
    n = np.broadcast_to(60.0 * minutes / PARTS, won.shape)
    window = int(rng.integers(len(won)))
    found = rate_interval(won[window], n[window], alike=alikeness(won, n))
    return {"covered": found.low <= truth <= found.high}


def bursty_quantile(rng: np.random.Generator, _: int, *, method: Literal["order", "bootstrap"]) -> dict[str, bool]:
    """Ten calls a minute, three times as slow in bursts; the 90th percentile."""
    slow = np.repeat(bursts(rng, length=8, distance=40), 10)
    value = rng.lognormal(0, 0.4, len(slow)) * np.where(slow, 3, 1)
    found = quantile_interval(value, 0.9, method=method)
    return {"covered": found.low <= _bursty_truth() <= found.high}


def _bursty_truth() -> float:
    from scipy.optimize import brentq  # noqa: PLC0415 - one number, made when it is asked for
    from scipy.stats import norm  # noqa: PLC0415 - one study needs it, and it takes a second

    share = 8 / (8 + 40)

    def below(x: float) -> float:
        return float((1 - share) * norm.cdf(np.log(x) / 0.4) + share * norm.cdf(np.log(x / 3) / 0.4) - 0.9)

    return float(brentq(below, 0.1, 20))


MEMORIES: dict[str, Noise] = {
    **{f"{teeth} teeth": partial(sawtooth, teeth=teeth) for teeth in (6, 12, 60, 200)},
    **{f"wandering phi {phi}": partial(wandering, phi=phi) for phi in (0.5, 0.95)},
}

QUIET = {"false alarm": Limit("at most", 0.07), "covered": Limit("at least", 0.90)}

STUDIES = [
    *(Study(f"drift, quiet, {name}", partial(quiet_drift, noise=noise), QUIET) for name, noise in NOISES.items()),
    *(
        Study(
            f"drift, quiet, {points} points, phi {phi}",
            partial(quiet_drift, noise=partial(normal, phi=phi), points=points),
            QUIET,
            40,
        )
        for points in (39, 48, 60, 90)
        for phi in (0.3, 0.8)
    ),
    *(
        Study(f"floors, quiet, {name}", partial(quiet_floor, noise=noise), QUIET, 40)
        for name, noise in MEMORIES.items()
    ),
    *(
        Study(
            f"floors, leak of {leak:g}, {name}",
            partial(leaking, noise=MEMORIES[name], leak=leak),
            {"found": Limit("at least", 0.90)},
            40,
            400,
        )
        for name, leak in (
            ("60 teeth", 10.0),
            ("12 teeth", 80.0),
            ("wandering phi 0.5", 4.0),
            ("wandering phi 0.95", 8.0),
        )
    ),
    *(
        Study(
            f"drift, 1.5 sd, warm-up {warm_up:g}, phi {phi}",
            partial(drifting, phi=phi, warm_up=warm_up),
            {"detected": Limit("at least", share)},
        )
        # what keeps slow wander from being called a drift costs small drifts in correlated noise power
        for phi, warm_up, share in (
            (0.0, 0.0, 0.85),
            (0.3, 0.0, 0.60),
            (0.6, 0.0, 0.30),
            (0.0, 0.05, 0.85),
            (0.3, 0.05, 0.60),
            (0.6, 0.05, 0.30),
        )
    ),
    Study("drift of the margin", partial(drifting_by_margin, phi=0.6), {"wrongly stable": Limit("at most", 0.05)}),
    *(Study(f"effect, quiet, {name}", partial(quiet_event, noise=noise), QUIET) for name, noise in NOISES.items()),
    Study("effect, quiet, 12 events", partial(quiet_event, noise=partial(normal, phi=0.6), events=12), QUIET),
    Study(
        "effect, shift of 4 sd",
        partial(shifted, phi=0.3),
        {"detected": Limit("at least", 0.95), "covered": Limit("at least", 0.90)},
    ),
    *(Study(f"compare, alike, phi {phi}", partial(alike, phi=phi), QUIET) for phi in (0.0, 0.6, 0.8)),
    *(
        Study(f"compare, alike, quantile {level}, phi {phi}", partial(alike_quantile, phi=phi, level=level), QUIET)
        for level in (0.5, 0.99)
        for phi in (0.0, 0.8)
    ),
    *(
        Study(
            f"change points, quiet, {name}",
            partial(quiet_levels, noise=noise),
            {"false alarm": QUIET["false alarm"]},
            40,
            400,
        )
        for name, noise in NOISES.items()
        if name in {"normal phi 0.6", "heavy phi 0.8"}
    ),
    Study("change points, step of 4 sd", partial(one_step, phi=0.3), {"located": Limit("at least", 0.85)}, 40, 400),
    Study(
        "success rate in bursts",
        bursty_rate,
        {"covered": Limit("at least", 0.90), "covered by Wilson": Limit("at most", 0.55)},
        200,
    ),
    *(
        Study(
            f"success rate in bursts, windows of {minutes} min",
            partial(bursty_window, minutes=minutes),
            {"covered": Limit("at least", 0.90)},
            200,
        )
        for minutes in (60, 240)
    ),
    *(
        Study(
            f"quantile in bursts, {method}",
            partial(bursty_quantile, method=method),
            {"covered": Limit("at least", 0.90)},
            100,
        )
        for method in ("order", "bootstrap")
    ),
]
"""Every study with its limits."""


@dataclass(frozen=True)
class Agreement:
    """One answer of :func:`power` beside what simulation says."""

    name: str
    told: Callable[[], float]
    simulated: Callable[[np.random.Generator, int], bool]
    fast: int = 60
    full: int = 600

    def run(self, trials: int, resamples: int) -> tuple[float, float]:
        """Give the power told and the share of trials that detected."""
        rng = np.random.default_rng(list(self.name.encode()))
        return self.told(), sum(self.simulated(rng, resamples) for _ in range(trials)) / trials


def _drift_detected(rng: np.random.Generator, resamples: int, *, phi: float, change: float) -> bool:
    found = drift(frame(normal(rng, phi) + np.linspace(0, change, POINTS)), resamples=resamples)
    return found.state == "drift"


def _shift_detected(rng: np.random.Generator, resamples: int, *, phi: float, change: float) -> bool:
    value = normal(rng, phi) + np.where(np.arange(POINTS) >= POINTS // 2, change, 0.0)
    return effect(frame(value), at=START + STEP * (POINTS // 2), resamples=resamples).shift_p_value <= LEVEL


AGREEMENTS = [
    *(
        Agreement(
            f"{kind} of {change} sd, phi {phi}",
            lambda kind=kind, change=change, phi=phi: power(change, hours=24, sd=1.0, phi=phi, kind=kind).power,
            partial(_drift_detected if kind == "drift" else _shift_detected, phi=phi, change=change),
        )
        for kind, change, phi in (
            ("drift", 1.0, 0.0),
            ("drift", 1.2, 0.3),
            ("drift", 2.0, 0.6),
            ("shift", 1.2, 0.0),
            ("shift", 2.0, 0.3),
            ("shift", 3.0, 0.6),
        )
    ),
]
"""Answers of the power calculation that simulation has to bear out within ten points."""


def main() -> int:
    """Run the full tier and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="studies to run, by a part of their name; default all")
    parser.add_argument("--trials", type=int, help="trials of each study instead of its own number")
    parser.add_argument("--resamples", type=int, default=999)
    options = parser.parse_args()
    broken = 0
    for study in [one for one in STUDIES if not options.names or any(part in one.name for part in options.names)]:
        began, trials = time.perf_counter(), options.trials or study.full
        hits = study.run(trials, options.resamples)
        for outcome, limit in study.limits.items():
            hit, told = hits[outcome]
            bad = limit.broken(hit, told)
            broken += bad
            share = f"{hit / told:.3f}"
            verdict = f"{limit.side} {limit.share:.2f}  n {told}  {'BROKEN' if bad else ''}"
            print(f"{study.name:38} {outcome:18} {share}  {verdict}")
        print(f"{'':38} {(time.perf_counter() - began) / trials * 1000:.0f} ms a trial", flush=True)
    for agreement in [
        one for one in AGREEMENTS if not options.names or any(part in one.name for part in options.names)
    ]:
        told, simulated = agreement.run(options.trials or agreement.full, options.resamples)
        bad = abs(told - simulated) > AGREEMENT
        broken += bad
        print(
            f"power: {agreement.name:31} told {told:.3f}  simulated {simulated:.3f}  {'BROKEN' if bad else ''}",
            flush=True,
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
