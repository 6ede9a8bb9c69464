"""Numbers on axes and in legends: thousands set apart, a true minus, no power of ten, no offset."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.ticker import FuncFormatter

__all__ = ["number_formatter", "plain_number", "significant"]

_MINUS: Final = "\N{MINUS SIGN}"
_DIGITS: Final = 3


def plain_number(value: float) -> str:
    """Give a number in full, to the ten digits that a tick of an axis can have."""
    return f"{value:,.10g}".replace("-", _MINUS)


def significant(value: float) -> str:
    """Give a number to three digits that count: ``0.00694``, ``12.3``, ``8,410``."""
    if abs(value) >= 10 ** (_DIGITS - 1):
        return f"{value:,.0f}".replace("-", _MINUS)
    return np.format_float_positional(value, _DIGITS, fractional=False, trim="-").replace("-", _MINUS)


def number_formatter() -> FuncFormatter:
    """Give a formatter of ticks as :func:`plain_number` says them."""
    return FuncFormatter(lambda value, _: plain_number(value))
