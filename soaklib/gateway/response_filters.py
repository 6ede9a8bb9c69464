"""Response filters of a policy: fields redacted or truncated, answers blocked.

Fields are top-level keys of the answer's data. A block pattern is a text, not a regular expression: a policy
cannot make the gateway spend its time in a hostile pattern.
"""

from collections.abc import Mapping

import orjson

from soaklib.gateway.policy_spec import ResponseFilters

REDACTED = "[REDACTED]"
BLOCKED = {"error": "Response blocked due to content policy"}


def apply_filters(filters: ResponseFilters, data: Mapping[str, object]) -> dict[str, object]:
    """Return the answer's data as the policy lets it through; ``data`` is left as it is."""
    filtered = dict(data)
    for name in filters.redact_fields or ():
        if name in filtered:
            filtered[name] = REDACTED
    for rule in filters.truncate_fields or ():
        value = filtered.get(rule.field)
        if isinstance(value, str) and len(value) > rule.max_length:
            filtered[rule.field] = value[: rule.max_length] + "..."
    if filters.block_patterns:
        text = orjson.dumps(filtered).decode()
        if any(pattern in text for pattern in filters.block_patterns):
            return dict(BLOCKED)
    return filtered
