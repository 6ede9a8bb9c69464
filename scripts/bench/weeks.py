"""Which finds changes over weeks without false alarms: soaklib's own test, or apache-otava's with its usual setting.

    .venv/bin/python scripts/bench/weeks.py [--series 300]

Printed are, for each kind and length of series, the share of unchanged series that either calls changed, and the share
of steps of two and three spreads in the middle that it finds. Otava is left out where it is not installed: it is no
dependency. Then, for a year in which our own is asked each week from the tenth on: the share that is ever said to have
changed, by each look alone and by the looks in a row that it takes, and how many weeks later a step of three is told.
"""

import argparse

import numpy as np

from soaklib.analysis.statistics.weeks import FEWEST_WEEKS, lasting_changes, level_changes


def otava():
    """Give otava's search for change points as a function of values; None where it is not installed."""
    try:
        from otava.analysis import compute_change_points  # noqa: PLC0415 - only where it is installed
    except ModuleNotFoundError:
        return None

    def changes(values):
        found = compute_change_points(values, window_len=50, max_pvalue=0.001, min_magnitude=0.0)
        return found[0] if isinstance(found, tuple) else found

    return changes


KINDS = {
    "normal": lambda generator, weeks: generator.normal(size=weeks),
    "t(2)": lambda generator, weeks: generator.standard_t(2, size=weeks),
    "lognormal": lambda generator, weeks: generator.lognormal(size=weeks),
    "AR(.5)": lambda generator, weeks: remembering(generator.normal(size=weeks + 20))[20:],
}


def remembering(noise):
    """Give noise a memory of one half."""
    values = np.zeros_like(noise)
    for place in range(1, noise.size):
        values[place] = 0.5 * values[place - 1] + noise[place]
    return values


def told_in(values, search, since):
    """Give the week of a year in which a change is first told, asked each week; None if in none."""
    weeks = range(max(FEWEST_WEEKS, since), len(values) + 1)
    return next((week for week in weeks if search(values[:week])), None)


def asked_each_week(series):
    """Print what becomes of a year of weekly looks."""
    for kind, make in KINDS.items():
        told = []
        for name, search in (("a look", level_changes), ("in a row", lasting_changes)):
            noise = [list(make(np.random.default_rng(number), 52)) for number in range(series)]
            alarms = sum(told_in(values, search, 0) is not None for values in noise) / series
            steps = [values[:26] + [value + 3 for value in values[26:]] for values in noise]
            late = [week - 26 for values in steps if (week := told_in(values, search, 27)) is not None]
            found = f"found {len(late) / series:.2f} after {np.median(late):.0f} weeks"
            told.append(f"{name}: alarms {alarms:.3f}, {found}")
        print(f"asked each week, {kind:9}: " + "; ".join(told), flush=True)


def main():
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=300)
    options = parser.parse_args()
    theirs = otava()
    methods = {"ours": level_changes} | ({} if theirs is None else {"otava": theirs})
    for weeks in (8, 12, 26, 52):
        for kind, make in KINDS.items():
            told = []
            for name, search in methods.items():
                shares = []
                for step in (0.0, 2.0, 3.0):
                    hits = 0
                    for number in range(options.series):
                        values = make(np.random.default_rng(number), weeks)
                        values[weeks // 2 :] += step
                        hits += bool(len(search(list(values))))
                    shares.append(hits / options.series)
                told.append(f"{name}: alarms {shares[0]:.3f}, step 2 {shares[1]:.2f}, step 3 {shares[2]:.2f}")
            print(f"{weeks:3} weeks, {kind:9}: " + "; ".join(told), flush=True)
    asked_each_week(options.series)


if __name__ == "__main__":
    main()
