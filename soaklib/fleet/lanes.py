"""Lanes: how the slots of one schedule are divided among senders, as pure arithmetic.

Lane i of N sends the slots n with n mod N = i. What a slot does and when it is due depends on n alone, so the union of
the lanes is the schedule of one sender, whatever N is; and neighbouring slots are in different lanes, so that each lane
has an even share of every minute, tool and role.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

from soaklib.errors import SettingsError

__all__ = ["MOST_LANES", "Lane"]

MOST_LANES: Final = 10_000
_FORM: Final = re.compile(r"(\d{1,5})/(\d{1,5})")


@dataclass(frozen=True, order=True)
class Lane:
    """One sender's part of a schedule.

    Attributes
    ----------
    number
        Which lane, from 0.
    of
        How many there are.
    """

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``i/N``.

        Raises
        ------
        SettingsError
            It has another form, or there is no such lane.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None or not int(match[1]) < int(match[2]) <= MOST_LANES:
            msg = f"--lane {text!r}: must have the form i/N, with i from 0 to N - 1 and N at most {MOST_LANES}"
            raise SettingsError(msg)
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def slots(self, total: int) -> range:
        """Give the lane's slots of a schedule of `total`."""
        return range(self.number, total, self.of)

    def first_from(self, slot: int) -> int:
        """Give the lane's first slot that does not come before `slot`."""
        return slot + (self.number - slot) % self.of

    def share(self, total: int) -> int:
        """Give the lane's share of what all lanes have together, at least 1; the first lanes have what is left over."""
        return max(1, total // self.of + (self.number < total % self.of))
