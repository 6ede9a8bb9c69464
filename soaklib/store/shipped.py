"""Files that come with soaklib and are no code: notebooks, the sample run, kept runs of gateways, schedules.

In a wheel they lie in the package; in a checkout, where an editable install runs from, they lie beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["GATEWAYS", "NOTEBOOKS", "SAMPLE", "SCHEDULES", "shipped"]

NOTEBOOKS: Final = "notebooks"
SAMPLE: Final = "data/sample"
GATEWAYS: Final = "data/gateways"
SCHEDULES: Final = (
    "scripts/soak-weekly.service",
    "scripts/soak-weekly.timer",
    "scripts/soak-weekly.cron",
    "scripts/soak-weekly.yml",
    "scripts/grafana-dashboard.json",
)

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Give where one of the files or folders is that come with soaklib.

    Parameters
    ----------
    name
        Its place in a checkout: one of this module's constants.
    """
    in_wheel = _PACKAGE / "shipped_files" / name
    return in_wheel if in_wheel.exists() else _PACKAGE.parent / name
