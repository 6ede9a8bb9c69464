"""Chaos that an admin switches on: a share of the calls that reach a tool fails or is late.

========  ==========================================================================================
mode      effect on an attempt
========  ==========================================================================================
500       fails at once with ``Chaos: Simulated 500 error`` (not retried: no retry mark in it)
timeout   fails with ``Chaos: Simulated timeout`` after 30 soak seconds, an attempt; ``timeout`` is a retry
          mark, so a retryable tool takes up to three attempts
jitter    goes on after 1 to 6 soak seconds
========  ==========================================================================================
"""

import random
from dataclasses import dataclass
from typing import Literal, get_args

ChaosMode = Literal["timeout", "500", "jitter"]
CHAOS_MODES: tuple[ChaosMode, ...] = get_args(ChaosMode)

TIMEOUT_S = 30.0
JITTER_S = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class ChaosSetting:
    """What was asked for: a mode and the percentage of calls it affects."""

    mode: ChaosMode
    pct: float


@dataclass(frozen=True, slots=True)
class ChaosEffect:
    """What happens to one attempt: wait ``delay_s`` soak seconds, then fail with ``error`` or go on (None)."""

    delay_s: float
    error: str | None


class Chaos:
    """The active settings, and a seeded generator for each tool.

    Parameters
    ----------
    seed
        Seed of the run; the same sequence of calls to a tool meets the same chaos.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._settings: dict[str, ChaosSetting] = {}
        self._generators: dict[str, random.Random] = {}

    def inject(self, tool: str, setting: ChaosSetting) -> None:
        """Switch chaos on for a tool, or change it."""
        self._settings[tool] = setting

    def clear(self, tool: str) -> None:
        """Switch it off; without effect when it is off."""
        self._settings.pop(tool, None)

    def active(self) -> list[tuple[str, ChaosSetting]]:
        """Return the settings in the order they were switched on."""
        return list(self._settings.items())

    def strike(self, tool: str) -> ChaosEffect | None:
        """Decide what happens to an attempt that has reached the tool; None lets it be."""
        setting = self._settings.get(tool)
        if setting is None:
            return None
        generator = self._generators.get(tool)
        if generator is None:
            # Not cryptographic, on purpose: a rehearsal has to be repeatable.
            generator = self._generators[tool] = random.Random(f"{self._seed}:chaos:{tool}")  # noqa: S311 - see above
        if generator.random() * 100.0 >= setting.pct:
            return None
        if setting.mode == "500":
            return ChaosEffect(0.0, "Chaos: Simulated 500 error")
        if setting.mode == "timeout":
            return ChaosEffect(TIMEOUT_S, "Chaos: Simulated timeout")
        return ChaosEffect(generator.uniform(*JITTER_S), None)
