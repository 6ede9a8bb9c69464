"""How many slots of a load do what: all of them drawn at one go, as :mod:`soaklib.plan.workload` draws one by one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from soaklib.plan.workload import LAST_SHIFT, MASK, ROUNDS, STEP

if TYPE_CHECKING:
    from soaklib.plan.workload import Workload

__all__ = ["count_operations"]

_AT_ONCE: Final = 1 << 16


def count_operations(workload: Workload, slots: int) -> Counter[int]:
    """Count the operations of the first `slots` slots, by their place in the plan."""
    inner = [bound for bound in workload.bounds[:-1] if bound <= MASK]  # no draw reaches the others
    bounds = np.array(inner, np.uint64)
    counts = np.zeros(len(inner) + 1, np.int64)
    for start in range(0, slots, _AT_ONCE):
        drawn = np.arange(start, min(start + _AT_ONCE, slots), dtype=np.uint64) ^ np.uint64(workload.seed)
        drawn += np.uint64(STEP)  # unsigned numbers wrap around by themselves
        for shift, factor in ROUNDS:
            drawn = (drawn ^ (drawn >> np.uint64(shift))) * np.uint64(factor)
        drawn ^= drawn >> np.uint64(LAST_SHIFT)
        counts += np.bincount(np.searchsorted(bounds, drawn, side="right"), minlength=len(counts))
    return Counter({kind: int(count) for kind, count in enumerate(counts) if count})
