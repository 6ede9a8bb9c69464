"""One look for a thing, in every chart: colour, hatch, line style and marker.

Colours are those of Okabe and Ito (Color Universal Design, 2008), told apart by people with any colour vision. Since a
page may be printed in grey, no chart relies on colour alone: areas differ in lightness and by quiet white hatches,
lines by style and marker. A colour means one thing in every figure: tools are blues and greens, denials are purples,
what chaos does (upstream errors, fast-fails) is vermillion and orange, a bound is a dashed vermillion line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from soaklib.records import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "BLACK",
    "BLUE",
    "GAP_COLOUR",
    "GREEN",
    "GREY",
    "INVALID_COLOUR",
    "INVALID_EDGE",
    "KIND_LOOKS",
    "LIGHT",
    "MAUVE",
    "ORANGE",
    "PLUM",
    "PURPLE",
    "QUANTILE_LOOKS",
    "REASON_LOOKS",
    "SERIES_LOOKS",
    "SKY",
    "STATE_LOOKS",
    "TEAL",
    "TOOL_LOOKS",
    "VERMILLION",
    "YELLOW",
    "Look",
    "looks_for",
]  # fmt: skip

BLACK: Final = "#000000"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
TEAL: Final = "#00474F"
PLUM: Final = "#7B3F72"
MAUVE: Final = "#E3BCD3"
GREY: Final = "#8C8C8C"
LIGHT: Final = "#D3DFE8"
GAP_COLOUR: Final = "#C4C4C4"
INVALID_COLOUR: Final = "#F2D5C6"  # of windows in which the generator itself was late: a light vermillion
INVALID_EDGE: Final = "#C98F72"


LineStyle: TypeAlias = Literal["-", "--", "-.", ":"] | tuple[int, tuple[float, ...]]


class Look(NamedTuple):
    """How a thing is drawn.

    Attributes
    ----------
    colour
        Of its line or area.
    hatch
        Of its area; ``""`` for none.
    line
        Style of its line.
    marker
        Of its points.
    """

    colour: str
    hatch: str
    line: LineStyle
    marker: str


_LONG_DASH: Final = (0, (7.0, 2.0))
_DASH_DOT_DOT: Final = (0, (5.0, 1.5, 1.0, 1.5, 1.0, 1.5))

TOOL_LOOKS: Final[Mapping[str, Look]] = {
    "serpapi": Look(BLUE, "", "-", "o"),
    "http_fetch": Look(SKY, "//", "--", "s"),
    "openai": Look(GREEN, "", "-.", "^"),
    "gmail_send": Look(TEAL, "\\\\", ":", "D"),
}

KIND_LOOKS: Final[Mapping[str, Look]] = {
    Kind.OK: Look(LIGHT, "", "-", "o"),
    Kind.DENIED: Look(PURPLE, "", "-", "o"),
    Kind.UNAUTHORIZED: Look(PLUM, "xx", "-", "o"),
    Kind.RATE_LIMITED: Look(YELLOW, "..", "-", "o"),
    Kind.FAST_FAIL: Look(ORANGE, "", "-", "o"),
    Kind.UPSTREAM_ERROR: Look(VERMILLION, "", "-", "o"),
    Kind.INVALID_REQUEST: Look(SKY, "++", "-", "o"),
    Kind.INVALID_RESPONSE: Look(SKY, "..", "-", "o"),
    Kind.TIMEOUT: Look(BLACK, "", "-", "o"),
    Kind.TRANSPORT_ERROR: Look(BLUE, "--", "-", "o"),
    Kind.DROPPED: Look(GREY, "", "-", "o"),
    Kind.SKIPPED: Look(GREEN, "||", "-", "o"),
    Kind.MISSED: Look(GREY, "xx", "-", "o"),
    Kind.INTERRUPTED: Look(GREY, "//", "-", "o"),
}

REASON_LOOKS: Final[Mapping[str, Look]] = {
    Reason.SCOPE: Look(PLUM, "", "-", "o"),
    Reason.QUOTA: Look(PURPLE, "", "--", "s"),
    Reason.DOMAIN: Look(MAUVE, "", "-.", "^"),
    Reason.INTENT: Look(PURPLE, "\\\\", ":", "D"),
    Reason.SIZE: Look(PLUM, "||", _LONG_DASH, "v"),
    Reason.TIME_WINDOW: Look(PLUM, "--", _DASH_DOT_DOT, "P"),
    Reason.DAY: Look(PURPLE, "++", "--", "X"),
    Reason.HOUR: Look(PLUM, "xx", "-", "*"),
    Reason.POLICY_OTHER: Look(GREY, "", "-", "h"),
}

STATE_LOOKS: Final[Mapping[str, Look]] = {
    "closed": Look(LIGHT, "", "-", "o"),
    "half-open": Look(YELLOW, "", "-", "s"),
    "open": Look(BLACK, "", "-", "^"),
    "unknown": Look(GREY, "xx", "-", "x"),
}

QUANTILE_LOOKS: Final[Mapping[float, Look]] = {
    0.5: Look(SKY, "", "-", "o"),
    0.9: Look(GREEN, "", (0, (4.0, 1.0)), "s"),
    0.95: Look(BLUE, "", (0, (2.5, 1.0)), "D"),
    0.99: Look(BLACK, "", (0, (1.0, 1.0)), "^"),
    0.999: Look(GREY, "", (0, (5.0, 1.5, 1.0, 1.5)), "v"),
}

SERIES_LOOKS: Final = (
    Look(BLUE, "", "-", "o"), Look(SKY, "//", "--", "s"), Look(GREEN, "..", "-.", "^"), Look(TEAL, "", ":", "D"),
    Look(GREY, "", _LONG_DASH, "v"), Look(BLACK, "", _DASH_DOT_DOT, "P"), Look(PURPLE, "\\\\", "--", "X"),
    Look(PLUM, "xx", "-", "*"), Look(YELLOW, "", "-", "h"),
)  # fmt: skip
"""Looks of things that mean nothing by themselves, such as phases, and of names that nobody knew before."""


def looks_for(names: Iterable[str], known: Mapping[str, Look]) -> dict[str, Look]:
    """Give each name its look: its own if it has one, otherwise the next spare one.

    Parameters
    ----------
    names
        What is drawn; the order of the result is that of `known`, then by name.
    known
        Looks that are fixed.
    """
    wanted = set(names)
    chosen = {str(name): look for name, look in known.items() if name in wanted}
    taken = {(look.colour, look.hatch) for look in chosen.values()}
    spare = [look for look in SERIES_LOOKS if (look.colour, look.hatch) not in taken] or list(SERIES_LOOKS)
    strangers = sorted(wanted - set(chosen))
    return chosen | {name: spare[number % len(spare)] for number, name in enumerate(strangers)}
