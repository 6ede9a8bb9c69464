"""How long the statistics and the verdicts of a run take, stage by stage, and the memory they need.

    .venv/bin/python scripts/bench/analysis.py RUN [--match latency]

Every stage is one call of the public library on the run, as the notebooks make it, or one acceptance criterion. Printed
are its seconds of the processor, which on a machine that is busy with something else say more than the wall's, those of
the wall, and the largest resident memory of this process so far. The first stage that counts calls also pays for
counting them all. What is to be held: 864,000 slots in 15 s of the processor and 1 GB, 86 million rows in 3 minutes of
it and 2.5 GB. `scripts/bench/bigrun.py` makes runs of these sizes.
"""

import argparse
import resource
import time

import soaklib
from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.verdicts.criteria import CRITERIA
from soaklib.analysis.verdicts.endpoints import ENDPOINTS, endpoint_series
from soaklib.analysis.verdicts.summary import summary

MIB_KB = 1024


def used():
    """Give the seconds of the processor and of the wall so far, and the largest resident memory of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, time.perf_counter(), usage.ru_maxrss / MIB_KB


def told(name, begun):
    """Print what was used since `begun`."""
    now = used()
    print(f"{now[0] - begun[0]:8.2f} s {now[1] - begun[1]:8.2f} s  {now[2]:7.0f} MiB  {name}", flush=True)


def chaos_effect(run):
    """Measure what chaos did to the errors of a tool, with its placebo null."""
    chaos = in_soak_time(soaklib.planned_windows(run))
    series = first_tool(run, ENDPOINTS[2])
    return soaklib.effect(series, at=chaos["start"][0], until=chaos["end"][-1]) if chaos.height else None


def first_tool(run, endpoint):
    """Give the series of the tool that comes first."""
    series = endpoint_series(run, endpoint)
    return series.filter(tool=series["tool"][0])


STAGES = {
    "success rate, 15m": lambda run: soaklib.success_rate(run, "15m"),
    "success rate, all": lambda run: soaklib.success_rate(run, "all"),
    "denials, 15m": lambda run: soaklib.denials(run, "15m"),
    "denials, all": lambda run: soaklib.denials(run, "all"),
    "outcome counts, 15m": lambda run: soaklib.outcome_counts(run, "15m"),
    "tool usage, 1h": lambda run: soaklib.tool_usage(run, "1h"),
    "fast fails, 1m": lambda run: soaklib.fast_fails(run, "1m"),
    "latency by tool, all": lambda run: soaklib.latency(run, "all"),
    "latency by tool, 15m": lambda run: soaklib.latency(run, "15m"),
    "latency bins, 15m": lambda run: soaklib.latency_bins(run, "15m"),
    "error budget": soaklib.error_budget,
    "measurement validity": soaklib.measurement_validity,
    "effect of chaos": chaos_effect,
    "change points": lambda run: soaklib.change_points(first_tool(run, ENDPOINTS[0])),
    "aligned at rotations": soaklib.aligned,
    "reconcile": soaklib.reconcile,
    **{f"criterion {name}": criterion for name, criterion in CRITERIA.items()},
    "summary": lambda run: summary(run, []),
}


def main():
    """Run the stages and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run, or its id")
    parser.add_argument("--match", default="", help="only stages whose name holds this")
    options = parser.parse_args()
    with soaklib.open_run(options.run) as run:
        rows = run.sql("select count(*) from outcomes").item()
        print(f"{rows:,} rows")
        print(f"{'CPU':>10} {'wall':>10}  {'peak':>11}")
        begun = used()
        for name, stage in STAGES.items():
            if options.match not in name:
                continue
            started = used()
            stage(run)
            told(name, started)
        told("everything", begun)


if __name__ == "__main__":
    main()
