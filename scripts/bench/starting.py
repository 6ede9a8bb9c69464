"""How long it takes until something happens: `import soaklib`, `soaklib --help`, and what Python itself needs for that.

    .venv/bin/python scripts/bench/starting.py [--times 7]

Medians, of processor time and of wall time; on a machine that does other work only the former says anything. What is to
be held is 0.3 s and 0.4 s: the code is 1 if one takes more of the processor.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

WORDS = {
    "python -c pass": (["-c", "pass"], None),
    "import soaklib": (["-c", "import soaklib"], 0.3),
    "soaklib --help": (["-m", "soaklib", "--help"], 0.4),
    "soaklib run --help": (["-m", "soaklib", "run", "--help"], None),
}


def taken(words):
    """Run once; give seconds of processor and wall time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main():
    """Print a line for each; give 1 if one takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7)
    times = parser.parse_args().times
    code = 0
    for name, (words, most_s) in WORDS.items():
        processor_s, wall_s = map(statistics.median, zip(*(taken(words) for _ in range(times)), strict=True))
        held = "" if most_s is None else f"   at most {most_s:g} s"
        print(f"{name:20} {processor_s:7.3f} s of the processor {wall_s:7.3f} s of the wall{held}")
        code |= most_s is not None and processor_s > most_s
    return code


if __name__ == "__main__":
    sys.exit(main())
