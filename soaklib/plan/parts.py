"""What the parts of a plan are made of: strict models, and what a share and a name have to look like."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["NAME_PATTERN", "Name", "Part", "Share", "ToolAction", "Variable"]


def _fraction(value: object) -> object:
    """Read "1/3" as a third; numbers pass through."""
    if isinstance(value, str):
        try:
            return float(Fraction(value))
        except (ValueError, ArithmeticError) as exc:  # nothing by 0, and what is beyond any float
            msg = f'{value!r} is no fraction; write it as "1/3" or 0.5'
            raise ValueError(msg) from exc
    return value


Share = Annotated[float, BeforeValidator(_fraction), Field(ge=0, le=1)]
NAME_PATTERN: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
"""What a role, a tool or an action may be called: what needs no quoting in a URL, in SQL and in the event log."""
Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Name of an environment variable."""
ToolAction = Annotated[str, Field(pattern=f"^{NAME_PATTERN}:{NAME_PATTERN}$")]


class Part(BaseModel):
    """A part of the plan: immutable, and a misspelt key is an error.

    No number of it is infinite: a run keeps its plan as JSON, which has no such number, and could not be read again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
