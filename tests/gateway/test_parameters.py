import pytest

from soaklib.gateway.parameters import parameter_problems

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
MAIL = {"to": "a@example.com", "subject": "s", "body": "b", "text": "b"}


@pytest.mark.parametrize(
    ("call", "params"),
    [
        (("serpapi", "search"), {"query": "x", "q": "x", "num": 10, "engine": "google"}),
        (("serpapi", "search"), {"query": "x", "num": 2.5, "start": 0}),
        (("http_fetch", "get"), {"url": "https://example.com"}),
        (("http_fetch", "head"), {"url": "http://127.0.0.1:8080/x?y", "timeout": 1_000}),
        (("openai", "chat"), CHAT | {"temperature": 2, "max_tokens": 1}),
        (("gmail_send", "send"), MAIL | {"to": "a.b+c@mail.example.com"}),
    ],
)
def test_what_the_tools_accept(call, params):
    """Good parameters have no problems; unknown ones pass."""
    assert parameter_problems(*call, params | {"more": 1}) == []


@pytest.mark.parametrize(
    ("call", "params", "problems"),
    [
        (("serpapi", "search"), {}, ["query: Required"]),
        (("serpapi", "search"), {"query": 7}, ["query: Expected string, received number"]),
        (("serpapi", "search"), {"query": ""}, ["query: String must contain at least 1 character(s)"]),
        (("serpapi", "search"), {"query": "x" * 501}, ["query: String must contain at most 500 character(s)"]),
        (
            ("serpapi", "search"),
            {"query": None, "num": True},
            ["query: Expected string, received null", "num: Expected number, received boolean"],
        ),
        (("serpapi", "search"), {"query": "x", "num": 0}, ["num: Number must be greater than or equal to 1"]),
        (("serpapi", "search"), {"query": "x", "num": 101}, ["num: Number must be less than or equal to 100"]),
        (("http_fetch", "get"), {"url": "nowhere"}, ["url: Invalid url"]),
        (("http_fetch", "get"), {"url": "http://[bad"}, ["url: Invalid url"]),
        (("http_fetch", "get"), {"url": "https://"}, ["url: Invalid url"]),
        (("openai", "chat"), {"messages": "hi"}, ["messages: Expected array, received string"]),
        (("openai", "chat"), {"messages": []}, ["messages: Array must contain at least 1 element(s)"]),
        (
            ("openai", "chat"),
            {"messages": [{"role": "user", "content": "x"}] * 51},
            ["messages: Array must contain at most 50 element(s)"],
        ),
        (
            ("openai", "chat"),
            {"messages": [1, {"role": "judge"}, {"role": "user", "content": {}}]},
            [
                "messages.0: Expected object, received number",
                "messages.1.role: Invalid enum value. Expected 'system' | 'user' | 'assistant'",
                "messages.1.content: Required",
                "messages.2.content: Expected string, received object",
            ],
        ),
        (("gmail_send", "send"), MAIL | {"to": "nobody"}, ["to: Invalid email"]),
        (("gmail_send", "send"), {"to": "a@b.c"}, ["subject: Required", "body: Required"]),
        (("gmail_send", "profile"), {}, ["No validator found for gmail_send:profile"]),
        (("ftp", "get"), {}, ["No validator found for ftp:get"]),
        (("serpapi", "search"), "text", [": Expected object, received string"]),
        (("serpapi", "search"), [], [": Expected object, received array"]),
    ],
)
def test_what_they_refuse(call, params, problems):
    """Each problem is told with the parameter's path, in the words of the real gateway."""
    assert parameter_problems(*call, params) == problems
