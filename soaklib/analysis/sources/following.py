"""Following a run while it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from soaklib.analysis.sources.run import find_run, is_being_written, open_run
from soaklib.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soaklib.analysis.sources.run import Run

__all__ = ["follow"]


def follow(
    path_or_id: Path | str = "latest", *, pause_s: float = 5.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Run]:
    """Give a run as it is now, again and again, until no process writes it any more.

    The last look is after the end, at everything that there is; a run that has ended already is given once. Which run
    ``latest`` means is settled at the first look. A run that was killed ends it too: resume it, and follow it anew.

    Parameters
    ----------
    path_or_id
        As for :func:`soaklib.open_run`.
    pause_s
        Wall seconds between two looks.
    sleep
        Waits that long.

    Yields
    ------
    Run
        Open until the next look.

    Raises
    ------
    RunError
        There is no such run, or it was moved away.
    """
    folder = find_run(path_or_id).resolve()
    goes_on = True
    while goes_on:
        goes_on = is_being_written(folder)
        try:
            run = open_run(folder)
        except BusyError:
            if not goes_on:
                raise
        else:
            with run:
                yield run
        if goes_on:
            sleep(pause_s)
