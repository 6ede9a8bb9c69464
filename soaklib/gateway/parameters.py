"""What the tools accept: the checks of a call's parameters, with the sentences of the real gateway.

`FIELDS` has a row for every parameter that is looked at; parameters that are not in it pass.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Kind = Literal["string", "number", "url", "email", "messages"]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter: its kind, whether it has to be there, and its smallest and largest length or value."""

    kind: Kind
    required: bool = False
    least: float | None = None
    most: float | None = None


_HTTP = {"url": Field("url", required=True), "timeout": Field("number", least=1_000, most=30_000)}

FIELDS: dict[tuple[str, str], dict[str, Field]] = {
    ("serpapi", "search"): {
        "query": Field("string", required=True, least=1, most=500),
        "num": Field("number", least=1, most=100),
        "start": Field("number", least=0),
    },
    ("http_fetch", "get"): _HTTP,
    ("http_fetch", "head"): _HTTP,
    ("openai", "chat"): {
        "messages": Field("messages", required=True, least=1, most=50),
        "model": Field("string"),
        "temperature": Field("number", least=0, most=2),
        "max_tokens": Field("number", least=1, most=4_000),
    },
    ("gmail_send", "send"): {
        "to": Field("email", required=True),
        "subject": Field("string", required=True, least=1, most=200),
        "body": Field("string", required=True, least=1, most=10_000),
    },
}
"""The parameters of each tool and action."""

ROLES = ("system", "user", "assistant")
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


def parameter_problems(tool: str, action: str, params: object) -> list[str]:
    """Return what is wrong with the parameters of a call, a sentence each; empty when they can go to the tool."""
    fields = FIELDS.get((tool, action))
    if fields is None:
        return [f"No validator found for {tool}:{action}"]
    if not isinstance(params, Mapping):
        return [f": Expected object, received {_json_type(params)}"]
    problems: list[str] = []
    for name, field in fields.items():
        if name not in params:
            if field.required:
                problems.append(f"{name}: Required")
        else:
            problems.extend(_problems(name, field, params[name]))
    return problems


def _problems(name: str, field: Field, value: object) -> list[str]:
    if field.kind == "number":
        return _number_problems(name, field, value)
    if field.kind == "messages":
        return _message_problems(name, field, value)
    if not isinstance(value, str):
        return [f"{name}: Expected string, received {_json_type(value)}"]
    if field.kind == "url":
        return [] if _is_url(value) else [f"{name}: Invalid url"]
    if field.kind == "email":
        return [] if _EMAIL.fullmatch(value) else [f"{name}: Invalid email"]
    return _length_problems(name, field, value)


def _length_problems(name: str, field: Field, value: str) -> list[str]:
    if field.least is not None and len(value) < field.least:
        return [f"{name}: String must contain at least {field.least:g} character(s)"]
    if field.most is not None and len(value) > field.most:
        return [f"{name}: String must contain at most {field.most:g} character(s)"]
    return []


def _number_problems(name: str, field: Field, value: object) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [f"{name}: Expected number, received {_json_type(value)}"]
    if field.least is not None and value < field.least:
        return [f"{name}: Number must be greater than or equal to {field.least:g}"]
    if field.most is not None and value > field.most:
        return [f"{name}: Number must be less than or equal to {field.most:g}"]
    return []


_CONTENT = Field("string", required=True, least=1, most=4_000)


def _message_problems(name: str, field: Field, value: object) -> list[str]:
    if not isinstance(value, list):
        return [f"{name}: Expected array, received {_json_type(value)}"]
    if field.least is not None and len(value) < field.least:
        return [f"{name}: Array must contain at least {field.least:g} element(s)"]
    if field.most is not None and len(value) > field.most:
        return [f"{name}: Array must contain at most {field.most:g} element(s)"]
    problems: list[str] = []
    for index, message in enumerate(value):
        path = f"{name}.{index}"
        if not isinstance(message, Mapping):
            problems.append(f"{path}: Expected object, received {_json_type(message)}")
            continue
        if message.get("role") not in ROLES:
            expected = " | ".join(f"'{role}'" for role in ROLES)
            problems.append(f"{path}.role: Invalid enum value. Expected {expected}")
        if "content" not in message:
            problems.append(f"{path}.content: Required")
        else:
            problems.extend(_problems(f"{path}.content", _CONTENT, message["content"]))
    return problems


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and bool(parts.hostname or (parts.path and not parts.netloc and "://" not in text))


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"
