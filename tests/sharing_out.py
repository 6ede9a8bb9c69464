"""Which tests a file has, and which come first when several workers share them out, a file to a worker."""

import enum
import functools
import re
from pathlib import Path

_LONGEST = (
    "test_verify.py", "test_watch.py", "test_weekly_started.py", "test_contextforge.py", "test_wheel.py",
    "test_jupyterlab.py", "test_dask.py", "test_weekly_runs.py", "test_fleet_run.py", "test_report.py",
    "test_fastmcp.py", "test_injected_faults.py", "test_studies.py", "test_litellm.py", "test_other_gateway.py",
    "test_killed.py", "test_collect.py", "test_live.py", "test_page.py", "test_holdout.py", "test_stopped.py",
    "test_run.py", "test_whole_chain.py", "test_memory.py", "test_build.py",
    # of those that start no process
    "test_virtual_fleet.py", "test_legibility.py", "test_soak.py", "test_late_failures.py", "test_partials.py",
    "test_ledger.py", "test_merge.py", "test_metrics_fuzz.py", "test_checking.py", "test_sections.py",
    "test_secrets_scan.py", "test_distil.py", "test_plots.py", "test_scrapes.py", "test_judged_anew.py",
    "test_ending.py", "test_lost_lanes.py", "test_gaps.py", "test_reconcile.py",
)  # fmt: skip
"""Begun first, since one worker is busy long with each of them; the others are shorter, or shared out.

The first makes the rehearsal that many look at, which needs its clock: the two beside it do little but wait.
"""

_ALL_SLOW = re.compile(r"^pytestmark = pytest\.mark\.slow\b", re.MULTILINE)
_SOME_SLOW = re.compile(r"mark\.slow\b|\brehearsal\b")


class Sort(enum.Enum):
    """Which tests a file has: none that is slow, some, or no other."""

    FAST = enum.auto()
    MIXED = enum.auto()
    SLOW = enum.auto()


@functools.cache
def sort_of(path):
    """Give a file's :class:`Sort` by what it and its folder's ``conftest.py`` say, without importing them."""
    text = path.read_text("utf-8")
    if _ALL_SLOW.search(text):
        return Sort.SLOW
    beside = path.with_name("conftest.py")
    marks = text + (beside.read_text("utf-8") if beside.parent.name != "tests" and beside.exists() else "")
    return Sort.MIXED if _SOME_SLOW.search(marks) else Sort.FAST


def place_of(item):
    """Give what tests are sorted by: the longest files, other slow ones, and the rest, which fills the gaps at the end.

    A file stays together: what it makes for all its tests is made once.
    """
    name = Path(item.location[0]).name
    is_short = name not in _LONGEST and item.get_closest_marker("slow") is None
    return (_LONGEST.index(name) if name in _LONGEST else len(_LONGEST), is_short, item.location[0])
