"""What is wrong with a table of a plan, in words of what was written there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from soaklib.errors import near_miss

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

__all__ = ["told"]


def told(errors: Iterable[ErrorDetails], model: type[BaseModel]) -> str:
    """Word what pydantic found wrong, each with its place; an unknown key with the nearest, or with all there are.

    Parameters
    ----------
    errors
        What it found.
    model
        What the table was read into.
    """
    return "; ".join(_told(error, model) for error in errors)


def _told(error: ErrorDetails, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    text = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_keys_beside(error["loc"], model))
            there_are = f"; there are {', '.join(known)}" if known else ""
            text = f"there is no such key{near_miss(str(error['loc'][-1]), known) or there_are}"
        case "missing":
            text = "it is missing"
        case "too_short":
            text = f"it must hold {error['ctx']['min_length']} at least"
    return f"{where}: {text}" if where else text


def _keys_beside(place: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    """Give what may stand where an unknown key stands; nothing where that cannot be told."""
    models = [model]
    for part in place[:-1]:
        fields = [one.model_fields[str(part)] for one in models if part in one.model_fields]
        if fields:
            models = [inner for field in fields for inner in _models_in(field.annotation)]
        else:  # a place in a list, a key of a table, or which of several tables it is
            models = [one for one in models if part in _tags(one)] or models
    return {name for one in models for name in one.model_fields}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # of Any: whatever a field may be annotated with
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> set[object]:
    """Give the words by which a table says that it is of this model."""
    kinds = (field.annotation for field in model.model_fields.values())
    return {word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)}
