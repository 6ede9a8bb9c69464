"""Which tests stay together when several workers share them out, and which come first."""

from pathlib import Path

_LONGEST = (
    "test_verify.py", "test_jupyterlab.py", "test_whole_chain.py", "test_weekly_runs.py", "test_other_gateway.py",
    "test_report.py", "test_dump_postgres.py", "test_reconcile_faults.py",
)  # fmt: skip
"""Begun first, since one worker is busy long with each of them; the others are shorter, or shared out."""


def group_of(item):
    """Give the name of what stays together in one worker; None for a test on its own.

    A file stays together: importing it and what it makes for all its tests costs more than the tests. A slow test that
    shares nothing within its file goes on its own.
    """
    if item.get_closest_marker("xdist_group"):
        return None  # it says so itself
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    if item.get_closest_marker("slow") and not any(definitions[-1].scope == "module" for definitions in fixtures):
        return None
    return item.location[0].replace("@", "")


def place_of(item):
    """Give what tests are sorted by: the longest files, slow tests, and the others, which fill the gaps at the end."""
    name = Path(item.location[0]).name
    return (_LONGEST.index(name) if name in _LONGEST else len(_LONGEST), item.get_closest_marker("slow") is None)
