"""Which finds changes over weeks without false alarms: soaklib's own test, or apache-otava's with its usual setting.

    .venv/bin/python scripts/bench/weeks.py [--series 300]

Printed are, for each kind and length of series, the share of unchanged series that either calls changed, and the share
of steps of two and three spreads in the middle that it finds. Otava is left out where it is not installed: it is no
dependency.
"""

import argparse

import numpy as np

from soaklib.analysis.statistics.weeks import level_changes


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


if __name__ == "__main__":
    main()
