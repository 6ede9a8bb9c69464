"""The schema of a policy spec, and how the specs of several policies make one.

Keys are camelCase on the wire; unknown ones are dropped, as there. ``maxResponseSize`` and ``piiFilters`` are
accepted and answered but never enforced, as there.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        message = f"Unknown timezone {name}"
        raise ValueError(message) from problem
    return name


Timezone = Annotated[str, AfterValidator(_known_timezone)]
TimeOfDay = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Day = Annotated[int, Field(ge=0, le=6)]
Hour = Annotated[int, Field(ge=0, le=23)]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, strict=True)


class TimeWindow(_Part):
    """Times of day, HH:MM; a window does not reach over midnight."""

    start: TimeOfDay | None = None
    end: TimeOfDay | None = None
    timezone: Timezone | None = None


class Guards(_Part):
    """Limits on what is asked for, from where and when."""

    max_request_size: int | float | None = None
    max_response_size: int | float | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    pii_filters: list[str] | None = None
    time_window: TimeWindow | None = None


class Quota(_Part):
    """So many calls of an action in a window."""

    action: str
    limit: Annotated[int | float, Field(ge=0)]
    window: Literal["1h", "24h", "7d"]
    reset_strategy: Literal["sliding", "fixed"] = "sliding"


class AllowedHours(_Part):
    """First and last hour of the day, both allowed."""

    start: Hour | None = None
    end: Hour | None = None


class Schedule(_Part):
    """Days (0 is Sunday) and hours."""

    enabled: bool = True
    timezone: Timezone = "UTC"
    allowed_days: list[Day] | None = None
    allowed_hours: AllowedHours | None = None


class TruncateField(_Part):
    """A field of the answer and how long it may be."""

    field: str
    max_length: Annotated[int, Field(ge=0)]


class ResponseFilters(_Part):
    """What is taken out of an answer."""

    redact_fields: list[str] | None = None
    truncate_fields: list[TruncateField] | None = None
    block_patterns: list[str] | None = None


class PolicySpec(_Part):
    """What a policy allows."""

    scopes: Annotated[list[str], Field(min_length=1)]
    intent: str | None = None
    guards: Guards | None = None
    quotas: list[Quota] | None = None
    schedule: Schedule | None = None
    response_filters: ResponseFilters | None = None


DEFAULT_DENY = PolicySpec.model_construct(scopes=[], intent="default_deny")
"""What holds where no policy exists: nothing is allowed."""

_Item = TypeVar("_Item")


def _union(first: Sequence[_Item] | None, second: Sequence[_Item] | None) -> list[_Item] | None:
    if first is None and second is None:
        return None
    return list(dict.fromkeys([*(first or ()), *(second or ())]))


def _joined(first: Sequence[_Item] | None, second: Sequence[_Item] | None) -> list[_Item] | None:
    return None if first is None and second is None else [*(first or ()), *(second or ())]


def _merged_guards(first: Guards | None, second: Guards | None) -> Guards | None:
    if first is None or second is None:
        return second or first
    update = second.model_dump(exclude_none=True, exclude={"time_window"})
    if second.time_window is not None:
        update["time_window"] = second.time_window
    for name in ("allowed_domains", "blocked_domains", "pii_filters"):
        update[name] = _union(getattr(first, name), getattr(second, name))
    return first.model_copy(update=update)


def _merged_filters(first: ResponseFilters | None, second: ResponseFilters | None) -> ResponseFilters | None:
    if first is None or second is None:
        return second or first
    return ResponseFilters(
        redact_fields=_union(first.redact_fields, second.redact_fields),
        truncate_fields=_joined(first.truncate_fields, second.truncate_fields),
        block_patterns=_union(first.block_patterns, second.block_patterns),
    )


def merge_specs(specs: Iterable[PolicySpec]) -> PolicySpec:
    """Merge specs in their order: lists are united, single values of a later spec win; none is `DEFAULT_DENY`."""
    merged: PolicySpec | None = None
    for spec in specs:
        if merged is None:
            merged = spec
            continue
        merged = PolicySpec(
            scopes=_union(merged.scopes, spec.scopes) or [],
            intent=spec.intent or merged.intent,
            guards=_merged_guards(merged.guards, spec.guards),
            quotas=_joined(merged.quotas, spec.quotas),
            schedule=spec.schedule or merged.schedule,
            response_filters=_merged_filters(merged.response_filters, spec.response_filters),
        )
    return merged or DEFAULT_DENY


def spec_to_wire(spec: PolicySpec) -> dict[str, object]:
    """Return the spec as the wire has it: camelCase, what was not given left out."""
    return spec.model_dump(by_alias=True, exclude_none=True)
