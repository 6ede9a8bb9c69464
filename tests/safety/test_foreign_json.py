"""Objects that strangers write, as most clients read them."""

import math

import orjson
import pytest

from soaklib.safety import foreign_json
from soaklib.safety.foreign_json import json_as_read, json_of, objects_as_read, objects_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":"\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a":[Infinity,-Infinity]}', {"a": [math.inf, -math.inf]}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    ],
)
def test_what_most_clients_take_is_read_on_a_second_look(text, value):
    """It is no JSON as it should be, and strictly read it is none."""
    assert (json_as_read(text), json_of(text)) == (value, None)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[NaN]", b"NaN", b'{"a":', b"{'a':1}", b'{"a":"\xff"}', b"[" * 100_000, b"<html>", b"\xff\xfe{}"],
)
def test_what_nobody_takes_is_none(text):
    """Nothing is raised, however deep it is."""
    assert json_as_read(text) is None


def test_the_second_look_is_bounded(monkeypatch):
    """It is slow, and the loop waits for it."""
    monkeypatch.setattr(foreign_json, "_MOST_SECOND_LOOK_BYTES", 8)
    assert json_as_read(b'{"a":NaN}') is None
    assert json_as_read(orjson.dumps({"a": "x" * 100})) == {"a": "x" * 100}


def test_objects_may_come_in_an_array():
    """What else stands in it is none of them; strictly read, what is no JSON holds none."""
    assert objects_of(b'{"a":1}') == objects_as_read(b'{"a":1}') == [{"a": 1}]
    assert objects_of(b'[{"a":1},2,[{"b":1}],{}]') == objects_as_read(b'[{"a":1},2,[{"b":1}],{}]') == [{"a": 1}, {}]
    assert (objects_of(b'[{"a":NaN}]'), len(objects_as_read(b'[{"a":NaN}]'))) == ([], 1)
    assert objects_of(b"3") == objects_as_read(b"{") == []
